"""The φ⁴ family: exact at λ = 0, its observables and what derives from them, weights on larger lattices."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp
from typer.testing import CliRunner

import sesamo_dsl as sd
from sesamo_dsl.cli import app
from sesamo_dsl.errors import OptionError, RunError, TheoryError, TheoryFileError
from sesamo_dsl.estimates.chains import Chain
from sesamo_dsl.estimates.weighted import observable_names, observable_values
from sesamo_dsl.flows.spec import FlowSpec
from sesamo_dsl.laws.orbits import von_mises_fisher
from sesamo_dsl.plan.base import make_base
from sesamo_theories.clock_phi4 import clock_phi4
from sesamo_theories.complex_phi4 import complex_phi4
from sesamo_theories.complex_phi4_collinear import complex_phi4_collinear
from sesamo_theories.on_model import on_model
from sesamo_theories.scalar_phi4 import scalar_phi4

Array = np.ndarray[Any, Any]
SMALL = FlowSpec(layers=4, hidden=(12,), kernel=3)
FREE = {"kappa": 0.15, "lambda": 0.0}


def lattice_precision(shape: tuple[int, ...], kappa: float) -> Array:
    """H(k) = 2(1 − 2κ Σ_μ cos k_μ) of S = Σ φ² − 2κ Σ φφ, (*shape,)."""
    waves = np.meshgrid(*(2 * np.pi * np.arange(n) / n for n in shape), indexing="ij")
    return 2 - 4 * kappa * np.sum(np.cos(waves), axis=0)


def free_log_z(components: int, shape: tuple[int, ...], kappa: float, h: float = 0.0) -> float:
    """log ∫ exp(−½ φHφ − h Σφ), every component with the same source."""
    precision = lattice_precision(shape, kappa)
    gaussian = -0.5 * np.log(precision / (2 * np.pi)).sum()
    return components * float(gaussian + h**2 * precision.size / (2 * precision.flat[0]))


def in_float64(theory: sd.Theory) -> sd.CompiledTheory:
    return sd.compile(theory, "torch", precision="float64")


def brief(theory: sd.Theory | sd.CompiledTheory, place: Path, **options: Any) -> sd.Run:
    """A model that is its base: one step at no learning rate."""
    compiled = in_float64(theory) if isinstance(theory, sd.Theory) else theory
    defaults = {"steps": 1, "learning_rate": 1e-300, "batch": 4, "flow": SMALL}
    return compiled.train(directory=place, progress=False, **(defaults | options))


# λ = 0


@pytest.mark.parametrize("shape", [(6,), (4, 4), (2, 4, 2), (2, 2, 2, 2)])
def test_free_scalar_is_exact(shape: tuple[int, ...], tmp_path: Path) -> None:
    """The vacuum base is the answer: every weight is Z, to float precision."""
    kappa = 0.12
    for h in (0.0, 0.3):
        values = {"kappa": kappa, "lambda": 0.0, "h": h}
        # a source moves the vacuum out of one sector: without modulation the base is the whole target
        theory = scalar_phi4(*shape)
        plain = sd.Theory("plain", fields=theory.fields, action=theory.action, observables=theory.observables)
        run = brief(plain, tmp_path / str(h), parameters=values)
        samples = run.sample(256)
        assert np.abs(samples.log_weights - free_log_z(1, shape, kappa, h)).max() < 1e-8
        assert samples.ess == pytest.approx(1, abs=1e-12)
    # modulated, the folded base is still exact where the symmetry is
    folded = brief(scalar_phi4(*shape), tmp_path / "folded", parameters={**values, "h": 0.0})
    assert np.abs(folded.sample(256).log_weights - free_log_z(1, shape, kappa)).max() < 1e-8


@pytest.mark.parametrize("components", [2, 3, 4])
def test_free_fields_with_several_components_are_exact(components: int, tmp_path: Path) -> None:
    declared = complex_phi4(4, 4) if components == 2 else on_model(4, 4, components=components)
    plain = sd.Theory("plain", fields=declared.fields, action=declared.action)
    samples = brief(plain, tmp_path / "run", parameters={**FREE, "h": 0.2}).sample(128)
    assert np.abs(samples.log_weights - free_log_z(components, (4, 4), 0.15, 0.2)).max() < 1e-8


def test_free_propagator(tmp_path: Path) -> None:
    """The covariance of the sampler, linear in its noise, is 1/H(k); G(t) is its transform."""
    run = brief(
        sd.Theory("plain", fields=scalar_phi4(4, 6).fields, action=scalar_phi4(4, 6).action),
        tmp_path / "run",
        parameters={**FREE, "h": 0.0},
    )
    precision = lattice_precision((4, 6), 0.15)
    base = make_base(run.compiled.program, run.parameters, run.plan)
    assert np.abs(base.filter[..., 0, 0] ** 2 - 1 / precision).max() < 1e-8
    samples = run.sample(20_000)
    exact = np.fft.ifft(1 / precision[:, 0]).real
    for t, values in enumerate(sd.two_point(samples.x).T):
        found = samples.expect(values)
        assert abs(found.value - exact[t]) < 4.5 * found.error


@cache
def free_slice(components: int) -> sd.CompiledTheory:
    return in_float64(complex_phi4(2, 4) if components == 2 else on_model(2, 4, components=components))


@pytest.mark.parametrize("h", [0.0, 0.05])
@pytest.mark.parametrize("components", [2, 3])
def test_free_slices_have_the_exact_normalisation(components: int, h: float, tmp_path: Path) -> None:
    """r is not Gaussian: Δ, orbit, completion and weights together must give the exact log Z."""
    values, flow = {**FREE, "h": h}, FlowSpec(layers=2, hidden=(12,), kernel=3)
    options = {"steps": 60, "batch": 64, "learning_rate": 0.02, "flow": flow}
    samples = brief(free_slice(components), tmp_path / "run", parameters=values, **options).sample(20_000)
    assert samples.ess > 0.7
    assert abs(samples.log_z.value - free_log_z(components, (2, 4), 0.15, h)) < 4 * samples.log_z.error
    assert abs(samples.virial_z_score) < 4


# declarations


@pytest.mark.parametrize("declare", [scalar_phi4, complex_phi4, on_model, clock_phi4, complex_phi4_collinear])
def test_any_dimension(declare: Any) -> None:
    """In every dimension the action of a constant field is V times its value on one site."""
    per_site = set()
    for dimension in (1, 2, 3, 4):
        theory = declare(*(2,) * dimension)
        compiled = sd.compile(theory, "torch", precision="float64", normalizable=False)
        x = np.full((1, *theory.configuration_shape), 0.7)
        values = {"kappa": 0.3 / dimension}
        per_site.add(round(float(compiled.action(x, values)[0]) / theory.lattice.volume, 9))
        assert {"action_density", "abs_m", "m_squared", "m_fourth"} <= set(theory.observables)
    assert len(per_site) == 1


def test_observables_against_numpy() -> None:
    theory = on_model(2, 4, components=4)
    compiled = sd.compile(theory, "torch", precision="float64")
    x = np.random.default_rng(0).normal(size=(5, 4, 2, 4))
    m = x.mean(axis=(2, 3))
    values = theory.parameter_values()
    expected = {
        "action_density": compiled.action(x) / 8,
        "abs_m": np.linalg.norm(m, axis=1),
        "sum_of_components_of_m": m.sum(axis=1),
        "m_squared": (m**2).sum(axis=1),
        "m_fourth": (m**2).sum(axis=1) ** 2,
        "phi_squared": (x**2).sum(axis=(1, 2, 3)) / 8,
    }
    assert list(expected) == observable_names(compiled.program)
    for name, exact in expected.items():
        assert np.allclose(observable_values(compiled.program, values, x, name), exact), name


@pytest.mark.parametrize("order", [1, 2, 3, 5, 8])
def test_clock_terms(order: int) -> None:
    """Invariant under 2π/n, not under half of it, and bounded from below."""
    theory = clock_phi4(2, 2, order=order)
    compiled = sd.compile(theory, "torch", precision="float64")
    x = np.random.default_rng(1).normal(size=(3, 2, 2, 2))
    field = x[:, 0] + 1j * x[:, 1]
    couplings = {"g": 0.7}

    def action(values: Array) -> Array:
        return compiled.action(np.stack([values.real, values.imag], axis=1), couplings)

    assert np.allclose(action(field * np.exp(2j * np.pi / order)), action(field))
    assert not np.allclose(action(field * np.exp(1j * np.pi / order)), action(field))
    directions = np.exp(1j * np.linspace(0, 2 * np.pi, 50))[:, None, None] * np.ones((2, 2))
    assert (action(30 * directions) > action(10 * directions)).all()


def test_the_reduced_problem_says_what_is_missing(tmp_path: Path) -> None:
    """On collinear fields its action is that of complex φ⁴, and everything that reports it says so."""
    theory = complex_phi4_collinear(4, 4)
    chi = np.random.default_rng(2).normal(size=(3, 1, 4, 4))
    phase = np.array([math.cos(0.4), math.sin(0.4)])[:, None, None]
    full = sd.compile(complex_phi4(4, 4), "torch", precision="float64").action(chi * phase)
    assert np.allclose(sd.compile(theory, "torch", precision="float64").action(chi), full)
    run = brief(theory, tmp_path / "run")
    samples = run.sample(100)
    chain = sd.independence_metropolis(samples)
    for text in (sd.analyse(theory).text(), samples.text(), chain.text()):
        assert "17 of the 32 degrees of freedom" in text
        assert "15 relative phases" in text
    result = CliRunner().invoke(app, ["check", "complex_phi4_collinear@4x4"])
    assert "17 of the 32 degrees of freedom" in result.stdout


# derived quantities and measurements


@cache
def pair() -> sd.CompiledTheory:
    return sd.compile(scalar_phi4(2), "torch", precision="float64")


def gaussian_samples(count: int, seed: int = 0) -> sd.Samples:
    """Weighted samples of free collinear pairs: q is wider than p."""
    compiled = pair()
    values = {"kappa": 0.1, "lambda": 0.0, "h": 0.0}
    x = np.random.default_rng(seed).normal(size=(count, 1, 2))
    log_q = -(x**2).sum(axis=(1, 2)) / 2 - math.log(2 * math.pi)
    nothing = np.zeros(count, int)
    return sd.Samples(
        compiled.program,
        values,
        x,
        log_q,
        compiled.action(x, values),
        nothing,
        nothing.astype(bool),
        None,
        declared=compiled.theory.derived,
    )


def test_errors_of_derived_quantities() -> None:
    """Against the scatter of independent repetitions, and against the closed form of a Gaussian."""
    variance = 1 / (2 * lattice_precision((2,), 0.1)[0])  # of m: 1/(V H(0))
    exact = {"susceptibility": 2 * variance * (1 - 2 / math.pi), "binder_cumulant": 0.0}
    sets = [gaussian_samples(2000, seed) for seed in range(40)]
    for name, value in exact.items():
        found = [samples.derived(name) for samples in sets]
        mean, error = np.mean([f.value for f in found]), np.mean([f.error for f in found])
        assert abs(mean - value) < 5 * error / math.sqrt(len(sets))
        assert np.std([f.value for f in found]) == pytest.approx(error, rel=0.4)
    same = sets[0].derived(lambda m2, m1: 2 * (m2 - m1**2), "m_squared", "abs_m")
    assert same == pytest.approx(sets[0].derived("susceptibility"))


def test_derived_quantities_of_chains() -> None:
    """For independent values of equal weight, chain and samples agree."""
    samples = gaussian_samples(20_000)
    flat = sd.Samples(**{**vars(samples), "log_q": -samples.action})
    chain = Chain(
        samples.program,
        samples.parameters,
        samples.x.reshape(4, 5000, 1, 2),
        samples.action.reshape(4, 5000),
        1.0,
        declared=samples.declared,
    )
    for name in samples.declared:
        a, b = flat.derived(name), chain.derived(name)
        assert b.value == pytest.approx(a.value, abs=1e-12)
        assert b.error == pytest.approx(a.error, rel=0.1)
    assert "susceptibility" in chain.text()


def test_mistakes_with_derived_quantities() -> None:
    samples = gaussian_samples(50)
    for arguments in (("surprise",), ("susceptibility", "abs_m"), (max,)):
        with pytest.raises(OptionError, match="derived quantity"):
            samples.derived(*arguments)
    with pytest.raises(OptionError, match="finite values"), np.errstate(all="ignore"):
        samples.derived(lambda m: np.log(m - 10), "abs_m")
    with pytest.raises(OptionError, match="one real number for each configuration"):
        samples.expect(np.zeros(3))
    phi = sd.ScalarField("phi", sd.Lattice(2))
    for wrong in (sp.Symbol("unknown"), sp.Integer(3), 2.0):
        with pytest.raises(TheoryError, match="derived quantity a"):
            sd.Theory("t", fields=[phi], action=sd.Lattice(2).sum(phi**2), derived={"a": wrong})


@pytest.mark.parametrize("source", [(0.0, 0.0), (0.3, -0.2)])
def test_angle_of_the_magnetisation(source: tuple[float, float]) -> None:
    """Von Mises angles around −h pass whatever |M| is; those around +h do not."""
    rng = np.random.default_rng(5)
    radius = rng.gamma(4.0, size=20_000)
    h = np.array(source)
    size = float(np.hypot(*h))
    mean = -h / size if size else np.array([1.0, 0.0])
    x = (radius[:, None] * von_mises_fisher(rng, size * radius, mean))[:, :, None]
    program = sd.compile(complex_phi4(1), "torch").program
    flat = np.zeros(len(x))
    samples = sd.Samples(program, {}, x, flat, flat, flat.astype(int), flat.astype(bool), None)
    assert sd.angle_test(samples, source).p_value > 1e-4
    if size:
        assert sd.angle_test(samples, (-h[0], -h[1])).p_value < 1e-10
        assert sd.angle_test(samples).p_value < 1e-10
    with pytest.raises(OptionError, match="angle of M"):
        sd.angle_test(samples, bins=1)


# weights on larger lattices


def test_training_starts_from_a_smaller_lattice(tmp_path: Path) -> None:
    """At 8×8, weights trained at 4×4 are better than none, from a run or from its directory."""
    couplings = {"kappa": 0.25}
    trained = {"parameters": couplings, "steps": 80, "batch": 64, "learning_rate": 0.02, "flow": SMALL}
    small = brief(scalar_phi4(4, 4), tmp_path / "small", **trained)
    once = {"parameters": couplings, "flow": None}
    fresh = brief(scalar_phi4(8, 8), tmp_path / "fresh", parameters=couplings, flow=SMALL)
    given = brief(scalar_phi4(8, 8), tmp_path / "given", start_from=small, **once)
    read = brief(scalar_phi4(8, 8), tmp_path / "read", start_from=tmp_path / "small", **once)
    assert given.plan.flow == SMALL
    assert read.start_from == str(tmp_path / "small")
    a, b, c = (run.sample(1000) for run in (fresh, given, read))
    assert np.array_equal(b.x, c.x)
    assert b.ess > a.ess + 0.1
    for samples in (a, b):
        assert abs(samples.virial_z_score) < 5
    again = sd.load_run(tmp_path / "read", theory=scalar_phi4(8, 8))
    assert again.start_from == str(tmp_path / "small")
    assert np.array_equal(again.sample(10).x, read.sample(10).x)


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    small = brief(scalar_phi4(4, 4), tmp_path / "small")
    for theory, options in (
        (complex_phi4(4, 4), {"flow": None}),
        (scalar_phi4(4, 4, 4), {"flow": None}),
        (scalar_phi4(8, 8), {"flow": FlowSpec(layers=2, hidden=(12,))}),
    ):
        with pytest.raises(RunError, match="start_from"):
            brief(theory, tmp_path / "large", start_from=small, **options)
    with pytest.raises(RunError, match="run directory"):
        brief(scalar_phi4(8, 8), tmp_path / "large", start_from=tmp_path / "nothing")
    record = (tmp_path / "small" / "run.json").read_text(encoding="utf-8")
    for broken in (record.replace("configuration_shape", "shape"), record.replace('"kernel"', '"kernels"')):
        (tmp_path / "small" / "run.json").write_text(broken, encoding="utf-8")
        with pytest.raises(RunError, match="run directory"):
            brief(scalar_phi4(8, 8), tmp_path / "large", start_from=tmp_path / "small")
    assert not (tmp_path / "large").exists()


def test_command_line_on_other_lattices(tmp_path: Path) -> None:
    def run(*arguments: Any) -> Any:
        return CliRunner().invoke(app, [str(a) for a in arguments])

    few = ("--backend", "torch", "--steps", 2, "--batch", 8)
    first = run("train", "scalar_phi4@4x4", *few, "--directory", tmp_path / "a")
    assert first.exit_code == 0, first.output
    assert "susceptibility" in first.stdout
    second = run(
        "train", "scalar_phi4@6x6", *few, "--start-from", tmp_path / "a", "--directory", tmp_path / "b"
    )
    assert second.exit_code == 0, second.output
    assert run("sample", tmp_path / "b", "--count", 50).exit_code == 0
    assert sd.load_theory("on_model@2x2x4").configuration_shape == (3, 2, 2, 4)
    for wrong in ("scalar_phi4@4x", "scalar_phi4@0", "scalar_phi4@", "gaussian_mixture@4x4"):
        with pytest.raises(TheoryFileError, match=wrong):
            sd.load_theory(wrong)
