"""What is asked of a model and of its training, and what the compiler chooses where nothing is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from .. import checks
from ..analysis.result import Analysis
from ..errors import OptionError
from ..flows.spec import FlowSpec
from ..ir.facts import Facts
from ..values.precision import Precision
from .memory import check_training_memory

Law = Literal["uniform", "learned", "conditional", "heat_bath"]
Strategy = Literal["fold", "penalty", "chart", "canonicalize", "none"]
Gradient = Literal["path", "reparametrised"]
LawGradient = Literal["enumerate", "reinforce"]

POINT_RATE, LATTICE_RATE = 2e-3, 2e-2
_FOLD_LIMIT = 64  # the fold evaluates the flow once per group element
_MOST = 10**12
_INTERVAL = "checkpoint_seconds"
LEAKY = ("penalty", "canonicalize")
"""Strategies under which a flow may leave its domain."""
_CHOICES: dict[str, tuple[str, ...]] = {
    "law": ("uniform", "learned", "conditional", "heat_bath"),
    "strategy": ("fold", "penalty", "chart", "canonicalize", "none"),
    "gradient": ("path", "reparametrised"),
    "law_gradient": ("enumerate", "reinforce"),
    "base": ("vacuum", "standard"),
    "flow_precision": ("float32", "float64"),
}
_OPEN = ("law", "strategy", "law_gradient", "flow_precision")  # may be left to the compiler


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How a model is built and trained; ``resolve`` fills in what is left to the compiler.

    Parameters
    ----------
    law
        p(u|y): "uniform" (1/|G|), "learned" (one logit per element), "conditional" (a network of y) or
        "heat_bath" (the exact conditional). Default: uniform if the symmetry is exact, else heat bath; but
        conditional, one block given those before, where S₁ couples too many blocks to sum over. On the circle
        of a broken U(1) "learned" and "conditional" are circular splines.
    strategy
        How samples stay in the fundamental domain: "fold" (exact; sums over the group), "chart" (exact; a
        bijection from R^n, where the walls are linearly independent) or "penalty" (SESaMo's; may leak).
        Two more for comparison: "canonicalize" folds the noise, not the sample, and may leak; "none" is a
        flow without modulation. Default: fold up to |G| = 64, above that the chart if there is one.
    gradient
        "path" drops the score term of the reverse-KL gradient and has no variance at the optimum.
    law_gradient
        How the gradient goes through u: "enumerate" sums over its law, "reinforce" draws one u per
        configuration, with the mean of the others as baseline. Default: enumerate where that is possible.
    forward_weight
        w in (1 − w) KL(q‖p) + w KL(p‖q); above 0 training needs configurations of the target, given as
        ``reference``. Default: 0 without them, 1/2 with them.
    flows
        Number of flows in a mixture with learned weights.
    base
        "vacuum": Gaussian around the classical vacuum with the Hessian as precision; "standard": N(0, 1).
    flow
        Architecture; default by ``FlowSpec.default``.
    flow_precision
        Floating-point type of the flow, "float32" or "float64". Default: float32 if no precision was asked
        for and nothing but a determinant in the action needs more, else that of the model. Action and law are
        computed in that of the model.
    steps, seconds
        Length of the training; with ``seconds`` the schedule follows the clock and the result is not
        reproducible to the last digit.
    batch, learning_rate, clip
        Samples per step, peak rate of Adam (linear warm-up, cosine decay), bound on the gradient norm.
        Default rate: 0.02 on a lattice, where every weight sees many sites, and 0.002 on a point.
    penalty_height, penalty_slope
        A and B in Λ = Σ_j A σ(B λ_j) Θ(λ_j) (arXiv 2505.19619; 1000 and 100 are its defaults).
    checkpoint_seconds
        A training that is killed loses no more than this.
    seed
        Seed of weights and noise.
    reasons
        Why the compiler chose what was left to it; written by :meth:`resolve`.
    """

    law: Law | None = None
    strategy: Strategy | None = None
    gradient: Gradient = "path"
    law_gradient: LawGradient | None = None
    forward_weight: float | None = None
    flows: int = 1
    base: Literal["vacuum", "standard"] = "vacuum"
    flow: FlowSpec | None = None
    flow_precision: Precision | None = None
    steps: int = 2000
    seconds: float | None = None
    batch: int = 128
    learning_rate: float | None = None
    clip: float = 10.0
    penalty_height: float = 1000.0
    penalty_slope: float = 100.0
    checkpoint_seconds: float = 30.0
    seed: int = 0
    reasons: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            value = getattr(self, name)
            known = isinstance(value, str) and value in allowed
            if not known and not (value is None and name in _OPEN):
                raise _option(name, " or ".join(map(repr, allowed)), value)
        plain: dict[str, Any] = {"seed": checks.seed(self.seed)}
        for name, least in {"steps": 1, "batch": 2, "flows": 1}.items():
            plain[name] = checks.integer(
                getattr(self, name), f"option {name}", least=least, most=_MOST, remedy="see TrainingOptions"
            )
        for name in ("learning_rate", "clip", "penalty_height", "penalty_slope", "seconds", _INTERVAL):
            value = getattr(self, name)
            if name in ("seconds", "learning_rate") and value is None:
                continue
            plain[name] = checks.real(value, f"option {name}", remedy="see TrainingOptions")
        if self.flow is not None and not isinstance(self.flow, FlowSpec):
            raise _option("flow", "a FlowSpec", self.flow)
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
            raise _option("flows", "1 with the strategy 'canonicalize'", self.flows)
        if self.flows > self.batch:
            raise _option("flows", f"at most one per configuration of the batch, {self.batch}", self.flows)

    def resolve(self, analysis: Analysis, requested_precision: Precision | None = None) -> TrainingOptions:
        """Options with law, strategy, flow and learning rate chosen for a theory, and why.

        A precision that was requested is that of the flow too, unless the options have another one.
        """
        theory, reasons = analysis.theory, list(self.reasons)
        strategy, law = self.strategy, self.law
        if strategy is None:
            strategy, reason = _strategy(analysis)
            reasons.append(f"strategy {strategy}: {reason}")
        if law is None:
            law, reason = _law(analysis, strategy)
            reasons.append(f"law {law}: {reason}")
        law_gradient = self.law_gradient
        if law_gradient is None:
            law_gradient = "reinforce" if analysis.coupled else "enumerate"
            if analysis.coupled:
                reasons.append(f"law_gradient reinforce: {_coupling(analysis)}")
        flow_precision = self.flow_precision
        if flow_precision is None and requested_precision is None and theory.has_determinants:
            flow_precision = "float32"
            reasons.append("flow_precision float32: float64 is for the determinants of the action alone")
        _check_strategy(strategy, analysis)
        _check_law(law, law_gradient, analysis)
        flow = self.flow or FlowSpec.default(len(theory.components), theory.lattice.shape)
        check_training_memory(flow, self.batch, theory.configuration_shape)
        changes: dict[str, Any] = {
            "law": law,
            "law_gradient": law_gradient,
            "strategy": strategy,
            "flow": flow,
            "flow_precision": flow_precision,
            "reasons": tuple(reasons),
            "learning_rate": self.learning_rate
            or (LATTICE_RATE if theory.lattice.volume > 1 else POINT_RATE),
        }
        return TrainingOptions(**{**_shallow(self), **changes})

    def as_json(self) -> dict[str, Any]:
        """Plain values, for the run directory."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TrainingOptions:
        """Inverse of :meth:`as_json`."""
        flow = values.get("flow")
        spec = None if flow is None else FlowSpec(**{**flow, "hidden": tuple(flow["hidden"])})
        return cls(**{**values, "flow": spec, "reasons": tuple(values.get("reasons", ()))})


def _has_chart(analysis: Analysis) -> bool:
    return analysis.group.order == 1 or analysis.domain.edges is not None


def _strategy(analysis: Analysis) -> tuple[Strategy, str]:
    """The strategy that a theory gets unless another is asked for, and why."""
    count = analysis.sectors.count
    if any(r.symmetry.use == "canonicalize" for r in analysis.reports):
        return "canonicalize", "a symmetry is declared with use='canonicalize'"
    if not analysis.is_modulated:
        return "fold", "there is no symmetry to modulate with, and nothing to fold"
    if count <= _FOLD_LIMIT:
        return "fold", f"exact, and a sum over {count} sectors is affordable"
    if _has_chart(analysis):
        return "chart", f"exact; {count} sectors are too many to sum over"
    return "penalty", f"{count} sectors are too many to sum over, and the walls of Ω have no chart; may leak"


def _law(analysis: Analysis, strategy: Strategy) -> tuple[Law, str]:
    """The law that a theory gets unless another is asked for, and why."""
    if strategy in ("none", "canonicalize"):
        return "uniform", f"the strategy {strategy} has no other"
    if analysis.breaking == 0:
        return "uniform", "the symmetry is exact, and so is 1/|G|"
    if analysis.chained:
        return "conditional", f"{_coupling(analysis)}: one block is drawn given those before"
    if analysis.coupled:
        return "conditional", f"{_coupling(analysis)}, and the blocks too many for a chain: a product"
    return "heat_bath", "S₁ is known, and with it the exact conditional"


def _coupling(analysis: Analysis) -> str:
    return f"S₁ couples {analysis.sectors.blocks} blocks, whose sectors are too many to sum over"


def _check_law(law: Law, law_gradient: LawGradient, analysis: Analysis) -> None:
    """Refuse sums over sectors that are too many."""
    if analysis.coupled and law == "heat_bath":
        raise _option("law", "'conditional', 'learned' or 'uniform'", f"'heat_bath': {_coupling(analysis)}")
    if analysis.coupled and law_gradient == "enumerate":
        raise _option("law_gradient", "'reinforce'", f"'enumerate': {_coupling(analysis)}")


def _check_strategy(strategy: Strategy, analysis: Analysis) -> None:
    """Refuse what a theory has no means for."""
    if strategy == "fold" and not analysis.sectors.enumerable:
        few = "few enough sectors for a sum of the density over them"
        raise _option("strategy", few, f"'fold' with {analysis.sectors.count} sectors")
    if strategy == "chart" and analysis.is_modulated and not _has_chart(analysis):
        walls = f"'chart' with {len(analysis.domain.facets)} walls that are not independent"
        raise _option("strategy", "a domain with linearly independent walls", walls)
    if strategy == "canonicalize":
        matrices = analysis.domain.matrices
        products = np.einsum("gab,gcb->gac", matrices, matrices)
        if analysis.lie_reports or not np.allclose(products, np.eye(matrices.shape[1])):
            raise _option("strategy", "a finite group of orthogonal maps", "'canonicalize'")


def _shallow(options: TrainingOptions) -> dict[str, Any]:
    return {name: getattr(options, name) for name in options.__dataclass_fields__}


def _option(name: str, expected: str, found: Any) -> OptionError:
    return OptionError(
        f"option {name}", expected=expected, found=checks.shown(found), remedy="see TrainingOptions"
    )


def jumps(options: TrainingOptions, facts: Facts, count: int) -> bool:
    """Whether the objective differs on two walls of the domain that a fold takes neighbouring points to.

    ``count`` is that of the sectors.
    """
    blind = options.law == "learned" or (
        options.law == "conditional" and (facts.chained or bool(facts.slice_dimensions))
    )
    return blind and facts.is_broken and options.strategy == "fold" and count > 1


def notes_on(options: TrainingOptions, analysis: Analysis) -> tuple[str, ...]:
    """What a reader of results must know about the theory, and about a choice that is not exact."""
    notes = list(analysis.theory.notes)
    if analysis.theory.is_site_dependent:
        notes.append(
            "couplings depend on the site: base and convolutional flow are alike at all sites, what differs "
            "between sites is left to the weights; strong disorder shows in the ESS"
        )
    if options.strategy == "none":
        if analysis.is_modulated:
            notes.append("no modulation: a flow that misses a sector does not show it in ESS or KL")
        return tuple(notes)
    if analysis.breaking != 0 and options.law in ("uniform", "learned"):
        notes.append(
            f"{options.law} law on a broken symmetry: p(u|y) does not depend on y and cannot be exact; "
            "the weights correct for it"
        )
    if options.law == "conditional":
        notes.append("conditional law: p(u|y) is as good as its training; the weights correct for the rest")
    if analysis.lie_reports and analysis.orbit_law == "none":
        notes.append(
            "no exact conditional law is known on the orbits: orientations are uniform, "
            "weights correct for it"
        )
    if options.strategy == "chart" and analysis.sectors.count > 1:
        notes.append(
            "chart strategy: exact, but where modes overlap on the walls a flow may hardly reach them, which "
            "ESS and KL do not show; compare log Z with another strategy"
        )
    if options.strategy in LEAKY and analysis.is_modulated:
        notes.append(
            f"{options.strategy} strategy: samples that leak out of the domain are rejected (weight zero); "
            "log q(x) is the density of those that are kept, and lacks what leaked in its integral"
        )
    return tuple(notes)
