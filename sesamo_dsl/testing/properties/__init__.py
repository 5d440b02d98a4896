"""The properties every compiled theory has to obey, each with its tolerance derived."""

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
"""All properties in two lists that run side by side: what one compiles the other hardly needs."""
PROPERTIES: tuple[Property, ...] = tuple(prop for lane in PARALLEL_GROUPS for prop in lane)
"""All properties."""
