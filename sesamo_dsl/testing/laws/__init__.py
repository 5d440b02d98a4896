"""The laws every compiled theory has to obey, each with its tolerance derived."""

from __future__ import annotations

from ..law import Law
from . import action, density, domain, emitted, group, slices, statistics, training

LANES: tuple[tuple[Law, ...], tuple[Law, ...]] = (
    (*group.LAWS, *action.LAWS, *domain.LAWS, *slices.LAWS, *emitted.LAWS, *training.LAWS),
    (*density.LAWS, *statistics.LAWS),
)
"""All laws in two lists that can be gone through side by side: what one compiles the other hardly needs."""
LAWS: tuple[Law, ...] = tuple(law for lane in LANES for law in lane)
"""All laws."""
