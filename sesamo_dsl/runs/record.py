"""What a run consists of, and its files: the part of a run that is written and read."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors.numpy import save as save_tensors

from .. import checks
from ..backend import Model
from ..compiled_program import CompiledProgram
from ..errors import RunError
from ..estimates.coverage import NOT_ASKED
from ..estimates.making import now, versions_with
from ..estimates.target_sample import TargetSample
from ..language.derived import Derived
from ..language.theory import Theory
from ..plan.options import registered
from ..plan.plan import Plan
from ..training.callbacks import Watch
from ..training.history import Course, History
from ..training.reference import Reference
from ..values.couplings import Coupling, arrays_only, numbers_only
from .declaration import Declaration, digest
from .point_checks import PointCheck, checks_as_data
from .reference_file import reference_file
from .store import RunDirectory, Store, sha256

FORMAT = 4
Ending = Literal["finished", "stopped", "diverged"]


@dataclass(eq=False, repr=False)
class RecordedRun:
    """What a run consists of, and how it is written; :class:`sesamo_dsl.Run` describes the attributes."""

    compiled: CompiledProgram
    parameters: dict[str, Coupling]
    plan: Plan
    model: Model
    store: Store
    declaration: Declaration
    history: History = field(default_factory=History)
    course: Course = field(default_factory=Course)
    origin: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    derived: Mapping[str, Derived] = field(default_factory=dict)
    reference: Reference | None = None
    start_from: str | None = None
    ended: Ending | None = None
    outside: TargetSample | None = None
    unchecked: str = NOT_ASKED
    checked: tuple[PointCheck, ...] = ()
    beyond: str = ""
    fields: int = 0
    theory: Theory | None = None
    memory: Mapping[str, np.ndarray] = field(default_factory=dict)
    _watch: Watch | None = None
    _checksum: str | None = None

    def __repr__(self) -> str:
        place = "in memory" if self.directory is None else repr(_end(str(self.directory)))
        compiled = self.compiled
        return f"Run({compiled.program.theory!r}, {compiled.backend.name}, {self.progress}, {place})"

    @property
    def directory(self) -> Path | None:
        """The directory of the run; None if it is kept in memory only."""
        return self.store.path

    @property
    def finished(self) -> bool:
        """True if the training has done all steps, or seconds, that were asked for."""
        return self.ended == "finished"

    @property
    def steps_done(self) -> int:
        """Number of optimisation steps of the weights."""
        return self.course.steps

    @property
    def steps_asked(self) -> int | None:
        """Number of steps asked for, from the first step on; None if the training goes by the clock."""
        return None if self.plan.seconds is not None else self.plan.steps

    @property
    def progress(self) -> str:
        """The progress of the training, in words."""
        done = f"{self.steps_done} of {self.steps_asked} steps"
        if self.plan.seconds is not None:
            done = f"{self.steps_done} steps, {self.course.seconds:.0f} of {self.plan.seconds:g} seconds"
        return done if self.finished else f"{done}, {self.ended or 'not finished'}"

    def save(self, directory: str | Path | None = None) -> None:
        """Write the run as it is now, completely or not at all.

        Parameters
        ----------
        directory
            A new directory, in which the run is kept from now on; required for a run that was trained with
            ``directory=False``.

        Raises
        ------
        RunError
            If the directory cannot be written or already holds a run, or if there is none.
        """
        if directory is not None:
            store = RunDirectory(checks.path(directory, "directory of a run"))
            store.refuse_a_run()
            self.store = store
        elif self.directory is None:
            raise RunError(
                f"run {self!r}",
                expected="a directory to keep it in",
                found="none: it was trained with directory=False",
                remedy="say where: run.save(directory)",
            )
        self._write(self.model.state())

    def _keep(self, state: Mapping[str, np.ndarray]) -> str:
        """Write a checkpoint and return where it is; if this fails, warn and go on with the training."""
        try:
            self._write(state)
        except RunError as error:
            warnings.warn(f"a checkpoint could not be written: {error.found}", RuntimeWarning, stacklevel=2)
            return "memory"
        return "memory" if self.directory is None else str(self.directory)

    def _write(self, state: Mapping[str, np.ndarray]) -> None:
        weights = save_tensors({k: np.array(v, order="C") for k, v in state.items()})
        history = self.history.csv().encode("utf-8")
        files = {
            f"state-{self.course.steps}-{sha256(weights)[:12]}.safetensors": weights,
            f"history-{self.course.steps}-{sha256(history)[:12]}.csv": history,
            **self._constant_files,
            **self._outside_files,
            **self._checked_files,
            **self._memory_files,
            **({} if self.reference is None else reference_file(self.reference)),
        }
        self._checksum = self.store.write(self._record(), files)

    @property
    def _memory_files(self) -> dict[str, bytes]:
        memory = self.memory if self._watch is None else self._watch.state()
        if not memory:
            return {}
        data = save_tensors({name: np.array(array, order="C") for name, array in memory.items()})
        return {f"callbacks-{sha256(data)[:12]}.safetensors": data}

    @cached_property
    def _constant_files(self) -> dict[str, bytes]:
        arrays = arrays_only(self.parameters)
        couplings = {"couplings.safetensors": save_tensors(arrays)} if arrays else {}
        return {**self.declaration.files(), **couplings}

    @property
    def _outside_files(self) -> dict[str, bytes]:
        if self.outside is None:
            return {}
        data = save_tensors(self.outside.as_data()[1])
        return {f"outside-{sha256(data)[:12]}.safetensors": data}

    @property
    def _checked_files(self) -> dict[str, bytes]:
        if not self.checked:
            return {}
        data = save_tensors(checks_as_data(self.checked)[1])
        return {f"annealings-{sha256(data)[:12]}.safetensors": data}

    def _record(self) -> dict[str, Any]:
        program, course = self.compiled.program, self.course
        return {
            "format": FORMAT,
            "theory": program.theory,
            "theory_source": self.origin,
            "configuration_shape": list(program.configuration_shape),
            "program_digest": digest(self.compiled),
            "backend": self.compiled.backend.name,
            "precision": self.compiled.precision,
            "parameters": numbers_only(self.parameters),
            "ended": self.ended,
            "steps": {"done": course.steps, "asked": self.steps_asked, "schedule_from": course.first_step},
            "seconds": {
                "done": course.seconds,
                "asked": self.plan.seconds,
                "schedule_from": course.first_second,
            },
            "options": self.plan.as_json(),
            "optimizer": self.model.optimizer or "Adam",
            "registered": registered(vars(self.plan)),
            "outside": self.unchecked if self.outside is None else self.outside.as_data()[0],
            "checked": checks_as_data(self.checked)[0],
            "beyond": self.beyond,
            "fields": self.fields,
            "notes": list(self.notes),
            "derived": list(self.derived),
            "start_from": self.start_from,
            "versions": versions_with(self.compiled.backend),
            "written": now(),
        }


def _end(path: str, most: int = 60) -> str:
    """A path, or the end of a long one, for one line."""
    return path if len(path) <= most else f"…{path[-most:]}"
