"""Theories whose ∫ exp(−S) is infinite are refused with the direction; none that can be normalised is."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl.errors import NotNormalizableError, OptionError
from sesamo_dsl.symbols.fields import FieldComponent

Density = Callable[..., sp.Expr]


def theory(density: Density, shape: tuple[int, ...] = (1,), fields: int = 1) -> sd.Theory:
    lattice = sd.Lattice(*shape)
    x = [sd.ScalarField(f"x{i}", lattice) for i in range(fields)]
    return sd.Theory("example", fields=x, action=lattice.sum(density(*x)))


def gradient(x: FieldComponent) -> sp.Expr:
    return sp.Add(*((x - x.shift(mu)) ** 2 for mu in x.lattice.directions))


INFINITE: dict[str, tuple[sd.Theory, str]] = {
    "a cubic": (theory(lambda x: x**2 + x**3 / 7), "unbounded"),
    "a negative quartic": (theory(lambda x: x**2 / 2 - x**4 / 50), "unbounded"),
    "a linear potential": (theory(lambda x: 3 * x), "unbounded"),
    "an indefinite form": (theory(lambda x, y: x**2 + y**2 - 3 * x * y, fields=2), "unbounded"),
    "a cubic on a lattice": (theory(lambda x: gradient(x) + x**2 + x**3 / 10, (12, 12)), "unbounded"),
    "a negative mass at zero momentum": (
        theory(lambda x: x**2 - sp.Rational(11, 10) * x * x.shift(0), (8,)),
        "unbounded",
    ),
    "a negative mass at the edge": (
        theory(lambda x: x**2 + sp.Rational(11, 10) * x * x.shift(0), (8,)),
        "unbounded",
    ),
    "a periodic potential": (theory(lambda x: -3 * sp.cos(2 * x)), "flat"),
    "an exponential fall": (theory(lambda x: sp.exp(-x)), "flat"),
    "a difference": (theory(lambda x, y: (2 * x - 3 * y) ** 4, fields=2), "flat"),
    "a field that is not there": (theory(lambda x, y: x**2 + 0 * y, (4,), 2), "flat"),
    "one bounded field of two": (theory(lambda x, y: x**2 - sp.cos(y), fields=2), "flat"),
    "a massless field": (theory(gradient, (6,)), "flat"),
    "a massless field on a large lattice": (theory(gradient, (24, 24)), "flat"),
    "angles held as reals": (theory(lambda x: -sp.cos(x - x.shift(0)), (5,)), "flat"),
    "a pinned chain of angles": (theory(lambda x: gradient(x) - sp.cos(x), (8,)), "flat"),
    "half a logarithm": (theory(lambda x: sp.log(1 + x**2) / 2), "flat"),
    "a logarithm in the plane": (theory(lambda x, y: sp.log(1 + x**2 + y**2), fields=2), "flat"),
    "a cross": (theory(lambda x, y: x**2 * y**2, fields=2), "flat"),
}

FINITE: dict[str, sd.Theory] = {
    "cauchy": theory(lambda x: sp.log(1 + x**2)),
    "a power just above one": theory(lambda x: sp.Rational(11, 20) * sp.log(1 + x**2)),
    "a power just above two in the plane": theory(
        lambda x, y: sp.Rational(5, 4) * sp.log(1 + x**2 + y**2), fields=2
    ),
    "two tails": theory(lambda x, y: sp.log(1 + x**2) + sp.log(1 + y**2), fields=2),
    "a root": theory(lambda x: sp.sqrt(sp.Abs(x))),
    "gumbel": theory(lambda x: sp.exp(x) - x),
    "a cosh": theory(lambda x: sp.cosh(x) + gradient(x), (16, 16)),
    "a small mass": theory(lambda x: x**2 / 10**6),
    "a small mass on a lattice": theory(lambda x: gradient(x) + x**2 / 10**4, (16,)),
    "a double well with far wells": theory(lambda x: -(x**2) / 2 + x**4 / 10**4),
    "repulsion": theory(lambda x, y: (x - y) ** -12 + x**2 + y**2, fields=2),
    "a confined cross": theory(lambda x, y: x**2 * y**2 + sp.Abs(x) + sp.Abs(y), fields=2),
    "a bent valley": theory(lambda x, y: x**2 / 2 + 50 * (y - x**2) ** 2, fields=2),
    "branches": theory(lambda x: sp.Piecewise((x**2, x > 0), (sp.exp(-x), True))),
    "double wells in two dimensions": theory(lambda x: gradient(x) + (x**2 - 1) ** 2, (6, 6)),
    "tails on a lattice": theory(lambda x: gradient(x) + 2 * sp.log(1 + x**2), (8,)),
}


@pytest.mark.parametrize("name", INFINITE)
def test_what_cannot_be_normalised_is_named(name: str) -> None:
    declared, kind = INFINITE[name]
    with pytest.raises(NotNormalizableError, match="normalizable=False") as refused:
        sd.analyse(declared)
    analysis = sd.analyse(declared, normalizable=False)
    found = analysis.divergence
    assert found is not None
    assert found.kind == kind
    assert found.direction.shape == declared.configuration_shape
    assert np.linalg.norm(found.direction) == pytest.approx(1)
    np.testing.assert_array_equal(refused.value.direction, found.direction)
    assert found.name in str(refused.value)
    assert "∫ exp(−S) is infinite" in str(analysis)


def test_what_cannot_be_normalised_is_compiled_for_its_values_alone(tmp_path: Path) -> None:
    declared, _ = INFINITE["a negative quartic"]
    analysis = sd.analyse(declared, normalizable=False)
    messages = set()
    for given in (declared, analysis):
        with pytest.raises(NotNormalizableError, match="unbounded below") as refused:
            sd.compile(given, "torch")
        messages.add(str(refused.value))
    assert len(messages) == 1
    model = sd.compile(declared, "torch", precision="float64", normalizable=False)
    np.testing.assert_allclose(model.action(np.full((1, 1, 1), 2.0)), [2 - 16 / 50], rtol=1e-14)
    with pytest.raises(NotNormalizableError, match="unbounded below"):
        model.train(steps=2, progress=False, directory=tmp_path / "run")
    with pytest.raises(NotNormalizableError, match="unbounded below"):
        sd.compare(model, "ours", steps=2, seeds=1)
    for wrong in (1, None, "no"):
        with pytest.raises(OptionError, match="normalizable"):
            sd.analyse(declared, normalizable=wrong)  # pyright: ignore[reportArgumentType]
        with pytest.raises(OptionError, match="normalizable"):
            sd.compile(declared, "torch", normalizable=wrong)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", FINITE)
def test_what_can_be_normalised_is_not_refused(name: str) -> None:
    assert sd.analyse(FINITE[name]).divergence is None


@pytest.mark.parametrize(
    "reference", ["scalar_phi4", "complex_phi4@16x16", "on_model", "clock_phi4", "hubbard"]
)
def test_shipped_theories_are_not_refused(reference: str) -> None:
    from sesamo_dsl.language.theory_files import load_theory

    assert sd.analyse(load_theory(reference)).divergence is None


def test_the_direction_is_the_one_that_is_flat() -> None:
    found = sd.analyse(INFINITE["a difference"][0], normalizable=False).divergence
    assert found is not None
    np.testing.assert_allclose(found.direction.reshape(-1), np.array([3, 2]) / np.sqrt(13), atol=1e-6)
    assert "x0" in found.name
    assert "x1" in found.name


def test_couplings_are_judged_when_they_are_given(tmp_path: Path) -> None:
    x = sd.ScalarField("x", sd.Lattice(1))
    lam, mass = sd.parameters("lam mass")
    declared = sd.Theory("couplings", fields=[x], action=mass * x**2 + lam * x**4)
    assert sd.analyse(declared).divergence is None  # nothing is known yet
    with pytest.raises(NotNormalizableError, match=r"lam = -0.1"):
        sd.analyse(declared, parameters={mass: 1, lam: -0.1})
    assert sd.analyse(declared, parameters={mass: 1, lam: 0.1}).divergence is None
    model = sd.compile(declared, "torch")
    options = {"progress": False, "steps": 2, "directory": tmp_path / "run"}
    with pytest.raises(NotNormalizableError, match=r"lam = -0.1") as refused:
        model.train(parameters={"mass": 1, "lam": -0.1}, **options)
    assert abs(refused.value.direction).sum() == pytest.approx(1)
    assert not (tmp_path / "run").exists()
    with pytest.raises(NotNormalizableError, match="grow"):
        model.train(parameters={"mass": 0, "lam": 0}, **options)
    model.train(parameters={"mass": -1, "lam": 0.1}, **options)


def test_hmc_refuses_too() -> None:
    pytest.importorskip("blackjax")
    with pytest.raises(NotNormalizableError, match="unbounded below"):
        sd.hmc(INFINITE["a cubic"][0], chains=2, trajectories=20)


def test_only_the_couplings_of_a_chain_count() -> None:
    """The default couplings need not have a finite Z where others are given."""
    pytest.importorskip("blackjax")
    x = sd.ScalarField("x", sd.Lattice(1))
    lam = sd.parameters("lam")
    declared = sd.Theory("default", fields=[x], action=x**2 / 2 + lam * x**4, defaults={lam: -1})
    with pytest.raises(NotNormalizableError, match="lam = -1"):
        sd.analyse(declared)
    chain = sd.hmc(declared, parameters={lam: 1}, chains=2, trajectories=20, warm_up=50)
    assert np.isfinite(chain.action).all()
