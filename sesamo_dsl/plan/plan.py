"""The plan of a model and its training: all options are decided, with reasons for the compiler's choices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from ..flows.architecture import Architecture
from ..flows.bisection import BisectionSpec
from ..flows.circular import CircularSpec
from ..flows.coupling_range import CouplingRange, Density
from ..ir.facts import Facts
from ..values.precision import Precision
from ..values.sheet import Sheet, row
from .extensions import LAWS
from .options import ForwardSchedule, Gradient, Law, LawGradient, Strategy, TrainingOptions

LEAKY = ("penalty", "canonicalize")
"""Strategies under which a flow may leave the fundamental domain."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Plan:
    """All options of a model and its training; printed, it shows them with the reasons of the compiler.

    Fields are those of :class:`sesamo_dsl.TrainingOptions`, all of them decided; ``dataclasses.replace``
    makes another plan.

    Attributes
    ----------
    flow_precision
        Floating-point type of the flow; None for the precision of the model.
    forward_weight
        w in (1 − w) KL(q‖p) + w KL(p‖q), 0 without configurations of the target.
    seconds
        Length of the training by the clock; None if it goes by steps.
    reasons
        Reasons for the choices of the compiler, in words.
    notes
        Sentences about the theory and about inexact choices that a reader of results must know.
    """

    law: Law | str
    strategy: Strategy
    gradient: Gradient
    law_gradient: LawGradient
    forward_weight: float
    forward_schedule: ForwardSchedule
    flows: int
    base: str
    flow: Architecture | str
    flow_precision: Precision | None
    over: CouplingRange | None
    density: Density
    steps: int
    seconds: float | None
    batch: int
    learning_rate: float
    clip: float
    penalty_height: float
    penalty_slope: float
    checkpoint_seconds: float
    seed: int
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        names = [f.name for f in fields(TrainingOptions)]
        checked = TrainingOptions(**{name: getattr(self, name) for name in names})
        for name in names:  # NumPy numbers become Python numbers
            object.__setattr__(self, name, getattr(checked, name))

    @property
    def of_one_point(self) -> Plan:
        """The plan of a model at one point of a range of couplings."""
        return replace(self, over=None, density=TrainingOptions.density)

    @property
    def sheet(self) -> Sheet:
        """The choices, and the reasons of the compiler."""
        length = f"{self.steps} steps" if self.seconds is None else f"{self.seconds:g} s"
        precision = self.flow_precision or "as the model"
        several = f"{self.flows} flows, each with " if self.flows > 1 else ""
        falling = ", falling" if self.forward_weight and self.forward_schedule == "falling" else ""
        rows = [
            ("strategy", self.strategy),
            ("law", f"{self.law}, gradient by {self.law_gradient}"),
            ("flow", f"{several}{self._architecture}, {precision}"),
            ("base", self.base),
            *(("over", text) for text in ([] if self.over is None else [str(self.over)])),
            ("objective", f"{self.gradient} gradient, forward weight {self.forward_weight:g}{falling}"),
            ("training", f"{length} of batch {self.batch}, rate {self.learning_rate:g}, seed {self.seed}"),
            *(("because", reason) for reason in self.reasons),
            *(("note", note) for note in self.notes),
        ]
        return Sheet("Plan", [row(label, value, width=10) for label, value in rows])

    def __str__(self) -> str:
        return self.sheet.text()

    def _repr_html_(self) -> str:
        return self.sheet.html()

    def __repr__(self) -> str:
        return f"Plan({self.strategy}, {self.law}, {self._architecture})"

    @property
    def _architecture(self) -> str:
        if isinstance(self.flow, str):
            return self.flow
        if isinstance(self.flow, BisectionSpec):
            return f"bisection by splines, hidden {self.flow.hidden}"
        if isinstance(self.flow, CircularSpec):
            frame = ", relative angles" * bool(self.flow.relative)
            return f"{self.flow.layers} circular layers, hidden {self.flow.hidden}{frame}"
        return f"{self.flow.layers} {self.flow.transform} layers, hidden {self.flow.hidden}"

    def as_json(self) -> dict[str, Any]:
        """The plan as plain values, for the run directory."""
        values = asdict(self)
        del values["notes"]  # a run stores its notes itself
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Plan:
        """Inverse of :meth:`as_json`, without notes; ValueError if an option is undecided."""
        reasons = tuple(map(str, values.get("reasons", ())))
        return cls.of(TrainingOptions.from_json(values), reasons=reasons)

    @classmethod
    def of(cls, asked: TrainingOptions, **decided: Any) -> Plan:
        """The plan from options and decided values for the rest; ValueError if an option is undecided."""
        chosen = {f.name: getattr(asked, f.name) for f in fields(asked)} | decided
        if chosen["forward_schedule"] is None:
            chosen["forward_schedule"] = "falling" if chosen["forward_weight"] is None else "constant"
        chosen["forward_weight"] = chosen["forward_weight"] or 0.0
        missing = [name for name in _NEEDED if chosen[name] is None]
        if missing:
            raise ValueError(f"a plan without {', '.join(missing)}")
        return cls(**chosen)


_NEEDED = ("law", "strategy", "law_gradient", "flow", "learning_rate")


def is_discontinuous_at_walls(plan: Plan, facts: Facts, count: int) -> bool:
    """True if the objective is discontinuous where the fold joins two walls of the domain.

    ``count`` is the number of sectors.
    """
    # the network of a chain or of a circle, which "conditional" stands for as well, depends on y itself
    of_y = plan.law == "conditional" and (facts.chained or bool(facts.slice_dimensions))
    blind = of_y or not LAWS[plan.law].equivariant
    return blind and facts.is_broken and plan.strategy == "fold" and count > 1


def has_exact_orbits(law: str, facts: Facts) -> bool:
    """True if orientations on the orbits of Lie groups get their exact law, provided that it is known.

    Its density and its integral sum over the elements u of the finite group with weights exp(−S₁), as the
    heat bath does. With one element alone every law of u is this one; but "uniform" asks for uniform
    orientations, and where "learned" and "conditional" train anything they train circular splines.
    """
    if law == "heat_bath":
        return True
    return law not in ("uniform", "learned", "conditional") and len(facts.table) == 1
