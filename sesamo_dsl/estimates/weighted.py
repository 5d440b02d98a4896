"""Samples of a model with importance weights, and their figures, in NumPy, the same for every backend.

ESS and reverse KL do not show that a model misses a mode. Sector masses, the virial identity ⟨x·∇S⟩ = n and
the leaked fraction are always computed with them, as they show some failures that ESS and KL do not. A mode
that is never drawn enters none of these figures; see :mod:`sesamo_dsl.estimates.coverage`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Self, cast, overload

import numpy as np
from scipy.special import logsumexp

from ..backend import Draws
from ..checks import array, flag, mismatch, shown, spelling
from ..errors import OptionError
from ..ir.interpreter import run
from ..ir.program import Program
from ..ir.sectors import Sectors
from ..language.derived import Derived
from ..machine.memory import chunk_size
from ..values.couplings import Couplings
from .agreement import Agreement
from .annealing_record import AnnealingRecord
from .control import ControlledEstimate, with_control
from .estimate import Estimate, independent_mean
from .exact import ExactValues
from .exports import Exports, NamedArrays
from .identities import Identities, first_residual
from .log_z_derivatives import log_z_derivative
from .pareto import harmful_tail_index
from .search import Search
from .sources import Independent, digest
from .spectrum import Spectrum
from .training_record import TrainingRecord

Observable = str | Callable[[np.ndarray], Any] | np.ndarray
"""An observable: its name, a function of configurations (n, components, *lattice), or its values (n,)."""


_READ = 1000  # number of configurations by which a set of samples is known
_SAME = 1e-3  # tolerance, in units of the largest value, for functions of configurations in single precision


def in_chunks(
    program: Program, parameters: Couplings, x: np.ndarray, function: str
) -> Iterator[tuple[np.ndarray, ...]]:
    """Input and outputs of a function of the program in float64, chunk by chunk."""
    size = 2 * chunk_size(x.shape[1:])
    for start in range(0, len(x), size):
        chunk = x[start : start + size].astype(np.float64)
        yield chunk, *run(program, function, {program.functions[function].inputs[0][0]: chunk}, parameters)


def parts_of(x: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Configurations some thousand at a time, with their places, so that temporary arrays stay small."""
    size = 4 * chunk_size(x.shape[1:])
    for start in range(0, len(x), size):
        rows = slice(start, start + size)
        yield rows, x[rows]


def observable_names(program: Program) -> list[str]:
    """Names of the declared observables."""
    prefix = "observable_"
    return [f.removeprefix(prefix) for f in program.functions if f.startswith(prefix)]


def observable_values(
    program: Program,
    parameters: Couplings,
    x: np.ndarray,
    observable: str,
    derived: Container[str] = (),
) -> np.ndarray:
    """O(x) per configuration, (n,), of ``"action"`` or a declared observable; OptionError for other names.

    ``derived`` has the names of derived quantities, which the error tells how to ask for.
    """
    known = ["action", *observable_names(program)]
    if not isinstance(observable, str) or spelling(observable) not in known:
        raise OptionError(
            f"observable {observable if isinstance(observable, str) else shown(observable)} of theory "
            f"{program.theory}",
            expected=f"one of {', '.join(known)}",
            found=shown(observable),
            remedy=f'it is a derived quantity: ask for derived("{observable}")'
            if isinstance(observable, str) and observable in derived
            else "declare it in Theory(observables={…})",
        )
    observable = spelling(observable)
    function = observable if observable == "action" else f"observable_{observable}"
    return np.concatenate([np.empty(0), *(v for _, v in in_chunks(program, parameters, x, function))])


def all_observables(program: Program, parameters: Couplings, x: np.ndarray) -> dict[str, np.ndarray]:
    """The declared observables by name, (n,) each, at configurations (n, components, *lattice)."""
    return {name: observable_values(program, parameters, x, name) for name in observable_names(program)}


def values_of(
    program: Program,
    parameters: Couplings,
    x: np.ndarray,
    observable: Observable,
    derived: Container[str] = (),
) -> np.ndarray:
    """O(x) per configuration, (n,), float64, of any :data:`Observable`; OptionError for other objects."""
    if isinstance(observable, str):
        return observable_values(program, parameters, x, observable, derived)
    subject, remedy = "observable", "give one real number for each configuration, in their order"
    expected = f"a declared name, a function of the configurations, or values of shape ({len(x)},)"
    wrong = mismatch(observable, 1) if callable(observable) else None
    if wrong is not None:
        raise OptionError(
            subject,
            expected="a function of one argument, the configurations",
            found=wrong,
            remedy="write expect(lambda x: …); x has the shape (n, components, *lattice)",
        )
    if callable(observable) and isinstance(x, np.memmap):
        return _values_in_parts(program, parameters, x, observable)
    given = observable(x.copy()) if callable(observable) else observable  # it may work in place
    values = array(given, subject, expected=expected, remedy=remedy)
    if values.shape != (len(x),):
        raise OptionError(subject, expected=expected, found=f"shape {values.shape}", remedy=remedy)
    return values.astype(np.float64)


def _values_in_parts(
    program: Program, parameters: Couplings, x: np.memmap, observable: Callable[[np.ndarray], Any]
) -> np.ndarray:
    """The values of a function at configurations in a file, of which no more than a part is in memory."""
    found = [values_of(program, parameters, np.array(part), observable) for _, part in parts_of(x)]
    if len(found) > 1:  # a function that centres its argument, for instance, depends on the parts
        few = len(found[0]) // 3
        alone = values_of(program, parameters, np.array(x[:few]), observable)
        size = np.nan_to_num(np.abs(found[0][:few]).max())
        if not np.allclose(found[0][:few], alone, rtol=_SAME, atol=_SAME * size, equal_nan=True):
            raise OptionError(
                "observable",
                expected="a function whose value for a configuration does not depend on the others",
                found="other values if it is called with fewer configurations",
                remedy="configurations in a file are given to it in parts: compute the values from "
                "samples.x, and pass them in the place of the function",
            )
    return np.concatenate(found)


def warn_of_nan(values: np.ndarray, weights: np.ndarray, observable: Observable) -> None:
    """A RuntimeWarning that names the observable if it is NaN at configurations that have a weight, (n,)."""
    missing = int((np.isnan(values) & (weights > 0)).sum())
    if missing:
        name = f"observable {observable}" if isinstance(observable, str) else "an observable without a name"
        warnings.warn(
            f"{name} is NaN at {missing} of {len(values)} configurations, and so is its mean: check it there "
            "for roots and logarithms of negative numbers and for 0/0",
            RuntimeWarning,
            stacklevel=3,
        )


def virial_values(program: Program, parameters: Couplings, x: np.ndarray) -> np.ndarray:
    """v·∇S(x) per degree of freedom, less the number by which its mean is known to exceed 1, (n,).

    v is x, of which ⟨x·∇S⟩ = n. On a circle x is no vector field: with angles, v = φ in the real fields
    alone, with n their number. If there are none, v is the gradient of the first monomial f of the action,
    and the value is 1 + (∇f·∇S − Δf)/n.
    """
    if program.angles:
        return _virial_with_angles(program, parameters, x)
    chunks = in_chunks(program, parameters, x, "action_and_gradient")
    values = [(y * gradient).sum(axis=tuple(range(1, y.ndim))) for y, _, gradient in chunks]
    return np.concatenate(values) / int(np.prod(x.shape[1:]))


def _virial_with_angles(program: Program, parameters: Couplings, x: np.ndarray) -> np.ndarray:
    lines = list(program.lines)
    if not lines:
        return 1 + first_residual(program, parameters, x) / int(np.prod(x.shape[1:]))
    chunks = in_chunks(program, parameters, x, "action_and_gradient")
    values = [(y * gradient)[:, lines].reshape(len(y), -1).sum(axis=1) for y, _, gradient in chunks]
    return np.concatenate(values) / int(np.prod(x[0, lines].shape))


def virial_figure(program: Program) -> str:
    """The mean of :func:`virial_values` as a formula."""
    return "⟨v·∇S⟩/n" if program.angles else "⟨x·∇S⟩/n"


def virial_label(program: Program) -> str:
    """The virial identity as tables call it."""
    return f"virial {virial_figure(program)}"


@dataclass(frozen=True)
class ForwardMetrics:
    """Figures of a model on configurations of the target, which include the modes that the model misses.

    Attributes
    ----------
    ess
        1/(⟨w⟩_p ⟨w⁻¹⟩_p) = 1/∫p²/q, the ESS of infinitely many samples of the model. If the strategy leaks,
        it is the ESS of the sampler that rejects leaked samples.
    nll
        −⟨log q⟩_p. With auxiliary coordinates a, log q is log q(x, a) − log N(a) on the extended space:
        ``ess`` is the ESS of the extended weights, and ``nll`` is, by Jensen's inequality, an upper bound of
        the negative log-likelihood of x alone.
    uncovered
        Fraction of the configurations where q = 0; if it is not zero, the ESS is 0 and the NLL infinite.
    """

    ess: Estimate
    nll: Estimate
    uncovered: float = 0.0

    @classmethod
    def of(
        cls,
        log_q: np.ndarray,
        action: np.ndarray,
        mean: Callable[[np.ndarray], Estimate] = independent_mean,
    ) -> ForwardMetrics:
        """Forward ESS and NLL from log q and S at configurations of the target, (n,) each.

        ``mean`` returns the mean of values with an error that includes their autocorrelation. The error of
        the ESS is linearised.
        """
        log_q, action = log_q.astype(np.float64), action.astype(np.float64)
        uncovered = float(np.isneginf(log_q).mean())
        if uncovered:
            return cls(Estimate(0.0, 0.0), Estimate(np.inf, np.nan), uncovered)
        log_w = -action - log_q
        forward = np.exp(log_w - logsumexp(log_w) + np.log(len(log_w)))
        backward = np.exp(-log_w - logsumexp(-log_w) + np.log(len(log_w)))
        ess = float(np.exp(2 * np.log(len(log_w)) - logsumexp(log_w) - logsumexp(-log_w)))
        return cls(Estimate(ess, ess * mean(forward + backward).error), mean(-log_q))

    def __str__(self) -> str:
        lines = [f"forward ESS        {self.ess}", f"NLL                {self.nll}"]
        if self.uncovered:
            lines.append(f"uncovered          {self.uncovered:.2e}   (q = 0 there: ESS 0 and NLL infinite)")
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class WeightedSamples(Exports):
    """Samples of a trained model with their importance weights.

    Attributes
    ----------
    program, parameters
        The theory and its couplings.
    x
        Configurations, (samples, components, *lattice).
    log_q, action
        log q(x) and S(x), (samples,).
    sector
        Group element u of each sample, (samples,); the element of every block, (samples, blocks), if the
        group acts independently on blocks.
    leaked
        True if the flow left the fundamental domain or S = +∞, (samples,); the weight is then zero.
    exact
        Values by quadrature, for theories of at most two real variables.
    notes
        Sentences about the making of the samples that a reader must know, e.g. an inexact law.
    declared
        The theory's derived quantities by name.
    log_prob_mismatch
        See :class:`sesamo_dsl.backend.Draws`.
    training
        Record of the training, if it is known.
    search
        Search for modes that the model misses; None without a model.
    work
        Term of the log weights of annealed samples beside −S − log q, (samples,): annealed samples have moved
        from where the model drew them. None if the samples were not annealed.
    annealed
        Record of the annealing; None if the samples were not annealed.
    """

    program: Program
    parameters: Couplings
    x: np.ndarray
    log_q: np.ndarray
    action: np.ndarray
    sector: np.ndarray
    leaked: np.ndarray
    exact: ExactValues | None
    notes: tuple[str, ...] = ()
    declared: Mapping[str, Derived] = field(default_factory=dict)
    log_prob_mismatch: np.ndarray | None = None
    training: TrainingRecord | None = None
    search: Search | None = None
    work: np.ndarray | None = None
    annealed: AnnealingRecord | None = None

    @classmethod
    def of(
        cls,
        draws: Draws,
        program: Program,
        parameters: Couplings,
        exact: ExactValues | None,
        notes: tuple[str, ...] = (),
        declared: Mapping[str, Derived] | None = None,
        training: TrainingRecord | None = None,
        search: Search | None = None,
        work: np.ndarray | None = None,
        annealed: AnnealingRecord | None = None,
    ) -> Self:
        """Samples from the draws of a model.

        For a model in float32 the action is computed again in float64, because its rounding would be an error
        of the weights. Samples in a hard wall have weight zero, as leaked samples have.
        """
        action = draws.action
        if draws.x.dtype == np.float32:
            action = observable_values(program, parameters, draws.x, "action")
        arrays = (draws.x, draws.log_q, action, draws.sector, draws.leaked | np.isposinf(action))
        rest = (exact, notes, declared or {}, draws.log_prob_mismatch, training, search, work, annealed)
        return cls(program, parameters, *arrays, *rest)

    def __len__(self) -> int:
        return len(self.x)

    def _named_arrays(self) -> NamedArrays:
        names = ("action", "log_q", "sector", "leaked")
        return NamedArrays(
            self.program,
            self.parameters,
            ("sample",),
            self.x,
            {name: getattr(self, name) for name in names},
            all_observables(self.program, self.parameters, self.x),
            self.log_weights,
            {"ess": self.ess, "log_z": self.log_z.value, "log_z_error": self.log_z.error},
        )

    @cached_property
    def log_weights(self) -> np.ndarray:
        """log w = −S(x) − log q(x) + work, −∞ for leaked samples, shape (samples,), float64."""
        log_w = -self.action.astype(np.float64) - self.log_q.astype(np.float64)
        if self.work is not None:
            log_w = log_w + self.work
        return np.where(self.leaked, -np.inf, log_w)

    @cached_property
    def weights(self) -> np.ndarray:
        """Importance weights normalised to sum 1, shape (samples,); NaN if all samples leaked."""
        with np.errstate(invalid="ignore"):
            return np.exp(self.log_weights - logsumexp(self.log_weights))

    @property
    def ess(self) -> float:
        """(Σw)²/(N Σw²) ∈ (0, 1], leaked samples counted as weight zero."""
        log_w = self.log_weights
        with np.errstate(invalid="ignore"):  # NaN if no sample has a weight
            log_ess = 2 * cast(Any, logsumexp(log_w)) - logsumexp(2 * log_w)
        return float(np.exp(log_ess) / len(self))

    @property
    def model_ess(self) -> float:
        """The ESS of the samples as the model drew them, before any annealing."""
        return self.ess if self.annealed is None else self.annealed.model_ess

    @property
    def _one_counts(self) -> bool:
        """True if at most one sample has a weight, so that there is no error bar."""
        return int(np.isfinite(self.log_weights).sum()) < 2

    @cached_property
    def _source(self) -> Independent:
        """The draws: weights at other couplings are correlated with these.

        They are known by log q of all and by some of the configurations: a file may have too many of these to
        read all whenever it is opened.
        """
        some = self.x[:: max(1, len(self) // _READ)]
        return Independent(digest(some, self.log_q))

    def _estimate(self, value: float, error: float, influence: np.ndarray) -> Estimate:
        """A number with its error; without an error bar influences are not known either."""
        known = influence if np.isfinite(error) else np.full(len(self), np.nan)
        return Estimate.from_samples(self._source, known, float(value), float(error))

    @property
    def log_z(self) -> Estimate:
        """log of the mean weight with its error to first order, NaN for one sample."""
        value = float(logsumexp(self.log_weights) - np.log(len(self)))
        error = np.nan if self._one_counts else float(np.sqrt(max(1 / self.ess - 1, 0.0) / len(self)))
        return self._estimate(value, error, self.weights - 1 / len(self))

    @property
    def free_energy_bound(self) -> Estimate:
        """⟨log q + S⟩ = KL(q‖p) − log Z: an upper bound of −log Z, and not a KL divergence.

        Leaked samples are omitted: the bound belongs to the sampler that rejects them.
        """
        kept = ~self.leaked
        value, error = independent_mean(-self.log_weights[kept])
        with np.errstate(divide="ignore", invalid="ignore"):
            influence = np.where(kept, -self.log_weights - value, self.leaked_fraction and 1.0) / kept.sum()
            if self.leaked_fraction:  # −log of the fraction that is kept fluctuates as well
                influence -= self.leaked_fraction / kept.sum()
                error = float(np.sqrt(error**2 + self.leaked_fraction / kept.sum()))
            return self._estimate(value - np.log(1 - self.leaked_fraction), error, influence)

    @property
    def kl(self) -> Estimate:
        """KL(q‖p) with the exact log Z if it is known, else with the estimated log Z (see ``kl_is_exact``).

        For annealed samples q is the density of their paths, and the result is an upper bound of the
        divergence of their last configurations.

        The error includes the correlation of the estimated log Z with the other term.
        """
        return self.free_energy_bound + (self.log_z if self.exact is None else self.exact.log_z)

    @property
    def kl_is_exact(self) -> bool:
        """True if ``kl`` uses the exact log Z."""
        return self.exact is not None

    @property
    def leaked_fraction(self) -> float:
        """Fraction of samples outside of the fundamental domain or in a hard wall."""
        return float(self.leaked.mean())

    @property
    def sector_masses(self) -> np.ndarray:
        """Probability of each sector under p, by importance weights, shape (sectors,).

        In the numbering of sectors of independent blocks the last block runs fastest.

        Raises
        ------
        OptionError
            If there are too many sectors; ``block_masses`` has the masses of every block.
        """
        return self._countable.masses(self.sector, self.weights)

    @property
    def sector_errors(self) -> np.ndarray:
        """Standard errors of ``sector_masses``, shape (sectors,); NaN for one sample."""
        # Σ_i w_i² (δ_iu − m_u)², with δ² = δ
        masses, squares = self.sector_masses, self.weights**2
        inside = self._countable.masses(self.sector, squares)
        if self._one_counts:
            return np.full(len(masses), np.nan)
        variance = inside * (1 - 2 * masses) + masses**2 * squares.sum()
        return np.sqrt(np.maximum(variance, 0.0))  # rounding: a mass of 0 or 1

    @property
    def model_masses(self) -> np.ndarray:
        """Fraction of the samples in each sector, leaked ones omitted, without weights, shape (sectors,)."""
        kept = ~self.leaked
        return self._countable.masses(self.sector, kept / max(kept.sum(), 1))

    @property
    def block_masses(self) -> np.ndarray:
        """Probability of each group element in each block under p, (blocks, order of the group)."""
        sector = self.sector.reshape(len(self), -1)
        order = self.program.sectors.order
        return np.array([np.bincount(u, weights=self.weights, minlength=order) for u in sector.T])

    @property
    def _countable(self) -> Sectors:
        sectors = self.program.sectors
        if not sectors.enumerable:
            raise OptionError(
                f"sector masses of theory {self.program.theory}",
                expected="few enough sectors to count the samples in each",
                found=f"{sectors.order}^{sectors.n_blocks} of them",
                remedy="ask for block_masses",
            )
        return sectors

    @cached_property
    def virial(self) -> Estimate:
        """⟨x·∇S⟩ per degree of freedom under p; 1 if the samples span the theory."""
        return self._reweighted(virial_values(self.program, self.parameters, self.x))

    @property
    def virial_z_score(self) -> float:
        """(virial − 1)/error; NaN without an error, as for a single sample."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.divide(self.virial.value - 1, self.virial.error))

    @cached_property
    def identities(self) -> Identities:
        """Schwinger–Dyson identities, whose mean under p is zero, at the samples."""
        return Identities.at(self.program, self.parameters, self.x)

    @cached_property
    def residuals(self) -> Spectrum:
        """⟨Δf − ∇f·∇S⟩ under p for the monomials f of the theory; zero if the samples span the theory.

        They show which operators a model has wrong without configurations from outside.
        """
        rows = [
            Agreement(f"f = {name}", Estimate(*self._reweighted(values)), Estimate(0.0, 0.0))
            for name, values in zip(self.identities.names, self.identities.values.T, strict=True)
        ]
        return Spectrum.of(rows, self.ess * len(self))

    @overload
    def expect(self, observable: Observable, *, control: Literal[False] = False) -> Estimate: ...

    @overload
    def expect(self, observable: Observable, *, control: Literal[True]) -> ControlledEstimate: ...

    def expect(self, observable: Observable, *, control: bool = False) -> Estimate:
        """⟨O⟩ under p by importance weights.

        Parameters
        ----------
        observable
            ``"action"`` or the name of a declared observable; a function of the configurations,
            (n, components, *lattice) → (n,); or its values, one for each sample.
        control
            True to lower the variance by Schwinger–Dyson identities, which have mean zero; the attribute
            ``control`` of the estimate has their effect, or the reason why they were not used.
        """
        values = values_of(self.program, self.parameters, self.x, observable, self.declared)
        warn_of_nan(values, self.weights, observable)
        if not flag(control, "option control"):
            return self._reweighted(values)
        index = harmful_tail_index(self.log_weights)
        doubt = "" if index is None else f"the weights have a heavy tail, Pareto k̂ = {index:.2f}"
        quarter = np.arange(len(self)) % 4
        return ControlledEstimate.of(
            *with_control(values, self.weights, quarter, self.identities, self._reweighted, doubt)
        )

    def derived(self, quantity: str | Callable[..., Any], *observables: Observable) -> Estimate:
        """A declared function of expectation values, or ``f(⟨O_1⟩, …)`` of observables as in :meth:`expect`.

        ``samples.derived("susceptibility")``, or
        ``samples.derived(lambda m2, m: m2 - m**2, "m_squared", "abs_m")``, or an effective mass from
        ``g = two_point(samples.x)``: ``samples.derived(lambda a, b: np.log(a / b), g[:, 1], g[:, 2])``. The
        error is that of the linearised function, which includes the correlation of the observables.
        """
        chosen = Derived.of(quantity, observables, self.declared, self.program.theory)
        values = [values_of(self.program, self.parameters, self.x, o) for o in chosen.observables]
        return self._reweighted(chosen.linearised([self._reweighted(v).value for v in values], values))

    def d_log_z(self, *couplings: Any) -> Estimate:
        """∂ log Z/∂θ = −⟨∂S/∂θ⟩ by one coupling θ, or ∂² log Z/∂θ∂η by two, from these configurations.

        ``samples.d_log_z("kappa")``; ``samples.d_log_z("h", "h")`` is a susceptibility. The derivatives of S
        are derived from its program, see :mod:`sesamo_dsl.ir.coupling_derivatives`.

        Parameters
        ----------
        couplings
            One or two couplings, by name or as symbols.

        Raises
        ------
        OptionError
            For a coupling by which S cannot be differentiated, as one with a value for every site.
        """
        return log_z_derivative(self.program, self.parameters, self.x, couplings, self.derived)

    @property
    def finite_configurations(self) -> np.ndarray:
        """True for each configuration whose entries are all finite, (samples,)."""
        parts = [np.isfinite(x).all(axis=tuple(range(1, x.ndim))) for _, x in parts_of(self.x)]
        return np.concatenate([np.empty(0, bool), *parts])

    def expect_each(self, function: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Means under p and their errors, (k,) each, of values (n, components, *lattice) → (n, k).

        The function is called for some thousand configurations at a time and its values are not kept. So
        these are plain numbers: only estimates of :meth:`expect` know what they have in common, by a number
        for each configuration. With values d relative to a mean over the first of them, the error is
        √(Σw²d² − 2m Σw²d + m² Σw²) for m = Σwd.
        """
        total: Any = 0.0
        origin: Any = None
        for rows, x in parts_of(self.x):
            w = self.weights[rows]
            values = function(np.asarray(x))
            if origin is None:
                with np.errstate(invalid="ignore"):
                    origin = np.nan_to_num(values.mean(axis=0), posinf=0.0, neginf=0.0)
            d = np.where(w[:, None] > 0, values - origin, 0.0)  # S is infinite in a wall
            with np.errstate(invalid="ignore"):  # infinite values
                total = total + np.stack([w @ d, w**2 @ d, w**2 @ d**2])
        mean, first, second = total
        with np.errstate(invalid="ignore"):
            variance = second - 2 * mean * first + mean**2 * float((self.weights**2).sum())
        error = np.full(len(mean), np.nan) if self._one_counts else np.sqrt(np.maximum(variance, 0.0))
        return origin + mean, error

    def _reweighted(self, values: np.ndarray) -> Estimate:
        values = np.where(self.weights > 0, values, 0)  # S is infinite in a wall
        with np.errstate(invalid="ignore"):  # infinite values
            mean = float(self.weights @ values)
            influence = self.weights * (values - mean)
            error = np.nan if self._one_counts else np.sqrt(influence @ influence)
        return self._estimate(mean, float(error), influence)
