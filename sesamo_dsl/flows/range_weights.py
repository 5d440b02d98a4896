"""Weights of a flow that are functions of the couplings, for a training over a range of them.

The first biases of the networks, and the spline of the zero-mode layer, are W + V f(θ) with polynomials f of
the couplings θ. A first bias V f(θ) is the same as f(θ) among the inputs of the network. V begins at zero. At
one point the weights are those of an ordinary flow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

OVER = "flow.over."
"""Beginning of the names of V; the rest is the name of W without ``flow.``."""
MISSES = "over.misses"
"""Name of 1 − ESS at the points of a training, (points,), in its state."""
_VARIED = re.compile(r"flow\.(layers\.\d+\.blocks\.\d+\.bias\.0|zero_mode\.bias\.0|zero_mode\.spline)")


def initial_over(state: Mapping[str, NDArray[Any]], features: int) -> dict[str, NDArray[np.float64]]:
    """V for a flow with such weights: zeros, (*shape of W without an axis of the batch, features)."""
    return {
        OVER + name.removeprefix("flow."): np.zeros((*_shape(name, values), features))
        for name, values in state.items()
        if _VARIED.fullmatch(name)
    }


def _shape(name: str, values: NDArray[Any]) -> tuple[int, ...]:
    return values.shape if name.endswith("spline") else values.shape[:1]


def weights_over(weights: Mapping[str, Any], features: Any) -> dict[str, Any]:
    """Weights with the batch as their last axis where they vary, for features (features, batch).

    Works on arrays of any framework.
    """
    found = {name: values for name, values in weights.items() if not name.startswith(OVER)}
    for name, slope in weights.items():
        if name.startswith(OVER):
            of = f"flow.{name.removeprefix(OVER)}"
            found[of] = weights[of].reshape(*slope.shape[:-1], 1) + slope @ features
    return found


def weights_at(weights: Mapping[str, Any], features: Any) -> dict[str, Any]:
    """The weights of an ordinary flow at one point, for features (features, 1)."""
    return {
        name: values.reshape(weights[name].shape) for name, values in weights_over(weights, features).items()
    }


def state_at(state: Mapping[str, NDArray[Any]], features: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    """The state of an ordinary model at one point, for features (features, 1), with Adam's moments of W."""
    memory = {name: v for name, v in state.items() if name == "step" or name.startswith("adam.")}
    kept = {name: v for name, v in memory.items() if f".{OVER}" not in name}
    left = memory.keys() | {name for name in state if name.startswith(("optimizer", MISSES))}
    own = {name: v for name, v in state.items() if name not in left}
    found = weights_at(own, features)
    return {name: np.asarray(v, own[name].dtype) for name, v in found.items()} | kept
