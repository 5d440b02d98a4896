"""Facts about the symmetries of a theory that a model needs beside its Program, and their form on disk.

An :class:`~sesamo_dsl.analysis.result.Analysis` computes them from SymPy expressions; a run that is read back
has them as :class:`StoredFacts` and needs no declaration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np

from ..values.couplings import Couplings

OrbitKind = Literal["none", "uniform", "von_mises", "tabulated"]


class Facts(Protocol):
    """Symmetry facts of a theory; :class:`~sesamo_dsl.analysis.result.Analysis` implements the protocol."""

    @property
    def is_modulated(self) -> bool:
        """True if the theory has a symmetry group, finite or Lie, for the modulation."""
        ...

    @property
    def is_broken(self) -> bool:
        """True if S = S₀ + S₁ has a part S₁ that breaks the symmetry."""
        ...

    @property
    def coupled(self) -> bool:
        """True if S₁ couples the blocks and there are too many sectors u for a table of p(u | y)."""
        ...

    @property
    def chained(self) -> bool:
        """True if the law of u is autoregressive in the blocks, Π_b p(u_b | u_1 … u_(b−1), y)."""
        ...

    @property
    def turns_together(self) -> bool:
        """True if the action is invariant under the diagonal subgroup, which acts on all blocks alike."""
        ...

    @property
    def block_shape(self) -> tuple[int, ...]:
        """Extents of the block axes."""
        ...

    @property
    def table(self) -> np.ndarray:
        """Multiplication table of the finite group, (order, order)."""
        ...

    @property
    def surviving(self) -> Sequence[int] | None:
        """Numbers of the group elements that leave the action invariant, if the finite group is broken."""
        ...

    @property
    def slice_dimensions(self) -> tuple[int, ...]:
        """For each Lie group the N of its orbit, the sphere S^(N−1)."""
        ...

    @property
    def orbit_law(self) -> OrbitKind:
        """The kind of conditional law on the orbits of the Lie groups."""
        ...

    def linear_source_at(self, parameters: Couplings) -> np.ndarray | None:
        """h of a linear source on the only slice at given couplings, (N,); None if S₁ is anything else."""
        ...


@dataclass(frozen=True, eq=False)
class StoredFacts:
    """The facts of a theory at the couplings of one run, as the run stores them."""

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
    linear_source: np.ndarray | None

    @classmethod
    def of(cls, facts: Facts, parameters: Couplings) -> StoredFacts:
        """The facts at given couplings, copied."""
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
            facts.linear_source_at(parameters),
        )

    def linear_source_at(self, parameters: Couplings) -> np.ndarray | None:
        """The linear source h at the couplings of the run, (N,); ``parameters`` are not used."""
        return self.linear_source

    def as_data(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The facts as plain values and as arrays, both by name."""
        values = {name: value for name, value in vars(self).items() if name not in ("table", "linear_source")}
        arrays = {"table": self.table} | (
            {} if self.linear_source is None else {"source": self.linear_source}
        )
        return values, arrays

    @classmethod
    def from_data(
        cls, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray], order: int
    ) -> StoredFacts:
        """Inverse of :meth:`as_data`; ValueError if the data do not fit a group of this order."""
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
            linear_source=source,
        )


_FLAGS = ("is_modulated", "is_broken", "coupled", "chained", "turns_together")
