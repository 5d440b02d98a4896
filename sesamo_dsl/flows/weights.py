"""The weights of a coupling flow: names, shapes, initial values, and checks of given weights."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigurationError
from ..values.node_order import NodeOrder
from .couplings import coupling
from .spec import FlowSpec
from .zero_mode import has_zero_mode_layer, initial_zero_mode_layer


def initial_state(
    spec: FlowSpec, components: int, shape: tuple[int, ...], seed: int, nodes: NodeOrder | None = None
) -> dict[str, NDArray[np.float64]]:
    """Initial weights by name, with which all layers are the identity: random hidden, zero last layers.

    Block b of layer l has ``layers.l.blocks.b.mean`` (width, means) and, for each layer n of its network,
    ``layers.l.blocks.b.weight.n`` (outputs, inputs) and ``layers.l.blocks.b.bias.n`` (outputs, 1). The
    weights of the zero-mode layer come from :func:`~sesamo_dsl.flows.zero_mode.initial_zero_mode_layer`.
    """
    generator = np.random.default_rng(seed)
    state: dict[str, NDArray[np.float64]] = {}
    for layer in range(spec.layers):
        tables = coupling(layer % 2, spec.kernel, components, shape, nodes)
        for index, block in enumerate(tables.blocks):
            name = f"layers.{layer}.blocks.{index}"
            means = tables.mean_weights.shape[0]
            widths = [block.neighbours.shape[0], *spec.hidden, block.components * spec.parameters_per_entry]
            last = len(widths) - 2
            for depth, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
                fan_in = inputs + (means if depth == 0 else 0)
                # variance 1/fan_in keeps the size of the signal
                bound = 0.0 if depth == last else math.sqrt(3 / max(fan_in, 1))
                state[f"{name}.weight.{depth}"] = generator.uniform(-bound, bound, (outputs, inputs))
                state[f"{name}.bias.{depth}"] = generator.uniform(-bound, bound, (outputs, 1))
                if depth == 0:
                    state[f"{name}.mean"] = generator.uniform(-bound, bound, (outputs, means))
    if has_zero_mode_layer(spec, shape, nodes is not None):
        state |= initial_zero_mode_layer(spec, components, generator)
    return state


def check_state(expected: Mapping[str, tuple[int, ...]], state: Mapping[str, NDArray[Any]]) -> None:
    """Raise ValueError unless ``state`` has exactly the expected names and shapes."""
    _require(set(expected) == set(state), "state", f"the arrays {sorted(expected)}", sorted(state))
    for name, shape in expected.items():
        _require(np.shape(state[name]) == shape, name, f"shape {shape}", np.shape(state[name]))


def check_batch(found: tuple[int, ...], components: int, shape: tuple[int, ...]) -> None:
    """Raise ConfigurationError unless the shape ``found`` is (batch, components, *shape)."""
    if found[1:] != (components, *shape):
        raise ConfigurationError(
            "field",
            expected=f"shape (batch, {components}, *{shape})",
            found=str(found),
            remedy="put the batch first and the components on axis 1",
        )


def _require(valid: bool, name: str, expected: str, found: object) -> None:
    if not valid:
        raise ValueError(f"{name}: expected {expected}, found {found}")
