"""Tasks of benchmarks/run.py that compare methods, laws and estimators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from common import Row

import sesamo_dsl as sd
from sesamo_dsl.comparison import compare
from sesamo_dsl.plan.base import make_base
from sesamo_dsl.plan.decide import decide
from sesamo_dsl.plan.options import TrainingOptions
from sesamo_theories.gaussian_mixture import gaussian_mixture
from sesamo_theories.two_sources import two_sources

SEEDS = 3


def table(theory: sd.Theory, parameters: dict[str, float], methods: tuple[str, ...]) -> Any:
    """A function (backend, seconds) ↦ comparison that trains all methods."""

    def task(backend: str, seconds: float) -> sd.Comparison:
        return compare(
            theory,
            methods,
            parameters=parameters,
            budget=seconds,
            seeds=SEEDS,
            backend=backend,
            report=lambda trial: print(f"  {trial}", flush=True),
        )

    return task


def rows(comparison: sd.Comparison) -> Iterator[Row]:
    """Rows of every figure of every method."""
    for method in comparison.methods:
        for name in ("ess", "forward_ess", "kl", "nll", "sector_error", "leaked", "seconds"):
            yield Row(f"{method}: {name}", *comparison.figure(method, name))


def published(h: float) -> Callable[[str, float], Iterator[Row]]:
    """The 8-Gaussian rows of the paper's table, all methods; only the forward ESS detects missed modes."""
    run = table(
        gaussian_mixture(),
        {"h": h},
        ("ours", "conditional", "learned", "sesamo", "canonicalization", "vmonf", "realnvp"),
    )

    def task(backend: str, seconds: float) -> Iterator[Row]:
        comparison = run(backend, seconds)
        yield from rows(comparison)
        error = comparison.figure("realnvp", "sector_error").value
        yield Row("realnvp collapses: sector error", error, bar="≥ 0.1", passed=error >= 0.1)
        for name, sign in (("ess", 1), ("forward_ess", 1), ("kl", -1), ("nll", -1)):
            better = sign * (comparison.figure("ours", name).value - comparison.figure("sesamo", name).value)
            yield Row(f"ours better than sesamo, {name}", better, bar="> 0", passed=better > 0)
        leaked = comparison.figure("ours", "leaked").value
        yield Row("ours, leaked", leaked, bar="= 0", passed=leaked == 0)
        for lower, upper in (("vmonf", "canonicalization"), ("canonicalization", "sesamo")):
            gap = comparison.figure(upper, "ess").value - comparison.figure(lower, "ess").value
            yield Row(f"{upper} − {lower}, ESS", gap, bar="> 0", passed=gap > 0)

    return task


def overlapping(h: float) -> Callable[[str, float], Iterator[Row]]:
    """The 8 Gaussians at radius 3, where the modes overlap on the walls of the domain."""

    def task(backend: str, seconds: float) -> Iterator[Row]:
        comparison = table(gaussian_mixture(8, 3), {"h": h}, ("ours", "sesamo", "canonicalization"))(
            backend, seconds
        )
        yield from rows(comparison)
        ours, penalty = (comparison.figure(m, "ess").value for m in ("ours", "sesamo"))
        yield Row("fold, ESS", ours, bar="≥ 0.999", passed=ours >= 0.999)
        forward = comparison.figure("sesamo", "forward_ess").value
        yield Row("penalty, ESS and forward ESS", min(penalty, forward), bar="< fold", passed=penalty < ours)

    return task


def competing(backend: str, seconds: float) -> Iterator[Row]:
    """Two competing breaking terms, so that the sector masses depend on y."""
    comparison = table(two_sources(), {}, ("ours", "conditional", "learned"))(backend, seconds)
    yield from rows(comparison)
    ess = {m: comparison.figure(m, "ess").value for m in comparison.methods}
    yield Row("heat bath, ESS", ess["ours"], bar="≥ 0.999", passed=ess["ours"] >= 0.999)
    yield Row("conditional, ESS", ess["conditional"], bar="≥ 0.99", passed=ess["conditional"] >= 0.99)
    gap = ess["conditional"] - ess["learned"]
    yield Row("learned below conditional by", gap, bar="≥ 0.02", passed=gap >= 0.02)


def estimators(backend: str, seconds: float) -> Iterator[Row]:
    """Variance of the gradient estimators, per configuration and summed over the weights.

    It is measured at the start and after a training, which ends close to the optimum because the flow can
    represent the single Gaussian of each sector.
    """
    theory = gaussian_mixture(8, 12)
    model = sd.compile(theory, backend, precision="float64")
    values = theory.parameter_values({"h": 0.1})
    flow = sd.FlowSpec(layers=2, hidden=(16,), kernel=1, transform="affine")
    cases = {
        f"{law}, {gradient}, {law_gradient}": {"law": law, "gradient": gradient, "law_gradient": law_gradient}
        for law in ("heat_bath", "learned", "conditional")
        for gradient in ("path", "reparametrised")
        for law_gradient in ("enumerate", "reinforce")
        if law != "heat_bath" or law_gradient == "enumerate"
    }
    variances: dict[tuple[str, str], float] = {}
    trained: dict[str, Any] = {}
    for name, options in cases.items():
        chosen = decide(TrainingOptions(flow=flow, batch=64, steps=400, **options), model.analysis)
        sampler: Any = model.backend.model(model, values, make_base(model.program, values, chosen), chosen)
        variances[name, "start"] = variance(sampler)
        law = str(options["law"])
        if law not in trained:
            for step in range(chosen.steps):
                sampler.step(5e-3 * (1 - step / chosen.steps))
            trained[law] = sampler.state()
        sampler.load_state(trained[law])
        variances[name, "trained"] = variance(sampler)
        for when in ("start", "trained"):
            yield Row(f"{name}: {when}", variances[name, when])
    for law in ("heat_bath", "conditional"):
        ratio = (
            variances[f"{law}, reparametrised, enumerate", "trained"]
            / variances[f"{law}, path, enumerate", "trained"]
        )
        yield Row(f"{law}: reparametrised / path, trained", ratio, bar="≥ 100", passed=ratio >= 100)


def variance(sampler: Any, batches: int = 64) -> float:
    """Σ over all weights of the variance of the gradient of one batch, times the batch size."""
    found = [sampler.gradient(step) for step in range(batches)]
    flat = np.array([np.concatenate([g[k].ravel() for k in sorted(g)]) for g in found])
    return float(flat.var(axis=0, ddof=1).sum() * 64)


TASKS: dict[str, Callable[[str, float], Iterator[Row]]] = {
    "estimators": estimators,
    "table-exact": published(0.0),
    "table-broken": published(0.1),
    "radius3-exact": overlapping(0.0),
    "radius3-broken": overlapping(0.1),
    "two-sources": competing,
}
