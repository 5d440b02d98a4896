"""The record of an annealing of samples of a model to exp(−S)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp


class LayerParameters(NamedTuple):
    """Smooth changes of the layers of an annealing; zeros leave them as a pilot adapts them.

    Attributes
    ----------
    step
        Logarithm of a factor of all step sizes.
    slope, spacing
        Logarithms of the factors that the step size and the increment of β gain at the last layer and lose at
        the first, linear in the number of the layer between them.
    mass
        Half of the logarithm of the factor that the step size of the stiffest direction gains over that of
        the softest, linear in the logarithm of the stiffness: the mass becomes a power of what it was.
    """

    step: float = 0.0
    slope: float = 0.0
    spacing: float = 0.0
    mass: float = 0.0

    def __str__(self) -> str:
        return ", ".join(f"{name} {value:+.2f}" for name, value in self._asdict().items())


@dataclass(frozen=True)
class LayerTraining:
    """What a training of layers has found, and how a second pilot judged it.

    Attributes
    ----------
    parameters
        The parameters that were found.
    kept
        Whether the layers have these parameters; else they are as without a training.
    evaluations, planned
        Number of passes of the first pilot that were made, and that were planned; the time limit can end a
        training before.
    gain, gain_error
        Decrease of the distance log⟨w⟩ − 2 log⟨√w⟩ of the paths there and back by the training, relative to
        that before, with its standard error; measured on the second pilot, by which nothing was trained. For
        normal log w the distance is a quarter of their variance.
    untrained_ess, trained_ess
        ESS of the second pilot through the layers before and after the training.
    seconds
        Duration of the training, with the second pilot.
    """

    parameters: LayerParameters
    kept: bool
    evaluations: int
    planned: int
    gain: float
    gain_error: float
    untrained_ess: float
    trained_ess: float
    seconds: float = field(compare=False)

    def __str__(self) -> str:
        cost = f"{self.evaluations} passes of the pilot in {self.seconds:.1f} s"
        if self.evaluations < self.planned:
            cost += f", of {self.planned} for which the time was too short"
        distance = f"the distance of paths falls by {100 * self.gain:.0f} ± {100 * self.gain_error:.0f} %"
        ess = f"the ESS goes from {self.untrained_ess:.5f} to {self.trained_ess:.5f}"
        verdict = str(self.parameters) if self.kept else "not better, so the layers stay untrained"
        return f"{verdict} ({cost}; on a second pilot {distance}, {ess})"


@dataclass(frozen=True)
class AnnealingRecord:
    """Layers, cost and success of an annealing of samples from a model to exp(−S).

    Attributes
    ----------
    layers
        Number of temperatures, with a trajectory and a round of group moves at each; 0 if the samples of the
        model were good enough.
    acceptance
        Mean acceptance probability of the trajectories.
    action_evaluations, density_evaluations
        Evaluations of S with its gradient, and of log q without, per sample.
    model_ess
        ESS of the samples as the model drew them.
    pilot_ess
        ESS of the pilot, the batch that determined the step sizes; for trained layers of the second pilot.
    seed
        Seed of the annealing and of its pilots.
    training
        Record of the training of the layers; None without one.
    """

    layers: int
    acceptance: float
    action_evaluations: int
    density_evaluations: int
    model_ess: float
    pilot_ess: float
    seed: int
    training: LayerTraining | None = None

    @property
    def parameters(self) -> LayerParameters | None:
        """The parameters that the layers were trained to; None if they are untrained."""
        return self.training.parameters if self.training is not None and self.training.kept else None

    def __str__(self) -> str:
        if not self.layers:
            return f"no layers: the ESS in the model is {self.model_ess:.5f}"
        trained = "" if self.training is None else f"; training: {self.training}"
        return (
            f"{self.layers} layers, {self.action_evaluations} evaluations of S and "
            f"{self.density_evaluations} of log q for each sample, "
            f"acceptance {self.acceptance:.2f}; ESS {self.model_ess:.5f} in the model, "
            f"{self.pilot_ess:.5f} in the pilot{trained}"
        )


def ess_of(log_weights: np.ndarray) -> float:
    """(Σw)²/(N Σw²) from log weights, (N,); 0 if all weights are zero."""
    kept = log_weights[np.isfinite(log_weights)]
    if not len(kept):
        return 0.0
    first, second = (float(np.asarray(logsumexp(factor * kept))) for factor in (1, 2))
    return math.exp(2 * first - second) / len(log_weights)
