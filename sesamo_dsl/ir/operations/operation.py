"""The base classes of operations: type rule, simplest form, NumPy value, pull-back and rounding error."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np

from ...errors import LoweringError
from ...values.couplings import Couplings
from ..value import Attribute, Kind, Op

Array = Any
"""A NumPy array, or a number where nothing depends on the configuration."""
Arrays = Sequence[Array]
Interval = tuple[float, float]
"""The smallest and the largest value that something may have, infinities included."""
ANYTHING: Interval = (-math.inf, math.inf)
LARGEST, TINY = 3.4e38, 1e-45  # of single precision
Intervals = Callable[[int], Interval]
"""The interval of every value of a function, see ``ir.intervals``."""


@dataclass(frozen=True, eq=False)
class Setting:
    """The data beside its arguments that the value of an operation depends on.

    Attributes
    ----------
    constants, inputs, parameters
        Constants of the program, and the inputs and couplings that the function is called with, by name.
    site_shape
        (batch, *lattice), the shape of a SITE value.
    dtype
        The dtype in which values are computed.
    roundoff
        Unit roundoff of the arithmetic whose error is bounded.
    input_errors
        Errors of the inputs, by name; an input that is not listed has none.
    """

    constants: Mapping[str, np.ndarray]
    inputs: Mapping[str, np.ndarray]
    parameters: Couplings
    site_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    roundoff: float = 0.0
    input_errors: Mapping[str, Array] = field(default_factory=dict[str, Array])

    @property
    def lattice_axes(self) -> tuple[int, ...]:
        """The lattice axes of a SITE value."""
        return tuple(range(1, len(self.site_shape)))

    @property
    def depth(self) -> float:
        """Number of roundings of a pairwise sum over all sites, log2(sites + 1); libraries may do worse."""
        return float(np.log2(int(np.prod(self.site_shape[1:])) + 1))

    def constant(self, name: str) -> np.ndarray:
        """A constant of the program in the dtype of values."""
        return self.constants[name].astype(self.dtype)


class Writer(Protocol):
    """The methods of a :class:`.Builder`, the function under construction, that operations use."""

    def op(self, index: int) -> Op:
        """The operation that defines a value."""
        ...

    def kind(self, index: int) -> Kind:
        """Kind of a value."""
        ...

    def emit(self, name: str, args: tuple[int, ...], attribute: Attribute = None) -> int:
        """Write an operation without simplification."""
        ...

    def apply(self, name: str, *args: int, attribute: Attribute = None) -> int:
        """Write an operation in its simplest form."""
        ...

    def constant(self, value: float) -> int:
        """A literal."""
        ...

    def add(self, a: int, b: int) -> int:
        """a + b."""
        ...

    def sub(self, a: int, b: int) -> int:
        """a − b."""
        ...

    def mul(self, a: int, b: int) -> int:
        """a·b."""
        ...

    def div(self, a: int, b: int) -> int:
        """a/b."""
        ...

    def neg(self, a: int) -> int:
        """−a."""
        ...


class Operation(ABC):
    """An operation: its type rule, its value, its pull-back and a bound on its rounding error.

    Attributes
    ----------
    name
        The name of the operation in programs and dialects.
    is_exact
        Whether it makes no rounding error of its own.
    couples_nodes
        Whether it couples sites along the graph axis, which has no translations.
    is_site_dependent
        Whether it is an array of numbers that differ from site to site.
    may_jump
        Whether its value may be discontinuous although its derivative is zero on both sides.
    is_smooth, is_continuous
        Whether it can be differentiated as often as one likes, or has at least neither jumps nor poles,
        whatever its arguments are. Nothing is proved with an operation of which neither is said.
    """

    name: str
    is_exact: ClassVar[bool] = False
    couples_nodes: ClassVar[bool] = False
    is_site_dependent: ClassVar[bool] = False
    may_jump: bool = False
    is_smooth: bool = False
    is_continuous: bool = False

    @property
    @abstractmethod
    def arguments(self) -> str:
        """The kinds of its arguments, in words."""

    @abstractmethod
    def kind(self, kinds: Sequence[Kind], attribute: Attribute) -> Kind | None:
        """Kind of the result, None if the operation does not take arguments of these kinds."""

    def simplified(self, b: Writer, args: tuple[int, ...], attribute: Attribute) -> int:
        """Write the result in its simplest form, perhaps with other operations; by default as it is."""
        return b.emit(self.name, args, attribute)

    @abstractmethod
    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        """The result in NumPy, which defines the operation.

        Arguments can be broadcast to each other.
        """

    def pull_back(self, b: Writer, op: Op, value: int, adjoint: int) -> Iterable[tuple[int, int]]:
        """Pairs (value, contribution to its adjoint) for the values that the result depends on.

        Most often these are the arguments; those on which the result does not depend smoothly are left out.
        """
        raise LoweringError(
            f"operation {self.name}",
            expected="a differentiable operation in an action",
            found=self.name,
            remedy="write the action with differentiable functions",
        )

    @abstractmethod
    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        """A bound on the error of the result for errors ``deltas`` of the arguments, to first order.

        The rounding of the result itself, one unit roundoff, is added by the caller (``is_exact``).
        """

    def interval(self, b: Writer, op: Op, of: Intervals) -> Interval:
        """An interval of the result, given those of the arguments; NaN is left out."""
        return ANYTHING

    def is_extensive(self, kinds: Sequence[Kind]) -> bool:
        """Whether a CONFIG result is a linear combination of site sums if the CONFIG arguments are."""
        return False


class Fixed(Operation):
    """An operation on arguments of given kinds.

    Attributes
    ----------
    takes, gives
        Kinds of the arguments and of the result.
    """

    takes: ClassVar[tuple[Kind, ...]]
    gives: ClassVar[Kind]

    @property
    def arguments(self) -> str:
        return ", ".join(kind.value for kind in self.takes) or "none"

    def kind(self, kinds: Sequence[Kind], attribute: Attribute) -> Kind | None:
        return self.gives if tuple(kinds) == self.takes else None


RANK = {Kind.SCALAR: 0, Kind.CONFIG: 1, Kind.BLOCKS: 1, Kind.SITE: 2}
"""Kinds that are broadcast against each other, the largest last; blocks not against sites."""


class Pointwise(Operation):
    """An operation on corresponding entries of its arguments, which are broadcast against each other.

    Attributes
    ----------
    count
        Number of arguments; None for any number of them.
    """

    count: int | None = None

    @property
    def arguments(self) -> str:
        number = "one or more" if self.count is None else str(self.count)
        return f"{number} of scalar, config and site, or of scalar, config and blocks"

    def kind(self, kinds: Sequence[Kind], attribute: Attribute) -> Kind | None:
        if not kinds or len(kinds) != (self.count or len(kinds)) or any(k not in RANK for k in kinds):
            return None
        if Kind.BLOCKS in kinds:
            return Kind.BLOCKS if Kind.SITE not in kinds else None
        return max(kinds, key=RANK.__getitem__)


def largest(values: Arrays) -> Array:
    """The entrywise maximum of several arrays, broadcast against each other."""
    return np.max(np.stack(np.broadcast_arrays(*values)), axis=0)


def grown(arg: Array, delta: Array, roundings: float) -> Array:
    """The error of an argument and of relative roundings of its value: delta + roundings · |arg|."""
    return np.broadcast_to(delta, np.shape(arg)) + roundings * np.abs(arg)


def hull(intervals: Iterable[Interval]) -> Interval:
    """The smallest interval that has all of these in it."""
    lows, highs = zip(*intervals, strict=True)
    return min(lows), max(highs)


def product(one: Interval, other: Interval) -> Interval:
    """The interval of a product, where 0·∞ is left out."""
    ends = [a * b if a and b else 0.0 for a in one for b in other]
    return min(ends), max(ends)
