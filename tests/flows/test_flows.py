"""Coupling flows: the laws that every flow obeys, and that the two backends agree on every one of them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flow_pairs import (
    JAX,
    TORCH,
    Array,
    Weighted,
    check_pair,
    coloured_base,
    error,
    flow_pair,
    noise,
    run_torch,
)
from zuko.transforms import MonotonicRQSTransform

from sesamo_dsl.errors import ConfigurationError, OptionError
from sesamo_dsl.flows.base import GaussianBase, Tail, TailShape
from sesamo_dsl.flows.couplings import coupling, frozen_mask
from sesamo_dsl.flows.spec import FlowSpec, Transform
from sesamo_dsl.flows.zero_mode import ZeroMode
from sesamo_dsl.plan.bases import added_curvature
from sesamo_dsl.sampler import Arrays
from sesamo_dsl.sampler.base_arrays import BaseArrays
from sesamo_dsl.sampler.coupling_flow import CouplingFlow, CouplingFlows
from sesamo_dsl.sampler.couplings import ZeroModeLayer
from sesamo_dsl.sampler.elementwise import spline
from sesamo_dsl.values.node_order import NodeOrder

GEOMETRIES = [
    (1, (1,)),
    (2, (1,)),
    (1, (8,)),
    (1, (4, 6)),
    (2, (4, 4)),
    (3, (2, 4)),
    (1, (3, 3)),
    (2, (3, 3)),
    (1, (1, 5)),
    (1, (2, 2, 2)),
    (1, (2, 2, 2, 2)),
]


def small_spec(transform: Any = "affine", **changes: Any) -> FlowSpec:
    return FlowSpec(
        **{"layers": 3, "hidden": (6,), "transform": transform, "bins": 4, "bound": 3.0} | changes
    )


@pytest.mark.parametrize("transform", ["affine", "spline"])
@pytest.mark.parametrize(("components", "shape"), GEOMETRIES)
def test_inverse_density_and_agreement(components: int, shape: tuple[int, ...], transform: str) -> None:
    check_pair(*flow_pair(small_spec(transform), coloured_base(components, shape)), noise(components, shape))


@pytest.mark.parametrize("transform", ["affine", "spline"])
def test_single_precision_agreement(transform: Transform) -> None:
    spec = FlowSpec(layers=4, hidden=(8,), transform=transform)
    ours, theirs = flow_pair(spec, coloured_base(1, (4, 4)), single=True, size=0.1)
    z = noise(1, (4, 4)).astype(np.float32)
    x, log_q = run_torch(ours.forward, z)
    image, density = theirs.forward(jnp.asarray(z))
    assert (image.dtype, x.dtype) == (jnp.float32, np.float32)
    assert error(image, x) < 1e-5 * np.abs(x).max()
    assert error(density, log_q) < 1e-5 * np.abs(log_q).max()


@pytest.mark.parametrize("shape", [(6, 4), (1, 4), (4,)])
def test_inverse_density_and_agreement_on_a_graph(shape: tuple[int, ...]) -> None:
    """On a ring of four nodes with time, with a single slice and without."""
    shells = tuple(((n,), ((n - 1) % 4, (n + 1) % 4), ((n + 2) % 4,)) for n in range(4))
    nodes = NodeOrder((0, 1, 0, 1), shells)
    base = GaussianBase.from_precision(np.zeros(1), 1.0 + np.zeros((*shape, 1, 1)), nodes)
    ours, theirs = flow_pair(small_spec(), base)
    has_layer = any(name.startswith("zero_mode") for name in ours.state)
    assert has_layer == (shape not in ((1, 4), (4,)))
    check_pair(ours, theirs, noise(1, shape))


@pytest.mark.parametrize(  # JAX compiles every operation anew for every size
    ("arrays", "sizes"),
    [(TORCH, (3, 3, 3)), (TORCH, (4, 1, 2)), (JAX, (3, 3, 3))],
    ids=["torch-equal", "torch-unequal", "jax-equal"],
)
def test_several_flows_at_once_are_what_each_of_them_is(arrays: Arrays, sizes: tuple[int, ...]) -> None:
    """Over bases with means, filters and tails of their own, on parts of a batch of unequal sizes."""
    spec, plain = small_spec(), coloured_base(2, (4, 4))
    tail = replace(plain, mean=plain.mean + 1.0, tail=Tail("student", 5.0))
    bases = [plain, tail, replace(plain, filter=2 * plain.filter, mean=plain.mean - 1.0)]
    prefixes = [f"{k}." for k in range(len(bases))]
    flows = CouplingFlows(arrays, spec, bases, "float64", prefixes)
    rng = np.random.default_rng(1)
    weights = {
        name: arrays.constant(value + rng.normal(size=value.shape) / 9, "float64")
        for name, value in flows.initial_state(3).items()
    }
    ends = np.cumsum(sizes)
    parts = [slice(int(end) - size, int(end)) for end, size in zip(ends, sizes, strict=True)]
    z = arrays.constant(np.random.default_rng(2).normal(size=(sum(sizes), 2, 4, 4)), "float64")
    x, log_q = flows.forward(weights, z, parts)
    back, again = flows.inverse(weights, x, parts)
    for base, prefix, part in zip(bases, prefixes, parts, strict=True):
        alone = CouplingFlow(arrays, spec, base, "float64", prefix)
        for found, expected in (
            ((x, log_q), alone.forward(weights, z[part])),
            ((back, again), alone.inverse(weights, x[part])),
        ):
            for ours, theirs in zip(found, expected, strict=True):
                expected_values = arrays.to_numpy(theirs)
                scale = 1 + np.abs(expected_values).max()
                assert np.abs(arrays.to_numpy(ours)[part] - expected_values).max() < 1e-13 * scale


def test_collective_layer_moves_the_mean_and_scales_the_rest() -> None:
    """The image of a mean does not depend on the fluctuations, and every mode keeps its phase."""
    base = coloured_base(2, (4, 6))
    spec = small_spec(layers=1)
    ours, _ = flow_pair(spec, base)
    tables = ZeroMode.of(spec, base)
    assert tables is not None
    layer = ZeroModeLayer(TORCH, spec, tables, "zero_mode.", "float64")
    numbers = BaseArrays.of(TORCH, base, "float64")
    z = noise(2, (4, 6))
    shifted = z[0].mean(axis=(1, 2), keepdims=True) + (z - z.mean(axis=(2, 3), keepdims=True))
    image, _ = run_torch(lambda field: layer(ours.weights, numbers, field, False), shifted)
    means = image.mean(axis=(2, 3))
    assert error(means, np.broadcast_to(means[:1], means.shape)) < 1e-12
    assert error(means[0], shifted[0].mean(axis=(1, 2))) > 1e-3
    ratio = np.fft.fftn(image, axes=(2, 3)) / np.fft.fftn(shifted, axes=(2, 3))
    ratio = ratio.reshape(4, 2, -1)[:, :, 1:]
    assert error(ratio.imag, 0 * ratio.imag) < 1e-10
    assert (ratio.real > 0).all()
    scales = ratio.real
    assert error(scales, np.broadcast_to(scales[:1], scales.shape)) < 1e-10  # all of them have the same mean
    assert np.ptp(scales) > 1e-2


def test_flow_without_the_zero_mode_layer() -> None:
    spec, base = small_spec(zero_mode=False), coloured_base(2, (4, 4))
    without, with_it = (Weighted(TORCH, s, base) for s in (spec, small_spec()))
    assert not any(name.startswith("zero_mode") for name in without.state)
    assert any(name.startswith("zero_mode") for name in with_it.state)


def test_linear_conditioner() -> None:
    ours, _ = flow_pair(small_spec(hidden=()), coloured_base(2, (4,)))
    z = noise(2, (4,))
    x, log_q = run_torch(ours.forward, z)
    back, log_q_back = run_torch(ours.inverse, x)
    assert max(error(back, z), error(log_q_back, log_q)) < 1e-11


@pytest.mark.parametrize(("components", "shape"), GEOMETRIES)
def test_new_flow_is_its_base(components: int, shape: tuple[int, ...]) -> None:
    base = coloured_base(components, shape)
    z = noise(components, shape)
    x, log_q = run_torch(Weighted(TORCH, small_spec(), base).forward, z)
    assert error(x, base.apply(z)) < 1e-12
    assert error(base.invert(x), z) < 1e-12
    gaussian = -0.5 * (z.reshape(4, -1) ** 2).sum(axis=1) - 0.5 * z[0].size * math.log(2 * math.pi)
    assert error(log_q, gaussian - base.log_det) < 1e-11


def test_base_has_the_covariance_it_was_given() -> None:
    """Against the dense precision matrix, built entry by entry from the momentum-space one."""
    shape, components = (3, 4), 2
    base = coloured_base(components, shape)
    size = components * math.prod(shape)
    jacobian = base.apply(np.eye(size).reshape(size, components, *shape)) - base.apply(
        np.zeros((1, components, *shape))
    )
    dense = jacobian.reshape(size, size).T
    precision = np.linalg.inv(dense @ dense.T)
    kernel = np.fft.ifftn(base.inverse_filter @ base.inverse_filter, axes=(0, 1)).real
    lookup = precision.reshape(components, *shape, components, *shape)
    for x in np.ndindex(shape):
        for y in np.ndindex(shape):
            step = tuple((a - b) % extent for a, b, extent in zip(x, y, shape, strict=True))
            assert error(lookup[(slice(None), *x, slice(None), *y)], kernel[step]) < 1e-10
    assert abs(base.log_det - np.linalg.slogdet(dense)[1]) < 1e-10
    assert error(base.scale, np.sqrt(np.diag(dense @ dense.T).reshape(components, -1)[:, 0])) < 1e-12
    assert error(GaussianBase.standard(2, shape).apply(np.ones((1, 2, *shape))), 1.0) < 1e-14


@pytest.mark.parametrize(("components", "shape"), GEOMETRIES)
def test_layers_alternate_between_complementary_classes(components: int, shape: tuple[int, ...]) -> None:
    first, second = frozen_mask(0, components, shape), frozen_mask(1, components, shape)
    if first.size == 1:
        assert not (first | second).any()
        return
    assert (first ^ second).all()
    assert 0 < first.sum() < first.size
    table = coupling(0, 3, components, shape)
    assert sorted([*table.active, *table.frozen]) == list(range(first.size))
    assert (np.flatnonzero(first) == np.sort(table.frozen)).all()


@pytest.mark.parametrize("transform", ["affine", "spline"])
@pytest.mark.parametrize(("components", "shape"), [(1, (4, 6)), (2, (4, 4))])
def test_translations_by_even_vectors(components: int, shape: tuple[int, ...], transform: str) -> None:
    ours, _ = flow_pair(small_spec(transform), coloured_base(components, shape))
    z = noise(components, shape)
    x, log_q = run_torch(ours.forward, z)
    for step in [(1, 1), (2, 0), (-1, 3)]:
        moved, moved_log_q = run_torch(ours.forward, np.roll(z, step, axis=(2, 3)))
        assert error(moved, np.roll(x, step, axis=(2, 3))) < 1e-11
        assert error(moved_log_q, log_q) < 1e-11


@pytest.mark.parametrize("components", [1, 2])
def test_weights_move_to_a_larger_lattice(components: int) -> None:
    """A periodic repetition of a small field is mapped to the repetition of its image."""
    spec = small_spec(kernel=3)
    small, _ = flow_pair(spec, GaussianBase.standard(components, (4, 4)))
    large = Weighted(TORCH, spec, GaussianBase.standard(components, (8, 8)))
    state = dict(small.state)
    # the spline of the mean is in units of its width, which shrinks with the volume
    state["zero_mode.spline"] = np.zeros_like(state["zero_mode.spline"])
    small.load(state)
    large.load(state)
    z = noise(components, (4, 4))
    x, _ = run_torch(small.forward, z)
    image, _ = run_torch(large.forward, np.tile(z, (1, 1, 2, 2)))
    assert error(image, np.tile(x, (1, 1, 2, 2))) < 1e-11


def test_initial_weights_are_the_same_on_both_backends() -> None:
    spec, base = small_spec(), coloured_base(2, (4, 4))
    ours, theirs = (Weighted(arrays, spec, base, seed=3) for arrays in (TORCH, JAX))
    assert set(ours.weights) == set(theirs.weights)
    for name, value in theirs.weights.items():
        assert error(value, ours.weights[name]) == 0


# The spline


def spline_images(
    values: Array, inverse: bool, spec: FlowSpec, parameters: Array
) -> list[tuple[Array, Array, Array]]:
    """(image, log_det, d(image + log_det)/d value) of each backend."""
    point = torch.as_tensor(values).requires_grad_()
    image, log_det = spline(TORCH, spec, torch.as_tensor(parameters), point, inverse)
    (gradient,) = torch.autograd.grad((image + log_det).sum(), point)

    def total(value: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        image, log_det = spline(JAX, spec, jnp.asarray(parameters), value, inverse)
        return (image + log_det).sum(), (image, log_det)

    other, (other_image, other_log_det) = jax.grad(total, has_aux=True)(jnp.asarray(values))
    return [
        (image.detach().numpy(), log_det.detach().numpy(), gradient.numpy()),
        (np.asarray(other_image), np.asarray(other_log_det), np.asarray(other)),
    ]


@pytest.mark.parametrize("inverse", [False, True])
def test_spline_at_and_beyond_its_edges(inverse: bool) -> None:
    spec = small_spec("spline", bins=5)
    bound = spec.bound
    values = np.array(
        [-1e6, -bound, np.nextafter(-bound, 0), -1.2, 0.0, 1.2, np.nextafter(bound, 0), bound, 1e6]
    )[:, None]
    parameters = 5 * np.random.default_rng(4).normal(size=(spec.parameters_per_entry, values.size, 1))
    for image, log_det, gradient in spline_images(values, inverse, spec, parameters):
        assert np.isfinite([image, log_det, gradient]).all()
        outside = np.abs(values) >= bound
        assert error(image[outside], values[outside]) == 0
        assert error(log_det[outside], 0.0) == 0


@pytest.mark.parametrize("inverse", [False, True])
def test_spline_increases(inverse: bool) -> None:
    spec = small_spec("spline", bins=5)
    values = np.linspace(-1.1 * spec.bound, 1.1 * spec.bound, 301)[:, None]
    parameters = 5 * np.random.default_rng(4).normal(size=(spec.parameters_per_entry, 1, 1))
    parameters = np.tile(parameters, (1, values.size, 1))
    for image, _, _ in spline_images(values, inverse, spec, parameters):
        assert (np.diff(image, axis=0) > 0).all()


def test_spline_against_a_library() -> None:
    """zuko bounds its parameters in another way; fed with ours before that step it gives the same spline."""
    spec = small_spec("spline", bins=6, max_log_scale=4.0)
    values = np.random.default_rng(0).uniform(-4, 4, size=(50, 1))
    parameters = np.random.default_rng(1).normal(size=(spec.parameters_per_entry, 50, 1))
    bounded = spec.max_log_scale * np.tanh(parameters / spec.max_log_scale)
    slope = 1e-3
    # Invert p / (1 + c|p| / |log slope|), with c = 2 for widths and heights and 1 for derivatives.
    factor = np.repeat([2.0, 2.0, 1.0], [6, 6, 5])[:, None, None] / abs(math.log(slope))
    raw = torch.as_tensor(np.moveaxis(bounded / (1 - factor * np.abs(bounded)), 0, -1))
    library = MonotonicRQSTransform(
        raw[..., :6], raw[..., 6:12], raw[..., 12:], bound=spec.bound, slope=slope
    )
    image, log_det = library.call_and_ladj(torch.as_tensor(values))
    for found, found_log_det, _ in spline_images(values, False, spec, parameters):
        assert error(found, image) < 1e-12
        assert error(found_log_det, log_det) < 1e-11


# What is refused


@pytest.mark.parametrize(
    "arguments",
    [
        {"layers": 0},
        {"layers": 1.5},
        {"layers": "two"},
        {"hidden": (8, 0)},
        {"hidden": 8},
        {"kernel": 2},
        {"transform": "cubic"},
        {"bins": 1},
        {"bound": 0.0},
        {"bound": "wide"},
        {"max_log_scale": math.inf},
    ],
)
def test_invalid_architectures(arguments: dict[str, Any]) -> None:
    (name,) = arguments
    with pytest.raises(OptionError, match=rf"{name}\n  expected: .*\n  found: "):
        FlowSpec(**{"layers": 2, "hidden": (4,)} | arguments)


def test_invalid_geometries_and_bases() -> None:
    with pytest.raises(OptionError, match="shape\n  expected"):
        FlowSpec.default(1, (4, 0))
    with pytest.raises(OptionError, match="components\n  expected"):
        FlowSpec.default(0, (4,))
    with pytest.raises(OptionError, match="positive definite"):
        GaussianBase.from_precision([0.0], -np.ones((4, 1, 1)))
    with pytest.raises(OptionError, match="Hermitian"):
        GaussianBase.from_precision([0.0, 0.0], np.broadcast_to([[1.0, 0.5], [0.0, 1.0]], (4, 2, 2)))
    with pytest.raises(OptionError, match="conj"):
        GaussianBase.from_precision([0.0], np.arange(1.0, 5.0)[:, None, None])
    with pytest.raises(OptionError, match="shape"):
        GaussianBase.from_precision([0.0], np.ones((4, 2, 2)))


def test_fields_of_another_shape_are_refused() -> None:
    ours, theirs = flow_pair(small_spec(), GaussianBase.standard(1, (4, 4)))
    for call in (ours.forward, ours.inverse):
        with pytest.raises(ConfigurationError, match=r"field\n  expected: shape \(batch, 1"):
            call(torch.zeros(3, 4, 4))
    for call in (theirs.forward, theirs.inverse):
        with pytest.raises(ConfigurationError, match=r"field\n  expected: shape \(batch, 1"):
            call(jnp.zeros((3, 4, 4)))


def test_jax_flow_before_and_after_float64_is_asked_for() -> None:
    """Tables are shared between flows; integers get wider when a process turns to float64."""
    base = GaussianBase.standard(1, (4, 6))
    values = []
    for wide in (False, True):
        with jax.enable_x64(wide):
            flow = Weighted(JAX, FlowSpec(layers=2, hidden=(4,)), base, "float32")
            z = jnp.ones((2, 1, 4, 6), np.float32)
            values.append(np.asarray(jax.jit(flow.forward)(z)[1]))
    assert np.allclose(*values)


@pytest.mark.parametrize(("shape", "lattice"), [("student", (3,)), ("product", (1,))])
def test_flows_with_heavy_tails(shape: TailShape, lattice: tuple[int, ...]) -> None:
    base = replace(coloured_base(2, lattice), tail=Tail(shape, 2.5))
    ours, theirs = flow_pair(FlowSpec(layers=2, hidden=(4,), kernel=3, transform="spline"), base)
    z = noise(2, lattice)
    z[0] *= 1e-4  # where the map is a power series
    check_pair(ours, theirs, z)


@pytest.mark.parametrize("shape", ["student", "product"])
@pytest.mark.parametrize("freedom", [0.5, 1.0, 3.0])
def test_tails_fall_like_those_of_student(shape: TailShape, freedom: float) -> None:
    """∫ q = 1 on the line, log q falls like −(ν + n) log r, and is curved at the centre as is said."""
    tail = Tail(shape, freedom)
    spec = FlowSpec(layers=1, hidden=(4,), kernel=1, transform="spline")
    line = Weighted(TORCH, spec, replace(GaussianBase.standard(1, (1,)), tail=tail))
    grid = np.sinh(np.linspace(-60, 60, 20_001))
    log_q = run_torch(line.inverse, grid.reshape(-1, 1, 1))[1]
    assert np.trapezoid(np.exp(log_q) * np.cosh(np.linspace(-60, 60, 20_001)), dx=120 / 20_000) == (
        pytest.approx(1, abs=1e-6)
    )
    n = 3
    space = Weighted(TORCH, spec, replace(GaussianBase.standard(n, (1,)), tail=tail))
    direction = np.eye(n)[0] if shape == "product" else np.ones(n) / np.sqrt(n)
    radii = np.array([0.0, 1e-3, 1e8, 1e9])
    at = run_torch(space.inverse, (radii[:, None] * direction)[..., None])[1]
    falls = freedom + (1 if shape == "product" else n)
    assert (at[2] - at[3]) / np.log(10) == pytest.approx(falls, abs=0.06)  # but for a power of log r
    assert 2 * (at[0] - at[1]) / radii[1] ** 2 == pytest.approx(added_curvature(tail, n), rel=1e-4)
