"""Warm starts: a new run starts with the flow weights of an earlier run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load as load_tensors

from .. import checks
from ..errors import RunError
from ..flows.architecture import Architecture
from ..flows.bisection import BisectionSpec
from ..flows.coupling_range import CouplingRange
from ..flows.range_weights import OVER, state_at
from ..language.theory import Theory
from ..plan.options import TrainingOptions
from ..values.couplings import Couplings
from .registered import require_registered
from .run import Run
from .store import DAMAGES, RunDirectory, not_a_run, state_of


@dataclass(frozen=True, eq=False)
class WarmStart:
    """Flow weights of a run, for a run of the same fields at other couplings or on another lattice.

    The sizes of the weights of a coupling flow do not depend on the extents of the lattice: its networks see
    neighbours in a window, in units of the base's width. A bisection of a longer chain has further levels,
    which start as they would without a warm start. The new run has the base of its own theory.

    Attributes
    ----------
    directory
        The directory of the earlier run, or its description if it has none.
    flow
        The architecture of the weights, or the name of a user's flow.
    weights
        Arrays of the flow by their names in the state of a model.
    components, dimension
        Number of field components and lattice dimension of the earlier run.
    over, parameters
        The range of couplings of the earlier run, if it has one, and its couplings. A run over the same range
        gets the weights as functions of the couplings; every other run those at the couplings.
    """

    directory: str
    flow: Architecture | str
    weights: dict[str, np.ndarray]
    components: int
    dimension: int
    over: CouplingRange | None = None
    parameters: Couplings | None = None

    @classmethod
    def of(cls, run: Run | str | Path) -> WarmStart:
        """The weights of a run, given as an object or by its directory; RunError if it cannot be read."""
        if isinstance(run, Run):
            shape, name = run.compiled.program.configuration_shape, str(run.directory or repr(run))
            begun = run.plan.over, run.parameters
            return cls(name, run.plan.flow, _flow(run.model.state()), shape[0], len(shape) - 1, *begun)
        place = checks.path(run, "start_from")
        record, files = RunDirectory(place).read()
        require_registered(place, record)
        try:
            shape = record["configuration_shape"]
            options = TrainingOptions.from_json(record["options"])
            flow, over = options.flow, None if options.over is None else CouplingRange.of(options.over)
            if flow is None:
                raise ValueError("no architecture in its options")
            state = load_tensors(state_of(files))
            begun = over, dict(record["parameters"])
            return cls(str(place), flow, _flow(state), int(shape[0]), len(shape) - 1, *begun)
        except DAMAGES as error:
            raise not_a_run(place, error) from error

    def apply(
        self,
        state: dict[str, np.ndarray],
        theory: Theory,
        flow: Architecture | str,
        over: CouplingRange | None,
    ) -> dict[str, np.ndarray]:
        """The state of a new model with these flow weights in it.

        Raises
        ------
        RunError
            If components, dimension, architecture or shapes of weights differ.
        """
        found = f"{self.components} components in {self.dimension} dimensions, {self.flow}"
        components, dimension = len(theory.components), theory.lattice.dimension
        own, given = _flow(state), self.weights
        if self.over is not None and self.parameters is not None and not self.over.has_the_box_of(over):
            given = _flow(state_at(given, self.over.features(self.over.point(self.parameters)[None]).T))
        if not any(name.startswith(OVER) for name in given):  # those of a range begin as at one point
            own = {name: value for name, value in own.items() if not name.startswith(OVER)}
        same = (self.components, self.dimension, self.flow) == (components, dimension, flow)
        if isinstance(flow, BisectionSpec):  # levels that one chain lacks stay as they are in the other
            own, given = ({k: v for k, v in w.items() if k in own and k in given} for w in (own, given))
        if not same or {k: v.shape for k, v in own.items()} != {k: v.shape for k, v in given.items()}:
            raise RunError(
                f"start_from {self.directory}",
                expected=f"a run of {components} components in {dimension} dimensions, {flow}",
                found=found if not same else f"weights of other shapes, for {found}",
                remedy="start from a run of the same theory on another lattice, and leave the flow to it; "
                "an extent of 1 has no neighbours and goes with no other",
            )
        return {**state, **{name: given[name].astype(state[name].dtype) for name in own}}


def _flow(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The weights of the flow; over a range those by which they depend on the couplings as well."""
    return {name: np.array(value) for name, value in state.items() if name.startswith("flow.")}
