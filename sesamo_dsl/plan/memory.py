"""A check that a training step fits into memory, before memory is allocated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from ..flows.architecture import Architecture
from ..flows.bisection import BisectionSpec
from ..machine.memory import check_memory


def check_training_memory(flow: Architecture | str, batch: int, shape: Sequence[int]) -> None:
    """OptionError if a lower bound on the memory of a training step is more than there is.

    Parameters
    ----------
    flow
        Architecture, or the name of a user's flow, whose sizes are not known.
    batch
        Number of configurations of a step.
    shape
        Shape of one configuration, (components, *lattice).
    """
    components, sites = shape[0], math.prod(shape[1:])
    if isinstance(flow, str):
        check_memory(batch * sites * components, f"option batch = {batch}", "choose a smaller batch")
        return
    if isinstance(flow, BisectionSpec):
        layers, seen = 1, 2 * flow.neighbours * components
        networks = components * max(sites - 1, 1).bit_length()
    else:
        layers = networks = flow.layers
        seen = components * flow.kernel ** (len(shape) - 1) if sites > 1 else components
    widths = [seen, *flow.hidden, components * flow.parameters_per_entry]
    weights = networks * sum(a * b for a, b in pairwise(widths))
    # weights, gradient and two moments of Adam; for the gradient a step keeps the values of hidden layers
    kept = layers * batch * sites * (sum(flow.hidden) + components)
    check_memory(4 * weights, f"flow {flow}", "choose fewer layers, or narrower ones")
    check_memory(kept, f"option batch = {batch}", "choose a smaller batch, or a smaller flow")
