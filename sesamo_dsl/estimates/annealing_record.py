"""The record of an annealing of samples of a model to exp(−S)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp


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
        ESS of the pilot, the batch that determined the step sizes.
    seed
        Seed of the annealing and of its pilot.
    """

    layers: int
    acceptance: float
    action_evaluations: int
    density_evaluations: int
    model_ess: float
    pilot_ess: float
    seed: int

    def __str__(self) -> str:
        if not self.layers:
            return f"no layers: the ESS in the model is {self.model_ess:.5f}"
        return (
            f"{self.layers} layers, {self.action_evaluations} evaluations of S and "
            f"{self.density_evaluations} of log q for each sample, "
            f"acceptance {self.acceptance:.2f}; ESS {self.model_ess:.5f} in the model, "
            f"{self.pilot_ess:.5f} in the pilot"
        )


def ess_of(log_weights: np.ndarray) -> float:
    """(Σw)²/(N Σw²) from log weights, (N,); 0 if all weights are zero."""
    kept = log_weights[np.isfinite(log_weights)]
    if not len(kept):
        return 0.0
    first, second = (float(np.asarray(logsumexp(factor * kept))) for factor in (1, 2))
    return math.exp(2 * first - second) / len(log_weights)
