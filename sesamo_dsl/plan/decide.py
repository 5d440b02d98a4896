"""The decision of a plan: options as asked for, and the compiler's choice of all others with its reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, get_args

import numpy as np

from ..analysis.chains import is_markov_chain
from ..analysis.result import Analysis
from ..analysis.rotations import turns_together
from ..checks import shown
from ..errors import OptionError
from ..flows.architecture import check_fits, default_architecture
from ..flows.circular import CircularSpec
from ..language.theory import Theory
from ..values.precision import Precision
from .extensions import LAWS
from .memory import check_training_memory
from .methods import method_options
from .options import Law, LawGradient, Strategy, TrainingOptions, option_error
from .over import check_over
from .plan import LEAKY, Plan, has_exact_orbits

_POINT_RATE, _LATTICE_RATE = 2e-3, 2e-2  # default learning rates
_ANGLE_RATE = 5e-3  # on a lattice with angles, whose splines are steeper
_FOLD_LIMIT = 64  # largest number of sectors: the fold evaluates the flow once per sector


def planned(
    analysis: Analysis,
    begun: Plan | TrainingOptions | None,
    changes: Mapping[str, Any],
    *,
    method: str | None = None,
    with_target: bool | None = None,
    requested_precision: Precision | None = None,
) -> Plan:
    """The plan from an earlier plan or options, single options, and the preset of a method.

    Parameters
    ----------
    begun
        A plan, whose choices are kept, or options.
    changes
        Fields of :class:`TrainingOptions`, which override those of ``begun``.
    method
        Name of a preset, see :mod:`sesamo_dsl.plan.methods`; options that are given override it.
    with_target
        True if there are configurations of the target to train with, None if this is not known yet.
    requested_precision
        The precision that the user asked for, if any.

    Raises
    ------
    OptionError
        For unknown or contradictory options, and as for :func:`decide`.
    """
    names = [f.name for f in fields(TrainingOptions)]
    unknown = sorted(set(changes) - set(names))
    if unknown:
        raise OptionError(
            f"option {', '.join(unknown)}",
            expected=f"one of {', '.join(names)}",
            found=", ".join(unknown),
            remedy="check the spelling",
        )
    if "steps" in changes and changes.get("seconds") is not None:
        raise OptionError(
            "options steps and seconds",
            expected="one of them: the length of the training in steps, or in time",
            found=f"steps={changes['steps']} and seconds={changes['seconds']}",
            remedy="leave one out",
        )
    kept = asked_in(begun)
    if "steps" in changes:
        kept.pop("seconds", None)
    values: dict[str, Any] = {**kept, **changes}
    if method is not None:
        values = {**method_options(method, analysis, **values)}
    if with_target and values.get("forward_weight") is None:
        values["forward_weight"] = 0.5
        values["forward_schedule"] = values.get("forward_schedule") or "falling"
    if with_target is False and values.get("forward_weight"):
        raise OptionError(
            "option forward_weight",
            expected="configurations of the target along with it",
            found=f"{values['forward_weight']} without any",
            remedy="pass reference=…, an array or a chain such as sd.hmc(theory)",
        )
    plan = decide(TrainingOptions(**values), analysis, requested_precision)
    if isinstance(begun, Plan):
        plan = replace(plan, reasons=(*begun.reasons, *plan.reasons))
    return plan


def asked_in(begun: Plan | TrainingOptions | None) -> dict[str, Any]:
    """The fields of a plan or of options that differ from the defaults; OptionError for other objects."""
    if begun is None:
        return {}
    if not isinstance(begun, Plan | TrainingOptions):
        raise OptionError(
            "plan",
            expected="a plan, as compiled.plan() makes them, or TrainingOptions",
            found=shown(begun),
            remedy="pass single options by their names: train(steps=1000)",
        )
    defaults = {f.name: f.default for f in fields(TrainingOptions)}
    kept = {n: getattr(begun, n) for n, default in defaults.items() if getattr(begun, n) != default}
    if isinstance(begun, Plan) and begun.forward_weight == 0:
        kept.pop("forward_weight", None)  # the plan was made without configurations
        if begun.forward_schedule == "falling":  # as it is unless a weight is given
            kept.pop("forward_schedule", None)
    return kept


def decide(asked: TrainingOptions, analysis: Analysis, requested_precision: Precision | None = None) -> Plan:
    """The plan for a theory: the options that were asked for, and the compiler's choice of all others.

    A requested precision applies to the flow as well, unless the options have another precision for it.

    Raises
    ------
    OptionError
        If an option is impossible for this theory, or a training step does not fit into memory.
    """
    theory, reasons = analysis.theory, []
    strategy, law = asked.strategy, asked.law
    if strategy is None:
        strategy, reason = _strategy(analysis)
        reasons.append(f"strategy {strategy}: {reason}")
    if law is None:
        law, reason = _law(analysis, strategy)
        reasons.append(f"law {law}: {reason}")
    law_gradient = asked.law_gradient
    if law_gradient is None:
        obstacle = _no_enumeration(law, analysis)
        law_gradient = "reinforce" if obstacle else "enumerate"
        if obstacle:
            reasons.append(f"law_gradient reinforce: {obstacle}")
    flow_precision = asked.flow_precision
    if flow_precision is None and requested_precision is None and theory.has_determinants:
        flow_precision = "float32"
        reasons.append("flow_precision float32: float64 is for the determinants of the action alone")
    _check_strategy(strategy, analysis)
    _check_law(law, law_gradient, analysis)
    flow = asked.flow
    angles = bool(theory.angles)
    if angles:
        _check_with_angles(asked, strategy)
    if flow is None:
        # a slice of a Lie group fixes a global orientation, which couples all sites
        slices = bool(analysis.lie_reports)
        markov = not angles and asked.over is None and not slices and is_markov_chain(theory)
        flow = default_architecture(len(theory.components), theory.lattice.shape, markov, angles=angles)
        if markov:
            reasons.append(
                "flow by bisection: sites couple to neighbours alone, so known sites shield a new one"
            )
    if not isinstance(flow, str):
        check_fits(flow, theory.lattice.shape, theory.lattice.graph_axis is not None, angles=angles)
    if isinstance(flow, CircularSpec) and flow.relative is None:
        flow = replace(flow, relative=turns_together(theory))
        if flow.relative:
            reasons.append("flow relative: S is invariant if all angles turn together, and so is log q")
    check_training_memory(flow, asked.batch, theory.configuration_shape)
    plan = Plan.of(
        asked,
        law=law,
        law_gradient=law_gradient,
        strategy=strategy,
        flow=flow,
        flow_precision=flow_precision,
        reasons=tuple(reasons),
        learning_rate=asked.learning_rate or _rate(theory),
    )
    if plan.over is not None:
        reason = check_over(plan, plan.over, analysis)
        plan = replace(plan, reasons=(*plan.reasons, reason))
    return replace(plan, notes=notes_on(plan, analysis))


def _rate(theory: Theory) -> float:
    """The default learning rate."""
    if theory.lattice.volume == 1:
        return _POINT_RATE
    return _ANGLE_RATE if theory.angles else _LATTICE_RATE


def _check_with_angles(asked: TrainingOptions, strategy: Strategy) -> None:
    """OptionError for options that flows with angles do not have."""
    allowed: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "strategy": (strategy, ("fold", "none")),
        "base": (asked.base, ("vacuum", "standard")),
        "flows": (asked.flows, (1,)),
        "over": (asked.over, (None,)),
    }
    if isinstance(asked.flow, str):
        raise option_error("flow", "a CircularSpec for a theory with angles", asked.flow)
    for name, (value, possible) in allowed.items():
        if value not in possible:
            listed = " or ".join(map(repr, possible))
            raise option_error(name, f"{listed} for a theory with angles", value)


def _has_chart(analysis: Analysis) -> bool:
    return analysis.group.order == 1 or analysis.domain.edges is not None


def has_isotropic_group(analysis: Analysis) -> bool:
    """True if N(0, 1) is invariant under the modulating group: it is finite with orthogonal matrices."""
    matrices = analysis.domain.matrices
    products = np.einsum("gab,gcb->gac", matrices, matrices)
    return not analysis.lie_reports and np.allclose(products, np.eye(matrices.shape[1]))


def _strategy(analysis: Analysis) -> tuple[Strategy, str]:
    """The default strategy for a theory, and the reason."""
    count = analysis.sectors.count
    if not analysis.is_modulated:
        return "fold", "there is no symmetry to modulate with, and nothing to fold"
    if count <= _FOLD_LIMIT:
        return "fold", f"exact, and a sum over {count} sectors is affordable"
    if analysis.theory.angles and analysis.sectors.enumerable:
        return "fold", "exact, and the only strategy for domains of angles"
    if _has_chart(analysis):
        return "chart", f"exact; {count} sectors are too many to sum over"
    return "penalty", f"{count} sectors are too many to sum over, and the walls of Ω have no chart; may leak"


def _law(analysis: Analysis, strategy: Strategy) -> tuple[Law, str]:
    """The default law for a theory, and the reason."""
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
    return f"S₁ couples {analysis.sectors.n_blocks} blocks, whose sectors are too many to sum over"


def _no_enumeration(law: str, analysis: Analysis) -> str:
    """The reason why the gradient of a law is no sum over all u; empty if it is."""
    if analysis.coupled:
        return _coupling(analysis)
    if not LAWS[law].has_table:
        return f"the law {law} has no table over all u"
    return ""


def possible_laws(analysis: Analysis) -> tuple[Law, ...]:
    """The laws of the package that a theory can have: the heat bath sums over all sectors."""
    return tuple(law for law in get_args(Law) if not (analysis.coupled and law == "heat_bath"))


def _check_law(law: str, law_gradient: LawGradient, analysis: Analysis) -> None:
    """OptionError for a law or law_gradient that sums over too many sectors."""
    possible = possible_laws(analysis)
    if law in get_args(Law) and law not in possible:
        raise option_error("law", " or ".join(map(repr, possible)), f"{law!r}: {_coupling(analysis)}")
    if law_gradient == "enumerate" and (obstacle := _no_enumeration(law, analysis)):
        raise option_error("law_gradient", "'reinforce'", f"'enumerate': {obstacle}")


def _check_strategy(strategy: Strategy, analysis: Analysis) -> None:
    """OptionError for a strategy that is impossible for the theory."""
    if strategy == "fold" and not analysis.sectors.enumerable:
        few = "few enough sectors for a sum of the density over them"
        raise option_error("strategy", few, f"'fold' with {analysis.sectors.count} sectors")
    if strategy == "chart" and analysis.is_modulated and not _has_chart(analysis):
        walls = f"'chart' with {len(analysis.domain.facets)} walls that are not independent"
        raise option_error("strategy", "a domain with linearly independent walls", walls)
    if strategy == "canonicalize" and not has_isotropic_group(analysis):
        raise option_error("strategy", "a finite group of orthogonal maps", "'canonicalize'")


def _lacks_exact_orbits(chosen: Plan, analysis: Analysis) -> bool:
    """True if orientations have a known exact law, and are uniform without having been asked to be."""
    known = analysis.orbit_law in ("von_mises", "tabulated")
    spline = chosen.law in ("learned", "conditional") and analysis.slice_dimensions == (2,)
    return known and chosen.law != "uniform" and not (spline or has_exact_orbits(chosen.law, analysis))


def notes_on(chosen: Plan, analysis: Analysis) -> tuple[str, ...]:
    """Sentences about the theory and about inexact choices that a reader of results must know."""
    notes = list(analysis.theory.notes)
    if analysis.theory.is_site_dependent:
        notes.append(
            "couplings depend on the site, but base and convolutional flow are alike at all sites: weights "
            "correct for the difference, and strong disorder lowers the ESS"
        )
    if chosen.strategy == "none":
        if analysis.is_modulated:
            notes.append("no modulation: a flow that misses a sector does not show it in ESS or KL")
        return tuple(notes)
    law = LAWS[chosen.law]
    if analysis.breaking != 0 and not law.depends_on_y:
        notes.append(
            f"{chosen.law} law on a broken symmetry: p(u|y) does not depend on y and cannot be exact; "
            "the weights correct for it"
        )
    if law.note:
        notes.append(f"{chosen.law} law: {law.note}")
    if analysis.lie_reports and analysis.orbit_law == "none":
        notes.append(
            "no exact conditional law is known on the orbits: orientations are uniform, "
            "weights correct for it"
        )
    if _lacks_exact_orbits(chosen, analysis):
        notes.append(
            f"{chosen.law} law: orientations are uniform, since their exact law belongs to the "
            "law 'heat_bath'; the weights correct for it, at the cost of an ESS that falls with the size of "
            "S₁ on the orbits"
        )
    if chosen.strategy == "chart" and analysis.sectors.count > 1:
        notes.append(
            "chart strategy: exact, but where modes overlap on the walls a flow may hardly reach them, which "
            "ESS and KL do not show; compare log Z with another strategy"
        )
    if chosen.strategy in LEAKY and analysis.is_modulated:
        notes.append(
            f"{chosen.strategy} strategy: samples that leak out of the domain are rejected (weight zero); "
            "log q(x) is the density of the samples that are kept, and its integral lacks the leaked fraction"
        )
    return tuple(notes)
