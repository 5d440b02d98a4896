"""Exact properties of the model's density: sampling and evaluation agree, also after saving and loading."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from hypothesis import strategies as st
from scipy.special import logsumexp

from ...backend import Draws, Model
from ...estimates.samples import Samples
from ...laws.autoregressive import Together
from ...laws.orbits import uniform_directions
from ..conditional_law import log_conditional_law
from ..property import EPS, Measurement, Property, action_bound, has_slices, modulated
from ..strategies import configurations, elements
from ..subject import SAMPLES_SEED, Subject
from .domain import differs, wall_width

_ELEMENTS = 4096  # most group elements in a sum over the group
_TURNS = 4  # approximate number of elements that act on whole rows of blocks


def choices(subject: Subject) -> list[dict[str, str]]:
    """Options of models: every law with the first strategy, every other strategy with the last law."""
    first, *others = subject.strategies
    listed = [{"strategy": first, "law": law} for law in subject.laws]
    return listed + [{"strategy": s, "law": subject.laws[-1]} for s in others]


def choice(subject: Subject) -> st.SearchStrategy[dict[str, str]]:
    """A strategy that draws one of the :func:`choices`."""
    return st.sampled_from(choices(subject))


def samples(subject: Subject) -> bool:
    """Whether any backend has models."""
    return bool(subject.samplers)


def lost_at_walls(subject: Subject, options: dict[str, str], x: np.ndarray) -> np.ndarray:
    """Rounding error of log q of a charted model, (batch,): the relative error of the least distance."""
    if options["strategy"] != "chart":
        return np.zeros(len(x))
    facets = subject.interpret("facets", subject.interpret("canonicalize", x)[0])[0].reshape(len(x), -1)
    return wall_width(subject, x) / np.maximum(np.abs(facets).min(axis=1, initial=np.inf), 1e-300)


def lost_where_steep(model: Model, draws: Draws, log_q: np.ndarray) -> np.ndarray:
    """Rounding error of log q by that of x, (batch,): its change from a neighbour of x, 10⁻¹² away.

    A circular spline of random weights may have a density of 10⁶, and a derivative that is larger still.
    """
    step = 1e-12 * (1 + np.abs(draws.x)) * np.random.default_rng(3).choice([-1.0, 1.0], size=draws.x.shape)
    with np.errstate(invalid="ignore"):
        change = np.abs(model.log_prob(draws.x + step, draws.auxiliary) - log_q)
    return 100 * EPS["float64"] / 1e-12 * np.where(np.isfinite(change), change, 0.0)


def _density_of_samples(subject: Subject, listed: list[dict[str, str]]) -> Iterator[Measurement]:
    for options in listed:
        yield from _density_of(subject, options)


def _density_of(subject: Subject, options: dict[str, str]) -> Iterator[Measurement]:
    """log q from the flow and from its inverse agree; tolerance: a hundred operations of size |log q|."""
    first: Draws | None = None
    for backend in subject.samplers:
        model = subject.model(backend, **options)
        where = f"({backend}, {options})"
        draws = subject.draws(backend, SAMPLES_SEED, **options).head(16)
        kept = ~draws.leaked
        lost = lost_at_walls(subject, options, draws.x)
        log_q = model.log_prob(draws.x, draws.auxiliary)
        scale = 1e-9 * (1 + np.abs(draws.log_q)) + lost + lost_where_steep(model, draws, log_q)
        yield Measurement(
            np.where(kept, log_q - draws.log_q, 0), scale, f"log q of samples = log q(x) {where}"
        )
        # the inverse finds at least the density of the draw: a fold adds the density of other pre-images
        if draws.log_prob_mismatch is not None:
            yield Measurement(draws.log_prob_mismatch, scale, f"log q of drawing ≤ log q of samples {where}")
        one = np.concatenate(
            [model.log_prob(draws.x[i : i + 1], draws.auxiliary[i : i + 1]) for i in range(3)]
        )
        with np.errstate(invalid="ignore"):
            apart = np.where(one == log_q[:3], 0, one - log_q[:3])  # both are −∞ at samples that leaked
        yield Measurement(apart, scale[:3], f"a batch of n = n batches of one {where}")
        action = subject.interpret("action", draws.x)[0]
        bound = 4 * action_bound(subject, "action", draws.x, EPS["float64"])
        yield Measurement(draws.action - action, bound, f"the action of samples {where}")
        sector = subject.interpret("canonicalize", draws.x)[1]
        # a chart may map the far tail of a flow to the wall itself, which belongs to both sectors
        wrong = np.where(kept & (lost < 1), differs(sector, draws.sector), 0)
        yield Measurement(wrong, 0, f"the sector of samples {where}")
        kinds = {a.dtype for a in (draws.x, draws.log_q, draws.action)}
        yield Measurement(int(kinds != {np.dtype("float64")}), 0, f"samples are float64 {where}")
        if first is None:
            first = draws
        else:
            other = subject.model(subject.samplers[0], **options)
            reference = other.log_prob(first.x, first.auxiliary)
            lost = lost_at_walls(subject, options, first.x) + lost_where_steep(other, first, reference)
            yield Measurement(
                model.log_prob(first.x, first.auxiliary) - reference,
                1e-9 * (1 + np.abs(reference)) + lost,
                f"same on all backends {where}",
            )


def _law_of_the_group(
    subject: Subject, example: tuple[dict[str, str], np.ndarray, np.ndarray]
) -> Iterator[Measurement]:
    """log q(T_g x) − log q(x) equals the change of log p(u|y).

    It is zero for the uniform law, a constant for a learned one, S₁(x) − S₁(T_g x) for the heat bath, and the
    change of the network's log p for a conditional law. For an autoregressive law it is S₁(x) − S₁(T_h x) for
    elements h that act on whole rows.
    """
    options, x, g = example
    if options["law"] == "conditional" and subject.analysis.chained:
        yield from _turns_of_rows(subject, options, x)
        return
    image = subject.act(g, x)
    u = subject.interpret("canonicalize", x)[1]
    v = subject.interpret("canonicalize", image)[1]
    expected_v = subject.analysis.group.table[g, u]
    clear = ~differs(v, expected_v)
    for backend in subject.samplers:
        model = subject.model(backend, **options)
        change, size, reached = _change(model.log_prob(x), model.log_prob(image))
        size, clear = size + lost_at_walls(subject, options, x), clear & reached
        if options["law"] == "uniform":
            yield Measurement(np.where(clear, change, 0), size, f"log q(T_g x) = log q(x) ({backend})")
        elif options["law"] == "heat_bath":
            expected = np.zeros(len(x))
            if "breaking" in subject.program.functions:
                expected = subject.interpret("breaking", x)[0] - subject.interpret("breaking", image)[0]
            yield Measurement(
                np.where(clear, change - expected, 0),
                size + 1e-12 * np.abs(subject.interpret("action", image)[0]),
                f"log q(T_g x) + S₁(T_g x) does not depend on g ({backend})",
            )
        elif options["law"] == "learned":
            constant = change[clear & (u == u[0]).reshape(len(u), -1).all(axis=1)]
            spread = np.ptp(constant) if len(constant) else 0.0
            yield Measurement(spread, size.max(), f"log p(gu) − log p(u) is a number ({backend})")
        elif options["law"] == "conditional":
            y, state = subject.interpret("canonicalize", x)[0], model.state()
            there, here = (log_conditional_law(subject, state, options["strategy"], y, w) for w in (v, u))
            yield Measurement(
                np.where(clear, change - (there - here), 0),
                size + 1e-9 * (1 + np.abs(there) + np.abs(here)),
                f"log p(gu|y) − log p(u|y) is that of the network ({backend})",
            )


def _change(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(after − before of log q, its rounding error, whether q ≠ 0 at both), (batch,) each.

    A model whose noise is folded has zero density on a part of the space, and then on all images of it.
    """
    reached = ~(np.isneginf(before) & np.isneginf(after))
    change = np.subtract(after, before, out=np.zeros_like(after), where=reached)
    both = np.isfinite(before) & np.isfinite(after)
    return change, 1e-9 * (1 + np.where(both, np.abs(before) + np.abs(after), 0.0)), reached


def _turns_of_rows(subject: Subject, options: dict[str, str], x: np.ndarray) -> Iterator[Measurement]:
    """Under an autoregressive law elements that act on whole rows have the heat-bath law, for any weights."""
    together = Together.of(subject.analysis)
    if together is None:
        return
    for turn in together.elements[1 :: max(1, len(together.elements) // _TURNS)]:
        image = subject.act(turn, x)
        u, v = (subject.interpret("canonicalize", z)[1] for z in (x, image))
        clear = ~differs(v, subject.analysis.group.table[turn, u])
        expected = subject.interpret("breaking", x)[0] - subject.interpret("breaking", image)[0]
        for backend in subject.samplers:
            model = subject.model(backend, **options)
            change, size, reached = _change(model.log_prob(x), model.log_prob(image))
            lost = lost_at_walls(subject, options, x)
            yield Measurement(
                np.where(clear & reached, change - expected, 0),
                size + lost + 1e-12 * np.abs(subject.interpret("action", image)[0]),
                f"log q(T_h x) + S₁(T_h x) does not depend on the turn h of rows ({backend})",
            )


def _law_normalises(subject: Subject, x: np.ndarray) -> Iterator[Measurement]:
    """Σ_g q(T_g x) is the flow's density in the domain under every law: |G| q(x) for the uniform one."""
    elements = subject.some_elements(_ELEMENTS)
    images = np.concatenate([subject.act(g, x) for g in elements])
    options = {"strategy": subject.strategies[0]}
    for backend in subject.samplers:
        uniform = subject.model(backend, **options, law="uniform").log_prob(x)
        expected = uniform + np.log(len(elements))
        scale = 1e-9 * (1 + np.abs(uniform)) + lost_at_walls(subject, options, x)
        for law in subject.laws[1:]:
            log_q = subject.model(backend, **options, law=law).log_prob(images)
            total = logsumexp(log_q.reshape(len(elements), -1), axis=0)
            yield Measurement(total - expected, scale, f"Σ_u p(u|y) = 1 ({backend}, {law})")


def _metrics(subject: Subject, options: dict[str, str]) -> Iterator[Measurement]:
    """The metrics of a set of samples, recomputed from their definitions with plain sums."""
    n = subject.theory.degrees_of_freedom
    for backend in subject.samplers:
        draws = subject.draws(backend, SAMPLES_SEED, **options).head(512)
        figures = Samples.of(draws, subject.program, subject.parameters, None)
        log_w = np.where(draws.leaked, -np.inf, -draws.action - draws.log_q)
        w = np.exp(log_w - log_w.max())
        tolerance = 1e-10
        yield Measurement(figures.ess - w.sum() ** 2 / (len(w) * (w**2).sum()), tolerance, f"ESS ({backend})")
        log_z = float(np.log(w.mean()) + log_w.max())
        yield Measurement(figures.log_z.value - log_z, tolerance * (1 + abs(log_z)), f"log Z ({backend})")
        error = float(w.std() / w.mean() / np.sqrt(len(w)))
        yield Measurement(figures.log_z.error - error, tolerance, f"error of log Z ({backend})")
        yield Measurement(figures.weights.sum() - 1, tolerance, f"weights sum to one ({backend})")
        _, gradient = subject.interpret("action_and_gradient", draws.x)
        virial = (draws.x * gradient).reshape(len(w), -1).sum(axis=1) / n
        mean = float(w @ virial / w.sum())
        yield Measurement(figures.virial.value - mean, tolerance * (1 + abs(mean)), f"virial ({backend})")
        kept = log_w[~draws.leaked]
        bound = float(-kept.mean() - np.log(1 - draws.leaked.mean()))
        found = figures.free_energy_bound.value
        yield Measurement(found - bound, tolerance * (1 + abs(bound)), f"⟨log q + S⟩ ({backend})")
        if subject.program.sectors.enumerable:
            elements = subject.program.sectors.elements
            yield Measurement(len(figures.sector_masses) - len(elements), 0, f"sectors ({backend})")
            for u, mass in zip(elements, figures.sector_masses, strict=True):
                inside = ~differs(draws.sector, np.broadcast_to(u, draws.sector.shape))
                expected = float(w[inside].sum() / w.sum())
                yield Measurement(mass - expected, tolerance, f"mass of sector {u} ({backend})")


def _round_trip(subject: Subject, listed: list[dict[str, str]]) -> Iterator[Measurement]:
    """Weights and seed determine the samples, also after saving and loading the model."""
    for options in listed:
        first = subject.model(subject.samplers[0], **options).state()
        for backend in subject.samplers:
            where = f"({backend}, {options})"
            model = subject.model(backend, **options)
            twin = subject.fresh_model(backend, **options)
            twin.load_state(model.state())
            a = subject.draws(backend, SAMPLES_SEED, **options)
            b = twin.sample(len(a.x), SAMPLES_SEED)
            yield Measurement(np.abs(a.x - b.x).max(), 0, f"save → load → the same samples {where}")
            yield Measurement(np.abs(a.log_q - b.log_q).max(), 0, f"save → load → the same density {where}")
            other = twin.sample(16, SAMPLES_SEED + 1)
            yield Measurement(int((a.x[:16] == other.x).all()), 0, f"another seed, other samples {where}")
            same = {k: v.shape for k, v in first.items()} == {k: v.shape for k, v in model.state().items()}
            yield Measurement(int(not same), 0, f"one layout of weights on all backends {where}")


def _law_of_the_orbits(
    subject: Subject, example: tuple[dict[str, str], np.ndarray, int]
) -> Iterator[Measurement]:
    """log q(R(n) x) − log q(x) is zero, or S₁(x) − S₁(R(n) x) for the exact conditional in closed form."""
    options, x, seed = example
    rng = np.random.default_rng(seed)
    directions = {
        f"n_{i}": uniform_directions(rng, len(x), report.slice.dimension)
        for i, report in enumerate(subject.analysis.lie_reports)
    }
    y, *_ = subject.interpret("unrotate", x)
    image = subject.interpret("rotate", y, **directions)[0]
    heat_bath = options["law"] == "heat_bath" and subject.analysis.orbit_law == "von_mises"
    expected = np.zeros(len(x))
    if heat_bath:
        expected = subject.interpret("breaking", x)[0] - subject.interpret("breaking", image)[0]
    for backend in subject.samplers:
        model = subject.model(backend, **options)
        before, after = model.log_prob(x), model.log_prob(image)
        size = 1e-9 * (1 + np.abs(before) + np.abs(after) + np.abs(expected))
        yield Measurement(after - before - expected, size, f"log q(R(n) x) − log q(x) ({backend}, {options})")


PROPERTIES = (
    Property(
        "density_of_samples",
        "log q(sample) = log q(x), batches, sectors, backends",
        lambda s: st.just(choices(s)),
        _density_of_samples,
        samples,
        1,
    ),
    Property(
        "law_of_the_group",
        "log q(T_g x) − log q(x) is what p(u|y) says",
        lambda s: st.tuples(choice(s), configurations(s, kinds=("normal", "sector"), batch=16), elements(s)),
        _law_of_the_group,
        lambda s: samples(s) and modulated(s) and not has_slices(s),
        8,
    ),
    Property(
        "law_normalises",
        "Σ_u p(u|y) = 1: Σ_g q(T_g x) = |G| q(x) with the uniform law",
        lambda s: configurations(
            s, kinds=("normal", "sector"), batch=int(np.clip(16 / np.exp(s.log_order), 1, 16))
        ),
        _law_normalises,
        lambda s: (
            samples(s) and modulated(s) and not has_slices(s) and s.log_order <= np.log(_ELEMENTS) + 1e-9
        ),
        2,
    ),
    Property(
        "law_of_the_orbits",
        "log q(R(n) x) − log q(x) is what p(n|y) says",
        lambda s: st.tuples(
            choice(s).filter(
                lambda options: options["law"] in ("uniform", "heat_bath")
            ),  # not for p(n|y) of a network
            configurations(s, kinds=("normal", "sector"), batch=16),
            st.integers(0, 2**31),
        ),
        _law_of_the_orbits,
        lambda s: (
            samples(s)
            and has_slices(s)
            and s.analysis.group.order == 1
            and s.analysis.orbit_law in ("uniform", "von_mises")
        ),
        4,
    ),
    Property(
        "metrics",
        "ESS, log Z, virial and masses are as defined",
        choice,
        _metrics,
        samples,
        6,
    ),
    Property(
        "round_trip",
        "a saved model and a seed give the same samples",
        lambda s: st.just(choices(s)),
        _round_trip,
        samples,
        1,
    ),
)
