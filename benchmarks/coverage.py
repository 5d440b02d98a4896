"""Coverage flags a model without one of the modes, and leaves a sound model in peace.

Each theory is a random mixture of Gaussians, with Z₂ for every second one. Its flows begin at exactly these
Gaussians, so that a model of all of them is right from the first step on, and a model without one of them has
an ESS near 1 and a wrong log Z.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp
from common import Row, Task

import sesamo_dsl as sd
from sesamo_dsl.flows.base import GaussianBase, MixtureBase

SECONDS = {"coverage-missed": 5.0, "coverage-sound": 2.0}
THEORIES, SEEDS = 20, 10
STEPS = 10
SAMPLES = 4000
_BASE = "gaussians_of_the_benchmark"


@dataclass(frozen=True)
class Mixture:
    """Σ_k mass_k N(centre_k, diag width_k²), up to a constant, and its mirror image if it is symmetric."""

    masses: np.ndarray
    centres: np.ndarray
    widths: np.ndarray
    symmetric: bool

    @classmethod
    def random(cls, seed: int) -> Mixture:
        """Two to four modes in one to six dimensions, at least six widths from each other."""
        rng = np.random.default_rng([seed, 1])
        dimension, modes = int(rng.integers(1, 7)), int(rng.integers(2, 5))
        centres: list[np.ndarray] = []
        while len(centres) < modes:
            centre = np.round(rng.normal(size=dimension) * 9 / math.sqrt(dimension), 2)
            images = [sign * other for other in centres for sign in (1, -1)]
            if all(np.linalg.norm(centre - image) > 6 for image in [*images, -centre]):
                centres.append(centre)
        return cls(
            np.round(rng.uniform(0.05, 1, size=modes), 3),
            np.stack(centres),
            np.round(rng.uniform(0.4, 1.0, size=(modes, dimension)), 2),
            bool(seed % 2),
        )

    def theory(self, name: str) -> sd.Theory:
        """The declaration; S = −log of the sum."""
        v = sd.VectorField("v", sd.Lattice(1), self.centres.shape[1])
        terms = []
        for sign in (1, -1)[: 1 + self.symmetric]:
            for mass, centre, width in zip(self.masses, self.centres, self.widths, strict=True):
                squares = [
                    (v[i] - sign * c) ** 2 / (2 * s**2) for i, (c, s) in enumerate(_exact(centre, width))
                ]
                norm = sp.Mul(*(1 / s for _, s in _exact(centre, width)))
                terms.append(sp.Rational(str(mass)) * norm * sp.exp(-sp.Add(*squares)))
        symmetries = [sd.Z2(v)] if self.symmetric else []
        return sd.Theory(name, fields=[v], action=-sp.log(sp.Add(*terms)), symmetries=symmetries)

    def base(self, omitted: int | None) -> MixtureBase:
        """All Gaussians of a fundamental domain, or all but one."""
        kept = [k for k in range(len(self.masses)) if k != omitted]
        parts = [
            GaussianBase.from_precision(self.centres[k], np.diag(self.widths[k] ** -2.0)[None]) for k in kept
        ]
        return MixtureBase.of_parts(parts, np.log(self.masses[kept]))


def _exact(centre: np.ndarray, width: np.ndarray) -> list[tuple[sp.Rational, sp.Rational]]:
    return [(sp.Rational(str(c)), sp.Rational(str(s))) for c, s in zip(centre, width, strict=True)]


_now: list[MixtureBase] = []


def _base(program: Any, parameters: Mapping[str, Any]) -> GaussianBase:
    return _now[-1]


def _run(theory: sd.Theory, backend: str, base: MixtureBase, seed: int, seconds: float) -> sd.Run:
    _now.append(base)
    run = sd.compile(theory, backend).train(
        base=_BASE,
        flows=len(base.parts),
        steps=STEPS,
        learning_rate=1e-5,
        seed=seed,
        check=False,
        directory=False,
        progress=False,
    )
    run.check(seconds, progress=False)
    return run


def _registered() -> None:
    if not _now:
        sd.register_base(_BASE, _base)


def missed(backend: str, seconds: float) -> Iterator[Row]:
    """Models of all modes but one: coverage has to say so for each."""
    _registered()
    found = 0
    for seed in range(THEORIES):
        mixture = Mixture.random(seed)
        omitted = seed % len(mixture.masses)
        share = float(mixture.masses[omitted] / mixture.masses.sum())
        run = _run(mixture.theory(f"mixture_{seed}"), backend, mixture.base(omitted), seed, seconds)
        samples = run.sample(SAMPLES)
        assert samples.coverage is not None, run.unchecked
        coverage = samples.coverage
        found += coverage.status == "missed"
        figure = f"mixture_{seed}, {100 * share:.1f} % omitted, ESS {samples.ess:.4f}: {coverage.status}"
        yield Row(figure, *coverage.uncovered, bar="missed", passed=coverage.status == "missed")
    yield Row(f"flagged, of {THEORIES}", found, bar=f"{THEORIES}", passed=found == THEORIES)


def sound(backend: str, seconds: float) -> Iterator[Row]:
    """Models of all modes, each with new samples and an annealing of its own: at most one may be flagged."""
    _registered()
    flagged = unknown = 0
    for number in range(THEORIES):
        mixture = Mixture.random(number)
        theory = mixture.theory(f"mixture_{number}")
        for seed in range(SEEDS):
            run = _run(theory, backend, mixture.base(None), 100 * number + seed, seconds)
            coverage = run.sample(SAMPLES).coverage
            status = "unknown" if coverage is None else coverage.status
            flagged += status == "missed"
            unknown += status == "unknown"
            if status != "covered":
                verdict = run.unchecked if coverage is None else coverage.verdict
                yield Row(f"mixture_{number}, seed {seed}: {verdict}", math.nan)
    count = THEORIES * SEEDS
    yield Row(f"flagged, of {count}", flagged, bar="≤ 1", passed=flagged <= 1)
    yield Row(f"not known, of {count}", unknown)


TASKS: dict[str, Task] = {"coverage-missed": missed, "coverage-sound": sound}
