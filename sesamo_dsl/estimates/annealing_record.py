"""What has become of samples of a model that were annealed to exp(−S)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AnnealingRecord:
    """How samples of a model were taken to exp(−S), and what that cost.

    Attributes
    ----------
    layers
        Temperatures, with a trajectory and a round of group moves at each; 0 where the model was good enough.
    acceptance
        Mean acceptance probability of the trajectories.
    evaluations
        Of S and log q with their gradients, for each sample.
    model_ess
        ESS that the samples had as the model drew them.
    pilot_ess
        ESS of the batch that step sizes were found with.
    seed
        Of that batch.
    """

    layers: int
    acceptance: float
    evaluations: int
    model_ess: float
    pilot_ess: float
    seed: int

    def __str__(self) -> str:
        if not self.layers:
            return f"no layers: the ESS in the model is {self.model_ess:.5f}"
        return (
            f"{self.layers} layers, {self.evaluations} evaluations of S and log q for each sample, "
            f"acceptance {self.acceptance:.2f}; ESS {self.model_ess:.5f} in the model, "
            f"{self.pilot_ess:.5f} in the pilot"
        )
