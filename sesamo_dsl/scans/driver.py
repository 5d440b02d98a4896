"""The work of a scan: one training after the other, then coverage at some points, then samples of all.

Each training starts from the last one's weights, which need a third of its length to follow a small change of
the couplings. It starts anew where following would mislead: at the first point; where S has minima that no
symmetry relates, which an annealing has to find; where the classical vacuum changes its symmetry, since the
flow is a deformation of a Gaussian around the vacuum.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from signal import SIGINT
from typing import Any, Literal, Unpack

import numpy as np

from .. import checks
from ..compiled import CompiledTheory, compile
from ..errors import RunError, ScanInterrupted, TrainingDivergedError, TrainingInterrupted
from ..estimates.making import versions_with
from ..ir.interpreter import run as interpret
from ..language.theory import Theory
from ..machine.files import file_stem, parse_json, write_text
from ..machine.lock import alone
from ..plan.base import make_base
from ..plan.options import TrainingFields, TrainingOptions
from ..plan.plan import Plan
from ..runs import Run, load_run
from ..runs.checking import inequivalent_minima
from ..runs.declaration import digest
from ..runs.store import RECORD, RunDirectory
from ..values.couplings import Coupling, Couplings, couplings_text, same_couplings
from ..values.precision import Precision
from .grid import Grid, require_normalizable_points
from .measuring import Order
from .result import Scan
from .visiting import checked_count, measured_points

WARM = 1 / 3
"""Length of a training that starts from the last one's weights, relative to one that starts anew."""
_REQUEST, _LOCK = "scan.json", "scan.lock"
_LAST = 50  # batches at the end of a training whose ESS says which point is the worst
_MOST_SECTORS = 64  # up to which it is looked at where the group takes the vacuum
_SEEN = 2.0  # widths of the mean field beyond which an image of the vacuum is another one


def scan(
    theory: Theory | CompiledTheory,
    over: Mapping[Any, Sequence[float] | np.ndarray] | Sequence[Mapping[Any, float]],
    *,
    n: int = 10_000,
    parameters: Mapping[Any, Coupling] | None = None,
    order_parameter: Any = None,
    backend: str = "torch",
    precision: Precision | None = None,
    directory: str | Path | Literal[False] | None = None,
    check: bool = True,
    progress: bool = True,
    **fields: Unpack[TrainingFields],
) -> Scan:
    """Train a sampler at each of several points of coupling space, and measure curves with errors.

    ``sd.scan(theory, {"kappa": np.linspace(0.2, 0.3, 11)}, seconds=600)``. Each training starts from the
    weights of the point before it, and has a third of the length of one that starts anew, as the first one
    does; points where the classical vacuum changes its symmetry, or where S has minima that no symmetry
    relates, start anew as well. Temperature is a coupling like others, if the action has it: S = β E.

    Parameters
    ----------
    over
        Values by coupling, of which all combinations are taken, each a neighbour of the last one; or a list
        of points, each a dictionary of couplings, in the order in which they are to be visited.
    n
        Number of samples at each point.
    parameters
        Other couplings that differ from the theory's defaults.
    order_parameter
        m, for ⟨|m|⟩, ⟨m²⟩, the susceptibility and the Binder cumulant: the name of an observable, or a
        function of configurations, (n, components, *lattice) → (n,) or (n, k). By default the mean of the
        field over the sites, if the theory has one field.
    directory
        Where the runs are kept, by default a new ``runs/<theory>-scan-<backend>-<time>``; the same call with
        the directory of an earlier one goes on where that was stopped. False: the runs are in memory alone.
    check
        Whether annealings test coverage at both ends, in the middle and at the worst point, and at all that
        start anew; each takes a fifth of the time of the training there, and at least 5 s.
    progress
        Whether to show the points and progress bars.
    **fields
        Fields of :class:`sesamo_dsl.TrainingOptions`. ``seconds`` is the time of all trainings together;
        ``steps`` the number of steps of a training that starts anew.

    Raises
    ------
    OptionError, ParameterError
        For points, couplings or options that do not exist, are equal or out of range.
    NotNormalizableError
        If ∫ exp(−S) is found to be infinite at a point, before any training.
    RunError
        If the directory cannot be written, holds another scan, or is in use.
    TrainingDivergedError
        If the training diverges at every point; else such a point is left out, with a warning.
    ScanInterrupted
        A KeyboardInterrupt, for SIGINT and SIGTERM.
    """
    compiled = theory
    check, progress = checks.flag(check, "option check"), checks.flag(progress, "option progress")
    if not isinstance(compiled, CompiledTheory):
        compiled = compile(compiled, backend, precision=precision, normalizable=False)
    n = checked_count(n, compiled.program)
    grid = Grid.of(over, compiled.theory)
    points = grid.parameters(compiled.theory, parameters)
    order = Order.of(order_parameter, compiled.theory)
    plan = compiled.plan(**fields)
    require_normalizable_points(compiled.program, points)
    chain = _Chain(compiled, grid, points, plan, dict(fields), _place(compiled, directory), check, progress)
    with _kept(chain):
        chain.train()
        if check:
            chain.check()
        return _measured(chain, n, order)


@dataclass(eq=False)
class _Chain:
    """Trainings that follow one another.

    ``runs`` and ``starts`` have the run of each point, None where it diverged, and what it started from.
    """

    compiled: CompiledTheory
    grid: Grid
    points: Sequence[dict[str, Coupling]]
    plan: Plan
    fields: dict[str, Any]
    place: Path | None
    is_checked: bool
    progress: bool
    runs: list[Run | None] = field(default_factory=list)
    starts: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def trained(self) -> list[Run]:
        """The runs that did not diverge, in their order."""
        return [run for run in self.runs if run is not None]

    def say(self, text: str) -> None:
        """Tell the user what is being done."""
        if self.progress:
            print(text, file=sys.stderr, flush=True)

    def train(self) -> None:
        """Train at all points, or finish what is there."""
        reasons = self._reasons()
        shares = [1.0 if reason else WARM for reason in reasons]
        diverged: TrainingDivergedError | None = None
        for i, reason in enumerate(reasons):
            last = self.trained[-1] if self.trained else None
            anew = reason or self._why_not_from(last)
            last = None if anew else last
            origin = f"anew: {anew}" if last is None else f"the weights of {self.of(last)}"
            self.say(f"point {i + 1} of {len(self.points)}: {self.text(i)}, from {origin}")
            try:
                run = self._run(i, last, self._length(shares[i] / sum(shares), shares[i]))
            except TrainingDivergedError as error:
                diverged, run = error, None
                found = error.found.partition(";")[0]
                self.missing.append(
                    f"left out: the point {self.text(i)}, where the training diverged ({found}). Remedy: a "
                    "smaller learning_rate, or more points, closer"
                )
            self.runs.append(run)
            self.starts.append(origin)
        if diverged is not None and not self.trained:
            raise diverged

    def _run(self, i: int, last: Run | None, length: dict[str, Any]) -> Run:
        check = self.is_checked and last is None
        folder = None if self.place is None else self.place / f"point-{i:03d}"
        if folder is not None and (folder / RECORD).exists():
            run = self._loaded(folder, i)
            return run if run.finished else run.resume(progress=self.progress, check=check)
        seed = (self.plan.seed + i) % (checks.LARGEST_SEED + 1)
        fields: dict[str, Any] = {**self.fields, **length, "seed": seed}
        return self.compiled.train(
            parameters=self.points[i],
            directory=False if folder is None else folder,
            progress=self.progress,
            check=check,
            start_from=last,
            **fields,
        )

    def _loaded(self, folder: Path, i: int) -> Run:
        run = load_run(folder, theory=self.compiled.theory, backend=self.compiled.backend.name)
        same = same_couplings(run.parameters, self.points[i])
        if not same or digest(run.compiled) != digest(self.compiled):
            raise RunError(
                f"run directory {folder}",
                expected=f"the run of this scan at {couplings_text(self.points[i])}",
                found=f"another one, at {couplings_text(run.parameters)}",
                remedy="choose another directory; nothing is overwritten",
            )
        if run.ended == "diverged":
            raise TrainingDivergedError(
                f"training of {folder}",
                expected="a finite loss and gradient",
                found="it diverged earlier",
                remedy="choose another directory to try again",
            )
        return run

    def check(self) -> None:
        """Anneal at both ends, in the middle, and at the point of the lowest ESS, unless it is done."""
        runs = self.trained
        ess = [float(np.median(run.history.columns.get("ess", [0.0])[-_LAST:])) for run in runs]
        for i in sorted({0, len(runs) // 2, len(runs) - 1, int(np.argmin(np.nan_to_num(ess)))}):
            if runs[i].outside is None:
                self.say(f"coverage at {self.of(runs[i])}")
                runs[i].check(progress=self.progress)

    def _length(self, part: float, share: float) -> dict[str, Any]:
        """Length of a training that has this part of the time of all, and this share of the steps of one."""
        if self.plan.seconds is not None:
            return {"seconds": self.plan.seconds * part}
        return {"steps": max(1, round(self.fields.get("steps", TrainingOptions.steps) * share))}

    def _reasons(self) -> list[str]:
        """Why each point starts anew, in words; empty for those that start from the last one's weights."""
        reasons, before = ["it is the first point"], self._vacuum(self.points[0])
        searched = self.is_checked and self.plan.base == "vacuum" and self.compiled.program.nodes is None
        for values in self.points[1:]:
            now = self._vacuum(values)
            minima = inequivalent_minima(self.compiled.program, values) if searched else 0
            if minima > 1:
                reasons.append(f"S has {minima} minima that no symmetry relates")
            else:
                reasons.append("" if now == before else "the classical vacuum changes its symmetry here")
            before = now
        return reasons

    def _vacuum(self, values: Couplings) -> tuple[int, bool]:
        """How many elements of the finite group leave the vacuum as it is, and if it breaks a Lie group.

        What is within the fluctuations of the mean field does not count as moved.
        """
        program, sectors = self.compiled.program, self.compiled.program.sectors
        base = make_base(program, values, self.plan)
        seen = _SEEN * np.sqrt(np.diag(base.mean_covariance()))
        is_broken = "unrotate" in program.functions and bool((np.abs(base.mean) > seen).any())
        if sectors.count == 1 or not sectors.enumerable or sectors.count > _MOST_SECTORS:
            return 1, is_broken
        vacuum = np.ones(program.configuration_shape) * base.mean.reshape(-1, *(1 for _ in program.shape))
        y = np.repeat(vacuum[None], sectors.count, axis=0)
        images = interpret(program, "modulate", {"y": y, "u": sectors.elements})[0]
        moved = np.abs(images - y).reshape(sectors.count, len(base.mean), -1).max(axis=2)
        return int((moved <= seen).all(axis=1).sum()), is_broken

    def _why_not_from(self, last: Run | None) -> str:
        """Why a training cannot start from the weights of the last one, in words."""
        if last is None:
            return "no point before it has weights"
        if last.reference is not None or last.plan.flows != self.plan.flows:
            return "the last point was learned from an annealing, with a base of its own"
        return ""

    def of(self, run: Run) -> str:
        """The couplings that change, at the point of a run, as text."""
        return couplings_text({name: run.parameters[name] for name in self.grid.names})

    def text(self, i: int) -> str:
        """The couplings that change, at a point, as text."""
        return couplings_text(self.grid.at(i))

    def request(self) -> dict[str, Any]:
        """What the runs in a directory were made for."""
        options = {name: value for name, value in self.plan.as_json().items() if name != "reasons"}
        return {
            "kind": "scan of sesamo-dsl",
            "format": 1,
            "theory": self.compiled.theory.name,
            "program_digest": digest(self.compiled),
            "backend": self.compiled.backend.name,
            "precision": self.compiled.precision,
            "points": [self.grid.at(i) for i in range(len(self.grid))],
            "options": json.loads(json.dumps(options)),
            "check": self.is_checked,
        }


def _place(compiled: CompiledTheory, directory: str | Path | Literal[False] | None) -> Path | None:
    if directory is False:
        return None
    if directory is not None:
        return checks.path(directory, "directory of a scan")
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    stem = f"{file_stem(compiled.theory.name)}-scan-{compiled.backend.name}-{stamp}"
    return RunDirectory.fresh(Path("runs") / stem).path


@contextmanager
def _kept(chain: _Chain) -> Generator[None, None, None]:
    """Context in which the directory is that of this scan alone, and Ctrl-C is explained."""
    try:
        if chain.place is None:
            yield
            return
        busy = RunError(
            f"directory of a scan {chain.place}",
            expected="a scan that no other process works on",
            found="another process that holds it",
            remedy="wait until it is done, stop it, or choose another directory",
        )
        with alone(chain.place / _LOCK, busy):
            _require_same(chain.place, chain.request())
            yield
    except TrainingInterrupted as stopped:
        runs: list[Any] = [*chain.trained]
        runs += [stopped.run] * (stopped.run not in runs)
        raise ScanInterrupted(stopped.signal, tuple(runs), chain.place) from stopped
    except KeyboardInterrupt as stopped:
        raise ScanInterrupted(SIGINT, tuple(chain.trained), chain.place) from stopped


def _require_same(place: Path, request: Mapping[str, Any]) -> None:
    """Write what is asked for into a directory, or RunError if it was made for something else."""
    record = place / _REQUEST
    if (place / RECORD).exists():
        found = "run.json, the record of a single run"
    elif not record.exists():
        write_text(record, json.dumps(request, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
        return
    else:
        try:
            kept = parse_json(record.read_bytes())
            differing = [name for name in request if kept.get(name) != request[name]]
            found = f"one with other {', '.join(differing)}" if differing else ""
        except (OSError, ValueError, AttributeError, RecursionError) as error:
            found = f"{_REQUEST}, which is damaged: {error}"
    if found:
        raise RunError(
            f"directory of a scan {place}",
            expected="a new directory, or the scan of the same theory, points and options, to go on with",
            found=found,
            remedy="choose another directory; nothing is overwritten",
        )


def _measured(chain: _Chain, n: int, order: Order) -> Scan:
    """Samples of all runs and their figures, with what holds between neighbours."""
    grid = chain.grid
    kept = [i for i, run in enumerate(chain.runs) if run is not None]

    def told(i: int, run: Run) -> dict[str, Any]:
        return {
            "steps": run.steps_done,
            "seconds": run.course.seconds,
            "start": chain.starts[i],
            "directory": "" if run.directory is None else str(run.directory),
        }

    runs = dict(zip(kept, chain.trained, strict=True))
    visited = [(i, chain.points[i], partial(runs.__getitem__, i)) for i in kept]
    points, notes = measured_points(visited, grid.names, order, n, chain.plan.seed, told, chain.say)
    anew = [f"{chain.text(i)}: {chain.starts[i]}" for i in kept[1:] if chain.starts[i].startswith("anew")]
    return Scan(
        chain.compiled.theory.name,
        grid.names,
        {name: value for name, value in chain.points[0].items() if name not in grid.names},
        points,
        grid.axes,
        order.name,
        tuple(chain.missing),
        (*grid.notes, *order.notes, *anew, *notes),
        versions_with(chain.compiled.backend),
        tuple(chain.trained),
    )
