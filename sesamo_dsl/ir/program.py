"""A Program: a small typed SSA for functions of batched lattice configurations.

The kinds of values are in ``ir.value``, the operations on them in ``ir.operations``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from math import prod

import numpy as np

from ..values.couplings import Coupling
from ..values.manifolds import Manifold
from ..values.node_order import NodeOrder
from ..values.sheet import Line, Sheet, Table, row
from .operations import OPERATIONS
from .sectors import Sectors
from .value import Kind, Op

SITE_VALUES = "SITES_"
"""Prefix: ``SITES_h`` is the constant array with the declared values of coupling h, one for every site."""


@dataclass(frozen=True)
class Function:
    """A pure function: its inputs are the ops named ``input``; outputs index ``ops``."""

    name: str
    doc: str
    inputs: tuple[tuple[str, Kind], ...]
    parameters: tuple[str, ...]
    ops: tuple[Op, ...]
    outputs: tuple[tuple[str, int], ...]
    notes: dict[int, str] = field(default_factory=dict[int, str], hash=False, compare=False)

    @cached_property
    def spread(self) -> tuple[tuple[int, ...], ...]:
        """For each op the places of its CONFIG arguments that stand beside SITE or BLOCKS values."""
        return tuple(
            tuple(k for k, a in enumerate(op.args) if self.ops[a].kind is Kind.CONFIG)
            if op.kind in (Kind.SITE, Kind.BLOCKS)
            else ()
            for op in self.ops
        )

    @property
    def couples_nodes(self) -> bool:
        """Whether some operation couples sites along the graph axis, which has no translations."""
        return any(OPERATIONS[op.name].couples_nodes for op in self.ops)

    @property
    def is_site_dependent(self) -> bool:
        """Whether couplings differ from site to site, so that translations change the function."""
        return any(OPERATIONS[op.name].is_site_dependent for op in self.ops)

    @property
    def may_jump(self) -> bool:
        """Whether an output may be discontinuous although its derivative is zero on both sides."""
        return any(OPERATIONS[op.name].may_jump for op in self.ops)

    @property
    def is_extensive(self) -> bool:
        """Whether the output is a linear combination of Σ_x of local densities, the same at all sites."""
        if self.couples_nodes or self.is_site_dependent:
            return False
        for op in self.ops:
            kinds = [self.ops[a].kind for a in op.args]
            if op.kind is Kind.SITE and Kind.CONFIG in kinds:
                return False
            if op.kind is Kind.CONFIG and not OPERATIONS[op.name].is_extensive(kinds):
                return False
        return True


@dataclass(frozen=True, eq=False, repr=False)
class Program:
    """Everything a backend emits for one theory.

    Attributes
    ----------
    theory, components, shape
        Name of the theory, names of the stacked components, lattice shape.
    parameters
        Default value of each coupling, an array where it depends on the site, None where it has none.
    constants
        Named arrays that operations refer to.
    functions
        The functions, by name.
    block_axes
        Lattice axes at whose points the modulating group acts independently; () if it acts
        on all sites alike.
    nodes
        Order and colours of the nodes of a graph lattice, for the masks of flows; None without a graph.
    manifolds
        ``"line"`` or ``"circle"`` for each component; () if all of them are real numbers.
    """

    theory: str
    summary: str
    components: tuple[str, ...]
    shape: tuple[int, ...]
    parameters: dict[str, Coupling | None]
    constants: dict[str, np.ndarray]
    functions: dict[str, Function]
    block_axes: tuple[int, ...] = ()
    nodes: NodeOrder | None = None
    manifolds: tuple[Manifold, ...] = ()

    def __repr__(self) -> str:
        many = f"{len(self.components)} components on {self.shape}"
        return f"Program({self.theory!r}, {many}, {len(self.functions)} functions)"

    @property
    def sheet(self) -> Sheet:
        """Components, couplings and functions; :func:`sesamo_dsl.ir.text.program_text` has all operations."""
        lines: list[Line] = []
        for function in self.functions.values():
            inputs = ", ".join([*(name for name, _ in function.inputs), *function.parameters])
            outputs = ", ".join(name for name, _ in function.outputs)
            cells = (f"{function.name}({inputs})", f"→ {outputs}", f"{len(function.ops)} operations")
            lines.append(Line("   ".join(cells), cells))
        parts = [
            row("components", ", ".join(self.components)),
            row("lattice", str(self.shape)),
            row("couplings", ", ".join(self.parameters)),
            Table("functions", tuple(lines)),
        ]
        return Sheet(f"Program of {self.theory}", parts)

    def _repr_html_(self) -> str:
        return self.sheet.html()

    @property
    def configuration_shape(self) -> tuple[int, ...]:
        """Shape of one configuration, (components, *lattice)."""
        return (len(self.components), *self.shape)

    @property
    def angles(self) -> tuple[int, ...]:
        """Numbers of the components that are angles."""
        return tuple(a for a, manifold in enumerate(self.manifolds) if manifold == "circle")

    @property
    def lines(self) -> tuple[int, ...]:
        """Numbers of the components that are real numbers."""
        angles = self.angles
        return tuple(a for a in range(len(self.components)) if a not in angles)

    @property
    def has_walls(self) -> bool:
        """Whether the action has hard walls, behind which it is infinite."""
        return any(op.name == "wall" for op in self.functions["action"].ops)

    @property
    def has_determinants(self) -> bool:
        """Whether the action holds a fermion determinant."""
        return any("log_det" in op.name for op in self.functions["action"].ops)

    @property
    def block_shape(self) -> tuple[int, ...]:
        """Extents of the block axes."""
        return tuple(self.shape[mu] for mu in self.block_axes)

    @property
    def sectors(self) -> Sectors:
        """The sectors of the modulating group."""
        return Sectors(len(self.constants["MATRICES"]), prod(self.block_shape) if self.block_axes else None)
