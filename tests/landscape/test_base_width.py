"""The base has the width of the target where finite differences of a kink or a scale have another."""

import numpy as np
import pytest
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl.flows.base import GaussianBase
from sesamo_dsl.plan.base import make_base
from sesamo_dsl.plan.decide import decide
from sesamo_dsl.plan.options import TrainingOptions
from sesamo_dsl.stages.lower import lower_theory
from sesamo_dsl.symbols.fields import FieldComponent


def base(action: sp.Expr, *fields: FieldComponent) -> GaussianBase:
    theory = sd.Theory("example", fields=fields, action=action)
    program = lower_theory(sd.analyse(theory))
    return make_base(program, {}, decide(TrainingOptions(), sd.analyse(theory)))


@pytest.mark.parametrize(("rate", "centre"), [(1, 0), (1000, 0), (sp.Rational(1, 50), 0), (5, 3)])
def test_a_laplace_density(rate: sp.Expr, centre: int) -> None:
    x = sd.ScalarField("x", sd.Lattice(1))
    found = base(rate * sp.Abs(x - centre), x)
    assert found.mean[0] == pytest.approx(centre, abs=1e-6)
    assert found.scale[0] == pytest.approx(np.sqrt(2) / float(rate), rel=1e-3)


def test_a_kink_on_top_of_a_mass() -> None:
    x = sd.ScalarField("x", sd.Lattice(1))
    t = np.linspace(-12, 12, 240_001)
    density = np.exp(-(t**2) / 2 - np.abs(t))
    assert base(x**2 / 2 + sp.Abs(x), x).scale[0] == pytest.approx(
        np.sqrt((density * t**2).sum() / density.sum()), rel=1e-3
    )


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e3])
def test_scales(scale: float) -> None:
    x = sd.ScalarField("x", sd.Lattice(1))
    assert base((x / sp.Rational(scale)) ** 2 / 2, x).scale[0] == pytest.approx(scale, rel=1e-6)


def test_kinks_at_all_sites_of_a_lattice() -> None:
    lattice = sd.Lattice(4, 6)
    x = sd.ScalarField("x", lattice)
    assert base(lattice.sum(sp.Abs(x)), x).scale[0] == pytest.approx(np.sqrt(2), rel=1e-3)


def test_smooth_minima_keep_their_hessian() -> None:
    lattice = sd.Lattice(8)
    x = sd.ScalarField("x", lattice)
    found = base(lattice.sum((x - x.shift(0)) ** 2 + x**2 + x**4 / 10), x)
    momentum = 2 * np.pi * np.arange(8) / 8
    np.testing.assert_allclose(
        found.filter[:, 0, 0].real ** -2, 2 + 2 * (2 - 2 * np.cos(momentum)), rtol=1e-6
    )
