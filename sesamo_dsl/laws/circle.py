"""A learned law of the angle θ of a one-parameter group: a circular spline, θ = f(v) + θ₀.

v is uniform on the circle and f a monotone rational-quadratic spline of [−π, π] onto itself whose slope is
the same at both ends, so that the density 1/(2π f′) is positive, periodic and continuous. θ is
reparametrised: the gradient goes through it, and no other estimator is needed. A new law is uniform.

The law "learned" has one spline for all y; "conditional" adds a network of invariants of y to its parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..flows.base import GaussianBase
from ..ir.facts import Facts
from ..ir.interpreter import run
from ..ir.program import Program
from .conditional import HIDDEN, FeatureSpec, drawn, network_state

BINS = 24
LIMIT = 3.0
"""Bound on the logits of the bins and on the log slopes at the knots."""


@dataclass(frozen=True, eq=False)
class CircleSpec:
    """Inputs and initial weights of a circular spline, for any framework.

    Attributes
    ----------
    features
        The features of y that its network takes; None if the spline does not depend on y.
    """

    features: FeatureSpec | None

    @classmethod
    def of(
        cls, law: str, program: Program, facts: Facts, base: GaussianBase, strategy: str | None
    ) -> CircleSpec | None:
        """The spline of a theory, None if no circle is broken and modulated or ``law`` is not learned."""
        if law not in ("learned", "conditional") or strategy == "none" or facts.orbit_law == "uniform":
            return None
        if facts.slice_dimensions != (2,):
            return None
        if law == "learned":
            return cls(None)
        y = run(program, "orient", {"y": drawn(program, base, strategy)}, {})[0]
        return cls(FeatureSpec.of(program, run(program, "on_slice", {"y": y}, {})[0]))

    def initial_state(self, seed: int) -> dict[str, np.ndarray]:
        """``spline``, (3·BINS + 1, 1): logits of widths and heights, log slopes, θ₀; and the network."""
        outputs = 3 * BINS + 1
        network = {} if self.features is None else network_state([len(self.features), *HIDDEN, outputs], seed)
        return {"spline": np.zeros((outputs, 1)), **network}
