"""The properties that every compiled theory has to obey, each with a derived tolerance."""

from __future__ import annotations

from ..property import Property
from . import action, density, domain, emitted, group, slices, statistics, training

PARALLEL_GROUPS: tuple[tuple[Property, ...], tuple[Property, ...]] = (
    (
        *group.PROPERTIES,
        *action.PROPERTIES,
        *domain.PROPERTIES,
        *slices.PROPERTIES,
        *emitted.PROPERTIES,
        *training.PROPERTIES,
    ),
    (*density.PROPERTIES, *statistics.PROPERTIES),
)
"""All properties in two lists for two threads; they hardly compile the same functions."""
PROPERTIES: tuple[Property, ...] = tuple(prop for lane in PARALLEL_GROUPS for prop in lane)
"""All properties."""
