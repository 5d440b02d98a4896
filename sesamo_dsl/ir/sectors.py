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
    """The elements of the modulating group by number: those of one block, or of all blocks together.

    Attributes
    ----------
    order
        Number of elements of the group of one block.
    blocks
        Number of blocks; None for a group that acts on all sites alike.
    """

    order: int
    blocks: int | None

    @property
    def count(self) -> int:
        """Number of sectors, an exact integer of any size."""
        return self.order ** (1 if self.blocks is None else self.blocks)

    @property
    def enumerable(self) -> bool:
        """Whether the sectors are few enough to count what falls into each."""
        return self.count <= _COUNTABLE

    @property
    def joint(self) -> bool:
        """Whether laws are tables over all sectors; otherwise over the elements of each block."""
        return self.blocks is None or self.count <= _JOINT

    @property
    def law_shape(self) -> tuple[int, ...]:
        """Shape of what is drawn for one configuration: a sector, or an element for every block."""
        return () if self.joint or self.blocks is None else (self.blocks,)

    @cached_property
    def elements(self) -> np.ndarray:
        """u of every sector, (count,) or (count, blocks); only to be asked of groups that are small."""
        if self.blocks is None:
            return np.arange(self.order)
        return np.array(list(itertools.product(range(self.order), repeat=self.blocks)))

    def index(self, u: np.ndarray) -> np.ndarray:
        """Number of the sector, (batch,) or (batch, blocks) → (batch,)."""
        if self.blocks is None:
            return u
        return u @ self.order ** np.arange(self.blocks - 1, -1, -1)

    def masses(self, u: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Σ of the weights of the samples in each sector, (count,)."""
        return np.bincount(self.index(u), weights=weights, minlength=self.count)
