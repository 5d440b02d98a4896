"""A flow for chains: sites are drawn one after the other, each in the middle between sites that are known.

The first site of a periodic chain is drawn by itself. Every further level halves the intervals between known
sites and draws the sites in their middle, all at once: of 8 sites 0, then 4, then 2, 6, then 1, 3, 5, 7.
Under exp(−S) with couplings of neighbouring sites a site in an interval depends on nothing outside of it, so
that a flow whose networks see both ends of the interval can represent any such theory, tunnelling between
valleys included. The order is that of Lévy's construction of Brownian motion, and of hierarchical sampling on
lattices (P. Białas, P. Korcyl, T. Stebel, Comput. Phys. Commun. 281 (2022) 108502, arXiv:2203.10989).

An entry x_i with known entries x_j around it is

    x_i = Σ_j c_j x_j + σ (e^s y + t),     y = spline of the noise z_i,

where c and σ are those of the base, a Gaussian with translation-invariant covariance, and where s, t and the
spline come from a network of the x_j. With the initial weights the flow is this Gaussian, as far as it is a
Markov chain. Components of one site follow each other.
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
from .base import GaussianBase
from .spec import checked_widths

_LEAST_REST = 1e-12  # least variance of an entry that is left, in units of its own, above rounding


@dataclass(frozen=True, kw_only=True)
class BisectionSpec:
    """Architecture of a flow that bisects a chain, a lattice of one dimension without a graph.

    Parameters
    ----------
    hidden
        Widths of the hidden layers of each network; `()` makes the networks linear.
    neighbours
        Number of known sites that a network sees on either side.
    bins
        Number of spline bins.
    bound
        The spline acts on noise in [−bound, bound] and is the identity outside.
    max_log_scale
        Bound on |s|, and on |log derivative| and the logits of bin sizes of a spline.

    Raises
    ------
    OptionError
        If an argument is out of range.
    """

    hidden: tuple[int, ...] = (32, 32)
    neighbours: int = 1
    bins: int = 12
    bound: float = 8.0
    max_log_scale: float = 3.0

    def __post_init__(self) -> None:
        plain: dict[str, Any] = {"hidden": checked_widths(self.hidden)}
        for name, least, most in (("neighbours", 1, 100), ("bins", 2, 10_000)):
            value, remedy = getattr(self, name), "see BisectionSpec"
            plain[name] = checks.integer(value, f"flow option {name}", least=least, most=most, remedy=remedy)
        for name in ("bound", "max_log_scale"):
            plain[name] = checks.real(getattr(self, name), f"flow option {name}", remedy="see BisectionSpec")
        for name, value in plain.items():
            object.__setattr__(self, name, value)

    @property
    def parameters_per_entry(self) -> int:
        """Number of parameters of the transform of one entry: those of the spline, s and t."""
        return 3 * self.bins + 1


@dataclass(frozen=True, eq=False)
class Level:
    """Entries of one component that are drawn at once, each from known entries at equal distances.

    Attributes
    ----------
    name
        Beginning of the names of its weights: the offsets of the known sites, and the component. It does not
        depend on the length of the chain, so that a longer chain can start with the weights of a shorter one.
    entries
        Numbers of the entries in the flattened (components · sites) field, (n,).
    inputs
        Known entries that the network of each sees, as positions in the order of drawing, (inputs, n).
    """

    name: str
    entries: NDArray[np.int64]
    inputs: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Bisection:
    """The levels of a chain.

    Attributes
    ----------
    levels
        The levels in the order of drawing.
    order
        Numbers of the entries in this order, (components · sites,).
    """

    levels: tuple[Level, ...]
    order: NDArray[np.int64]

    @classmethod
    def of(cls, neighbours: int, components: int, sites: int) -> Bisection:
        """The levels for a chain of a number of sites, with known sites on either side of each new one."""
        levels: list[Level] = []
        position = np.full(components * sites, -1)
        drawn = 0
        for offsets, new in _halvings(neighbours, sites):
            around = (np.array(new) + np.array(offsets, dtype=np.int64)[:, None]) % sites
            for component in range(components):
                known = [a * sites + around for a in range(components)]
                known += [np.array([a * sites + np.array(new)]) for a in range(component)]
                seen = np.concatenate([rows.reshape(-1, len(new)) for rows in known])
                entries = component * sites + np.array(new)
                name = f"{','.join(map(str, offsets)) or 'first'}.{component}"
                levels.append(Level(name, entries, position[seen]))
                position[entries] = np.arange(drawn, drawn + len(new))
                drawn += len(new)
        return cls(tuple(levels), np.argsort(position, kind="stable"))

    def conditionals(self, base: GaussianBase) -> list[tuple[NDArray[np.float64], float]]:
        """(c, σ) of each level in units of the base's scale: E[x_i|x_j] = Σ_j c_j x_j, and its deviation."""
        spectrum = base.filter @ base.filter.conj().swapaxes(-1, -2)
        correlations = np.fft.ifft(spectrum, axis=0).real / np.outer(base.scale, base.scale)
        sites = len(correlations)

        def covariance(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float64]:
            return correlations[(a % sites)[:, None] - (b % sites), (a // sites)[:, None], b // sites]

        found: list[tuple[NDArray[np.float64], float]] = []
        for level in self.levels:
            one, known = level.entries[:1], self.order[level.inputs[:, 0]]
            mixed = covariance(one, known)[0]
            # known sites that differ by rounding alone share one coefficient, as pinv gives it
            coefficients = np.linalg.pinv(covariance(known, known), hermitian=True) @ mixed
            rest = float(covariance(one, one)[0, 0] - coefficients @ mixed)
            found.append((coefficients, math.sqrt(max(rest, _LEAST_REST))))
        return found


def initial_state(spec: BisectionSpec, bisection: Bisection, seed: int) -> dict[str, NDArray[np.float64]]:
    """Initial weights by name, with which all transforms are the identity: random hidden, zero last layers.

    The network of a level has ``levels.NAME.weight.n`` (outputs, inputs) and ``levels.NAME.bias.n``
    (outputs, 1). The network of the first entry, which sees nothing, has the input 1.
    """
    generator = np.random.default_rng(seed)
    state: dict[str, NDArray[np.float64]] = {}
    for level in bisection.levels:
        widths = [max(len(level.inputs), 1), *spec.hidden, spec.parameters_per_entry]
        last = len(widths) - 2
        for depth, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
            bound = 0.0 if depth == last else math.sqrt(3 / inputs)
            state[f"levels.{level.name}.weight.{depth}"] = generator.uniform(-bound, bound, (outputs, inputs))
            state[f"levels.{level.name}.bias.{depth}"] = generator.uniform(-bound, bound, (outputs, 1))
    return state


def _halvings(neighbours: int, sites: int) -> list[tuple[tuple[int, ...], list[int]]]:
    """(Offsets of known sites, sites that are drawn from known sites at these offsets), level by level."""
    known = [0]
    found: list[tuple[tuple[int, ...], list[int]]] = [((), [0])]
    while len(known) < sites:
        groups: dict[tuple[int, ...], list[int]] = {}
        for index, left in enumerate(known):
            right = known[index + 1] if index + 1 < len(known) else sites
            if right - left > 1:
                new = left + (right - left) // 2
                groups.setdefault(_around(known, index, new, neighbours, sites), []).append(new)
        found += list(groups.items())
        known = sorted([*known, *itertools.chain(*groups.values())])
    return found


def _around(known: list[int], left: int, new: int, neighbours: int, sites: int) -> tuple[int, ...]:
    """Offsets of the nearest known sites on both sides; each site once, at the smaller distance."""
    nearest: dict[int, int] = {}
    for step in range(neighbours):
        for index in (left - step, left + 1 + step):
            turns, place = divmod(index, len(known))
            offset = known[place] + turns * sites - new
            site = known[place]
            if site not in nearest or abs(offset) < abs(nearest[site]):
                nearest[site] = offset
    return tuple(sorted(nearest.values()))


def check_chain(shape: tuple[int, ...], graph: bool) -> None:
    """Raise OptionError unless the lattice is a chain of more than one site."""
    if not is_chain(shape, graph):
        raise OptionError(
            "flow",
            expected="a lattice of one dimension with more than one site, for a flow that bisects a chain",
            found=f"a {'graph' if graph else 'lattice'} of shape {shape}",
            remedy="use a FlowSpec, or leave the flow to the compiler",
        )


def is_chain(shape: tuple[int, ...], graph: bool) -> bool:
    """True for a lattice of one dimension with more than one site."""
    return len(shape) == 1 and shape[0] > 1 and not graph
