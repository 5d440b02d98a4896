"""What a callback is told after every step of a training, and what it may remember."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...backend import Model
from ...checks import mismatch, shown
from ...errors import OptionError
from ..history import History


@dataclass(frozen=True)
class Step:
    """The state of a training after one step.

    Attributes
    ----------
    number
        Number of steps since the beginning.
    seconds
        Duration of the training so far.
    progress
        Fraction of the training that is done, in [0, 1].
    metrics
        ``loss``, ``ess`` of the batch and ``gradient_norm``.
    """

    number: int
    seconds: float
    progress: float
    metrics: Mapping[str, float]


Callback = Callable[[Step], object]
"""Called after every step; the training stops, and can be resumed, if it returns True."""


class Watcher:
    """Base class of callbacks that see the beginning and the end of a training, or remember something.

    What :meth:`state` returns is kept with every checkpoint of the run and is given back when the training is
    resumed with a callback of the same class, so that an interrupted training ends as an uninterrupted one.
    """

    def begin(self, model: Model, history: History) -> None:
        """Called before the first step, also of a training that goes on; forget what was before."""

    def __call__(self, step: Step) -> object:
        """Called after every step; the training stops if it returns True."""
        raise NotImplementedError(f"{type(self).__name__} has to say what it does after a step: __call__")

    def end(self, model: Model, *, completed: bool) -> None:
        """Called after the last step.

        ``completed`` is True if the training has come to its end or was stopped by a callback, False if it
        was interrupted or has failed.
        """

    def state(self) -> dict[str, np.ndarray]:
        """What is remembered, as arrays by name."""
        return {}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Remember what :meth:`state` returned."""


class Watch:
    """All callbacks of a training."""

    def __init__(self, callbacks: Sequence[Callback] = ()) -> None:
        self._callbacks = tuple(callbacks)
        self._watchers: dict[str, Watcher] = {}
        for callback in self._callbacks:
            if isinstance(callback, Watcher):
                kind, number = type(callback).__name__, 1
                while (name := kind if number == 1 else f"{kind}-{number}") in self._watchers:
                    number += 1
                self._watchers[name] = callback

    def begin(self, model: Model, history: History, memory: Mapping[str, np.ndarray]) -> None:
        """Tell all that the training begins; ``memory`` is what :meth:`state` returned."""
        try:
            for watcher in self._watchers.values():
                watcher.begin(model, history)
        except BaseException:
            self.end(model, completed=False)
            raise
        self.load_state(memory)

    def step(self, step: Step) -> bool:
        """Call all after a step; True if one of them stops the training."""
        answers = [callback(step) for callback in self._callbacks]  # all are called, also after a True
        return True in answers

    def __bool__(self) -> bool:
        return bool(self._callbacks)

    def end(self, model: Model, *, completed: bool) -> None:
        """Tell all that the training has ended."""
        for watcher in self._watchers.values():
            watcher.end(model, completed=completed)

    def state(self) -> dict[str, np.ndarray]:
        """What all remember, as arrays ``callback/name``."""
        return {f"{n}/{key}": array for n, w in self._watchers.items() for key, array in w.state().items()}

    def load_state(self, memory: Mapping[str, np.ndarray]) -> None:
        """Remember what :meth:`state` returned; a callback that is new keeps what it has."""
        for name, watcher in self._watchers.items():
            own = {k.removeprefix(f"{name}/"): v for k, v in memory.items() if k.startswith(f"{name}/")}
            if own:
                watcher.load_state(own)

    def missing(self, memory: Mapping[str, np.ndarray]) -> list[str]:
        """Names of callbacks that have left a memory and are not here."""
        return sorted({key.partition("/")[0] for key in memory} - set(self._watchers))


def checked(callbacks: Any) -> tuple[Callback, ...]:
    """The callbacks as a tuple; OptionError unless they are a sequence of functions."""
    found: tuple[Any, ...] = tuple(callbacks) if isinstance(callbacks, Iterable) else (None,)
    wrong = [mismatch(f, 1) if callable(f) else shown(callbacks) for f in found]
    if any(wrong):
        raise OptionError(
            "callbacks",
            expected="a list of functions of a training step",
            found=next(filter(None, wrong)),
            remedy="write callbacks=[f] with def f(step): …; it may return True to stop",
        )
    return found
