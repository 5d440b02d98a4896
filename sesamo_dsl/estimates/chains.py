"""Markov chains whose stationary distribution is exactly p, with errors that include autocorrelation.

A chain is asymptotically exact: a finite chain lacks the regions that it has not visited, and warns if it is
too short. Errors are computed by the Γ-method (U. Wolff, Comput. Phys. Commun. 156 (2004) 143,
hep-lat/0306017) in the library pyerrors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

import numpy as np

from .. import checks
from ..errors import OptionError
from ..ir.program import Program
from ..language.derived import Derived
from ..values.couplings import Couplings, couplings_text, same_couplings
from ..values.sheet import Line, Sheet, Table, row
from .control import with_control
from .convergence import Convergence, convergence
from .estimate import Estimate
from .exports import Exports, NamedArrays
from .finding import Finding
from .gamma_method import SHORTEST, ChainEstimate, ControlledChainEstimate, Series, gamma_method
from .identities import Identities
from .log_z_derivatives import log_z_derivative
from .making import Making
from .reported import Reported
from .sources import digest
from .target_sample import TargetSample, most_of
from .weighted import (
    Observable,
    all_observables,
    in_chunks,
    observable_names,
    values_of,
    virial_label,
    virial_values,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STRETCH = 10  # length of a stretch of a chain, one cluster, in autocorrelation times
_LENGTH, _REPLICA = 50, 10  # least length of all replicas together and of each, in autocorrelation times
_LONGEST_STAY, _LARGEST_STAY = 50, 0.02  # most steps, and largest part of a replica, without a move
_LARGEST_R_HAT, _SEPARATE_R_HAT = 1.01, 1.3  # above the second bound chains stay in modes of their own
_FEWEST_EFFECTIVE = 400  # least bulk ESS and tail ESS
_LEAST_ACCEPTANCE = 0.5  # least acceptance in units of the target to which the step size was adapted
_LEAST_ACCEPTED = 0.2  # least acceptance with a given step size
_MOST_SHOWN = 16  # most sectors, and most components of fields, with convergence figures


class Trajectories(NamedTuple):
    """The trajectories of Hamiltonian Monte Carlo that made a chain.

    Attributes
    ----------
    step_size, steps
        Mean leapfrog step, in units of the widths of exp(−S) around its minima, and steps per trajectory.
    target_acceptance
        Acceptance probability to which the step size was adapted; None if the step size was given.
    divergent
        Number of trajectories whose acceptance probability was zero, to rounding.
    moves
        True if moves by elements of the declared groups followed each trajectory.
    """

    step_size: float
    steps: int
    target_acceptance: float | None
    divergent: int
    moves: bool


@dataclass(frozen=True, eq=False)
class Chain(Exports, Reported):
    """Configurations in the order in which Markov chains visited them.

    Attributes
    ----------
    program, parameters
        The theory and its couplings.
    x
        Configurations, (replicas, length, components, *lattice).
    action
        S(x), (replicas, length).
    acceptance
        Fraction of proposals that were accepted.
    notes
        Sentences about the making of the chain that a reader must know.
    declared
        The theory's derived quantities by name.
    trajectories
        Record of the trajectories of Hamiltonian Monte Carlo; None for chains of another kind.
    making
        Theory, options and software of the chain; None unless :func:`sesamo_dsl.hmc` made it.
    """

    program: Program
    parameters: Couplings
    x: np.ndarray
    action: np.ndarray
    acceptance: float
    notes: tuple[str, ...] = ()
    declared: Mapping[str, Derived] = field(default_factory=dict)
    trajectories: Trajectories | None = None
    making: Making | None = None

    def __len__(self) -> int:
        return self.action.size

    def _named_arrays(self) -> NamedArrays:
        sectors = {"sector": self.sector} if self.program.sectors.count > 1 else {}
        observables = all_observables(self.program, self.parameters, self.configurations)
        return NamedArrays(
            self.program,
            self.parameters,
            ("chain", "draw"),
            self.x,
            {"action": self.action} | sectors,
            {name: values.reshape(self.action.shape) for name, values in observables.items()},
            figures={"acceptance": self.acceptance},
        )

    @property
    def configurations(self) -> np.ndarray:
        """All configurations in one batch, (replicas·length, components, *lattice)."""
        return self.x.reshape(-1, *self.x.shape[2:])

    def series(self, observable: Observable) -> np.ndarray:
        """Values of an observable along the chain, (replicas, length); :meth:`expect` is their mean."""
        if isinstance(observable, str) and observable == "action":
            return self.action
        values = values_of(self.program, self.parameters, self.configurations, observable, self.declared)
        return values.reshape(self.action.shape)

    @cached_property
    def _source(self) -> Series:
        return Series(digest(self.x, self.action))

    def _mean(self, series: np.ndarray) -> ChainEstimate:
        """Mean of a series, (replicas, length), which remembers the influence of each step."""
        found = gamma_method(series)
        return ChainEstimate.from_samples(self._source, (series - found.value) / series.size, *found)

    @cached_property
    def identities(self) -> Identities:
        """Schwinger–Dyson identities, whose mean under p is zero, at :attr:`configurations`."""
        return Identities.at(self.program, self.parameters, self.configurations)

    @overload
    def expect(self, observable: Observable, *, control: Literal[False] = False) -> ChainEstimate: ...

    @overload
    def expect(self, observable: Observable, *, control: Literal[True]) -> ControlledChainEstimate: ...

    def expect(self, observable: Observable, *, control: bool = False) -> ChainEstimate:
        """⟨O⟩ with error and autocorrelation time.

        Parameters
        ----------
        observable
            ``"action"`` or the name of a declared observable; a function of the configurations,
            (n, components, *lattice) → (n,); or its values in the order of :attr:`configurations`.
        control
            True to lower the variance by Schwinger–Dyson identities; see :meth:`.Samples.expect`. The
            coefficients for one half of the steps are fitted to the other half, in all replicas.
        """
        series = self.series(observable)
        if not checks.flag(control, "option control"):
            return self._mean(series)
        shape = self.action.shape
        weights = np.full(series.size, 1 / series.size)
        quarter = np.broadcast_to(4 * np.arange(shape[1]) // shape[1], shape).ravel()
        return ControlledChainEstimate.of(
            *with_control(
                series.ravel(), weights, quarter, self.identities, lambda v: self._mean(v.reshape(shape))
            )
        )

    def as_target(self) -> TargetSample:
        """Configurations at equal distances, at most :func:`.most_of`, to compare a model with.

        A stretch of ten autocorrelation times of the action is one cluster.
        """
        replicas, length = self.action.shape
        tau = float(np.nan_to_num(self.expect("action").tau, nan=1.0))
        stretch = max(1, min(int(_STRETCH * tau) + 1, length))
        cluster = np.arange(length) // stretch + np.arange(replicas)[:, None] * (length // stretch + 1)
        most = most_of(self.configurations.shape[1:])
        chosen = np.arange(0, replicas * length, -(-replicas * length // most))
        return TargetSample(
            self.configurations[chosen],
            self.action.reshape(-1)[chosen],
            np.full(len(chosen), 1 / len(chosen)),
            cluster.reshape(-1)[chosen],
            None,
            f"{replicas} Markov chains of {length}",
            self.warnings,
        )

    def derived(self, quantity: str | Callable[..., Any], *observables: Observable) -> ChainEstimate:
        """A declared function of expectation values, or ``f(⟨O_1⟩, …)`` of observables as in :meth:`expect`.

        Arguments are those of :meth:`.Samples.derived`; the error comes from the Γ-method for the linearised
        function.
        """
        chosen = Derived.of(quantity, observables, self.declared, self.program.theory)
        values = [self.series(name) for name in chosen.observables]
        return self._mean(chosen.linearised([float(v.mean()) for v in values], values))

    def d_log_z(self, *couplings: Any) -> ChainEstimate:
        """∂ log Z/∂θ by one coupling θ, or ∂² log Z/∂θ∂η by two; see :meth:`.Samples.d_log_z`."""
        return log_z_derivative(self.program, self.parameters, self.configurations, couplings, self.derived)

    def estimate(self, values: np.ndarray) -> Estimate:
        """Mean and error of :meth:`expect` for given values, (replicas, length), without τ."""
        return Estimate.like(self.expect(np.ravel(values)))

    @cached_property
    def virial(self) -> ChainEstimate:
        """⟨x·∇S⟩ per degree of freedom; 1 under p."""
        return self.expect(virial_values(self.program, self.parameters, self.configurations))

    @cached_property
    def sector(self) -> np.ndarray:
        """Group element u with x ∈ T_u Ω, (replicas, length), or one per block, (…, blocks)."""
        chunks = in_chunks(self.program, self.parameters, self.configurations, "canonicalize")
        u = np.concatenate([u for _, _, u in chunks])
        return u.reshape(*self.action.shape, *u.shape[1:])

    @cached_property
    def sector_masses(self) -> tuple[ChainEstimate, ...]:
        """Probability of every sector T_u Ω."""
        sectors = self.program.sectors
        number = sectors.index(self.sector)
        return tuple(self._mean((number == u).astype(np.float64)) for u in range(sectors.count))

    @cached_property
    def convergence(self) -> Mapping[str, Convergence]:
        """R̂ and effective sample sizes by the name of the quantity.

        The quantities are the action, every observable, the lattice means of the first 16 components, of
        angles those of cosine and sine, and the indicator function of each sector if there are at most 16
        sectors.
        """
        series = {name: self.series(name) for name in ("action", *observable_names(self.program))}
        sites = tuple(range(3, self.x.ndim))
        for a, name in enumerate(self.program.components[:_MOST_SHOWN]):
            field, turning = self.x[:, :, a : a + 1], a in self.program.angles
            shown = (
                {f"cos({name})": np.cos(field), f"sin({name})": np.sin(field)} if turning else {name: field}
            )
            for what, values in shown.items():
                series[f"mean of {what}"] = (values.mean(axis=sites) if sites else values)[:, :, 0]
        if 1 < self.program.sectors.count <= _MOST_SHOWN:
            number = self.program.sectors.index(self.sector)
            for u in range(self.program.sectors.count):
                series[f"sector {u}"] = (number == u).astype(np.float64)
        return {name: convergence(values) for name, values in series.items()}

    @cached_property
    def findings(self) -> Mapping[str, Finding | None]:
        """What every check has found, by what it is about; None where it found nothing."""
        return {
            "length": self._too_short(),
            "agreement of chains": self._apart(),
            "effective samples": self._few_effective(),
            "changes of sector": self._frozen(),
            "acceptance": self._rejected(),
            "divergent trajectories": self._divergent(),
            "rejections in a row": self._stuck(),
        }

    @property
    def warnings(self) -> tuple[str, ...]:
        """Reasons to doubt the figures, each with its remedy; empty for a sound chain."""
        return tuple(str(finding) for finding in self.findings.values() if finding is not None)

    def _apart(self) -> Finding | None:
        """A finding if the chains, or their halves, do not have one distribution."""
        known = {name: c.r_hat for name, c in self.convergence.items() if not np.isnan(c.r_hat)}
        name = max(known, key=lambda name: known[name], default=None)
        if name is None or known[name] <= _LARGEST_R_HAT:
            return None
        if known[name] <= _SEPARATE_R_HAT or len(self.action) == 1:
            return Finding(
                "chains disagree",
                f"R̂ = {known[name]:.3f} of {name}, above {_LARGEST_R_HAT}: chains, or their halves, have not "
                "come to one distribution",
                "run longer chains, with a longer warm-up",
            )
        return Finding(
            "chains apart",
            f"R̂ = {min(known[name], 99):.3g} of {name}: chains stay in modes of their own, whose "
            "probabilities are determined by the starts of the chains",
            "declare the symmetry that relates the modes, or run far longer chains; sd.anneal knows the "
            "shares, and their errors",
        )

    def _few_effective(self) -> Finding | None:
        sizes = {name: min(c.bulk_ess, c.tail_ess) for name, c in self.convergence.items()}
        name = min(sizes, key=lambda name: np.nan_to_num(sizes[name], nan=np.inf))
        if not sizes[name] < _FEWEST_EFFECTIVE:
            return None
        bulk, tail = self.convergence[name][1:]
        return Finding(
            "few effective samples",
            f"{len(self)} configurations know {name} as well as {bulk:.0f} independent ones, its tails as "
            f"well as {tail:.0f}; errors can be told from {_FEWEST_EFFECTIVE}",
            "run longer chains, or more of them",
        )

    @property
    def sector_changes(self) -> np.ndarray:
        """Fraction of the steps at which each chain changed its sector, (replicas,)."""
        changed = np.diff(self.sector, axis=1) != 0
        return changed.reshape(*changed.shape[:2], -1).any(axis=2).mean(axis=1)

    def _frozen(self) -> Finding | None:
        """A finding if chains never leave their sector while other such chains are in another one.

        Without moves by group elements, every chain that never leaves its sector is a finding.
        """
        if self.program.sectors.count == 1 or self.action.shape[1] < 2:
            return None
        stuck = self.sector_changes == 0
        if not stuck.any():
            return None
        apart = np.ptp(self.sector[stuck][:, 0], axis=0).any()
        unmoved = self.trajectories is not None and not self.trajectories.moves
        if not (apart or unmoved):
            return None  # group moves are tried, and the other sectors have no weight
        return Finding(
            "frozen sectors",
            f"{stuck.sum()} of {len(stuck)} chains never leave the sector they begin in, of "
            f"{self.program.sectors.count}",
            "run HMC with moves=True, and longer chains",
        )

    def _rejected(self) -> Finding | None:
        made = self.trajectories
        if made is None:
            return None
        target = made.target_acceptance
        if self.acceptance >= (_LEAST_ACCEPTED if target is None else _LEAST_ACCEPTANCE * target):
            return None
        asked = "" if target is None else f", where the step size was adapted to {target:g}"
        return Finding(
            "acceptance",
            f"{self.acceptance:.2g} of the trajectories are accepted{asked}",
            "lower step_size, or warm up for longer",
        )

    def _divergent(self) -> Finding | None:
        """A finding if trajectories diverged; not for hard walls, which rightly reject trajectories."""
        made = self.trajectories
        if made is None or not made.divergent or self.program.has_walls:
            return None
        return Finding(
            "divergent trajectories",
            f"{made.divergent} trajectories diverged and were rejected: the region that they enter may be "
            "missing",
            "lower step_size, or raise target_acceptance",
        )

    def _too_short(self) -> Finding | None:
        """A finding if the chain is too short for the slowest of action and observables."""
        replicas, length = self.action.shape
        names = ("action", *observable_names(self.program))
        if length < SHORTEST:
            return Finding(
                "short chain",
                f"{length} configurations: no autocorrelation time can be told from fewer than {SHORTEST}",
                "run a longer chain",
            )
        tau, name = max((self.expect(name).tau, name) for name in names)
        needed = max(_LENGTH * tau / replicas, _REPLICA * tau)
        if length >= needed:
            return None
        return Finding(
            "short chain",
            f"{replicas} × {length} configurations are too few for τ_int = {tau:.1f} of {name}: the chain is "
            "only asymptotically exact, and errors are underestimated",
            f"run a chain of at least {int(np.ceil(needed))} configurations per replica, or use a better "
            "proposal",
        )

    def _stuck(self) -> Finding | None:
        """A finding for many rejections in a row."""
        length = self.action.shape[1]
        stay = max(longest_stay(series) for series in self.action)
        if stay <= max(_LONGEST_STAY, _LARGEST_STAY * length):
            return None
        return Finding(
            "rejections",
            f"the chain stayed {stay} steps of {length} where it was: the proposals have hardly any "
            "density there",
            "a longer chain alone does not help: "
            + ("train the model for longer" if self.trajectories is None else "lower step_size"),
        )

    def joined(self, *others: Chain) -> Chain:
        """One chain with the replicas of all; they must have the same theory, couplings and length."""
        for other in others:
            if not isinstance(other, Chain):
                raise OptionError(
                    "chains to be joined",
                    expected="chains",
                    found=checks.shown(other),
                    remedy="write one.joined(other, …)",
                )
            couplings = same_couplings(self.parameters, other.parameters)
            same = self.program.theory == other.program.theory and couplings
            if not same or self.x.shape[1:] != other.x.shape[1:]:
                own, foreign = (
                    f"{c.program.theory} at {couplings_text(c.parameters)}" for c in (self, other)
                )
                raise OptionError(
                    "chains to be joined",
                    expected=f"{own}, shape {self.x.shape[1:]}",
                    found=f"{foreign}, shape {other.x.shape[1:]}",
                    remedy="join chains of one theory with equal couplings and length",
                )
        chains = (self, *others)
        sizes = [len(chain) for chain in chains]
        return Chain(
            self.program,
            self.parameters,
            np.concatenate([chain.x for chain in chains]),
            np.concatenate([chain.action for chain in chains]),
            float(np.average([chain.acceptance for chain in chains], weights=sizes)),
            tuple(dict.fromkeys(note for chain in chains for note in chain.notes)),
            self.declared,
            _all_trajectories([chain.trajectories for chain in chains]),
            self.making,
        )

    @property
    def sheet(self) -> Sheet:
        """The figures and the warnings."""
        replicas, length = self.action.shape
        parts: list[Line | Table] = [
            row("configurations", f"{replicas} × {length}"),
            row("acceptance", f"{self.acceptance:.4f}"),
        ]
        if self.trajectories is not None:
            made = self.trajectories
            parts.append(row("trajectories", f"{made.steps} steps of {made.step_size:.3g} widths"))
        parts.append(row(virial_label(self.program), str(self.virial)))
        names = ["action", *observable_names(self.program)]
        parts += [row(f"⟨{name}⟩", str(self.expect(name)), str(self.convergence[name])) for name in names]
        parts += [row(name, str(self.derived(name))) for name in self.declared]
        means = [name for name in self.convergence if name.startswith("mean of ")]
        parts += [row(name, str(self.convergence[name])) for name in means]
        if self.program.sectors.count > 1 and self.program.sectors.enumerable:
            changes = self.sector_changes
            heading = (
                f"sector masses      chains change their sector in {changes.mean():.2g} of all steps, the "
                f"slowest in {changes.min():.2g}"
            )
            lines = []
            for u, mass in enumerate(self.sector_masses[:_MOST_SHOWN]):
                found = self.convergence.get(f"sector {u}")
                cells = [str(mass), *([str(found)] if found else [])]
                lines.append(Line(f"  {u:3d}  {'   '.join(cells)}", (str(u), *cells)))
            parts.append(Table(heading, tuple(lines)))
        title = f"Chain of {self.program.theory}   {couplings_text(self.parameters)}"
        return Sheet(title, parts, self.warnings, self.notes, is_examined=True)

    def text(self) -> str:
        """The figures as text."""
        return self.sheet.text()

    def plot(
        self,
        observable: Observable = "action",
        kind: Literal["series", "histogram"] | None = None,
        *,
        ax: Axes | None = None,
    ) -> Figure:
        """A picture of an observable along the chains, and of its distribution with its error.

        Parameters
        ----------
        observable
            As in :meth:`expect`.
        kind
            ``"series"`` or ``"histogram"``; by default both, and the series in given axes.
        ax
            Axes of matplotlib to draw into; by default a figure is made.
        """
        from ..report.plots import chain_plot  # matplotlib takes a second to import

        return chain_plot(self, observable, kind, ax)

    def _repr_html_(self) -> str:
        return self.sheet.html()

    __str__ = text

    def __repr__(self) -> str:
        return f"Chain({self.program.theory}, {' × '.join(map(str, self.action.shape))})"


def _all_trajectories(found: list[Trajectories | None]) -> Trajectories | None:
    """The record of the first chain with the divergent trajectories of all; None if one chain has none."""
    known = [made for made in found if made is not None]
    if len(known) < len(found):
        return None
    return known[0]._replace(divergent=sum(made.divergent for made in known))


def longest_stay(series: np.ndarray) -> int:
    """The largest number of steps in a row in which a series, (length,), did not change."""
    changes = np.flatnonzero(np.diff(series) != 0)
    return int(np.diff(np.concatenate([[-1], changes, [len(series) - 1]])).max()) - 1
