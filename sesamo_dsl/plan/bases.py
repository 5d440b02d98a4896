"""The Gaussians that a model may start from, by the name that the option ``base`` has for them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..flows.base import GaussianBase
from ..ir.program import Program
from ..landscape.vacua import find_vacuum, searched_vacuum, variational_gaussian
from ..values.couplings import Couplings
from ..values.registry import Registry

BaseFactory = Callable[[Program, Couplings], GaussianBase]
"""(program, couplings) → a Gaussian of the program's components and lattice."""


def vacuum(program: Program, parameters: Couplings) -> GaussianBase:
    """Around the vacuum that lies in the fundamental domain, with the Hessian there as precision.

    Without a vacuum it is the Gaussian around zero that is closest to the theory.
    """
    searches = (find_vacuum, searched_vacuum, variational_gaussian)
    vacuum = next(v for search in searches if (v := search(program, parameters)) is not None)
    u = int(np.argmax(program.constants["SCORES"] @ vacuum.mean))
    rotation = program.constants["INVERSES"][u]
    precision = np.einsum(
        "ba,...bc,cd->...ad", np.linalg.inv(rotation), vacuum.hessian, np.linalg.inv(rotation)
    )
    return GaussianBase.from_precision(rotation @ vacuum.mean, precision, program.nodes)


def standard(program: Program, parameters: Couplings) -> GaussianBase:
    """Mean 0, covariance 1."""
    return GaussianBase.standard(len(program.components), program.shape, program.nodes)


BASES: Registry[BaseFactory] = Registry("base", {"vacuum": vacuum, "standard": standard})
"""The bases; a user adds one by :func:`sesamo_dsl.register_base`."""
