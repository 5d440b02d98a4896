"""The registry of bases by name, such as "vacuum", the Gaussian of S around its vacuum, and "standard"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..flows.base import GaussianBase, Tail
from ..ir.program import Program
from ..landscape.beside_angles import gaussian_beside_angles
from ..landscape.heavy_tails import find_tail
from ..landscape.landscape import Landscape
from ..landscape.vacua import find_vacuum, has_kink, searched_vacuum, variational_gaussian
from ..values.couplings import Couplings
from ..values.registry import Registry

_FEW = 8  # largest number of real variables with one common tail

BaseFactory = Callable[[Program, Couplings], GaussianBase]
"""(program, couplings) → a Gaussian with the program's components and lattice."""


def vacuum(program: Program, parameters: Couplings) -> GaussianBase:
    """The Gaussian around the vacuum in the fundamental domain, with the Hessian of S as precision.

    Without a vacuum it is the Gaussian around zero that is closest to the theory. If exp(−S) has heavier
    tails than a Gaussian, the base has them as well, and its precision is lowered so that the curvature of
    log q at the vacuum is still the Hessian. If S has a kink at the vacuum, the Gaussian has the width of
    exp(−S). Of a theory with angles, which are uniform, it is the Gaussian of the real fields that is
    closest to the theory.
    """
    if program.angles:
        return _beside_angles(program, parameters)
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


def _beside_angles(program: Program, parameters: Couplings) -> GaussianBase:
    """The Gaussian of the real fields; angles, which a flow draws by itself, have mean 0 and covariance 1."""
    lines, c = list(program.lines), len(program.components)
    mean, precision = np.zeros(c), np.broadcast_to(np.eye(c, dtype=complex), (*program.shape, c, c)).copy()
    if lines:
        mean[lines], of_lines = gaussian_beside_angles(program, parameters)
        precision[(..., *np.ix_(lines, lines))] = of_lines
    return GaussianBase.from_precision(mean, precision, program.nodes)


def tail_of(program: Program, parameters: Couplings, mean: np.ndarray) -> Tail | None:
    """The tail of a flow for exp(−S) around a constant field, (components,); None for Gaussian tails.

    With more than eight real variables each variable has a tail of its own: the length of a long vector
    hardly varies, but with one common tail it would. Theories with slices of Lie groups, whose auxiliary
    coordinates are Gaussian, and theories with determinants have no tail.
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
    """−∂² log q at the centre of a flow, in units of the precision of its base.

    It is 1 without a tail, 1 + (n + 2)/2ν with one tail for all n variables, 1 + 3/2ν with one for each.
    """
    if tail is None:
        return 1.0
    together = 1 if tail.shape == "product" else n
    return 1 + (together + 2) / (2 * tail.freedom)


def standard(program: Program, parameters: Couplings) -> GaussianBase:
    """Mean 0, covariance 1."""
    return GaussianBase.standard(len(program.components), program.shape, program.nodes)


BASES: Registry[BaseFactory] = Registry("base", {"vacuum": vacuum, "standard": standard})
"""The bases by name; users add theirs by :func:`sesamo_dsl.register_base`."""
