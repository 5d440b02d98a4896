"""The sampler on NumPy is the oracle of those on the other backends: one code, three kinds of arrays."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pytest

import sesamo_dsl as sd
from sesamo_dsl.plan.base import make_base
from sesamo_dsl.plan.decide import decide
from sesamo_dsl.plan.options import TrainingOptions
from support import example

SMALL = sd.FlowSpec(layers=2, hidden=(8,))


NUMPY = example("numpy_backend")


def coupled_blocks() -> sd.Theory:
    """Seven sites, each with a sign of its own: too many sectors for a table, so that the law is a chain."""
    chain = sd.Lattice(7)
    phi = sd.ScalarField("phi", chain)
    return sd.Theory(
        "coupled_blocks",
        fields=[phi],
        action=chain.sum((phi**2 - 1) ** 2 - phi * phi.shift(0) / 2),
        symmetries=[sd.Sitewise(sd.Z2(phi), axes=(0,))],
    )


CASES: dict[str, tuple[Any, dict[str, float], dict[str, Any]]] = {
    **{
        f"{strategy}, {law}": ("gaussian_mixture", {"h": 0.1}, {"strategy": strategy, "law": law})
        for strategy in ("fold", "chart", "penalty")
        for law in ("uniform", "learned", "conditional", "heat_bath")
    },
    "canonicalized noise": ("gaussian_mixture", {}, {"strategy": "canonicalize"}),
    "whole space": ("gaussian_mixture", {}, {"strategy": "none"}),
    "mixture of flows": ("gaussian_mixture", {"h": 0.1}, {"law": "learned", "flows": 3}),
    **{
        f"circle, {law}": ("complex_phi4@2x2", {"h": 0.1}, {"law": law}) for law in ("uniform", "conditional")
    },
    "von Mises": ("complex_phi4@2x2", {"h": 0.1}, {}),
    "sphere": ("on_model@2x2", {}, {}),
    "chain": (coupled_blocks, {}, {"flow": sd.FlowSpec(layers=2, hidden=(8,), kernel=3)}),
    "graph": (lambda: graph_theory(), {}, {}),
}


def graph_theory() -> sd.Theory:
    lattice = sd.GraphLattice(nx.path_graph(3), time=2)
    phi = sd.ScalarField("phi", lattice)
    return sd.Theory("graph", fields=[phi], action=lattice.sum(phi**2 + phi**4), symmetries=[sd.Z2(phi)])


def models(case: str) -> list[Any]:
    """The model on PyTorch and on NumPy with the same random weights, in float64."""
    of, couplings, options = CASES[case]
    theory = sd.load_theory(of) if isinstance(of, str) else of()
    made = []
    for backend in ("torch", NUMPY.BACKEND):
        compiled = sd.compile(theory, backend, precision="float64")
        values = compiled.theory.parameter_values(couplings)
        chosen = decide(
            TrainingOptions(**{"flow": SMALL, "batch": 16, **options}), compiled.analysis, "float64"
        )
        base = make_base(compiled.program, values, chosen)
        make = compiled.backend.model if backend == "torch" else NUMPY.NumpyModel
        made.append(make(compiled, values, base, chosen))
    rng = np.random.default_rng(0)
    state = made[0].state()
    for name in sorted(n for n in state if n.startswith(("flow.", "law."))):
        state[name] = state[name] + 0.1 * rng.normal(size=state[name].shape)
    for model in made:
        model.load_state(state)
    return made


@pytest.mark.parametrize("case", CASES)
def test_the_sampler_on_numpy_agrees(case: str) -> None:
    """log q of what either draws, as drawn and as evaluated by both."""
    ours, oracle = models(case)
    for drawn in (ours.sample(40, 1), oracle.sample(40, 1)):
        kept = ~drawn.leaked
        assert kept.sum() > 10
        for model in (ours, oracle):
            found = model.log_prob(drawn.x, drawn.auxiliary)[kept]
            # log Δ = log r magnifies rounding where the collective vector nearly vanishes
            assert np.abs(found - drawn.log_q[kept]).max() < 1e-7
