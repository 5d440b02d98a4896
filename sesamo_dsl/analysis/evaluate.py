"""Numerical values of symbolic actions, computed from SymPy alone: a check independent of the compiler."""

from __future__ import annotations

import builtins
import dis
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, cast

import mpmath
import numpy as np
import sympy as sp

from ..errors import LoweringError
from ..symbols.bonds import WEIGHT
from ..symbols.exact import numeric
from ..symbols.fermions import FermionLogDet
from ..symbols.fields import FieldComponent, Parameter
from ..symbols.lattice import Bonds, Lattice, SiteSum
from ..symbols.site_constants import SiteConstant
from ..values.couplings import Couplings, arrays_only


def evaluate(
    expr: sp.Expr,
    configuration: np.ndarray,
    components: tuple[FieldComponent, ...],
    parameters: Couplings,
    *,
    digits: int | None = None,
) -> Any:
    """Value of a real expression at one configuration of shape (components, *lattice).

    Parameters
    ----------
    digits
        Evaluate with this many digits through mpmath instead of float64 NumPy. The lattice shape is taken
        from ``configuration``, which may be smaller than the theory's lattice if all offsets fit.
    """
    shape = configuration.shape[1:]
    values = {p: float(parameters[p.name]) for p in expr.atoms(Parameter) if p.name in parameters}
    read = _Reader(configuration, components, values, arrays_only(parameters), digits)
    outer: dict[sp.Basic, Any] = {}
    for node in sorted(expr.atoms(SiteSum, FermionLogDet), key=sp.default_sort_key):
        with mpmath.workdps(digits or mpmath.mp.dps):
            if isinstance(node, SiteSum):
                density = read.bonds(node) if node.bonds else np.broadcast_to(read(node.density), shape)
                outer[node] = mpmath.fsum(density.flat) if digits else float(np.sum(density))
            else:
                field, beta = np.broadcast_to(read(node.field), shape), read(node.beta)
                outer[node] = (
                    node.precise_value(field, beta, digits) if digits else node.value(field, float(beta))
                )
    dummies = {node: _dummy(number) for number, node in enumerate(outer)}
    rest = expr.xreplace(cast(Any, dummies))
    function = as_function((*dummies.values(), *values), rest, precise=digits is not None)
    if digits:
        with mpmath.workdps(digits):
            found = function(*outer.values(), *(mpmath.mpf(v) for v in values.values()))
            return _without_rounding(found, digits)
    return float(function(*outer.values(), *values.values()))


def _without_rounding(value: Any, digits: int) -> Any:
    """The real part of a complex value whose imaginary part is a rounding error; any other value as it is."""
    if isinstance(value, mpmath.mpc) and abs(value.imag) <= mpmath.mpf(10) ** (-digits // 2) * abs(value):
        return value.real
    return value


class _Reader:
    """Values of densities on the sites of one configuration, an array of floats or of mpmath numbers."""

    def __init__(
        self,
        configuration: np.ndarray,
        components: tuple[FieldComponent, ...],
        values: Mapping[Parameter, float],
        arrays: Mapping[str, np.ndarray],
        digits: int | None,
    ) -> None:
        self._configuration = _precise(configuration) if digits else configuration
        self._index = {(c.field, c.component): a for a, c in enumerate(components)}
        self._values = {symbol: mpmath.mpf(v) if digits else v for symbol, v in values.items()}
        self._arrays, self._digits = arrays, digits
        self._bonds: Bonds | None = None  # the bonds that a density is evaluated at

    def __call__(self, density: sp.Expr) -> Any:
        fields = sorted(density.atoms(FieldComponent), key=str)
        constants = sorted(density.atoms(SiteConstant), key=str)
        weights = [WEIGHT] if density.has(WEIGHT) else []
        function = as_function(
            (*fields, *constants, *weights, *self._values), density, precise=self._digits is not None
        )
        arguments = [
            *map(self._field, fields),
            *map(self._constant, constants),
            *(self._weights() for _ in weights),
            *self._values.values(),
        ]
        if self._digits:
            return np.frompyfunc(function, len(arguments), 1)(*arguments) if arguments else function()
        return function(*arguments)

    def bonds(self, node: SiteSum) -> Any:
        """factor · density at all bonds, (*times, bonds)."""
        self._bonds = bonds = node.bonds
        assert bonds is not None
        factors = np.array([numeric(factor, self._digits or 20) for _, _, factor, _ in bonds.bonds])
        shape = (*self._configuration.shape[1:-1], len(factors))
        density = np.broadcast_to(self(node.density), shape)
        self._bonds = None
        return density * (factors if self._digits else factors.astype(float))

    def _weights(self) -> np.ndarray:
        assert self._bonds is not None
        weights = np.array([numeric(weight, self._digits or 20) for *_, weight in self._bonds.bonds])
        return weights if self._digits else weights.astype(float)

    def _constant(self, h: SiteConstant) -> np.ndarray:
        if h.values is None:
            values = h.of(self._arrays[h.coupling])
            return _precise(values) if self._digits else values
        values = cast(np.ndarray, h.array)
        return _decimal(values) if self._digits else values

    def _field(self, field: FieldComponent) -> np.ndarray:
        values = self._configuration[self._index[field.field, field.component]]
        signed = [o if 2 * o <= e else o - e for o, e in zip(field.offset, field.lattice.shape, strict=True)]
        values = np.roll(values, tuple(-s for s in signed), tuple(range(values.ndim)))
        if field.end and self._bonds is not None:
            return values[..., [bond[field.end - 1] for bond in self._bonds.bonds]]
        if field.hops is None:
            return values
        digits = self._digits
        return field.hops.apply(values, (lambda w: numeric(w, digits)) if digits else float)


@lru_cache(maxsize=512)
def as_function(arguments: tuple[sp.Basic, ...], expr: sp.Expr, *, precise: bool) -> Callable[..., Any]:
    """An expression as a function of mpmath numbers (``precise``) or, with NumPy and SciPy, of arrays.

    It is cached, since the same expression is evaluated at many configurations.
    """
    return numerical(arguments, expr, "mpmath" if precise else "scipy")


def numerical(arguments: Sequence[Any], expr: Any, library: Literal["mpmath", "scipy"]) -> Callable[..., Any]:
    """An expression, or a list of them, as a function; LoweringError for functions the library lacks."""
    function = sp.lambdify(arguments, expr, library, cse=True)
    called = {i.argval for i in dis.get_instructions(function) if i.opname == "LOAD_GLOBAL"}
    unknown = sorted(called - set(function.__globals__) - set(vars(builtins)))
    if unknown:
        raise LoweringError(
            f"numerical value of {str(expr)[:80]}",
            expected=f"functions that {library} computes",
            found=", ".join(unknown),
            remedy="rewrite the expression with other functions",
        )
    return function


@lru_cache
def _dummy(number: int) -> sp.Dummy:
    """The symbol that stands for the sum with this number, the same at every call."""
    return sp.Dummy(f"sum_{number}")


_precise = np.vectorize(mpmath.mpf, otypes=[object])
_decimal = np.vectorize(lambda value: mpmath.mpf(repr(float(value))), otypes=[object])


def sufficient_shape(expr: sp.Expr, lattice: Lattice) -> tuple[int, ...]:
    """Shape of a smaller lattice on which an identity between sums holds if and only if it holds on this one.

    The graph axis keeps its extent; the whole shape is kept if there are determinants or site constants.
    """
    shape = lattice.shape
    if expr.has(FermionLogDet, SiteConstant):
        return shape
    reach = [0] * len(shape)
    for field in expr.atoms(FieldComponent):
        for mu, (o, e) in enumerate(zip(field.offset, shape, strict=True)):
            reach[mu] = max(reach[mu], min(o, e - o))
    return tuple(
        e if mu == lattice.graph_axis else min(e, 4 * r + 1)
        for mu, (e, r) in enumerate(zip(shape, reach, strict=True))
    )
