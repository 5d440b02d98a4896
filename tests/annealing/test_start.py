"""The start density: linear maps, normalisation, gradients, and that it is wide where it has to be."""

from __future__ import annotations

from collections.abc import Callable

import networkx as nx
import numpy as np
import pytest
import sympy as sp
from scipy.stats import kstest

import sesamo_dsl as sd
from sesamo_dsl.annealing.fit import fit_mixture
from sesamo_dsl.annealing.start import Family, MixtureDensity, Shape, StartDensity
from sesamo_dsl.annealing.start_of_theory import refined, start_density
from sesamo_dsl.backend import load_backend
from sesamo_dsl.markov import whitening as whitening_module
from sesamo_dsl.markov.whitening import LinearMaps, Whitening, real_waves
from sesamo_dsl.stages.lower import lower_theory
from sesamo_theories.complex_phi4 import complex_phi4
from sesamo_theories.hubbard import hubbard

RNG = np.random.default_rng(0)
ARRAYS = load_backend("torch").arrays()  # what is tested here is the same on all backends


def on(values: np.ndarray):
    return ARRAYS.constant(values, "float64")


def precision_of_waves(shape: tuple[int, ...]) -> np.ndarray:
    """Random blocks, alike for all waves that reflections relate."""
    c, lattice = shape[0], shape[1:]
    grid = np.indices(lattice)
    folded = [np.minimum(k, n - k) for k, n in zip(grid, lattice, strict=True)]
    number = np.ravel_multi_index([f.reshape(-1) for f in folded], lattice)
    roots = RNG.normal(size=(int(np.prod(lattice)), c, c))
    return (roots @ np.swapaxes(roots, 1, 2) + 0.5 * np.eye(c))[number]


@pytest.mark.parametrize("extent", [1, 2, 3, 8])
def test_real_waves_are_orthogonal_and_symmetric(extent: int) -> None:
    f = real_waves(extent)
    np.testing.assert_allclose(f @ f, np.eye(extent), atol=1e-14)
    np.testing.assert_allclose(f, f.T, atol=1e-14)


@pytest.fixture(params=["one matrix", "axis by axis"])
def _either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps of waves as they are in few variables, and as they are in many."""
    if request.param == "axis by axis":
        monkeypatch.setattr(whitening_module, "_SMALL", 0)


@pytest.mark.usefixtures("_either_way")
@pytest.mark.parametrize("shape", [(1, 4), (2, 3, 4), (2, 5), (3, 2, 2, 3)])
def test_a_whitening_of_waves_is_the_precision_by_fourier_transform(shape: tuple[int, ...]) -> None:
    blocks = precision_of_waves(shape)
    maps = LinearMaps(ARRAYS, Whitening.of_waves(blocks, shape), shape)
    x = RNG.normal(size=(3, *shape))
    axes = tuple(range(2, 1 + len(shape)))
    waves = np.fft.fftn(x, axes=axes, norm="ortho").reshape(3, shape[0], -1)
    expected = np.einsum("nak,kab,nbk->n", waves.conj(), blocks, waves).real
    z = maps.whiten(on(x))
    np.testing.assert_allclose((ARRAYS.to_numpy(z) ** 2).sum(axis=1), expected, rtol=1e-12)


@pytest.mark.usefixtures("_either_way")
@pytest.mark.parametrize("dense", [False, True])
def test_the_four_maps_of_a_whitening_fit_together(dense: bool) -> None:
    shape = (2, 3, 4)
    if dense:
        root = RNG.normal(size=(24, 24))
        whitening = Whitening.dense(root @ root.T + np.eye(24))
    else:
        whitening = Whitening.of_waves(precision_of_waves(shape), shape)
    maps = LinearMaps(ARRAYS, whitening, shape)
    x, z = RNG.normal(size=(5, *shape)), RNG.normal(size=(5, 24))
    back = ARRAYS.to_numpy(maps.spread(maps.whiten(on(x))))
    np.testing.assert_allclose(back, x, atol=1e-10)
    inner = (ARRAYS.to_numpy(maps.whiten(on(x))) * z).sum(axis=1)
    np.testing.assert_allclose(inner, (ARRAYS.to_numpy(maps.push(on(z))) * x).sum(axis=(1, 2, 3)), rtol=1e-9)
    inner = (ARRAYS.to_numpy(maps.spread(on(z))) * x).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(inner, (ARRAYS.to_numpy(maps.pull_back(on(x))) * z).sum(axis=1), rtol=1e-9)
    columns = ARRAYS.to_numpy(maps.whiten(on(np.eye(24).reshape(24, *shape))))
    assert np.linalg.slogdet(columns)[1] == pytest.approx(whitening.log_det)


def mixture(dimension: int, shapes: tuple[Shape, ...] = ("normal", "student", "product")) -> StartDensity:
    families = []
    for number, shape in enumerate(shapes):
        root = RNG.normal(size=(dimension, dimension)) / 2
        centres = 2 * RNG.normal(size=(number + 1, dimension, 1))
        weights = np.full(number + 1, -np.log(len(shapes) * (number + 1)))
        whitening = Whitening.dense(root @ root.T + np.eye(dimension))
        families.append(Family(whitening, centres, weights, shape, np.inf if shape == "normal" else 3.0))
    return StartDensity((dimension, 1), tuple(families), Whitening.dense(np.eye(dimension)))


def log_density(start: StartDensity) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    bound = MixtureDensity(ARRAYS, start)
    return lambda x: tuple(ARRAYS.to_numpy(part) for part in bound(on(np.asarray(x))))  # pyright: ignore


@pytest.mark.parametrize("shape", ["normal", "student", "product"])
def test_each_part_is_normalised(shape: Shape) -> None:
    one = log_density(mixture(1, (shape,)))
    two = log_density(mixture(2, (shape,)))
    angles = np.pi * ((np.arange(2000) + 0.5) / 2000 - 0.5)  # x = tan of these, the midpoint rule
    x, measure = np.tan(angles), np.pi / 2000 / np.cos(angles) ** 2
    assert np.exp(one(x.reshape(-1, 1, 1))[0]) @ measure == pytest.approx(1, abs=1e-6)
    grid = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1).reshape(-1, 2, 1)
    assert np.exp(two(grid)[0]) @ np.outer(measure, measure).reshape(-1) == pytest.approx(1, abs=1e-4)


def test_the_gradient_is_that_of_the_logarithm() -> None:
    density = log_density(mixture(3))
    x, step = 2 * RNG.normal(size=(7, 3, 1)), 1e-6
    slopes = density(x)[1]
    for axis in range(3):
        shift = step * np.eye(3)[axis].reshape(1, 3, 1)
        differences = (density(x + shift)[0] - density(x - shift)[0]) / (2 * step)
        np.testing.assert_allclose(slopes[:, axis, 0], differences, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("shape", ["normal", "student", "product"])
def test_draws_have_the_density(shape: Shape) -> None:
    start = mixture(1, (shape, "normal"))
    x = ARRAYS.to_numpy(start.draw(ARRAYS, np.random.default_rng(1), 4000)).reshape(-1)
    density = log_density(start)
    grid = np.linspace(-400, 400, 400_001)
    cumulative = np.cumsum(np.exp(density(grid.reshape(-1, 1, 1))[0])) * (grid[1] - grid[0])
    assert kstest(x, lambda v: np.interp(v, grid, cumulative)).pvalue > 1e-4


def program_of(theory: sd.Theory):
    compiled = sd.compile(theory, "torch")
    return compiled.program, compiled.parameter_values()


def line(action: Callable[[sp.Expr], sp.Expr], **more) -> sd.Theory:
    v = sd.VectorField("v", sd.Lattice(1), 1)
    return sd.Theory("line", fields=[v], action=action(v[0]), **more)


@pytest.mark.parametrize(
    ("action", "shape"),
    [
        (lambda x: x**4 - x**2, "normal"),
        (lambda x: sp.Abs(x), "student"),
        (lambda x: sp.log(1 + x**2), "student"),
        (lambda x: sp.sqrt(1 + x**2), "student"),
    ],
)
def test_tails_are_heavy_where_the_action_grows_slowly(action, shape: Shape) -> None:
    start = start_density(*program_of(line(action)))
    assert start.families[0].shape == shape
    x = np.array([10.0, 1e3, 1e5]).reshape(-1, 1, 1)
    s = sd.compile(line(action), "torch", precision="float64").action(x)
    log_w = -s - log_density(start)(x)[0]
    assert (log_w < 5).all()  # bounded weights, whatever the distance


def test_separate_logarithms_get_a_product_of_tails() -> None:
    v = sd.VectorField("v", sd.Lattice(1), 2)
    theory = sd.Theory("two", fields=[v], action=sp.log(1 + v[0] ** 2) + sp.log(1 + v[1] ** 2))
    program, values = program_of(theory)
    start = start_density(program, values)
    assert start.families[0].shape == "product"
    far = np.array([[1e4, 0], [0, 1e4], [1e4, 1e4], [1e2, 1e6]]).reshape(-1, 2, 1)
    s = sd.compile(theory, "torch", precision="float64").action(far)
    assert (-s - log_density(start)(far)[0] < 5).all()


def test_every_minimum_and_its_images_are_centres() -> None:
    v = sd.VectorField("v", sd.Lattice(1), 2)
    action = 4 * ((v[0] ** 2 - 1) ** 2 + (v[1] ** 2 - 4) ** 2)
    for symmetries in ([], [sd.Symmetry("flips", [{v[0]: -v[0]}, {v[1]: -v[1]}])]):
        start = start_density(
            *program_of(sd.Theory("four", fields=[v], action=action, symmetries=symmetries))
        )
        centres = np.concatenate([f.centres.reshape(-1, 2) for f in start.families])
        for corner in ([1, 2], [-1, 2], [1, -2], [-1, -2]):
            assert np.abs(centres - corner).max(axis=1).min() < 1e-3
        assert sum(np.exp(f.log_weights).sum() for f in start.families) == pytest.approx(1)


@pytest.mark.parametrize(
    "theory",
    [
        complex_phi4(4, 4),
        hubbard(nx.path_graph(2), 4),
        line(lambda x: x**4 - 2 * x**2),
        sd.load_theory("scalar_phi4@4x4"),
        sd.load_theory("on_model@3x3"),
    ],
    ids=lambda theory: theory.name,
)
def test_weights_have_sum_one_and_the_density_is_positive_at_its_draws(theory: sd.Theory) -> None:
    start = start_density(*program_of(theory))
    assert sum(np.exp(f.log_weights).sum() for f in start.families) == pytest.approx(1)
    x = ARRAYS.to_numpy(start.draw(ARRAYS, np.random.default_rng(2), 200))
    assert np.isfinite(log_density(start)(x)[0]).all()


def test_a_start_on_a_lattice_reaches_all_minima_at_every_site() -> None:
    lattice = sd.Lattice(16)
    phi = sd.ScalarField("phi", lattice)
    action = lattice.sum((phi - phi.shift(0)) ** 2 + 4 * (phi**2 - 1) ** 2 + phi / 10)
    start = start_density(*program_of(sd.Theory("chain", fields=[phi], action=action)))
    x = ARRAYS.to_numpy(start.draw(ARRAYS, np.random.default_rng(3), 4000))
    for minimum in (-1, 1):
        assert (np.abs(x.mean(axis=0) - minimum) < 2 * x.std(axis=0)).all()
        assert (np.abs(x - minimum) < 0.5).mean() > 0.05
    np.testing.assert_allclose(x.std(axis=0), x.std(), rtol=0.1)  # alike at all sites


def test_refining_finds_the_arms_of_a_curved_valley() -> None:
    v = sd.VectorField("v", sd.Lattice(1), 2)
    theory = sd.Theory("banana", fields=[v], action=v[0] ** 2 / 2 + 5 * (v[1] - v[0] ** 2) ** 2)
    program, values = program_of(theory)
    start = start_density(program, values)
    along = RNG.normal(size=2000)
    walkers = np.stack([along, along**2 + RNG.normal(size=2000) / np.sqrt(10)], axis=1).reshape(-1, 2, 1)
    fitted = refined(start, program, ARRAYS, walkers, np.full(2000, 1 / 2000))
    assert sum(np.exp(f.log_weights).sum() for f in fitted.families) == pytest.approx(1)
    arm = np.array([[[2.5], [6.25]], [[-2.5], [6.25]]])
    assert (log_density(fitted)(arm)[0] > log_density(start)(arm)[0] + 1).all()
    assert refined(start, program, ARRAYS, walkers[:5], np.full(5, 0.2)) is start  # five walkers say nothing


def test_a_fitted_mixture_finds_separate_clusters() -> None:
    centres = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 20.0]])
    which = RNG.choice(3, size=3000, p=[0.5, 0.3, 0.2])
    parts = fit_mixture(centres[which] + RNG.normal(size=(3000, 2)), np.full(3000, 1 / 3000), 3, RNG)
    for centre, share in zip(centres, (0.5, 0.3, 0.2), strict=True):
        near = [p for p in parts if np.abs(p.mean - centre).max() < 0.2]
        assert len(near) == 1
        assert near[0].weight == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("soft", [1e-3, 1e-5, 1e-8])
def test_a_valley_much_longer_than_wide_has_its_own_widths(soft: float) -> None:
    x, y = (sd.ScalarField(name, sd.Lattice(1)) for name in "xy")
    stiff = 5000
    action = stiff * (x - y) ** 2 + sp.Rational(soft) * (x + y) ** 2
    theory = sd.Theory("valley", fields=[x, y], action=action)
    root = start_density(lower_theory(sd.analyse(theory)), {}).families[0].whitening.roots[0]
    widths = np.sort(1 / np.linalg.svd(root)[1])
    expected = 1.5 / np.sqrt(4 * np.array([stiff, soft]))  # as S = 2 · stiff t² + 2 · soft s² along both axes
    assert widths == pytest.approx(expected, rel=1e-3)


def test_a_precision_that_rounding_has_spoilt_is_still_a_map() -> None:
    spoilt = np.diag([1e12, 1.0, -1e-6])
    maps = Whitening.dense(spoilt)
    assert np.isfinite(maps.log_det)
    assert (maps.roots[0].T @ maps.roots[0])[:2, :2] == pytest.approx(spoilt[:2, :2], rel=1e-12)
