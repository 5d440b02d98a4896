"""The options of :func:`sesamo_dsl.anneal` and their defaults."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from .. import checks
from ..errors import OptionError

LEAST_POPULATIONS = 4
LEAST_WALKERS = 32
_MOST = 10**9
_POPULATIONS = 8
SECONDS = 60.0
"""Time limit if neither ``seconds`` nor ``walkers`` is given."""
# default number of walkers of a population and of a pilot: real variables of all together, and its bounds
_ENTRIES, _MOST_WALKERS, _FEWEST_WALKERS = 2**17, 2048, 256
_PILOT_ENTRIES, _MOST_PILOT, _FEWEST_PILOT = 2**14, 1024, 64


class AnnealingFields(TypedDict, total=False):
    """The fields of :class:`AnnealingOptions` as keyword arguments."""

    walkers: int | None
    populations: int | None
    seconds: float | None
    seed: int


@dataclass(frozen=True, kw_only=True)
class AnnealingOptions:
    """The options of an annealing, see :func:`sesamo_dsl.anneal`; None leaves the choice to the package."""

    walkers: int | None = None
    populations: int | None = None
    seconds: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        plain: dict[str, Any] = {"seed": checks.seed(self.seed, "option seed of anneal")}
        for name, least in {"walkers": LEAST_WALKERS, "populations": LEAST_POPULATIONS}.items():
            value = getattr(self, name)
            if value is not None:
                plain[name] = checks.integer(
                    value, f"option {name} of anneal", least=least, most=_MOST, remedy="see sd.anneal"
                )
        if self.seconds is not None:
            plain["seconds"] = checks.real(self.seconds, "option seconds of anneal", remedy="see sd.anneal")
        for name, value in plain.items():
            object.__setattr__(self, name, value)

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> AnnealingOptions:
        """The options from keyword arguments; OptionError for an unknown name."""
        unknown = sorted(set(options) - set(cls.__dataclass_fields__))
        if unknown:
            raise OptionError(
                f"option {', '.join(unknown)} of anneal",
                expected=f"one of {', '.join(cls.__dataclass_fields__)}",
                found=", ".join(unknown),
                remedy="see sd.anneal",
            )
        return cls(**options)

    @property
    def limit(self) -> float:
        """Time limit in seconds, infinite if there is none."""
        if self.seconds is not None:
            return self.seconds
        return SECONDS if self.walkers is None else math.inf

    @property
    def most_populations(self) -> int:
        """Number of populations after which the work is done; unbounded if only the time is given."""
        if self.populations is not None:
            return self.populations
        return _POPULATIONS if self.seconds is None else _MOST

    def walkers_of(self, shape: Sequence[int]) -> int:
        """Number of walkers of a population before the time limits it, for configurations of a shape."""
        if self.walkers is not None:
            return self.walkers
        return _within(_ENTRIES, shape, _FEWEST_WALKERS, _MOST_WALKERS)

    def pilots_of(self, shape: Sequence[int]) -> int:
        """Number of walkers of a pilot, for configurations of a shape."""
        return min(self.walkers_of(shape), _within(_PILOT_ENTRIES, shape, _FEWEST_PILOT, _MOST_PILOT))


def _within(entries: int, shape: Sequence[int], least: int, most: int) -> int:
    return min(max(entries // math.prod(shape), least), most)
