"""Loading of runs from their directories, in this format and in earlier formats."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.numpy import load as load_tensors

from .. import checks
from ..analysis.result import Analysis
from ..backend import load_backend, placed
from ..compiled_program import CompiledProgram
from ..errors import RunError, SesamoError
from ..estimates.target_sample import TargetSample
from ..ir.program import Program
from ..language.theory import Theory
from ..language.theory_files import derived_quantities, is_shipped, load_theory, recorded_theory
from ..plan.base import make_base
from ..plan.decide import decide
from ..plan.options import TrainingOptions
from ..plan.plan import Plan
from ..stages.analyse import analyse
from ..stages.compile import DerivedProgram
from ..stages.same_action import same_action
from ..training.history import Course, History
from .architecture import check_architecture
from .declaration import Declaration
from .earlier_formats import digest_of_format_1, options_of_today, weights_of_today
from .point_checks import PointCheck, checks_from_data
from .reference_file import read_reference
from .registered import require_registered
from .run import Run
from .store import DAMAGES, RunDirectory, not_a_run, state_of


def load_run(
    directory: str | Path,
    *,
    theory: Theory | str | Path | None = None,
    backend: str | None = None,
    device: str | None = None,
) -> Run:
    """Load a run from its directory; the model is built from the stored declaration.

    Parameters
    ----------
    theory
        The theory, or its name or file. It is needed for derived quantities if the theory's file has been
        moved or changed since, and for runs of format 1 unless the theory is shipped with the package. A
        theory file is executed as Python.
    backend
        Name of the backend; default: the backend that trained the run.
    device
        Where arrays and models are, as in :func:`sesamo_dsl.compile`.

    Raises
    ------
    RunError
        If the directory is not a run, is damaged, or belongs to another theory, or if a user's flow, base or
        law that it was trained with is not registered.
    BackendError
        For a backend that does not exist or is not installed.
    """
    store = RunDirectory(checks.path(directory, "run directory", error=RunError))
    given = theory if theory is None or isinstance(theory, Theory) else load_theory(theory)
    record, files = store.read()
    declared = None
    try:
        origin = {str(k): str(v) for k, v in dict(record["theory_source"]).items()}
        name, notes = str(record["theory"]), tuple(map(str, record["notes"]))
        wanted = [str(quantity) for quantity in record.get("derived", ())]
        if record["precision"] not in ("float32", "float64"):
            raise ValueError(f"precision {record['precision']!r}")
        chosen = str(record["backend"]) if backend is None else backend
        if record["format"] != 1:  # bases of format 2 have no tails and no parts
            declared = Declaration.read(files)
    except DAMAGES as error:
        raise not_a_run(store.path, error) from error
    require_registered(store.path, record)
    loaded = placed(load_backend(chosen), device)
    if declared is None:
        given = _declaration_of_format_1(store, record, origin, name, given)
        compiled = DerivedProgram.of_theory(given, loaded, record["precision"], normalizable=False)
        _require_same_text(store, record, compiled, given)
    elif given is not None:
        _require_same_action(store, declared.program, given)
    try:
        state = weights_of_today(load_tensors(state_of(files)), record["format"])
        options = options_of_today(record["options"], record["format"])
        couplings = dict(record["parameters"])
        if _COUPLINGS in files:
            couplings |= load_tensors(files[_COUPLINGS])
        if declared is None:
            parameters = compiled.theory.parameter_values(couplings)
            asked = TrainingOptions.from_json(options)
            plan = decide(asked, compiled.analysis, compiled.requested_precision)
            base = make_base(compiled.program, parameters, plan)
            declared = Declaration.of(compiled, parameters, base)
        else:
            compiled = CompiledProgram.of(declared.program, declared.facts, loaded, record["precision"])
            parameters = compiled.parameter_values(couplings)
            plan = Plan.from_json(options)
        check_architecture(plan, declared.program, state)
        model = loaded.model(compiled, parameters, declared.base, plan)
        model.load_state(state)
        history = read_history(state_of(files, "history"))
        course, ended = _course(record, plan, history, int(state["step"]))
        reference = read_reference(files, compiled, parameters)
        outside, unchecked = _outside(record.get("outside", ""), files)
        checked = _checked(record.get("checked"), files, plan)
        beyond, fields = (
            str(record.get("beyond", "")),
            checks.integer(record.get("fields", 0), "fields", least=0),
        )
        kept = [data for file, data in files.items() if file.startswith("callbacks-")]
        memory = load_tensors(kept[0]) if kept else {}
    except (*DAMAGES, RuntimeError, AssertionError) as error:
        raise not_a_run(store.path, error) from error
    derived, missing = derived_quantities(wanted, origin, given, (store.path, store.path.parent))
    return Run(
        compiled,
        parameters,
        plan,
        model,
        store,
        declared,
        history,
        course,
        origin,
        (*notes, *missing),
        derived,
        reference,
        record.get("start_from"),
        ended,
        _checksum=record.get("checksum"),
        outside=outside,
        unchecked=unchecked,
        checked=checked,
        beyond=beyond,
        fields=fields,
        theory=given,
        memory=memory,
    )


def analysis_of(run: Run) -> Analysis | None:
    """The analysis of the theory of a run; None if its declaration is not at hand, or is another one by now.

    The declaration is that of the process that trained the run, the one that :func:`load_run` was given, the
    shipped theory of that name, or the theory file if it is as it was at training time.
    """
    if isinstance(run.compiled, DerivedProgram):
        return run.compiled.analysis
    store = run.store
    try:
        found = run.theory
        if found is None and isinstance(store, RunDirectory):
            found = recorded_theory(run.origin, (store.path, store.path.parent))
        analysis = None if found is None else analyse(found, normalizable=False)
    except SesamoError:  # of a shipped theory, or a file, that this version cannot analyse
        return None
    if analysis is None or not same_action(run.compiled.program, analysis):
        return None
    return analysis


def stored_analysis(run: Run) -> str:
    """The derivation that the training wrote down as text; empty if there is none."""
    if run.directory is not None:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            return (run.directory / "analysis.txt").read_text(encoding="utf-8")
    return ""


def record_of(run: Run) -> Mapping[str, Any]:
    """What ``run.json`` says of the run; for a run in memory what it would say."""
    store = run.store
    return store.record() if isinstance(store, RunDirectory) else run._record()


def _outside(kept: Any, files: Mapping[str, bytes]) -> tuple[TargetSample | None, str]:
    """The configurations that samples are compared with, or the reason in words why there are none."""
    if isinstance(kept, str):
        return None, kept or "runs of an earlier version have no annealing: run.check() makes one"
    return TargetSample.from_data(kept, load_tensors(state_of(files, "outside"))), ""


def _checked(kept: Any, files: Mapping[str, bytes], plan: Plan) -> tuple[PointCheck, ...]:
    """The annealings at points of the range of a run; none for a run at fixed couplings."""
    if not kept or plan.over is None:
        return ()
    return checks_from_data(kept, load_tensors(state_of(files, "annealings")), plan.over)


_COUPLINGS = "couplings.safetensors"


def _course(record: Mapping[str, Any], plan: Plan, history: History, step: int) -> tuple[Course, Any]:
    """The progress of the training and how it ended; ValueError unless weights, history and record agree."""
    if record["format"] == 1:  # the history of a diverged training is longer than the training of its weights
        history.cut(step)
        seconds = history.columns.get("seconds", [0.0])
        course = Course(step, seconds[-1] if seconds else 0.0)
        done = plan.seconds is not None or step >= plan.steps
        return course, "finished" if done else None
    steps, seconds = record["steps"], record["seconds"]
    counts = [checks.integer(steps[key], key, least=0) for key in ("done", "schedule_from")]
    times = [checks.real(seconds[key], key, open_below=False) for key in ("done", "schedule_from")]
    asked = None if plan.seconds is not None else plan.steps
    if not step == len(history) == counts[0] >= counts[1]:
        raise ValueError(f"weights of step {step}, {len(history)} steps of history and {counts[0]} recorded")
    if (steps["asked"], seconds["asked"]) != (asked, plan.seconds) or times[0] < times[1]:
        raise ValueError("steps and seconds that are not those of the options")
    if record["ended"] not in ("finished", "stopped", "diverged", None):
        raise ValueError(f"a training that ended as {record['ended']!r}")
    return Course(counts[0], times[0], counts[1], times[1]), record["ended"]


def read_history(data: bytes) -> History:
    """The history in a CSV file, inverse of ``History.csv``; ValueError if the text is not such a file."""
    history = History()
    header, *rows = data.decode("utf-8").splitlines()
    names = header.split(",")
    if names[0] != "step" or len(set(names)) < len(names):
        raise ValueError(f"a history that begins with {header[:80]!r}")
    for number, row in enumerate(rows):
        step, *values = row.split(",")
        if int(step) != number:
            raise ValueError(f"a history with step {step} in row {number}")
        history.append(dict(zip(names[1:], map(float, values), strict=True)))
    return history


def _declaration_of_format_1(
    store: RunDirectory, record: Mapping[str, Any], origin: Mapping[str, str], name: str, given: Theory | None
) -> Theory:
    """The theory of a run of format 1, which holds no declaration: the given theory, or a shipped one.

    A theory file that is only recorded in the run is never executed: RunError.
    """
    if given is not None:
        return given
    reference = origin.get("reference")
    if reference is not None and is_shipped(reference):
        return load_theory(reference)
    raise RunError(
        f"run directory {store.path}",
        expected="the declaration of the theory",
        found=f"a run of {name}, which was declared in {reference or 'a Python session'}",
        remedy="pass it: load_run(directory, theory=…), or --theory FILE",
    )


def _require_same_text(
    store: RunDirectory, record: Mapping[str, Any], compiled: CompiledProgram, theory: Theory
) -> None:
    """RunError unless a run of format 1 was trained on this program, or on the same action."""
    action = ""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        lines = (store.path / "analysis.txt").read_text(encoding="utf-8").splitlines()
        action = next((line for line in lines if line.startswith("S = ")), "")
    # another version of this package may compile the same action into another program
    same = digest_of_format_1(compiled.program) == record.get("program_digest")
    if not same and action != f"S = {theory.action}":
        raise _another_theory(store, record["theory"], theory)


def _require_same_action(store: RunDirectory, program: Program, theory: Theory) -> None:
    """RunError unless the theory and the program have the same action."""
    # Z < ∞ was checked before the training
    if not same_action(program, analyse(theory, normalizable=False)):
        raise _another_theory(store, program.theory, theory)


def _another_theory(store: RunDirectory, name: str, theory: Theory) -> RunError:
    return RunError(
        f"run directory {store.path}",
        expected=f"the theory {name} it was trained on",
        found=f"{theory.name}, whose compiled program differs",
        remedy="give the declaration as it was at training time; analysis.txt in the directory shows it",
    )
