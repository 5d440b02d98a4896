"""Properties of probabilities: ∫q = 1, Schwinger–Dyson identities, log Z, with bounds on false alarms.

Above two degrees of freedom ∫q = 1 is tested by the bridge identity E_q[s/(q+s)] = E_s[q/(q+s)] with a bridge
density s: if log q is off by a constant, or is not the density of the drawn samples, the two sides differ.
Both are means of numbers in [0, 1], whose error bars are reliable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import NamedTuple

import numpy as np
from scipy.ndimage import maximum_filter
from scipy.special import expit, log_expit

from ...backend import Draws, Model
from ..bridge_density import BridgeDensity
from ..property import Measurement, Property, has_slices
from ..significance import RETEST, samples_at, vanishing_mean
from ..subject import SAMPLES, SAMPLES_SEED, Subject
from .density import choice, samples

_FIT_SEED = 1001  # seed of the samples that a bridge density is fitted to


def _grid(axes: list[np.ndarray]) -> np.ndarray:
    """All points of a product grid, (points, dimensions)."""
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))


def _log_prob(model: Model, x: np.ndarray) -> np.ndarray:
    """log q(x), (batch,), in batches of one size, because JAX compiles once per shape."""
    padded = np.concatenate([x, np.repeat(x[:1], -len(x) % SAMPLES, axis=0)])
    return np.concatenate([model.log_prob(padded[i : i + SAMPLES]) for i in range(0, len(padded), SAMPLES)])[
        : len(x)
    ]


def integral(
    model: Model,
    shape: tuple[int, ...],
    reach: np.ndarray,
    at_wall: Callable[[np.ndarray, float], np.ndarray] | None = None,
) -> tuple[float, float]:
    """∫q by the midpoint rule in one or two dimensions, refined where q is not negligible.

    ``reach`` are points that span the support of the density, (points, n). Points x with
    ``at_wall(x, width)`` are left out, because q may diverge there like an integrable power of the distance
    (a flow that is stretched before a chart). The width, a few cells, is returned with the integral.
    """
    n = reach.shape[1]
    centre, half = (reach.max() + reach.min()) / 2, 0.75 * (reach.max() - reach.min()) + 1.0
    coarse, fine = (256, 16) if n == 1 else (96, 5)
    cell = 2 * half / coarse
    axis = centre - half + (np.arange(coarse) + 0.5) * cell
    log_q = _log_prob(model, _grid([axis] * n).reshape(-1, *shape)).reshape((coarse,) * n)
    relevant = maximum_filter(log_q, size=5) > log_q.max() - 14
    offsets = _grid([((np.arange(fine) + 0.5) / fine - 0.5) * cell] * n)
    points = _grid([axis] * n)[relevant.reshape(-1)][:, None, :] + offsets[None]
    x, width = points.reshape(-1, *shape), 4 * cell / fine
    density = np.exp(_log_prob(model, x))
    if at_wall is not None:
        density = np.where(at_wall(x, width), 0.0, density)
    return float(density.sum() * (cell / fine) ** n), width


def _normalised(subject: Subject, options: dict[str, str]) -> Iterator[Measurement]:
    """∫q = 1 − leaked by the midpoint rule; kinks at walls cost O(h²).

    The fraction of samples that leaked, or with charts lie at walls, is counted, with a binomial error.
    """
    n, shape = subject.theory.degrees_of_freedom, subject.theory.configuration_shape

    def at_wall(x: np.ndarray, width: float) -> np.ndarray:
        y = subject.interpret("canonicalize", x)[0]
        return (-subject.interpret("facets", y)[0]).min(axis=1) < width

    charted = options["strategy"] == "chart"
    for backend in subject.samplers:
        model = subject.model(backend, **options)
        count = 16 * SAMPLES if charted else SAMPLES
        draws = model.sample(count, 7) if charted else subject.draws(backend, SAMPLES_SEED, **options)
        reach = draws.x[:SAMPLES].reshape(-1, n)
        mass, width = integral(model, shape, reach, at_wall if charted else None)
        counted = at_wall(draws.x, width).mean() if charted else draws.leaked.mean()
        level = 1e-10 if counted > 0 else 0.0
        log = np.log(4e10)  # Bernstein's bound at that level
        noise = np.sqrt(2 * counted * (1 - counted) * log / count) + 7 * log / (3 * count) * (counted > 0)
        yield Measurement(mass + counted - 1, 2e-3 + noise, f"∫q = 1 − leaked ({backend}, {options})", level)


def _bridge(subject: Subject, strategy: str) -> BridgeDensity:
    """The bridge density, fitted to more and other samples than the tests use, for a good covariance."""

    def fit() -> BridgeDensity:
        model = subject.model(subject.samplers[0], strategy=strategy, law=subject.laws[-1])
        return BridgeDensity.of(subject, model.sample(4 * SAMPLES, _FIT_SEED))

    return subject.once(("reference", strategy), fit)


class _Drawn(NamedTuple):
    """Samples of the bridge density."""

    x: np.ndarray
    possible: np.ndarray  # whether q ≠ 0, for pairs v = u(x)
    log_s: np.ndarray


def _drawn(subject: Subject, strategy: str, stage: int) -> _Drawn:
    bridge = _bridge(subject, strategy)

    def draw() -> _Drawn:
        x, possible = bridge.draw(SAMPLES * RETEST**stage, SAMPLES_SEED + stage)
        return _Drawn(x, possible, bridge.log_density(x))

    return subject.once(("drawn", strategy, stage), draw)


def _log_q(subject: Subject, model: Model, x: np.ndarray, seed: int) -> np.ndarray:
    """log q(x, a) − log N(a) with fresh a; log q(x) for models without auxiliary coordinates."""
    count = sum(report.slice.dimension - 1 for report in subject.analysis.lie_reports)
    return model.log_prob(x, np.random.default_rng([seed, 5]).normal(size=(len(x), count)))


def _bridged(subject: Subject, options: dict[str, str]) -> Iterator[Measurement]:
    """E[s/(q+s) at x ~ q] = E[q/(q+s) at x ~ s]: differences of pairs of samples, in [−1, 1], have mean 0."""
    bridge = _bridge(subject, options["strategy"])

    def values(backend: str, stage: int) -> np.ndarray:
        draws = samples_at(subject, backend, options, stage)
        at_q = np.where(draws.leaked, 0.0, expit(bridge.log_density(draws.x) - draws.log_q))
        x, possible, log_s = _drawn(subject, options["strategy"], stage)
        log_q = _log_q(subject, subject.model(backend, **options), x, SAMPLES_SEED + stage)
        return at_q - np.where(possible, expit(log_q - log_s), 0.0)

    for backend in subject.samplers:
        what = f"E_q[s/(q+s)] − E_s[q/(q+s)] ({backend}, {options})"
        yield vanishing_mean(partial(values, backend), what, width=2.0)


Field = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""x ↦ (v(x), div v(x)), shapes (batch, n) and (batch,)."""


def _fields(n: int) -> dict[str, Field]:
    direction = np.cos(np.arange(n) + 1.0)
    return {
        "x (virial)": lambda x: (x, np.full(len(x), float(n))),
        "a constant": lambda x: (np.broadcast_to(direction, x.shape), np.zeros(len(x))),
        "sin x": lambda x: (np.sin(x), np.cos(x).sum(axis=1)),
    }


class _Points(NamedTuple):
    """Configurations with the quantities that depend neither on the model nor on the vector field."""

    x: np.ndarray
    slope: np.ndarray  # ∇S
    log_s: np.ndarray
    score: np.ndarray  # ∇log s
    t: np.ndarray  # −S − log s

    @classmethod
    def at(cls, subject: Subject, bridge: BridgeDensity, x: np.ndarray) -> _Points:
        action, gradient = subject.interpret("action_and_gradient", x)
        log_s, score = bridge.log_density_and_score(x)
        flat, slope, score = (a.reshape(len(x), -1) for a in (x, gradient, score))
        return cls(flat, slope, log_s, score, -action - log_s)


def _divergence(points: _Points, log_q: np.ndarray, cut: float, field: Field) -> np.ndarray:
    """div(e^−S ψ v)/r at points, where r = (q + s)/2, up to a factor.

    ψ = 1/(1 + e^(t−c)) with t = −S − log s keeps e^−S ψ/s below e^c: the terms are polynomials in variables
    with Gaussian tails, times a bounded weight.
    """
    x, slope, log_s, score, t = points
    v, divergence = field(x)
    steepness = expit(t - cut) * (v * (-slope - score)).sum(axis=1)
    bracket = divergence - (v * slope).sum(axis=1) - steepness
    return np.exp(t + log_s + log_expit(cut - t) - cut - np.logaddexp(log_q, log_s)) * bracket


def _schwinger_dyson(subject: Subject, options: dict[str, str]) -> Iterator[Measurement]:
    """∫ div(e^−S ψ v) = 0: sums of :func:`_divergence` at a sample of q and one of s have mean 0."""
    strategy = options["strategy"]
    bridge = _bridge(subject, strategy)
    x, _ = bridge.draw(SAMPLES, 3)
    cut = float(np.quantile(-subject.interpret("action", x)[0] - bridge.log_density(x), 0.9))

    def theirs(stage: int) -> _Points:
        x = _drawn(subject, strategy, stage).x
        return subject.once(("points", strategy, stage), lambda: _Points.at(subject, bridge, x))

    @cache
    def ours(backend: str, stage: int) -> tuple[_Points, Draws, np.ndarray]:
        draws = samples_at(subject, backend, options, stage)
        x = theirs(stage).x.reshape(draws.x.shape)
        log_q = _log_q(subject, subject.model(backend, **options), x, SAMPLES_SEED + stage)
        return _Points.at(subject, bridge, draws.x), draws, log_q

    def values(backend: str, field: Field, stage: int) -> np.ndarray:
        points, draws, log_q = ours(backend, stage)
        # a leaked configuration is no sample of q and counts as zero
        at_q = np.where(draws.leaked, 0.0, _divergence(points, draws.log_q, cut, field))
        return at_q + _divergence(theirs(stage), log_q, cut, field)

    for backend in subject.samplers:
        for name, field in _fields(subject.theory.degrees_of_freedom).items():
            what = f"∫ div(e^−S ψ v) = 0 for v = {name} ({backend}, {options})"
            yield vanishing_mean(partial(values, backend, field), what)


def _partition_function(subject: Subject, options: dict[str, str]) -> Iterator[Measurement]:
    """E[p/r] = 1 at samples of r = (q + s)/2, pairs of one sample of q and one of s."""
    exact = subject.exact
    if exact is None:
        return
    for backend in subject.samplers:
        model = subject.fresh_model(backend, **options)
        bridge = BridgeDensity.of(subject, model.sample(SAMPLES, _FIT_SEED))

        def values(stage: int, model: Model = model, bridge: BridgeDensity = bridge) -> np.ndarray:
            count = SAMPLES * RETEST**stage
            draws = model.sample(count, SAMPLES_SEED + stage)
            x, _ = bridge.draw(count, SAMPLES_SEED + stage)
            log_q = _log_q(subject, model, x, SAMPLES_SEED + stage)
            total = np.full(count, -1.0)
            for at, log_q_at, counts in ((draws.x, draws.log_q, ~draws.leaked), (x, log_q, True)):
                log_r = np.logaddexp(log_q_at, bridge.log_density(at))
                log_p = -subject.interpret("action", at)[0] - exact.log_z
                total += np.where(counts, np.exp(log_p - log_r), 0.0)
            return total

        yield vanishing_mean(values, f"E_r[p/r] = 1 with Z of quadrature ({backend}, {options})")


def _enumerable(subject: Subject) -> bool:
    return samples(subject) and subject.log_order <= np.log(64) + 1e-9


PROPERTIES = (
    Property(
        "normalised",
        "∫ q(x) dx = 1 − leaked, by quadrature",
        # a density of folded noise jumps where the noise meets a wall: it is left to the bridge
        lambda s: choice(s).filter(lambda options: options["strategy"] != "canonicalize"),
        _normalised,
        lambda s: samples(s) and s.theory.degrees_of_freedom <= 2 and not has_slices(s),
        4,
    ),
    Property(
        "bridge",
        "∫ q(x) dx = 1 and log q is that of the samples: E_q[s/(q+s)] = E_s[q/(q+s)]",
        choice,
        _bridged,
        samples,
        3,
    ),
    Property(
        "schwinger_dyson",
        "⟨div v − v·∇S⟩ = 0 for three vector fields, the virial identity among them",
        choice,
        _schwinger_dyson,
        _enumerable,
        2,
    ),
    Property(
        "partition_function",
        "weights reproduce log Z of quadrature",
        choice,
        _partition_function,
        lambda s: samples(s) and s.theory.degrees_of_freedom <= 2,
        2,
    ),
)
