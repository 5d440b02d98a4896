"""The quantile chart R → (0, ∞) as operations, entry by entry; its formulas are in ``ir.half_line``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..half_line import half_line, half_line_inverse, half_line_log_slope
from ..value import Attribute, Kind
from .operation import Array, Arrays, Fixed, Operation, Setting


class HalfLine(Fixed):
    """The chart half_line, its inverse or its log slope, of a vector, a location and a width.

    half_line is the monotone map R → (0, ∞) that takes N(location, width²) to the same density cut off at 0.
    """

    takes, gives = (Kind.VECTOR, Kind.VECTOR, Kind.VECTOR), Kind.VECTOR

    def __init__(self, name: str, function: Callable[..., np.ndarray]) -> None:
        self.name, self._function = name, function

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return self._function(*args)

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        """Tails are computed as logarithms of size v²/2, whose slope is of size v.

        The error of the library's log Φ is taken as 12 roundings of numbers of size 1 + a² + t² + v².
        """
        vector, location, width = args
        inverse = self.name == "half_line_inverse"
        other = value if inverse else vector
        image = vector if inverse else half_line(vector, location, width)
        a, t, v = -location / width, (other - location) / width, (image - location) / width
        size = 1 + a**2 + t**2 + v**2
        slope = np.exp(half_line_log_slope(other, location, width))
        moved = np.broadcast_to(deltas[0], np.shape(vector))
        if self.name == "half_line":
            return slope * moved + 12 * at.roundoff * width * size
        if inverse:
            return (moved + 12 * at.roundoff * width * size) / slope
        return (np.abs(t) + np.abs(v)) * moved / width + 24 * at.roundoff * size * (1 + np.abs(v) + np.abs(t))


CHARTS: tuple[Operation, ...] = (
    HalfLine("half_line", half_line),
    HalfLine("half_line_inverse", half_line_inverse),
    HalfLine("half_line_log_slope", half_line_log_slope),
)
