"""What a coupling flow is, before any framework: its architecture, its Gaussian base and its index tables.

Both backends read the tables made here, so they only differ in the array library that carries them out.

A flow maps standard normal noise z to a configuration x, both of shape (batch, components, *shape):

    z ──filter──▶ u ──collective layer──▶ u ──coupling layers──▶ u' ──mean + scale·u'──▶ x

The entries (component, site) are split into two classes by the parity of component + Σ coordinates: a
checkerboard for a scalar field, a channel mask for a point with several components, and a checkerboard
staggered between components otherwise, so that an entry always sees the other components at its own site.
Layer i freezes the class i mod 2 and transforms the other one, entry by entry, with parameters that a small
network reads off the frozen entries around each site and off their lattice means.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks
from ..errors import ConfigurationError, OptionError
from .zero_mode import has_collective, initial_collective

Transform = Literal["affine", "spline"]


@dataclass(frozen=True, kw_only=True)
class FlowSpec:
    """Architecture of a coupling flow.

    Parameters
    ----------
    layers
        Number of coupling layers, at least 1.
    hidden
        Widths of the hidden layers of each conditioner network; `()` makes the conditioner linear.
    kernel
        Odd extent of the window of frozen neighbours that a conditioner sees in every direction.
    transform
        `"affine"`, y = x exp(s) + t, or `"spline"`, a monotone rational-quadratic spline.
    bins
        Number of spline bins.
    bound
        The spline acts on [-bound, bound] and is the identity outside; in standard deviations of the base.
    max_log_scale
        Bound on |s| in the affine transform and on |log derivative| at the spline's knots.
    collective
        Whether a spline transforms the means over the lattice and the other modes are scaled depending on
        them (``sesamo_dsl.flows.zero_mode``); a point has no such layer.

    Raises
    ------
    OptionError
        If an argument is out of range.
    """

    layers: int
    hidden: tuple[int, ...]
    kernel: int = 3
    transform: Transform = "affine"
    bins: int = 8
    bound: float = 6.0
    max_log_scale: float = 3.0
    collective: bool = True

    def __post_init__(self) -> None:
        remedy = "see FlowSpec"
        widths = self.hidden if isinstance(self.hidden, tuple | list) else (None,)
        _option(all(_is_count(width, 1) for width in widths), "hidden", "a tuple of widths >= 1", self.hidden)
        known = isinstance(self.transform, str) and self.transform in ("affine", "spline")
        _option(known, "transform", "'affine' or 'spline'", self.transform)
        plain: dict[str, Any] = {"hidden": tuple(checks.as_integer(width) for width in widths)}
        for name, least, most in (("layers", 1, 10_000), ("kernel", 1, 999), ("bins", 2, 10_000)):
            value = getattr(self, name)
            _option(_is_count(value, least), name, f"an integer >= {least}", value)
            plain[name] = checks.integer(value, f"flow option {name}", most=most, remedy=remedy)
        _option(plain["kernel"] % 2 == 1, "kernel", "an odd integer >= 1", self.kernel)
        plain["collective"] = checks.flag(self.collective, "flow option collective")
        for name in ("bound", "max_log_scale"):
            plain[name] = checks.real(getattr(self, name), f"flow option {name}", remedy=remedy)
        for name, value in plain.items():
            object.__setattr__(self, name, value)

    @classmethod
    def default(cls, components: int, shape: tuple[int, ...]) -> FlowSpec:
        """A good architecture for `components` fields on a periodic lattice (volume 1: a point)."""
        check_geometry(components, shape)
        if math.prod(shape) > 1:
            return cls(layers=8, hidden=(32, 32), kernel=5 if len(shape) <= 2 else 3)
        # An affine map of a single entry is Gaussian whatever its parameters; a spline is not.
        return cls(layers=4 if components > 1 else 2, hidden=(64, 64), kernel=1, transform="spline")

    @property
    def parameters_per_entry(self) -> int:
        """How many numbers the transform of one entry needs."""
        return 2 if self.transform == "affine" else 3 * self.bins - 1


@dataclass(frozen=True)
class NodeOrder:
    """How a flow sees the nodes of a graph, which are the last axis of its lattice.

    Attributes
    ----------
    colours
        0 or 1 for every node, in place of the parity of a coordinate.
    shells
        For every node the nodes at distance 0, 1, 2, …; alike, in the same order, at nodes that an
        automorphism takes to each other, so that these can share their networks.
    """

    colours: tuple[int, ...]
    shells: tuple[tuple[tuple[int, ...], ...], ...]

    def seen(self, radius: int) -> NDArray[np.int64]:
        """Nodes within a distance, a column for every node, −1 where one sees less than others, (K, N)."""
        rows = []
        for distance in range(radius + 1):
            shells = [node[distance] if distance < len(node) else () for node in self.shells]
            rows += list(itertools.zip_longest(*shells, fillvalue=-1))
        return np.array(rows, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class GaussianBase:
    """A translation-invariant Gaussian, x = mean + Re ifftn_k( A(k) fftn(z)(k) ) with z standard normal.

    Attributes
    ----------
    mean
        Mean of each component, (components,).
    filter
        A(k) = H(k)^(-1/2), Hermitian with A(-k) = conj A(k), (*shape, components, components).
    log_det
        log |det dx/dz| = Σ_k log |det A(k)|.
    nodes
        The nodes of a graph, if that is what the last axis counts.
    """

    mean: NDArray[np.float64]
    filter: NDArray[np.complex128]
    log_det: float
    nodes: NodeOrder | None = None

    @classmethod
    def standard(
        cls, components: int, shape: tuple[int, ...], nodes: NodeOrder | None = None
    ) -> GaussianBase:
        """Mean 0, covariance 1."""
        check_geometry(components, shape)
        identity = np.broadcast_to(np.eye(components), (*shape, components, components))
        return cls.from_precision(np.zeros(components), identity, nodes)

    @classmethod
    def from_precision(
        cls, mean: ArrayLike, precision: ArrayLike, nodes: NodeOrder | None = None
    ) -> GaussianBase:
        """The density ∝ exp(−½ Σ_k δ(k)† H(k) δ(k) / volume), δ = fftn(x − mean).

        Parameters
        ----------
        mean
            (components,).
        precision
            H(k), Hermitian and positive definite with H(−k) = conj H(k), (*shape, components, components).

        Raises
        ------
        OptionError
            If shapes disagree or the precision is not one of a real field.
        """
        center = np.asarray(mean, dtype=np.float64)
        matrix = np.asarray(precision, dtype=np.complex128)
        _base(center.ndim == 1, "mean", "shape (components,)", center.shape)
        _base(
            matrix.shape[-2:] == 2 * center.shape,
            "precision",
            f"shape (*shape, {center.size}, {center.size})",
            matrix.shape,
        )
        size = float(np.abs(matrix).max())
        hermitian = float(np.abs(matrix - matrix.conj().swapaxes(-1, -2)).max())
        _base(
            hermitian <= 1e-9 * size,
            "precision",
            "a Hermitian matrix at every k",
            f"a defect of {hermitian:.3g}",
        )
        real = float(np.abs(_reflect(matrix) - matrix.conj()).max())
        _base(real <= 1e-9 * size, "precision", "H(-k) = conj H(k)", f"a defect of {real:.3g}")
        values, vectors = np.linalg.eigh(matrix)
        _base(
            bool(values.min() > 0),
            "precision",
            "a positive definite matrix",
            f"eigenvalue {values.min():.6g}",
        )
        root = (vectors / np.sqrt(values)[..., None, :]) @ vectors.conj().swapaxes(-1, -2)
        log_det = -0.5 * float(np.log(values).sum())
        return cls(center, np.asarray(root, dtype=np.complex128), log_det, nodes)

    @property
    def components(self) -> int:
        """Number of field components."""
        return self.mean.size

    @property
    def shape(self) -> tuple[int, ...]:
        """Lattice extents."""
        return self.filter.shape[:-2]

    @property
    def inverse_filter(self) -> NDArray[np.complex128]:
        """A(k)^(-1), of the shape of `filter`."""
        return np.asarray(np.linalg.inv(self.filter), dtype=np.complex128)

    @property
    def scale(self) -> NDArray[np.float64]:
        """Standard deviation of each component at a site, (components,)."""
        power = np.abs(self.filter) ** 2
        return np.sqrt(power.sum(axis=-1).reshape(-1, self.components).mean(axis=0))

    def mean_covariance(self, blocks: tuple[int, ...] = ()) -> NDArray[np.float64]:
        """Covariance of the means over the sites of one block, (components, components).

        ``blocks`` are the axes whose points are blocks; without any it is that of the spatial mean.
        """
        origin = tuple(slice(None) if mu in blocks else 0 for mu in range(len(self.shape)))
        modes = self.filter[origin].reshape(-1, self.components, self.components)
        sites = math.prod(extent for mu, extent in enumerate(self.shape) if mu not in blocks)
        return (modes @ modes.conj().swapaxes(-1, -2)).mean(axis=0).real / sites

    def apply(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Noise to configuration, (batch, components, *shape) → the same."""
        return self._filtered(self.filter, z) + self._broadcast_mean()

    def invert(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Configuration to noise, (batch, components, *shape) → the same."""
        return self._filtered(self.inverse_filter, x - self._broadcast_mean())

    def _broadcast_mean(self) -> NDArray[np.float64]:
        return self.mean.reshape(-1, *(1 for _ in self.shape))

    def _filtered(self, matrix: NDArray[np.complex128], field: NDArray[np.float64]) -> NDArray[np.float64]:
        axes = tuple(range(2, field.ndim))
        waves = np.moveaxis(np.fft.fftn(field, axes=axes), 1, -1)
        product = (matrix @ waves[..., None])[..., 0]
        return np.fft.ifftn(np.moveaxis(product, -1, 1), axes=axes).real


def mixture_bases(base: GaussianBase, count: int, seed: int) -> list[GaussianBase]:
    """Bases of the flows of a mixture: the given one, moved by two of its standard deviations at random.

    Flows that start alike would stay alike.
    """
    steps = np.random.default_rng([seed, 7]).normal(size=(count, base.components))
    return [replace(base, mean=base.mean + 2 * base.scale * step) for step in steps]


@dataclass(frozen=True, eq=False)
class Block:
    """Sites of one parity whose entries a layer transforms together, with one network.

    Attributes
    ----------
    components
        How many components are transformed at each of these sites.
    neighbours
        Positions, within the frozen class followed by the means over lines, of what is seen from each site,
        (inputs, sites).
    visible
        1 where the neighbour is frozen, 0 where an odd extent makes the checkerboard meet itself,
        (inputs, sites).
    """

    components: int
    neighbours: NDArray[np.int64]
    visible: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Coupling:
    """Index tables of one coupling layer.

    Attributes
    ----------
    active, frozen
        Entries of the flattened (components · volume) field, in the order in which the flow stores them.
    blocks
        Their transformed entries, one block after the other, are the active class: (component, site) in each.
    mean_weights
        Rows that average the frozen entries of each component that has any, (means, frozen).
    line_weights
        Rows that average the frozen entries of each component at each node of a graph over time,
        (lines, frozen); no rows on other lattices.
    """

    active: NDArray[np.int64]
    frozen: NDArray[np.int64]
    blocks: tuple[Block, ...]
    mean_weights: NDArray[np.float64]
    line_weights: NDArray[np.float64]

    @property
    def unsplit(self) -> NDArray[np.int64]:
        """Where each entry of the flattened field is found in (frozen, active), (components · volume,)."""
        return np.argsort(np.concatenate([self.frozen, self.active]))


def _parities(shape: tuple[int, ...], nodes: NodeOrder | None) -> NDArray[np.int64]:
    """Σ coordinates, that of a node being its colour, (*shape)."""
    coordinates = np.indices(shape)
    if nodes is not None:
        coordinates[-1] = np.array(nodes.colours)
    return coordinates.sum(axis=0)


def frozen_mask(
    layer: int, components: int, shape: tuple[int, ...], nodes: NodeOrder | None = None
) -> NDArray[np.bool_]:
    """Which entries layer number `layer` leaves alone and conditions on, (components, *shape)."""
    check_geometry(components, shape)
    if components * math.prod(shape) == 1:
        return np.zeros((components, *shape), dtype=np.bool_)
    parity = np.arange(components).reshape(-1, *(1,) * len(shape)) + _parities(shape, nodes)
    mask = parity % 2 == layer % 2
    if mask.all() or not mask.any():  # one colour only: half of the entries, in their order
        mask = np.arange(mask.size).reshape(mask.shape) % 2 == layer % 2
    return mask


@functools.cache
def coupling(
    parity: int, kernel: int, components: int, shape: tuple[int, ...], nodes: NodeOrder | None = None
) -> Coupling:
    """Index tables of the layers 2n + `parity`; the same arguments give the same object."""
    mask = frozen_mask(parity, components, shape, nodes)
    volume = math.prod(shape)
    site_parity = _parities(shape, nodes).reshape(-1) % 2
    flat_mask = mask.reshape(components, volume)

    def entries(frozen: bool) -> NDArray[np.int64]:
        """One class, ordered by (parity of the site, component, site)."""
        chosen = [
            component * volume + site
            for colour in (0, 1)
            for component in range(components)
            for site in np.flatnonzero((site_parity == colour) & (flat_mask[component] == frozen))
        ]
        return np.array(chosen, dtype=np.int64)

    active, frozen = entries(False), entries(True)
    position = np.zeros(components * volume, dtype=np.int64)
    position[frozen] = np.arange(frozen.size)
    lines = np.zeros((0, frozen.size))
    if nodes is not None and shape[:-1] and frozen.size:
        line = frozen // volume * shape[-1] + frozen % shape[-1]
        lines = (line == np.arange(components * shape[-1])[:, None]).astype(np.float64)
        lines /= np.maximum(lines.sum(axis=1, keepdims=True), 1)
    blocks: list[Block] = []
    for colour in (0, 1):
        here = np.flatnonzero(site_parity == colour)
        count = int((~flat_mask[:, here]).any(axis=1).sum()) if here.size else 0
        if count == 0:
            continue
        if not frozen.size:  # with nothing frozen there is nothing to see; the network is then its constant
            table, visible = np.zeros((2, 0, here.size), dtype=np.int64)
        elif nodes is None:
            table, visible = _window(here, kernel // 2, colour, parity, flat_mask, position, shape)
        else:
            table, visible = _neighbourhood(here, kernel // 2, nodes, flat_mask, position, shape)
            table, visible = _with_lines(table, visible, here, kernel // 2, nodes, lines, components, shape)
        blocks.append(Block(count, table * visible, visible.astype(np.float64)))
    component_of = frozen // volume
    rows = (component_of == np.unique(component_of)[:, None]).astype(np.float64)
    return Coupling(active, frozen, tuple(blocks), rows / rows.sum(axis=1, keepdims=True), lines)


_Table = tuple[NDArray[np.int64], NDArray[np.bool_]]
"""Positions of what is seen from each site, and whether it is there to be seen, (inputs, sites) each."""


def _window(
    here: NDArray[np.int64],
    radius: int,
    colour: int,
    parity: int,
    flat_mask: NDArray[np.bool_],
    position: NDArray[np.int64],
    shape: tuple[int, ...],
) -> _Table:
    """The frozen entries in a cube around each site of a hypercubic lattice."""
    components, volume = flat_mask.shape
    sites = np.indices(shape).reshape(len(shape), volume)
    # Inputs are listed by parity alone, never by extent, so that weights move between lattices.
    seen = [
        component * volume + _flat_index(sites[:, here], offset, shape)
        for offset in itertools.product(range(-radius, radius + 1), repeat=len(shape))
        for component in range(components)
        if (component + colour + sum(offset)) % 2 == parity
    ]
    table = np.array(seen, dtype=np.int64).reshape(-1, here.size)
    return position[table], flat_mask.reshape(-1)[table]


def _neighbourhood(
    here: NDArray[np.int64],
    radius: int,
    nodes: NodeOrder,
    flat_mask: NDArray[np.bool_],
    position: NDArray[np.int64],
    shape: tuple[int, ...],
) -> _Table:
    """The frozen entries at nodes within a distance, in a window of time, around each site."""
    components, volume = flat_mask.shape
    extent, time, node = shape[-1], here // shape[-1], here % shape[-1]
    near = nodes.seen(radius)[:, node]
    steps = range(-radius, radius + 1) if shape[:-1] else (0,)
    tables, visible = [], []
    for step in steps:
        site = (time + step) % (volume // extent) * extent + np.maximum(near, 0)
        for component in range(components):
            tables.append(position[component * volume + site])
            visible.append(flat_mask[component][site] & (near >= 0))
    table, there = np.concatenate(tables), np.concatenate(visible)
    useful = there.any(axis=1)
    return table[useful], there[useful]


def _with_lines(
    table: NDArray[np.int64],
    visible: NDArray[np.bool_],
    here: NDArray[np.int64],
    radius: int,
    nodes: NodeOrder,
    lines: NDArray[np.float64],
    components: int,
    shape: tuple[int, ...],
) -> _Table:
    """The same with the means over time at these nodes: where a configuration sits, not how it fluctuates."""
    if not len(lines):
        return table, visible
    near = nodes.seen(radius)[:, here % shape[-1]]
    columns = [component * shape[-1] + np.maximum(near, 0) for component in range(components)]
    rows = lines.shape[1] + np.concatenate(columns)
    there = np.concatenate([near >= 0] * components)
    return np.concatenate([table, rows]), np.concatenate([visible, there])


def initial_state(
    spec: FlowSpec, components: int, shape: tuple[int, ...], seed: int, nodes: NodeOrder | None = None
) -> dict[str, NDArray[np.float64]]:
    """Named weights of a flow that is the identity: random hidden layers, a last layer of zeros.

    Block b of layer l has `layers.l.blocks.b.mean` (width, means) and, for each layer n of its network,
    `layers.l.blocks.b.weight.n` (outputs, inputs) and `layers.l.blocks.b.bias.n` (outputs, 1); the collective
    layer has those of ``initial_collective``.
    """
    generator = np.random.default_rng(seed)
    state: dict[str, NDArray[np.float64]] = {}
    for layer in range(spec.layers):
        tables = coupling(layer % 2, spec.kernel, components, shape, nodes)
        for index, block in enumerate(tables.blocks):
            name = f"layers.{layer}.blocks.{index}"
            means = tables.mean_weights.shape[0]
            widths = [block.neighbours.shape[0], *spec.hidden, block.components * spec.parameters_per_entry]
            last = len(widths) - 2
            for depth, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
                fan_in = inputs + (means if depth == 0 else 0)
                # Variance 1/fan_in keeps the size of the signal.
                bound = 0.0 if depth == last else math.sqrt(3 / max(fan_in, 1))
                state[f"{name}.weight.{depth}"] = generator.uniform(-bound, bound, (outputs, inputs))
                state[f"{name}.bias.{depth}"] = generator.uniform(-bound, bound, (outputs, 1))
                if depth == 0:
                    state[f"{name}.mean"] = generator.uniform(-bound, bound, (outputs, means))
    if has_collective(spec, shape, nodes is not None):
        state |= initial_collective(spec, components, generator)
    return state


def check_state(expected: Mapping[str, tuple[int, ...]], state: Mapping[str, NDArray[Any]]) -> None:
    """Raise ValueError unless `state` has exactly the expected names and shapes."""
    _require(set(expected) == set(state), "state", f"the arrays {sorted(expected)}", sorted(state))
    for name, shape in expected.items():
        _require(np.shape(state[name]) == shape, name, f"shape {shape}", np.shape(state[name]))


def check_batch(found: tuple[int, ...], components: int, shape: tuple[int, ...]) -> None:
    """Raise ConfigurationError unless `found` is (batch, components, *shape)."""
    if found[1:] != (components, *shape):
        raise ConfigurationError(
            "field",
            expected=f"shape (batch, {components}, *{shape})",
            found=str(found),
            remedy="put the batch first and the components on axis 1",
        )


def check_geometry(components: int, shape: tuple[int, ...]) -> None:
    """Raise OptionError unless there is at least one component and every extent is at least 1."""
    _option(_is_count(components, 1), "components", "an integer >= 1", components)
    _option(all(_is_count(extent, 1) for extent in shape), "shape", "extents >= 1", shape)


def _flat_index(
    sites: NDArray[np.int64], offset: tuple[int, ...], shape: tuple[int, ...]
) -> NDArray[np.int64]:
    moved = [(row + step) % extent for row, step, extent in zip(sites, offset, shape, strict=True)]
    return np.asarray(
        np.ravel_multi_index(moved, shape) if shape else np.zeros(sites.shape[1]), dtype=np.int64
    )


def _reflect(matrix: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """H(k) → H(−k), on the leading axes."""
    axes = tuple(range(matrix.ndim - 2))
    return np.roll(np.flip(matrix, axes), 1, axes)


def _require(valid: bool, name: str, expected: str, found: object) -> None:
    if not valid:
        raise ValueError(f"{name}: expected {expected}, found {found}")


def _is_count(value: object, least: int) -> bool:
    found = checks.as_integer(value)
    return found is not None and found >= least


def _option(valid: bool, name: str, expected: str, found: object) -> None:
    if not valid:
        remedy = "see FlowSpec"
        raise OptionError(f"flow option {name}", expected=expected, found=checks.shown(found), remedy=remedy)


def _base(valid: bool, name: str, expected: str, found: object) -> None:
    if not valid:
        remedy = "see GaussianBase"
        raise OptionError(f"Gaussian base, {name}", expected=expected, found=str(found), remedy=remedy)
