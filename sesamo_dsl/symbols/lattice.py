"""Periodic hypercubic lattices, lattices of the nodes of a graph, and the sum over their sites."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import sympy as sp

from ..checks import as_integer, shown
from ..errors import LatticeError
from .exact import rational, symbolic

if TYPE_CHECKING:
    import networkx as nx  # takes a fifth of a second, and most lattices have no graph

_MOST_SITES, _MOST_AXES = 2**24, 16


@dataclass(frozen=True, init=False)
class Lattice:
    """Periodic hypercubic lattice; ``Lattice(8, 8)`` is the 8×8 torus and ``Lattice(1)`` a single site.

    Two lattices of the same shape are the same lattice.

    Parameters
    ----------
    *shape
        Extent of each axis, at least one axis, each extent ≥ 1.

    Examples
    --------
    >>> lattice = Lattice(8, 4)
    >>> lattice.volume, lattice.directions
    (32, (0, 1))
    >>> lattice.wrap((-1, 5))
    (7, 1)
    """

    shape: tuple[int, ...]

    def __init__(self, *shape: int) -> None:
        extents = tuple(as_integer(extent) or 0 for extent in shape)
        if not extents or min(extents) < 1:
            raise LatticeError(
                f"Lattice({', '.join(map(shown, shape))})",
                expected="one integer extent ≥ 1 per axis",
                found=shown(shape),
                remedy="write Lattice(8, 8) for an 8×8 torus or Lattice(1) for a single site",
            )
        object.__setattr__(self, "shape", _bounded(extents))

    @property
    def dimension(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def volume(self) -> int:
        """Number of sites."""
        return prod(self.shape)

    @property
    def directions(self) -> tuple[int, ...]:
        """The axes, for sums over nearest neighbours."""
        return tuple(range(self.dimension))

    @property
    def digest(self) -> str:
        """A hash that distinguishes graph lattices of the same shape; empty for hypercubic lattices."""
        return ""

    @property
    def graph_axis(self) -> int | None:
        """The axis that counts the nodes of a graph, None on a hypercubic lattice."""
        return None

    def axis(self, mu: int) -> int:
        """Check that axis ``mu`` exists and return it."""
        if as_integer(mu) not in self.directions:
            raise LatticeError(
                f"axis {mu} of {self}",
                expected=f"one of {self.directions}",
                found=shown(mu),
                remedy="iterate over lattice.directions",
            )
        return int(mu)

    def wrap(self, offset: Iterable[int]) -> tuple[int, ...]:
        """Reduce an offset to its representative with 0 ≤ offset[mu] < shape[mu]."""
        return tuple(o % extent for o, extent in zip(offset, self.shape, strict=True))

    def sum(self, density: sp.Expr | float) -> sp.Expr:
        """Σ_x of an expression in field components at x and at shifted sites.

        Raises LatticeError for anything that is no SymPy expression or number, such as text or an array.
        """
        found = symbolic(density)
        if found is None:
            array = isinstance(density, np.ndarray)
            raise LatticeError(
                f"sum over {self}",
                expected="a SymPy expression in fields, parameters and site constants",
                found=f"an array of shape {np.shape(density)}" if array else f"{density!r}",
                remedy='declare the array, h = SiteConstant("h", lattice, array), and write h in the density'
                if array
                else "write it with the symbols themselves; text is never evaluated",
            )
        return SiteSum(self.symbol, found)

    def bonds(self, density: Callable[..., Any], *, weights: Any = None, oriented: bool = False) -> sp.Expr:
        """Σ_⟨xy⟩ of a function of the fields at both ends of a bond and of its weight.

        Bonds are the edges of a graph, the same at every time, and nearest neighbours on a hypercubic
        lattice: one for every site and direction, also along an axis with two sites or one.

        Parameters
        ----------
        density
            (x, y, w) ↦ the summand, with ``x[phi]`` a field, a component, or any expression in fields at one
            end and ``y[phi]`` the same at the other: ``lambda x, y, w: w * sp.cos(x[theta] - y[theta])``.
            It has to be symmetric in x and y unless ``oriented``.
        weights
            One number for every edge of a graph, in the order of ``lattice.edges``; by default the weights of
            the graph. They are read as exact numbers, and verdicts on symmetries hold for these numbers.
        oriented
            Whether the density may change when x and y are exchanged: x is the first node of an edge in
            ``lattice.edges``, and y = x + e_mu on a hypercubic lattice.

        Raises
        ------
        LatticeError
            If the density is no function of (x, y, w), or is not symmetric although not ``oriented``.
        """
        from .bonds import bond_sum  # fields are declared on lattices

        return bond_sum(self, density, weights, oriented)

    @property
    def symbol(self) -> sp.Basic:
        """The lattice as a SymPy object."""
        return sp.Tuple(*self.shape)

    def __str__(self) -> str:
        return f"Lattice({', '.join(map(str, self.shape))})"


def _bounded(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape; raises LatticeError for more sites or axes than could be computed with."""
    if len(shape) > _MOST_AXES or prod(shape) > _MOST_SITES:
        raise LatticeError(
            "lattice",
            expected=f"at most {_MOST_SITES} sites on at most {_MOST_AXES} axes",
            found=shown(shape),
            remedy="choose a smaller lattice",
        )
    return shape


Edge = tuple[int, int, sp.Expr]
"""Two nodes by position, the smaller first, and the exact weight of the edge between them."""


@dataclass(frozen=True, init=False)
class GraphLattice(Lattice):
    """The nodes of an undirected graph, with a periodic time axis before them if ``time`` is given.

    Sites are numbered (t, i) with i the position of a node in ``nodes``: in sorted order if the nodes can be
    sorted, else in the order in which the graph lists them. There are no translations along the graph axis;
    its neighbours are those of the graph (:meth:`neighbours`), its symmetries are
    ``groups.Automorphisms(lattice)``.

    Parameters
    ----------
    graph
        An undirected networkx graph without loops, connected or not. The edge attribute ``weight``, 1 if it
        is missing, is read as an exact number: 0.1 is 1/10.
    time
        Number of time slices, None for a lattice without a time axis. The shape is (N,) or (time, N).

    Raises
    ------
    LatticeError
        If the graph is empty, directed or a multigraph, has loops, or weights that are no numbers.
    """

    nodes: tuple[Hashable, ...]
    edges: tuple[Edge, ...]

    def __init__(self, graph: Any, *, time: int | None = None) -> None:
        import networkx as nx

        if not isinstance(graph, nx.Graph) or graph.is_directed() or graph.is_multigraph() or not len(graph):
            raise LatticeError(
                "GraphLattice",
                expected="an undirected networkx Graph with at least one node",
                found=shown(graph),
                remedy="write GraphLattice(networkx.cycle_graph(6)), or convert with networkx.Graph(graph)",
            )
        loops = list(nx.selfloop_edges(graph))
        if loops:
            raise LatticeError(
                "GraphLattice",
                expected="edges between different nodes",
                found=f"the loop {loops[0]}",
                remedy="remove it; what it would add to an action is a mass term",
            )
        extents = () if time is None else (as_integer(time) or 0,)
        if extents and extents[0] < 1:
            raise LatticeError(
                "GraphLattice",
                expected="a number of time slices ≥ 1, or time=None",
                found=shown(time),
                remedy="write GraphLattice(graph, time=16)",
            )
        nodes = _ordered(graph)
        position = {node: i for i, node in enumerate(nodes)}
        edges = []
        for a, b, data in graph.edges(data=True):
            i, j = sorted((position[a], position[b]))
            edges.append((i, j, _weight(a, b, data.get("weight", 1))))
        object.__setattr__(self, "shape", _bounded((*extents, len(nodes))))
        object.__setattr__(self, "nodes", nodes)
        object.__setattr__(self, "edges", tuple(sorted(edges, key=lambda edge: edge[:2])))

    @property
    def directions(self) -> tuple[int, ...]:
        """The axes with translations: the time axis, if there is one."""
        return tuple(range(self.dimension - 1))

    @property
    def graph_axis(self) -> int:
        """The last axis, which counts the nodes."""
        return self.dimension - 1

    @cached_property
    def digest(self) -> str:
        """A hash of nodes and edges."""
        return hashlib.sha256(repr((self.nodes, self.edges)).encode()).hexdigest()[:8]

    def axis(self, mu: int) -> int:
        """Check that axis ``mu`` can be translated along and return it."""
        if as_integer(mu) == self.graph_axis:
            raise LatticeError(
                f"axis {mu} of {self}",
                expected="an axis with translations"
                if self.directions
                else "no shift: there is no time axis",
                found="the graph axis",
                remedy="reach the neighbours of a node with lattice.neighbours(phi)",
            )
        return super().axis(mu)

    def neighbours(self, field: Any) -> Any:
        """Σ_y w_xy φ_y over the neighbours y of x, for a field or a component of one on this lattice."""
        if getattr(field, "lattice", None) != self or not hasattr(field, "neighbours"):
            raise LatticeError(
                f"neighbours on {self}",
                expected="a field on this lattice, or a component of one",
                found=str(field),
                remedy="write lattice.neighbours(phi); the map is linear, so sums can be taken apart",
            )
        return field.neighbours()

    @cached_property
    def adjacency(self) -> sp.ImmutableMatrix:
        """The weighted adjacency matrix A, exact, (N, N)."""
        return adjacency_matrix(self.edges, len(self.nodes))

    @property
    def symbol(self) -> sp.Basic:
        """The lattice as a SymPy object."""
        return LatticeSymbol(self)

    def __str__(self) -> str:
        time = f", time={self.shape[0]}" if self.directions else ""
        return f"GraphLattice({len(self.nodes)} nodes, {len(self.edges)} edges{time})"


def _ordered(graph: nx.Graph) -> tuple[Hashable, ...]:
    try:
        return tuple(sorted(graph.nodes))
    except TypeError:
        return tuple(graph.nodes)


def _weight(a: Hashable, b: Hashable, weight: Any) -> sp.Expr:
    number = symbolic(weight)
    exact = sp.nan if number is None else rational(number)
    if not (exact.is_number and exact.is_real) or exact == 0:
        text = isinstance(weight, str)  # such as GraphML files may hold
        raise LatticeError(
            "GraphLattice",
            expected="a real number other than 0 as the weight of every edge",
            found=f"{'the text ' if text else ''}{weight!r} on ({a}, {b})",
            remedy='convert it, graph.edges[a, b]["weight"] = float(…); text is never evaluated'
            if text
            else "give couplings as factors of the term in the action, and leave out edges of weight 0",
        )
    return exact


def adjacency_matrix(edges: Sequence[Edge], nodes: int) -> sp.ImmutableMatrix:
    """The symmetric matrix with these entries, exact."""
    matrix = sp.zeros(nodes, nodes)
    for i, j, weight in edges:
        matrix[i, j] = matrix[j, i] = weight
    return sp.ImmutableMatrix(matrix)


class LatticeSymbol(sp.Atom):
    """A graph lattice inside SymPy expressions."""

    def __new__(cls, lattice: GraphLattice) -> LatticeSymbol:
        """The symbol of a lattice."""
        self = super().__new__(cls)
        self.lattice = lattice
        return self

    lattice: GraphLattice

    def __getnewargs__(self) -> Any:
        return (self.lattice,)

    def _hashable_content(self) -> tuple[Any, ...]:
        return (self.lattice.shape, self.lattice.digest)

    def _sympystr(self, printer: Any) -> str:
        return str(self.lattice)


Bond = tuple[int, int, sp.Expr, sp.Expr]
"""The nodes x and y by position, the factor of the summand, and the weight that the summand sees."""


class Bonds(LatticeSymbol):
    """The bonds of a sum, the same at every time, each oriented from its end x to its end y."""

    bonds: tuple[Bond, ...]

    def __new__(cls, lattice: GraphLattice, bonds: Sequence[Bond]) -> Bonds:
        """The symbol of these bonds."""
        self = cast(Bonds, super().__new__(cls, lattice))
        self.bonds = tuple(bonds)
        return self

    def __getnewargs__(self) -> Any:
        return (self.lattice, self.bonds)

    def _hashable_content(self) -> tuple[Any, ...]:
        return (*super()._hashable_content(), self.bonds)

    @cached_property
    def digest(self) -> str:
        """A hash of the bonds."""
        return hashlib.sha256(repr(self.bonds).encode()).hexdigest()[:8]

    @property
    def times(self) -> int:
        """Number of time slices."""
        return self.lattice.volume // len(self.lattice.nodes)

    @property
    def is_plain(self) -> bool:
        """Whether all factors are 1, so that every bond counts once."""
        return all(factor == 1 for _, _, factor, _ in self.bonds)

    def renamed(self, images: Sequence[int]) -> Bonds:
        """The bonds with every node i replaced by images[i]."""
        return Bonds(self.lattice, [(images[i], images[j], c, w) for i, j, c, w in self.bonds])

    def _sympystr(self, printer: Any) -> str:
        return f"{len(self.bonds)} bonds {self.digest} of {self.lattice}"


@dataclass(frozen=True)
class AdjacencyPower:
    """Aᵏ on the graph axis, k = ``steps``, with A given by its edges.

    The edges are those of the lattice, or their images under a map of the nodes that is no automorphism.
    """

    steps: int
    edges: tuple[Edge, ...]
    nodes: int

    def renamed(self, images: Sequence[int]) -> AdjacencyPower:
        """Aᵏ with every node i replaced by images[i]."""
        edges = []
        for i, j, weight in self.edges:
            a, b = sorted((images[i], images[j]))
            edges.append((a, b, weight))
        return replace(self, edges=tuple(sorted(edges, key=lambda edge: edge[:2])))

    @property
    def on_constants(self) -> sp.Expr | None:
        """d with Aᵏ·1 = d·1, None if it is not the same at all nodes."""
        values = set(self.of_ones)
        return values.pop() if len(values) == 1 else None

    @cached_property
    def of_ones(self) -> tuple[sp.Expr, ...]:
        """Aᵏ·1, exactly: for k = 1 the sum of the weights at each node."""
        values: list[sp.Expr] = [sp.S.One] * self.nodes
        for _ in range(self.steps):
            terms: list[list[sp.Expr]] = [[] for _ in values]
            for i, j, weight in self.edges:
                terms[i].append(weight * values[j])
                terms[j].append(weight * values[i])
            values = [sp.expand(sp.Add(*some)) for some in terms]
        return tuple(values)

    def apply(self, values: np.ndarray, number: Any = float) -> np.ndarray:
        """Aᵏ on the last axis of an array; ``number`` turns weights into the type of its entries."""
        for _ in range(self.steps):
            moved = 0 * values
            for i, j, weight in self.edges:
                w = number(weight)
                moved[..., i] += w * values[..., j]
                moved[..., j] += w * values[..., i]
            values = moved
        return values


class Functional(sp.Expr):
    """A SymPy node with one value per configuration: a sum over sites, or a determinant."""

    is_commutative = True


class SiteSum(Functional):
    """Σ_x density(x) over the sites of a lattice: an unevaluated SymPy node ``SiteSum(symbol, density)``.

    With :class:`Bonds` in the place of the lattice's symbol it is the sum over these bonds of a density in
    fields at their ends.
    """

    def __new__(cls, symbol: sp.Basic, density: sp.Expr) -> SiteSum:
        """The sum; raises LatticeError for a density with symbols of another lattice or kind of sum."""
        lattice, on_bonds = _lattice_of(symbol), isinstance(symbol, Bonds)
        for atom in density.atoms(sp.Symbol):
            other = getattr(atom, "lattice", lattice)
            if (hasattr(atom, "lattice") or getattr(atom, "on_bonds", False)) and on_bonds != getattr(
                atom, "on_bonds", False
            ):
                raise LatticeError(
                    f"sum over the {'bonds' if on_bonds else 'sites'} of {lattice}",
                    expected="fields at the ends of the bond, x[phi] and y[phi], and couplings"
                    if on_bonds
                    else "fields and site constants at the running site",
                    found=f"{atom}",
                    remedy="write lattice.bonds(lambda x, y, w: w * x[phi] * y[phi]); a coupling that "
                    "differs from bond to bond is given by weights=[…], and terms of one site are summed by "
                    "lattice.sum(…)",
                )
            if other != lattice:
                raise LatticeError(
                    f"sum over {lattice} of {density}",
                    expected=f"fields on {lattice}",
                    found=f"{atom} on {other}",
                    remedy="declare all fields of an action on the same lattice",
                )
        return super().__new__(cls, symbol, density)

    @property
    def lattice(self) -> Lattice:
        """The lattice that is summed over."""
        return _lattice_of(self.args[0])

    @property
    def density(self) -> sp.Expr:
        """The summand."""
        return self.args[1]

    @property
    def bonds(self) -> Bonds | None:
        """The bonds that are summed over; None for a sum over sites."""
        return self.args[0] if isinstance(self.args[0], Bonds) else None

    @property
    def of_one(self) -> sp.Expr:
        """The sum of the density 1."""
        if self.bonds is None:
            return sp.Integer(self.lattice.volume)
        return self.bonds.times * sp.Add(*(factor for _, _, factor, _ in self.bonds.bonds))

    def over(self, density: sp.Expr) -> SiteSum:
        """The sum of another density over the same sites or bonds."""
        return SiteSum(self.args[0], density)

    def _eval_is_real(self) -> bool | None:
        return self.density.is_real

    def _sympystr(self, printer) -> str:
        return f"Σ_{self._running}[{printer.doprint(self.density)}]"

    def _latex(self, printer) -> str:
        running = {"⟨xy⟩": r"{\langle xy\rangle}", "⟨xy⟩ c_xy": r"{\langle xy\rangle} c_{xy}"}
        return rf"\sum_{running.get(self._running, 'x')} \left[{printer.doprint(self.density)}\right]"

    @property
    def _running(self) -> str:
        if self.bonds is None:
            return "x"
        return "⟨xy⟩" if self.bonds.is_plain else "⟨xy⟩ c_xy"


def _lattice_of(symbol: sp.Basic) -> Lattice:
    if isinstance(symbol, LatticeSymbol):
        return symbol.lattice
    return Lattice(*(int(extent) for extent in cast(Any, symbol.args)))
