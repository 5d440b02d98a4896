"""Whether there is memory enough for what was asked for, before any of it is asked for."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from itertools import pairwise

from ..errors import OptionError
from ..flows.spec import FlowSpec

_BYTES = 4  # of a number in float32


def physical_memory() -> int:
    """Bytes of the machine, or 64 GiB where it does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 64 * 2**30


def check_memory(numbers: float, subject: str, remedy: str) -> None:
    """OptionError if so many numbers are more than the machine can hold."""
    memory = physical_memory()
    if numbers * _BYTES > memory:
        raise OptionError(
            subject,
            expected=f"what fits into the memory of this machine, {memory / 2**30:.3g} GiB",
            found=f"at least {numbers * _BYTES / 2**30:.3g} GiB",
            remedy=remedy,
        )


def check_training_memory(flow: FlowSpec, batch: int, shape: Sequence[int]) -> None:
    """OptionError if a step of training cannot fit, by a bound from below.

    Parameters
    ----------
    shape
        Of one configuration, (components, *lattice).
    """
    components, sites = shape[0], math.prod(shape[1:])
    seen = components * flow.kernel ** (len(shape) - 1) if sites > 1 else components
    widths = [seen, *flow.hidden, components * flow.parameters_per_entry]
    weights = flow.layers * sum(a * b for a, b in pairwise(widths))
    # weights, gradient and both moments of Adam; a step keeps what hidden layers gave, for the gradient
    kept = flow.layers * batch * sites * (sum(flow.hidden) + components)
    check_memory(4 * weights, f"flow {flow}", "choose fewer layers, or narrower ones")
    check_memory(kept, f"option batch = {batch}", "choose a smaller batch, or a smaller flow")
