"""Whether a declaration has the action of a lowered program that was stored earlier."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from ..analysis.result import Analysis
from ..ir.interpreter import run
from ..ir.program import SITE_VALUES, Program
from ..values.couplings import Coupling, same_couplings
from .lower import lower_theory


def same_action(program: Program, analysis: Analysis) -> bool:
    """Whether a theory and the program have the same action, at random configurations and couplings."""
    other = lower_theory(analysis)
    same = program.components == other.components and program.shape == other.shape
    same = same and set(program.parameters) == set(other.parameters)
    given, asked = (
        {name: array for name, array in p.constants.items() if name.startswith(SITE_VALUES)}
        for p in (program, other)
    )
    if not (same and same_couplings(given, asked)):
        return False
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, *program.configuration_shape))
    values: dict[str, Coupling] = {
        name: rng.uniform(0.1, 1, size=np.shape(cast(Any, default)))
        for name, default in program.parameters.items()
    }
    ours, theirs = (run(p, "action", {"x": x}, values)[0] for p in (program, other))
    return bool(np.allclose(ours, theirs, rtol=1e-11, atol=1e-11, equal_nan=True))  # rounding
