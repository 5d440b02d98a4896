"""The sectors T_u Ω of the modulating group, and how they are numbered."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np

_COUNTABLE = 4096
_JOINT = 64  # S₁ is evaluated once per sector


@dataclass(frozen=True)
class Sectors:
    """The elements of the modulating group by number, one element for all sites or one for every block.

    Attributes
    ----------
    order
        Number of elements of the group of one block.
    n_blocks
        Number of blocks; None for a group that acts on all sites alike.
    """

    order: int
    n_blocks: int | None

    @property
    def count(self) -> int:
        """Number of sectors, an exact integer of any size."""
        return self.order ** (1 if self.n_blocks is None else self.n_blocks)

    @property
    def enumerable(self) -> bool:
        """Whether the sectors are few enough to count the samples in each."""
        return self.count <= _COUNTABLE

    @property
    def joint(self) -> bool:
        """True if p(u | y) is one table over all sectors; else it is a table for every block."""
        return self.n_blocks is None or self.count <= _JOINT

    @property
    def law_shape(self) -> tuple[int, ...]:
        """Shape of a draw for one configuration: () for the number of a sector, (blocks,) for elements."""
        return () if self.joint or self.n_blocks is None else (self.n_blocks,)

    @cached_property
    def elements(self) -> np.ndarray:
        """u of every sector, (count,) or (count, blocks); for small groups only."""
        if self.n_blocks is None:
            return np.arange(self.order)
        return np.array(list(itertools.product(range(self.order), repeat=self.n_blocks)))

    def index(self, u: np.ndarray) -> np.ndarray:
        """Number of the sector, (batch,) or (batch, blocks) → (batch,)."""
        if self.n_blocks is None:
            return u
        return u @ self.order ** np.arange(self.n_blocks - 1, -1, -1)

    def masses(self, u: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Σ of the weights of the samples in each sector, (count,)."""
        return np.bincount(self.index(u), weights=weights, minlength=self.count)
