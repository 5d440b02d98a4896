"""A callback that is called every n steps, or every n seconds, instead of after every step."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ... import checks
from ...backend import Model
from ...errors import OptionError
from ..history import History
from .watching import Callback, Step, Watcher, checked


class Every(Watcher):
    """Calls a callback every ``steps`` steps or every ``seconds`` seconds.

    In a training by steps it is also called after the last one.

    Parameters
    ----------
    callback
        The callback; the training stops if it returns True.
    steps, seconds
        One of the two. Steps are counted, and seconds measured, from the beginning of the training.

    Raises
    ------
    OptionError
        For anything else.
    """

    def __init__(self, callback: Callback, *, steps: int | None = None, seconds: float | None = None) -> None:
        (self._callback,) = checked([callback])
        if (steps is None) == (seconds is None):
            raise OptionError(
                "Every",
                expected="steps or seconds",
                found="neither" if steps is None else "both",
                remedy="write for instance Every(callback, seconds=10)",
            )
        self._steps = None if steps is None else checks.integer(steps, "steps of Every")
        self._seconds = None if seconds is None else checks.real(seconds, "seconds of Every")
        self._last = 0.0

    def begin(self, model: Model, history: History) -> None:
        """See :class:`Watcher`."""
        self._last = 0.0
        if isinstance(self._callback, Watcher):
            self._callback.begin(model, history)

    def __call__(self, step: Step) -> object:
        """Call the callback if it is time."""
        due = step.progress >= 1
        if self._steps is not None:
            due |= step.number % self._steps == 0
        elif self._seconds is not None and step.seconds - self._last >= self._seconds:
            due, self._last = True, step.seconds
        if not due:
            return False
        return self._callback(step)

    def end(self, model: Model, *, completed: bool) -> None:
        """See :class:`Watcher`."""
        if isinstance(self._callback, Watcher):
            self._callback.end(model, completed=completed)

    def state(self) -> dict[str, np.ndarray]:
        """See :class:`Watcher`."""
        own = self._callback.state() if isinstance(self._callback, Watcher) else {}
        return {"last": np.array(self._last), **{f"own/{name}": array for name, array in own.items()}}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """See :class:`Watcher`."""
        self._last = float(state["last"])
        own = {k.removeprefix("own/"): v for k, v in state.items() if k.startswith("own/")}
        if isinstance(self._callback, Watcher) and own:
            self._callback.load_state(own)
