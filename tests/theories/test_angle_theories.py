"""XY, clock and sine-Gordon: their symmetries, and their observables against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest

import sesamo_dsl as sd
from sesamo_dsl.ir.interpreter import run
from sesamo_dsl.stages.lower import lower_theory
from sesamo_theories.clock import clock
from sesamo_theories.sine_gordon import sine_gordon
from sesamo_theories.xy import xy


def test_symmetries_are_those_of_the_models() -> None:
    assert [r.status for r in sd.analyse(xy(3)).reports] == ["exact", "exact"]
    (report,) = sd.analyse(clock(3, order=5)).reports
    assert (report.status, report.order) == ("exact", "10")
    pinned = sine_gordon(3)
    assert sd.analyse(pinned).status == "exact"
    found = sd.find_symmetries(pinned)
    assert not found.angles.rotations
    assert sd.find_symmetries(pinned, at={"g": 0}).angles.rotations


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 2)])
def test_observables_are_as_defined(shape: tuple[int, ...]) -> None:
    """Vortices by angles in steps of a walk around each plaquette, wrapped one after the other."""
    theory, beta = xy(*shape), 0.7
    program = lower_theory(sd.analyse(theory))
    x = np.random.default_rng(0).uniform(-np.pi, np.pi, size=(6, 1, *shape))
    theta, volume = x[:, 0], np.prod(shape)
    sites = tuple(range(1, theta.ndim))
    ahead = [np.roll(theta, -1, axis=mu + 1) for mu in range(len(shape))]
    bonds = sum(np.cos(theta - other).sum(axis=sites) for other in ahead)
    current = np.sin(theta - ahead[0]).sum(axis=sites)
    expected = {
        "m_squared": np.abs(np.exp(1j * theta).sum(axis=sites)) ** 2 / volume**2,
        "bond": bonds / volume / len(shape),
        "helicity": (np.cos(theta - ahead[0]).sum(axis=sites) - beta * current**2) / volume,
    }
    if len(shape) > 1:
        wrap = lambda d: (d + np.pi) % (2 * np.pi) - np.pi  # noqa: E731
        corner = np.roll(ahead[0], -1, axis=2)
        turns = (
            wrap(ahead[0] - theta)
            + wrap(corner - ahead[0])
            + wrap(ahead[1] - corner)
            + wrap(theta - ahead[1])
        )
        whole = np.rint(turns / (2 * np.pi))
        np.testing.assert_allclose(turns / (2 * np.pi), whole, atol=1e-12)
        expected["vortices"] = np.abs(whole).sum(axis=sites) / volume
    assert set(expected) == set(theory.observables)
    for name, values in expected.items():
        found = run(program, f"observable_{name}", {"x": x}, {"beta": beta})[0]
        np.testing.assert_allclose(found, values, atol=1e-12)
    action = run(program, "action", {"x": x}, {"beta": beta})[0]
    np.testing.assert_allclose(action, -beta * bonds, atol=1e-12)
