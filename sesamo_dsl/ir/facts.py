"""What a model has to know of a derivation beside its Program, and the same as plain data.

An :class:`~sesamo_dsl.analysis.result.Analysis` answers these questions from SymPy expressions; a run that is
read back answers them from :class:`StoredFacts`, without any declaration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np

from ..values.couplings import Couplings

OrbitKind = Literal["none", "uniform", "von_mises", "tabulated"]


class Facts(Protocol):
    """See :class:`~sesamo_dsl.analysis.result.Analysis`, which implements it."""

    @property
    def is_modulated(self) -> bool:
        """Whether there is any symmetry to modulate with."""
        ...

    @property
    def is_broken(self) -> bool:
        """Whether there is a breaking part S₁."""
        ...

    @property
    def coupled(self) -> bool:
        """Whether S₁ couples blocks whose sectors are too many for a table."""
        ...

    @property
    def chained(self) -> bool:
        """Whether the conditional law is one block after the other."""
        ...

    @property
    def turns_together(self) -> bool:
        """Whether the group that acts at all blocks alike leaves the action alone."""
        ...

    @property
    def block_shape(self) -> tuple[int, ...]:
        """Extents of the block axes."""
        ...

    @property
    def table(self) -> np.ndarray:
        """Products of elements of the finite group, (order, order)."""
        ...

    @property
    def surviving(self) -> Sequence[int] | None:
        """Elements of a broken finite group that leave the action alone."""
        ...

    @property
    def slice_dimensions(self) -> tuple[int, ...]:
        """N of the sphere S^(N−1) that every Lie group sweeps."""
        ...

    @property
    def orbit_law(self) -> OrbitKind:
        """The heat bath on the orbits of the Lie groups."""
        ...

    def source_at(self, parameters: Couplings) -> np.ndarray | None:
        """h of a linear source on the only slice at given couplings, (N,); None if S₁ is anything else."""
        ...


@dataclass(frozen=True, eq=False)
class StoredFacts:
    """Facts as they were at the couplings of a run."""

    is_modulated: bool
    is_broken: bool
    coupled: bool
    chained: bool
    turns_together: bool
    block_shape: tuple[int, ...]
    table: np.ndarray
    surviving: tuple[int, ...] | None
    slice_dimensions: tuple[int, ...]
    orbit_law: OrbitKind
    source: np.ndarray | None

    @classmethod
    def of(cls, facts: Facts, parameters: Couplings) -> StoredFacts:
        """A copy of what is known, at given couplings."""
        surviving = None if facts.surviving is None else tuple(map(int, facts.surviving))
        return cls(
            bool(facts.is_modulated),
            bool(facts.is_broken),
            bool(facts.coupled),
            bool(facts.chained),
            bool(facts.turns_together),
            tuple(facts.block_shape),
            np.asarray(facts.table, dtype=np.int64),
            surviving,
            tuple(facts.slice_dimensions),
            facts.orbit_law,
            facts.source_at(parameters),
        )

    def source_at(self, parameters: Couplings) -> np.ndarray | None:
        """See :class:`Facts`; the couplings are those of the run."""
        return self.source

    def as_data(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Plain values, and arrays by name."""
        values = {name: value for name, value in vars(self).items() if name not in ("table", "source")}
        arrays = {"table": self.table} | ({} if self.source is None else {"source": self.source})
        return values, arrays

    @classmethod
    def from_data(
        cls, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray], order: int
    ) -> StoredFacts:
        """Inverse of :meth:`as_data`; ValueError for what cannot be facts on a group of this order."""
        table, source = arrays["table"], arrays.get("source")
        surviving: list[Any] | None
        surviving, dimensions = values["surviving"], values["slice_dimensions"]
        flags = [values[name] for name in _FLAGS]
        counts: list[Any] = [*values["block_shape"], *dimensions, *(surviving or [])]
        if table.shape != (order, order) or table.dtype != np.int64:
            raise ValueError(f"a table of products of shape {table.shape}, {table.dtype}")
        if table.min() < 0 or table.max() >= order or any(u >= order for u in surviving or []):
            raise ValueError("elements that the group does not have")
        if not all(isinstance(flag, bool) for flag in flags):
            raise ValueError("facts that are neither true nor false")
        if not all(type(count) is int and count >= 0 for count in counts):
            raise ValueError("counts that are no natural numbers")
        if values["orbit_law"] not in get_args(OrbitKind):
            raise ValueError(f"orbit law {values['orbit_law']!r}")
        if values["orbit_law"] == "von_mises" and (source is None or [len(source)] != dimensions):
            raise ValueError("a linear source that is not there, or does not fit its slice")
        return cls(
            **{name: values[name] for name in _FLAGS},
            block_shape=tuple(values["block_shape"]),
            table=table,
            surviving=None if surviving is None else tuple(surviving),
            slice_dimensions=tuple(dimensions),
            orbit_law=values["orbit_law"],
            source=source,
        )


_FLAGS = ("is_modulated", "is_broken", "coupled", "chained", "turns_together")
