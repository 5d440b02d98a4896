"""The training of a run: finishing what was interrupted, training further, what is kept when it stops."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from signal import Signals
from typing import Any, Self

from .. import checks
from ..errors import (
    OptionError,
    RunError,
    RunNotKeptError,
    TrainingDivergedError,
    TrainingInterrupted,
)
from ..machine.interruption import held_back
from ..plan.options import checked_rate
from ..plan.plan import Plan
from ..training.callbacks import Callback, Watch, checked
from ..training.divergence import cause_of_divergence
from ..training.loop import train
from .record import RecordedRun


def rate_of_an_optimizer(rate: float) -> OptionError:
    """The error for a learning rate that is given together with a user's optimiser."""
    return OptionError(
        "option learning_rate",
        expected="none beside an optimizer, which has a rate and a schedule of its own",
        found=checks.shown(rate),
        remedy="give the rate to the optimizer, and leave learning_rate out",
    )


class TrainedRun(RecordedRun, ABC):
    """A run that can be trained; the annealings after a training are those of :class:`sesamo_dsl.Run`."""

    @abstractmethod
    def sample(self, count: int, *, seed: int = 1) -> Any:
        """See :meth:`sesamo_dsl.Run.sample`."""
        ...

    @abstractmethod
    def _check(self, seconds: float | None, progress: bool) -> Sequence[Signals]:
        """Anneal, and hold the model against the walkers."""
        ...

    @abstractmethod
    def _compare(self) -> None:
        """Hold the model, as it is now, against annealings at points of its range."""
        ...

    def resume(
        self,
        steps: int | None = None,
        *,
        seconds: float | None = None,
        learning_rate: float | None = None,
        restart: bool = False,
        progress: bool = True,
        callbacks: Sequence[Callback] = (),
        optimizer: Any = None,
        check: bool = True,
    ) -> Self:
        """Finish an interrupted training, or train further.

        On one machine, finishing an interrupted training by steps gives bit for bit the weights of an
        uninterrupted training.

        Parameters
        ----------
        steps, seconds
            Number of steps, or seconds, to train further; by default the rest of the length that was asked
            for. The learning rate follows the schedule of a training of the whole length.
        learning_rate
            A new peak rate.
        restart
            True to start the schedule of the learning rate again, with its warm-up.
        progress
            True to show a progress bar.
        callbacks, check
            See ``CompiledTheory.train``; a run that already has configurations to compare with keeps them.
        optimizer
            The optimiser that the training began with, if it was not Adam; it continues with its memory. In
            the process that trained the run the optimiser is already known.

        Returns
        -------
        Run
            This run.

        Raises
        ------
        OptionError
            For options out of range, if the training is finished and no further length is given, or if the
            optimiser is not the one that the training began with.
        RunError
            If another process is training the run, or has trained it since it was loaded.
        TrainingDivergedError, TrainingInterrupted, RunNotKeptError
            See ``CompiledTheory.train``.
        """
        restart, progress = (
            checks.flag(value, f"option {name}")
            for name, value in (("restart", restart), ("progress", progress))
        )
        watching = checked(callbacks)
        plan = self._plan_of_resume(steps, seconds, learning_rate)
        self.model.use_optimizer(optimizer)
        if learning_rate is not None and self.model.optimizer is not None:
            raise rate_of_an_optimizer(learning_rate)
        with self.store.locked():
            if self.store.checksum() != self._checksum:
                raise RunError(
                    f"run directory {self.directory}",
                    expected=f"the run as it was read, at step {self.steps_done}",
                    found="one that was trained since",
                    remedy="read it again, with load_run or with the same command once more",
                )
            self.plan = plan
            if restart:
                course = self.course
                self.course = replace(course, first_step=course.steps, first_second=course.seconds)
            self._train(progress, watching, check)
        return self

    def _plan_of_resume(self, steps: int | None, seconds: float | None, learning_rate: float | None) -> Plan:
        changes: dict[str, Any] = {}
        if learning_rate is not None:
            changes["learning_rate"] = checked_rate(learning_rate)
        if steps is not None and seconds is not None:
            raise OptionError(
                "options steps and seconds",
                expected="one of them",
                found="both",
                remedy="say how many steps, or how long",
            )
        if steps is not None:
            changes |= {"steps": self.course.steps + checks.integer(steps, "option steps"), "seconds": None}
        elif seconds is not None:
            changes["seconds"] = self.course.seconds + checks.real(seconds, "option seconds")
        elif self.course.progress(self.plan) >= 1:
            raise OptionError(
                f"training of {self.directory}",
                expected="one that is not finished, or how much further to train",
                found=self.progress,
                remedy="say for instance resume(500), or sesamo-dsl resume RUN --steps 500",
            )
        return replace(self.plan, **changes)

    def _train(self, progress: bool, callbacks: Sequence[Callback], check: bool) -> None:
        watch = Watch(callbacks)
        if self.ended != "finished" and (missing := watch.missing(self.memory)):
            warnings.warn(
                f"the training goes on without its callbacks {', '.join(missing)}: pass them to resume",
                RuntimeWarning,
                stacklevel=3,
            )
        with self.store.locked(), held_back() as signals, self._watched_by(watch):
            self.ended, self.checked = None, tuple(check.forgotten() for check in self.checked)
            try:
                train(
                    self.model,
                    self.plan,
                    self.history,
                    progress=progress,
                    keep=self._keep,
                    reference=self.reference,
                    explain=lambda: cause_of_divergence(self.model, self.compiled.program, self.parameters),
                    course=self.course,
                    stop=lambda: signals,
                    watch=watch,
                )
            except TrainingDivergedError as error:
                self.ended, error.run = "diverged", self
                self._keep(self.model.state())
                raise
            except BaseException:  # for example one that a callback raises
                self.ended = "stopped"
                self._keep(self.model.state())
                raise
            self.ended = "finished" if self.course.progress(self.plan) >= 1 else "stopped"
            self.beyond = ""
            try:
                self._write(self.model.state())
            except RunError as error:
                raise RunNotKeptError(
                    f"run directory {self.directory}",
                    expected="a place that can be written",
                    found=error.found,
                    remedy="make room and call save() of the run, which is this error's attribute run; "
                    "the files of the last checkpoint are still there",
                    run=self,
                ) from error
            if check and self.finished and not signals:
                if self.outside is None:
                    signals = list(self._check(None, progress))
                    self._keep(self.model.state())
                elif self.checked:
                    self._compare()
                    self._keep(self.model.state())
        if signals:
            raise TrainingInterrupted(signals[0], self)

    @contextmanager
    def _watched_by(self, watch: Watch) -> Iterator[None]:
        """A context in which callbacks see the training, and what they remember is kept with it."""
        watch.begin(self.model, self.history, self.memory)
        self._watch = watch
        try:
            yield
        except BaseException:
            watch.end(self.model, completed=False)
            raise
        finally:
            self.memory, self._watch = watch.state(), None
