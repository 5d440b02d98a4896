"""Builder: writes one function of a Program, operation by operation.

Operations are hash-consed: writing the same operation twice gives the same value, which is the common
subexpression elimination. A named method writes the operation of that name, whose class in ``ir.operations``
has the full description; :meth:`Builder.apply` writes any operation.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from ..errors import ProgramError
from .operations import OPERATIONS
from .program import Function
from .value import Attribute, Kind, Op


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

    def extend(self, function: Function) -> list[int]:
        """Copy all operations and notes of a function; returns the new index of each of its values."""
        values: list[int] = []
        for index, op in enumerate(function.ops):
            values.append(self._add(Op(op.name, tuple(values[a] for a in op.args), op.kind, op.attribute)))
            if index in function.notes:
                self.note(values[-1], function.notes[index])
        return values

    def apply(self, name: str, *args: int, attribute: Attribute = None) -> int:
        """Write the operation of this name in its simplest form; returns the index of its value.

        Raises
        ------
        ProgramError
            If there is no operation of this name, or it does not take arguments of these kinds.
        """
        if name not in OPERATIONS:
            raise self._wrong(name, args, attribute, f"one of {', '.join(OPERATIONS)}")
        return OPERATIONS[name].simplified(self, args, attribute)

    def emit(self, name: str, args: tuple[int, ...], attribute: Attribute = None) -> int:
        """Write the operation without simplification; returns the index of its value."""
        kind = OPERATIONS[name].kind([self.kind(a) for a in args], attribute)
        if kind is None:
            raise self._wrong(name, args, attribute, f"arguments {OPERATIONS[name].arguments}")
        return self._add(Op(name, args, kind, attribute))

    def op(self, index: int) -> Op:
        """The operation that defines a value."""
        return self._ops[index]

    def kind(self, index: int) -> Kind:
        """Kind of a value."""
        return self._ops[index].kind

    def note(self, index: int, text: str) -> None:
        """Attach a comment to a value; the first one stays."""
        self._notes.setdefault(index, text)

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

    # Inputs, couplings and constants

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
        return self._add(Op("input", (), kinds[name], name))

    def parameter(self, name: str) -> int:
        """A coupling given at run time."""
        return self.apply("parameter", attribute=self._declared(name))

    def site_parameter(self, name: str) -> int:
        """A coupling given at run time as an array over the sites, the same for every configuration."""
        return self.apply("site_parameter", attribute=self._declared(name))

    def site_constant(self, name: str) -> int:
        """A named constant of the shape of the lattice, the same for every configuration."""
        return self.apply("site_constant", attribute=name)

    def constant(self, value: float) -> int:
        """A literal."""
        return self.apply("constant", attribute=float(value))

    # Entry by entry

    def add(self, a: int, b: int) -> int:
        """a + b."""
        return self.apply("add", a, b)

    def sub(self, a: int, b: int) -> int:
        """a − b."""
        return self.apply("sub", a, b)

    def mul(self, a: int, b: int) -> int:
        """a·b, the smaller array first, so that literals and couplings multiply scalars before lattices."""
        return self.apply("mul", a, b)

    def div(self, a: int, b: int) -> int:
        """a/b."""
        return self.apply("div", a, b)

    def neg(self, a: int) -> int:
        """−a."""
        return self.mul(self.constant(-1.0), a)

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
        if exponent < -1:  # the slope of (1/base)^n is finite where the slope of base^n overflows
            return self.power(self.div(self.constant(1.0), base), -exponent)
        if exponent < 0:
            return self.div(self.constant(1.0), self.power(base, -exponent))
        if exponent.denominator == 2:
            return self.mul(self.power(base, exponent - Fraction(1, 2)), self.apply("sqrt", base))
        return self.apply("exp", self.mul(self.constant(float(exponent)), self.apply("log", base)))

    def unary(self, name: str, value: int) -> int:
        """Element-wise function of one value."""
        return self.apply(name, value)

    def binary(self, name: str, a: int, b: int) -> int:
        """maximum, minimum, lt (a < b) or le (a ≤ b); comparisons give 0 or 1."""
        return self.apply(name, a, b)

    def atan2(self, y: int, x: int) -> int:
        """Angle of (x, y) in (−π, π]."""
        return self.apply("atan2", y, x)

    def where(self, condition: int, yes: int, no: int) -> int:
        """yes where condition ≠ 0, else no."""
        return self.apply("where", condition, yes, no)

    def logsumexp(self, terms: list[int]) -> int:
        """log Σ exp(terms), without overflow."""
        return self.apply("logsumexp", *terms)

    def affine_stack(self, values: list[int], rows: tuple[tuple[float, ...], ...]) -> int:
        """rows[k][0] + Σ_j rows[k][j+1] values[j] for every k: SITE values → STACK."""
        return self.apply("affine_stack", *values, attribute=rows)

    def stack_logsumexp(self, stack: int) -> int:
        """log Σ_k exp(stack_k): STACK → SITE."""
        return self.apply("stack_logsumexp", stack)

    # On the lattice

    def component(self, fields: int, a: int) -> int:
        """Component a of a configuration."""
        return self.apply("component", fields, attribute=a)

    def stack(self, components: list[int]) -> int:
        """A configuration from its components."""
        return self.apply("stack", *components)

    def shift(self, value: int, offset: tuple[int, ...]) -> int:
        """result(x) = value(x + offset)."""
        return self.apply("shift", value, attribute=offset)

    def neighbours(self, value: int, matrix: str) -> int:
        """result(…, x) = Σ_y A_xy value(…, y) on the last axis, with a named symmetric constant A."""
        return self.apply("neighbours", value, attribute=matrix)

    def gather(self, value: int, places: str) -> int:
        """result(…, x) = value(…, p(x)) on the last axis, with a named constant p that holds positions."""
        return self.apply("gather", value, attribute=places)

    def broadcast(self, value: int) -> int:
        """The same value at every site: SCALAR or CONFIG → SITE."""
        return self.apply("broadcast", value)

    def site_sum(self, value: int) -> int:
        """Σ_x value(x): SITE → CONFIG; couplings are taken out of the sum."""
        return self.apply("site_sum", value)

    def site_mean(self, fields: int) -> int:
        """Spatial mean of every component: FIELDS → VECTOR."""
        return self.apply("site_mean", fields)

    def fermion_log_det(self, value: int, step: int, matrix: str, species: int) -> int:
        """log|det(1 + B_Nt … B_1)| with B_t = exp(K·step) diag(exp(species·value_t)): → CONFIG.

        The lattice is (Nt, Nx), K a named symmetric constant (Nx, Nx), the species ±1.
        """
        return self.apply("fermion_log_det", value, step, attribute=(matrix, species))

    def block_mean(self, fields: int, axes: tuple[int, ...]) -> int:
        """Mean of every component over the sites of each block: FIELDS → VECTOR with blocks."""
        return self.apply("block_mean", fields, attribute=axes)

    def block_sum(self, value: int, axes: tuple[int, ...]) -> int:
        """Σ over the sites of each block: SITE → BLOCKS; couplings are taken out of the sum."""
        return self.apply("block_sum", value, attribute=axes)

    def act_on_blocks(self, fields: int, index: int, matrices: str, axes: tuple[int, ...]) -> int:
        """x_a(site) ↦ Σ_b M[index of the site's block]_ab x_b(site), named constant M, (order, c, c)."""
        return self.apply("act_on_blocks", fields, index, attribute=(matrices, axes))

    def spread(self, fields: int, vector: int, matrix: str, axes: tuple[int, ...]) -> int:
        """x_a(site) ↦ x_a(site) + Σ_j M_aj v_j, v the vector of the site's block, M a named constant."""
        return self.apply("spread", fields, vector, attribute=(matrix, axes))

    # Vectors and matrices

    def half_line(self, name: str, vector: int, location: int, width: int) -> int:
        """The chart R → (0, ∞) of ``ir.half_line``, its inverse or its log slope, by ``name``."""
        return self.apply(name, vector, location, width)

    def difference(self, a: int, b: int) -> int:
        """a − b of two vectors."""
        return self.apply("difference", a, b)

    def total(self, vector: int) -> int:
        """Sum of all entries of the vectors of all blocks: VECTOR → CONFIG."""
        return self.apply("total", vector)

    def flatten(self, vector: int) -> int:
        """The vectors of all blocks one after the other, (batch, blocks·k)."""
        return self.apply("flatten", vector)

    def linear(self, vector: int, matrix: str) -> int:
        """result_i = Σ_j M_ij v_j with a named constant M."""
        return self.apply("linear", vector, attribute=matrix)

    def argmax(self, vector: int) -> int:
        """Index of the largest entry, the first one where several are equal: VECTOR → INDEX."""
        return self.apply("argmax", vector)

    def act(self, fields: int, index: int, matrices: str) -> int:
        """x_a(site) ↦ Σ_b M[index]_ab x_b(site) with a named constant M of shape (order, c, c)."""
        return self.apply("act", fields, index, attribute=matrices)

    def entry(self, vector: int, i: int) -> int:
        """v_i, VECTOR → CONFIG."""
        return self.apply("entry", vector, attribute=i)

    def tail(self, vector: int) -> int:
        """(v_2, …, v_N)."""
        return self.apply("tail", vector)

    def norm(self, vector: int) -> int:
        """|v|, VECTOR → CONFIG."""
        return self.apply("norm", vector)

    def direction(self, vector: int) -> int:
        """v/|v|, and the first unit vector where v = 0."""
        return self.apply("direction", vector)

    def filled(self, like: int, value: float) -> int:
        """The same number for every configuration, an array like the CONFIG value ``like``."""
        return self.apply("filled", like, attribute=float(value))

    def combination(self, vector: int, matrices: str) -> int:
        """Σ_i v_i M_i with a named constant M of shape (k, c, c): VECTOR → MATRIX."""
        return self.apply("combination", vector, attribute=matrices)

    def matrix_polynomial(self, matrix: int, coefficients: list[int]) -> int:
        """Σ_j a_j A^j with per-configuration coefficients a_j."""
        return self.apply("matrix_polynomial", matrix, *coefficients)

    def rotate(self, fields: int, matrix: int, *, back: bool = False) -> int:
        """x(site) ↦ A x(site), or Aᵀ x(site)."""
        return self.apply("rotate_back" if back else "rotate", fields, matrix)

    def _add(self, op: Op) -> int:
        if op not in self._known:
            self._known[op] = len(self._ops)
            self._ops.append(op)
        return self._known[op]

    def _declared(self, parameter: str) -> str:
        if parameter not in self.parameters:
            raise ProgramError(
                f"function {self.name}",
                expected=f"parameters among {self.parameters}",
                found=parameter,
                remedy="declare the parameter in the Builder",
            )
        return parameter

    def _wrong(self, name: str, args: tuple[int, ...], attribute: Attribute, expected: str) -> ProgramError:
        given = ", ".join(f"{self.kind(a).value} {self._ops[a]}" for a in args) or "nothing"
        return ProgramError(
            f"function {self.name}, operation {name}",
            expected=expected,
            found=given if attribute is None else f"{given}; {attribute}",
            remedy="fix the lowering that built this operation",
        )
