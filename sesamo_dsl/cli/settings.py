"""Options of a training by name, ``--option name=value`` or in a TOML file, and their values."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from .. import checks
from ..errors import OptionError
from ..flows.bisection import BisectionSpec
from ..flows.circular import CircularSpec
from ..flows.spec import FlowSpec
from ..machine.optional import library
from ..plan.options import TrainingOptions
from ..training.callbacks import SHIPPED

_LARGEST_FILE = 2**20
OF_TRAINING = tuple(TrainingOptions.__dataclass_fields__)
"""Names of the options of model and training."""
OF_RESUME = ("optimizer", "callbacks")
"""Names of what a training that goes on takes again."""
OF_START = (
    *("backend", "precision", "device", "method", "start_from", "directory", "check"),
    *("parameters", "reference"),
    *OF_RESUME,
)
"""Names of what else ``sd.compile`` and ``compiled.train`` take."""
_OPTIMIZERS = {"torch": "torch.optim", "jax": "optax"}
_KINDS = {"coupling": FlowSpec, "bisection": BisectionSpec, "circular": CircularSpec}


def read_config(path: Path) -> dict[str, Any]:
    """The options in a TOML file, names and values unchecked; OptionError if it cannot be read."""
    try:
        with path.open("rb") as stream:
            data = stream.read(_LARGEST_FILE + 1)
        if len(data) > _LARGEST_FILE:
            raise ValueError(f"more than {_LARGEST_FILE} bytes")
        return tomllib.loads(data.decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # TOMLDecodeError is a ValueError
        raise OptionError(
            f"--config {path}",
            expected="a file of options in TOML, as steps = 1000",
            found=str(error),
            remedy="correct the file; names are those of TrainingOptions",
        ) from error


def parse_options(texts: list[str]) -> dict[str, Any]:
    """The options of ``--option name=value``, where ``flow.layers=6`` is an entry of a table.

    A value is one of TOML, a number for instance, or [32, 32]; whatever else is text.
    """
    found: dict[str, Any] = {}
    for text in texts:
        key, separator, value = (part.strip() for part in text.partition("="))
        *above, name = key.split(".")
        place = found
        for part in above:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise _twice(text)
        if not separator or not all((*above, name, value)):
            raise OptionError(
                f"--option {text}",
                expected="NAME=VALUE",
                found=checks.shown(text),
                remedy="write for instance --option base=standard",
            )
        if name in place:
            raise _twice(text)
        place[name] = _value(value)
    return found


def _twice(text: str) -> OptionError:
    return OptionError(
        f"--option {text}", expected="one value for each option", found="another one", remedy="give it once"
    )


def _value(text: str) -> Any:
    """A number, truth value, list or quoted text of TOML; else the text itself."""
    try:
        found = tomllib.loads(f"value = {text}")
    except ValueError:
        return text
    if set(found) != {"value"} or not isinstance(found["value"], bool | int | float | str | list):
        return text  # dates, and what brings further entries
    return found["value"]


def require_known(options: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    """Raise OptionError for a name that is none, with the one that it is most like."""
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            raise OptionError(
                f"option {checks.shown(name)} of {where}",
                expected=f"one of {', '.join(sorted(known))}",
                found=checks.shown(name),
                remedy=f"did you mean {near[0]}?" if near else "check the spelling",
            )


def together(
    options: Mapping[str, Any], flags: Mapping[str, Any], config: Mapping[str, Any]
) -> dict[str, Any]:
    """All options of a command: those of the command line come before those of the file.

    OptionError for one that is given as ``--option`` and as an option of its own.
    """
    for name in flags:
        if name in options:
            raise OptionError(
                f"--option {name}",
                expected="one value for each option",
                found=f"--{name.replace('_', '-')} as well",
                remedy="give it once",
            )
    return {**config, **options, **flags}


def architecture(flow: Any) -> Any:
    """The architecture of a table of its options; a name of a user's flow stays as it is.

    The table of a bisection has ``kind = "bisection"``; a coupling flow needs ``layers`` and ``hidden``.
    """
    if not isinstance(flow, Mapping):
        return flow
    values = dict(flow)
    named = values.pop("kind", "coupling")
    kind: Any = _KINDS.get(named) if isinstance(named, str) else None
    if kind is None:
        raise OptionError(
            f"option flow.kind = {checks.shown(named)}",
            expected=" or ".join(_KINDS),
            found=checks.shown(named),
            remedy="choose one of them",
        )
    own = {f.name: f for f in fields(kind)}
    require_known(values, tuple(own), f"flow, kind {named}")
    missing = [name for name, f in own.items() if f.default is MISSING and name not in values]
    if missing:
        raise OptionError(
            "option flow",
            expected=f"{', '.join(missing)} as well",
            found=", ".join(values) or "none",
            remedy="write for instance --option flow.layers=6 --option flow.hidden=[32,32]",
        )
    if isinstance(values.get("hidden"), list):
        values["hidden"] = tuple(values["hidden"])
    return kind(**values)


def make_optimizer(table: Any, backend: str) -> Any:
    """The optimiser of a table: ``name`` is one of torch.optim or of optax, the rest are its arguments."""
    if not isinstance(table, Mapping) or not isinstance(table.get("name"), str):
        raise OptionError(
            "option optimizer",
            expected="a table with the name of an optimiser",
            found=checks.shown(table),
            remedy="write for instance --option optimizer.name=SGD --option optimizer.lr=0.01",
        )
    arguments = {name: tuple(v) if isinstance(v, list) else v for name, v in table.items() if name != "name"}
    if backend not in _OPTIMIZERS:
        raise OptionError(
            "option optimizer",
            expected=f"a backend whose optimisers have names: {' or '.join(_OPTIMIZERS)}",
            found=backend,
            remedy="pass the optimiser in Python: compiled.train(optimizer=…)",
        )
    room = library(_OPTIMIZERS[backend], "optimizer", backend)
    made = getattr(room, table["name"], None)
    if table["name"].startswith("_") or not callable(made):
        near = difflib.get_close_matches(table["name"], dir(room), n=1)
        raise OptionError(
            f"option optimizer.name = {table['name']}",
            expected=f"an optimiser of {room.__name__}",
            found="no such name",
            remedy=f"did you mean {near[0]}?" if near else "check the spelling",
        )

    def of(*parameters: Any) -> Any:
        with checks.calling("option optimizer", f"arguments of {table['name']}", "see its documentation"):
            return made(*parameters, **arguments)

    return (lambda parameters: of(parameters)) if backend == "torch" else of()


def make_callbacks(table: Any) -> list[Any]:
    """The callbacks of a table: names of those that are shipped, each with a table of its arguments."""
    if not isinstance(table, Mapping) or not all(isinstance(own, Mapping) for own in table.values()):
        raise OptionError(
            "option callbacks",
            expected="names of callbacks, each with its arguments",
            found=checks.shown(table),
            remedy="write for instance --option callbacks.CSVLogger.path=steps.csv",
        )
    require_known(table, tuple(SHIPPED), "callbacks")
    made = []
    for name, own in table.items():
        with checks.calling(f"option callbacks.{name}", f"arguments of {name}", f"see sesamo_dsl.{name}"):
            made.append(SHIPPED[name](**own))
    return made
