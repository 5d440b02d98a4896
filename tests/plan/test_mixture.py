"""The base of configurations: as many Gaussians as they tell apart, with the moments that they have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl.flows.base import GaussianBase, MixtureBase, Tail
from sesamo_dsl.ir.program import Program
from sesamo_dsl.plan.mixture import base_of_configurations
from sesamo_dsl.runs.declaration import Declaration
from sesamo_dsl.stages.lower import lower_theory

RNG = np.random.default_rng(0)


def program_of(components: int, shape: tuple[int, ...], mirror: bool = False) -> Program:
    """A program with these fields; fits do not ask for its action."""
    fields = [sd.ScalarField(f"f{i}", sd.Lattice(*shape)) for i in range(components)]
    action = fields[0].lattice.sum(sp.Add(*(f**2 for f in fields)))
    symmetries = [sd.Z2(*fields)] if mirror else []
    return lower_theory(sd.analyse(sd.Theory("g", fields=fields, action=action, symmetries=symmetries)))


@pytest.mark.parametrize("shape", [(1,), (4,), (4, 6)])
def test_one_gaussian_has_the_moments_of_a_field(shape: tuple[int, ...]) -> None:
    """Mean, and covariance of every mode, of a Gaussian field that is not at rest."""
    noise = RNG.normal(size=(20_000, 2, *shape))
    x = np.stack(
        [1 + noise[:, 0] + np.roll(noise[:, 0], 1, 1), 0.3 * noise[:, 1] + 0.5 * noise[:, 0]], axis=1
    )
    base = base_of_configurations(program_of(2, shape), x, "fold")
    assert not isinstance(base, MixtureBase)
    np.testing.assert_allclose(base.mean, x.mean(axis=(0, *range(2, x.ndim))), atol=1e-2)
    waves = np.fft.fftn(x - base.mean.reshape(1, 2, *(1,) * len(shape)), axes=tuple(range(2, x.ndim)))
    for k in ((0,) * len(shape), (shape[0] // 2,) + (0,) * (len(shape) - 1)):
        seen = np.einsum("na,nb->ab", waves[(..., *k)], waves[(..., *k)].conj()) / (len(x) * np.prod(shape))
        given = base.filter[k] @ base.filter[k].conj().T
        np.testing.assert_allclose(given, seen, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("shape", [(1,), (6,)])
def test_unequal_valleys_are_told_apart(shape: tuple[int, ...]) -> None:
    """Three with weights, means and widths of two orders, one of them with 2 % of the configurations."""
    weights, means = np.array([0.6, 0.38, 0.02]), np.array([[0.0, 0.0], [1.5, -1.0], [-8.0, 3.0]])
    widths = np.array([0.3, 0.02, 1.0])
    which = RNG.choice(3, size=2000, p=weights)
    field = (2000, 1, *(1 for _ in shape))
    x = RNG.normal(size=(2000, 2, *shape)) * widths[which].reshape(field)
    x += means[which].reshape(2000, 2, *field[2:])
    base = base_of_configurations(program_of(2, shape), x, "fold")
    assert isinstance(base, MixtureBase)
    assert len(base.parts) == 3
    order = np.argsort(-base.log_weights)
    parts = [base.parts[k] for k in order]
    np.testing.assert_allclose(np.exp(base.log_weights[order]), weights, atol=0.03)
    np.testing.assert_allclose([p.mean for p in parts], means, atol=0.5)
    np.testing.assert_allclose(np.stack([p.scale for p in parts]), np.repeat(widths[:, None], 2, 1), rtol=0.3)
    np.testing.assert_allclose(base.mean, np.exp(base.log_weights) @ np.stack([p.mean for p in base.parts]))


def test_a_part_that_is_folded_is_seen_as_it_is_before() -> None:
    """A Gaussian across a wall has one part, not the half of it that lies in the domain."""
    x = np.concatenate([RNG.normal(0.2, 1.0, size=(3000, 1, 1)), RNG.normal(9.0, 0.5, size=(1000, 1, 1))])
    base = base_of_configurations(program_of(1, (1,), mirror=True), x[RNG.permutation(4000)], "fold")
    assert isinstance(base, MixtureBase)
    wide, narrow = sorted(base.parts, key=lambda part: -float(part.scale[0]))
    assert abs(wide.mean[0]) < 0.3
    assert wide.scale[0] == pytest.approx(1.02, rel=0.05)
    assert (narrow.mean[0], narrow.scale[0]) == (pytest.approx(9.0, abs=0.1), pytest.approx(0.5, rel=0.1))


def test_parts_with_heavy_tails_are_not_as_wide_as_these() -> None:
    tail = Tail("student", 2.0)
    t = RNG.standard_t(2.0, size=(2000, 1, 1))
    base = base_of_configurations(program_of(1, (1,)), 5 + t, "fold", tail=tail)
    assert base.tail == tail
    assert not isinstance(base, MixtureBase)
    assert base.mean[0] == pytest.approx(5.0, abs=0.15)
    assert base.scale[0] == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize("shape", [(1,), (4, 2)])
def test_a_base_with_parts_and_tails_is_kept_as_data(shape: tuple[int, ...]) -> None:
    v = sd.VectorField("v", sd.Lattice(*shape), 2)
    compiled = sd.compile(sd.Theory("g", fields=[v], action=v.lattice.sum(v.squared)), "torch")
    part = replace(GaussianBase.standard(2, shape), tail=Tail("product", 1.5))
    parts = [replace(part, mean=np.array([float(k), -1.0])) for k in range(3)]
    base = MixtureBase.of_parts(parts, np.array([0.0, -1.0, 2.0]))
    again = Declaration.read(Declaration.of(compiled, {}, base).files()).base
    assert isinstance(again, MixtureBase)
    assert [p.tail for p in (again, *again.parts)] == [part.tail] * 4
    for ours, theirs in zip((base, *base.parts), (again, *again.parts), strict=True):
        np.testing.assert_array_equal(ours.mean, theirs.mean)
        np.testing.assert_array_equal(ours.filter, theirs.filter)
    np.testing.assert_array_equal(base.log_weights, again.log_weights)
