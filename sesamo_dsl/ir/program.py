"""Program: a small typed SSA for functions of batched lattice configurations.

A value has a kind, which is its shape apart from the batch:

=========  ==========================  =======================================
kind       shape                       example
=========  ==========================  =======================================
SCALAR     ()                          a coupling, a literal
CONFIG     (batch,)                    the action, log|J|
SITE       (batch, *lattice)           φ_a(x), a density
FIELDS     (batch, components, *lattice)  a configuration
VECTOR     (batch, [blocks,] k)        a collective coordinate, the distances to the walls
BLOCKS     (batch, blocks)             a sum over the sites of every block
INDEX      (batch, [blocks]) integer   the group element u
MATRIX     (batch, components, components)  a rotation of the components
STACK      (K, batch·sites)            the exponents of a log-sum-exp
=========  ==========================  =======================================

A group that acts independently at every point of some axes of the lattice, the block axes, has one vector and
one group element per block; blocks are numbered in the order of the sites.

Operations are hash-consed: writing the same operation twice gives the same value, which is the common
subexpression elimination.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np

from ..errors import ProgramError
from ..values.couplings import Coupling
from ..values.node_order import NodeOrder
from .sectors import Sectors


class Kind(Enum):
    """Shape of a value apart from the batch."""

    SCALAR = "scalar"
    CONFIG = "config"
    SITE = "site"
    FIELDS = "fields"
    VECTOR = "vector"
    BLOCKS = "blocks"
    INDEX = "index"
    MATRIX = "matrix"
    STACK = "stack"


_RANK = {Kind.SCALAR: 0, Kind.CONFIG: 1, Kind.BLOCKS: 1, Kind.SITE: 2}
UNARY = (
    "neg",
    "exp",
    "log",
    "sin",
    "cos",
    "tan",
    "tanh",
    "sinh",
    "cosh",
    "sqrt",
    "abs",
    "sign",
    "atan",
    "erf",
    "erfc",
    "expm1",
    "asin",
    "acos",
    "asinh",
    "acosh",
    "atanh",
    "floor",
    "lgamma",  # of positive numbers
    "digamma",
    "i0e",  # exp(−|x|) I₀(x), and I₁
    "i1e",
    "hold",  # the value itself, whose derivative is left out
    "wall",  # +∞, whose derivative is that of a steep ramp
)
BINARY = ("add", "sub", "mul", "div", "maximum", "minimum", "lt", "le")
STEEPNESS = 100.0  # slope that an infinite wall is given, so that what lies in it knows the way out

_GRAPH_OPERATIONS = ("neighbours", "gather", "scatter", "fermion_log_det")
SITE_VALUES = "SITES_"
"""With the name of a coupling: the constant that holds its given values, one for every site."""
_SITE_DEPENDENT = ("site_constant", "site_parameter")

Attribute = Any  # a number, name or tuple, as the operation has it; None without one


@dataclass(frozen=True)
class Op:
    """One operation: result = name(args; attribute); args index earlier operations of the same function."""

    name: str
    args: tuple[int, ...]
    kind: Kind
    attribute: Attribute = None


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

    @property
    def couples_nodes(self) -> bool:
        """Whether sites meet along an axis without translations, the graph axis."""
        return any(op.name in _GRAPH_OPERATIONS for op in self.ops)

    @property
    def is_site_dependent(self) -> bool:
        """Whether couplings differ from site to site, so that translations change the function."""
        return any(op.name in _SITE_DEPENDENT for op in self.ops)

    @property
    def is_extensive(self) -> bool:
        """Whether the output is a linear combination of site sums of local densities, alike at all sites."""
        if self.couples_nodes or self.is_site_dependent:
            return False
        for op in self.ops:
            kinds = [self.ops[a].kind for a in op.args]
            if op.kind is Kind.SITE and Kind.CONFIG in kinds:
                return False
            if op.kind is Kind.CONFIG and op.name != "site_sum":
                linear = op.name in ("add", "sub") or (op.name == "mul" and kinds.count(Kind.CONFIG) == 1)
                if not linear or (op.name in ("add", "sub") and Kind.SCALAR in kinds):
                    return False
        return True


@dataclass(frozen=True, eq=False)
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
    blocks
        The block axes: lattice axes at whose points the modulating group acts independently; () if it acts
        on all sites alike.
    nodes
        How flows see the nodes of a graph lattice.
    """

    theory: str
    summary: str
    components: tuple[str, ...]
    shape: tuple[int, ...]
    parameters: dict[str, Coupling | None]
    constants: dict[str, np.ndarray]
    functions: dict[str, Function]
    blocks: tuple[int, ...] = ()
    nodes: NodeOrder | None = None

    @property
    def configuration_shape(self) -> tuple[int, ...]:
        """Shape of one configuration, (components, *lattice)."""
        return (len(self.components), *self.shape)

    @property
    def has_walls(self) -> bool:
        """Whether the action is infinite somewhere."""
        return any(op.name == "wall" for op in self.functions["action"].ops)

    @property
    def has_determinants(self) -> bool:
        """Whether the action holds a fermion determinant."""
        return any("log_det" in op.name for op in self.functions["action"].ops)

    @property
    def block_shape(self) -> tuple[int, ...]:
        """Extents of the block axes."""
        return tuple(self.shape[mu] for mu in self.blocks)

    @property
    def sectors(self) -> Sectors:
        """Those of the modulating group."""
        return Sectors(len(self.constants["MATRICES"]), prod(self.block_shape) if self.blocks else None)


class Builder:
    """Builds one function; every method returns the index of a value."""

    def __init__(
        self, name: str, doc: str, inputs: Iterable[tuple[str, Kind]], parameters: Iterable[str] = ()
    ) -> None:
        self.name, self.doc = name, doc
        self.inputs, self.parameters = tuple(inputs), tuple(parameters)
        self._ops: list[Op] = []
        self._known: dict[Op, int] = {}
        self._notes: dict[int, str] = {}

    def emit(self, name: str, args: tuple[int, ...], kind: Kind, attribute: Attribute = None) -> int:
        """An operation of any name, as it is; the other methods check what they are given."""
        op = Op(name, args, kind, attribute)
        if op not in self._known:
            self._known[op] = len(self._ops)
            self._ops.append(op)
        return self._known[op]

    def op(self, index: int) -> Op:
        """The operation that defines a value."""
        return self._ops[index]

    def kind(self, index: int) -> Kind:
        """Kind of a value."""
        return self._ops[index].kind

    def note(self, index: int, text: str) -> None:
        """Attach a comment to a value; the first one stays."""
        self._notes.setdefault(index, text)

    def input(self, name: str) -> int:
        """A declared input."""
        kinds = dict(self.inputs)
        if name not in kinds:
            raise ProgramError(
                f"function {self.name}",
                expected=f"inputs among {tuple(kinds)}",
                found=name,
                remedy="declare the input in the Builder",
            )
        return self.emit("input", (), kinds[name], name)

    def parameter(self, name: str) -> int:
        """A coupling given at run time."""
        return self.emit("parameter", (), Kind.SCALAR, self._declared(name))

    def site_parameter(self, name: str) -> int:
        """A coupling given at run time as an array over the sites, the same for every configuration."""
        return self.emit("site_parameter", (), Kind.SITE, self._declared(name))

    def site_constant(self, name: str) -> int:
        """A named constant of the shape of the lattice, the same for every configuration."""
        return self.emit("site_constant", (), Kind.SITE, name)

    def _declared(self, parameter: str) -> str:
        if parameter not in self.parameters:
            raise ProgramError(
                f"function {self.name}",
                expected=f"parameters among {self.parameters}",
                found=parameter,
                remedy="declare the parameter in the Builder",
            )
        return parameter

    def constant(self, value: float) -> int:
        """A literal."""
        return self.emit("constant", (), Kind.SCALAR, float(value))

    def _literal(self, index: int) -> float | None:
        op = self._ops[index]
        return op.attribute if op.name == "constant" else None

    def component(self, fields: int, a: int) -> int:
        """Component a of a configuration."""
        self._require(fields, Kind.FIELDS)
        return self.emit("component", (fields,), Kind.SITE, a)

    def stack(self, components: list[int]) -> int:
        """A configuration from its components."""
        for component in components:
            self._require(component, Kind.SITE)
        return self.emit("stack", tuple(components), Kind.FIELDS)

    def shift(self, value: int, offset: tuple[int, ...]) -> int:
        """result(x) = value(x + offset)."""
        op = self._ops[value]
        if not any(offset) or op.kind in (Kind.SCALAR, Kind.CONFIG):
            return value
        if op.name == "mul" and self.kind(op.args[0]) in (Kind.SCALAR, Kind.CONFIG):
            return self.mul(op.args[0], self.shift(op.args[1], offset))
        self._require(value, Kind.SITE)
        return self.emit("shift", (value,), Kind.SITE, offset)

    def neighbours(self, value: int, matrix: str) -> int:
        """result(…, x) = Σ_y A_xy value(…, y) on the last axis, with a named symmetric constant A."""
        self._require(value, Kind.SITE)
        return self.emit("neighbours", (value,), Kind.SITE, matrix)

    def gather(self, value: int, places: str) -> int:
        """result(…, x) = value(…, p(x)) on the last axis, with a named constant p that holds positions."""
        self._require(value, Kind.SITE)
        return self.emit("gather", (value,), Kind.SITE, places)

    def scatter(self, value: int, places: str) -> int:
        """result(…, y) = Σ_{x: p(x) = y} value(…, x), the transpose of :meth:`gather`."""
        self._require(value, Kind.SITE)
        return self.emit("scatter", (value,), Kind.SITE, places)

    def unary(self, name: str, value: int) -> int:
        """Element-wise function of one value."""
        if name not in UNARY or self.kind(value) not in _RANK:
            raise self._ill_typed(name, (value,))
        if name == "neg":
            return self.mul(self.constant(-1.0), value)
        return self.emit(name, (value,), self.kind(value))

    def _binary(self, name: str, a: int, b: int) -> int:
        if self.kind(a) not in _RANK or self.kind(b) not in _RANK:
            raise self._ill_typed(name, (a, b))
        kind = max(self.kind(a), self.kind(b), key=_RANK.__getitem__)
        if Kind.BLOCKS in (self.kind(a), self.kind(b)) and kind is not Kind.BLOCKS:
            raise self._ill_typed(name, (a, b))
        return self.emit(name, (a, b), kind)

    def add(self, a: int, b: int) -> int:
        """a + b."""
        la, lb = self._literal(a), self._literal(b)
        if la == 0:
            return b
        if lb == 0:
            return a
        if la is not None and lb is not None:
            return self.constant(la + lb)
        for one, other in ((a, b), (b, a)):
            op = self._ops[other]
            if op.name == "mul" and self._literal(op.args[0]) == -1:
                return self.sub(one, op.args[1])
        return self._binary("add", a, b)

    def sub(self, a: int, b: int) -> int:
        """a − b."""
        return self._binary("sub", a, b)

    def mul(self, a: int, b: int) -> int:
        """a·b, the lower-ranked factor first, so that literals and couplings gather on small values."""
        if _RANK.get(self.kind(a), 9) > _RANK.get(self.kind(b), 9) or self._literal(b) is not None:
            a, b = b, a
        la, lb = self._literal(a), self._literal(b)
        if la == 1:
            return b
        if la == 0:
            return a
        if la is not None and lb is not None:
            return self.constant(la * lb)
        op = self._ops[b]
        if op.name == "mul" and _RANK[self.kind(a)] <= _RANK[self.kind(op.args[0])] < _RANK[op.kind]:
            return self.mul(self.mul(a, op.args[0]), op.args[1])
        if la is not None and op.name == "mul":
            inner = self._literal(op.args[0])
            if inner is not None:
                return self.mul(self.constant(la * inner), op.args[1])
        return self._binary("mul", a, b)

    def div(self, a: int, b: int) -> int:
        """a/b."""
        divisor = self._literal(b)
        if divisor is not None and divisor != 0:
            return self.mul(self.constant(1.0 / divisor), a)
        return self._binary("div", a, b)

    def binary(self, name: str, a: int, b: int) -> int:
        """maximum, minimum, lt (a < b) or le (a ≤ b); comparisons give 0 or 1."""
        if name not in BINARY:
            raise self._ill_typed(name, (a, b))
        return self._binary(name, a, b)

    def power(self, base: int, exponent: Fraction) -> int:
        """base to a rational power; small integer powers by repeated squaring."""
        if exponent.denominator == 1 and exponent >= 0:
            result, square, n = self.constant(1.0), base, int(exponent)
            while n:
                if n & 1:
                    result = self.mul(result, square)
                n >>= 1
                square = self.mul(square, square) if n else square
            return result
        if exponent < -1:  # the power of the inverse, whose slope is finite where that of the power overflows
            return self.power(self.div(self.constant(1.0), base), -exponent)
        if exponent < 0:
            return self.div(self.constant(1.0), self.power(base, -exponent))
        if exponent.denominator == 2:
            return self.mul(self.power(base, exponent - Fraction(1, 2)), self.unary("sqrt", base))
        return self.unary("exp", self.mul(self.constant(float(exponent)), self.unary("log", base)))

    def where(self, condition: int, yes: int, no: int) -> int:
        """yes where condition ≠ 0, else no."""
        kinds = [self.kind(v) for v in (condition, yes, no)]
        if any(kind not in _RANK for kind in kinds):
            raise self._ill_typed("where", (condition, yes, no))
        return self.emit("where", (condition, yes, no), max(kinds, key=_RANK.__getitem__))

    def logsumexp(self, terms: list[int]) -> int:
        """log Σ exp(terms), without overflow."""
        kinds = [self.kind(t) for t in terms]
        if not terms or any(kind not in _RANK for kind in kinds):
            raise self._ill_typed("logsumexp", tuple(terms))
        return self.emit("logsumexp", tuple(terms), max(kinds, key=_RANK.__getitem__))

    def affine_stack(self, values: list[int], rows: tuple[tuple[float, ...], ...]) -> int:
        """rows[k][0] + Σ_j rows[k][j+1] values[j] for every k: SITE values → STACK."""
        for value in values:
            self._require(value, Kind.SITE)
        return self.emit("affine_stack", tuple(values), Kind.STACK, rows)

    def stack_logsumexp(self, stack: int) -> int:
        """log Σ_k exp(stack_k): STACK → SITE."""
        self._require(stack, Kind.STACK)
        return self.emit("stack_logsumexp", (stack,), Kind.SITE)

    def stack_softmax(self, stack: int, logsumexp: int) -> int:
        """exp(stack_k − logsumexp), given the log-sum-exp of the stack: (STACK, SITE) → STACK."""
        self._require(stack, Kind.STACK)
        self._require(logsumexp, Kind.SITE)
        return self.emit("stack_softmax", (stack, logsumexp), Kind.STACK)

    def stack_dot(self, stack: int, weights: tuple[float, ...]) -> int:
        """Σ_k weights_k stack_k: STACK → SITE."""
        self._require(stack, Kind.STACK)
        return self.emit("stack_dot", (stack,), Kind.SITE, weights)

    def site_sum(self, value: int) -> int:
        """Σ_x value(x); couplings are pulled out."""
        op = self._ops[value]
        if op.name == "mul" and self.kind(op.args[0]) in (Kind.SCALAR, Kind.CONFIG):
            return self.mul(op.args[0], self.site_sum(op.args[1]))
        self._require(value, Kind.SITE)
        return self.emit("site_sum", (value,), Kind.CONFIG)

    def fermion_log_det(self, value: int, step: int, matrix: str, species: int) -> int:
        """log|det(1 + B_Nt … B_1)| with B_t = exp(K·step) diag(exp(species·value_t)): → CONFIG.

        The lattice is (Nt, Nx), K a named symmetric constant (Nx, Nx), the species ±1.
        """
        self._require(value, Kind.SITE)
        self._require(step, Kind.SCALAR)
        return self.emit("fermion_log_det", (value, step), Kind.CONFIG, (matrix, species))

    def fermion_gradient(self, value: int, step: int, matrix: str, species: int) -> int:
        """Derivative of :meth:`fermion_log_det` by the value: → SITE."""
        self._require(value, Kind.SITE)
        self._require(step, Kind.SCALAR)
        return self.emit("fermion_gradient", (value, step), Kind.SITE, (matrix, species))

    def broadcast(self, value: int) -> int:
        """A constant density."""
        return value if self.kind(value) is Kind.SITE else self.emit("broadcast", (value,), Kind.SITE)

    def site_mean(self, fields: int) -> int:
        """Spatial mean of every component: FIELDS → VECTOR."""
        self._require(fields, Kind.FIELDS)
        return self.emit("site_mean", (fields,), Kind.VECTOR)

    def block_mean(self, fields: int, axes: tuple[int, ...]) -> int:
        """Mean of every component over the sites of each block: FIELDS → VECTOR with blocks."""
        self._require(fields, Kind.FIELDS)
        return self.emit("block_mean", (fields,), Kind.VECTOR, axes)

    def block_sum(self, value: int, axes: tuple[int, ...]) -> int:
        """Σ over the sites of each block; couplings are pulled out: SITE → BLOCKS."""
        op = self._ops[value]
        if op.name == "mul" and self.kind(op.args[0]) is Kind.SCALAR:
            return self.mul(op.args[0], self.block_sum(op.args[1], axes))
        self._require(value, Kind.SITE)
        return self.emit("block_sum", (value,), Kind.BLOCKS, axes)

    def act_on_blocks(self, fields: int, index: int, matrices: str, axes: tuple[int, ...]) -> int:
        """x_a(site) ↦ Σ_b M[index of its block]_ab x_b(site) with a named constant M, (order, c, c)."""
        self._require(fields, Kind.FIELDS)
        self._require(index, Kind.INDEX)
        return self.emit("act_on_blocks", (fields, index), Kind.FIELDS, (matrices, axes))

    def spread(self, fields: int, vector: int, matrix: str, axes: tuple[int, ...]) -> int:
        """x_a(site) ↦ x_a(site) + Σ_j M_aj v_j, v that of the site's block, with a named constant M."""
        self._require(fields, Kind.FIELDS)
        self._require(vector, Kind.VECTOR)
        return self.emit("spread", (fields, vector), Kind.FIELDS, (matrix, axes))

    def half_line(self, name: str, vector: int, location: int, width: int) -> int:
        """half_line, its inverse half_line_inverse, or half_line_log_slope, entry by entry.

        The monotone map R → (0, ∞) that takes N(location, width²) to the same density cut off at 0.
        """
        if name not in ("half_line", "half_line_inverse", "half_line_log_slope"):
            raise self._ill_typed(name, (vector, location, width))
        for value in (vector, location, width):
            self._require(value, Kind.VECTOR)
        return self.emit(name, (vector, location, width), Kind.VECTOR)

    def difference(self, a: int, b: int) -> int:
        """a − b of two vectors."""
        self._require(a, Kind.VECTOR)
        self._require(b, Kind.VECTOR)
        return self.emit("difference", (a, b), Kind.VECTOR)

    def total(self, vector: int) -> int:
        """Sum of all entries, of all blocks: VECTOR → CONFIG."""
        self._require(vector, Kind.VECTOR)
        return self.emit("total", (vector,), Kind.CONFIG)

    def flatten(self, vector: int) -> int:
        """The vectors of all blocks one after the other, (batch, blocks·k)."""
        self._require(vector, Kind.VECTOR)
        return self.emit("flatten", (vector,), Kind.VECTOR)

    def linear(self, vector: int, matrix: str) -> int:
        """result_i = Σ_j M_ij v_j with a named constant M."""
        self._require(vector, Kind.VECTOR)
        return self.emit("linear", (vector,), Kind.VECTOR, matrix)

    def argmax(self, vector: int) -> int:
        """Index of the largest entry, the first one of equals."""
        self._require(vector, Kind.VECTOR)
        return self.emit("argmax", (vector,), Kind.INDEX)

    def act(self, fields: int, index: int, matrices: str) -> int:
        """x_a(site) ↦ Σ_b M[index]_ab x_b(site) with a named constant M of shape (order, c, c)."""
        self._require(fields, Kind.FIELDS)
        self._require(index, Kind.INDEX)
        return self.emit("act", (fields, index), Kind.FIELDS, matrices)

    def entry(self, vector: int, i: int) -> int:
        """v_i, VECTOR → CONFIG."""
        self._require(vector, Kind.VECTOR)
        return self.emit("entry", (vector,), Kind.CONFIG, i)

    def tail(self, vector: int) -> int:
        """(v_2, …, v_N)."""
        self._require(vector, Kind.VECTOR)
        return self.emit("tail", (vector,), Kind.VECTOR)

    def norm(self, vector: int) -> int:
        """|v|, VECTOR → CONFIG."""
        self._require(vector, Kind.VECTOR)
        return self.emit("norm", (vector,), Kind.CONFIG)

    def direction(self, vector: int) -> int:
        """v/|v|, and the first unit vector where v = 0."""
        self._require(vector, Kind.VECTOR)
        return self.emit("direction", (vector,), Kind.VECTOR)

    def atan2(self, y: int, x: int) -> int:
        """Angle of (x, y) in (−π, π]."""
        return self._binary("atan2", y, x)

    def filled(self, like: int, value: float) -> int:
        """The same number for every configuration."""
        self._require(like, Kind.CONFIG)
        return self.emit("filled", (like,), Kind.CONFIG, float(value))

    def combination(self, vector: int, matrices: str) -> int:
        """Σ_i v_i M_i with a named constant M of shape (k, c, c): VECTOR → MATRIX."""
        self._require(vector, Kind.VECTOR)
        return self.emit("combination", (vector,), Kind.MATRIX, matrices)

    def matrix_polynomial(self, matrix: int, coefficients: list[int]) -> int:
        """Σ_j a_j A^j with per-configuration coefficients a_j."""
        self._require(matrix, Kind.MATRIX)
        for value in coefficients:
            self._require(value, Kind.CONFIG)
        return self.emit("matrix_polynomial", (matrix, *coefficients), Kind.MATRIX)

    def rotate(self, fields: int, matrix: int, *, back: bool = False) -> int:
        """x(site) ↦ A x(site), or Aᵀ x(site)."""
        self._require(fields, Kind.FIELDS)
        self._require(matrix, Kind.MATRIX)
        return self.emit("rotate_back" if back else "rotate", (fields, matrix), Kind.FIELDS)

    def finish(self, /, **outputs: int) -> Function:
        """The function with these outputs, without the operations that none of them needs."""
        needed = set(outputs.values())
        for index in reversed(range(len(self._ops))):
            if index in needed:
                needed.update(self._ops[index].args)
        order = {old: new for new, old in enumerate(sorted(needed))}
        ops = tuple(
            Op(op.name, tuple(order[a] for a in op.args), op.kind, op.attribute)
            for op in (self._ops[index] for index in sorted(needed))
        )
        return Function(
            self.name,
            self.doc,
            self.inputs,
            self.parameters,
            ops,
            tuple((name, order[index]) for name, index in outputs.items()),
            {order[index]: text for index, text in self._notes.items() if index in order},
        )

    def _require(self, value: int, kind: Kind) -> None:
        if self.kind(value) is not kind:
            raise ProgramError(
                f"function {self.name}, value {value} = {self._ops[value]}",
                expected=kind.value,
                found=self.kind(value).value,
                remedy="fix the lowering that built this operation",
            )

    def _ill_typed(self, name: str, args: tuple[int, ...]) -> ProgramError:
        return ProgramError(
            f"function {self.name}, operation {name}",
            expected="a known operation on scalar, config or site values",
            found=", ".join(f"{self.kind(a).value} {self._ops[a]}" for a in args),
            remedy="fix the lowering that built this operation",
        )
