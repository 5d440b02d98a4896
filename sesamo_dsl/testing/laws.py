"""The laws every compiled theory has to obey, each a named object with its tolerance derived.

A law measures a residual and the tolerance it may have on one example; ``residual ≤ tolerance`` is the law.
An example is whatever the law's strategy draws. Laws about probabilities build an untrained model with random
weights: what they state is true of every model, not of a good one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from scipy.ndimage import maximum_filter

from ..analysis.evaluate import evaluate
from ..analysis.invariance import act
from ..evaluation import Samples
from ..exact import floats
from ..orbits import uniform_directions
from ..reference import exact_reference
from ..theory import Precision
from .rounding import error_bounds
from .strategies import configurations, elements, words
from .subject import Subject

_EPS: dict[Precision, float] = {
    "float32": float(np.finfo(np.float32).eps),
    "float64": float(np.finfo(np.float64).eps),
}
_JACOBIAN_LIMIT = 512  # degrees of freedom up to which the full Jacobian is formed


class Measurement(NamedTuple):
    """Residual and tolerance, arrays broadcastable to each other; NaN counts as a failure."""

    residual: Any
    tolerance: Any
    what: str = ""

    @property
    def ratio(self) -> float:
        """Largest residual in units of its tolerance, infinite if anything is NaN."""
        residual, tolerance = np.broadcast_arrays(np.abs(self.residual), self.tolerance)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.where((residual == 0) & (tolerance >= 0), 0.0, residual / tolerance)
        return float(np.max(np.where(np.isnan(ratios), np.inf, ratios), initial=0.0))


@dataclass(frozen=True)
class Law:
    """A property of compiled theories.

    Attributes
    ----------
    name
        Short identifier.
    statement
        The property as a formula or sentence.
    examples
        Strategy of examples for a subject.
    measure
        Measurements on one example.
    applies
        Whether the law says anything about a subject.
    count
        Number of examples to try by default.
    """

    name: str
    statement: str
    examples: Callable[[Subject], st.SearchStrategy[Any]]
    measure: Callable[[Subject, Any], Iterator[Measurement]]
    applies: Callable[[Subject], bool] = lambda subject: True
    count: int = 25


def _modulated(subject: Subject) -> bool:
    return subject.analysis.group.order > 1


def _once(subject: Subject) -> st.SearchStrategy[None]:
    return st.none()


def _action_bound(subject: Subject, function: str, x: np.ndarray, eps: float, index: int = 0) -> np.ndarray:
    """Rounding bound of a program function whose input was itself computed in this precision."""
    error = eps * len(subject.theory.components) * np.abs(x).max(axis=1, keepdims=True)
    bounds = error_bounds(
        subject.program,
        function,
        x,
        subject.parameters,
        roundoff=eps,
        input_error=np.broadcast_to(error, x.shape),
    )
    return bounds[index]


# the group --------------------------------------------------------------------------------------------------


def _triples(subject: Subject) -> st.SearchStrategy[tuple[int, int, int]]:
    return st.tuples(elements(subject), elements(subject), elements(subject))


def _group_axioms(subject: Subject, example: tuple[int, int, int]) -> Iterator[Measurement]:
    a, b, c = example
    table, inverses = subject.analysis.group.table, subject.analysis.group.inverses
    yield Measurement(int(table[table[a, b], c] != table[a, table[b, c]]), 0, "(ab)c = a(bc)")
    yield Measurement(int(table[a, 0] != a) + int(table[0, a] != a), 0, "ae = ea = a")
    yield Measurement(int(table[a, inverses[a]] != 0) + int(table[inverses[a], a] != 0), 0, "aa⁻¹ = e")
    yield Measurement(len(set(table[a])) - subject.analysis.group.order, 0, "rows are permutations")


def _homomorphism(subject: Subject, word: list[int]) -> Iterator[Measurement]:
    group, matrices = subject.analysis.group, subject.program.constants["MATRICES"]
    product, index = np.eye(matrices.shape[1]), 0
    for s in word:
        generator = floats(group.generators[s].matrix)
        product = product @ generator
        index = group.table[index, group.elements.index(group.generators[s])]
    size = max(1.0, float(np.abs(product).max()))
    tolerance = 8 * _EPS["float64"] * (len(word) + 1) * matrices.shape[1] * size
    yield Measurement(np.abs(product - matrices[index]).max(), tolerance, "D(s₁s₂…) = D(s₁)D(s₂)…")
    inverse = subject.program.constants["INVERSES"][index] @ matrices[index]
    yield Measurement(np.abs(inverse - np.eye(len(inverse))).max(), tolerance, "D(g)⁻¹D(g) = 1")


# the action -------------------------------------------------------------------------------------------------


def _x_and_element(subject: Subject) -> st.SearchStrategy[tuple[np.ndarray, int]]:
    return st.tuples(configurations(subject), elements(subject))


def _invariant_part(subject: Subject, example: tuple[np.ndarray, int]) -> Iterator[Measurement]:
    x, g = example
    change: Any = 0.0
    tolerance: Any = 0.0
    image = subject.act(g, x)
    for sign, y in ((1, image), (-1, x)):
        change = change + sign * subject.interpret("action", y)[0]
        tolerance = tolerance + _action_bound(subject, "action", y, _EPS["float64"])
        if "breaking" in subject.program.functions:
            change = change - sign * subject.interpret("breaking", y)[0]
            tolerance = tolerance + _action_bound(subject, "breaking", y, _EPS["float64"])
    yield Measurement(change, tolerance, "S₀(T_g x) = S₀(x)")


def _declared_residual(subject: Subject, x: np.ndarray) -> Iterator[Measurement]:
    components = subject.theory.components
    for report in subject.analysis.reports:
        for verdict in report.verdicts:
            image = np.stack([act(verdict.generator, one) for one in x])
            change = subject.interpret("action", image)[0] - subject.interpret("action", x)[0]
            expected = [evaluate(verdict.residual, one, components, subject.parameters) for one in x]
            tolerance = _action_bound(subject, "action", image, _EPS["float64"]) + _action_bound(
                subject, "action", x, _EPS["float64"]
            )
            yield Measurement(change - expected, tolerance, f"S∘T − S = {verdict.residual}")


# the domain -------------------------------------------------------------------------------------------------


def _margins(subject: Subject, x: np.ndarray) -> np.ndarray:
    """⟨c, r⟩ − max over the other elements, (batch,): positive inside the domain, up to rounding."""
    scores = x.mean(axis=tuple(range(2, x.ndim))) @ subject.program.constants["SCORES"].T
    return scores[:, 0] - scores[:, 1:].max(axis=1)


def _wall_width(subject: Subject, x: np.ndarray) -> np.ndarray:
    """Distance from a wall below which rounding decides the side, (batch,)."""
    volume = subject.theory.lattice.volume
    size = np.abs(x).max(axis=tuple(range(1, x.ndim)))
    return 64 * _EPS["float64"] * (1 + np.log2(volume + 1)) * len(subject.theory.components) * (size + 1e-300)


def _inverse_pair(subject: Subject, x: np.ndarray) -> Iterator[Measurement]:
    y, u = subject.interpret("canonicalize", x)
    back = subject.interpret("modulate", y, u=u)[0]
    width = _wall_width(subject, x)
    yield Measurement(np.abs(back - x).max(axis=tuple(range(1, x.ndim))), width, "modulate∘canonicalize = id")
    facets = subject.interpret("facets", y)[0]
    yield Measurement(np.clip(facets, 0, None).max(axis=1, initial=0.0), width, "canonicalize lands in Ω")


def _tiling(subject: Subject, example: tuple[np.ndarray, int]) -> Iterator[Measurement]:
    x, g = example
    y, u = subject.interpret("canonicalize", x)
    z, v = subject.interpret("canonicalize", subject.act(g, x))
    inside = _margins(subject, y) > 4 * _wall_width(subject, x)  # on a wall x has several u
    distance = np.abs(y - z).max(axis=tuple(range(1, x.ndim)))
    yield Measurement(np.where(inside, distance, 0.0), 4 * _wall_width(subject, x), "C(T_g x) = C(x)")
    expected = subject.analysis.group.table[g, u]
    yield Measurement(np.where(inside, v != expected, 0), 0, "u(T_g x) = g·u(x)")
    count = sum(
        (subject.interpret("facets", subject.act(int(h), x))[0] <= 0).all(axis=1).astype(int)
        for h in subject.analysis.group.inverses
    )
    yield Measurement(np.where(inside, count - 1, 0), 0, "exactly one T_u⁻¹x lies in Ω")


def _facets_match(subject: Subject, x: np.ndarray) -> Iterator[Measurement]:
    margins, width = _margins(subject, x), _wall_width(subject, x)
    inside = (subject.interpret("facets", x)[0] <= 0).all(axis=1)
    clear = np.abs(margins) > 4 * width
    yield Measurement(np.where(clear, inside != (margins > 0), 0), 0, "x ∈ Ω ⇔ λ_j(x) ≤ 0 for all j")


def _modulation_jacobian(subject: Subject, g: int) -> Iterator[Measurement]:
    """The full matrix of y ↦ T_g y, column by column from unit vectors (the map is linear)."""
    n, shape = subject.theory.degrees_of_freedom, subject.theory.configuration_shape
    for backend in subject.backends:
        compiled = subject.compiled(backend, "float64")
        units = np.eye(n).reshape(n, *shape)
        columns = compiled.evaluate("modulate", units, u=np.full(n, g))[0].reshape(n, n)
        log_det = np.linalg.slogdet(columns)[1]
        yield Measurement(log_det, 64 * n * _EPS["float64"], f"log|det DT_g| = 0 ({backend})")
        yield Measurement(n - np.linalg.matrix_rank(columns), 0, f"rank n ({backend})")


# Lie groups -------------------------------------------------------------------------------------------------


def _has_slices(subject: Subject) -> bool:
    return bool(subject.analysis.lie_reports)


def _slice_pair(subject: Subject, x: np.ndarray) -> Iterator[Measurement]:
    """Tolerances are those of rotations by well-conditioned matrices, relative to the size of x."""
    y, *directions = subject.interpret("unrotate", x)
    named = {f"n_{i}": n for i, n in enumerate(directions)}
    back = subject.interpret("rotate", y, **named)[0]
    size = np.abs(x).max(axis=tuple(range(1, x.ndim))) * np.sqrt(subject.theory.lattice.volume)
    tolerance = 256 * _EPS["float64"] * (size + 1e-300)
    # a vanishing collective vector has no orientation: the pair is then inverse for any n
    yield Measurement(np.abs(back - x).max(axis=tuple(range(1, x.ndim))), tolerance, "rotate∘unrotate = id")
    on_slice, *auxiliary = subject.interpret("on_slice", y)
    for a in auxiliary:
        yield Measurement(np.abs(a).max(axis=1), tolerance, "unrotate lands on the slice")
    named = {f"a_{i}": a for i, a in enumerate(auxiliary)}
    again = subject.interpret("off_slice", on_slice, **named)[0]
    yield Measurement(
        np.abs(again - y).max(axis=tuple(range(1, x.ndim))), tolerance, "off_slice∘on_slice = id"
    )
    oriented = subject.interpret("orient", y)[0]
    for radius in subject.interpret("radii", oriented):
        yield Measurement(np.clip(-radius, 0, None), tolerance, "orient points forward")


def _orbit_invariance(subject: Subject, example: tuple[np.ndarray, int]) -> Iterator[Measurement]:
    """S₀ does not change under R(n); tolerance: bounds of S and S₁ at both ends, R's rounding included."""
    x, seed = example
    rng = np.random.default_rng(seed)
    named = {
        f"n_{i}": uniform_directions(rng, len(x), report.slice.dimension)
        for i, report in enumerate(subject.analysis.lie_reports)
    }
    image = subject.interpret("rotate", x, **named)[0]
    change: Any = 0.0
    tolerance: Any = 0.0
    for sign, y in ((1, image), (-1, x)):
        for function, weight in (("action", 1), ("breaking", -1)):
            if function in subject.program.functions:
                change = change + sign * weight * subject.interpret(function, y)[0]
                tolerance = tolerance + 8 * _action_bound(subject, function, y, _EPS["float64"])
    yield Measurement(change, tolerance, "S₀(R(n) x) = S₀(x)")


def orbit_jacobian(subject: Subject, backend: str, x: np.ndarray) -> tuple[np.ndarray, float]:
    """The Jacobian of (y on the slices, n) ↦ x at one configuration by forward-mode autodiff, and log Δ(y).

    Columns: an orthonormal basis of the slice, then orthonormal tangents of the spheres; (n, n).
    """
    compiled = subject.compiled(backend, "float64")
    n, shape = subject.theory.degrees_of_freedom, subject.theory.configuration_shape
    y, *directions = subject.interpret("unrotate", x[None])
    gauge = np.zeros((0, n))
    for report in subject.analysis.lie_reports:
        for a in report.slice.block[1:]:
            mode = np.zeros(shape)
            mode[a] = 1 / np.sqrt(subject.theory.lattice.volume)
            gauge = np.concatenate([gauge, mode.reshape(1, n)])
    slice_basis = np.linalg.svd(gauge)[2][len(gauge) :]
    inputs = [np.repeat(y, n, axis=0), *(np.repeat(d, n, axis=0) for d in directions)]
    tangents = [np.zeros_like(a) for a in inputs]
    tangents[0][: len(slice_basis)] = slice_basis.reshape(-1, *shape)
    column = len(slice_basis)
    for i, direction in enumerate(directions):
        sphere = np.linalg.svd(direction)[2][1:]
        tangents[1 + i][column : column + len(sphere)] = sphere
        column += len(sphere)
    columns = compiled.backend.derivative(compiled.module.rotate, inputs, tangents).reshape(n, n)
    return columns.T, float(subject.interpret("log_faddeev_popov", y)[0][0])


def _slice_jacobian(subject: Subject, x: np.ndarray) -> Iterator[Measurement]:
    for backend in subject.backends:
        jacobian, log_determinant = orbit_jacobian(subject, backend, x[0])
        n = len(jacobian)
        yield Measurement(n - np.linalg.matrix_rank(jacobian), 0, f"rank n ({backend})")
        log_det = np.linalg.slogdet(jacobian)[1]
        tolerance = 64 * n * _EPS["float64"] * (1 + abs(log_determinant)) * np.linalg.cond(jacobian) ** 0.5
        yield Measurement(log_det - log_determinant, min(tolerance, 1e-10), f"log|J| = log Δ ({backend})")


# the emitted code -------------------------------------------------------------------------------------------


def _emitted_is_program(subject: Subject, x: np.ndarray) -> Iterator[Measurement]:
    real = [n for n in subject.program.functions if n.startswith(("action", "breaking", "observable_"))]
    for backend in subject.backends:
        for precision, eps in _EPS.items():
            compiled = subject.compiled(backend, precision)
            rounded = x.astype(precision).astype(np.float64)
            for name in real:
                expected = subject.interpret(name, rounded)
                found = compiled.evaluate(name, rounded, subject.parameters)
                for index, (a, b) in enumerate(zip(found, expected, strict=True)):
                    bound = error_bounds(
                        subject.program, name, rounded, subject.parameters, roundoff=eps + _EPS["float64"]
                    )[index]
                    yield Measurement(a - b, bound, f"{name}, {backend}, {precision}")


def _program_is_symbols(subject: Subject, x: np.ndarray) -> Iterator[Measurement]:
    first = x[:1]
    value = subject.interpret("action", first)[0][0]
    exact = evaluate(
        subject.theory.action, first[0], subject.theory.components, subject.parameters, digits=30
    )
    yield Measurement(float(value - exact), _action_bound(subject, "action", first, _EPS["float64"]), "S")


def _gradient(subject: Subject, example: tuple[np.ndarray, np.ndarray]) -> Iterator[Measurement]:
    """Directional derivative against a symmetric difference in 40 digits, exact but for its h² term."""
    import mpmath

    # multiples of 1/256 keep x ± hv exact in float64
    x, direction = np.round(example[0][0] * 256) / 256, np.round(np.clip(example[1][0], -4, 4) * 256) / 256
    gradient = subject.interpret("action_and_gradient", x[None])[1][0]
    step = 2.0**-30
    plus, minus = x + step * direction, x - step * direction
    values = [
        evaluate(subject.theory.action, y, subject.theory.components, subject.parameters, digits=40)
        for y in (plus, minus)
    ]
    with mpmath.workdps(40):
        slope = float((values[0] - values[1]) / (2 * step))
    bound = _action_bound(subject, "action_and_gradient", x[None], _EPS["float64"], index=1)[0]
    curvature = 1e-14 * (1 + abs(slope) + np.abs(gradient).sum())  # the difference's own h² error
    yield Measurement(float((gradient * direction).sum()) - slope, np.abs(bound).sum() + curvature, "v·∇S")


# the density ------------------------------------------------------------------------------------------------


def _choices(subject: Subject) -> list[dict[str, str]]:
    strategies = ("fold", "penalty") if subject.analysis.group.order <= 64 else ("penalty",)
    laws = ["uniform"]
    if subject.analysis.is_modulated:
        laws += ["learned", "heat_bath"] if subject.analysis.group.order > 1 else ["heat_bath"]
    return [{"strategy": s, "law": law} for s in strategies for law in laws]


def _choice_and_seed(subject: Subject) -> st.SearchStrategy[tuple[dict[str, str], int]]:
    return st.tuples(st.sampled_from(_choices(subject)), st.integers(1, 2**31))


def _density_of_samples(subject: Subject, example: tuple[dict[str, str], int]) -> Iterator[Measurement]:
    choice, seed = example
    first: np.ndarray | None = None
    for backend in subject.backends:
        model = subject.model(backend, **choice)
        draws = model.sample(16, seed)
        again = model.sample(16, seed)
        yield Measurement(np.abs(draws.x - again.x).max(), 0, f"the seed determines the samples ({backend})")
        kept = ~draws.leaked
        scale = 1e-9 * (1 + np.abs(draws.log_q))
        log_q = model.log_prob(draws.x, draws.auxiliary)
        yield Measurement(
            np.where(kept, log_q - draws.log_q, 0), scale, f"log q of samples = log q(x) ({backend})"
        )
        one = np.concatenate(
            [model.log_prob(draws.x[i : i + 1], draws.auxiliary[i : i + 1]) for i in range(3)]
        )
        yield Measurement(one - log_q[:3], scale[:3], f"a batch of n = n batches of one ({backend})")
        action = subject.interpret("action", draws.x)[0]
        bound = 4 * _action_bound(subject, "action", draws.x, _EPS["float64"])
        yield Measurement(draws.action - action, bound, f"the action of samples ({backend})")
        sector = subject.interpret("canonicalize", draws.x)[1]
        yield Measurement(np.where(kept, sector != draws.sector, 0), 0, f"the sector of samples ({backend})")
        if first is None:
            first = draws.x
        else:
            reference = subject.model(subject.backends[0], **choice).log_prob(first)
            yield Measurement(
                model.log_prob(first) - reference, 1e-9 * (1 + np.abs(reference)), "same on all backends"
            )


def _normalised(subject: Subject, choice: dict[str, str]) -> Iterator[Measurement]:
    """∫q = 1 − leaked by the midpoint rule, refined where q is not negligible; kinks at walls cost O(h²)."""
    n, shape = subject.theory.degrees_of_freedom, subject.theory.configuration_shape
    for backend in subject.backends:
        model = subject.model(backend, **choice)
        draws = model.sample(4096, 7)
        flat = draws.x.reshape(len(draws.x), n)
        centre, half = (flat.max() + flat.min()) / 2, 0.75 * (flat.max() - flat.min()) + 1.0
        coarse, fine = (256, 16) if n == 1 else (96, 7)
        cell = 2 * half / coarse
        axis = centre - half + (np.arange(coarse) + 0.5) * cell
        log_q = model.log_prob(_grid([axis] * n).reshape(-1, *shape)).reshape((coarse,) * n)
        relevant = maximum_filter(log_q, size=5) > log_q.max() - 20
        offsets = _grid([((np.arange(fine) + 0.5) / fine - 0.5) * cell] * n)
        points = _grid([axis] * n)[relevant.reshape(-1)][:, None, :] + offsets[None]
        mass = np.exp(model.log_prob(points.reshape(-1, *shape))).sum() * (cell / fine) ** n
        leaked = draws.leaked.mean()
        noise = 5 * np.sqrt((leaked * (1 - leaked) + (leaked > 0) / len(flat)) / len(flat))
        yield Measurement(mass + leaked - 1, 2e-3 + noise, f"∫q = 1 − leaked ({backend}, {choice})")


def _grid(axes: list[np.ndarray]) -> np.ndarray:
    """All points of a product grid, (points, dimensions)."""
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))


def _partition_function(subject: Subject, choice: dict[str, str]) -> Iterator[Measurement]:
    """Importance weights of an untrained model against quadrature; 5σ, so a false alarm has odds of 6e-7."""
    exact = exact_reference(subject.program, subject.parameters)
    if exact is None:
        return
    for backend in subject.backends:
        draws = subject.fresh_model(backend, **choice).sample(20_000, 9)
        samples = Samples.of(draws, subject.program, subject.parameters, exact)
        value, error = samples.log_z
        yield Measurement((value - exact.log_z) / error, 5.0, f"log Z in σ ({backend}, {choice})")
        yield Measurement(samples.virial_z_score, 5.0, f"virial identity in σ ({backend}, {choice})")


def _round_trip(subject: Subject, choice: dict[str, str]) -> Iterator[Measurement]:
    for backend in subject.backends:
        model = subject.model(backend, **choice)
        twin = subject.fresh_model(backend, **choice)
        twin.load_state(model.state())
        a, b = model.sample(8, 3), twin.sample(8, 3)
        yield Measurement(np.abs(a.x - b.x).max(), 0, f"save → load → the same samples ({backend})")
        yield Measurement(np.abs(a.log_q - b.log_q).max(), 0, f"save → load → the same density ({backend})")


LAWS: tuple[Law, ...] = (
    Law("group_axioms", "the multiplication table is that of a group", _triples, _group_axioms, _modulated),
    Law("homomorphism", "D(gh) = D(g) D(h)", words, _homomorphism, _modulated),
    Law("invariant_part", "S₀(T_g x) = S₀(x) with S₀ = S − S₁", _x_and_element, _invariant_part, _modulated),
    Law(
        "declared_residual",
        "S(T_g x) − S(x) is what the analysis says",
        configurations,
        _declared_residual,
        lambda s: bool(s.analysis.reports),
    ),
    Law("inverse_pair", "modulate and canonicalize are inverse", configurations, _inverse_pair, _modulated),
    Law("tiling", "every x lies in exactly one T_u Ω", _x_and_element, _tiling, _modulated),
    Law("facets", "the facets bound Ω", configurations, _facets_match, _modulated),
    Law(
        "modulation_jacobian",
        "T_g has full rank and log|det| = 0",
        elements,
        _modulation_jacobian,
        lambda s: s.theory.degrees_of_freedom <= _JACOBIAN_LIMIT,
        5,
    ),
    Law(
        "slice_pair",
        "rotate and unrotate, on_slice and off_slice are inverse",
        configurations,
        _slice_pair,
        _has_slices,
    ),
    Law(
        "orbit_invariance",
        "S₀(R(n) x) = S₀(x)",
        lambda s: st.tuples(configurations(s), st.integers(0, 2**31)),
        _orbit_invariance,
        _has_slices,
    ),
    Law(
        "slice_jacobian",
        "(y, n) ↦ x has full rank and log|J| = log Δ, by autodiff",
        lambda s: configurations(s, kinds=("normal", "sector")),
        _slice_jacobian,
        lambda s: _has_slices(s) and s.theory.degrees_of_freedom <= _JACOBIAN_LIMIT,
        5,
    ),
    Law(
        "program_is_symbols",
        "the program is the symbolic action",
        configurations,
        _program_is_symbols,
        count=5,
    ),
    Law(
        "gradient",
        "the emitted gradient is the derivative",
        lambda s: st.tuples(
            configurations(s, kinds=("unit", "normal", "sector")), configurations(s, kinds=("unit", "normal"))
        ),
        _gradient,
        count=5,
    ),
    Law(
        "emitted_is_program",
        "emitted code = NumPy interpreter, all backends",
        configurations,
        _emitted_is_program,
        count=15,
    ),
    Law(
        "density_of_samples",
        "log q(sample) = log q(x), seeds, batches, sectors, backends",
        _choice_and_seed,
        _density_of_samples,
        count=8,
    ),
    Law(
        "normalised",
        "∫ q(x) dx = 1 − leaked, by quadrature",
        lambda s: st.sampled_from(_choices(s)),
        _normalised,
        lambda s: s.theory.degrees_of_freedom <= 2 and not _has_slices(s),
        6,
    ),
    Law(
        "partition_function",
        "weights reproduce log Z of quadrature and the virial identity within 5σ",
        lambda s: st.sampled_from(_choices(s)),
        _partition_function,
        lambda s: s.theory.degrees_of_freedom <= 2,
        4,
    ),
    Law(
        "round_trip",
        "a saved model is the same model",
        lambda s: st.sampled_from(_choices(s)),
        _round_trip,
        count=3,
    ),
)
"""All laws, cheapest first."""
