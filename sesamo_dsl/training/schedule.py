"""Learning rate and weight of the forward divergence as functions of the progress of a training."""

from __future__ import annotations

import math

from ..plan.plan import Plan

BETAS = (0.9, 0.99)  # of Adam; the short memory follows the quickly changing early gradients
_LEAST_PART = 0.2  # part of its first weight to which the forward divergence falls


def learning_rate(plan: Plan, progress: float, step: int) -> float:
    """The rate: linear warm-up over 3 % of the training (at least 20 steps), then a half cosine to 1 %."""
    warm_up = min(progress / 0.03, (step + 1) / 20, 1.0) if step else 0.05
    decay = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return plan.learning_rate * warm_up * decay


def forward_weight(plan: Plan, progress: float) -> float:
    """w of (1 − w) KL(q‖p) + w KL(p‖q): constant, or falling linearly to a fifth at 40 % of the training.

    The forward part shows the flow modes that it does not draw itself. Its gradient is noisy even at the
    optimum, and repeated configurations are learned by heart; without it, rare regions are lost again.
    """
    falls = plan.forward_schedule == "falling"
    return plan.forward_weight * (max(_LEAST_PART, 1 - 2 * progress) if falls else 1.0)
