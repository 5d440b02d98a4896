"""Values of Schwinger–Dyson identities at configurations; their mean under exp(−S)/Z is known to be zero.

By partial integration ⟨Δf − ∇f·∇S⟩ = 0 for every function f such that e^−S ∇f vanishes at infinity.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..ir.continuity import discontinuity
from ..ir.interpreter import run
from ..ir.program import Program
from ..ir.schwinger_dyson import Operators, operators
from ..values.couplings import Couplings
from .evaluated import evaluated

_RAYS = 16
_NEAR, _FAR = 1e2, 1e4  # distances, in units of the largest field, between which integrands have to fall
_MARGIN = 0.1  # an integrand has to fall by at least this power of the distance


@dataclass(frozen=True, eq=False)
class Identities:
    """Δf − ∇f·∇S for monomials f of a theory.

    Attributes
    ----------
    names
        Names of the monomials, those of the action first.
    values
        Δf − ∇f·∇S, (n, identities); mean zero under exp(−S)/Z.
    obstacle
        The reason why there is no identity; empty if there are some.
    """

    names: tuple[str, ...]
    values: np.ndarray
    obstacle: str = ""

    @classmethod
    def at(cls, program: Program, parameters: Couplings, x: np.ndarray) -> Identities:
        """The identities at configurations, (n, components, *lattice).

        There are none if S is not proved to be continuous: if it may jump, or has walls or poles. An identity
        is omitted if e^−S ∇f is not seen to vanish far out, or if a value is not finite.
        """
        none = np.zeros((len(x), 0))
        why = discontinuity(program.functions["action"], parameters, program.constants)
        if why is not None:
            return cls((), none, f"S is not proved to be continuous: {why}")
        known = known_operators(program)
        if not known.names:
            return cls((), none, "the action and the observables have no monomials")
        laplacian, flow = _parts(known, parameters, x)
        values = laplacian - flow
        chosen = np.isfinite(values).all(axis=0) & _vanishing(program, known, parameters, x)
        if not chosen.any():
            return cls((), none, "for no monomial f is exp(−S)∇f seen to vanish far out")
        return cls(tuple(n for n, kept in zip(known.names, chosen, strict=True) if kept), values[:, chosen])


@lru_cache(maxsize=32)
def known_operators(program: Program) -> Operators:
    """The operators of a program, derived once."""
    return operators(program)


def first_residual(program: Program, parameters: Couplings, x: np.ndarray) -> np.ndarray:
    """∇f·∇S − Δf of the first monomial f of the action, (n,); NaN if the action has no monomials."""
    known = known_operators(program)
    if not known.names:
        return np.full(len(x), np.nan)
    laplacian, flow = _parts(known, parameters, x)
    return flow[:, 0] - laplacian[:, 0]


def operator_values(program: Program, parameters: Couplings, x: np.ndarray) -> np.ndarray:
    """The monomials f of a theory, (n, operators)."""
    known = known_operators(program)
    return evaluated(known.program, "operators", parameters, x)


def _parts(known: Operators, parameters: Couplings, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Δf and ∇f·∇S, (n, identities) each."""
    values = evaluated(known.program, "identities", parameters, x)
    return values[:, 0::2], values[:, 1::2]


def _vanishing(program: Program, known: Operators, parameters: Couplings, x: np.ndarray) -> np.ndarray:
    """Whether ∫ r^(n−1) (|Δf| + |∇f·∇S|)² e^−S dr converges along rays, (identities,).

    The surface term of the partial integration is of the order of Δf and ∇f·∇S, which may cancel in the
    difference. The square is needed because a control variate has to have a finite variance. Rays go along
    real fields alone: a circle has no surface.
    """
    angles, lines = list(program.angles), list(program.lines)
    if not lines:
        return np.ones(len(known.names), dtype=bool)
    rng, n = np.random.default_rng(0), int(np.prod(x[0, lines].shape))
    uniform = np.broadcast_to(
        rng.normal(size=(_RAYS, x.shape[1], *(1,) * (x.ndim - 2))), (_RAYS, *x.shape[1:])
    )
    own = x[:: max(1, len(x) // _RAYS)][:_RAYS].astype(np.float64)
    rays = np.concatenate([rng.normal(size=(_RAYS, *x.shape[1:])), uniform, -uniform, own])
    size = np.abs(rays).max(axis=tuple(range(1, rays.ndim)), keepdims=True)
    rays = (
        rays
        / np.maximum(size, np.finfo(float).tiny)
        * max(float(x.max(initial=0.0)), -float(x.min(initial=0.0)), 1.0)
    )
    weight = []
    for distance in (_NEAR, _FAR):
        far_out = distance * rays
        far_out[:, angles] = rays[:, angles]
        laplacian, flow = _parts(known, parameters, far_out)
        (action,) = run(program, "action", {"x": far_out}, parameters)
        with np.errstate(all="ignore"):
            size = 2 * np.log(np.abs(laplacian) + np.abs(flow)) + n * np.log(distance)
            weight.append(np.where(np.isposinf(action)[:, None], -np.inf, size - action[:, None]))
    near, far = weight
    with np.errstate(invalid="ignore"):
        falls = far - near < -_MARGIN * np.log(_FAR / _NEAR)
    return (np.isneginf(far) | falls).all(axis=0)
