"""Fermion determinants as symbolic functionals of a field on a (time × graph) lattice."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import mpmath
import numpy as np
import sympy as sp

from ..checks import as_integer, shown
from ..errors import FieldError, LatticeError, ParameterError, TheoryError
from .exact import exact_matrix, floats, numeric, rational, symbolic
from .fields import FieldComponent, Parameter
from .lattice import Functional, GraphLattice, SiteSum

if TYPE_CHECKING:
    import networkx as nx


class Hopping(sp.Atom):
    """A real symmetric matrix K between the nodes of a graph lattice, exact."""

    matrix: sp.ImmutableMatrix

    def __new__(cls, matrix: sp.ImmutableMatrix) -> Hopping:
        """The symbol of a matrix that has been checked."""
        self = super().__new__(cls)
        self.matrix = matrix
        return self

    def __getnewargs__(self) -> Any:
        return (self.matrix,)

    @property
    def digest(self) -> str:
        """A hash of the entries."""
        return hashlib.sha256(repr(self.matrix.tolist()).encode()).hexdigest()[:6]

    @property
    def name(self) -> str:
        """Name of the array in emitted programs."""
        return f"HOPPING_{self.digest}"

    @property
    def is_bipartite(self) -> bool:
        """Whether the nodes fall into two sublattices such that K connects only different ones.

        Then the sign flip D of one sublattice turns K into D K D = −K.
        """
        import networkx as nx

        graph = nx.Graph()
        graph.add_nodes_from(range(self.matrix.rows))
        entries = self.matrix.todok()
        graph.add_edges_from(entries)
        return all(i != j for i, j in entries) and nx.is_bipartite(graph)

    def renamed(self, images: Sequence[int]) -> Hopping:
        """K with the rows and columns images[0], images[1], … of this matrix."""
        return Hopping(sp.ImmutableMatrix(self.matrix.extract(list(images), list(images))))

    def _hashable_content(self) -> tuple[Any, ...]:
        return (self.matrix.rows, self.digest)

    def _sympystr(self, printer: Any) -> str:
        return f"K[{self.matrix.rows}×{self.matrix.rows}, {self.digest}]"


class FermionLogDet(Functional):
    """log |det(1 + B_Nt … B_1)|, B_t = exp(K β/Nt) diag(exp(± φ_t)): a fermion species in a field.

    Parameters
    ----------
    hopping
        K, real and symmetric: a networkx graph on the nodes of the lattice (weights by the edge attribute
        ``weight``), a matrix in the order of ``lattice.nodes``, or the lattice itself for its adjacency.
    beta
        Inverse temperature: a number or an expression in parameters.
    field
        The field φ, or any expression in field components at one site, on a GraphLattice with time slices.
    species
        +1 or −1, the sign of φ.

    Raises
    ------
    LatticeError, FieldError, ParameterError, TheoryError
        If the lattice has no time axis, K is not a real symmetric matrix of its size, or β is not positive.
    """

    def __new__(cls, hopping: Any, beta: Any, field: Any, species: Any = 1) -> FermionLogDet:
        """Check the arguments and make them exact, see the class."""
        expr = symbolic(field)
        if expr is None:
            raise FieldError(
                "field of FermionLogDet",
                expected="a field, or an expression in field components at one site",
                found=shown(field),
                remedy="give the field itself; text is never evaluated",
            )
        lattice = _lattice(expr)
        if as_integer(species) not in (1, -1):
            raise TheoryError(
                "FermionLogDet",
                expected="species=+1 or species=-1",
                found=f"species={shown(species)}",
                remedy="add one determinant per species",
            )
        matrix = hopping if isinstance(hopping, Hopping) else Hopping(_matrix(hopping, lattice))
        return super().__new__(cls, matrix, _beta(beta), rational(expr), sp.Integer(int(species)))

    @property
    def hopping(self) -> Hopping:
        """K, the hopping matrix."""
        return self.args[0]

    @property
    def beta(self) -> sp.Expr:
        """β, the inverse temperature."""
        return self.args[1]

    @property
    def field(self) -> sp.Expr:
        """φ at the running site."""
        return self.args[2]

    @property
    def species(self) -> int:
        """+1 or −1, the sign of φ."""
        return int(cast(Any, self.args[3]))

    @property
    def lattice(self) -> GraphLattice:
        """The lattice of the field."""
        return _lattice(self.field)

    @property
    def step(self) -> sp.Expr:
        """β/Nt."""
        return self.beta / self.lattice.shape[0]

    def _eval_is_real(self) -> bool:
        return True

    def expand_explicit(self, values: Sequence[Sequence[Any]] | None = None) -> sp.Expr:
        """The determinant written out, for few slices and nodes.

        Parameters
        ----------
        values
            φ at every (slice, node), shape (Nt, Nx); default: symbols ``phi_<t>_<x>`` after the field.
        """
        slices, nodes = self.lattice.shape
        if values is None:
            label = min(self.field.atoms(FieldComponent), key=str).label
            values = [[sp.Symbol(f"{label}_{t}_{x}", real=True) for x in range(nodes)] for t in range(slices)]
        entries = [[symbolic(v) for v in row] for row in values]
        if len(values) != slices or any(len(row) != nodes or None in row for row in entries):
            raise FieldError(
                "explicit determinant",
                expected=f"{slices} slices of {nodes} values",
                found=str(values),
                remedy="list the values of φ slice by slice, or leave them out",
            )
        hop = sp.Matrix(self.hopping.matrix * self.step).exp().applyfunc(sp.simplify)
        product = sp.eye(nodes)
        for row in cast(list[list[sp.Expr]], entries):
            product = hop * sp.diag(*(sp.exp(self.species * rational(v)) for v in row)) * product
        return sp.log(sp.Abs((sp.eye(nodes) + product).det(method="laplace")))

    def value(self, field: np.ndarray, beta: float) -> float:
        """The value, from the dense matrix over space and time that has the same determinant.

        The matrix has −B_t below the diagonal and B_1 in the corner. No product of slices is formed, so that
        the large and small scales of B_Nt … B_1 do not mix.

        Parameters
        ----------
        field
            φ, shape (Nt, Nx).
        """
        from scipy.linalg import expm

        slices, nodes = field.shape
        hop = expm(floats(self.hopping.matrix) * beta / slices)
        matrix = np.eye(slices * nodes).reshape(slices, nodes, slices, nodes)
        for t, row in enumerate(field):
            sign = 1.0 if t == 0 else -1.0  # antiperiodic in time
            matrix[t, :, t - 1, :] += sign * hop * np.exp(self.species * row)
        return float(np.linalg.slogdet(matrix.reshape(slices * nodes, -1))[1])

    def precise_value(self, field: np.ndarray, beta: Any, digits: int) -> Any:
        """The value to ``digits`` digits, an ``mpmath.mpf``, from the product of slices that defines it."""
        slices, nodes = field.shape
        largest = sum(max(abs(v) for v in row) for row in field) + abs(beta) * nodes * 10
        with mpmath.workdps(digits + 20 + int(largest)):  # the product spans 2·largest powers of e
            entries = [numeric(k, digits + 10) for k in self.hopping.matrix.flat()]
            kinetic = mpmath.matrix(nodes, nodes)
            for i, entry in enumerate(entries):
                kinetic[i // nodes, i % nodes] = entry * beta / slices
            hop = mpmath.expm(kinetic)
            product = mpmath.eye(nodes)
            for row in field:
                product = hop * mpmath.diag([mpmath.exp(self.species * v) for v in row]) * product
            return mpmath.log(abs(mpmath.det(mpmath.eye(nodes) + product)))

    def _sympystr(self, printer: Any) -> str:
        argument = printer.doprint(self.species * self.field)
        return (
            f"logdet(1 + B[{argument}]; {printer.doprint(self.hopping)}, beta={printer.doprint(self.beta)})"
        )

    def _latex(self, printer: Any) -> str:
        argument = printer.doprint(self.species * self.field)
        return rf"\log\det\left(1 + \prod_{{t}} B_{{t}}\left[{argument}\right]\right)"


def canonical_species(node: FermionLogDet) -> sp.Expr:
    """A canonical form of determinants: no overall sign of φ, and species +1 if K is bipartite.

    det(1 + B_Nt … B_1) = det(B_Nt … B_1) det(1 + B_1⁻¹ … B_Nt⁻¹), and the transpose of the last product is
    the product of all exp(−K β/Nt) diag(exp(−φ_t)). On a bipartite graph a sign flip of one sublattice, which
    commutes with the diagonal factors, turns −K into K, and tr K = 0; so log det[φ] = Σ φ + log det[−φ].
    """
    field, species = node.field, node.species
    if field.could_extract_minus_sign():
        field, species = -field, -species
    if species < 0 and node.hopping.is_bipartite:
        total = SiteSum(node.lattice.symbol, field)
        return FermionLogDet(node.hopping, node.beta, field, 1) - total
    return FermionLogDet(node.hopping, node.beta, field, species)


def check_determinants(expr: sp.Expr, values: Mapping[str, float], subject: str) -> None:
    """Raise ParameterError if the couplings make a β ≤ 0; a β with missing couplings is not checked."""
    for node in sorted(expr.atoms(FermionLogDet), key=str):
        symbols = node.beta.free_symbols
        beta = node.beta.xreplace({p: sp.Float(values[p.name]) for p in symbols if p.name in values})
        if beta.is_number and not float(cast(Any, beta)) > 0:
            raise ParameterError(
                subject,
                expected="a positive inverse temperature β in FermionLogDet",
                found=f"β = {node.beta} = {float(cast(Any, beta)):g}",
                remedy="choose couplings with β > 0",
            )


def _lattice(expr: sp.Expr) -> GraphLattice:
    lattices = {atom.lattice for atom in expr.atoms(FieldComponent)}
    lattice = next(iter(lattices)) if len(lattices) == 1 else None
    if expr.atoms(Functional):
        raise FieldError(
            "FermionLogDet",
            expected="a field, or an expression in field components at one site",
            found=str(expr),
            remedy="give the field itself: it is coupled at every (slice, node)",
        )
    if not isinstance(lattice, GraphLattice) or not lattice.directions:
        raise LatticeError(
            "FermionLogDet",
            expected="a field on one GraphLattice(graph, time=Nt)",
            found=", ".join(sorted(map(str, lattices))) or f"no field in {expr}",
            remedy="declare the field on sd.GraphLattice(networkx.cycle_graph(6), time=20)",
        )
    return lattice


def _matrix(hopping: Any, lattice: GraphLattice) -> sp.ImmutableMatrix:
    import networkx as nx

    if isinstance(hopping, GraphLattice):
        hopping = _graph_of(hopping)
    if isinstance(hopping, nx.Graph):
        other = GraphLattice(hopping, time=lattice.shape[0])
        if set(other.nodes) != set(lattice.nodes):
            raise LatticeError(
                "hopping of FermionLogDet",
                expected=f"a graph on the nodes {lattice.nodes}",
                found=f"one on {other.nodes}",
                remedy="build hopping and lattice from graphs with the same nodes",
            )
        order = [other.nodes.index(node) for node in lattice.nodes]
        return sp.ImmutableMatrix(other.adjacency.extract(order, order))
    found = exact_matrix(hopping)
    matrix = sp.ImmutableMatrix(0, 0, []) if found is None else found.applyfunc(rational)
    size = len(lattice.nodes)
    if matrix.shape != (size, size):
        raise LatticeError(
            "hopping of FermionLogDet",
            expected=f"a {size}×{size} matrix, one row per node of {lattice}",
            found=f"shape {matrix.shape}" if matrix.shape != (0, 0) else shown(hopping),
            remedy="list the entries in the order of lattice.nodes",
        )
    wrong = [
        (i, j)
        for i in range(size)
        for j in range(size)
        if not _is_real_number(matrix[i, j]) or matrix[i, j] != matrix[j, i]
    ]
    if wrong:
        i, j = wrong[0]
        raise LatticeError(
            "hopping of FermionLogDet",
            expected="a real symmetric matrix of numbers",
            found=f"K[{i}, {j}] = {matrix[i, j]} and K[{j}, {i}] = {matrix[j, i]}",
            remedy="give the amplitude of every hop in both directions; couplings go into beta or the field",
        )
    return matrix


def _is_real_number(entry: Any) -> bool:
    return bool(entry.is_number and entry.is_real)


def _graph_of(lattice: GraphLattice) -> nx.Graph:
    import networkx as nx

    graph = nx.Graph()
    graph.add_nodes_from(lattice.nodes)
    graph.add_edges_from((lattice.nodes[i], lattice.nodes[j], {"weight": w}) for i, j, w in lattice.edges)
    return graph


def _beta(beta: Any) -> sp.Expr:
    found = symbolic(beta)
    expr = sp.nan if found is None else rational(found)
    if (
        found is None
        or not all(isinstance(s, Parameter) for s in expr.free_symbols)
        or expr.atoms(Functional)
    ):
        raise ParameterError(
            "beta of FermionLogDet",
            expected="a number or an expression in parameters",
            found=shown(beta),
            remedy='write beta=4, or beta=parameters("beta")',
        )
    if expr.is_number and not (expr.is_real and expr > 0):
        raise ParameterError(
            "beta of FermionLogDet",
            expected="β > 0",
            found=f"β = {expr}",
            remedy="an inverse temperature is positive; for β = 0 there is nothing to compute",
        )
    return expr
