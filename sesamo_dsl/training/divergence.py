"""Diagnosis of a diverged training: an action that is NaN, flat or unbounded below, or too large steps."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..backend import Model
from ..errors import shown
from ..ir.interpreter import run
from ..ir.program import Program
from ..ir.rounding import error_bounds
from ..values.couplings import Couplings

_SAMPLES = 256
_LENGTHS = np.geomspace(1e-3, 1e6, 37)  # along a ray, in units of its first point
_RAYS = 32
_APART = 30.0  # ratio of two lengths between which S has to rise by 1
_ROUNDOFF = 2.0**-53


class Cause(NamedTuple):
    """The cause of a divergence and its remedy, in words."""

    found: str
    remedy: str


def cause_of_divergence(model: Model, program: Program, parameters: Couplings, seed: int = 0) -> Cause:
    """The likely cause of a divergence, from a model at its last good state.

    S(x) is evaluated in float64 at samples of the model and along the rays through them, from their
    beginning to far out. Values that are less than the bound on their rounding error do not count.

    Parameters
    ----------
    model
        The model, put back to its last good state.
    program, parameters
        Program and couplings of the theory.
    seed
        Seed of the samples.
    """
    draws = model.sample(_SAMPLES, seed)
    x = draws.x.astype(np.float64)
    x = x[np.isfinite(x.reshape(len(x), -1)).all(axis=1)]
    step_too_large = Cause(
        "S is finite and bounded below where the model was last, so its steps are too large",
        "lower learning_rate or clip, or use precision='float64'",
    )
    if not len(x):
        return step_too_large
    action = _action(program, parameters, x)
    if not np.isfinite(action).all():
        bad = x[int(np.flatnonzero(~np.isfinite(action))[0])]
        return Cause(
            f"S(x) is {action[~np.isfinite(action)][0]} at {shown(bad)}, which is within reach of the model",
            "declare an action that is a finite number for all x: look for divisions by zero, overflow, "
            "roots and "
            "logarithms of negative numbers",
        )
    scale = np.sqrt((x**2).mean())
    uniform = np.eye(x.shape[1]).reshape(x.shape[1], x.shape[1], *(1,) * (x.ndim - 2)) * np.ones(x.shape[2:])
    rays = np.concatenate([x[:_RAYS], scale * uniform, -scale * uniform])
    along = np.stack([_action(program, parameters, length * rays) for length in _LENGTHS])
    error = np.stack([_error(program, parameters, length * rays) for length in _LENGTHS])
    flat = _flat_ray(along, error)
    if flat is not None:
        ray, end = flat
        place, value = _LENGTHS[end] * rays[ray], along[end, ray]
        lost = (
            "" if end == len(_LENGTHS) - 1 else ", beyond which its terms cancel to less than their rounding"
        )
        return Cause(
            f"the action does not grow: S is {value:.3g} at {shown(place)}{lost}, "
            f"and less than 1 away from that at 1/{_APART:.0f} of the distance",
            "no learning rate helps; add a term that grows in this direction, such as a mass, or simplify an "
            "action whose terms cancel",
        )
    outside = _LENGTHS >= 1
    far = np.where(np.isfinite(along) & (error > np.abs(along)), np.inf, along)[outside]
    # far out a bounded action is not below its least value at the samples
    lowest = action.min() - 100 * (1 + np.ptp(action))
    falling = np.isneginf(far).any(axis=0) | (np.nanmin(far, axis=0) < lowest)
    still = ~(far[-1] > far[-2])
    unbounded = np.flatnonzero(falling & still)
    if not len(unbounded):
        return step_too_large
    ray = rays[unbounded[0]]
    return Cause(
        f"the action is not bounded below: S falls from {far[0, unbounded[0]]:.3g} at {shown(ray)} to "
        f"{np.nanmin(far[:, unbounded[0]]):.3g} further out in that direction, and Z is infinite",
        "no learning rate helps; add a term that grows in this direction, or change the couplings",
    )


def _flat_ray(along: np.ndarray, error: np.ndarray) -> tuple[int, int] | None:
    """(ray, length) at the end of a ray, as far as S is known, over which S does not rise; else None."""
    known = np.isfinite(along) & (error < 0.5)
    for ray in range(along.shape[1]):
        lengths = np.flatnonzero(known[:, ray])
        if not len(lengths):
            continue
        end = int(lengths[-1])
        before = lengths[_LENGTHS[lengths] <= _LENGTHS[end] / _APART]
        if len(before) and abs(along[end, ray] - along[before[-1], ray]) < 1:
            return ray, end
    return None


def _action(program: Program, parameters: Couplings, x: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return run(program, "action", {"x": x}, parameters)[0]


def _error(program: Program, parameters: Couplings, x: np.ndarray) -> np.ndarray:
    """A bound on the rounding error of S, infinite where there is none."""
    with np.errstate(all="ignore"):
        (error,) = error_bounds(
            program, "action", x, parameters, roundoff=_ROUNDOFF, input_error=_ROUNDOFF * np.abs(x)
        )
    return np.where(np.isnan(error), np.inf, error)
