"""Numerical values of symbolic actions, straight from SymPy: evidence that owes nothing to the compiler."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, cast

import mpmath
import numpy as np
import sympy as sp

from ..fields import FieldComponent
from ..lattice import SiteSum


def evaluate(
    expr: sp.Expr,
    configuration: np.ndarray,
    components: tuple[FieldComponent, ...],
    parameters: Mapping[str, float],
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
    symbols = cast(set[sp.Symbol], expr.free_symbols)
    values = {symbol: parameters[symbol.name] for symbol in symbols if symbol.name in parameters}
    outer: dict[sp.Basic, Any] = {}
    index = {(c.field, c.component): a for a, c in enumerate(components)}
    for node in sorted(expr.atoms(SiteSum), key=sp.default_sort_key):
        fields = sorted(node.density.atoms(FieldComponent), key=str)
        function = sp.lambdify([*fields, *values], node.density, "mpmath" if digits else "numpy", cse=True)
        signed = [
            tuple(o if 2 * o <= e else o - e for o, e in zip(f.offset, f.lattice.shape, strict=True))
            for f in fields
        ]
        if digits:
            with mpmath.workdps(digits):
                outer[node] = mpmath.fsum(
                    function(
                        *(
                            mpmath.mpf(configuration[(index[f.field, f.component], *_moved(site, o, shape))])
                            for f, o in zip(fields, signed, strict=True)
                        ),
                        *(mpmath.mpf(v) for v in values.values()),
                    )
                    for site in itertools.product(*map(range, shape))
                )
        else:
            arrays = [
                np.roll(
                    configuration[index[f.field, f.component]], tuple(-s for s in o), tuple(range(len(shape)))
                )
                for f, o in zip(fields, signed, strict=True)
            ]
            density = function(*arrays, *values.values())
            outer[node] = float(np.sum(np.broadcast_to(density, shape)))
    dummies = {node: sp.Dummy() for node in outer}
    rest = expr.xreplace(cast(Any, dummies))
    function = sp.lambdify([*dummies.values(), *values], rest, "mpmath" if digits else "numpy")
    if digits:
        with mpmath.workdps(digits):
            return function(*outer.values(), *(mpmath.mpf(v) for v in values.values()))
    return float(function(*outer.values(), *values.values()))


def _moved(site: tuple[int, ...], offset: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple((s + o) % e for s, o, e in zip(site, offset, shape, strict=True))


def sufficient_shape(expr: sp.Expr, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A smaller lattice on which an identity between sums holds exactly when it holds on ``shape``."""
    reach = [0] * len(shape)
    for field in expr.atoms(FieldComponent):
        for mu, (o, e) in enumerate(zip(field.offset, shape, strict=True)):
            reach[mu] = max(reach[mu], min(o, e - o))
    return tuple(min(e, 4 * r + 1) for e, r in zip(shape, reach, strict=True))
