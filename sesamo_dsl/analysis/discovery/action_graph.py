"""The action as a coloured graph, whose automorphisms are signed permutations of the components.

The points are ±φ_0, ±φ_1, …. Every expression is a node with edges to its arguments. An expression f that is
odd in its arguments has a second node for −f, so that maps φ_a → −φ_b are automorphisms as well: all choices
of signs of the odd factors of a product are joined to f or to −f, and the term −2φχ is joined to φχ with the
coefficient −2 and to −φχ with 2. Edges between the sites of a summand are coloured by their displacements, so
that the graph does not change when a summand is translated.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from math import prod
from typing import cast

import sympy as sp

from ...groups.site_map import SiteMap
from ...symbols.exact import NumberTable
from ...symbols.fields import FieldComponent
from ...symbols.lattice import Lattice, SiteSum
from .coloured_graph import ColouredGraph

LARGEST_GRAPH = 400_000  # nodes and edges

_EVEN = (sp.cos, sp.cosh, sp.Abs)
_ODD = (sp.sin, sp.tan, sp.sinh, sp.tanh, sp.asinh, sp.atan, sp.erf, sp.sign, sp.asin, sp.atanh)
_SYMMETRIC = (sp.And, sp.Or, sp.Max, sp.Min, sp.Eq, sp.Ne)
_MOST_SIGNS = 6  # largest number of odd factors of a product whose choices of signs are all written out

_Pair = tuple[int, int | None]
"""(node of an expression, node of its negative); None for the second if the expression is not odd."""


class GraphTooLargeError(Exception):
    """The graph would have more than ``LARGEST_GRAPH`` nodes and edges."""


def action_graph(
    action: sp.Expr,
    components: tuple[FieldComponent, ...],
    numbers: NumberTable,
    sites: SiteMap | None = None,
) -> ColouredGraph:
    """The graph of an action, or with ``sites`` P of the action with every φ(x + o) replaced by φ(x + P⁻¹o).

    Raises GraphTooLargeError if it has too many nodes and edges.
    """
    return _Writer(components, numbers, sites).graph_of(action)


class _Writer:
    def __init__(
        self, components: tuple[FieldComponent, ...], numbers: NumberTable, sites: SiteMap | None
    ) -> None:
        self._graph = ColouredGraph(2 * len(components))
        self._index = {(c.field, c.component): a for a, c in enumerate(components)}
        self._numbers, self._back = numbers, None if sites is None else sites.inverse
        self._lattice: Lattice = components[0].lattice
        self._pairs: dict[sp.Basic, _Pair] = {}
        self._places: dict[tuple[int, ...], int] = {}

    def graph_of(self, action: sp.Expr) -> ColouredGraph:
        for a in range(len(self._index)):
            self._graph.join(2 * a, 2 * a + 1, "negative")
            self._graph.join(2 * a + 1, 2 * a, "negative")
        top = self._graph.add("action")
        for coefficient, rest in self._terms(action):
            self._join_term(top, coefficient, self._pair(rest))
        return self._graph

    def _node(self, colour: str) -> int:
        if self._graph.size > LARGEST_GRAPH:
            raise GraphTooLargeError
        return self._graph.add(colour)

    def _both(self, colour: str) -> tuple[int, int]:
        """Two new nodes, of an expression and of its negative."""
        plus, minus = self._node(colour), self._node(colour)
        self._graph.join(plus, minus, "negative")
        self._graph.join(minus, plus, "negative")
        return plus, minus

    def _terms(self, expr: sp.Expr) -> list[tuple[sp.Expr, sp.Expr]]:
        """(coefficient, product of fields) of every term; equal products are one term."""
        collected: dict[sp.Expr, list[sp.Expr]] = defaultdict(list)
        for term in sp.Add.make_args(expr):
            factors = sp.Mul.make_args(term)
            moving = [f for f in factors if f.has(FieldComponent)]
            collected[sp.Mul(*moving)].append(sp.Mul(*(f for f in factors if not f.has(FieldComponent))))
        return [(sp.Add(*parts), rest) for rest, parts in collected.items()]

    def _join_term(self, node: int, coefficient: sp.Expr, term: _Pair, sign: int = 1) -> None:
        self._graph.join(node, term[0], self._coefficient(sign * coefficient))
        if term[1] is not None:
            self._graph.join(node, term[1], self._coefficient(-sign * coefficient))

    def _coefficient(self, value: sp.Expr) -> str:
        parts = []
        for term in sp.Add.make_args(sp.expand(value)):
            factors = sp.Mul.make_args(term)
            number = sp.Mul(*(f for f in factors if f.is_number))
            number = self._numbers.canonical(number) if number.is_real else number
            parts.append(f"{sp.srepr(number)} {sp.sstr(sp.Mul(*(f for f in factors if not f.is_number)))}")
        return " + ".join(sorted(parts))

    def _pair(self, expr: sp.Basic) -> _Pair:
        """(node of an expression, node of its negative), written once."""
        if expr not in self._pairs:
            self._pairs[expr] = self._written(expr)
        return self._pairs[expr]

    def _written(self, expr: sp.Basic) -> _Pair:
        if isinstance(expr, FieldComponent):
            return self._field(expr)
        if not expr.has(FieldComponent):
            return self._constant(expr)
        if isinstance(expr, SiteSum):
            return self._site_sum(expr)
        if isinstance(expr, sp.Add):
            return self._sum(expr)
        if isinstance(expr, sp.Mul):
            return self._product(expr)
        if isinstance(expr, sp.Pow) and expr.exp.is_Integer:
            return self._function(expr.base, f"power {expr.exp}", 1 if int(expr.exp) % 2 else 0)
        if isinstance(expr, _EVEN):
            return self._function(expr.args[0], expr.func.__name__, 0)
        if isinstance(expr, _ODD):
            return self._function(expr.args[0], expr.func.__name__, 1)
        node = self._node(expr.func.__name__)
        for position, arg in enumerate(expr.args):
            colour = "argument" if isinstance(expr, _SYMMETRIC) else f"argument {position}"
            self._graph.join(node, self._pair(arg)[0], colour)
        return node, None

    def _field(self, field: FieldComponent) -> _Pair:
        plus, minus = self._both(f"field {field.hops}")
        place = self._place(field.offset)
        for node, point in ((plus, 0), (minus, 1)):
            self._graph.join(node, 2 * self._index[field.field, field.component] + point, "is")
            self._graph.join(node, place, "at")
        return plus, minus

    def _place(self, offset: tuple[int, ...]) -> int:
        """The node of a site of the current summand."""
        offset = offset if self._back is None else self._back.linear_image(offset)
        if offset not in self._places:
            new = self._node("site")
            for other, node in self._places.items():
                for (a, u), (b, v) in itertools.permutations(((offset, new), (other, node))):
                    step = self._lattice.wrap(y - x for x, y in zip(a, b, strict=True))
                    self._graph.join(u, v, f"step {step}")
            self._places[offset] = new
        return self._places[offset]

    def _constant(self, expr: sp.Basic) -> _Pair:
        number = isinstance(expr, sp.Expr) and expr.is_number and expr.is_real
        node = self._node(f"constant {self._coefficient(cast(sp.Expr, expr)) if number else sp.srepr(expr)}")
        offset = getattr(expr, "offset", None)
        if offset is not None:  # a given array, seen from the running site
            self._graph.join(node, self._place(tuple(offset)), "at")
        return node, None

    def _site_sum(self, expr: SiteSum) -> _Pair:
        """Each summand of the density has its own nodes for sites and fields: it can be translated alone."""
        plus, minus = self._both("sum over sites")
        outside = self._pairs, self._places
        for coefficient, rest in self._terms(expr.density):
            self._pairs, self._places = {}, {}
            term = self._pair(rest)
            self._join_term(plus, coefficient, term)
            self._join_term(minus, coefficient, term, -1)
        self._pairs, self._places = outside
        return plus, minus

    def _sum(self, expr: sp.Add) -> _Pair:
        plus, minus = self._both("sum")
        for coefficient, rest in self._terms(expr):
            term = self._pair(rest)
            self._join_term(plus, coefficient, term)
            self._join_term(minus, coefficient, term, -1)
        return plus, minus

    def _product(self, expr: sp.Mul) -> _Pair:
        moving = [f for f in expr.args if f.has(FieldComponent)]
        if len(moving) < len(expr.args):
            return self._sum(cast(sp.Add, expr))  # a number of times a product
        pairs = [self._pair(factor) for factor in moving]
        odd = [k for k, pair in enumerate(pairs) if pair[1] is not None]
        if not odd or len(odd) > _MOST_SIGNS:
            node = self._node("product")
            for pair in pairs:
                self._graph.join(node, pair[0], "factor")
            return node, None
        values = self._both("product")
        for signs in itertools.product((1, -1), repeat=len(odd)):
            chosen = dict(zip(odd, signs, strict=True))
            combined = self._node("signs")
            for k, pair in enumerate(pairs):
                self._graph.join(combined, cast(int, pair[chosen.get(k, 1) < 0]), "factor")
            self._graph.join(combined, values[prod(signs) < 0], "value")
        return values

    def _function(self, argument: sp.Basic, name: str, parity: int) -> _Pair:
        """An even or odd function of one argument."""
        pair = self._pair(argument)
        if pair[1] is None:
            node = self._node(name)
            self._graph.join(node, pair[0], "argument")
            return node, None
        if parity == 0:
            node = self._node(name)
            for arg in (pair[0], pair[1]):
                self._graph.join(node, arg, "argument")
            return node, None
        both = self._both(name)
        for node, arg in zip(both, (pair[0], pair[1]), strict=True):
            self._graph.join(node, arg, "argument")
        return both
