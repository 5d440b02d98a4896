"""The Gaussian that a model starts from: its place and width are those of the action at its vacuum."""

from __future__ import annotations

import numpy as np

from ..flows.base import GaussianBase
from ..ir.interpreter import run
from ..ir.program import Program
from ..landscape.vacua import find_vacuum, searched_vacuum, self_consistent
from ..values.couplings import Couplings
from .plan import Plan

_LEAST_WIDTH = 1e-6  # of the mean variance, where configurations do not vary at all


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


def base_of_moments(program: Program, x: np.ndarray) -> GaussianBase:
    """The Gaussian with the mean and covariance that configurations of the target have in the domain.

    Parameters
    ----------
    x
        (n, components, *lattice), of a theory without nodes of a graph and without Lie groups.
    """
    y = run(program, "canonicalize", {"x": x.astype(np.float64)})[0]
    axes = tuple(range(2, y.ndim))
    mean = y.mean(axis=(0, *axes))
    waves = np.fft.fftn(y - mean.reshape(1, -1, *(1,) * len(axes)), axes=axes)
    covariance = np.einsum("na...,nb...->...ab", waves, waves.conj()) / (len(y) * np.prod(program.shape))
    size = np.abs(np.einsum("...aa->...a", covariance)).mean()
    covariance = covariance + _LEAST_WIDTH * size * np.eye(len(mean))
    precision = np.linalg.inv(covariance)
    lattice = tuple(range(len(axes)))
    mirrored = np.roll(np.flip(precision, lattice), 1, lattice).conj()
    precision = (precision + mirrored) / 2  # H(−k) = conj H(k), whatever the sample
    return GaussianBase.from_precision(mean, (precision + precision.conj().swapaxes(-1, -2)) / 2)


def wall_statistics(program: Program, base: GaussianBase) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the distances from the walls under the base, (1, [1,] facets) each."""
    walls = program.constants["WALLS"]
    covariance = base.mean_covariance(program.blocks)
    width = np.sqrt(np.einsum("ja,ab,jb->j", walls, covariance, walls))
    shape = (1, 1, len(walls)) if program.blocks else (1, len(walls))
    return np.maximum(walls @ base.mean, 0).reshape(shape), width.reshape(shape)
