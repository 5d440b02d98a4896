"""Common to all searches: normal form, polynomial if the action is one, numerical values, verdicts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, cast

import numpy as np
import sympy as sp

from ...algebra.normal_form import NormalForm
from ...algebra.size import LARGEST_EXPANSION, expanded_terms
from ...groups.angles import angle_numbers
from ...groups.element import Element
from ...groups.site_map import SiteMap
from ...language.theory import Theory
from ...symbols.exact import NumberTable
from ...symbols.fields import FieldComponent, Parameter
from ...symbols.lattice import SiteSum
from ...symbols.site_constants import SiteConstant
from ...values.couplings import Coupling, Couplings
from ..evaluate import numerical, sufficient_shape
from ..invariance import Verdict, act, check_invariance, generic_parameters
from ..lie import judge_generator
from .polynomial import read_polynomial

ENUMERATED = 384  # largest order of groups and length of candidate lists that are enumerated: all of B_4
TREE = 20_000  # largest number of nodes of a backtracking search and of terms of an expansion
TOLERANCE = 1e-9  # relative change of the action that refutes a candidate in float64

Array = np.ndarray[Any, Any]
Matrix = sp.Matrix | sp.ImmutableMatrix


class Search:
    """The theory that is searched; ``limits`` collects sentences on symmetries that may have been missed.

    Parameters
    ----------
    seconds
        Time after which no further search is begun; None for no limit.
    """

    def __init__(self, theory: Theory, seconds: float | None = None) -> None:
        self.theory = theory
        self.components, self.lattice = theory.components, theory.lattice
        self.size = len(theory.components)
        self.angles = angle_numbers(theory.components)
        self.limits: list[str] = []
        self._seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds
        self.numbers = NumberTable()
        self.normal_form = NormalForm(self.numbers)
        terms = expanded_terms(theory.action)
        self.multiplied_out = terms <= LARGEST_EXPANSION
        if self.multiplied_out:
            self.action = self.normal_form(theory.action)
            self.polynomial = read_polynomial(self.action, self.components, self.numbers)
        else:
            self.action, self.polynomial = theory.action, None
            self.limits.append(
                f"the action has up to {terms} terms and was not multiplied out: discrete maps were looked "
                "for in the form it is written in"
            )
        self.compiled = CompiledAction(theory)

    def expired(self, what: str) -> bool:
        """Whether the time is over; if so ``limits`` gets a sentence that ``what`` was not searched."""
        if self._end is None or time.monotonic() < self._end:
            return False
        limit = f"stopped after {self._seconds:g} s: {what} were not searched"
        if limit not in self.limits:
            self.limits.append(limit)
        return True

    def element(self, matrix: Matrix, sites: SiteMap | None = None) -> Element:
        """A group element with canonically spelled entries."""
        rational = all(entry.is_Rational for entry in matrix.flat())
        exact = sp.ImmutableMatrix(matrix) if rational else self.numbers.matrix(matrix)
        return Element(exact, sites or SiteMap.identity(self.lattice), angles=self.angles)

    def check_invariance(self, element: Element) -> Verdict:
        """The verdict on one element, the same as if it had been declared."""
        return check_invariance(self.theory, element, self.normal_form)

    def judge_generator(self, matrix: sp.ImmutableMatrix) -> Verdict:
        """The verdict on one generator of a Lie group, the same as if it had been declared."""
        return judge_generator(self.theory, matrix, self.normal_form)

    def unchanged(self, matrix: Array, sites: SiteMap | None = None, shift: Array | None = None) -> bool:
        """Whether the action takes the same value at random configurations and their images, in float64."""
        for configuration, before in self._probes if sites is None else self._whole_probes:
            image = np.tensordot(matrix, configuration, axes=1)
            if shift is not None:
                image = image + shift.reshape(-1, *(1,) * self.lattice.dimension)
            if sites is not None:
                image = act(Element(sp.ImmutableMatrix(sp.eye(self.size)), sites), image)
            after = self.compiled.value(image)
            if np.isfinite(before) and not abs(after - before) < TOLERANCE * (1 + abs(before)):
                return False
        return True

    @cached_property
    def _probes(self) -> list[tuple[Array, float]]:
        """Random configurations, on the smallest sufficient lattice, and their actions."""
        return self._drawn((self.size, *sufficient_shape(self.theory.action, self.lattice)))

    @cached_property
    def _whole_probes(self) -> list[tuple[Array, float]]:
        """Random configurations on the whole lattice, and their actions."""
        return self._drawn(self.theory.configuration_shape)

    def _drawn(self, shape: tuple[int, ...]) -> list[tuple[Array, float]]:
        rng = np.random.default_rng(3)
        configurations = [rng.normal(scale=scale, size=shape) for scale in (0.5, 1.0, 2.0, 5.0)]
        return [(x, self.compiled.value(x)) for x in configurations]


def indispensable(verdicts: Sequence[Verdict], order: Callable[[Sequence[Verdict]], int]) -> list[Verdict]:
    """Leave out, one after the other, the verdicts on elements that the others generate."""
    kept = list(verdicts)
    whole = order(kept)
    for verdict in verdicts:
        fewer = [v for v in kept if v is not verdict]
        if order(fewer) == whole:
            kept = fewer
    return kept


class CompiledAction:
    """An action and its linear variations as functions of a configuration, each compiled once with NumPy."""

    def __init__(self, theory: Theory) -> None:
        action = theory.action
        self._index = {(c.field, c.component): a for a, c in enumerate(theory.components)}
        self._theory = theory
        self._parameters = [p for p in theory.parameters if isinstance(p, Parameter)]
        self._generic = generic_parameters(theory)
        self._random = np.random.default_rng(1)
        self._sums = sorted(action.atoms(SiteSum), key=sp.default_sort_key)
        self._fields = [sorted(node.density.atoms(FieldComponent), key=str) for node in self._sums]
        self._constants = [sorted(node.density.atoms(SiteConstant), key=str) for node in self._sums]
        self._totals = [sp.Dummy(real=True) for _ in self._sums]
        self._outer = action.xreplace(dict(zip(self._sums, self._totals, strict=True)))

    def value(self, configuration: Array) -> float:
        """S at generic couplings, all different and not 0."""
        outer, densities = self._values
        shape = configuration.shape[1:]
        couplings = [self._generic[p.name] for p in self._parameters]
        totals = []
        with np.errstate(all="ignore"):
            for fields, constants, density in zip(self._fields, self._constants, densities, strict=True):
                arrays = [self._shifted(configuration[self._component(f)], f) for f in fields]
                given = _arrays_of(constants, self._generic)
                totals.append(np.sum(np.broadcast_to(density(*arrays, *given, *couplings), shape)))
            return float(outer(*totals, *couplings))

    def variations(self, configuration: Array) -> Array:
        """Σ_x φ_b(x) ∂S/∂φ_a(x), shape (components, components) for a and b.

        Every call draws other couplings: a matrix that depends on them is no symmetry of the family.
        """
        return self._changes(configuration, configuration, random_couplings(self._theory, self._random))

    def gradient(self, configuration: Array) -> Array:
        """Σ_x ∂S/∂φ_a(x), shape (components,), at generic couplings."""
        return self._changes(configuration, None, self._generic)[:, 0]

    def _changes(self, configuration: Array, directions: Array | None, chosen: Couplings) -> Array:
        """Σ_x v_k(x) ∂S/∂φ_a(x) for directions v of shape (k, *lattice): (components, k).

        Without directions v = 1, and k = 1.
        """
        slopes, functions = self._slopes
        shape = configuration.shape[1:]
        axes = tuple(range(1, configuration.ndim))
        couplings = [chosen[p.name] for p in self._parameters]
        totals, changes = [], []
        with np.errstate(all="ignore"):
            for fields, constants, function in zip(self._fields, self._constants, functions, strict=True):
                own = [self._component(f) for f in fields]
                arrays = [self._shifted(configuration[a], f) for a, f in zip(own, fields, strict=True)]
                given = _arrays_of(constants, chosen)
                values = function(*arrays, *given, *couplings)
                density, *derivatives = (np.broadcast_to(value, shape) for value in values)
                change = np.zeros((len(configuration), 1 if directions is None else len(directions)))
                for a, field, derivative in zip(own, fields, derivatives, strict=True):
                    moved = (
                        derivative if directions is None else self._shifted(directions, field) * derivative
                    )
                    change[a] += np.sum(moved, axis=None if directions is None else axes)
                totals.append(np.sum(density))
                changes.append(change)
            return np.tensordot(np.array(slopes(*totals, *couplings)), np.array(changes), axes=1)

    @cached_property
    def _values(self) -> tuple[Callable[..., Any], list[Callable[..., Any]]]:
        """S as a function of the sums, and the densities of the sums."""
        densities = [node.density for node in self._sums]
        return self._compile(self._outer, densities)

    @cached_property
    def _slopes(self) -> tuple[Callable[..., Any], list[Callable[..., Any]]]:
        """∂S/∂(each sum), and each density with its derivatives by the fields in it."""
        slopes = [_slope(self._outer, total) for total in self._totals]
        densities = [
            [node.density, *(_slope(node.density, f) for f in fields)]
            for node, fields in zip(self._sums, self._fields, strict=True)
        ]
        return self._compile(slopes, densities)

    def _compile(self, outer: Any, densities: Sequence[Any]) -> tuple[Callable[..., Any], list[Any]]:
        inner = [
            numerical([*fields, *constants, *self._parameters], density, "scipy")
            for fields, constants, density in zip(self._fields, self._constants, densities, strict=True)
        ]
        return numerical([*self._totals, *self._parameters], outer, "scipy"), inner

    def _component(self, field: FieldComponent) -> int:
        return self._index[field.field, field.component]

    @staticmethod
    def _shifted(values: Array, field: FieldComponent) -> Array:
        """The values (…, *lattice) at x + offset, for every x."""
        if not any(field.offset):
            return values
        return np.roll(values, tuple(-o for o in field.offset), tuple(range(-len(field.offset), 0)))


def _slope(expr: sp.Basic, symbol: sp.Basic) -> sp.Basic:
    """The derivative without δ-functions: random configurations do not lie on a jump."""
    return sp.diff(expr, symbol).replace(sp.DiracDelta, lambda *_: sp.S.Zero)


def random_couplings(theory: Theory, rng: np.random.Generator) -> dict[str, Coupling]:
    """Couplings uniform between 1/4 and 3/4, drawn at every site if they depend on it."""
    return {
        p.name: rng.uniform(0.25, 0.75, size=theory.lattice.shape)
        if isinstance(p, SiteConstant)
        else float(rng.uniform(0.25, 0.75))
        for p in theory.parameters
    }


def _arrays_of(constants: Sequence[SiteConstant], couplings: Couplings) -> list[Array]:
    """The values of site constants at every x."""
    return [
        cast(Array, h.array) if h.values is not None else h.of(np.asarray(couplings[h.coupling]))
        for h in constants
    ]
