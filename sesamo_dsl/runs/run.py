"""A run: a model with its couplings, plan, history and store; it samples, is checked and handed over."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from signal import Signals
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from safetensors.numpy import save as save_tensors

from .. import checks
from ..annealing.from_model import anneal_draws
from ..annealing.layers import SECONDS as AUTO_SECONDS
from ..annealing.layers import Layers, checked_layers
from ..annealing.result import Annealed
from ..backend import ModelOverRange
from ..errors import (
    OptionError,
    RunError,
    SamplingInterrupted,
    TrainingInterrupted,
)
from ..estimates.annealing_record import AnnealingRecord
from ..estimates.chains import Chain
from ..estimates.coverage import Coverage
from ..estimates.estimate import independent_mean
from ..estimates.exact import ExactValues, exact_values
from ..estimates.frame import Frame
from ..estimates.making import versions_with
from ..estimates.reported import References, Reported
from ..estimates.reported import write as write_page
from ..estimates.samples import Samples, check_samples
from ..estimates.search import Search, log_prob_now
from ..estimates.target_sample import Outside, TargetSample
from ..estimates.training_record import TrainingRecord
from ..estimates.weighted import ForwardMetrics
from ..flows.coupling_range import CouplingRange
from ..flows.range_base import RangeBase
from ..ir.facts import StoredFacts
from ..landscape.integrability import require_normalizable
from ..machine.memory import check_memory
from ..plan.over import point_of
from ..training.history import History
from ..values.couplings import Coupling, Couplings, couplings_text, numbers_only, same_couplings
from ..values.sheet import Sheet, row
from .checking import anneal_for_check
from .declaration import Declaration, digest
from .export import distribution_of, export_model
from .point_checks import COMPARED, PointCheck, places, told, unknown_between
from .sampling import Request, sample_to_file
from .store import Memory, sha256
from .training import TrainedRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..scans.result import Scan


@dataclass(eq=False, repr=False)
class Run(TrainedRun, Reported):
    """A model in training or use; made by :func:`start` and :func:`load_run`.

    Attributes
    ----------
    compiled
        The compiled program of the theory. In the process that trained the run it is a
        :class:`sesamo_dsl.CompiledTheory`, with declaration and analysis.
    parameters
        Couplings of the training.
    plan
        All options of model and training; ``steps`` and ``seconds`` are the whole length that was asked for,
        from the first step on.
    model
        The model with its weights.
    store
        The directory of the run, or memory.
    declaration
        Program, facts and base, from which the model can be built again.
    history
        Loss, batch ESS, gradient norm and time of every step.
    course
        Number of steps and seconds that are done.
    origin
        Name or path of the theory, and SHA-256 of its file; empty for a theory of a Python session.
    notes
        Sentences that a reader of results must know.
    derived
        The declared functions of expectation values.
    reference
        Configurations of the target for the forward part of the objective.
    start_from
        Directory of the run whose flow weights the training started from.
    ended
        How the training ended; None while it runs, or if its process was killed.
    outside
        Configurations of the target from outside the model, with which its samples are compared.
    unchecked
        The reason why ``outside`` is None, in words.
    checked
        Annealings at several points of the range of couplings that the run was trained over.
    beyond
        Where the couplings are outside of the range that the weights were trained over, in words.
    fields
        Number of fields of the theory; 0 if it is not known, in runs of earlier versions.
    theory
        The declaration, if :func:`load_run` was given one.
    memory
        What callbacks remember of the training, arrays by name.
    """

    @property
    def sheet(self) -> Sheet:
        """What was trained, how far, where it is kept, and the plan."""
        last = {name: values[-1] for name, values in self.history.columns.items() if values}
        over = self.plan.over
        rows = [
            ("backend", f"{self.compiled.backend.name}, {self.compiled.precision}"),
            ("couplings", couplings_text(self.parameters) or "none"),
            ("trained over", "" if over is None else f"{over}; run.at(…) is the run at one point"),
            *((f"at {check.text}", check.line) for check in self.checked),
            ("training", self.progress),
            ("time", f"{self.course.seconds:.0f} s"),
            (
                "last step",
                ", ".join(f"{name} {value:.6g}" for name, value in last.items() if name != "seconds"),
            ),
            ("directory", "in memory" if self.directory is None else str(self.directory)),
        ]
        title = f"Run of {self.compiled.program.theory}"
        return Sheet(title, [*(row(*pair) for pair in rows if pair[1]), self.plan.sheet], notes=self.notes)

    def __str__(self) -> str:
        return self.sheet.text()

    def _repr_html_(self) -> str:
        return self.sheet.html()

    def plot(
        self,
        quantity: Literal["loss", "ess", "gradient_norm"] | None = None,
        *,
        against: Literal["step", "seconds"] = "step",
        ax: Axes | None = None,
    ) -> Figure:
        """A picture of the training: loss, ESS of the batches and norm of the gradient.

        Parameters
        ----------
        quantity
            One of them; by default all, and the loss in given axes.
        against
            ``"step"`` or ``"seconds"``.
        ax
            Axes of matplotlib to draw into; by default a figure is made.
        """
        from ..report.plots import training_picture  # matplotlib takes a second to import

        return training_picture(self.history, quantity, against, ax)

    @cached_property
    def exact(self) -> ExactValues | None:
        """Values by quadrature; None above two real variables, or if the quadrature does not converge."""
        return exact_values(self.compiled.program, self.parameters)

    def at(
        self, couplings: Mapping[Any, float] | None = None, /, *, extrapolate: bool = False, **named: float
    ) -> Run:
        """The run at one point of the range of couplings that it was trained over, a run like any other.

        It is kept in memory: ``save`` writes it, ``check`` anneals at its couplings, and ``resume(500)``
        trains it further at this point alone.

        Parameters
        ----------
        couplings, **named
            Values of the couplings that vary, ``run.at(kappa=0.25)`` or ``run.at({kappa: 0.25})``; others
            are those of this run.
        extrapolate
            True to allow a point outside of the range, with a warning.

        Raises
        ------
        RunError
            If the run was trained at fixed couplings.
        ParameterError
            For couplings that do not vary or are no numbers, and points outside of the range.
        NotNormalizableError
            If ∫ exp(−S) is found to be infinite at a point outside of the range.
        """
        extrapolate = checks.flag(extrapolate, "option extrapolate")
        values, inside = point_of(self._range, self.parameters, couplings, named, extrapolate)
        if not inside:
            require_normalizable(self.compiled.program, values)
            here = couplings_text(self._range.at(self._range.point(values)))
            warnings.warn(f"{here} is outside of the trained range", RuntimeWarning, stacklevel=2)
        return self._at(values)

    @property
    def _range(self) -> CouplingRange:
        """The range of couplings of the training; RunError for a run at fixed couplings."""
        if self.plan.over is None:
            raise RunError(
                f"run {self!r}",
                expected="a run that was trained over a range of couplings",
                found=f"one at {couplings_text(self.parameters) or 'no couplings'}",
                remedy="train with over={kappa: (0.2, 0.3)}",
            )
        return self.plan.over

    def _at(self, values: dict[str, Coupling]) -> Run:
        """The run at these couplings, in the range or not."""
        over = self._range
        here = over.at(over.point(values))
        beyond = "" if over.contains(values) else f"{couplings_text(here)} is outside of {over}"
        check = next((check for check in self.checked if same_couplings(check.couplings, here)), None)
        notes = (*self.notes, f"weights of a training over {over}", *told(self.checked))
        base, facts = self.declaration.base, StoredFacts.of(self.compiled.facts, values)
        assert isinstance(base, RangeBase)
        model = cast(ModelOverRange, self.model).at(values)
        same = same_couplings(values, self.parameters)
        outside, unchecked = (self.outside, self.unchecked) if same else (None, unknown_between(self.checked))
        if check is not None:
            outside, unchecked = check.outside, check.unchecked
        return Run(
            self.compiled,
            values,
            self.plan.of_one_point,
            model,
            Memory(),
            Declaration(self.compiled.program, facts, base.at(over.point(values))),
            History({name: list(column) for name, column in self.history.columns.items()}),
            replace(self.course),
            self.origin,
            notes,
            self.derived,
            start_from=str(self.directory or self),
            ended=self.ended,
            outside=outside,
            unchecked=unchecked,
            beyond=beyond,
            fields=self.fields,
            theory=self.theory,
        )

    def scan(
        self,
        over: Mapping[Any, Sequence[float] | np.ndarray] | Sequence[Mapping[Any, float]],
        *,
        n: int = 10_000,
        parameters: Mapping[Any, float] | None = None,
        order_parameter: Any = None,
        extrapolate: bool = False,
        seed: int = 1,
        progress: bool = True,
    ) -> Scan:
        """Curves with errors at points of the range of couplings that the run was trained over.

        They are those of :func:`sesamo_dsl.scan`, with the same laws between the points, without a training:
        ``run.scan({"kappa": np.linspace(0.2, 0.3, 25)})``.

        Parameters
        ----------
        over
            Values by coupling, of which all combinations are taken, or a list of points.
        n
            Number of samples at each point.
        parameters
            Values of other couplings of the range, by default those of this run.
        order_parameter
            See :func:`sesamo_dsl.scan`.
        extrapolate
            True to allow points outside of the range, whose samples then have a warning.
        seed
            Seed from which every point has its own.
        progress
            True to show the points.

        Raises
        ------
        RunError
            If the run was trained at fixed couplings.
        OptionError, ParameterError
            For points, couplings or options that do not exist, are equal or out of range.
        NotNormalizableError
            If ∫ exp(−S) is found to be infinite at a point.
        """
        from ..scans.over_range import scan_over_range  # the room above knows all figures of a scan

        return scan_over_range(
            self,
            over,
            n=n,
            parameters=parameters,
            order_parameter=order_parameter,
            extrapolate=extrapolate,
            seed=seed,
            progress=progress,
        )

    def sample(
        self,
        count: int,
        *,
        seed: int = 1,
        anneal: int | Literal["auto"] = 0,
        anneal_seconds: float = AUTO_SECONDS,
        train_layers: bool = False,
        progress: bool = True,
    ) -> Samples:
        """Draw independent samples with weights; one seed gives the same samples.

        Parameters
        ----------
        count
            Number of samples.
        seed
            Seed of the random numbers.
        anneal
            Number of layers that take the samples from the model to exp(−S), each a trajectory of Hamiltonian
            Monte Carlo and moves of the groups (a stochastic normalizing flow,
            :mod:`sesamo_dsl.annealing.layers`). Weights are exact for any number, and the ESS rises with it.
            ``"auto"`` raises the number until the ESS is 0.9 or more layers would take too long; the number
            then depends on the machine.
        anneal_seconds
            The time in seconds that ``"auto"`` may take, for search, training and samples together; for a
            number of layers, that of their training.
        train_layers
            True to train step sizes, temperatures and mass of the layers, at least 2, before the samples are
            drawn; see :mod:`sesamo_dsl.annealing.layer_training`. It costs about as much as 20,000 samples
            through the layers, and ``samples.annealed.training`` says what it gained; where that is nothing,
            the layers stay as they are. The seed determines the result unless the time ends the training.
        progress
            True to show a progress bar while samples are annealed.

        Raises
        ------
        OptionError
            For arguments out of range.
        BackendError
            If samples are to be annealed, and the backend does not provide log q on arrays of its framework.
        AnnealingError
            If too few samples of the model are finite and inside of the domain for an annealing.
        SamplingInterrupted
            A KeyboardInterrupt, for SIGINT and SIGTERM while samples are annealed; its attribute ``samples``
            has the samples that are done.
        """
        train_layers, progress = (
            checks.flag(value, f"option {name}")
            for name, value in (("train_layers", train_layers), ("progress", progress))
        )
        layers = checked_layers(anneal, train_layers)
        limit = checks.real(
            anneal_seconds, "option anneal_seconds", remedy="give a number of seconds, as 300"
        )
        count = checks.integer(count, "sample count")
        program = self.compiled.program
        numbers = 2 * count * math.prod(program.configuration_shape)  # the chunks and their concatenation
        check_memory(numbers, f"sample count = {count}", "draw fewer at a time, with different seeds")
        seed = checks.seed(seed, "seed of samples")
        draws = self.model.sample(count, seed)
        log_prob, work, record, signals = None, None, None, ()
        if layers != 0:
            further = 0 if self.outside is None else len(self.outside)
            annealed, signals = anneal_draws(
                self.model,
                self.compiled,
                self.parameters,
                draws,
                layers,
                seed,
                further=further,
                seconds=limit,
                train_layers=train_layers,
                progress=progress,
            )
            draws, work, record, log_prob = annealed.draws, annealed.work, annealed.record, annealed.log_prob
        search = Search(log_prob or log_prob_now(self.model), program, self.parameters)
        samples = Samples.of(
            draws,
            program,
            self.parameters,
            self.exact,
            self.notes,
            self.derived,
            self._training,
            search,
            work,
            record,
        )
        if signals:
            done = f"{len(samples)} samples are annealed" if record else "no sample is annealed"
            stopped = replace(samples, unchecked="the annealing was stopped")
            raise SamplingInterrupted(signals[0], stopped, done)
        if self.outside is None:
            return replace(samples, unchecked=self.unchecked)
        log_q = (log_prob or self.log_prob)(self.outside.x)
        return replace(samples, outside=Outside(log_q, self.outside))

    def sample_to(
        self,
        path: str | Path,
        count: int,
        *,
        seed: int = 1,
        anneal: int | Literal["auto"] = 0,
        anneal_seconds: float = AUTO_SECONDS,
        progress: bool = True,
    ) -> Samples:
        """Draw samples and write them to an HDF5 file, some thousand at a time.

        Whatever ends the process, samples that are written count, and the same call goes on where it stopped:
        on one machine the file is then, byte by byte, that of an uninterrupted call. A finished file stays as
        it is. The numbers are others than those of :meth:`sample`: every part of the file has its own seed.
        An empty file beside it, whose name ends in ``.lock``, is its lock.

        Parameters
        ----------
        path
            A new file, whose name ends in ``.h5``, or that of an earlier call with the same arguments.
        count, seed, anneal, anneal_seconds
            See :meth:`sample`; the number of layers that ``"auto"`` finds is kept in the file.
        progress
            True to show a progress bar.

        Returns
        -------
        Samples
            The samples in the file, as :meth:`.Samples.open` gives them.

        Raises
        ------
        OptionError
            For arguments out of range, and if the file exists and is not that of an earlier call of this run
            with the same arguments.
        RunError
            If the file cannot be written, is damaged, or is being written by another process.
        BackendError, AnnealingError
            See :meth:`sample`; BackendError also without h5py.
        SamplingInterrupted
            A KeyboardInterrupt, for SIGINT and SIGTERM; its attribute ``samples`` has those in the file.
        """
        place, progress = checks.path(path, "samples file"), checks.flag(progress, "option progress")
        layers = checked_layers(anneal)
        limit = checks.real(
            anneal_seconds, "option anneal_seconds", remedy="give a number of seconds, as 300"
        )
        count, seed = checks.integer(count, "sample count"), checks.seed(seed, "seed of samples")
        request = Request(
            self.model,
            self.compiled,
            self.parameters,
            self._provenance(),
            self._frame,
            0 if self.outside is None else len(self.outside),
            count,
            seed,
            layers,
            limit,
        )
        signals = sample_to_file(place, request, progress=progress)
        if not signals:
            return replace(Samples.open(place), declared=self.derived, notes=self.notes)
        samples = Samples.open(place) if place.exists() else None
        done = 0 if samples is None else len(samples)
        raise SamplingInterrupted(signals[0], samples, f"{done} of {count} samples are in {place}")

    def _frame(self, log_prob: Callable[[np.ndarray], np.ndarray] | None) -> Frame:
        """What samples of this run have in common; ``log_prob`` replaces log q if they are annealed."""
        outside = self.outside
        return Frame(
            self.compiled.program,
            self.parameters,
            self.exact,
            self.notes,
            tuple(self.derived),
            self.origin,
            self._training,
            Search(log_prob or log_prob_now(self.model), self.compiled.program, self.parameters),
            None if outside is None else Outside((log_prob or self.log_prob)(outside.x), outside),
            self.unchecked if outside is None else "",
        )

    def _provenance(self) -> dict[str, Any]:
        """Attributes of a file of samples that say which model they are of."""
        arrays = {**self.declaration.base_arrays(), **self.model.state()}
        weights = save_tensors({name: np.array(arrays[name], order="C") for name in sorted(arrays)})
        plain = {
            "couplings": numbers_only(self.parameters),
            "plan": self.plan.as_json(),
            "versions": versions_with(self.compiled.backend),
        }
        return {
            "theory": self.compiled.program.theory,
            "program_digest": digest(self.compiled),
            "model_digest": sha256(weights),
            "backend": self.compiled.backend.name,
            "precision": self.compiled.precision,
            **{name: json.dumps(value, sort_keys=True) for name, value in plain.items()},
        }

    @property
    def _training(self) -> TrainingRecord:
        share = 1.0 if self.finished else min(self.course.progress(self.plan), math.nextafter(1, 0))
        return TrainingRecord(
            self.steps_done, share, np.array(self.history.columns.get("ess", [])), self.beyond
        )

    def report(
        self,
        path: str | Path,
        *,
        references: References | None = None,
        count: int = 10_000,
        seed: int = 1,
    ) -> None:
        """Write one HTML page about the run and samples of it; see :meth:`.Reported.report`.

        Parameters
        ----------
        path, references
            The file, and values to compare with.
        count, seed
            Number of samples that are drawn for the page, and their seed.

        Raises
        ------
        OptionError
            For arguments out of range, a name of the file that does not end in ``.html``, or a reference that
            is not known.
        RunError
            If the file cannot be written.
        """
        write_page(self, path, references=references, count=count, seed=seed)

    def coverage(
        self,
        samples: Samples,
        outside: np.ndarray | Chain | Annealed | TargetSample,
        log_weights: np.ndarray | None = None,
    ) -> Coverage:
        """Compare samples of the model with configurations of the target from another source.

        Parameters
        ----------
        samples
            Samples of this run.
        outside
            An annealing, Markov chains, or configurations from any source, (n, components, *lattice), in the
            order of their generation.
        log_weights
            Logarithms of the weights of such configurations, (n,), up to a constant; default: equal weights.

        Raises
        ------
        ConfigurationError, OptionError
            If the arrays are not configurations of the theory, or are empty.
        """
        check_samples(samples, "coverage")
        if isinstance(outside, Chain | Annealed):
            outside = outside.as_target()
        if isinstance(outside, TargetSample):
            target = outside
        else:
            x = self.compiled.check_configurations(outside)
            target = TargetSample.of_arrays(x, self.compiled.action(x, self.parameters), log_weights)
        log_prob, record = self.log_prob, samples.annealed
        if record is not None and record.layers:
            log_prob = self._layers(record).log_prob
        return Coverage.of(samples, log_prob(target.x), target)

    def _layers(self, record: AnnealingRecord) -> Layers:
        """The layers of a record, as the samples passed them."""
        with self.compiled.backend.scope("float64"):
            layers = Layers.of(
                self.model, self.compiled, self.parameters, record.layers, record.seed, lambda *_: None
            )
            return layers if record.parameters is None else layers.changed(record.parameters)

    def check(self, seconds: float | None = None, *, progress: bool = True) -> None:
        """Anneal, keep the walkers with the run, and compare all samples drawn from now on with them.

        For a run over a range of couplings there is an annealing at its ends, in the middle, at the run's own
        couplings, and where the ESS is lowest; ``run.checked`` has what they say.

        Parameters
        ----------
        seconds
            Duration of each annealing; default: a fifth of the duration of the training, for all of them
            together, and at least 5 s for each.
        progress
            True to show a progress bar.

        Raises
        ------
        OptionError
            If ``seconds`` is not a positive number.
        TrainingInterrupted
            For SIGINT and SIGTERM; the run is saved with the walkers that are done, if there are any.
        """
        if seconds is not None:
            seconds = checks.real(seconds, "option seconds of check")
        signals = self._check(seconds, progress)
        if self.directory is not None:
            self.save()
        if signals:
            raise TrainingInterrupted(signals[0], self)

    def _check(self, seconds: float | None, progress: bool) -> Sequence[Signals]:
        if self.plan.over is not None:
            return self._check_range(self.plan.over, seconds, progress)
        found, signals = self._annealed(self.parameters, seconds, 1, progress)
        self.outside = None if isinstance(found, str) else found
        self.unchecked = found if isinstance(found, str) else ""
        return signals

    def _annealed(
        self, parameters: Couplings, seconds: float | None, number: int, progress: bool
    ) -> tuple[TargetSample | str, Sequence[Signals]]:
        """One of so many annealings that share the time of a check."""
        trained = self.course.seconds / number
        return anneal_for_check(
            self.compiled, parameters, seconds, trained, self.plan.seed, progress=progress
        )

    def _check_range(self, over: CouplingRange, seconds: float | None, progress: bool) -> Sequence[Signals]:
        """Anneal at points of the range, and compare; a signal leaves out the points that are left."""
        points = places(cast(ModelOverRange, self.model), over, self.plan.density, self.parameters)
        made, signals = list[PointCheck](), tuple[Signals, ...]()
        for point, place in points.items():
            values = {**self.parameters, **over.at(point)}
            found, signals = self._annealed(values, seconds, len(points), progress)
            outside, unchecked = (None, found) if isinstance(found, str) else (found, "")
            made.append(PointCheck(over.at(point), place, outside, unchecked))
            if same_couplings(values, self.parameters):
                self.outside, self.unchecked = outside, unchecked
            if signals:
                break
        self.checked = tuple(made)
        self._compare()
        return signals

    def _compare(self) -> None:
        """Hold the model, as it is now, against the annealings at points of its range."""
        found: list[PointCheck] = []
        for check in self.checked:
            samples = self._at({**self.parameters, **check.couplings}).sample(COMPARED)
            found.append(check.compared(samples.ess, samples.coverage))
        self.checked = tuple(found)

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """log q(x) of configurations from any source, (n, components, *lattice) → (n,)."""
        checked = self.compiled.check_configurations(x)
        return self.model.log_prob(checked) if len(checked) else np.empty(0, self.compiled.precision)

    def export(self, path: str | Path, to: str | None = None) -> Path:
        """Write the sampler for someone who has its framework and NumPy, but not this package.

        The file has flow, domain, laws and action of this run in a format of the framework, and ``load.py``
        with ``load(path)``, ``.sample(seed, n)``, ``.log_prob(x)`` and ``.action(x)``; ``README.txt`` in it
        says how. It is written after fresh samples and densities of it were found to be those of this run.

        Parameters
        ----------
        path
            The file, whose name ends in ``.zip``; an exported sampler is replaced, no other file is.
        to
            ``"torch"`` (``torch.export``), ``"jax"`` (StableHLO of ``jax.export``) or ``"onnx"``; default:
            the framework of this run. The first two draw the samples that the run draws with that backend,
            by the same seed; ONNX draws with random numbers of NumPy.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        OptionError
            For another format, or a file that is not an exported sampler.
        BackendError
            If the format lacks an operation of the model, which is named, or its packages are missing, or do
            not give what the run gives.
        RunError
            If the file cannot be written, or samples of the run are not finite.
        """
        if self.plan.over is not None:
            return self.at().export(path, to)
        form = self.compiled.backend.name if to is None else to
        return export_model(
            path,
            form,
            self.compiled,
            self.parameters,
            self.declaration.base,
            self.plan,
            self.model.state(),
            self.notes,
        )

    def distribution(self) -> Any:
        """The distribution q(x) of the samples, for programs of the framework, with the weights as they are.

        For torch it is a ``torch.distributions.Distribution``: ``sample`` follows ``torch.manual_seed``,
        ``log_prob`` is differentiable by x, and there is no ``rsample``. For JAX it has
        ``sample(key, sample_shape)``, which can be compiled and mapped, and ``log_prob(x)``, which can be
        compiled, differentiated and mapped. Configurations are (…, components, *lattice), in the precision of
        the run. With the slice of a U(1) or SO(2), log q(x) is an integral over one coordinate, taken
        numerically to 10⁻⁴; of its exponential, that of ``samples.log_q`` is an unbiased estimate.

        Raises
        ------
        OptionError
            If samples may leak, or complete slices by more than one coordinate.
        BackendError
            If the backend has no distributions, or for a run in float64 on JAX without float64, when used.
        """
        model = self.model if self.plan.over is None else self.at().model
        return distribution_of(model, self.compiled)

    def forward(self, reference: np.ndarray | Chain) -> ForwardMetrics:
        """Forward ESS and negative log-likelihood on configurations of the target.

        Parameters
        ----------
        reference
            Independent configurations, (n, components, *lattice), or a chain, whose autocorrelation then
            enters the errors.

        Raises
        ------
        OptionError
            If there are no configurations.
        """
        if isinstance(reference, Chain):
            x, mean = reference.configurations, reference.estimate
        else:
            x, mean = reference, independent_mean
        action = self.compiled.action(x, self.parameters)
        if not len(action):
            raise OptionError(
                "reference", expected="at least one configuration", found="none", remedy="pass some"
            )
        return ForwardMetrics.of(self.log_prob(x), action, mean)
