"""The Gaussian that a model starts from: its place and width are those of the action at its vacuum."""

from __future__ import annotations

import numpy as np

from ..flows.base import GaussianBase
from ..ir.program import Program
from ..landscape.vacua import find_vacuum, searched_vacuum, self_consistent
from ..values.couplings import Couplings
from .plan import Plan


def make_base(program: Program, parameters: Couplings, plan: Plan) -> GaussianBase:
    """The Gaussian base: around the vacuum that lies in the fundamental domain, or standard normal.

    Without a vacuum it is the Gaussian around zero that is closest to the theory.
    """
    components = len(program.components)
    if plan.base == "standard":
        return GaussianBase.standard(components, program.shape, program.nodes)
    searches = (find_vacuum, searched_vacuum, self_consistent)
    vacuum = next(v for search in searches if (v := search(program, parameters)) is not None)
    u = int(np.argmax(program.constants["SCORES"] @ vacuum.mean))
    rotation = program.constants["INVERSES"][u]
    precision = np.einsum(
        "ba,...bc,cd->...ad", np.linalg.inv(rotation), vacuum.hessian, np.linalg.inv(rotation)
    )
    return GaussianBase.from_precision(rotation @ vacuum.mean, precision, program.nodes)


def wall_statistics(program: Program, base: GaussianBase) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the distances from the walls under the base, (1, [1,] facets) each."""
    walls = program.constants["WALLS"]
    covariance = base.mean_covariance(program.blocks)
    width = np.sqrt(np.einsum("ja,ab,jb->j", walls, covariance, walls))
    shape = (1, 1, len(walls)) if program.blocks else (1, len(walls))
    return np.maximum(walls @ base.mean, 0).reshape(shape), width.reshape(shape)
