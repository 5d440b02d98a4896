"""The Hubbard model: determinants, correlators and theory against the exact trace over Fock space."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pytest
import scipy.linalg
from scipy.special import logsumexp

import sesamo_dsl as sd
from oracles import auxiliary_field, dense
from oracles.fock import FockSpace
from sesamo_dsl.errors import OptionError
from sesamo_dsl.ir import fermions
from sesamo_dsl.ir.interpreter import run
from sesamo_dsl.observables import correlators
from sesamo_dsl.stages.lower import lower_theory
from sesamo_theories.hubbard import honeycomb, hubbard, ring, square, two_sites

Array = np.ndarray[Any, Any]


def adjacency(graph: nx.Graph) -> Array:
    return nx.to_numpy_array(graph, nodelist=sorted(graph))


def measured(phi: Array, matrix: Array, step: float) -> dict[str, Array]:
    """All observables per configuration, by name."""
    green = [correlators.green_functions(phi, matrix, step, s) for s in (1, -1)]
    moving = [correlators.propagators(phi, matrix, step, s) for s in (1, -1)]
    return {
        "double_occupancy": correlators.double_occupancy(phi, matrix, step),
        "spin_correlation": correlators.spin_correlations(phi, matrix, step),
        "equal_time": (green[0] + green[1]).mean(axis=1) / 2,
        "propagator": (moving[0] + moving[1]) / 2,
    }


def exact(space: FockSpace) -> dict[str, Array]:
    return {
        "double_occupancy": np.asarray(space.double_occupancy),
        "spin_correlation": space.spin_correlation,
        "equal_time": space.propagator[0],
        "propagator": space.propagator,
    }


@pytest.mark.parametrize("species", [1, -1])
@pytest.mark.parametrize(
    ("graph", "slices", "width"), [(two_sites(), 1, 3), (ring(6), 7, 1), (ring(5), 12, 2)]
)
def test_green_functions_against_dense(graph: nx.Graph, slices: int, width: float, species: int) -> None:
    matrix, step = adjacency(graph), 0.3
    phi = width * np.random.default_rng(slices).normal(size=(2, slices, len(matrix)))
    hop = scipy.linalg.expm(step * matrix)
    equal = correlators.green_functions(phi, matrix, step, species)
    moving = correlators.propagators(phi, matrix, step, species)
    for i, one in enumerate(phi):
        inverse = np.linalg.inv(dense.space_time_matrix(species * one, hop))
        inverse = inverse.reshape(slices, len(matrix), slices, len(matrix))
        for t in range(slices):
            after = (t + 1) % slices
            assert np.abs(equal[i, t] - inverse[after, :, after, :]).max() < 1e-11
            assert np.abs(moving[i, t] - inverse[t, :, 0, :]).max() < 1e-11


def test_reference_values() -> None:
    """2×1 at U = 18, β = 1: log Z and the sector masses of the quadrature, and log Z from Fock space."""
    phi, log_weight = auxiliary_field.two_sites_one_slice(18, 1)
    log_z = logsumexp(log_weight)
    masses = np.exp(log_weight - log_z)
    signs = np.sign(phi[:, 0])
    assert abs(log_z - 24.639822) < 1e-6
    assert abs(masses[(signs > 0).all(axis=1)].sum() - 0.147908) < 1e-6
    assert abs(masses[(signs[:, 0] > 0) & (signs[:, 1] < 0)].sum() - 0.352091) < 1e-6
    assert abs(FockSpace(adjacency(two_sites()), 1, 18, 1).log_z - log_z) < 1e-11


@pytest.mark.parametrize(("U", "beta"), [(18, 1), (4, 1.5)])
def test_correlators_by_quadrature(U: float, beta: float) -> None:
    matrix = adjacency(two_sites())
    phi, log_weight = auxiliary_field.two_sites_one_slice(U, beta, 200)
    log_z = logsumexp(log_weight)
    kernel = sum(fermions.log_det(phi, beta, matrix, s) for s in (1, -1))
    grid = log_weight[0] - kernel[0] + (phi[0] ** 2).sum() / (2 * U * beta)  # log of the cell
    assert np.abs(kernel - (phi**2).sum(axis=(1, 2)) / (2 * U * beta) + grid - log_weight).max() < 1e-10
    space, weights = FockSpace(matrix, 1, U, beta), np.exp(log_weight - log_z)
    assert abs(space.log_z - log_z) < 1e-10
    for name, values in measured(phi, matrix, beta).items():
        assert np.abs(np.tensordot(weights, values, 1) - exact(space)[name]).max() < 1e-10, name


def log_weight(phi: Array, matrix: Array, U: float, beta: float) -> Array:
    """−S by the kernel, (n,)."""
    step = beta / phi.shape[1]
    log_det = fermions.log_det(phi, step, matrix, 1) + fermions.log_det(phi, step, matrix, -1)
    return log_det - (phi**2).sum(axis=(1, 2)) / (2 * U * step)


def compare(phi: Array, weights: Array, space: FockSpace, skip: tuple[str, ...] = ()) -> None:
    """All observables within 4.5 σ, given weights with mean one.

    At strong coupling propagators are large where the determinant, which enters squared, is near zero:
    P(G > c) ~ c⁻³ has a variance, but not one that a few thousand samples tell.
    """
    for name, values in measured(phi, space.matrix, space.beta / space.slices).items():
        if name in skip:
            continue
        mean = np.tensordot(weights, values, 1) / len(phi)
        deviations = weights.reshape(-1, *(1,) * (values.ndim - 1)) * (values - mean)
        error = np.sqrt((deviations**2).mean(axis=0) / len(phi))
        assert (np.abs(mean - exact(space)[name]) < 4.5 * error + 1e-9).all(), name
        if name == "double_occupancy":
            assert error < 0.02 * mean


CHAINS = [
    (two_sites(), 2, 4, 1.5),
    (two_sites(), 16, 4, 4),
    (two_sites(), 16, 8, 4),
    (nx.path_graph(4), 3, 3, 1),
]


@pytest.mark.parametrize(("graph", "slices", "U", "beta"), CHAINS)
def test_correlators_with_exact_samples(graph: nx.Graph, slices: int, U: float, beta: float) -> None:
    space = FockSpace(adjacency(graph), slices, U, beta)
    phi = space.sample(6000, seed=slices)
    compare(phi, np.ones(len(phi)), space, skip=("propagator", "equal_time") if U * beta > 30 else ())


@pytest.mark.parametrize(("graph", "slices", "U", "beta"), CHAINS)
def test_log_z_with_exact_samples(graph: nx.Graph, slices: int, U: float, beta: float) -> None:
    """⟨r/e^{−S}⟩ = 1/Z for any normalised density r; here that of the model without hopping."""
    space = FockSpace(adjacency(graph), slices, U, beta)
    phi = space.sample(6000, seed=slices + 1)
    weight = log_weight(phi, space.matrix, U, beta)
    few = [space.log_weight(one) for one in phi[:5]]
    assert np.abs(weight[:5] - few).max() < 1e-9
    ratio = np.exp(auxiliary_field.log_density_without_hopping(phi, U, beta) - weight + space.log_z)
    assert abs(ratio.mean() - 1) < 4.5 * ratio.std() / np.sqrt(len(phi))
    assert ratio.std() < 5


def test_correlators_by_importance_sampling() -> None:
    """On a ring, whose histories have signs, with samples of the model without hopping."""
    graph, slices, U, beta = ring(4), 3, 3, 1
    space = FockSpace(adjacency(graph), slices, U, beta)
    phi, log_q = auxiliary_field.without_hopping(slices, 4, U, beta, 20000, seed=slices)
    log_w = log_weight(phi, space.matrix, U, beta) - log_q
    weights = np.exp(log_w - space.log_z)
    assert abs(weights.mean() - 1) < 4.5 * weights.std() / np.sqrt(len(phi))
    compare(phi, weights / weights.mean(), space)


def test_theory_is_the_quadrature() -> None:
    theory = hubbard(two_sites(), 1)
    phi, log_weight = auxiliary_field.two_sites_one_slice(18, 1, 40)
    (action,) = run(lower_theory(sd.analyse(theory)), "action", {"x": phi[:, None]}, {"U": 18.0, "beta": 1.0})
    assert np.abs(action + log_weight - (action + log_weight).mean()).max() < 1e-10
    assert theory.precision == "float64"


def test_lattices() -> None:
    for graph, sites, degree in [(honeycomb(3, 3), 18, 3), (square(4, 3), 12, 4), (ring(6), 6, 2)]:
        assert len(graph) == sites
        assert {d for _, d in graph.degree} == {degree}
    assert nx.is_bipartite(honeycomb(3, 3))


def test_wrong_shapes() -> None:
    for phi, matrix in [(np.zeros((1, 2, 3)), np.eye(2)), (np.zeros((1, 2, 2)), np.triu(np.ones((2, 2))))]:
        with pytest.raises(OptionError):
            correlators.double_occupancy(phi, matrix, 0.1)
