"""Hypothesis strategies: configurations over scales and sectors, at walls; group elements; couplings."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from ..values.couplings import Coupling
from .subject import Subject

_BATCH = 3
_KINDS = ("zero", "unit", "constant", "integers", "normal", "sector", "wall")


@st.composite
def configurations(
    draw: st.DrawFn, subject: Subject, *, batch: int = _BATCH, kinds: tuple[str, ...] = _KINDS
):
    """Batches of configurations (batch, components, *lattice), float64, simplest kinds first.

    ``unit`` is 1 at one entry and 0 elsewhere, ``constant`` the same at all sites, ``sector`` a fluctuation
    around the typical field size in a random sector, ``wall`` close to a wall of the fundamental domain or of
    one of its images.
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
        if rng.integers(2):
            x = subject.act(subject.random_element(rng), x)
    return x


def indices(subject: Subject) -> st.SearchStrategy[int]:
    """Indices of elements of the (base) group, the identity first."""
    return st.integers(0, subject.analysis.group.order - 1)


def elements(subject: Subject) -> st.SearchStrategy[np.ndarray]:
    """Group elements for one configuration: a 0-d array, or one of shape (blocks,) for a local group."""
    blocks = subject.element_shape
    return st.lists(indices(subject), min_size=int(np.prod(blocks)), max_size=int(np.prod(blocks))).map(
        lambda listed: np.array(listed, dtype=np.int64).reshape(blocks)
    )


def x_and_element(subject: Subject) -> st.SearchStrategy[tuple[np.ndarray, np.ndarray]]:
    """A batch of configurations and a group element."""
    return st.tuples(configurations(subject), elements(subject))


def near_walls(subject: Subject) -> st.SearchStrategy[tuple[np.ndarray, np.ndarray]]:
    """Like :func:`x_and_element`; half of the time x is at a wall and the element leads across a wall."""
    across = sorted(set(subject.analysis.domain.neighbours)) or [0]
    step = st.sampled_from(across).map(lambda g: np.full(subject.element_shape, g, dtype=np.int64))
    return st.one_of(x_and_element(subject), st.tuples(configurations(subject, kinds=("wall",)), step))


def words(subject: Subject) -> st.SearchStrategy[list[int]]:
    """Words in the generators, as lists of generator indices."""
    count = len(subject.analysis.group.generators)
    return st.lists(st.integers(0, count - 1), max_size=12) if count else st.just([])


def couplings(subject: Subject) -> st.SearchStrategy[dict[str, Coupling]]:
    """Couplings: the subject's own first, then each scaled by 1/2 to 2; some are set to zero.

    Signs are kept, so that the action can still be evaluated.
    """

    def value(name: str) -> st.SearchStrategy[Coupling]:
        own = subject.parameters[name]
        scaled = st.sampled_from((1.0, 0.5, 2.0, 0.75, 1.25)).map(lambda factor: own * factor)
        off = not np.any(subject.theory.defaults.get(name, 1))
        return st.one_of(scaled, st.just(own * 0.0)) if off else scaled

    values: dict[str, Any] = {name: value(name) for name in subject.parameters}
    return st.fixed_dictionaries(values)
