"""A check that a user's flow, base and law are registered before a run that uses them is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import RunError
from ..plan.extensions import EXTENDABLE
from .store import DAMAGES, not_a_run


def require_registered(place: Path, record: Mapping[str, Any]) -> None:
    """RunError if a user's flow, base or law of the run is not registered; it names the file to import."""
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
