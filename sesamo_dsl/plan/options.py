"""The options of a model and of its training; each may be left to the compiler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, get_args

from .. import checks
from ..errors import OptionError
from ..flows.architecture import Architecture, architecture_from_json
from ..flows.bisection import BisectionSpec
from ..flows.circular import CircularSpec
from ..flows.coupling_range import CouplingRange, Density, Over
from ..flows.spec import FlowSpec
from ..values.precision import Precision
from .extensions import BASES, EXTENDABLE, FLOWS, LAWS
from .extensions import Law as Law

Strategy = Literal["fold", "penalty", "chart", "canonicalize", "none"]
Gradient = Literal["path", "reparametrised"]
LawGradient = Literal["enumerate", "reinforce"]
ForwardSchedule = Literal["constant", "falling"]

_MOST = 10**12
LARGEST_RATE = 10.0
"""Largest learning rate: weights are of order one, and Adam moves each by up to the rate in a step."""
_INTERVAL = "checkpoint_seconds"
_CHOICES: dict[str, tuple[str, ...]] = {
    "strategy": get_args(Strategy),
    "gradient": get_args(Gradient),
    "law_gradient": get_args(LawGradient),
    "forward_schedule": get_args(ForwardSchedule),
    "density": get_args(Density),
    "flow_precision": get_args(Precision),
}
# None leaves the choice to the compiler
_OPEN = ("law", "strategy", "law_gradient", "forward_schedule", "flow_precision")


class TrainingFields(TypedDict, total=False):
    """The fields of :class:`TrainingOptions` as keyword arguments, without ``over``.

    One that trains at a range of couplings has ``over`` as an argument of its own.
    """

    law: Law | str | None
    strategy: Strategy | None
    gradient: Gradient
    law_gradient: LawGradient | None
    forward_weight: float | None
    forward_schedule: ForwardSchedule | None
    flows: int
    base: str
    flow: Architecture | str | None
    flow_precision: Precision | None
    density: Density
    steps: int
    seconds: float | None
    batch: int
    learning_rate: float | None
    clip: float
    penalty_height: float
    penalty_slope: float
    checkpoint_seconds: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """The options of a model and its training; None leaves the choice to the compiler.

    :func:`sesamo_dsl.plan.decide.decide` turns them into a :class:`~sesamo_dsl.plan.plan.Plan`.

    Parameters
    ----------
    law
        p(u|y): "uniform" (1/|G|), "learned" (one logit per element), "conditional" (a network of y),
        "heat_bath" (the exact conditional), or the name of a user's law. Default: uniform if the symmetry is
        exact, else heat bath; but conditional if S₁ couples too many blocks to sum over, where one block is
        drawn given those before. On the circle of a broken U(1) "learned" and "conditional" are circular
        splines.
    strategy
        How samples stay in the fundamental domain: "fold" (exact; sums over the group), "chart" (exact; a
        bijection from R^n, if the walls are linearly independent) or "penalty" (as in SESaMo; may leak). Two
        more are for comparison: "canonicalize" folds the noise instead of the sample and may leak; "none" is
        a flow without modulation. Default: fold up to 64 sectors, above that the chart if there is one, else
        the penalty.
    gradient
        "path" drops the score term of the reverse-KL gradient and has no variance at the optimum;
        "reparametrised" is the full gradient.
    law_gradient
        The gradient through u: "enumerate" sums over all u, "reinforce" draws one u per configuration, with
        the mean of the other configurations as baseline. Default: enumerate if it is possible.
    forward_weight
        w in (1 − w) KL(q‖p) + w KL(p‖q); above 0 the training needs configurations of the target, given as
        ``reference``. Default: 0 without them, 1/2 with them.
    forward_schedule
        "constant", or "falling": linearly from w to w/5 at 40 % of the training, because the forward part
        finds modes and has noise at the optimum. Default: falling if w is left to the compiler, else
        constant.
    flows
        Number of flows in a mixture with learned weights.
    base
        "vacuum": Gaussian around the classical vacuum with the Hessian as precision; "standard": N(0, 1); or
        the name of a user's base.
    flow
        Architecture, or the name of a user's flow. Default: a bisection for a chain whose sites couple to
        their neighbours alone, unless a Lie group acts; with angles a ``CircularSpec``; else
        ``FlowSpec.default``.
    flow_precision
        Floating-point type of the flow, "float32" or "float64". Default: float32 if no precision was asked
        for and the action has a determinant, which alone needs more; else the precision of the model. Action
        and law are always computed in the precision of the model.
    over
        A range of couplings that one training covers, ``{kappa: (0.2, 0.3), h: (0, 0.05)}``, or a list of
        points, ``[{kappa: 0.2}, {kappa: 0.3}]``; ``run.at(kappa=0.25)`` is then the run at one point.
        Default: the couplings are fixed.
    density
        How often the points of the range are looked at: "ends" more densely towards the ends of each
        coupling, as the zeros of Chebyshev's polynomials are, because functions of the couplings are least
        known there; "uniform" everywhere alike; "adaptive" as "ends", and half of the time where 1 − ESS was
        large in the steps before. The points of a list are all alike, unless it is adaptive.
    steps, seconds
        Length of the training; with ``seconds`` the schedule follows the clock and the result is not
        reproducible to the last digit.
    batch, learning_rate, clip
        Samples per step, peak rate of Adam (linear warm-up, cosine decay), bound on the gradient norm.
        Default rate: 0.02 on a lattice, where every weight acts at many sites, 0.005 there with angles, and
        0.002 on a point.
    penalty_height, penalty_slope
        A and B in Λ = Σ_j A σ(B λ_j) Θ(λ_j) (arXiv 2505.19619; 1000 and 100 are its defaults).
    checkpoint_seconds
        Time between checkpoints in seconds: a killed training loses at most this time.
    seed
        Seed of the initial weights and of the noise.

    Raises
    ------
    OptionError
        If an option is out of range.
    """

    law: Law | str | None = None
    strategy: Strategy | None = None
    gradient: Gradient = "path"
    law_gradient: LawGradient | None = None
    forward_weight: float | None = None
    forward_schedule: ForwardSchedule | None = None
    flows: int = 1
    base: str = "vacuum"
    flow: Architecture | str | None = None
    flow_precision: Precision | None = None
    over: Over | None = None
    density: Density = "ends"
    steps: int = 2000
    seconds: float | None = None
    batch: int = 128
    learning_rate: float | None = None
    clip: float = 10.0
    penalty_height: float = 1000.0
    penalty_slope: float = 100.0
    checkpoint_seconds: float = 30.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, allowed in {**_CHOICES, "law": LAWS.names, "base": BASES.names}.items():
            value = getattr(self, name)
            known = isinstance(value, str) and value in allowed
            if not known and not (value is None and name in _OPEN):
                raise option_error(name, " or ".join(map(repr, allowed)), value)
        plain: dict[str, Any] = {"seed": checks.seed(self.seed)}
        for name, least in {"steps": 1, "batch": 2, "flows": 1}.items():
            plain[name] = checks.integer(
                getattr(self, name), f"option {name}", least=least, most=_MOST, remedy="see TrainingOptions"
            )
        if self.learning_rate is not None:
            plain["learning_rate"] = checked_rate(self.learning_rate)
        for name in ("clip", "penalty_height", "penalty_slope", "seconds", _INTERVAL):
            value = getattr(self, name)
            if name == "seconds" and value is None:
                continue
            plain[name] = checks.real(value, f"option {name}", remedy="see TrainingOptions")
        if (
            self.flow is not None
            and not isinstance(self.flow, FlowSpec | BisectionSpec | CircularSpec)
            and not FLOWS.added(self.flow)
        ):
            registered = ", ".join(map(repr, FLOWS.names)) or "of which there is none"
            raise option_error(
                "flow",
                "a FlowSpec, a BisectionSpec, a CircularSpec, or the name of a registered flow, "
                f"{registered}",
                self.flow,
            )
        if self.over is not None:
            plain["over"] = CouplingRange.of(self.over)
        elif self.density != TrainingOptions.density:
            raise option_error("density", "over=…, a range of couplings for it", self.density)
        weight = self.forward_weight
        if weight is not None:
            plain["forward_weight"] = checks.real(
                weight,
                "option forward_weight",
                expected="a number in [0, 1]",
                open_below=False,
                most=1.0,
                remedy="see TrainingOptions",
            )
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        if self.flows > 1 and self.strategy == "canonicalize":
            raise option_error("flows", "1 with the strategy 'canonicalize'", self.flows)
        if self.flows > self.batch:
            raise option_error(
                "flows", f"at most one per configuration of the batch, {self.batch}", self.flows
            )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TrainingOptions:
        """The options from the plain values of a plan in a run directory, without its reasons."""
        values = {name: value for name, value in values.items() if name != "reasons"}
        flow = values.get("flow")
        if flow is not None and not isinstance(flow, str):
            flow = architecture_from_json(flow)
        over = values.get("over")
        return cls(
            **{**values, "flow": flow, "over": None if over is None else CouplingRange.from_json(over)}
        )


def registered(options: Mapping[str, Any]) -> dict[str, str]:
    """The modules that registered a user's flow, base and law, by the option that names them."""
    return {
        option: registry.source(options[option])
        for option, registry in EXTENDABLE.items()
        if registry.added(options[option])
    }


def checked_rate(value: Any) -> float:
    """The learning rate as a float; OptionError if it is no number or out of range."""
    return checks.real(
        value,
        "option learning_rate",
        expected=f"a number > 0 and ≤ {LARGEST_RATE:g}",
        most=LARGEST_RATE,
        remedy="Adam moves every weight by up to this much in a step: give for instance 0.001",
    )


def option_error(name: str, expected: str, found: Any) -> OptionError:
    """The error for an option that is out of range, or impossible for the theory."""
    return OptionError(
        f"option {name}", expected=expected, found=checks.shown(found), remedy="see TrainingOptions"
    )
