"""Fields and densities on the lattice: their parts, neighbours and sums."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ..value import Attribute, Kind, Op
from .operation import Array, Arrays, Fixed, Interval, Intervals, Operation, Setting, Writer, grown, product

_LARGEST_FIELD = 1e6  # how far out slopes are to be finite
_SITES: Interval = (-1e3, 1e3)  # factor that sums over sites and neighbours may contribute


class Component(Fixed):
    """Component a of a configuration, a = attribute.

    Differentiation ends here: the adjoint of the result is component a of the gradient.
    """

    name, takes, gives = "component", (Kind.FIELDS,), Kind.SITE
    is_continuous = True
    is_exact = True

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return args[0][:, attribute]

    def pull_back(self, b: Writer, op: Op, value: int, adjoint: int) -> Iterable[tuple[int, int]]:
        return []

    def interval(self, b: Writer, op: Op, of: Intervals) -> Interval:
        return -_LARGEST_FIELD, _LARGEST_FIELD

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        return deltas[0][:, attribute]


class Stack(Operation):
    """A configuration from its components."""

    name = "stack"
    is_exact = True

    @property
    def arguments(self) -> str:
        return "site, once for every component"

    def kind(self, kinds: Sequence[Kind], attribute: Attribute) -> Kind | None:
        return Kind.FIELDS if {*kinds} == {Kind.SITE} else None

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return np.stack(args, axis=1)

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        return np.stack([np.broadcast_to(d, at.site_shape) for d in deltas], axis=1)


class Shift(Fixed):
    """result(x) = value(x + attribute)."""

    name, takes, gives = "shift", (Kind.SITE,), Kind.SITE
    is_continuous = True
    is_exact = True

    def simplified(self, b: Writer, args: tuple[int, ...], attribute: Attribute) -> int:
        (value,) = args
        op = b.op(value)
        if not any(attribute) or op.kind in (Kind.SCALAR, Kind.CONFIG):
            return value
        if op.name == "mul" and b.kind(op.args[0]) in (Kind.SCALAR, Kind.CONFIG):
            return b.mul(op.args[0], b.apply("shift", op.args[1], attribute=attribute))
        return b.emit(self.name, args, attribute)

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        moved = args[0]
        for offset, axis in zip(attribute, at.lattice_axes, strict=True):
            if cut := offset % moved.shape[axis]:  # np.roll takes several times as long on small lattices
                before: list[slice] = [slice(None)] * moved.ndim
                after = before.copy()
                before[axis], after[axis] = slice(cut), slice(cut, None)
                moved = np.concatenate((moved[tuple(after)], moved[tuple(before)]), axis)
        return moved

    def pull_back(self, b: Writer, op: Op, value: int, adjoint: int) -> Iterable[tuple[int, int]]:
        return [(op.args[0], b.apply("shift", adjoint, attribute=tuple(-o for o in op.attribute)))]

    def interval(self, b: Writer, op: Op, of: Intervals) -> Interval:
        return of(op.args[0])

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        return self.value([np.broadcast_to(deltas[0], at.site_shape)], attribute, at)


class Neighbours(Fixed):
    """result(…, x) = Σ_y A_xy value(…, y) on the last axis, with a named symmetric constant A."""

    name, takes, gives = "neighbours", (Kind.SITE,), Kind.SITE
    is_continuous = True
    couples_nodes = True

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return args[0] @ at.constant(attribute)

    def pull_back(self, b: Writer, op: Op, value: int, adjoint: int) -> Iterable[tuple[int, int]]:
        return [(op.args[0], b.apply("neighbours", b.apply("broadcast", adjoint), attribute=op.attribute))]

    def interval(self, b: Writer, op: Op, of: Intervals) -> Interval:
        return product(_SITES, of(op.args[0]))

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        matrix = np.abs(at.constants[attribute])
        return grown(args[0], np.broadcast_to(deltas[0], at.site_shape), at.roundoff * len(matrix)) @ matrix


class Gather(Fixed):
    """result(…, x) = value(…, p(x)) on the last axis, with a named constant p that holds positions."""

    name, takes, gives = "gather", (Kind.SITE,), Kind.SITE
    is_continuous = True
    couples_nodes = True

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return args[0][..., at.constants[attribute].astype(int)]

    def pull_back(self, b: Writer, op: Op, value: int, adjoint: int) -> Iterable[tuple[int, int]]:
        return [(op.args[0], b.apply("scatter", b.apply("broadcast", adjoint), attribute=op.attribute))]

    def interval(self, b: Writer, op: Op, of: Intervals) -> Interval:
        return of(op.args[0])

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        return self.value([np.broadcast_to(deltas[0], at.site_shape)], attribute, at)


class Scatter(Fixed):
    """result(…, y) = Σ_{x: p(x) = y} value(…, x), the transpose of :class:`Gather`."""

    name, takes, gives = "scatter", (Kind.SITE,), Kind.SITE
    couples_nodes = True

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        result = np.zeros_like(args[0])
        np.add.at(result.T, at.constants[attribute].astype(int), args[0].T)
        return result

    def interval(self, b: Writer, op: Op, of: Intervals) -> Interval:
        return product(_SITES, of(op.args[0]))

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        terms = len(at.constants[attribute])
        error = grown(args[0], np.broadcast_to(deltas[0], at.site_shape), at.roundoff * terms)
        return self.value([error], attribute, at)


class Broadcast(Operation):
    """The same value at every site: SCALAR or CONFIG → SITE."""

    name = "broadcast"
    is_continuous = True

    @property
    def arguments(self) -> str:
        return "scalar or config"

    def kind(self, kinds: Sequence[Kind], attribute: Attribute) -> Kind | None:
        return Kind.SITE if list(kinds) in ([Kind.SCALAR], [Kind.CONFIG]) else None

    def simplified(self, b: Writer, args: tuple[int, ...], attribute: Attribute) -> int:
        return args[0] if b.kind(args[0]) is Kind.SITE else b.emit(self.name, args)

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return np.broadcast_to(args[0], at.site_shape)

    def pull_back(self, b: Writer, op: Op, value: int, adjoint: int) -> Iterable[tuple[int, int]]:
        return [(op.args[0], adjoint)]

    def interval(self, b: Writer, op: Op, of: Intervals) -> Interval:
        return of(op.args[0])

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        return np.broadcast_to(deltas[0], at.site_shape)


class SiteSum(Fixed):
    """Σ_x value(x); couplings are taken out of the sum."""

    name, takes, gives = "site_sum", (Kind.SITE,), Kind.CONFIG
    is_continuous = True

    def simplified(self, b: Writer, args: tuple[int, ...], attribute: Attribute) -> int:
        op = b.op(args[0])
        if op.name == "mul" and b.kind(op.args[0]) in (Kind.SCALAR, Kind.CONFIG):
            return b.mul(op.args[0], b.apply("site_sum", op.args[1]))
        return b.emit(self.name, args)

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return args[0].sum(axis=at.lattice_axes)

    def pull_back(self, b: Writer, op: Op, value: int, adjoint: int) -> Iterable[tuple[int, int]]:
        return [(op.args[0], adjoint)]

    def interval(self, b: Writer, op: Op, of: Intervals) -> Interval:
        return product(_SITES, of(op.args[0]))

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        delta = np.broadcast_to(deltas[0], at.site_shape)
        return grown(args[0], delta, at.roundoff * at.depth).sum(axis=at.lattice_axes)

    def is_extensive(self, kinds: Sequence[Kind]) -> bool:
        return True


class SiteMean(Fixed):
    """Spatial mean of every component."""

    name, takes, gives = "site_mean", (Kind.FIELDS,), Kind.VECTOR

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return args[0].mean(axis=tuple(range(2, args[0].ndim)))

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        return self.value([grown(args[0], deltas[0], at.roundoff * at.depth)], attribute, at)


LATTICE: tuple[Operation, ...] = (
    *(Component(), Stack(), Shift(), Neighbours(), Gather(), Scatter()),
    *(Broadcast(), SiteSum(), SiteMean()),
)
