"""The monomials that functions of a Program are linear combinations of, and their derivatives.

A number per configuration is expanded into products of sums over the lattice, Π_j Σ_x m_j(x), and each
density m_j into a product of fields at sites and smooth functions of these. Coefficients are left out: a
monomial is an operator of its own. What has a kink, a pole or a determinant in it is no monomial.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from .builder import Builder
from .continuity import is_given
from .gradient import derivatives, gradient_parts
from .operations import OPERATIONS
from .program import SITE_VALUES, Function
from .value import Kind

_MOST = 64  # monomials of one expression: more are too many to tell apart

Factors = tuple[int, ...]
"""Values of a builder, each as often as its power says, sorted."""


class _TooMany(Exception):
    """An expansion has more terms than anybody looks at."""


@dataclass(frozen=True)
class Site:
    """A component of the fields at a site that is related to x, a linear function of the configuration.

    Attributes
    ----------
    component, offset
        φ_a(x + offset).
    nodes
        φ_a is multiplied by this matrix on the last axis, and shifted along the others; None where it is only
        shifted.
    """

    component: int
    offset: tuple[int, ...]
    nodes: np.ndarray | None = None

    def shifted(self, offset: tuple[int, ...]) -> Site:
        """At x + offset."""
        total = tuple(a + b for a, b in zip(self.offset, offset, strict=True))
        nodes = None if self.nodes is None else np.roll(self.nodes, -offset[-1], axis=0)
        return Site(self.component, total if nodes is None else (*total[:-1], 0), nodes)

    def matrix(self, extent: int) -> np.ndarray:
        """What it does to the last axis."""
        return np.roll(np.eye(extent), self.offset[-1], axis=1) if self.nodes is None else self.nodes

    def overlap(self, other: Site, shape: tuple[int, ...]) -> np.ndarray | None:
        """Σ_z ∂u(x)/∂φ(z) ∂u'(x)/∂φ(z) on the last axis, (nodes,) or a number; None where it is zero."""
        apart = [(a - b) % extent for a, b, extent in zip(self.offset, other.offset, shape, strict=True)]
        plain = self.nodes is None and other.nodes is None
        if self.component != other.component or any(apart if plain else apart[:-1]):
            return None
        if plain:
            return np.ones(())
        found = (self.matrix(shape[-1]) * other.matrix(shape[-1])).sum(axis=1)
        return found if found.any() else None


class Monomials:
    """Finds the monomials of functions of a program, and writes them with a builder.

    Parameters
    ----------
    builder
        Holds the values that are expanded.
    """

    def __init__(
        self,
        builder: Builder,
        components: tuple[str, ...],
        shape: tuple[int, ...],
        constants: Mapping[str, np.ndarray],
    ) -> None:
        self.b, self._components, self._shape, self._constants = builder, components, shape, constants
        self._names: dict[str, int] = {}
        self.weights: dict[str, np.ndarray] = {}
        """Constants that the derivatives refer to beside those of the program."""

    def of(self, function: Function) -> dict[str, int]:
        """The monomials of the first output of a function, with their names; none where they are too many."""
        root = self.b.extend(function)[function.outputs[0][1]]
        try:
            terms = sorted(self._expanded(root))
        except _TooMany:
            return {}
        return dict(self._named(factors) for factors in terms if factors)

    def power(self, component: int, power: int) -> tuple[str, int]:
        """Σ_x φ_a(x)^p."""
        field = self.b.component(self.b.input("x"), component)
        return self._named((self._sum((field,) * power),))

    def power_of_sum(self, component: int, power: int) -> tuple[str, int]:
        """(Σ_x φ_a(x))^p."""
        field = self.b.component(self.b.input("x"), component)
        return self._named((self._sum((field,)),) * power)

    def square(self, components: Sequence[int]) -> tuple[str, int]:
        """Σ_x Σ_a φ_a(x)² over some components, whose gradient is 2x on these."""
        if len(components) == 1:
            return self.power(components[0], 2)
        squares = [self.power(a, 2)[1] for a in components]
        total = squares[0]
        for square in squares[1:]:
            total = self.b.add(total, square)
        return "|x|²", total

    # Expansion

    def _expanded(self, value: int) -> set[Factors]:
        """A number per configuration as products of sums; without what has no derivatives."""
        b, op = self.b, self.b.op(value)
        if op.kind is Kind.SCALAR:
            return {()}
        if op.name == "site_sum":
            terms = self._density(op.args[0])
            return {(self._sum(m),) if m else () for m in map(self._moved_to_origin, terms)}
        if op.name in ("add", "sub"):
            return _bounded(self._expanded(op.args[0]) | self._expanded(op.args[1]))
        if op.name == "mul":
            return _times(*map(self._expanded, op.args))
        if op.name == "div" and b.kind(op.args[1]) is Kind.SCALAR:
            return self._expanded(op.args[0])
        return set()

    def _density(self, value: int) -> set[Factors]:
        b, op = self.b, self.b.op(value)
        if op.kind is Kind.SCALAR:
            return {()}
        if op.name in ("add", "sub"):
            return _bounded(self._density(op.args[0]) | self._density(op.args[1]))
        if op.name == "mul":
            return _times(*map(self._density, op.args))
        if op.name == "div" and b.kind(op.args[1]) is Kind.SCALAR:
            return self._density(op.args[0])
        if op.name == "broadcast":
            return self._density(op.args[0])
        if op.name == "where" and is_given(b.op(op.args[0])) and b.op(op.args[2]).attribute == 0:
            masked = set[Factors]()  # what fills a sum over bonds
            for factors in self._density(op.args[1]):
                masked.add((self.b.where(op.args[0], self._product(factors), op.args[2]),))
            return masked
        return set() if self.sites(value) is None else {(value,)}

    def _moved_to_origin(self, factors: Factors) -> Factors:
        """The first of all spellings of the same sum, with x at another of its sites."""
        sites = [self._site(f) for f in factors]
        plain = [s for s in sites if s is not None and s.nodes is None]
        if len(plain) < len(sites) or not plain:
            return factors
        x = self.b.input("x")
        spellings = []
        for origin in plain:
            moved = sorted(
                (
                    s.component,
                    tuple((a - o) % e for a, o, e in zip(s.offset, origin.offset, self._shape, strict=True)),
                )
                for s in plain
            )
            spellings.append(moved)
        return tuple(
            sorted(self.b.shift(self.b.component(x, a), self._short(offset)) for a, offset in min(spellings))
        )

    def _short(self, offset: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(o - e if 2 * o > e else o for o, e in zip(offset, self._shape, strict=True))

    def _product(self, factors: Factors) -> int:
        value = self.b.constant(1.0)
        for factor in factors:
            value = self.b.mul(value, factor)
        return value

    def _sum(self, factors: Factors) -> int:
        return self.b.site_sum(self.b.broadcast(self._product(factors)))

    # Sites

    def sites(self, value: int) -> dict[int, Site] | None:
        """The fields that a density is a smooth function of; None if it is no such function."""
        found: dict[int, Site] = {}
        pending, seen = [value], set[int]()
        while pending:
            index = pending.pop()
            if index in seen:
                continue
            seen.add(index)
            op = self.b.op(index)
            if op.kind is Kind.SCALAR or self._is_given(index):
                continue
            site = self._site(index)
            if site is not None:
                found[index] = site
            elif self._is_smooth(index):
                pending += op.args
            else:
                return None
        return found

    def _is_given(self, value: int) -> bool:
        """Whether no field is in a density that is given, perhaps at another site."""
        op = self.b.op(value)
        return is_given(op) or (op.name == "shift" and self._is_given(op.args[0]))

    def _is_smooth(self, value: int) -> bool:
        """Whether a density depends smoothly on its arguments."""
        op = self.b.op(value)
        if op.name == "where":
            return is_given(self.b.op(op.args[0]))
        if op.name == "div":
            return self.b.kind(op.args[1]) is Kind.SCALAR
        return op.kind is Kind.SITE and (OPERATIONS[op.name].is_smooth or op.name == "broadcast")

    def _site(self, value: int) -> Site | None:
        op = self.b.op(value)
        if op.name == "component" and self.b.op(op.args[0]).name == "input":
            return Site(op.attribute, (0,) * len(self._shape))
        if op.name not in ("shift", "neighbours", "gather"):
            return None
        inner = self._site(op.args[0])
        if inner is None or op.name == "shift":
            return None if inner is None else inner.shifted(op.attribute)
        matrix, constant = inner.matrix(self._shape[-1]), self._constants[op.attribute]
        nodes = constant.T @ matrix if op.name == "neighbours" else matrix[constant.astype(int)]
        return Site(inner.component, (*inner.offset[:-1], 0), nodes)

    # Derivatives

    def laplacian(self, value: int) -> int:
        """Δf = Σ_x Σ_a ∂²f/∂φ_a(x)² of a polynomial f in sums over the lattice of smooth densities."""
        b = self.b
        sums = [i for i in self._reachable(value) if b.op(i).name == "site_sum"]
        total = b.constant(0.0)
        for s, first in derivatives(b, value, sums).items():
            total = b.add(total, b.mul(first, self._laplacian_of_sum(s)))
            for other, second in derivatives(b, first, sums).items():
                total = b.add(total, b.mul(second, self.slopes_times(s, gradient_parts(b, other))))
        return total

    def slopes_times(self, value: int, parts: Mapping[int, int]) -> int:
        """∇f·g with the components of g."""
        b = self.b
        total = b.constant(0.0)
        for a, slope in gradient_parts(b, value).items():
            if a in parts:
                total = b.add(total, b.site_sum(b.broadcast(b.mul(slope, parts[a]))))
        return total

    def _laplacian_of_sum(self, value: int) -> int:
        """That of Σ_x d(u_1(x), u_2(x), …) is Σ_x Σ_jk ∂²d/∂u_j∂u_k times the overlap of u_j and u_k."""
        b = self.b
        density = b.op(value).args[0]
        sites = self.sites(density) or {}
        total = b.constant(0.0)
        for j, slope in derivatives(b, density, sites).items():
            for k, curvature in derivatives(b, slope, sites).items():
                overlap = sites[j].overlap(sites[k], self._shape)
                if overlap is None:
                    continue
                if overlap.ndim:
                    curvature = b.mul(b.site_constant(self._weight(overlap)), curvature)
                total = b.add(total, b.site_sum(b.broadcast(curvature)))
        return total

    def _weight(self, overlap: np.ndarray) -> str:
        for name, known in self.weights.items():
            if np.array_equal(known, overlap):
                return name
        name = f"OVERLAP_{len(self.weights)}"
        self.weights[name] = overlap
        return name

    def _reachable(self, value: int) -> Iterator[int]:
        pending, seen = [value], set[int]()
        while pending:
            index = pending.pop()
            if index not in seen:
                seen.add(index)
                yield index
                pending += self.b.op(index).args

    # Names

    def _named(self, factors: Factors) -> tuple[str, int]:
        """A product of sums, with a name that no other one has."""
        value, several = self._product(factors), len(factors) > 1
        texts = [f"Σ {self._text(self.b.op(factor).args[0])}" for factor in factors]
        name = _powers([f"({t})" if several else t for t in texts])
        while self._names.setdefault(name, value) != value:
            name += "′"
        return name, value

    def _text(self, value: int) -> str:
        op, site = self.b.op(value), self._site(value)
        if op.name == "gather":  # the ends of the bonds of a layer are called …_0_X and …_0_Y
            return f"{self._text(op.args[0])}({''.join(op.attribute.lower().split('_')[:-3:-1])})"
        if op.name == "neighbours":
            return f"neighbours({self._text(op.args[0])})"
        if site is not None:
            at = ", ".join(f"{o:+d}" if o else "0" for o in site.offset)
            return self._components[site.component] + (f"({at})" if any(site.offset) else "")
        if op.name == "mul":
            return _powers([t for a in op.args for t in self._text(a).split("·")])
        if op.name in _SIGNS:
            return f"({f' {_SIGNS[op.name]} '.join(map(self._text, op.args))})"
        if op.name == "where":
            return self._text(op.args[1])
        if op.name == "site_constant":
            return op.attribute.removeprefix(SITE_VALUES)
        if is_given(op):
            return f"{op.attribute:g}" if op.name == "constant" else op.attribute
        return f"{op.name}({', '.join(map(self._text, op.args))})"


_SIGNS = {"add": "+", "sub": "−", "div": "/"}


def _powers(factors: Iterable[str]) -> str:
    """A product, with powers of factors that occur several times."""
    counts: dict[str, int] = {}
    for factor in factors:
        base, _, exponent = factor.rpartition("^")
        name, power = (base, int(exponent)) if base and exponent.isdigit() else (factor, 1)
        counts[name] = counts.get(name, 0) + power
    return "·".join(f if n == 1 else f"{f}^{n}" for f, n in counts.items())


def _times(one: set[Factors], other: set[Factors]) -> set[Factors]:
    if len(one) * len(other) > _MOST**2:
        raise _TooMany
    return _bounded({tuple(sorted(a + b)) for a, b in product(one, other)})


def _bounded(terms: set[Factors]) -> set[Factors]:
    if len(terms) > _MOST:
        raise _TooMany
    return terms
