"""How much memory there is: what is asked for fits, and is worked on in pieces that do."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

from ..errors import OptionError

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
        most = 2**63  # bytes, of numbers of any size
        raise OptionError(
            subject,
            expected=f"what fits into the memory of this machine, {memory / 2**30:.3g} GiB",
            found=f"at least {min(numbers * _BYTES, most) / 2**30:.3g} GiB",
            remedy=remedy,
        )


def chunk_size(configuration_shape: Sequence[int]) -> int:
    """Configurations to work on at once: 4096, and fewer of large ones, so that memory stays bounded."""
    return max(16, min(4096, 2**20 // math.prod(configuration_shape)))
