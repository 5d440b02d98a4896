"""The Gaussians that a model may start from, by the name that the option ``base`` has for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..flows.base import GaussianBase, Tail
from ..ir.program import Program
from ..landscape.heavy_tails import find_tail
from ..landscape.landscape import Landscape
from ..landscape.vacua import find_vacuum, has_kink, searched_vacuum, variational_gaussian
from ..values.couplings import Couplings
from ..values.registry import Registry

_FEW = 8  # real variables up to which they have a tail together

BaseFactory = Callable[[Program, Couplings], GaussianBase]
"""(program, couplings) → a Gaussian of the program's components and lattice."""


def vacuum(program: Program, parameters: Couplings) -> GaussianBase:
    """Around the vacuum that lies in the fundamental domain, with the Hessian there as precision.

    Without a vacuum it is the Gaussian around zero that is closest to the theory. Tails are those of exp(−S)
    where these are heavier than a Gaussian's, and the curvature of log q at the vacuum is the Hessian still;
    at a kink the Gaussian has the width of exp(−S).
    """
    searches = (find_vacuum, searched_vacuum, variational_gaussian)
    vacuum = next(v for search in searches if (v := search(program, parameters)) is not None)
    u = int(np.argmax(program.constants["SCORES"] @ vacuum.mean))
    rotation = program.constants["INVERSES"][u]
    precision = np.einsum(
        "ba,...bc,cd->...ad", np.linalg.inv(rotation), vacuum.hessian, np.linalg.inv(rotation)
    )
    tail = tail_of(program, parameters, vacuum.mean)
    if not has_kink(program, parameters, vacuum):
        precision = precision / added_curvature(tail, base_size(program))
    base = GaussianBase.from_precision(rotation @ vacuum.mean, precision, program.nodes)
    return replace(base, tail=tail)


def tail_of(program: Program, parameters: Couplings, mean: np.ndarray) -> Tail | None:
    """The tails that a flow needs for exp(−S) around a constant field, (components,).

    Of many variables each has its own: the length of a long vector hardly varies, and would with one tail
    for all. On slices of Lie groups, which have auxiliary coordinates, and for determinants there are none.
    """
    if program.has_determinants or "COLLECTIVE_0" in program.constants:
        return None
    landscape = Landscape(program, parameters, program.shape)
    centre = np.repeat(mean, landscape.size // len(mean))
    tail = find_tail(landscape, centre, np.random.default_rng(0))
    if tail is not None and landscape.size > _FEW:
        return replace(tail, shape="product")
    return tail


def base_size(program: Program) -> int:
    """n, the number of real variables."""
    return int(np.prod(program.configuration_shape))


def added_curvature(tail: Tail | None, n: int) -> float:
    """−∂² log q at the centre of a flow in units of its base's precision: 1 + (n + 2)/2ν with a tail."""
    if tail is None:
        return 1.0
    together = 1 if tail.shape == "product" else n
    return 1 + (together + 2) / (2 * tail.freedom)


def standard(program: Program, parameters: Couplings) -> GaussianBase:
    """Mean 0, covariance 1."""
    return GaussianBase.standard(len(program.components), program.shape, program.nodes)


BASES: Registry[BaseFactory] = Registry("base", {"vacuum": vacuum, "standard": standard})
"""The bases; a user adds one by :func:`sesamo_dsl.register_base`."""
