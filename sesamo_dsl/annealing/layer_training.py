"""Training of the layers from a model: few parameters that bring paths there and back together.

:class:`.LayerParameters` change the steps, the spacing of the temperatures and the mass of all layers
smoothly. They are found on the pilot by the simplex of J. A. Nelder and R. Mead, Comput. J. 7 (1965) 308,
which needs no gradients, because moves that are accepted or rejected make the objective jump. All passes have
the same random numbers.

The objective is the distance D = log⟨w⟩ − 2 log⟨√w⟩ ≥ 0 between the paths from the model and those back from
exp(−S): −2 log ∫√(P P̃), for w ∝ P̃/P (A. Bhattacharyya, Bull. Calcutta Math. Soc. 35 (1943) 99). If log w is
normal, 4D is its variance, 2D the reverse KL divergence of the paths, log Z − ⟨log w⟩, and the ESS exp(−4D).
Of these D is the one that a pilot can tell. The error of ⟨log w⟩ from N samples is √(Var log w/N), to which
that of 2D is smaller by a factor of √(Var log w/2): on φ⁴ a search by ⟨log w⟩ chose layers that were worse
than before. The variance of log w is as sharp as D, but the few samples of a model far from exp(−S) that have
no weight at all dominate it, as those few that have most of it dominate the ESS.

A search among several parameters always finds some that look better on its pilot. A second pilot, of other
samples with other random numbers, compares the layers before and after, and only a significant gain is kept.
Both pilots are separate from the samples, whose weights are exact with any parameters.
"""

from __future__ import annotations

import time
from contextlib import suppress

import numpy as np
from scipy.optimize import minimize

from ..estimates.annealing_record import LayerParameters, LayerTraining
from ..markov.moves import State
from .layers import FEWEST, Layers, Tick, ess_of

PASSES = 40
"""Number of passes of the pilot in a training."""
VERIFICATION = 2
"""Number of passes of the second pilot."""
_FIRST = 0.6  # size of the first simplex
_ROUNDING = 1e-12  # a distance that is 0
_LARGEST = 3.0  # largest absolute value of a parameter
_WORST = 1e300  # in place of an infinite distance, with whose differences the simplex can compute
_SIGNIFICANT = 2.0  # standard errors by which the distance has to fall on the second pilot


class _TimeOver(Exception):
    """The time limit has ended the search."""


def trained(layers: Layers, seconds: float, tick: Tick, samples: int = 0) -> Layers:
    """The layers with trained parameters, or as they were if a second pilot finds them no better.

    Parameters
    ----------
    layers
        At least two; the log weights of a single layer do not depend on its move.
    seconds
        The time that training, second pilot and ``samples`` may take together.
    samples
        Number of samples that will pass the layers within the time.

    Returns
    -------
    Layers
        The layers, with the record of the training.
    """
    began = time.perf_counter()
    search = _Search(layers, began + seconds, VERIFICATION + samples / len(layers.pilot.leaked), tick)
    origin = np.zeros(len(LayerParameters()))
    bounds = [(-_LARGEST, _LARGEST)] * len(origin)
    simplex = np.vstack([origin, _FIRST * np.eye(len(origin))])
    options = {"maxfev": PASSES, "initial_simplex": simplex, "xatol": 0.0, "fatol": 0.0}  # no other end
    with suppress(_TimeOver):
        minimize(search, origin, method="Nelder-Mead", bounds=bounds, options=options)
    changed = layers.changed(search.best)
    (before, after), lost = _compared(layers, changed, tick)
    gain, error = _decrease(before[~lost], after[~lost])
    ess, trained_ess = (ess_of(np.where(lost, -np.inf, log_w)) for log_w in (before, after))
    kept = gain > _SIGNIFICANT * error and trained_ess >= ess
    spent = time.perf_counter() - began
    training = LayerTraining(search.best, kept, search.passes, PASSES, gain, error, ess, trained_ess, spent)
    chosen, pilot_ess = (changed, trained_ess) if kept else (layers, layers.pilot_ess)
    return Layers(layers.pilot, chosen.ladder, pilot_ess, training)


class _Search:
    """The objective of the search, which keeps the best parameters, shows progress and watches the time.

    Parameters
    ----------
    deadline
        The reading of ``time.perf_counter`` by which all has to be done.
    reserved
        Number of passes that have to follow before the deadline.
    """

    def __init__(self, layers: Layers, deadline: float, reserved: float, tick: Tick) -> None:
        self._layers, self._deadline, self._reserved, self._tick = layers, deadline, reserved, tick
        self._lost = _lost(layers, layers.pilot.state, layers.pilot.leaked)
        self._seconds, self._least = np.inf, np.inf
        self.best, self.passes = LayerParameters(), 0

    def __call__(self, point: np.ndarray) -> float:
        """D of the pilot with the parameters at a point, (4,)."""
        start, part = time.perf_counter(), self.passes / (PASSES + VERIFICATION)
        if self.passes and start + self._seconds * (1 + self._reserved) > self._deadline:
            raise _TimeOver
        parameters = LayerParameters(*map(float, point))
        pilot = self._layers.pilot
        log_w = self._layers.changed(parameters).log_weights(
            pilot.state,
            np.random.default_rng([pilot.seed, 17]),
            lambda: self._tick(f"training, pass {self.passes + 1} of {PASSES}", part),
        )
        found = _distance(log_w[~self._lost])[0]
        self.passes += 1
        self._seconds = min(self._seconds, time.perf_counter() - start)  # the first one may be compiled
        if found < self._least:
            self._least, self.best = found, parameters
        return found if np.isfinite(found) else _WORST


def _lost(layers: Layers, state: State, leaked: np.ndarray) -> np.ndarray:
    """The samples whose weight is zero through any layers, (samples,)."""
    return leaked | ~np.isfinite(layers.log_ratio(state))


def _compared(layers: Layers, changed: Layers, tick: Tick) -> tuple[list[np.ndarray], np.ndarray]:
    """Log weights of the second pilot through both, with the same random numbers, and which are lost."""
    state, leaked = layers.pilot.second()

    def shown() -> None:
        tick("second pilot", PASSES / (PASSES + VERIFICATION))

    found = [
        one.log_weights(state, np.random.default_rng([layers.pilot.seed, 18]), shown)
        for one in (layers, changed)
    ]
    return found, _lost(layers, state, leaked)


def _distance(log_w: np.ndarray) -> tuple[float, np.ndarray]:
    """D of log weights, (n,), and how much each of them changes it to first order, n times, (n,)."""
    w, root = (np.exp(power * (log_w - log_w.max())) for power in (1.0, 0.5))
    distance = np.log(w.mean()) - 2 * np.log(root.mean())
    return float(distance), w / w.mean() - 2 * root / root.mean() + 1


def _decrease(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """1 − D after/D before of paired log weights, (n,), with its standard error to first order.

    Both are 0 where there is nothing to compare: hardly any samples, or no distance before.
    """
    if len(before) < FEWEST:
        return 0.0, 0.0
    (old, of_old), (new, of_new) = _distance(before), _distance(after)
    if not old > _ROUNDING:
        return 0.0, 0.0
    influence = (of_new - new / old * of_old) / old
    return 1 - new / old, float(influence.std() / np.sqrt(len(before)))
