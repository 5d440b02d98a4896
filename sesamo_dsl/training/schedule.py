"""The learning rate as a function of the progress of a training."""

from __future__ import annotations

import math

from ..plan.plan import Plan

BETAS = (0.9, 0.99)  # of Adam; the short memory follows the quickly changing early gradients
_LARGEST_RATE = 1e30  # representable in float32; a training with this rate diverges at once


def learning_rate(plan: Plan, progress: float, step: int) -> float:
    """The rate: linear warm-up over 3 % of the training (at least 20 steps), then a half cosine to 1 %."""
    warm_up = min(progress / 0.03, (step + 1) / 20, 1.0) if step else 0.05
    decay = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return min(plan.learning_rate, _LARGEST_RATE) * warm_up * decay
