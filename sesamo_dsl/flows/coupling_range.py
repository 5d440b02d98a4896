"""A range of couplings that one training covers: a box, or a list of points, in the space of couplings.

A model for a range has weights that are functions of the couplings, polynomials of low degree; these
polynomials are here, and so are the points at which a training looks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

import numpy as np
from numpy.polynomial.chebyshev import chebvander
from numpy.typing import NDArray

from .. import checks
from ..errors import OptionError
from ..values.couplings import Couplings

_MOST_COUPLINGS = 4
_TRAINED = 256  # points of a box at which a training looks, beside its corners
_NODES = {1: 17, 2: 7, 3: 4, 4: 3}  # nodes of every coupling, between which the base is interpolated
_DEGREES = {1: 4, 2: 4, 3: 3, 4: 3}  # largest total degree of the polynomials
_REMEDY = (
    "write over={kappa: (0.2, 0.3), h: (0, 0.05)}, or a list of points over=[{kappa: 0.2}, {kappa: 0.3}]"
)

Density = Literal["ends", "uniform", "adaptive"]
"""How densely a training looks at the points of a range, see :class:`sesamo_dsl.TrainingOptions`."""

Over: TypeAlias = "CouplingRange | Mapping[Any, Sequence[float]] | Sequence[Mapping[Any, float]]"
"""A range as a user writes it: the ends of each coupling, or a list of points."""


@dataclass(frozen=True)
class CouplingRange:
    """A box of couplings, or a list of points with the box around them.

    Attributes
    ----------
    names
        The couplings that vary.
    low, high
        The ends of the box, one pair for each coupling.
    points
        The points of a list; empty for a box.
    """

    names: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    points: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def of(cls, given: Over) -> CouplingRange:
        """The range that a user wrote; OptionError for anything that is none."""
        if isinstance(given, CouplingRange):
            return given
        if isinstance(given, Mapping):
            return cls._box(cast(Mapping[Any, Any], given))
        rows = checks.listed(given)
        if rows is None or not all(isinstance(row, Mapping) for row in rows):
            raise _error("the ends of each coupling, or a list of points", checks.shown(given))
        return cls._list([_named(row) for row in rows])

    @classmethod
    def _box(cls, given: Mapping[Any, Any]) -> CouplingRange:
        named, ends = _named(given), list[tuple[float, float]]()
        for name, value in named.items():
            pair = checks.listed(value)
            if pair is None or len(pair) != 2:
                raise _error(f"two numbers for {name}, its least and its largest value", checks.shown(value))
            low, high = (_number(name, end) for end in pair)
            if not low < high:
                raise _error(f"a range of {name} whose second end is larger", f"({low:g}, {high:g})")
            ends.append((low, high))
        _require_few(list(named))
        return cls(tuple(named), *(tuple(side) for side in zip(*ends, strict=True)))

    @classmethod
    def _list(cls, rows: list[dict[str, Any]]) -> CouplingRange:
        names = list(rows[0]) if rows else []
        _require_few(names)
        if any(set(row) != set(names) for row in rows):
            other = next(row for row in rows if set(row) != set(names))
            raise _error(f"the couplings {', '.join(names)} at every point", checks.shown(other))
        points = np.array([[_number(name, row[name]) for name in names] for row in rows])
        low, high = points.min(axis=0), points.max(axis=0)
        for name, a, b in zip(names, low, high, strict=True):
            if not a < b:
                raise _error(f"points with different values of {name}", f"{name} = {a:g} at all of them")
        return cls(tuple(names), tuple(map(float, low)), tuple(map(float, high)), _rows(points))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> CouplingRange:
        """Inverse of ``dataclasses.asdict``; OptionError if the values are no range."""
        names, points = [str(name) for name in values["names"]], list(values["points"])
        if points:
            return cls.of([dict(zip(names, point, strict=True)) for point in points])
        return cls.of(dict(zip(names, zip(values["low"], values["high"], strict=True), strict=True)))

    def __str__(self) -> str:
        box = ", ".join(
            f"{name} from {low:g} to {high:g}"
            for name, low, high in zip(self.names, self.low, self.high, strict=True)
        )
        return f"{box}, at {len(self.points)} points" if self.points else box

    @property
    def centre(self) -> dict[str, float]:
        """The couplings in the middle of the box."""
        return self.at((np.array(self.low) + np.array(self.high)) / 2)

    @property
    def corners(self) -> NDArray[np.float64]:
        """The corners of the box, (corners, couplings)."""
        return np.array(list(itertools.product(*zip(self.low, self.high, strict=True))))

    @property
    def axes(self) -> tuple[NDArray[np.float64], ...]:
        """The nodes of each coupling between which the base is interpolated."""
        count = _NODES[len(self.names)]
        return tuple(np.linspace(low, high, count) for low, high in zip(self.low, self.high, strict=True))

    def trained(self, density: Density) -> NDArray[np.float64]:
        """The points at which a training looks, (points, couplings): the list, or a net in the box.

        Polynomials that are fitted at equally dense points of an interval are worst at its ends. Points x =
        cos(πu) with u equally dense make the largest error nearly as small as it can be.
        """
        if self.points:
            return np.array(self.points)
        from scipy.stats import qmc  # pyright: ignore[reportMissingTypeStubs]  # takes long to import

        sobol: Any = qmc.Sobol(len(self.names), scramble=False)
        net, low, high = np.asarray(sobol.random(_TRAINED))[1:], np.array(self.low), np.array(self.high)
        shares = net if density == "uniform" else (1 - np.cos(np.pi * net)) / 2
        return np.concatenate([self.corners, low + (high - low) * shares])

    def has_the_box_of(self, other: CouplingRange | None) -> bool:
        """Whether functions of the couplings mean the same in another range."""
        boxes = [None if each is None else (each.names, each.low, each.high) for each in (self, other)]
        return boxes[0] == boxes[1]

    def at(self, point: Iterable[float]) -> dict[str, float]:
        """A point as couplings by name."""
        return {name: float(value) for name, value in zip(self.names, point, strict=True)}

    def point(self, parameters: Couplings) -> NDArray[np.float64]:
        """The couplings that vary, (couplings,), of all couplings of a theory."""
        return np.array([float(parameters[name]) for name in self.names])

    def contains(self, parameters: Couplings) -> bool:
        """Whether a point lies in the box, up to rounding."""
        point, low, high = self.point(parameters), np.array(self.low), np.array(self.high)
        margin = 1e-9 * (high - low)
        return bool(((point >= low - margin) & (point <= high + margin)).all())

    def features(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """The polynomials of the couplings, (points, couplings) → (points, features), without the constant.

        They are products of Chebyshev polynomials of each coupling, in units in which the box is [−1, 1],
        over the root of their number: a step of the training that moves all their weights alike, by the
        learning rate, then moves a function of the couplings at a corner of the box, where all polynomials
        are ±1, by that root times the rate at most, and by the rate elsewhere.
        """
        low, high = np.array(self.low), np.array(self.high)
        scaled, most = 2 * (points - low) / (high - low) - 1, _DEGREES[len(self.names)]
        single = chebvander(scaled, most)  # (points, couplings, degrees)
        powers = itertools.product(range(most + 1), repeat=len(self.names))
        chosen = np.array([p for p in powers if 0 < sum(p) <= most])
        factors = [single[:, k, chosen[:, k]] for k in range(len(self.names))]
        return np.stack(factors).prod(axis=0) / math.sqrt(len(chosen))


def _rows(points: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(map(float, row)) for row in points)


def _named(given: Mapping[Any, Any]) -> dict[str, Any]:
    named = {checks.spelling(str(getattr(key, "name", key))): value for key, value in given.items()}
    if len(named) < len(given):
        raise _error("every coupling once", checks.shown(given))
    return named


def _number(name: str, value: Any) -> float:
    return checks.real(
        value, f"option over, {name}", expected="finite numbers", least=-math.inf, remedy=_REMEDY
    )


def _require_few(names: list[str]) -> None:
    if not 1 <= len(names) <= _MOST_COUPLINGS:
        raise _error(f"one to {_MOST_COUPLINGS} couplings", ", ".join(names) or "none")


def _error(expected: str, found: str) -> OptionError:
    return OptionError("option over", expected=expected, found=found, remedy=_REMEDY)
