"""A user's law p(u|y) is made, and tested before training: normalised, as declared, of the right shapes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, cast

import numpy as np

from .. import checks
from ..errors import OptionError
from ..flows.base import GaussianBase
from ..plan.extensions import LAWS
from .arrays import Array, Weights
from .group_action import GroupAction
from .laws import GroupLaw, TableLaw, log_heat
from .objectives import kl_to_heat_bath

_BATCH = 4
_IMAGES = 16  # most images that equivariance is tested on: each has a table over all u
_TOLERANCE = 1e-3
"""Tolerance of log-probabilities, which may be in single precision."""


def registered_law(name: str, group: GroupAction) -> GroupLaw:
    """The law that was registered under a name; OptionError if its class cannot be called with a group."""
    with _calling(name, "a class whose constructor takes the group and hands it to GroupLaw"):
        return cast(type[GroupLaw], LAWS[name])(group)


def first_weights(name: str, law: GroupLaw, seed: int) -> dict[str, np.ndarray]:
    """The initial weights of a law; OptionError unless they are arrays of floats with such names."""
    with _calling(name, "initial_state(seed) that returns weights"):
        state: Any = law.initial_state(seed)
    if not isinstance(state, Mapping):
        expected = "initial_state: a mapping from names to arrays, {} if there are none"
        raise _error(name, expected, checks.shown(state))
    for key, values in cast(Mapping[Any, Any], state).items():
        if not isinstance(key, str) or not key.startswith("law.") or key.startswith("law.circle."):
            raise _error(name, "weights called law.…, but not law.circle.…", checks.shown(key))
        kind = np.asarray(values).dtype
        if kind.kind != "f":
            raise _error(name, "initial_state: floating-point NumPy arrays", f"{key} of dtype {kind}")
    return {**state}


def require_law(
    name: str, law: GroupLaw, group: GroupAction, base: GaussianBase, state: Mapping[str, np.ndarray]
) -> None:
    """Check on a few configurations that a law with its initial weights is a distribution over the elements.

    The table of a :class:`TableLaw` has to be normalised, and equivariant if the law says so. For other laws
    ``log_prob`` of a draw has to agree with the log-probability that ``sample_and_log_prob`` returned with
    it.

    Parameters
    ----------
    state
        The initial weights of the law, including ``law.logits``.

    Raises
    ------
    OptionError
        If a method raises anything, or shapes or values are wrong.
    """
    arrays = group.arrays
    known = f"weights {checks.shown(sorted(state))}"
    weights = {n: arrays.constant(np.asarray(values), group.dtype) for n, values in state.items()}
    rng = np.random.default_rng(0)
    y = arrays.constant(base.apply(rng.normal(size=(_BATCH, *group.shape))), group.dtype)
    if isinstance(law, TableLaw):
        with _calling(name, f"table(weights, y) → log p(u|y), with {known}"):
            table = law.table(weights, y)
        if _shape(table) != group.table_shape(y):
            raise _error(name, f"a table of shape {group.table_shape(y)}", _shown_shape(table))
        total = arrays.to_numpy(arrays.logsumexp(table, axis=0))
        if not (np.abs(total) <= _TOLERANCE).all():
            raise _error(name, "a table with Σ_u p(u|y) = 1", f"log Σ_u p(u|y) = {total.reshape(-1)[0]:.4g}")
        if law.equivariant:
            _require_equivariant(name, law, group, weights, y)
        return
    uniform = arrays.constant(rng.uniform(size=(_BATCH, *law.uniforms)), group.dtype)
    with _calling(name, f"sample_and_log_prob(weights, y, uniform) → (choice, log p(u|y)), with {known}"):
        choice, log_p = law.sample_and_log_prob(weights, y, uniform)
    with _calling(name, f"log_prob(weights, y, choice) → log p(u|y), with {known}"):
        again = law.log_prob(weights, y, choice)
    if _shape(log_p) != (_BATCH,) or _shape(again) != (_BATCH,):
        found = f"{_shown_shape(log_p)} and {_shown_shape(again)}"
        raise _error(name, f"log p(u|y) of shape ({_BATCH},) for a batch of {_BATCH}", found)
    difference = np.abs(arrays.to_numpy(log_p) - arrays.to_numpy(again))
    if not (difference <= _TOLERANCE * (1 + np.abs(arrays.to_numpy(log_p)))).all():
        raise _error(name, "log_prob of a draw as it was drawn", f"a difference of {difference.max():.3g}")


def _require_equivariant(name: str, law: TableLaw, group: GroupAction, weights: Weights, y: Array) -> None:
    """Check what equivariance is declared for: Σ_u p log(p/p_heat) is the same at all images of y."""
    arrays, every = group.arrays, group.all_images(y).reshape(-1, _BATCH, *group.shape)
    images = every[:: -(-len(every) // _IMAGES)].reshape(-1, *group.shape)
    heat = log_heat(arrays, group.breaking(images))
    excess = arrays.to_numpy(kl_to_heat_bath(arrays, law.table(weights, images), heat)).reshape(-1, _BATCH)
    spread = np.ptp(excess, axis=0)
    if not (spread <= _TOLERANCE * (1 + np.abs(excess).max(axis=0))).all():
        found = f"a divergence KL(p‖heat bath) that differs by {spread.max():.3g} at images of one y"
        raise _error(name, "p(u|T_g y) = p(ug|y), as equivariant = True says", found)


def _shape(values: Any) -> tuple[int, ...] | None:
    shape = getattr(values, "shape", None)
    return None if shape is None else tuple(shape)


def _shown_shape(values: Any) -> str:
    shape = _shape(values)
    return checks.shown(values) if shape is None else f"shape {shape}"


_REMEDY = (
    "write for self._arrays.xp, with law.logits and what initial_state names as weights: see "
    "sesamo_dsl.sampler.GroupLaw and TableLaw, and docs/extending.md"
)


def _calling(name: str, expected: str) -> AbstractContextManager[None]:
    return checks.calling(f"law {name}", expected, _REMEDY)


def _error(name: str, expected: str, found: str) -> OptionError:
    return OptionError(f"law {name}", expected=expected, found=found, remedy=_REMEDY)
