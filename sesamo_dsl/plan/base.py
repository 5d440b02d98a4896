"""The base of the model of a plan: one of ``bases``, with its distances from the walls of the domain."""

from __future__ import annotations

import itertools
from contextlib import nullcontext

import numpy as np

from .. import checks
from ..errors import OptionError
from ..flows.base import GaussianBase
from ..flows.coupling_range import CouplingRange
from ..flows.range_base import RangeBase
from ..ir.program import Program
from ..values.couplings import Couplings
from .bases import BASES
from .plan import Plan

_REMEDY = "return GaussianBase.from_precision(mean, precision, program.nodes)"


def make_base(program: Program, parameters: Couplings, plan: Plan) -> GaussianBase:
    """The Gaussian that the plan names, see :mod:`sesamo_dsl.plan.bases`; over a range, one for each point.

    Raises
    ------
    OptionError
        If a user's base is not a ``GaussianBase`` with the components, lattice and nodes of this theory.
    """
    if plan.over is not None:
        return _over_range(program, parameters, plan, plan.over)
    expected = "a function (program, parameters) → GaussianBase"
    foreign = BASES.added(plan.base)
    with checks.calling(f"base {plan.base}", expected, _REMEDY) if foreign else nullcontext():
        base = BASES[plan.base](program, parameters)
    found = checks.shown(base)
    if isinstance(base, GaussianBase):
        if (base.components, base.shape, base.nodes) == (
            len(program.components),
            program.shape,
            program.nodes,
        ):
            return base
        found = f"{base.components} components on {base.shape}"
        found += "" if base.nodes == program.nodes else ", with other nodes"
    raise OptionError(
        f"base {plan.base}",
        expected=f"a GaussianBase of {len(program.components)} components on the lattice {program.shape}, "
        "with the nodes of the program",
        found=found,
        remedy=_REMEDY,
    )


def _over_range(program: Program, parameters: Couplings, plan: Plan, over: CouplingRange) -> RangeBase:
    fixed = plan.of_one_point
    points = itertools.product(*over.axes)
    bases = [make_base(program, {**parameters, **over.at(point)}, fixed) for point in points]
    return RangeBase.of_nodes(over.axes, bases, over.point(parameters))


def wall_statistics(program: Program, base: GaussianBase) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the distance from each wall under the base, (1, [1,] facets) each.

    The distances are linear functions of the mean over the lattice, or over each block. A mean outside of the
    domain counts as zero.
    """
    walls = program.constants["WALLS"]
    covariance = base.mean_covariance(program.block_axes)
    width = np.sqrt(np.einsum("ja,ab,jb->j", walls, covariance, walls))
    shape = (1, 1, len(walls)) if program.block_axes else (1, len(walls))
    return np.maximum(walls @ base.mean, 0).reshape(shape), width.reshape(shape)
