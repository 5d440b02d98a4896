"""Early stopping and best weights: both follow the mean of a metric over windows of steps.

The metrics of one step are those of one batch and scatter. Means over windows, 100 steps long by default, are
therefore compared: the first window that is the best so far counts.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ... import checks
from ...backend import Model
from ...errors import OptionError
from ..history import History
from .watching import Step, Watcher

_SIGNS = {"loss": 1.0, "ess": -1.0, "gradient_norm": 1.0}  # −1 where a larger value is a better one
_KEPT = "kept/"


class _Monitor(Watcher):
    """Finds windows of steps in which the mean of a metric is the best so far."""

    def __init__(self, metric: str, window: int, least: float) -> None:
        if not isinstance(metric, str) or metric not in _SIGNS:
            raise OptionError(
                f"metric of {type(self).__name__}",
                expected=f"one of {', '.join(_SIGNS)}",
                found=checks.shown(metric),
                remedy="choose one of them",
            )
        self._metric = metric
        self._window = checks.integer(window, f"window of {type(self).__name__}")
        self._least = checks.real(
            least,
            f"least of {type(self).__name__}",
            expected="a finite number ≥ 0",
            open_below=False,
        )
        self._sum, self._count, self._best = 0.0, 0, np.inf

    @property
    def best(self) -> float:
        """The best mean of the metric over a window so far; NaN before the first window is over."""
        return _SIGNS[self._metric] * self._best if np.isfinite(self._best) else np.nan

    def begin(self, model: Model, history: History) -> None:
        """See :class:`Watcher`."""
        self._sum, self._count, self._best = 0.0, 0, np.inf

    def _better(self, step: Step) -> bool | None:
        """At the end of a window, whether it is better than all before by more than ``least``; else None."""
        self._sum += _SIGNS[self._metric] * step.metrics[self._metric]
        self._count += 1
        if self._count < self._window:
            return None
        mean = self._sum / self._count
        self._sum, self._count = 0.0, 0
        if mean < self._best - self._least:
            self._best = mean
            return True
        return False

    def state(self) -> dict[str, np.ndarray]:
        """See :class:`Watcher`."""
        return {"window": np.array([self._sum, self._count, self._best])}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """See :class:`Watcher`."""
        total, count, best = state["window"].tolist()
        self._sum, self._count, self._best = total, int(count), best


class EarlyStopping(_Monitor):
    """Stops a training that gets no better.

    The rate of the optimiser then has not fallen to the end of its schedule, and the run is not finished:
    ``run.resume()`` goes on with it, for ``patience`` windows at least.

    Parameters
    ----------
    metric
        "loss", "ess" of the batch, or "gradient_norm". The loss of a forward part whose weight falls is not
        comparable over the training; take "ess" there.
    patience
        Number of windows in a row without a better one after which the training stops.
    window
        Number of steps over whose mean metrics are compared.
    least
        By how much a window has to be better in order to count.

    Raises
    ------
    OptionError
        For arguments out of range.
    """

    def __init__(
        self, metric: str = "loss", *, patience: int = 10, window: int = 100, least: float = 0.0
    ) -> None:
        super().__init__(metric, window, least)
        self._patience = checks.integer(patience, "patience of EarlyStopping")
        self._waited = 0

    def begin(self, model: Model, history: History) -> None:
        """See :class:`Watcher`."""
        super().begin(model, history)
        self._waited = 0

    def __call__(self, step: Step) -> bool:
        """True if it is enough."""
        better = self._better(step)
        if better is not None:
            self._waited = 0 if better else self._waited + 1
        return better is False and self._waited >= self._patience

    def state(self) -> dict[str, np.ndarray]:
        """See :class:`Watcher`."""
        return {**super().state(), "waited": np.array(self._waited)}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """See :class:`Watcher`; a training that it has stopped may try again."""
        super().load_state(state)
        waited = int(state["waited"])
        self._waited = 0 if waited >= self._patience else waited


class BestWeights(_Monitor):
    """Puts the weights back that the model had after its best window, when the training ends.

    It does so when the training comes to its end or a callback stops it. A training that is interrupted keeps
    its last weights, and the best ones beside them in the run: resumed with this callback it ends as an
    uninterrupted one. The optimiser gets the memory back that belongs to the weights; steps count on.

    Parameters
    ----------
    metric, window, least
        See :class:`EarlyStopping`.

    Raises
    ------
    OptionError
        For arguments out of range.
    """

    def __init__(self, metric: str = "loss", *, window: int = 100, least: float = 0.0) -> None:
        super().__init__(metric, window, least)
        self._model: Model | None = None
        self._kept: dict[str, np.ndarray] = {}
        self._step = 0

    @property
    def step(self) -> int:
        """The step after which the model had the best weights; 0 before the first window is over."""
        return self._step

    def begin(self, model: Model, history: History) -> None:
        """See :class:`Watcher`."""
        super().begin(model, history)
        self._model, self._kept, self._step = model, {}, 0

    def __call__(self, step: Step) -> None:
        """Keep the weights at the end of the best window so far."""
        if self._better(step) and self._model is not None:
            self._kept, self._step = self._model.state(), step.number

    def end(self, model: Model, *, completed: bool) -> None:
        """Put the best weights back, if the training is completed."""
        if completed and self._kept:
            model.load_state({**self._kept, "step": model.state()["step"]})
        self._model = None

    def state(self) -> dict[str, np.ndarray]:
        """See :class:`Watcher`."""
        kept = {f"{_KEPT}{name}": array for name, array in self._kept.items()}
        return {**super().state(), "step": np.array(self._step), **kept}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """See :class:`Watcher`."""
        super().load_state(state)
        self._step = int(state["step"])
        self._kept = {k.removeprefix(_KEPT): v for k, v in state.items() if k.startswith(_KEPT)}
