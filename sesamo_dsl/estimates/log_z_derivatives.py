"""Derivatives of log Z by the couplings, from configurations of exp(−S)/Z.

∂ log Z/∂θ = −⟨∂S/∂θ⟩, and ∂² log Z/∂θ∂η = ⟨∂S/∂θ ∂S/∂η⟩ − ⟨∂S/∂θ⟩⟨∂S/∂η⟩ − ⟨∂²S/∂θ∂η⟩, which gives
susceptibilities and specific heats.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np

from ..checks import shown, spelling
from ..errors import OptionError
from ..ir.coupling_derivatives import CouplingDerivatives, coupling_derivatives
from ..ir.program import Program
from ..values.couplings import Couplings
from .evaluated import evaluated

E = TypeVar("E")  # an estimate, with what its source adds to it


def log_z_derivative(
    program: Program,
    parameters: Couplings,
    x: np.ndarray,
    couplings: tuple[Any, ...],
    derived: Callable[..., E],
) -> E:
    """∂ log Z by one coupling, or the second derivative by two, which may be the same one.

    Parameters
    ----------
    x
        Configurations, (n, components, *lattice).
    couplings
        One or two couplings, by name or as symbols.
    derived
        f(⟨O_1⟩, …) with its error, from f and the values of O_1, … at the configurations.

    Raises
    ------
    OptionError
        For anything but one or two couplings by which S can be differentiated.
    """
    if len(couplings) not in (1, 2):
        raise OptionError(
            f"derivative of log Z of theory {program.theory}",
            expected="one coupling, or two for a second derivative",
            found=f"{len(couplings)} of them",
            remedy='write d_log_z("kappa"), or d_log_z("kappa", "kappa")',
        )
    known = _known(program)
    names = tuple(_checked(program, known, coupling) for coupling in couplings)
    walled = np.isposinf(evaluated(program, "action", parameters, x))  # these have no weight
    of_couplings = np.where(walled, 0.0, evaluated(known.program, "slopes", parameters, x))
    slopes = [of_couplings[:, known.names.index(name)] for name in names]
    if len(names) == 1:
        return derived(lambda mean: -mean, slopes[0])
    first, second = sorted(names, key=known.names.index)
    of_pairs = np.where(walled, 0.0, evaluated(known.program, "curvatures", parameters, x))
    curvature = of_pairs[:, known.pairs.index((first, second))]
    a, b = (slope - _finite_mean(slope) for slope in slopes)  # a covariance does not change
    return derived(lambda ab, a, b, c: ab - a * b - c, a * b, a, b, curvature)


def action_derivatives(
    program: Program, parameters: Couplings, x: np.ndarray
) -> tuple[CouplingDerivatives, np.ndarray, np.ndarray]:
    """All derivatives of S by its couplings at configurations, with zeros in walls.

    Returns
    -------
    tuple
        What the columns are, ∂S/∂θ, (n, couplings), and ∂²S/∂θ∂η, (n, pairs).
    """
    known = _known(program)
    if not known.names:
        return known, np.zeros((len(x), 0)), np.zeros((len(x), 0))
    first, second = (evaluated(known.program, name, parameters, x) for name in ("slopes", "curvatures"))
    if not program.has_walls:
        return known, first, second
    walled = np.isposinf(evaluated(program, "action", parameters, x))
    return known, np.where(walled, 0.0, first), np.where(walled, 0.0, second)


@lru_cache(maxsize=32)
def _known(program: Program) -> CouplingDerivatives:
    return coupling_derivatives(program)


def _checked(program: Program, known: CouplingDerivatives, coupling: Any) -> str:
    """The name of a coupling by which S can be differentiated."""
    name = spelling(str(getattr(coupling, "name", coupling)))
    if name in known.obstacles:
        raise OptionError(
            f"derivative of log Z of theory {program.theory} by {name}",
            expected=f"one of {', '.join(known.names) or 'no coupling: S has none that is a number'}",
            found=f"{name}: {known.obstacles[name]}",
            remedy="take differences of log Z at neighbouring values",
        )
    if name not in known.names:
        raise OptionError(
            f"derivative of log Z of theory {program.theory}",
            expected=f"one of {', '.join(known.names) or 'no coupling: S has none'}",
            found=shown(coupling),
            remedy="check the spelling",
        )
    return name


def _finite_mean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else 0.0
