"""Hypothesis strategies: configurations over scales and sectors, at walls, and group elements."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from .subject import Subject

_BATCH = 3
_KINDS = ("zero", "unit", "constant", "integers", "normal", "sector", "wall")


@st.composite
def configurations(
    draw: st.DrawFn, subject: Subject, *, batch: int = _BATCH, kinds: tuple[str, ...] = _KINDS
):
    """Batches of configurations (batch, components, *lattice), float64, simplest kinds first.

    ``unit`` is one at a single entry, ``constant`` the same at all sites, ``sector`` a fluctuation around the
    typical field size in a random sector, ``wall`` close to a wall of the fundamental domain.
    """
    shape = (batch, *subject.theory.configuration_shape)
    kind = draw(st.sampled_from(kinds))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = draw(st.sampled_from((1.0, subject.typical_size, 0.1, 3.0)))
    if kind == "zero":
        return np.zeros(shape)
    if kind == "unit":
        flat = np.zeros((batch, int(np.prod(shape[1:]))))
        flat[np.arange(batch), rng.integers(0, flat.shape[1], size=batch)] = 1.0
        return flat.reshape(shape) * scale
    if kind == "constant":
        values = rng.normal(size=(batch, shape[1], *(1,) * (len(shape) - 2)))
        return scale * np.broadcast_to(values, shape).copy()
    if kind == "integers":
        return rng.integers(-3, 4, size=shape).astype(float)
    x = scale * rng.normal(size=shape)
    if kind in ("sector", "wall"):
        mean = rng.normal(size=(batch, shape[1], *(1,) * (len(shape) - 2)))
        x = x * 0.3 + subject.typical_size * mean / np.linalg.norm(mean, axis=1, keepdims=True)
    facets = subject.analysis.domain.facets @ subject.analysis.domain.projection
    if kind == "wall" and len(facets):
        normal = facets[rng.integers(0, len(facets))]
        height = x.mean(axis=tuple(range(2, x.ndim))) @ normal - 10.0 ** rng.uniform(-6, -1, size=batch)
        column = (-1, shape[1], *(1,) * (len(shape) - 2))
        x = x - (height[:, None] * normal / (normal @ normal)).reshape(column)
    return x


def elements(subject: Subject) -> st.SearchStrategy[int]:
    """Indices of group elements, the identity first."""
    return st.integers(0, subject.analysis.group.order - 1)


def words(subject: Subject) -> st.SearchStrategy[list[int]]:
    """Words in the generators, as generator indices."""
    count = len(subject.analysis.group.generators)
    return st.lists(st.integers(0, count - 1), max_size=12) if count else st.just([])
