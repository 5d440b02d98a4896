"""Where the values of field components lie, real numbers or angles, and angles taken to (−π, π]."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

Manifold = Literal["line", "circle"]
"""Where the values of one component lie: the real numbers, or the circle with angles in (−π, π]."""

TURN = 2 * math.pi
"""One turn of an angle."""


def wrapped(xp: Any, angles: Any) -> Any:
    """Angles of any size → the same angles in (−π, π], on arrays of any framework ``xp``."""
    return angles + TURN * xp.floor(0.5 - angles / TURN)


def wrapped_fields(xp: Any, x: Any, angles: Sequence[int]) -> Any:
    """Configurations (batch, components, *lattice) with the components ``angles`` in (−π, π]."""
    if not angles:
        return x
    if len(angles) == x.shape[1]:
        return wrapped(xp, x)
    parts = [wrapped(xp, x[:, a]) if a in angles else x[:, a] for a in range(int(x.shape[1]))]
    return xp.stack(parts, axis=1)


def feature_fields(x: np.ndarray, angles: Sequence[int]) -> np.ndarray:
    """Configurations (n, components, *lattice) with cos θ and sin θ in the place of each angle θ."""
    if not angles:
        return x
    parts: list[np.ndarray] = []
    for a in range(x.shape[1]):
        parts += [np.cos(x[:, a]), np.sin(x[:, a])] if a in angles else [x[:, a]]
    return np.stack(parts, axis=1)


def feature_names(components: Sequence[str], angles: Sequence[int]) -> tuple[str, ...]:
    """The names of the fields of :func:`feature_fields`."""
    found: list[str] = []
    for a, name in enumerate(components):
        found += [f"cos({name})", f"sin({name})"] if a in angles else [name]
    return tuple(found)
