"""Couplings with one value for each configuration of a batch, and what a flow takes from them.

A function that gets several images of each configuration, image by image, needs the couplings as often: all
of this file is repeated in that order for a larger batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..flows.range_weights import weights_over
from .arrays import Array, Arrays, Weights
from .base_arrays import BaseArrays, repeated


@dataclass(frozen=True, eq=False)
class Given:
    """Couplings of the configurations of one batch.

    Attributes
    ----------
    couplings
        The emitted functions' arguments for the couplings that vary, (batch,) each.
    features
        Polynomials of the couplings, (batch, features), in the type of the flow.
    base
        The base of each configuration.
    wall
        Mean and standard deviation of the distance from each wall under the base, (batch, …), for a chart.
    apart
        Groups of configurations with equal couplings, see :func:`.batch_ess`.
    """

    arrays: Arrays
    couplings: Mapping[str, Array]
    features: Array
    base: BaseArrays
    wall: tuple[Array, ...] | None
    apart: Array

    def weights(self, weights: Weights, count: int) -> Weights:
        """The weights of the flow for a batch of images, with the batch as last axis where they vary."""
        return weights_over(weights, repeated(self.arrays, self.features, count).T)

    def bound(self, functions: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
        """Emitted functions, with other values of the couplings filled in, at these couplings."""
        return {name: self._bound(function) for name, function in functions.items()}

    def _bound(self, function: Callable[..., Any]) -> Callable[..., Any]:
        filled = function.keywords if isinstance(function, partial) else {}
        varied = {name: values for name, values in self.couplings.items() if name in filled}
        if not varied:
            return function

        def at_these(x: Array, *rest: Array) -> Any:
            count = len(x)
            values = {name: repeated(self.arrays, each, count) for name, each in varied.items()}
            return function(x, *rest, **values)

        return at_these
