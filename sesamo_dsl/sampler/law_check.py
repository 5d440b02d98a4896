"""A test of a user's law p(u|y) before training: normalised, with consistent shapes and log-probabilities."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..errors import OptionError
from ..flows.base import GaussianBase
from .group_action import GroupAction
from .laws import GroupLaw, TableLaw

_BATCH = 4
_TOLERANCE = 1e-3
"""Tolerance of log-probabilities, which may be in single precision."""


def require_law(
    name: str, law: GroupLaw, group: GroupAction, base: GaussianBase, state: Mapping[str, np.ndarray]
) -> None:
    """Check on a few configurations that a law with its initial weights is a distribution over the elements.

    The table of a :class:`TableLaw` has to be normalised. For other laws ``log_prob`` of a draw has to agree
    with the log-probability that ``sample_and_log_prob`` returned with it.

    Parameters
    ----------
    state
        The initial weights of the law, including ``law.logits``.

    Raises
    ------
    OptionError
        If names, types, shapes or values are wrong.
    """
    arrays = group.arrays
    strangers = [n for n in state if not n.startswith("law.") or n.startswith("law.circle.")]
    if strangers:
        raise _error(name, "weights called law.…, but not law.circle.…", ", ".join(strangers))
    if any(np.asarray(values).dtype.kind != "f" for values in state.values()):
        raise _error(name, "initial_state: floating-point NumPy arrays", f"{sorted(state)}")
    weights = {n: arrays.constant(np.asarray(values), group.dtype) for n, values in state.items()}
    rng = np.random.default_rng(0)
    y = arrays.constant(base.apply(rng.normal(size=(_BATCH, *group.shape))), group.dtype)
    if isinstance(law, TableLaw):
        table = law.table(weights, y)
        if tuple(table.shape) != group.table_shape(y):
            raise _error(name, f"a table of shape {group.table_shape(y)}", f"shape {tuple(table.shape)}")
        total = arrays.to_numpy(arrays.logsumexp(table, axis=0))
        if not (np.abs(total) <= _TOLERANCE).all():
            raise _error(name, "a table with Σ_u p(u|y) = 1", f"log Σ_u p(u|y) = {total.reshape(-1)[0]:.4g}")
        return
    uniform = arrays.constant(rng.uniform(size=(_BATCH, *law.uniforms)), group.dtype)
    choice, log_p = law.sample_and_log_prob(weights, y, uniform)
    again = law.log_prob(weights, y, choice)
    if tuple(log_p.shape) != (_BATCH,) or tuple(again.shape) != (_BATCH,):
        found = f"shapes {tuple(log_p.shape)} and {tuple(again.shape)}"
        raise _error(name, f"log p(u|y) of shape ({_BATCH},) for a batch of {_BATCH}", found)
    difference = np.abs(arrays.to_numpy(log_p) - arrays.to_numpy(again))
    if not (difference <= _TOLERANCE * (1 + np.abs(arrays.to_numpy(log_p)))).all():
        raise _error(name, "log_prob of a draw as it was drawn", f"a difference of {difference.max():.3g}")


def _error(name: str, expected: str, found: str) -> OptionError:
    return OptionError(
        f"law {name}",
        expected=expected,
        found=found,
        remedy="see sesamo_dsl.sampler.GroupLaw and TableLaw, and docs/extending.md",
    )
