"""A flow for theories with angles: couplings on circles, together with couplings of real fields.

Angles start uniform on the circle, real fields from their Gaussian base. The entries (component, site) are
split into two classes as in :mod:`sesamo_dsl.flows.spec`; layer i freezes the class i mod 2 and transforms
the other class entry by entry. An angle θ with frozen angles θ_j of the same component around it goes to

    θ ↦ ψ + δ + s(θ − ψ),     ψ = arg Σ_j w_j e^(iθ_j),

with a circular rational-quadratic spline s: (−π, π) → (−π, π), whose slopes at both ends are equal, and
weights w_j = 1, but 2 for one of a pair, so that ψ does not jump where two angles are opposite. ψ depends on
frozen angles alone, so that the Jacobian is the product of the slopes of s. δ and s come from a network of
cos(θ_j − χ) and sin(θ_j − χ), with the mean direction χ of all frozen angles around the site, of the lattice
means in the same frame, and of the frozen real fields. If the action is invariant when all angles turn by one
α, the network sees nothing else: the flow is then equivariant, and its density invariant, under these
rotations. If not, it also sees cos χ and sin χ.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..errors import OptionError
from ..values.node_order import NodeOrder
from .couplings import Block, Coupling, coupling
from .spec import checked_widths

_LEADING = 2.0  # weight of the first of two angles in their mean direction


@dataclass(frozen=True, kw_only=True)
class CircularSpec:
    """Architecture of a coupling flow for theories with angles.

    Parameters
    ----------
    layers
        Number of coupling layers, at least 1.
    hidden
        Widths of the hidden layers of each network; `()` makes the networks linear.
    kernel
        Odd extent of the window of frozen neighbours that a network sees in every direction.
    bins
        Number of spline bins.
    bound
        Splines of real fields act on [−bound, bound], in standard deviations of the base.
    max_log_scale
        Bound on |log derivative| and the logits of bin sizes of a spline, and on log scales of real fields.
    relative
        True for networks that see angles relative to their mean direction alone, so that the flow is
        equivariant if all angles turn together. None leaves it to the compiler: True if the action is proved
        to be invariant under such rotations.

    Raises
    ------
    OptionError
        If an argument is out of range.
    """

    layers: int = 8
    hidden: tuple[int, ...] = (32, 32)
    kernel: int = 3
    bins: int = 8
    bound: float = 6.0
    max_log_scale: float = 3.0
    relative: bool | None = None

    def __post_init__(self) -> None:
        remedy = "see CircularSpec"
        plain: dict[str, Any] = {"hidden": checked_widths(self.hidden)}
        for name, least, most in (("layers", 1, 10_000), ("kernel", 1, 999), ("bins", 2, 10_000)):
            value = getattr(self, name)
            plain[name] = checks.integer(value, f"flow option {name}", least=least, most=most, remedy=remedy)
        if plain["kernel"] % 2 == 0:
            found = checks.shown(self.kernel)
            raise OptionError(
                "flow option kernel", expected="an odd integer >= 1", found=found, remedy=remedy
            )
        for name in ("bound", "max_log_scale"):
            plain[name] = checks.real(getattr(self, name), f"flow option {name}", remedy=remedy)
        if self.relative is not None:
            plain["relative"] = checks.flag(self.relative, "flow option relative")
        for name, value in plain.items():
            object.__setattr__(self, name, value)

    @classmethod
    def default(cls, components: int, shape: tuple[int, ...]) -> CircularSpec:
        """The default architecture for fields of some components on a lattice; volume 1 is a point."""
        if math.prod(shape) > 1:
            return cls(kernel=5 if len(shape) <= 2 else 3)
        return cls(layers=4 if components > 1 else 2, hidden=(64, 64), kernel=1)

    @property
    def parameters_per_entry(self) -> int:
        """Parameters of an entry: knots, slopes and δ of an angle; spline, scale and shift of a real one."""
        return 3 * self.bins + 1


@dataclass(frozen=True, eq=False)
class CircularTables:
    """Index tables of the layers of one parity.

    Attributes
    ----------
    coupling
        The classes, and the inputs of the networks.
    active_angles, frozen_angles
        1 for entries that are angles, (active,) and (frozen + lines,).
    around_entry
        Weights of the frozen angles around each active angle, of the same component, (active, frozen).
    around_site
        For each block, weights of the frozen angles around each site, (sites, frozen).
    """

    coupling: Coupling
    active_angles: NDArray[np.float64]
    frozen_angles: NDArray[np.float64]
    around_entry: NDArray[np.float64]
    around_site: tuple[NDArray[np.float64], ...]

    @classmethod
    def of(
        cls,
        parity: int,
        kernel: int,
        angles: tuple[int, ...],
        components: int,
        shape: tuple[int, ...],
        nodes: NodeOrder | None,
    ) -> CircularTables:
        """The tables for a lattice on which the components ``angles`` are angles."""
        volume = math.prod(shape)
        tables = coupling(parity, kernel, components, shape, nodes)
        near = coupling(parity, 3 if volume > 1 else 1, components, shape, nodes)
        of_active, of_frozen = tables.active // volume, tables.frozen // volume
        count, lines = len(tables.frozen), len(tables.line_weights)
        of_lines = np.arange(lines) // max(shape[-1] if shape else 1, 1)
        entries, begin = np.zeros((len(tables.active), count)), 0
        sites: list[NDArray[np.float64]] = []
        for block in near.blocks:
            order = _around(block, count) * np.isin(of_frozen, angles)
            size = block.components * order.shape[0]
            same = of_active[begin : begin + size][:, None] == of_frozen
            entries[begin : begin + size] = _weighted(np.tile(order, (block.components, 1)) * same)
            sites.append(_weighted(order))
            begin += size
        return cls(
            tables,
            np.isin(of_active, angles).astype(np.float64),
            np.isin(np.concatenate([of_frozen, of_lines]), angles).astype(np.float64),
            entries,
            tuple(sites),
        )

    def inputs(self, block: Block, relative: bool) -> int:
        """Number of inputs of the network of a block."""
        return 2 * (len(block.neighbours) + len(self.coupling.mean_weights)) + (0 if relative else 2)


def _around(block: Block, count: int) -> NDArray[np.float64]:
    """1, 2, … for the frozen entries that a network sees at each site, (sites, frozen), 0 for others."""
    found = np.zeros((block.neighbours.shape[1], count))
    numbered = enumerate(zip(block.neighbours, block.visible, strict=True), start=1)
    for number, (row, visible) in reversed(
        list(numbered)
    ):  # an entry that is seen twice has its first number
        sites = np.flatnonzero((visible > 0) & (row < count))
        found[sites, row[sites]] = number
    return found


def _weighted(order: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weights of angles in a mean direction: 1, but 2 for the first one of a pair.

    The sum of two unit vectors changes its direction by π where they are opposite, and the flow would jump.
    """
    weights = (order > 0).astype(np.float64)
    first = np.argmin(np.where(order > 0, order, np.inf), axis=1) if order.shape[1] else np.zeros(0, int)
    pairs = np.flatnonzero(weights.sum(axis=1) == 2)
    weights[pairs, first[pairs]] = _LEADING
    return weights


def circular_state(
    spec: CircularSpec, tables: tuple[CircularTables, CircularTables], seed: int
) -> dict[str, NDArray[np.float64]]:
    """Initial weights by name, with which all layers are the identity: random hidden, zero last layers."""
    generator = np.random.default_rng(seed)
    state: dict[str, NDArray[np.float64]] = {}
    for layer in range(spec.layers):
        of_layer = tables[layer % 2]
        for index, block in enumerate(of_layer.coupling.blocks):
            first = of_layer.inputs(block, bool(spec.relative))
            widths = [first, *spec.hidden, block.components * spec.parameters_per_entry]
            for depth, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
                bound = 0.0 if depth == len(widths) - 2 else math.sqrt(3 / max(inputs, 1))
                name = f"layers.{layer}.blocks.{index}"
                state[f"{name}.weight.{depth}"] = generator.uniform(-bound, bound, (outputs, inputs))
                state[f"{name}.bias.{depth}"] = generator.uniform(-bound, bound, (outputs, 1))
    return state
