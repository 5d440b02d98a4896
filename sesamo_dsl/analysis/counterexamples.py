"""The search for a configuration that refutes a symmetry; it runs even if the symmetry has been proved.

Random configurations of several sizes miss a jump of the action that is far away or in a thin region.
Therefore configurations on both sides of the boundaries of branches, signs, steps, kinks and poles are added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any, cast

import mpmath
import numpy as np
import sympy as sp
from sympy.core.relational import Relational

from ..errors import InternalError
from ..language.theory import Theory
from ..symbols.bonds import WEIGHT
from ..symbols.fermions import FermionLogDet
from ..symbols.fields import FieldComponent
from ..symbols.lattice import Bonds, Functional, SiteSum
from ..symbols.site_constants import SiteConstant
from ..values.couplings import Coupling, Couplings, Point, at_couplings
from .evaluate import as_function, evaluate

_DIGITS = 40
_VISIBLE = 1e-9  # relative change of the action that refutes a symmetry
_PRECISE = 1024  # largest number of entries of a configuration that is also evaluated with 40 digits
_BOUNDARIES = 8
_LINES = 3  # random lines through configuration space on which each boundary is searched
_CROSSINGS = 2  # largest number of crossings of a line with a boundary that are used
_STEP = 1e-6  # distance of a configuration from the boundary it is placed at


@dataclass(frozen=True, eq=False)
class Counterexample:
    """A configuration at which S(T_g x) ≠ S(x).

    Attributes
    ----------
    configuration
        Array (components, *lattice).
    parameters
        Couplings of S: generic values, because a breaking term may vanish at the defaults.
    difference
        S(T_g x) − S(x) in float64; infinite where one of the two configurations is inside a hard wall.
    block
        Coordinates of the block at which alone g acts; None if it acts at all sites.
    """

    configuration: np.ndarray
    parameters: dict[str, Coupling]
    difference: float
    block: tuple[int, ...] | None = None


Move = Callable[[np.ndarray, int | None], np.ndarray]
"""x ↦ T x for arrays (components, *lattice): floats, or mpmath numbers with this many digits."""


def search_counterexample(
    theory: Theory, parameters: Couplings, moves: Sequence[Move]
) -> tuple[Counterexample, Move] | None:
    """(counterexample, move) for the first trial configuration whose action a move changes; else None."""
    trials = _trials(theory.action, theory.components, Point(parameters))
    for configuration, before in trials.values():
        for move in moves:
            after = trials.value(move(configuration, None))
            if _changed(before, after) and trials.confirmed(configuration, after - before, move):
                return Counterexample(configuration, dict(parameters), float(after - before)), move
    return None


def refuse_contradiction(theory: Theory, what: str, found: Counterexample | None) -> None:
    """Raise InternalError if there is a counterexample to a proved invariance."""
    if found is not None:
        raise InternalError(
            f"invariance of theory {theory.name} under {what}",
            expected="a proof and a search for counterexamples that agree",
            found=f"a proof, and a change of the action by {found.difference:.6g} at "
            f"{found.configuration.tolist()}{at_couplings(found.parameters)}",
            remedy="this is a bug of sesamo-dsl: please report it with this message and the theory",
        )


def _changed(before: Any, after: Any) -> bool:
    """Whether two values of S differ by more than rounding; ±∞ is S inside a hard wall, NaN never differs."""
    if mpmath.isnan(before) or mpmath.isnan(after):
        return False
    if mpmath.isinf(before) or mpmath.isinf(after):
        return bool(before != after)
    return bool(abs(after - before) > _VISIBLE * (1 + abs(before)))


class _Trials:
    """Trial configurations of one theory, with the values of its action."""

    def __init__(
        self, action: sp.Expr, components: tuple[FieldComponent, ...], parameters: Couplings
    ) -> None:
        self._action, self._components = action, components
        self._parameters = parameters
        self._shape = (len(components), *components[0].lattice.shape)
        self._known: list[tuple[np.ndarray, float]] = []
        self._rest = self._configurations()

    def values(self) -> Iterator[tuple[np.ndarray, float]]:
        """Every trial configuration with the value of the action."""
        i = 0
        while True:
            if i == len(self._known):
                configuration = next(self._rest, None)
                if configuration is None:
                    return
                self._known.append((configuration, self.value(configuration)))
            yield self._known[i]
            i += 1

    def value(self, configuration: np.ndarray, digits: int | None = None) -> Any:
        """S at a configuration, NaN where it has no value."""
        try:
            with np.errstate(all="ignore"):
                return evaluate(
                    self._action, configuration, self._components, self._parameters, digits=digits
                )
        except (ArithmeticError, ValueError, TypeError):
            return np.nan

    def confirmed(self, configuration: np.ndarray, change: float, move: Move) -> bool:
        """Whether S changes by the same amount with 40 digits, and changes at nearby configurations as well.

        The first test excludes rounding errors. The second excludes configurations on a boundary, where
        rounding decides on which side the image lies.
        """
        if configuration.size <= _PRECISE:
            with mpmath.workdps(_DIGITS):
                before = self.value(configuration, _DIGITS)
                after = self.value(move(configuration, _DIGITS), _DIGITS)
                if not _changed(before, after):
                    return False
                if np.isfinite(change) and not abs(after - before - change) < 1e-6 * abs(change):
                    return False
        if not self._boundaries:
            return True
        noise = np.random.default_rng(0).normal(size=(2, *configuration.shape))
        return all(
            _changed(self.value(near), self.value(move(near, None)))
            for near in configuration + 1e-9 * (1 + abs(configuration)) * noise
        )

    def _configurations(self) -> Iterator[np.ndarray]:
        rng = np.random.default_rng(0)
        shape = self._shape
        yield np.ones(shape)
        for component in range(shape[0]):
            single = np.zeros(shape)
            single[(component, *(0,) * (len(shape) - 1))] = 1.0
            yield single
        for _ in range(4):
            yield rng.integers(-2, 3, size=shape).astype(float)
        for _ in range(4):
            yield rng.normal(size=shape)
        if not self._action.has(FermionLogDet):  # a determinant's rounding errors grow with the field
            for scale in (0.05, 5.0, 30.0):
                yield rng.normal(scale=scale, size=shape)
        for boundary, node in self._boundaries:
            yield from self._at_boundary(boundary, node, rng)

    @cached_property
    def _boundaries(self) -> list[tuple[sp.Expr, SiteSum | None]]:
        """(f, sum): S may jump where f = 0, because the summand of this sum does; no sum for an f outside."""
        nodes = sorted(self._action.atoms(SiteSum), key=sp.default_sort_key)
        outer = self._action.xreplace({node: node.func(node.args[0], sp.S.Zero) for node in nodes})
        found: dict[sp.Expr, SiteSum | None] = {}
        if outer.has(*_SWITCHES) or any(p.exp.is_negative for p in outer.atoms(sp.Pow)):
            found |= dict.fromkeys(boundaries(self._action), None)
        for node in nodes:
            found |= {b: node for b in boundaries(node.density) if not b.has(Functional)}
        return list(found.items())[:_BOUNDARIES]

    def _at_boundary(
        self, boundary: sp.Expr, node: SiteSum | None, rng: np.random.Generator
    ) -> Iterator[np.ndarray]:
        """Pairs of configurations on both sides of a boundary, on random lines."""
        steps = np.geomspace(1e-2, 1e3, 60)
        grid = np.concatenate([-steps[::-1], steps])
        for _ in range(_LINES):
            line = self._line(boundary, node, rng)
            if line is None:
                return
            configuration, value = line
            values = value(grid)
            crossings = np.flatnonzero(np.isfinite(values[:-1] * values[1:]) & (values[:-1] * values[1:] < 0))
            order = np.argsort(np.abs(grid[crossings]))[:_CROSSINGS]
            for k in crossings[order]:
                low, high = float(grid[k]), float(grid[k + 1])
                for _ in range(60):
                    middle = (low + high) / 2
                    low, high = (middle, high) if values[k] * value([middle])[0] > 0 else (low, middle)
                for side in (-1, 1):
                    yield configuration(low + side * _STEP * (1 + abs(low)))

    def _line(
        self, boundary: sp.Expr, node: SiteSum | None, rng: np.random.Generator
    ) -> tuple[Callable[[float], np.ndarray], Callable[[Any], np.ndarray]] | None:
        """(x(t), f(x(t))) on a random line, f the function of the boundary; None if f has no such form.

        For the f of a summand only its fields at the first site or bond depend on t, otherwise all fields do.
        """
        start = rng.normal(size=self._shape)
        direction = rng.normal(size=self._shape)
        if node is None:

            def whole(t: float) -> np.ndarray:
                return start + t * direction

            def of_sums(t: Any) -> np.ndarray:
                return np.array([self._boundary_value(boundary, whole(one)) for one in t])

            return whole, of_sums
        fields = sorted(boundary.atoms(FieldComponent), key=str)
        if not fields or any(f.hops for f in fields):
            return None
        index = {(c.field, c.component): a for a, c in enumerate(self._components)}
        places = [_place(f, index[f.field, f.component], node) for f in fields]
        symbols = [s for s in sorted(boundary.free_symbols, key=str) if s not in fields]
        function = as_function((*fields, *symbols), boundary, precise=False)
        couplings = [self._at_first_site(s, node) for s in symbols]

        def configuration(t: float) -> np.ndarray:
            x = start.copy()
            for place in places:
                x[place] += t * direction[place]
            return x

        def at_first_site(t: Any) -> np.ndarray:
            t = np.asarray(t, dtype=float)
            with np.errstate(all="ignore"):
                found = function(*(start[p] + t * direction[p] for p in places), *couplings)
            return np.broadcast_to(found, t.shape)

        return configuration, at_first_site

    def _at_first_site(self, symbol: sp.Symbol, node: SiteSum) -> float:
        if symbol == WEIGHT:
            return float(cast(Bonds, node.bonds).bonds[0][3])
        if not isinstance(symbol, SiteConstant):
            return cast(float, self._parameters[symbol.name])
        values = self._parameters[symbol.coupling] if symbol.values is None else symbol.values
        return float(symbol.of(np.asarray(values)).flat[0])

    def _boundary_value(self, boundary: sp.Expr, configuration: np.ndarray) -> float:
        try:
            with np.errstate(all="ignore"):
                return evaluate(boundary, configuration, self._components, self._parameters)
        except (ArithmeticError, ValueError, TypeError):
            return np.nan


@lru_cache(maxsize=8)
def _trials(action: sp.Expr, components: tuple[FieldComponent, ...], point: Point) -> _Trials:
    """The trial configurations of an action, cached: all elements of a group are tried on the same."""
    return _Trials(action, components, point.values)


_SWITCHES = (
    sp.Piecewise,
    sp.sign,
    sp.Heaviside,
    sp.Abs,
    sp.floor,
    sp.ceiling,
    sp.frac,
    sp.Mod,
    sp.Max,
    sp.Min,
    sp.atan2,
    sp.acot,
    sp.arg,
)


def _place(field: FieldComponent, component: int, node: SiteSum) -> tuple[int, ...]:
    """Index (component, *site) of a field in the summand of the first site, or of the first bond."""
    if not field.end:
        return (component, *field.offset)
    first = cast(Bonds, node.bonds).bonds[0]
    return (component, *field.offset[:-1], first[0] if field.end == 1 else first[1])


def boundaries(expr: sp.Expr) -> list[sp.Expr]:
    """Functions of the fields that vanish where the expression may jump, have a kink or a pole."""
    found: list[Any] = []
    for node in sp.preorder_traversal(expr):
        args = cast(tuple[Any, ...], node.args)
        if isinstance(node, Relational):
            found.append(cast(Any, node.lhs) - cast(Any, node.rhs))
        elif isinstance(node, sp.sign | sp.Heaviside | sp.Abs | sp.acot | sp.atan2):
            found.append(args[0])
        elif isinstance(node, sp.floor | sp.ceiling | sp.frac):
            found.append(sp.sin(sp.pi * args[0]))
        elif isinstance(node, sp.Mod):
            found.append(sp.sin(sp.pi * args[0] / args[1]))
        elif isinstance(node, sp.Max | sp.Min):
            found += [a - b for a, b in pairwise(args)]
        elif isinstance(node, sp.tan | sp.sec):
            found.append(sp.cos(args[0]))
        elif isinstance(node, sp.cot | sp.csc):
            found.append(sp.sin(args[0]))
        elif isinstance(node, sp.Pow) and node.exp.is_negative and not node.base.is_positive:
            found.append(node.base)
    unique = dict.fromkeys(b for b in found if isinstance(b, sp.Expr) and b.has(FieldComponent, Functional))
    return list(unique)
