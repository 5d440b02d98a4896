"""A run: a trained model, what made it, and where it is kept.

A run directory holds ``run.json`` (options, couplings, versions, seed), ``state.safetensors`` (weights and
optimiser), ``history.csv``, ``analysis.txt``, the emitted module and, if there were any, values of
site-dependent couplings, ``couplings.safetensors``, and the configurations of the target that it was trained
with, ``reference.safetensors``. The state has the same layout for all
backends: a run trained with one can be loaded with another.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from . import checks
from .backend import Model
from .cache import file_stem, write_bytes, write_text
from .chains import Chain
from .compiler import CompiledTheory, compile
from .couplings import Coupling, arrays_only, numbers_only
from .coverage import Coverage
from .divergence import cause_of_divergence
from .errors import OptionError, ParameterError, RunError
from .evaluation import ForwardMetrics, Samples, independent_mean
from .flow_spec import FlowSpec
from .health import TrainingRecord
from .ir.program import SITE_VALUES
from .ir.text import program_text
from .memory import check_memory
from .methods import method_options
from .reference import Reference, exact_reference
from .theory import Theory
from .training import History, TrainingOptions, make_base, notes_on, train

_FORMAT = 1


@dataclass(eq=False, repr=False)
class Run:
    """A model in training or use; made by :func:`start` and :func:`load_run`.

    Attributes
    ----------
    parameters
        Couplings it was trained at.
    options
        Resolved training options.
    history
        Loss, batch ESS, gradient norm and time of every step.
    directory
        Where it is kept.
    reference
        Configurations of the target that the forward part of the objective is trained with.
    start_from
        Directory of the run whose flow weights it started with, if any.
    """

    compiled: CompiledTheory
    parameters: dict[str, Coupling]
    options: TrainingOptions
    model: Model
    directory: Path
    history: History = field(default_factory=History)
    source: dict[str, str] = field(default_factory=dict)
    reference: np.ndarray | None = None
    start_from: str | None = None
    _exact: Reference | None = None
    _exact_known: bool = False

    def __repr__(self) -> str:
        backend, steps = self.compiled.backend.name, len(self.history)
        return f"Run({self.compiled.theory.name!r}, {backend}, {steps} steps, {str(self.directory)!r})"

    @property
    def exact(self) -> Reference | None:
        """Quadrature values where the theory has at most two degrees of freedom."""
        if not self._exact_known:
            self._exact = exact_reference(self.compiled.program, self.parameters)
            self._exact_known = True
        return self._exact

    def sample(self, count: int, *, seed: int = 1) -> Samples:
        """Draw independent samples with weights; the same seed gives the same samples."""
        count = checks.integer(count, "sample count")
        numbers = 2 * count * math.prod(self.compiled.theory.configuration_shape)  # chunks, and all of them
        check_memory(numbers, f"sample count = {count}", "draw fewer at a time, with different seeds")
        draws = self.model.sample(count, checks.seed(seed, "seed of samples"))
        notes = notes_on(self.options, self.compiled.analysis)
        declared, program = self.compiled.theory.derived, self.compiled.program
        coverage = Coverage(self.model, program, self.parameters)
        return Samples.of(
            draws, program, self.parameters, self.exact, notes, declared, self._training, coverage
        )

    @property
    def _training(self) -> TrainingRecord:
        """How far the weights are trained, for the checks of samples."""
        columns = self.history.columns
        done = len(self.history)
        share = done / self.options.steps
        if self.options.seconds is not None:
            share = 1.0
        return TrainingRecord(done, share, np.array(columns.get("ess", [])))

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """log q(x) of any configurations, (n, components, *lattice) → (n,)."""
        checked = self.compiled.check_configurations(x)
        return self.model.log_prob(checked) if len(checked) else np.empty(0, self.compiled.precision)

    def forward(self, reference: np.ndarray | Chain) -> ForwardMetrics:
        """Forward ESS and NLL on configurations of the target.

        Parameters
        ----------
        reference
            Independent configurations, (n, components, *lattice), or a chain, whose autocorrelation then
            enters the errors.
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

    def resume(self, steps: int, *, progress: bool = True) -> Run:
        """Train on for a number of steps, with the schedule started anew."""
        self.options = replace(self.options, steps=steps, seconds=None)
        self._train(progress)
        return self

    def _train(self, progress: bool) -> None:
        train(
            self.model,
            self.options,
            self.history,
            progress=progress,
            keep=self._keep,
            reference=self.reference,
            explain=lambda: cause_of_divergence(self.model, self.compiled.program, self.parameters),
        )
        self.save()

    def _keep(self, state: dict[str, np.ndarray]) -> str:
        self.save(state)
        return str(self.directory)

    def save(self, state: dict[str, np.ndarray] | None = None) -> None:
        """Write the run directory; every file is replaced as a whole."""
        theory = self.compiled.theory
        record = {
            "format": _FORMAT,
            "theory": theory.name,
            "theory_source": self.source,
            "configuration_shape": theory.configuration_shape,
            "program_digest": digest(self.compiled),
            "backend": self.compiled.backend.name,
            "precision": self.compiled.precision,
            "parameters": numbers_only(self.parameters),
            "options": self.options.as_json(),
            "notes": notes_on(self.options, self.compiled.analysis),
            "start_from": self.start_from,
            "versions": {
                "sesamo-dsl": version("sesamo-dsl"),
                "python": platform.python_version(),
                "numpy": np.__version__,
                **self.compiled.backend.versions(),
            },
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        state = self.model.state() if state is None else state
        write_bytes(
            self.directory / "state.safetensors",
            save_tensors({k: np.array(v, order="C") for k, v in state.items()}),
        )
        arrays = arrays_only(self.parameters)
        if arrays:
            write_bytes(self.directory / "couplings.safetensors", save_tensors(arrays))
        if self.reference is not None:
            write_bytes(self.directory / "reference.safetensors", save_tensors({"x": self.reference}))
        write_text(self.directory / "history.csv", self.history.csv())
        write_text(self.directory / "analysis.txt", self.compiled.analysis.text() + "\n")
        write_text(
            self.directory / self.compiled.source.name, self.compiled.source.read_text(encoding="utf-8")
        )
        write_text(self.directory / "run.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def digest(compiled: CompiledTheory) -> str:
    """Identifies the compiled mathematics, whatever the backend."""
    constants = [
        # values that were given count to the last digit, those that were computed may be rounded differently
        (array if name.startswith(SITE_VALUES) else np.round(array, 6)).tolist()
        for name, array in compiled.program.constants.items()
    ]
    return hashlib.sha256(f"{program_text(compiled.program)}\n{constants}".encode()).hexdigest()


def start(
    compiled: CompiledTheory,
    *,
    parameters: Mapping[Any, Coupling] | None = None,
    directory: str | Path | None = None,
    progress: bool = True,
    source: Mapping[str, str] | None = None,
    reference: np.ndarray | Chain | None = None,
    method: str | None = None,
    start_from: Run | str | Path | None = None,
    **options: Any,
) -> Run:
    """Train a compiled theory; see ``CompiledTheory.train`` for the arguments."""
    if method is not None:
        options = method_options(method, compiled.analysis, **options)
    values = compiled.theory.parameter_values(parameters)
    unknown = set(options) - set(TrainingOptions.__dataclass_fields__)
    if unknown:
        raise OptionError(
            f"option {', '.join(sorted(unknown))}",
            expected=f"one of {', '.join(TrainingOptions.__dataclass_fields__)}",
            found=", ".join(sorted(unknown)),
            remedy="check the spelling",
        )
    if "steps" in options and options.get("seconds") is not None:
        raise OptionError(
            "options steps and seconds",
            expected="one of them: the length of the training in steps, or in time",
            found=f"steps={options['steps']} and seconds={options['seconds']}",
            remedy="leave one out",
        )
    given = _reference(compiled, reference, options)
    donor = None if start_from is None else Donor.of(start_from)
    if donor is not None and options.get("flow") is None:
        options["flow"] = donor.flow
    resolved = TrainingOptions(**options).resolve(compiled.analysis, compiled.requested_precision)
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    place = (
        checks.path(directory, "directory of a run")
        if directory is not None
        else Path("runs") / f"{file_stem(compiled.theory.name)}-{compiled.backend.name}-{stamp}"
    )
    if (place / "run.json").exists():
        raise RunError(
            f"run directory {place}",
            expected="a directory without a run in it",
            found="run.json of an earlier run",
            remedy="choose another directory; nothing is overwritten",
        )
    model = compiled.backend.model(compiled, values, make_base(compiled.program, values, resolved), resolved)
    if donor is not None:
        model.load_state(donor.graft(model.state(), compiled.theory, resolved.flow))
    place_of_donor = None if donor is None else donor.directory
    run = Run(
        compiled,
        values,
        resolved,
        model,
        place,
        source=dict(source or {}),
        reference=given,
        start_from=place_of_donor,
    )
    run.save()  # an unwritable place is found before, not after, the training
    run._train(progress)
    return run


def _reference(
    compiled: CompiledTheory, reference: np.ndarray | Chain | None, options: dict[str, Any]
) -> np.ndarray | None:
    """The configurations to train with, checked; fills in the weight of the forward divergence."""
    weight = options.get("forward_weight")
    if reference is None:
        if weight:
            raise OptionError(
                "option forward_weight",
                expected="configurations of the target along with it",
                found=f"{weight} without any",
                remedy="pass reference=…, an array or a chain such as sd.hmc(theory)",
            )
        return None
    if weight is None:
        options["forward_weight"] = 0.5
    x = reference.configurations if isinstance(reference, Chain) else reference
    checked = compiled.check_configurations(x)
    if not len(checked):
        raise OptionError(
            "reference", expected="at least one configuration", found="none", remedy="pass some, or nothing"
        )
    return np.ascontiguousarray(checked)


@dataclass(frozen=True, eq=False)
class Donor:
    """Flow weights of a finished run, for a run of the same fields at other couplings or on another lattice.

    The weights of a coupling flow do not know the extents of the lattice: they are the couplings between
    neighbours, in units of the base's width. The base itself is that of the new theory.

    Attributes
    ----------
    flow
        Architecture the weights belong to.
    weights
        Arrays of the flow by their names in the state of a model.
    components, dimension
        Of the theory it was trained on.
    """

    directory: str
    flow: FlowSpec
    weights: dict[str, np.ndarray]
    components: int
    dimension: int

    @classmethod
    def of(cls, run: Run | str | Path) -> Donor:
        """From a run, or from its directory; RunError if there is none."""
        if isinstance(run, Run):
            flow, state, shape = run.options.flow, run.model.state(), run.compiled.theory.configuration_shape
            assert flow is not None  # options of a run are resolved
            return cls(str(run.directory), flow, _flow_weights(state), shape[0], len(shape) - 1)
        place = checks.path(run, "start_from")
        record, state = _read(place)
        try:
            shape = record["configuration_shape"]
            flow = TrainingOptions.from_json(record["options"]).flow
            if flow is None:
                raise ValueError("no architecture in its options")
            return cls(str(place), flow, _flow_weights(state), int(shape[0]), len(shape) - 1)
        except (ValueError, KeyError, TypeError, AttributeError, OptionError) as error:
            raise _not_a_run(place, error) from error

    def graft(
        self, state: dict[str, np.ndarray], theory: Theory, flow: FlowSpec | None
    ) -> dict[str, np.ndarray]:
        """A fresh model's state with these flow weights; RunError unless they fit."""
        found = f"{self.components} components in {self.dimension} dimensions, {self.flow}"
        components, dimension = len(theory.components), theory.lattice.dimension
        own = _flow_weights(state)
        same = (self.components, self.dimension, self.flow) == (components, dimension, flow)
        if not same or {k: v.shape for k, v in own.items()} != {k: v.shape for k, v in self.weights.items()}:
            raise RunError(
                f"start_from {self.directory}",
                expected=f"a run of {components} components in {dimension} dimensions, {flow}",
                found=found if not same else f"weights of other shapes, for {found}",
                remedy="start from a run of the same theory on another lattice, and leave the flow to it; "
                "an extent of 1 has no neighbours and goes with no other",
            )
        return {**state, **{name: self.weights[name].astype(state[name].dtype) for name in own}}


def _flow_weights(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.array(value) for name, value in state.items() if name.startswith("flow.")}


def _read(place: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """run.json and the state of a run directory, or RunError."""
    try:
        record = json.loads((place / "run.json").read_text(encoding="utf-8"))
        if record["format"] != _FORMAT:
            raise ValueError(f"format {record['format']} of run.json; this version reads {_FORMAT}")
        return record, load_tensors((place / "state.safetensors").read_bytes())
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise _not_a_run(place, error) from error


def _not_a_run(place: Path, error: Exception) -> RunError:
    return RunError(
        f"run directory {place}",
        expected="run.json and state.safetensors written by a training",
        found=f"{type(error).__name__}: {error}",
        remedy="give the directory that the training printed",
    )


def load_run(directory: str | Path, *, theory: Theory | None = None, backend: str | None = None) -> Run:
    """Read a run directory.

    Parameters
    ----------
    theory
        The declaration; needed only if the run was made from a theory that is neither shipped nor in a file.
    backend
        Use another backend than the one that trained it.

    Raises
    ------
    RunError
        If the directory is not a run, is damaged, or belongs to another theory.
    """
    from .theories import load_theory

    place = checks.path(directory, "run directory", error=RunError)
    record, state = _read(place)
    try:
        given = place / "reference.safetensors"
        reference = load_tensors(given.read_bytes())["x"] if given.exists() else None
        options = TrainingOptions.from_json(record["options"])
        arrays = place / "couplings.safetensors"
        parameters: dict[str, Coupling] = {str(k): float(v) for k, v in record["parameters"].items()}
        parameters |= load_tensors(arrays.read_bytes()) if arrays.exists() else {}
        source, name = dict(record["theory_source"]), record["theory"]
        backend, precision = str(backend or record["backend"]), record["precision"]
        expected = record["program_digest"]
    except (ValueError, KeyError, TypeError, AttributeError, OptionError) as error:
        raise _not_a_run(place, error) from error
    if theory is None:
        if "reference" not in source:
            raise RunError(
                f"run directory {place}",
                expected="the declaration of the theory",
                found=f"a run of {name}, which was declared in a Python session",
                remedy="pass it: load_run(directory, theory=…)",
            )
        theory = load_theory(source["reference"])
    compiled = compile(theory, backend, precision=precision)
    if digest(compiled) != expected:
        raise RunError(
            f"run directory {place}",
            expected=f"the theory {name} it was trained on",
            found=f"{theory.name}, whose compiled program differs",
            remedy="give the declaration as it was at training time; analysis.txt in the directory shows it",
        )
    try:
        parameters = theory.parameter_values(parameters)
        options = options.resolve(compiled.analysis, compiled.requested_precision)
        base = make_base(compiled.program, parameters, options)
        model = compiled.backend.model(compiled, parameters, base, options)
        model.load_state(state)
    except (ParameterError, ValueError) as error:
        raise RunError(
            f"run directory {place}",
            expected="weights that fit the recorded architecture, and a value for every coupling",
            found=str(error),
            remedy="the files do not belong together; restore them from a copy",
        ) from error
    origin = record.get("start_from")
    return Run(compiled, parameters, options, model, place, _history(place), dict(source), reference, origin)


def _history(place: Path) -> History:
    history = History()
    try:
        header, *rows = (place / "history.csv").read_text(encoding="utf-8").splitlines()
        names = header.split(",")
        for row in rows:
            history.append({k: float(v) for k, v in zip(names, row.split(","), strict=True) if k != "step"})
    except (OSError, ValueError):
        return History()
    return history
