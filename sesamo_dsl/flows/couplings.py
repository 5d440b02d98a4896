"""Index tables of coupling layers: the entries that a layer transforms, and the inputs of its networks."""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..values.node_order import NodeOrder
from .spec import check_geometry


@dataclass(frozen=True, eq=False)
class Block:
    """Sites of one parity whose entries a layer transforms together, with one network.

    Attributes
    ----------
    components
        Number of components that are transformed at each of these sites.
    neighbours
        Positions of the inputs of the network at each site, (inputs, sites), in the frozen class followed by
        the means over lines.
    visible
        1 if the input is a frozen entry or a mean, else 0, (inputs, sites). It is 0 at the seam of the
        checkerboard of an odd extent, and for a neighbour that a node of a graph does not have.
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
        Numbers of the entries of both classes in the flattened (components · volume) field, in the order in
        which the flow stores them.
    blocks
        The blocks of the active class; its entries are ordered by (block, component, site).
    mean_weights
        Matrix that averages the frozen entries of each component, (means, frozen); components without frozen
        entries have no row.
    line_weights
        Matrix that averages the frozen entries of each component at each node of a graph over time,
        (lines, frozen); no rows on other lattices.
    """

    active: NDArray[np.int64]
    frozen: NDArray[np.int64]
    blocks: tuple[Block, ...]
    mean_weights: NDArray[np.float64]
    line_weights: NDArray[np.float64]

    @property
    def unsplit(self) -> NDArray[np.int64]:
        """Position of each entry of the flattened field in (frozen, active), (components · volume,)."""
        return np.argsort(np.concatenate([self.frozen, self.active]))


def _parities(shape: tuple[int, ...], nodes: NodeOrder | None) -> NDArray[np.int64]:
    """Sum of the coordinates of each site, (*shape); the coordinate of a node of a graph is its colour."""
    coordinates = np.indices(shape)
    if nodes is not None:
        coordinates[-1] = np.array(nodes.colours)
    return coordinates.sum(axis=0)


def frozen_mask(
    layer: int, components: int, shape: tuple[int, ...], nodes: NodeOrder | None = None
) -> NDArray[np.bool_]:
    """True for the frozen entries of a layer, on which it depends, (components, *shape)."""
    check_geometry(components, shape)
    if components * math.prod(shape) == 1:
        return np.zeros((components, *shape), dtype=np.bool_)
    first: NDArray[np.int64] = np.arange(components).reshape(-1, *(1,) * len(shape))
    parity = first + _parities(shape, nodes)
    mask: NDArray[np.bool_] = parity % 2 == layer % 2
    if mask.all() or not mask.any():  # one colour only: every second entry
        mask = np.arange(components * math.prod(shape)).reshape(components, *shape) % 2 == layer % 2
    return mask


@functools.cache
def coupling(
    parity: int, kernel: int, components: int, shape: tuple[int, ...], nodes: NodeOrder | None = None
) -> Coupling:
    """Index tables of the layers 2n + ``parity``; cached, so that models share one object."""
    mask = frozen_mask(parity, components, shape, nodes)
    volume = math.prod(shape)
    site_parity = _parities(shape, nodes).reshape(-1) % 2
    flat_mask = mask.reshape(components, volume)

    def entries(frozen: bool) -> NDArray[np.int64]:
        """The entries of one class, ordered by (parity of the site, component, site)."""
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
        if not frozen.size:  # a single entry: the network has no inputs
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
"""Positions of the inputs at each site, and whether each is visible, (inputs, sites) each."""


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
    # the list of inputs depends on the parity only, not on extents, so that weights fit other lattices
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
    """The frozen entries at nodes of a graph within a distance, and in a window of time, around each site."""
    components, volume = flat_mask.shape
    extent, time, node = shape[-1], here // shape[-1], here % shape[-1]
    near = nodes.seen(radius)[:, node]
    steps = range(-radius, radius + 1) if shape[:-1] else (0,)
    tables: list[NDArray[np.int64]] = []
    visible: list[NDArray[np.bool_]] = []
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
    """The table with the time averages at the same nodes as further inputs, which show the local valley."""
    if not len(lines):
        return table, visible
    near = nodes.seen(radius)[:, here % shape[-1]]
    columns = [component * shape[-1] + np.maximum(near, 0) for component in range(components)]
    rows = lines.shape[1] + np.concatenate(columns)
    there = np.concatenate([near >= 0] * components)
    return np.concatenate([table, rows]), np.concatenate([visible, there])


def _flat_index(
    sites: NDArray[np.int64], offset: tuple[int, ...], shape: tuple[int, ...]
) -> NDArray[np.int64]:
    moved = [(row + step) % extent for row, step, extent in zip(sites, offset, shape, strict=True)]
    return np.asarray(
        np.ravel_multi_index(moved, shape) if shape else np.zeros(sites.shape[1]), dtype=np.int64
    )
