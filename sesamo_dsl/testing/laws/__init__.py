"""The laws every compiled theory has to obey, each with its tolerance derived; cheapest first."""

from __future__ import annotations

from ..law import Law
from . import action, density, domain, emitted, group, slices, statistics

LAWS: tuple[Law, ...] = (
    *group.LAWS,
    *action.LAWS,
    *domain.LAWS,
    *slices.LAWS,
    *emitted.LAWS,
    *density.LAWS,
    *statistics.LAWS,
)
"""All laws."""
