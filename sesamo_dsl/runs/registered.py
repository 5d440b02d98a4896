"""Whether the flow, base and law of a run are there, where a user has added them to those of the package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import RunError
from ..plan.extensions import EXTENDABLE
from .store import DAMAGES, not_a_run


def require_registered(place: Path, record: Mapping[str, Any]) -> None:
    """RunError that names what has to be imported, unless all that a run's options name is registered."""
    try:
        options = dict(record["options"])
        sources = {str(option): str(source) for option, source in dict(record.get("registered", {})).items()}
    except DAMAGES as error:
        raise not_a_run(place, error) from error
    for option, registry in EXTENDABLE.items():
        name, source = options.get(option), sources.get(option)
        if source is not None and not registry.added(name):
            raise RunError(
                f"run directory {place}",
                expected=f"the {option} {name!r} that it was trained with to be registered",
                found=f"{', '.join(registry.names) or f'no {option}'} in this process",
                remedy=f"import what registers it first: {source}; on the command line a theory file may "
                "do so, --theory FILE",
            )
