"""Methods: named presets of options for the sampler of this package and for samplers to compare it with.

================  ==================================================================================
method            sampler
================  ==================================================================================
ours              the compiler's choice: fold or chart, exact law if known, vacuum base, path gradients
conditional       the same with a network for p(u|y)
learned           the same with a p(u) that does not depend on y
sesamo            SESaMo as published (arXiv 2505.19619): penalty with A = 1000 and B = 100, uniform law, or
                  learned and REINFORCE if the symmetry is broken; affine couplings, standard normal base
canonicalization  noise folded into Ω, an affine flow kept in Ω by the penalty, then a uniform u
vmonf             variational mixture of flows (ESANN 2020): a flow for each sector, 2 to 8, learned weights
realnvp           one affine coupling flow on the whole space
================  ==================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Unpack, cast

from ..analysis.result import Analysis
from ..errors import OptionError
from ..flows.spec import FlowSpec
from .options import TrainingFields


def _affine(analysis: Analysis) -> FlowSpec:
    """Affine couplings: the default flow on a lattice, ten layers of width 40 on a point."""
    shape = analysis.theory.lattice.shape
    default = FlowSpec.default(len(analysis.theory.components), shape)
    if default.transform == "affine":
        return default
    return FlowSpec(layers=10, hidden=(40, 40), kernel=1, transform="affine")


def _published(analysis: Analysis) -> TrainingFields:
    return {"base": "standard", "gradient": "reparametrised", "flow": _affine(analysis)}


def _sesamo(analysis: Analysis) -> TrainingFields:
    law: TrainingFields = {"law": "uniform"}
    if analysis.breaking != 0:
        law = {"law": "learned", "law_gradient": "reinforce"}
    return {**_published(analysis), "strategy": "penalty", **law}


def _vmonf(analysis: Analysis) -> TrainingFields:
    return {**_published(analysis), "strategy": "none", "flows": max(2, min(8, analysis.sectors.count))}


METHODS: Mapping[str, Callable[[Analysis], TrainingFields]] = {
    "ours": lambda analysis: {},
    "conditional": lambda analysis: {"law": "conditional"},
    "learned": lambda analysis: {"law": "learned"},
    "sesamo": _sesamo,
    "canonicalization": lambda analysis: {**_published(analysis), "strategy": "canonicalize"},
    "vmonf": _vmonf,
    "realnvp": lambda analysis: {**_published(analysis), "strategy": "none"},
}


def method_options(method: str, analysis: Analysis, **options: Unpack[TrainingFields]) -> TrainingFields:
    """The options of a named method for a theory.

    Options that are given in addition override the preset, except for the strategy and the law of the preset,
    which define the method.

    Raises
    ------
    OptionError
        If there is no such method, or if another strategy or law than that of the preset is given.
    """
    if not isinstance(method, str) or method not in METHODS:
        raise OptionError(
            f"method {method}",
            expected=f"one of {', '.join(METHODS)}",
            found=repr(method),
            remedy="check the spelling",
        )
    own: dict[str, Any] = {**METHODS[method](analysis)}
    given: dict[str, Any] = {**options}
    for name in ("strategy", "law"):  # they define the method
        if name in own and given.get(name) not in (None, own[name]):
            raise OptionError(
                f"method {method} with {name} {given[name]}",
                expected=f"{name} {own[name]!r}, which the method consists of",
                found=repr(given[name]),
                remedy=f"leave out {name} or the method",
            )
    return cast(TrainingFields, {**own, **given})
