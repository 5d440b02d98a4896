"""The conditional law of blocks that S₁ couples: one block drawn given those before, never a table."""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp
import torch

import sesamo_dsl as sd
import support
from sesamo_dsl.errors import OptionError
from sesamo_dsl.groups import Dihedral
from sesamo_dsl.ir import sectors
from sesamo_dsl.laws.autoregressive import AutoregressiveSpec, Together
from sesamo_dsl.plan.base import make_base
from sesamo_dsl.plan.decide import decide, notes_on
from sesamo_dsl.plan.options import TrainingOptions
from support import untrained

Array = np.ndarray[Any, Any]
NAMES = ("torch", "jax")
SMALL = sd.FlowSpec(layers=2, hidden=(6,), kernel=3, transform="affine")
every_backend = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(autouse=True)
def no_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups that could be enumerated are treated as those that cannot."""
    monkeypatch.setattr(sectors, "_JOINT", 1)


def wells(sites: int, h: float = 0.0) -> sd.Theory:
    """A periodic chain of double wells, N(±w, 1), that want opposite signs; a source breaks even that."""
    line = sd.Lattice(sites)
    phi, (w, k, source) = sd.ScalarField("phi", line), sd.parameters("w k h")
    density = phi**2 / 2 - sp.log(sp.cosh(w * phi)) + k * phi * phi.shift(0)
    return sd.Theory(
        "wells",
        fields=[phi],
        action=line.sum(density + source * phi if h else density),
        symmetries=[sd.Sitewise(sd.Z2(phi))],
        defaults={w: 3, k: 0.1, source: h} if h else {w: 3, k: 0.1},
        precision="float64",
    )


def pairs_of_components() -> sd.Theory:
    """D₄ at each of three blocks of two sites; not abelian, and 512 sectors."""
    lattice = sd.Lattice(3, 2)
    v, g = sd.VectorField("v", lattice, 2), sd.parameters("g")
    return sd.Theory(
        "pairs",
        fields=[v],
        action=lattice.sum(v.squared**2 / 4 + v[0] ** 2 * v[1] ** 2 - g * v.dot(v.shift(0))),
        symmetries=[sd.Sitewise(Dihedral(4, v), axes=(0,))],
        defaults={g: 0.3},
        precision="float64",
    )


def rows(h: float) -> sd.Theory:
    """Two sites and three time slices, each of which may turn; only a source tells up from down."""
    lattice = sd.Lattice(3, 2)
    phi, (k, j, source) = sd.ScalarField("phi", lattice), sd.parameters("k j h")
    wells_ = phi**2 / 2 - sp.log(sp.cosh(2 * phi))
    density = wells_ - k * phi * phi.shift(0) + j * phi * phi.shift(1)
    return sd.Theory(
        "rows",
        fields=[phi],
        action=lattice.sum(density + source * phi if h else density),
        symmetries=[sd.Sitewise(sd.Z2(phi), axes=(0, 1))],
        defaults={k: 0.3, j: 0.1, source: h} if h else {k: 0.3, j: 0.1},
        precision="float64",
    )


THEORIES = {f"(Z₂)^{n}": (lambda n=n: wells(n)) for n in (3, 5, 7)}
THEORIES |= {"(Z₂)^4 with a source": lambda: wells(4, 0.2), "(D₄)^3": pairs_of_components}
THEORIES |= {"(Z₂)^(3×2)": lambda: rows(0.0), "(Z₂)^(3×2) with a source": lambda: rows(0.2)}
ALIKE = (
    "(Z₂)^3",
    "(Z₂)^5",
    "(Z₂)^7",
    "(D₄)^3",
    "(Z₂)^(3×2)",
)  # where turning all blocks together is a symmetry


@cache
def compiled(theory: str, name: str) -> sd.CompiledTheory:
    return sd.compile(THEORIES[theory](), name)


def fresh(theory: str, name: str, **options: Any) -> Any:
    """A model far from its start, with the same weights on every backend."""
    model = untrained(compiled(theory, name), **{"flow": SMALL, "strategy": "penalty", **options})
    return support.shaken(model, size=lambda key: 0.5 if key.startswith("law") else 0.1)


def all_sectors(theory: str) -> Array:
    s = compiled(theory, "torch").program.sectors
    return np.array(list(itertools.product(range(s.order), repeat=s.n_blocks or 1)))


def in_domain(theory: str, count: int) -> Array:
    shape = compiled(theory, "torch").theory.configuration_shape
    x = np.random.default_rng(1).normal(size=(count, *shape))
    return compiled(theory, "torch").evaluate("canonicalize", x)[0]


@cache
def shaken(theory: str, name: str, law: str) -> Any:
    return fresh(theory, name, law=law)


def log_law(theory: str, y: Array, u: Array) -> Array:
    """log p(u|y) as log q(x) with this law over log q(x) with the uniform one, whose flow is the same."""
    program = compiled(theory, "torch")
    x = program.evaluate("modulate", y, u=u)[0]
    assert np.array_equal(program.evaluate("canonicalize", x)[1], u)
    uniform = len(all_sectors(theory))
    difference = shaken(theory, "torch", "conditional").log_prob(x) - shaken(
        theory, "torch", "uniform"
    ).log_prob(x)
    return difference - np.log(uniform)


@pytest.mark.parametrize("theory", THEORIES)
def test_it_is_normalised(theory: str) -> None:
    u = all_sectors(theory)
    for y in in_domain(theory, 3):
        log_p = log_law(theory, np.broadcast_to(y, (len(u), *y.shape)), u)
        assert abs(np.exp(log_p).sum() - 1) < 1e-12
        assert np.ptp(log_p) > 0.5, "the law is no test"


@pytest.mark.parametrize("theory", ALIKE)
def test_blocks_turned_together_are_equally_likely(theory: str) -> None:
    """For any weights, by the group's own product: S(T_h x) = S(x)."""
    table, u = compiled(theory, "torch").analysis.group.table, all_sectors(theory)
    (y,) = in_domain(theory, 1)
    y = np.broadcast_to(y, (len(u), *y.shape))
    log_p = log_law(theory, y, u)
    for h in range(1, len(table)):
        assert np.abs(log_law(theory, y, table[h][u]) - log_p).max() < 1e-12


@pytest.mark.parametrize("theory", ["(Z₂)^4 with a source", "(D₄)^3", "(Z₂)^(3×2)"])
def test_both_backends_have_the_same_law(theory: str) -> None:
    """Equal log q, and equal u drawn with the same numbers."""
    y, rng = in_domain(theory, 60), np.random.default_rng(2)
    u = all_sectors(theory)[rng.integers(len(all_sectors(theory)), size=60)]
    x = compiled(theory, "torch").evaluate("modulate", y, u=u)[0]
    ours, theirs = (shaken(theory, name, "conditional") for name in NAMES)
    assert np.abs(ours.log_prob(x) - theirs.log_prob(x)).max() < 1e-12
    if theory == "(Z₂)^4 with a source":
        y, uniform = in_domain(theory, 1000), rng.random((1000, 5))
        drawn = drawn_by(ours, torch.tensor(y), torch.tensor(uniform)).numpy()
        assert len(np.unique(drawn, axis=0)) > 5
        with jax.enable_x64(True):
            again = jax.jit(lambda y, uniform: drawn_by(theirs, y, uniform))(y, uniform)
        assert np.array_equal(drawn, again)


@pytest.mark.parametrize("theory", ["(Z₂)^3", "(Z₂)^4 with a source", "(D₄)^3"])
def test_what_is_drawn_is_what_it_says(theory: str) -> None:
    """Whole samples: log q is that of log_prob, and frequencies of u follow p(u|y), averaged over y."""
    count = 8000
    model, program = shaken(theory, "torch", "conditional"), compiled(theory, "torch")
    draws = model.sample(count, 5)
    inside = ~draws.leaked
    assert inside.sum() > count / 20
    assert np.abs(model.log_prob(draws.x) - draws.log_q)[inside].max() < 1e-9
    sectors_ = program.program.sectors
    y, u = program.evaluate("canonicalize", draws.x[inside])
    drawn = sectors_.index(u)
    choices = all_sectors(theory)
    tested = np.random.default_rng(0).permutation(len(choices))[:16]
    for chosen in tested:
        p = np.exp(log_law(theory, y, np.broadcast_to(choices[chosen], u.shape)))
        error = np.sqrt((p * (1 - p)).sum())
        assert abs((drawn == sectors_.index(choices[chosen][None])[0]).sum() - p.sum()) < 4.5 * error + 3


def test_one_block_is_drawn_at_its_conditional() -> None:
    """Many u at one y: every frequency within 5 σ of p(u|y)."""
    theory, count = "(Z₂)^4 with a source", 40_000
    model, (y,) = shaken(theory, "torch", "conditional"), in_domain(theory, 1)
    uniform = np.random.default_rng(4).random((count, 5))
    u = drawn_by(model, torch.tensor(y).expand(count, *y.shape), torch.tensor(uniform)).numpy()
    choices = all_sectors(theory)
    p = np.exp(log_law(theory, np.broadcast_to(y, (len(choices), *y.shape)), choices))
    found = np.bincount(u @ 2 ** np.arange(3, -1, -1), minlength=len(choices)) / count
    assert (np.abs(found - p) < 5 * np.sqrt(p * (1 - p) / count) + 3 / count).all()


def drawn_by(model: Any, y: Any, uniform: Any) -> Any:
    """The u of every y, of arrays of the backend."""
    sampler, weights = model.sampler, model.weights
    choice = sampler.law.sample_and_log_prob(weights, y, uniform)[0]
    relative = sampler.group.modulate(y, choice)[0]
    return sampler.law.turn_rows(relative, choice, uniform)[0]


def test_rows_turn_together() -> None:
    """What the chain leaves to the heat bath: the slices; without a source each stands for both signs."""
    expected = {"(Z₂)^(3×2)": (4, 2), "(Z₂)^(3×2) with a source": (8, 1), "(D₄)^3": (1, 8)}
    expected |= {"(Z₂)^5": (1, 2), "(Z₂)^4 with a source": (2, 1)}
    for theory, (summed, shared) in expected.items():
        analysis = compiled(theory, "torch").analysis
        together = Together.of(analysis)
        assert together is not None
        assert (len(together.summed), together.shared) == (summed, shared)
        assert len(np.unique(together.elements, axis=0)) == summed * shared
        assert not together.summed[0].any()
    slices = Together.of(compiled("(Z₂)^(3×2)", "torch").analysis)
    assert slices is not None
    assert (slices.elements[:, ::2] == slices.elements[:, 1::2]).all()


@pytest.mark.parametrize("theory", ["(Z₂)^(3×2)", "(Z₂)^(3×2) with a source", "(Z₂)^4 with a source"])
def test_rows_are_turned_by_the_heat_bath(theory: str) -> None:
    """Whatever the weights: p(hu|y) / p(u|y) = exp(S(T_u y) − S(T_hu y))."""
    program, u = compiled(theory, "torch"), all_sectors(theory)
    (y,) = in_domain(theory, 1)
    y = np.broadcast_to(y, (len(u), *y.shape))
    together, table = Together.of(program.analysis), program.analysis.group.table
    assert together is not None

    def both(u: Array) -> Array:
        return log_law(theory, y, u) + program.action(program.evaluate("modulate", y, u=u)[0])

    for h in together.elements[1:]:
        assert np.abs(both(table[h, u]) - both(u)).max() < 1e-10


@every_backend
def test_state_round_trip(name: str) -> None:
    theory = "(Z₂)^5"
    model, x = shaken(theory, name, "conditional"), in_domain(theory, 20)
    state = model.state()
    assert state["law.coupling"].shape == (2, 2, 5, 2, 5)
    other = fresh(theory, name, seed=7)
    assert np.abs(other.log_prob(x) - model.log_prob(x)).max() > 1e-3
    other.load_state(state)
    assert np.array_equal(other.log_prob(x), model.log_prob(x))


# the gradient


@cache
def grid(h: float, half: float = 9.0, points: int = 40) -> tuple[Array, Array, Array]:
    """Gauss–Legendre nodes on quadrants, whose ends are the walls, the action there, log of the weights."""
    nodes, weights = np.polynomial.legendre.leggauss(points)
    axis = np.concatenate([(nodes - 1) * half / 2, (nodes + 1) * half / 2])
    along = np.tile(weights * half / 2, 2)
    x = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 1, 2)
    return x, two_wells(h, "torch").action(x), np.log(np.outer(along, along).ravel())


@cache
def two_wells(h: float, name: str) -> sd.CompiledTheory:
    return sd.compile(wells(2, h), name)


def away_from_its_start(h: float, name: str, **options: Any) -> Any:
    program = two_wells(h, name)
    options = {"flow": SMALL, "strategy": "chart", "gradient": "path", **options}
    chosen = decide(TrainingOptions(**options), program.analysis)
    assert (chosen.law, chosen.law_gradient) == ("conditional", "reinforce")
    model = untrained(program, **options)
    return support.shaken(model, size=0.3, chosen=lambda key: key.startswith("law"))


@pytest.mark.parametrize("h", [0.0, 0.3])
def test_the_gradient_is_unbiased(h: float) -> None:
    """Against a finite difference of ∫ q (log q + S), in a random direction of the law's weights."""
    steps = 40 if h else 25
    model = away_from_its_start(h, "torch", batch=1024)
    rng, start = np.random.default_rng(4), model.state()
    x, action, log_cell = grid(h)
    direction = {k: rng.normal(size=v.shape) for k, v in sorted(start.items()) if k.startswith("law")}

    def objective(t: float) -> float:
        model.load_state({k: v + t * direction[k] if k in direction else v for k, v in start.items()})
        log_q = model.log_prob(x)
        q = np.exp(log_q + log_cell)
        assert abs(q.sum() - 1) < 1e-4
        return float((q * (log_q + action)).sum())

    step = 1e-5
    exact = (objective(step) - objective(-step)) / (2 * step)
    model.load_state(start)
    slopes = [model.gradient(n) for n in range(steps)]
    estimates = np.array([sum(float((slope[k] * d).sum()) for k, d in direction.items()) for slope in slopes])
    error = estimates.std(ddof=1) / np.sqrt(steps)
    assert abs(estimates.mean() - exact) < 4.5 * error + 1e-5
    assert abs(exact) > 10 * error, "no test"


def test_both_backends_have_the_same_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the same noise."""
    options = {
        "flow": sd.FlowSpec(layers=1, hidden=(6,), transform="affine"),
        "strategy": "penalty",
        "batch": 64,
    }
    ours, theirs = (away_from_its_start(0.3, name, **options) for name in NAMES)

    def noise(*seeds: int) -> Any:
        return jax.tree.map(lambda a: jnp.asarray(a.numpy()), ours._noise(*seeds))

    monkeypatch.setattr(theirs, "_noise", noise)
    for step in range(3):
        first, second = ours.gradient(step), theirs.gradient(step)
        assert set(first) == set(second)
        for key, value in first.items():
            assert np.abs(value - second[key]).max() < 1e-9, key


# choice and training


def test_it_is_the_default_where_blocks_are_coupled(monkeypatch: pytest.MonkeyPatch) -> None:
    analysis = compiled("(Z₂)^7", "torch").analysis
    chosen = decide(TrainingOptions(), analysis)
    assert (chosen.law, chosen.law_gradient) == ("conditional", "reinforce")
    assert any("one block is drawn given those before" in reason for reason in chosen.reasons)
    assert any("as good as its training" in note for note in notes_on(chosen, analysis))
    assert "the law of u is learned" in analysis.text()
    for option in ({"law": "heat_bath"}, {"law_gradient": "enumerate"}):
        with pytest.raises(OptionError, match="couples 7 blocks"):
            decide(TrainingOptions(**option), analysis)
    monkeypatch.setattr(sectors, "_JOINT", 128)
    chosen = decide(TrainingOptions(), analysis)
    assert (chosen.law, chosen.law_gradient) == ("heat_bath", "enumerate")
    assert "the heat bath over all sectors, which is exact" in analysis.text()


def test_a_table_over_blocks_keeps_what_survives(monkeypatch: pytest.MonkeyPatch) -> None:
    """The joint conditional law of few coupled blocks: u and hu are equally likely there, too."""
    monkeypatch.setattr(sectors, "_JOINT", 128)
    model, x = fresh("(Z₂)^5", "torch", law="conditional"), in_domain("(Z₂)^5", 50)
    assert np.abs(model.log_prob(x) - model.log_prob(-x)).max() < 1e-12
    flipped = x * np.array([-1, 1, 1, 1, 1])
    assert np.abs(model.log_prob(x) - model.log_prob(flipped)).max() > 1e-2


def test_it_starts_from_the_couplings_of_pairs() -> None:
    """Near the wells S₁ = k Σ s_x s_(x+1) |φ_x φ_(x+1)|: −k on bonds and nothing elsewhere."""
    program = compiled("(Z₂)^5", "torch")
    values, options = program.theory.parameter_values(None), TrainingOptions()
    base = make_base(program.program, values, options)
    spec = AutoregressiveSpec.of(program.program, program.analysis, base, "penalty", values)
    bonds = {(1, 0), (2, 1), (3, 2), (4, 3), (4, 0)}
    expected = np.zeros((5, 5))
    expected[tuple(np.transpose(list(bonds)))] = -0.1 * spec.size**2
    signs = np.array([1, -1])
    assert np.abs(spec.pairs - np.einsum("a,xy,b->axby", signs, expected, signs)).max() < 1e-10
    assert np.abs(spec.mask[:, 0] - np.tril(np.ones((5, 5)), -1)).max() == 0


@pytest.mark.long
def test_training_learns_correlated_sectors(tmp_path: Path) -> None:
    """Six wells of alternating sign: a product law misses what neighbours know of each other."""
    program = sd.compile(wells(6), "torch")
    flow = sd.FlowSpec(layers=2, hidden=(16,), kernel=3, transform="spline")
    ess = {}
    for law in ("conditional", "learned"):
        run = program.train(
            directory=tmp_path / law, progress=False, steps=120, law=law, strategy="chart", flow=flow
        )
        ess[law] = run.sample(8000, seed=1).ess
    assert ess["conditional"] > 0.9
    assert ess["learned"] < 0.4
