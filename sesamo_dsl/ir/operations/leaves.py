"""Operations without arguments: inputs, couplings, constants and literals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ..value import Attribute, Kind, Op
from .operation import Array, Arrays, Fixed, Interval, Intervals, Operation, Setting, Writer

_LARGEST_COUPLING = 1e3  # at which slopes are to be finite


class _Leaf(Fixed):
    """A value without arguments that does not depend on other values and has no error beyond its rounding."""

    is_continuous = True
    takes = ()

    def pull_back(self, b: Writer, op: Op, value: int, adjoint: int) -> Iterable[tuple[int, int]]:
        return []

    def interval(self, b: Writer, op: Op, of: Intervals) -> Interval:
        return -_LARGEST_COUPLING, _LARGEST_COUPLING

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        return 0.0


class Input(_Leaf):
    """An argument of the function, by its name; its kind is declared by the function."""

    name = "input"

    @property
    def arguments(self) -> str:
        return "none, and its kind is declared by the function"

    def kind(self, kinds: Sequence[Kind], attribute: Attribute) -> Kind | None:
        return None

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return at.inputs[attribute]

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        return np.broadcast_to(at.input_errors.get(attribute, 0.0), np.shape(value))


class Parameter(_Leaf):
    """A coupling given at run time, by its name."""

    name, gives = "parameter", Kind.SCALAR

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return np.asarray(at.parameters[attribute], dtype=at.dtype)


class ConfigParameter(_Leaf):
    """A coupling given at run time with one value for each configuration, (batch,)."""

    name, gives = "config_parameter", Kind.CONFIG

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return np.broadcast_to(np.asarray(at.parameters[attribute], dtype=at.dtype), at.site_shape[:1])


class SiteParameter(_Leaf):
    """A coupling given at run time as an array over the sites, the same for every configuration."""

    name, gives = "site_parameter", Kind.SITE
    is_site_dependent = True

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return np.broadcast_to(np.asarray(at.parameters[attribute], dtype=at.dtype), at.site_shape)


class SiteConstant(_Leaf):
    """A named constant of the shape of the lattice, the same for every configuration."""

    name, gives = "site_constant", Kind.SITE
    is_site_dependent = True

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return np.broadcast_to(at.constant(attribute), at.site_shape)


class Constant(_Leaf):
    """A literal."""

    name, gives = "constant", Kind.SCALAR

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return np.asarray(attribute, dtype=at.dtype)

    def interval(self, b: Writer, op: Op, of: Intervals) -> Interval:
        return op.attribute, op.attribute


LEAVES: tuple[Operation, ...] = (
    Input(),
    Parameter(),
    ConfigParameter(),
    SiteParameter(),
    SiteConstant(),
    Constant(),
)
