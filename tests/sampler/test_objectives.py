"""Every estimator of the training gradient against a finite difference of the exact objective."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sesamo_dsl as sd
from sesamo_dsl.errors import OptionError
from sesamo_dsl.estimates.exact import exact_configurations
from support import shaken, untrained

Array = np.ndarray[Any, Any]
NAMES = ("torch", "jax")
COUPLINGS, STRONG = {"h": 0.3, "g": 0.4}, {"h": 1.0, "g": 1.5}
BATCH, STEPS = 1024, 30


def theory() -> sd.Theory:
    """Two coupled double wells; both reflections are broken, by terms whose weight depends on where y is.

    The walls of the domain are the axes, on which the quadrants of the grid below end.
    """
    point = sd.Lattice(1)
    x = sd.VectorField("x", point, 2)
    h, g = sd.parameters("h g")
    wells = sum((c**2 - 1) ** 2 for c in (x[0], x[1]))
    return sd.Theory(
        "wells",
        fields=[x],
        action=wells + x[0] ** 2 * x[1] ** 2 / 4 + h * x[0] + g * x[0] * x[1],
        symmetries=[sd.Symmetry("A", [{x[0]: -x[0]}]), sd.Symmetry("B", [{x[1]: -x[1]}])],
        precision="float64",
    )


def turned() -> sd.Theory:
    """Four shallow wells on a circle: y jumps from one wall of its domain to the other.

    S₁ is not the same on the two walls, and there is weight on both.
    """
    point = sd.Lattice(1)
    x = sd.VectorField("x", point, 2)
    h, g = sd.parameters("h g")
    wells = (x[0] ** 2 + x[1] ** 2 - 1) ** 2 + x[0] ** 2 * x[1] ** 2 / 4
    return sd.Theory(
        "turned",
        fields=[x],
        action=wells + h * x[0] + g * x[0] * x[1],
        symmetries=[sd.Cyclic(4, x)],
        precision="float64",
    )


@cache
def compiled(name: str, of: Callable[[], sd.Theory] = theory) -> sd.CompiledTheory:
    return sd.compile(of(), name)


def fresh(name: str, of: Callable[[], sd.Theory] = theory, **options: Any) -> Any:
    """A model away from its start, with the same weights on every backend."""
    flow = sd.FlowSpec(layers=2, hidden=(6,), kernel=1, transform="affine")
    couplings = COUPLINGS if of is theory else STRONG
    made = untrained(compiled(name, of), couplings, **{"flow": flow, "batch": BATCH, **options})
    return shaken(made, size=lambda key: 1.0 if key == "law.linear" else 0.1)  # it starts at the heat bath


@cache
def grid(half: float = 5.0, points: int = 60) -> tuple[Array, Array, Array]:
    """Gauss–Legendre nodes on the four quadrants, the action there, and the log of the weights."""
    nodes, weights = np.polynomial.legendre.leggauss(points)
    axis = np.concatenate([(nodes - 1) * half / 2, (nodes + 1) * half / 2])
    along = np.tile(weights * half / 2, 2)
    x = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2, 1)
    return x, compiled("torch").action(x, COUPLINGS), np.log(np.outer(along, along).ravel())


@cache
def wedges(radius: float = 12.0, points: int = 64) -> tuple[Array, Array, Array]:
    """Gauss–Legendre nodes on the four images of the domain, as :func:`grid`."""
    facet = compiled("torch", turned).analysis.domain.facets[0]
    nodes, weights = np.polynomial.legendre.leggauss(points)
    r, angle = (nodes + 1) / 2 * radius, (nodes + 1) * np.pi / 4 + np.arctan2(facet[0], -facet[1])
    angles = np.concatenate([angle + k * np.pi / 2 for k in range(4)])
    x = np.stack([np.outer(r, f(angles)).ravel() for f in (np.cos, np.sin)], axis=1)[..., None]
    cell = np.outer(r * weights * radius / 2, np.tile(weights * np.pi / 4, 4)).ravel()
    return x, compiled("torch", turned).action(x, STRONG), np.log(cell)


def exact_objective(model: Any, weight: float, points: Callable[[], Any] = grid) -> float:
    """(1 − w) ∫ q (log q + S) − w ∫ p log q."""
    x, action, log_cell = points()
    log_q = model.log_prob(x)
    q = np.exp(log_q + log_cell)
    assert abs(q.sum() - 1) < 1e-5
    p = np.exp(log_cell - action) / np.exp(log_cell - action).sum()
    return float((1 - weight) * (q * (log_q + action)).sum() - weight * (p * log_q).sum())


def exact_slope(
    model: Any,
    direction: dict[str, Array],
    weight: float,
    points: Callable[[], Any] = grid,
    step: float = 1e-5,
) -> float:
    """Derivative of the exact objective along a direction of the weights."""
    start = model.state()

    def at(t: float) -> float:
        model.load_state({k: v + t * direction[k] if k in direction else v for k, v in start.items()})
        return exact_objective(model, weight, points)

    slope = (at(step) - at(-step)) / (2 * step)
    model.load_state(start)
    return slope


ESTIMATORS: dict[str, dict[str, Any]] = {
    f"{law}, {gradient}, {law_gradient}": {"law": law, "gradient": gradient, "law_gradient": law_gradient}
    for law in ("learned", "conditional")
    for gradient in ("path", "reparametrised")
    for law_gradient in ("enumerate", "reinforce")
}
ESTIMATORS |= {
    "heat bath, path": {"law": "heat_bath"},
    "uniform, reinforce": {"law": "uniform", "law_gradient": "reinforce"},
    "chart": {"law": "conditional", "strategy": "chart", "law_gradient": "reinforce"},
    "no modulation": {"strategy": "none"},
    "mixture of flows, path": {"strategy": "none", "flows": 3},
    "mixture of flows, reparametrised": {"strategy": "none", "flows": 2, "gradient": "reparametrised"},
    "forward": {"law": "conditional", "forward_weight": 1.0},
    "forward and reverse": {"law": "learned", "forward_weight": 0.3},
    "forward, mixture of flows": {"strategy": "none", "flows": 2, "forward_weight": 1.0},
}


TURNED: dict[str, dict[str, Any]] = {
    f"turned: {name}": ESTIMATORS[name] for name in ESTIMATORS if name.startswith(("learned", "conditional"))
}
TURNED |= {"turned: mixture of flows": {"law": "learned", "flows": 2}}


@pytest.mark.parametrize("estimator", ESTIMATORS | TURNED)
def test_estimators_are_unbiased(estimator: str) -> None:
    """Of the turned theory what the law adds to the heat bath: on the same noise, which then drops out."""
    options = (ESTIMATORS | TURNED)[estimator]
    of, points = (turned, wedges) if estimator in TURNED else (theory, grid)
    model, weight = fresh("torch", of, **options), options.get("forward_weight", 0.0)
    less = fresh("torch", of, **{**options, "law": "heat_bath"}) if estimator in TURNED else None
    rng = np.random.default_rng(5)
    first = model.gradient(0, configurations()[:BATCH] if weight else None)
    flow = {k: rng.normal(size=v.shape) for k, v in sorted(first.items()) if k.startswith("flow")}
    law = {k: rng.normal(size=v.shape) for k, v in sorted(first.items()) if k.startswith("law")}
    estimates: dict[str, list[float]] = {"flow": [], "law": []}
    for step in range(STEPS):
        reference = configurations()[step * BATCH : (step + 1) * BATCH] if weight else None
        gradient = model.gradient(step, reference)
        if less is not None:
            taken = less.gradient(step)
            gradient = {k: v - taken[k] if k in taken else v for k, v in gradient.items()}
        for part, direction in (("flow", flow), ("law", law)):
            estimates[part].append(sum(float((gradient[k] * d).sum()) for k, d in direction.items()))
    for part, direction in (("flow", flow), ("law", law)):
        values, exact = np.array(estimates[part]), exact_slope(model, direction, weight, points)
        if less is not None and part == "flow":
            exact -= exact_slope(less, direction, weight, points)
        error = values.std(ddof=1) / np.sqrt(STEPS)
        assert abs(values.mean() - exact) < 4.5 * error + 1e-6 * (1 + abs(exact)), part
        if part == "flow" or options.get("law") in ("learned", "conditional"):
            assert abs(exact) > 10 * error or abs(exact) > 0.02, f"the {part}'s gradient is no test"


@cache
def configurations() -> Array:
    """Independent configurations of the target, each used once."""
    found = exact_configurations(compiled("torch").program, COUPLINGS, BATCH * STEPS, seed=11)
    assert found is not None
    return found[1]


def test_exact_configurations() -> None:
    """Means of the sampled configurations against quadrature."""
    x, action, log_cell = grid()
    p = np.exp(log_cell - action) / np.exp(log_cell - action).sum()
    drawn = configurations()
    for function in (lambda y: y[:, 0, 0], lambda y: y[:, 1, 0] ** 2, lambda y: y[:, 0, 0] * y[:, 1, 0]):
        values, exact = function(drawn), float(p @ function(x))
        assert abs(values.mean() - exact) < 4.5 * values.std() / np.sqrt(len(values))


# compiling takes time, and the backends share the choice of estimators
ON_JAX = {
    name: {**(ESTIMATORS | TURNED)[name], "batch": 64}
    for name in ("mixture of flows, reparametrised", "turned: conditional, reparametrised, reinforce")
}
ON_JAX["conditional, forward and path, reinforce"] = {
    "law": "conditional",
    "forward_weight": 0.3,
    "batch": 64,
}


@pytest.mark.parametrize("estimator", ON_JAX)
def test_both_backends_estimate_the_same(estimator: str) -> None:
    """Equal gradients from the same noise and the same configurations of the target."""
    options, of = ON_JAX[estimator], turned if estimator in TURNED else theory
    x = configurations()[:64] if "forward_weight" in options else None
    ours, theirs = (fresh(name, of, **options) for name in NAMES)
    for noise in ("_noise", "_flow_uniform"):
        made = getattr(ours, noise)
        setattr(
            theirs,
            noise,
            lambda *seeds, made=made: jax.tree.map(lambda a: jnp.asarray(a.numpy()), made(*seeds)),
        )
    for step in range(3):
        first, second = ours.gradient(step, x), theirs.gradient(step, x)
        assert set(first) == set(second)
        for key, value in first.items():
            assert np.abs(value - second[key]).max() < 1e-9, key


def test_a_run_keeps_its_reference() -> None:
    place, x = Path(tempfile.mkdtemp()), configurations()[:100]
    flow = sd.FlowSpec(layers=2, hidden=(6,), kernel=1, transform="affine")
    arguments: dict[str, Any] = {"progress": False, "steps": 2, "batch": 8, "flow": flow, "reference": x}
    run = compiled("torch").train(parameters=COUPLINGS, directory=place / "a", **arguments)
    assert run.plan.forward_weight == 0.5
    copy = shutil.copytree(run.directory, place / "b")  # a run that was trained since it was read is refused
    loaded = sd.load_run(copy, theory=theory())
    assert loaded.reference is not None
    assert np.array_equal(loaded.reference.x, x)
    loaded.resume(2, progress=False)
    straight = run.resume(2, progress=False)
    for key, value in loaded.model.state().items():
        assert np.array_equal(straight.model.state()[key], value), key


def test_a_reference_is_asked_for_and_checked(tmp_path: Path) -> None:
    model = compiled("torch")
    with pytest.raises(OptionError, match="configurations of the target"):
        model.train(parameters=COUPLINGS, directory=tmp_path / "a", forward_weight=0.5, steps=1)
    with pytest.raises(OptionError, match="at least one configuration"):
        model.train(parameters=COUPLINGS, directory=tmp_path / "b", reference=np.zeros((0, 2, 1)), steps=1)
    with pytest.raises(sd.SesamoError, match="shape"):
        model.train(parameters=COUPLINGS, directory=tmp_path / "c", reference=np.zeros((3, 1)), steps=1)
    assert not list(tmp_path.iterdir())
