"""The flow that bisects a chain: its order, its Gaussian, the laws of flows, and chains that tunnel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp
from flow_pairs import TORCH, Weighted, check_pair, coloured_base, error, flow_pair, noise, run_torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

import sesamo_dsl as sd
from sesamo_dsl.errors import OptionError, RunError
from sesamo_dsl.flows.base import GaussianBase, Tail
from sesamo_dsl.flows.bisection import Bisection


@settings(suppress_health_check=[HealthCheck.too_slow])  # three integers are slow on a busy machine alone
@given(sites=st.integers(2, 70), components=st.integers(1, 3), neighbours=st.integers(1, 4))
def test_every_entry_is_drawn_once_from_entries_that_are_known(
    sites: int, components: int, neighbours: int
) -> None:
    """Each new site lies in an interval between known sites, and its network sees the ends of it."""
    bisection = Bisection.of(neighbours, components, sites)
    assert sorted(bisection.order) == list(range(components * sites))
    drawn = 0
    for level in bisection.levels:
        assert np.array_equal(bisection.order[drawn : drawn + len(level.entries)], level.entries)
        assert level.inputs.max(initial=-1) < drawn
        drawn += len(level.entries)
    for level in bisection.levels[components:]:
        for entry, seen in zip(level.entries, bisection.order[level.inputs].T, strict=True):
            assert len(set(seen)) == len(seen)
            elsewhere = seen[seen % sites != entry % sites]
            behind, ahead = ((entry - elsewhere) % sites).min(), ((elsewhere - entry) % sites).min()
            assert abs(behind - ahead) <= 1
    if neighbours == 1:  # intervals of a level have at most two lengths
        assert len(bisection.levels) <= 2 * components * (1 + np.ceil(np.log2(sites)))


@pytest.mark.parametrize(("sites", "components"), [(2, 1), (7, 1), (16, 2), (12, 1)])
def test_a_new_flow_on_a_chain_with_neighbours_is_its_base(sites: int, components: int) -> None:
    """The Gaussian of a nearest-neighbour action is a Markov chain, which the order can represent."""
    rng = np.random.default_rng(3)
    root = rng.normal(size=(components, components))
    local, hop = np.eye(components) * 0.4 + root @ root.T, 0.7 * np.eye(components)
    k = 2 * np.pi * np.arange(sites) / sites
    precision = local + (2 - 2 * np.cos(k))[:, None, None] * hop
    base = GaussianBase.from_precision(rng.normal(size=components), precision.astype(complex))
    spec = sd.BisectionSpec(hidden=(4,), bound=40.0)
    x, log_q = run_torch(Weighted(TORCH, spec, base).forward, noise(components, (sites,)))
    block = np.fft.ifft(np.linalg.inv(precision), axis=0).real
    covariance = np.block([[block[(i - j) % sites] for j in range(sites)] for i in range(sites)])
    exact: Any = multivariate_normal(np.tile(base.mean, sites), covariance)  # pyright: ignore[reportArgumentType]
    assert error(log_q, exact.logpdf(x.transpose(0, 2, 1).reshape(len(x), -1))) < 1e-9


@pytest.mark.parametrize("neighbours", [1, 3])
@pytest.mark.parametrize(("components", "sites"), [(1, 2), (1, 9), (2, 8), (3, 5)])
def test_inverse_density_and_agreement(components: int, sites: int, neighbours: int) -> None:
    spec = sd.BisectionSpec(hidden=(6,), bins=4, bound=3.0, neighbours=neighbours)
    check_pair(*flow_pair(spec, coloured_base(components, (sites,))), noise(components, (sites,)))


@pytest.mark.parametrize("tail", [Tail("student", 3.0), Tail("product", 4.0)])
def test_tails_come_after_the_bisection(tail: Tail) -> None:
    base = coloured_base(1, (6,))
    base = GaussianBase(base.mean, base.filter, base.log_det, tail=tail)
    check_pair(*flow_pair(sd.BisectionSpec(hidden=(5,), bins=3), base, size=0.02), noise(1, (6,)))


def double_well(slices: int) -> sd.Theory:
    """A path in a tilted double well, whose paths tunnel."""
    time = sd.Lattice(slices)
    x = sd.ScalarField("x", time)
    a = sp.Rational(1, 2)
    action = (x.shift(0) - x) ** 2 / (2 * a) + a * (x**2 - 2) ** 2 / 2 + x / 20
    return sd.Theory(
        "tunnelling",
        fields=[x],
        action=time.sum(action),
        symmetries=[sd.Z2(x)],
        observables={"x2": time.sum(x**2) / slices},
    )


def test_a_path_that_tunnels() -> None:
    """log Z and ⟨x²⟩ of a transfer matrix, at an ESS that needs kinks; default options, 150 steps."""
    run = sd.compile(double_well(12), "torch").train(steps=150, check=False, progress=False, directory=False)
    samples = run.sample(10_000)

    grid = np.linspace(-5, 5, 801)  # the integrand is smooth and falls off like a Gaussian
    local = 0.25 * (grid**2 - 2) ** 2 + grid / 20
    hop = (grid[1] - grid[0]) * np.exp(-((grid[:, None] - grid) ** 2) - (local[:, None] + local) / 2)
    power = np.linalg.matrix_power(hop, 12)
    log_z = np.log(np.trace(power))
    squares = np.trace(grid[:, None] ** 2 * power) / np.trace(power)
    assert isinstance(run.plan.flow, sd.BisectionSpec)
    assert samples.ess > 0.8
    assert abs(samples.log_z.value - log_z) < 4 * samples.log_z.error
    found = samples.expect("x2")
    assert abs(found.value - squares) < 4 * found.error


def test_runs_keep_the_architecture_and_longer_chains_start_from_shorter_ones(tmp_path: Path) -> None:
    options: dict[str, Any] = {"steps": 5, "check": False, "progress": False}
    flow = sd.BisectionSpec(hidden=(8,), neighbours=1)
    short = sd.compile(double_well(8), "torch").train(directory=tmp_path / "short", flow=flow, **options)
    loaded = sd.load_run(tmp_path / "short")
    assert loaded.plan.flow == flow
    assert np.array_equal(loaded.sample(10).x, short.sample(10).x)
    longer = sd.compile(double_well(16), "torch").train(
        directory=False, start_from=short, **(options | {"steps": 1, "learning_rate": 1e-12})
    )
    before, after = short.model.state(), longer.model.state()
    shared = {name for name in before if name.startswith("flow.")} & set(after)
    assert {name.split(".")[2] for name in shared} >= {"first", "-1,1", "-2,2"}
    assert all(np.allclose(before[name], after[name], atol=1e-6) for name in shared)
    other = sd.BisectionSpec(hidden=(6,))
    with pytest.raises(RunError, match="start from a run of the same theory"):
        sd.compile(double_well(16), "torch").train(directory=False, start_from=short, flow=other, **options)

    record = json.loads((tmp_path / "short" / "run.json").read_text())
    record["options"]["flow"]["hidden"] = [80_000]
    (tmp_path / "short" / "run.json").write_text(json.dumps(record))
    with pytest.raises(RunError):
        sd.load_run(tmp_path / "short")


def test_several_flows_of_a_mixture_and_laws(tmp_path: Path) -> None:
    """A mixture of bisections has the density that its samples have."""
    run = sd.compile(double_well(6), "torch").train(
        directory=tmp_path / "run", flows=2, steps=3, check=False, progress=False
    )
    samples = sd.load_run(tmp_path / "run").sample(50)
    assert error(run.log_prob(samples.x), samples.log_q) < 1e-3


@pytest.mark.parametrize(
    "wrong", [{"hidden": (0,)}, {"neighbours": 0}, {"bins": 1}, {"bound": -1}, {"max_log_scale": "x"}]
)
def test_arguments_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=f"flow option {next(iter(wrong))}"):
        sd.BisectionSpec(**wrong)


def test_other_lattices_are_refused() -> None:
    square = sd.Lattice(4, 4)
    phi = sd.ScalarField("phi", square)
    theory = sd.Theory("square", fields=[phi], action=square.sum(phi**2))
    with pytest.raises(OptionError, match="lattice of one dimension"):
        sd.compile(theory, "torch").plan(flow=sd.BisectionSpec())


def flow_of(action: Any, *, sites: int = 8, symmetries: Any = ()) -> Any:
    """The default flow of a chain with an action of two real components."""
    phi = sd.ComplexField("phi", sd.Lattice(sites))
    theory = sd.Theory("chain", fields=[phi], action=action(phi), symmetries=list(symmetries(phi)))
    return sd.compile(theory, "torch").plan().flow


def none(_: Any) -> tuple[()]:
    return ()


@pytest.mark.parametrize(
    ("action", "markov"),
    [
        (lambda p: p.lattice.sum(p.abs2**2 - p.dot(p.shift(0))), True),
        (
            lambda p: 2 * (p.lattice.sum(p.abs2) + p.lattice.sum(p.abs2.subs(p.re, p.re - p.re.shift(0)))),
            True,
        ),
        (lambda p: p.lattice.sum(p.abs2 * 3 - p.dot(p.shift(0, -1)) / 2), True),
        (lambda p: p.lattice.sum(p.abs2 * 3 - p.dot(p.shift(0, 2)) / 2), False),
        (lambda p: p.lattice.sum(p.abs2 * 3 + (p.re.shift(0) - p.re.shift(0, -1)) ** 2), False),
        (lambda p: p.lattice.sum(p.abs2) + p.lattice.sum(p.re) ** 2, False),
    ],
)
def test_the_default_is_for_chains_of_neighbours(action: Any, markov: bool) -> None:
    assert isinstance(flow_of(action, symmetries=none), sd.BisectionSpec) == markov


def test_a_slice_of_a_lie_group_couples_all_sites() -> None:
    def action(p: Any) -> Any:
        return p.lattice.sum(p.abs2**2 - p.dot(p.shift(0)))

    assert isinstance(flow_of(action, symmetries=lambda p: [sd.U1(p)]), sd.FlowSpec)
    assert isinstance(flow_of(action, symmetries=lambda p: [sd.Z2(p)]), sd.BisectionSpec)
