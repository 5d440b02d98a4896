"""How Markov chains are run: the options of :func:`sesamo_dsl.hmc`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

from .. import checks
from ..errors import OptionError
from ..values.precision import Precision

_MOST = 10**9
LEAST_TRAJECTORIES = 20
"""Trajectories of a chain from which errors can be told."""


class HMCFields(TypedDict, total=False):
    """The fields of :class:`HMCOptions` as keyword arguments."""

    chains: int
    trajectories: int
    warm_up: int
    steps: int | None
    step_size: float | None
    target_acceptance: float
    moves: bool
    every: int
    precision: Precision
    seed: int


@dataclass(frozen=True, kw_only=True)
class HMCOptions:
    """How chains are run; the parameters are those of :func:`hmc`."""

    chains: int = 64
    trajectories: int = 1000
    warm_up: int = 300
    steps: int | None = None
    step_size: float | None = None
    target_acceptance: float = 0.8
    moves: bool = True
    every: int = 1
    precision: Precision = "float64"
    seed: int = 0

    def __post_init__(self) -> None:
        plain: dict[str, Any] = {"seed": checks.seed(self.seed, "option seed of hmc")}
        least = {"chains": 1, "trajectories": LEAST_TRAJECTORIES, "warm_up": 0, "every": 1}
        if self.steps is not None:
            least["steps"] = 1
        for name, bound in least.items():
            plain[name] = checks.integer(
                getattr(self, name), f"option {name} of hmc", least=bound, most=_MOST, remedy="see sd.hmc"
            )
        if self.step_size is None and plain["warm_up"] < 50:
            raise option_error("warm_up", "at least 50 trajectories, to adapt the step size in", self.warm_up)
        if self.step_size is not None:
            plain["step_size"] = checks.real(self.step_size, "option step_size of hmc", remedy="see sd.hmc")
        plain["target_acceptance"] = checks.real(
            self.target_acceptance, "option target_acceptance of hmc", expected="a number between 0 and 1"
        )
        if plain["target_acceptance"] >= 1:
            raise option_error("target_acceptance", "a number between 0 and 1", self.target_acceptance)
        plain["moves"] = checks.flag(self.moves, "option moves of hmc")
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        if not (isinstance(self.precision, str) and self.precision in ("float32", "float64")):
            raise option_error("precision", "'float32' or 'float64'", self.precision)


def option_error(name: str, expected: str, found: Any) -> OptionError:
    """An option of :func:`sesamo_dsl.hmc` that is out of range."""
    return OptionError(
        f"option {name} of hmc", expected=expected, found=checks.shown(found), remedy="see sd.hmc"
    )
