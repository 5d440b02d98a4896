"""Sums over bonds in programs: both ends are gathered from the sites.

As many bonds as there are nodes are evaluated at a time, a layer, so that shapes are those of the lattice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import sympy as sp

from ..symbols.bonds import WEIGHT, exchanged
from ..symbols.exact import numeric
from ..symbols.lattice import Bond, Bonds, SiteSum


@dataclass(frozen=True)
class BondLayer:
    """As many bonds as there are nodes: where both ends are gathered from, the factors and the weights.

    Attributes
    ----------
    name
        What the constants of the layer are called in programs begins with it.
    ends
        Positions of the nodes x and y of every bond, integers (2, N).
    factors, weights
        Floats (N,); the factor is 0 for what only fills the layer, whose ends are those of a bond.
    """

    name: str
    ends: np.ndarray
    factors: np.ndarray
    weights: np.ndarray

    @property
    def factor(self) -> float | None:
        """The factor of all bonds, None if they differ."""
        return float(self.factors[0]) if len(set(self.factors)) == 1 else None


def evaluated_once(node: SiteSum) -> SiteSum:
    """The same sum with the bonds of x to y and of y to x taken together, if the density does not mind."""
    bonds = node.bonds
    assert bonds is not None
    if exchanged(node.density) != node.density:
        return node
    together: dict[tuple[int, int, sp.Expr], sp.Expr] = {}
    for i, j, factor, weight in bonds.bonds:
        key = (min(i, j), max(i, j), weight)
        together[key] = cast(sp.Expr, together.get(key, sp.S.Zero) + factor)
    merged = [(i, j, factor, weight) for (i, j, weight), factor in together.items()]
    return SiteSum(Bonds(bonds.lattice, merged), node.density)


def constants(node: SiteSum) -> dict[str, np.ndarray]:
    """The arrays that a program needs for a sum over bonds, by name."""
    node = evaluated_once(node)
    bonds = cast(Bonds, node.bonds)
    found: dict[str, np.ndarray] = {}
    for layer in layers(bonds):
        if not on_sites(bonds):
            found |= {f"{layer.name}_X": layer.ends[0], f"{layer.name}_Y": layer.ends[1]}
        if layer.factor is None:
            found[f"{layer.name}_FACTORS"] = layer.factors
        if node.density.has(WEIGHT):
            found[f"{layer.name}_WEIGHTS"] = layer.weights
    return found


def layers(bonds: Bonds) -> list[BondLayer]:
    """All bonds, the last layer filled up; where x = y for all of them, each at the place of its node."""
    nodes = len(bonds.lattice.nodes)
    rows: list[Bond] = list(bonds.bonds)
    if on_sites(bonds):
        factors = {i: factor for i, _, factor, _ in rows}
        rows = [(i, i, factors.get(i, sp.S.Zero), cast(sp.Expr, sp.S.One)) for i in range(nodes)]
    found = []
    for number, start in enumerate(range(0, len(rows), nodes)):
        chunk = rows[start : start + nodes]
        i, j, _, weight = chunk[-1]
        filling: Bond = (i, j, sp.S.Zero, weight)
        chunk += [filling] * (nodes - len(chunk))
        found.append(
            BondLayer(
                f"BONDS_{bonds.digest.upper()}_{number}",
                np.array([(i, j) for i, j, _, _ in chunk]).T,
                np.array([float(numeric(factor, 20)) for *_, factor, _ in chunk]),
                np.array([float(numeric(weight, 20)) for *_, weight in chunk]),
            )
        )
    return found


def on_sites(bonds: Bonds) -> bool:
    """Whether all bonds join a node with itself, each at most once: what the normal form has for one end."""
    starts = [i for i, *_ in bonds.bonds]
    return len(set(starts)) == len(starts) and all(i == j for i, j, *_ in bonds.bonds)
