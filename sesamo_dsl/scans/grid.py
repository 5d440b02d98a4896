"""The points of a scan: a product of ranges of couplings, or a list of points, in the order of the visits.

Neighbours on the way differ as little as possible, so that each training can start from the last one's
weights: a product of ranges is walked like a snake, which changes one coupling at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .. import checks
from ..errors import NotNormalizableError, OptionError, ParameterError
from ..ir.program import Program
from ..landscape.integrability import require_normalizable
from ..language.theory import Theory
from ..symbols.fields import Parameter
from ..values.couplings import Coupling, couplings_text

_SAME = 1e-12  # relative distance below which two points count as equal
_MOST = 10_000
_WRITE = 'write for instance {"kappa": np.linspace(0.2, 0.3, 11)}, or a list of points, [{"kappa": 0.2}, …]'


@dataclass(frozen=True, eq=False)
class Grid:
    """Points of a scan in the order in which they are visited.

    Attributes
    ----------
    names
        The couplings that change.
    values
        Their values, (points, couplings).
    axes
        The values of each coupling in ascending order, if the points are the product of these; else None.
    notes
        What was done to the ranges that were given, in words.
    """

    names: tuple[str, ...]
    values: np.ndarray
    axes: Mapping[str, np.ndarray] | None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, over: Any, theory: Theory) -> Grid:
        """The points of ``over``: values by coupling, or a list of points.

        Raises
        ------
        OptionError
            If there are fewer than two points, equal points, or values that are no finite numbers.
        ParameterError
            For couplings that the theory does not have, or that have a value for every site.
        """
        return cls.named_by(partial(_name, theory), over)

    @classmethod
    def named_by(cls, name: Callable[[Any], str], over: Any) -> Grid:
        """The points of ``over``, as :meth:`of` has them.

        Parameters
        ----------
        name
            A function from a key of ``over`` to the name of a coupling; it raises ParameterError for those
            that are none.
        """
        if isinstance(over, Mapping):
            return cls._of_ranges(over, name)
        listed = checks.listed(over)
        if not listed or not all(isinstance(point, Mapping) for point in listed):
            raise OptionError(
                "points of a scan",
                expected="values by coupling, or a list of points, each a dictionary",
                found=checks.shown(over),
                remedy=_WRITE,
            )
        points = [{name(key): _number(value, name(key)) for key, value in p.items()} for p in listed]
        names = tuple(points[0])
        for point in points:
            if set(point) != set(names) or not names:
                raise OptionError(
                    "points of a scan",
                    expected=f"the couplings {', '.join(names) or 'that change'} at every point",
                    found=checks.shown(point),
                    remedy="give each point a value of every coupling that changes",
                )
        values = np.array([[point[name] for name in names] for point in points])
        _require_different(names, values)
        return cls(names, values, None)

    @classmethod
    def _of_ranges(cls, over: Mapping[Any, Any], name_of: Callable[[Any], str]) -> Grid:
        axes: dict[str, np.ndarray] = {}
        notes: list[str] = []
        backwards: set[str] = set()
        for key, given in over.items():
            name = name_of(key)
            listed = checks.listed(given)
            if not listed or name in axes:
                raise OptionError(
                    f"scan over {name}",
                    expected="values of the coupling, once",
                    found=checks.shown(given) if name not in axes else f"{name} twice",
                    remedy=_WRITE,
                )
            values = np.array([_number(value, name) for value in listed])
            _require_different((name,), values[:, None])
            steps = np.diff(values)
            if (steps < 0).all() and len(steps):
                backwards.add(name)
            elif not (steps > 0).all():
                notes.append(f"values of {name} were not in order, and are visited in ascending order")
            axes[name] = np.sort(values)
        if not axes or int(np.prod([float(len(axis)) for axis in axes.values()])) not in range(2, _MOST + 1):
            raise OptionError(
                "points of a scan",
                expected=f"two points at least, and {_MOST} at most",
                found=", ".join(f"{len(axis)} values of {name}" for name, axis in axes.items()) or "none",
                remedy=_WRITE,
            )
        ways = [axis[::-1] if name in backwards else axis for name, axis in axes.items()]
        return cls(tuple(axes), _snake(ways), axes, tuple(notes))

    def __len__(self) -> int:
        return len(self.values)

    def at(self, point: int) -> dict[str, float]:
        """The couplings that change, at the point with this number."""
        return dict(zip(self.names, self.values[point].tolist(), strict=True))

    def parameters(self, theory: Theory, fixed: Mapping[Any, Coupling] | None) -> list[dict[str, Coupling]]:
        """All couplings at each point; ``fixed`` are those that differ from the defaults at all of them."""
        checked = {} if fixed is None else theory.checked_values(fixed)
        twice = [name for name in checked if name in self.names]
        if twice:
            raise ParameterError(
                f"coupling {twice[0]} of a scan",
                expected="a value, or a range",
                found=f"{checked[twice[0]]!r}, and a range as well",
                remedy="leave one of them out",
            )
        return [theory.parameter_values({**checked, **self.at(i)}) for i in range(len(self))]


def require_normalizable_points(program: Program, points: Sequence[Mapping[str, Coupling]]) -> None:
    """Raise NotNormalizableError, before anything is trained, for a point at which Z is found infinite."""
    for number, values in enumerate(points):
        try:
            require_normalizable(program, values)
        except NotNormalizableError as error:
            raise NotNormalizableError(
                f"point {number + 1} of {len(points)} of a scan, {couplings_text(values)}",
                direction=error.direction,
                expected=error.expected,
                found=f"{error.subject}: {error.found}",
                remedy="leave the point out, or end the range before it",
            ) from error


def _snake(ways: Sequence[np.ndarray]) -> np.ndarray:
    """The product of ranges, (points, ranges), in an order that changes one entry at a time."""
    if len(ways) == 1:
        return ways[0][:, None]
    rest = _snake(ways[1:])
    rows = [
        np.column_stack([np.full(len(rest), value), rest if i % 2 == 0 else rest[::-1]])
        for i, value in enumerate(ways[0])
    ]
    return np.concatenate(rows)


def _name(theory: Theory, key: Any) -> str:
    """The name of a coupling of the theory that is a number."""
    name = checks.spelling(str(getattr(key, "name", key)))
    known = [p.name for p in theory.parameters if isinstance(p, Parameter)]
    if name in known:
        return name
    sitewise = name in {p.name for p in (*theory.parameters, *theory.site_constants)}
    raise ParameterError(
        f"scan of theory {theory.name} over {name}",
        expected=f"one of {', '.join(known) or 'no coupling: the theory has none that is a number'}",
        found=f"{name}, which has a value for every site" if sitewise else checks.shown(key),
        remedy="check the spelling; temperature is a coupling if the action has it, S = beta · E",
    )


def _number(value: Any, name: str) -> float:
    return checks.real(
        value,
        f"scan over {name}",
        expected="finite real numbers",
        least=-np.inf,
        remedy="leave out what is NaN, infinite or no number",
    )


def _require_different(names: Sequence[str], values: np.ndarray) -> None:
    """OptionError if two points are equal, up to rounding."""
    scale = np.abs(values).max(axis=0) + np.ptp(values, axis=0) + 1e-300
    order = np.lexsort((values / scale).T[::-1])
    near = np.abs(np.diff(values[order], axis=0)) <= _SAME * scale
    equal = np.flatnonzero(near.all(axis=1))
    if len(equal):
        same = values[order[equal[0]]]
        text = ", ".join(f"{name} = {value:.17g}" for name, value in zip(names, same, strict=True))
        raise OptionError(
            f"scan over {', '.join(names)}",
            expected="points that differ",
            found=f"{text} twice",
            remedy="give each point once",
        )
