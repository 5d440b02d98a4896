"""All that samples of one model have in common, as plain values and arrays to be kept in a file.

It is what figures, errors and warnings need beside the samples: the theory with its couplings, exact values,
the record of the training, configurations from outside the model, and the search for missed modes, whose
results are kept because the model itself is not. Reading it runs no code and evaluates no expression.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.program import Program
from ..ir.stored import program_as_data, program_from_data
from ..landscape.minima import Minimum
from ..values.couplings import Coupling, Couplings
from .exact import ExactValues
from .search import Basin, Journey, Search
from .target_sample import Outside, TargetSample
from .training_record import TrainingRecord

_EXACT = ("log_z", "log_z_error", "sector_masses", "sector_error")
_MINIMUM = ("configuration", "action", "log_weight", "images")
_BASIN = ("walkers", "action", "weights", "start")
_JOURNEY = ("walkers", "action", "weights", "walker")


@dataclass(frozen=True, eq=False)
class Frame:
    """The common part of samples of one model.

    Attributes
    ----------
    program, parameters, exact, notes, training, search, outside, unchecked
        See :class:`sesamo_dsl.Samples`.
    derived
        Names of the declared functions of expectation values.
    origin
        The origin of the declaration; see :func:`.theory_files.source_of`.
    """

    program: Program
    parameters: Couplings
    exact: ExactValues | None
    notes: tuple[str, ...]
    derived: tuple[str, ...]
    origin: Mapping[str, str]
    training: TrainingRecord
    search: Search
    outside: Outside | None
    unchecked: str

    def as_data(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Values that JSON can hold, and arrays by their paths, ``search/journey/walkers`` for instance."""
        target, outside = (None, {}) if self.outside is None else self.outside.target.as_data()
        values = {
            "program": program_as_data(self.program),
            "notes": list(self.notes),
            "derived": list(self.derived),
            "origin": dict(self.origin),
            "unchecked": self.unchecked,
            "training": {
                "done": self.training.done,
                "share": self.training.share,
                "beyond": self.training.beyond,
            },
            "outside": target,
            "basins": None if self.search.basins is None else len(self.search.basins),
        }
        arrays = {f"constants/{name}": array for name, array in self.program.constants.items()}
        arrays |= {f"couplings/{name}": np.asarray(value) for name, value in self.parameters.items()}
        arrays |= {f"outside/{name}": array for name, array in outside.items()}
        arrays["training/batch_ess"] = self.training.batch_ess
        if self.outside is not None:
            arrays["outside/log_q"] = self.outside.log_q
        if self.exact is not None:
            arrays |= _named("exact", self.exact, _EXACT)
        return values, arrays | _search_as_data(self.search)

    @classmethod
    def from_data(cls, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Frame:
        """Inverse of :meth:`as_data`; ValueError, KeyError or TypeError if the data do not fit together."""
        program = program_from_data(values["program"], _below("constants/", arrays))
        parameters = _couplings(program, _below("couplings/", arrays))
        exact, outside, training = None, None, values["training"]
        if "exact/log_z" in arrays:
            log_z, log_z_error, masses, error = (arrays[f"exact/{name}"] for name in _EXACT)
            if masses.shape != (program.sectors.count,):
                raise ValueError(f"{masses.shape} exact masses of {program.sectors.count} sectors")
            exact = ExactValues(float(log_z), float(log_z_error), masses, float(error))
        if values["outside"] is not None:
            target = TargetSample.from_data(values["outside"], _below("outside/", arrays))
            log_q = arrays["outside/log_q"]
            if target.x.shape[1:] != program.configuration_shape or log_q.shape != target.action.shape:
                raise ValueError(f"configurations of shape {target.x.shape} from outside")
            outside = Outside(log_q, target)
        return cls(
            program,
            parameters,
            exact,
            tuple(map(str, values["notes"])),
            tuple(map(str, values["derived"])),
            {str(key): str(value) for key, value in values["origin"].items()},
            TrainingRecord(
                int(training["done"]),
                float(training["share"]),
                arrays["training/batch_ess"],
                str(training.get("beyond", "")),
            ),
            _search_from_data(values["basins"], arrays),
            outside,
            str(values["unchecked"]),
        )


def _search_as_data(search: Search) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for i, (basin, log_q) in enumerate(zip(search.basins or (), search.log_q, strict=True)):
        arrays |= _named(f"search/basins/{i}", basin, _BASIN)
        arrays |= _named(f"search/minima/{i}", basin.minimum, _MINIMUM)
        arrays[f"search/log_q/{i}"] = log_q
    if search.journey is not None:
        arrays |= _named("search/journey", search.journey, _JOURNEY)
        arrays["search/journey/log_q"] = search.journey_log_q
    return arrays


def _search_from_data(count: Any, arrays: Mapping[str, np.ndarray]) -> Search:
    basins: list[Basin] = []
    for i in range(count or 0):
        configuration, action, weight, images = (arrays[f"search/minima/{i}/{name}"] for name in _MINIMUM)
        minimum = Minimum(configuration, float(action), float(weight), images.item())
        basins.append(Basin(minimum, *(arrays[f"search/basins/{i}/{name}"] for name in _BASIN)))
    journey, log_q = None, np.zeros(0)
    if "search/journey/walkers" in arrays:
        journey = Journey(*(arrays[f"search/journey/{name}"] for name in _JOURNEY))
        log_q = arrays["search/journey/log_q"]
    of_basins = tuple(arrays[f"search/log_q/{i}"] for i in range(len(basins)))
    return Search.of_results(None if count is None else tuple(basins), of_basins, journey, log_q)


def _couplings(program: Program, arrays: Mapping[str, np.ndarray]) -> dict[str, Coupling]:
    """Couplings as numbers and arrays; ValueError unless they are those of the program, and finite."""
    if set(arrays) != set(program.parameters):
        raise ValueError(f"couplings {', '.join(arrays)} of a theory with {', '.join(program.parameters)}")
    for name, array in arrays.items():
        if array.shape not in ((), program.shape) or not np.isfinite(array).all():
            raise ValueError(f"coupling {name} of shape {array.shape}, or not finite")
    return {name: arrays[name] if arrays[name].ndim else float(arrays[name]) for name in program.parameters}


def _named(prefix: str, record: Any, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    return {f"{prefix}/{name}": np.asarray(getattr(record, name)) for name in names}


def _below(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
