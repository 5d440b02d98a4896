"""Values of couplings: one number each, or an array over the sites for a site-dependent one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

Coupling = float | np.ndarray
"""The value of a parameter, or of a SiteConstant, an array (*lattice)."""
Couplings = Mapping[str, Coupling]
"""Values of couplings by name."""


def coupling_text(value: Coupling) -> str:
    """A coupling as short text: the number, or the shape and range of an array."""
    if np.ndim(value) == 0:
        return f"{float(value):g}"
    array = np.asarray(value)
    return f"array({'×'.join(map(str, array.shape))}, {array.min():g} … {array.max():g})"


def at_couplings(values: Couplings) -> str:
    """`` with couplings a = 1, …``, or nothing for a theory without couplings."""
    return f" with couplings {couplings_text(values)}" if values else ""


def couplings_text(values: Couplings) -> str:
    """All couplings on one line, ``kappa = 0.3, h = array(8×8, -1.2 … 0.9)``."""
    return ", ".join(f"{name} = {coupling_text(value)}" for name, value in values.items())


def same_couplings(one: Couplings, other: Couplings) -> bool:
    """Whether both have the same couplings with equal values."""
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def numbers_only(values: Couplings) -> dict[str, float]:
    """The couplings that are single numbers."""
    return {name: float(value) for name, value in values.items() if np.ndim(value) == 0}


def arrays_only(values: Couplings) -> dict[str, np.ndarray]:
    """The site-dependent couplings."""
    return {name: np.asarray(value) for name, value in values.items() if np.ndim(value) > 0}


def couplings_key(values: Couplings) -> tuple[tuple[str, bytes], ...]:
    """A hashable key of couplings, equal for equal values."""
    return tuple((name, np.asarray(values[name], dtype=np.float64).tobytes()) for name in sorted(values))


@dataclass(frozen=True)
class Point:
    """A point in coupling space, hashable: two points are equal if all their values are."""

    values: Couplings = field(compare=False)
    key: tuple[tuple[str, bytes], ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", couplings_key(self.values))
