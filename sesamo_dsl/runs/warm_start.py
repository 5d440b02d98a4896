"""Warm starts: the flow weights of one run for another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load as load_tensors

from .. import checks
from ..errors import RunError
from ..flows.spec import FlowSpec
from ..language.theory import Theory
from ..plan.options import TrainingOptions
from .registered import require_registered
from .run import Run
from .store import DAMAGES, RunDirectory, not_a_run, state_of


@dataclass(frozen=True, eq=False)
class WarmStart:
    """Flow weights of a finished run, for a run of the same fields at other couplings or on another lattice.

    The weights of a coupling flow do not know the extents of the lattice: they are the couplings between
    neighbours, in units of the base's width. The base itself is that of the new theory.

    Attributes
    ----------
    flow
        Architecture the weights belong to, or the name of a flow that a user has added.
    weights
        Arrays of the flow by their names in the state of a model.
    components, dimension
        Of the theory it was trained on.
    """

    directory: str
    flow: FlowSpec | str
    weights: dict[str, np.ndarray]
    components: int
    dimension: int

    @classmethod
    def of(cls, run: Run | str | Path) -> WarmStart:
        """From a run, or from its directory; RunError if there is none."""
        if isinstance(run, Run):
            shape, name = run.compiled.program.configuration_shape, str(run.directory or run)
            return cls(name, run.plan.flow, _flow_weights(run.model.state()), shape[0], len(shape) - 1)
        place = checks.path(run, "start_from")
        record, files = RunDirectory(place).read()
        require_registered(place, record)
        try:
            shape = record["configuration_shape"]
            flow = TrainingOptions.from_json(record["options"]).flow
            if flow is None:
                raise ValueError("no architecture in its options")
            state = load_tensors(state_of(files))
            return cls(str(place), flow, _flow_weights(state), int(shape[0]), len(shape) - 1)
        except DAMAGES as error:
            raise not_a_run(place, error) from error

    def apply(
        self, state: dict[str, np.ndarray], theory: Theory, flow: FlowSpec | str
    ) -> dict[str, np.ndarray]:
        """A fresh model's state with these flow weights; RunError unless they fit."""
        found = f"{self.components} components in {self.dimension} dimensions, {self.flow}"
        components, dimension = len(theory.components), theory.lattice.dimension
        own = _flow_weights(state)
        same = (self.components, self.dimension, self.flow) == (components, dimension, flow)
        if not same or {k: v.shape for k, v in own.items()} != {k: v.shape for k, v in self.weights.items()}:
            raise RunError(
                f"start_from {self.directory}",
                expected=f"a run of {components} components in {dimension} dimensions, {flow}",
                found=found if not same else f"weights of other shapes, for {found}",
                remedy="start from a run of the same theory on another lattice, and leave the flow to it; "
                "an extent of 1 has no neighbours and goes with no other",
            )
        return {**state, **{name: self.weights[name].astype(state[name].dtype) for name in own}}


def _flow_weights(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.array(value) for name, value in state.items() if name.startswith("flow.")}
