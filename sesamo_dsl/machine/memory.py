"""Memory limits: a check that a request fits, and the size of the chunks in which arrays are processed."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

from ..errors import OptionError

_BYTES = 4  # per number in float32


def physical_memory() -> int:
    """Bytes of physical memory, or 64 GiB if the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 64 * 2**30


def check_memory(numbers: float, subject: str, remedy: str) -> None:
    """Raise OptionError if an array of so many numbers does not fit into memory."""
    memory = physical_memory()
    if numbers * _BYTES > memory:
        most = 2**63  # bytes, the limit of array sizes
        raise OptionError(
            subject,
            expected=f"what fits into the memory of this machine, {memory / 2**30:.3g} GiB",
            found=f"at least {min(numbers * _BYTES, most) / 2**30:.3g} GiB",
            remedy=remedy,
        )


def chunk_size(configuration_shape: Sequence[int]) -> int:
    """Number of configurations per chunk: 4096, fewer for large ones so that memory stays bounded."""
    return max(16, min(4096, 2**20 // math.prod(configuration_shape)))
