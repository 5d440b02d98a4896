"""Every estimator of the training gradient against a finite difference of the exact objective."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sesamo_dsl as sd
from sesamo_dsl.errors import OptionError
from sesamo_dsl.estimates.exact import exact_configurations
from support import shaken, untrained

Array = np.ndarray[Any, Any]
NAMES = ("torch", "jax")
COUPLINGS, STRONG = {"h": 0.3, "g": 0.4}, {"h": 1.0, "g": 1.5}
BATCH, STEPS = 256, 120
every_backend = pytest.mark.parametrize("name", NAMES)


def theory() -> sd.Theory:
    """Two coupled double wells; both reflections are broken, by terms whose weight depends on where y is.

    The walls of the domain are the axes, on which the grid below has cell boundaries.
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
def grid(half: float = 5.0, points: int = 240) -> tuple[Array, Array, float]:
    """Midpoints, the action there, and the log of a cell."""
    axis = (np.arange(points) + 0.5) / points * 2 * half - half
    x = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2, 1)
    return x, compiled("torch").action(x, COUPLINGS), 2 * np.log(2 * half / points)


@cache
def wedges(radius: float = 12.0, points: int = 100) -> tuple[Array, Array, Array]:
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
    step: float = 1e-4,
) -> float:
    """Derivative of the exact objective along a direction of the weights, to fourth order."""
    start = model.state()

    def at(t: float) -> float:
        model.load_state({k: v + t * direction[k] if k in direction else v for k, v in start.items()})
        return exact_objective(model, weight, points)

    slope = (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)
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


CASES = [("torch", estimator) for estimator in ESTIMATORS | TURNED]
CASES += [  # compiling takes time, and the backends share the choice of estimators
    ("jax", "conditional, path, reinforce"),
    ("jax", "mixture of flows, path"),
    ("jax", "forward and reverse"),
    ("jax", "turned: conditional, reparametrised, reinforce"),
]


@pytest.mark.parametrize(("name", "estimator"), CASES)
def test_estimators_are_unbiased(name: str, estimator: str) -> None:
    """Of the turned theory what the law adds to the heat bath: on the same noise, which then drops out."""
    options = (ESTIMATORS | TURNED)[estimator]
    of, points = (turned, wedges) if estimator in TURNED else (theory, grid)
    model, weight = fresh(name, of, **options), options.get("forward_weight", 0.0)
    less = fresh(name, of, **{**options, "law": "heat_bath"}) if estimator in TURNED else None
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
    x, action, _ = grid()
    p = np.exp(-action) / np.exp(-action).sum()
    drawn = configurations()
    for function in (lambda y: y[:, 0, 0], lambda y: y[:, 1, 0] ** 2, lambda y: y[:, 0, 0] * y[:, 1, 0]):
        values, exact = function(drawn), float(p @ function(x))
        assert abs(values.mean() - exact) < 4.5 * values.std() / np.sqrt(len(values))


def test_both_backends_estimate_the_same() -> None:
    """The forward part has no noise of its own: equal gradients on the same configurations."""
    x = configurations()[:64]
    ours, theirs = (fresh(name, law="conditional", forward_weight=1.0).gradient(0, x) for name in NAMES)
    assert set(ours) == set(theirs)
    for key, value in ours.items():
        assert np.abs(value - theirs[key]).max() < 1e-9, key


@every_backend
def test_a_run_keeps_its_reference(name: str) -> None:
    place, x = Path(tempfile.mkdtemp()), configurations()[:100]
    flow = sd.FlowSpec(layers=2, hidden=(6,), kernel=1, transform="affine")
    arguments: dict[str, Any] = {"progress": False, "steps": 2, "batch": 8, "flow": flow, "reference": x}
    run = compiled(name).train(parameters=COUPLINGS, directory=place / "a", **arguments)
    assert run.plan.forward_weight == 0.5
    copy = shutil.copytree(run.directory, place / "b")  # a run that was trained since it was read is refused
    loaded = sd.load_run(copy, theory=theory())
    assert loaded.reference is not None
    assert np.array_equal(loaded.reference, x)
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
