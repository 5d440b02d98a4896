"""Sums over bonds in programs: the fields at both ends of every bond are gathered from the sites.

The bonds are evaluated in layers of as many bonds as there are nodes, so that arrays have lattice shape.
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
    """A group of N bonds on N nodes: the nodes at both ends, the factors and the weights.

    Attributes
    ----------
    name
        Prefix of the names of the layer's constants in programs.
    ends
        Positions of the nodes x and y of every bond, integers (2, N).
    factors, weights
        Floats (N,). The last layer is filled up with copies of its last bond that have factor 0.
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
    """The same sum with bonds (x, y) and (y, x) merged, if the density is symmetric in both ends."""
    bonds = cast(Bonds, node.bonds)
    assert bonds is not None
    if exchanged(node.density) != node.density:
        return node
    together: dict[tuple[int, int, sp.Expr], sp.Expr] = {}
    for i, j, factor, weight in bonds.bonds:
        key = (min(i, j), max(i, j), weight)
        together[key] = together.get(key, sp.S.Zero) + factor
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
    """All bonds in layers of N, the last one filled up; bonds (x, x) stand at the position of node x."""
    nodes = len(bonds.lattice.nodes)
    rows: list[Bond] = list(bonds.bonds)
    if on_sites(bonds):
        factors = {i: factor for i, _, factor, _ in rows}
        rows = [(i, i, factors.get(i, sp.S.Zero), sp.S.One) for i in range(nodes)]
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
    """Whether all bonds are (x, x), each at most once: the normal form of a term with one end."""
    starts = [i for i, *_ in bonds.bonds]
    return len(set(starts)) == len(starts) and all(i == j for i, j, *_ in bonds.bonds)
