"""Samples of a model that go to a file part by part, so that any number of them fits into memory.

Every part has its own seed, from the seed of the call and the number of the part. What is in a file therefore
does not depend on how often the work was stopped and taken up again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import Any, Literal

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from ..annealing.from_model import AnnealedDraws, anneal_part, log_ratio
from ..annealing.layers import TARGET, Layers, Tick
from ..annealing.population import Interruption
from ..backend import Draws, Model
from ..compiled_program import CompiledProgram
from ..errors import RunError
from ..estimates.annealing_record import ess_of
from ..estimates.frame import Frame
from ..estimates.samples_file import ACCEPTANCE
from ..estimates.samples_writer import SamplesWriter, check_samples_file, lock_of, rows_per_part
from ..estimates.weighted import WeightedSamples
from ..machine.interruption import held_back
from ..machine.lock import alone
from ..machine.progress_bar import progress_bar
from ..values.couplings import Couplings

LogProb = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Request:
    """What is to be drawn and written.

    Attributes
    ----------
    model, compiled, parameters
        The model, the compiled program of its theory, and the couplings.
    provenance
        Attributes of the file that say which model it is.
    frame
        Makes what the samples have in common, once, from a function that replaces log q for configurations
        from outside, or None.
    outside
        Number of configurations from outside that pass the layers of an annealing as well.
    count, seed
        Number of samples, and the seed.
    anneal, seconds
        Number of layers of the annealing, or ``"auto"``, and the time that ``"auto"`` may take.
    """

    model: Model
    compiled: CompiledProgram
    parameters: Couplings
    provenance: Mapping[str, Any]
    frame: Callable[[LogProb | None], Frame]
    outside: int
    count: int
    seed: int
    anneal: int | Literal["auto"]
    seconds: float


def sample_to_file(path: Path, request: Request, *, progress: bool) -> Sequence[Signals]:
    """Draw what the file lacks of the samples, and return the signals that ended the work early.

    Raises
    ------
    OptionError
        If the file is of another kind, or of another request.
    RunError
        If the file cannot be written, is damaged, or is being written by another process.
    """
    check_samples_file(path)
    busy = RunError(
        f"samples in {path}",
        expected="a file that no other process is writing",
        found="another process that writes it",
        remedy="wait until it is done, stop it, or choose another name",
    )
    columns = (
        TextColumn("sampling"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[shown]}"),
        TimeRemainingColumn(),
    )
    with alone(lock_of(path), busy), held_back() as signals:
        header = _header(request)
        writer = SamplesWriter.continued(path, header, request.parameters) if path.exists() else None
        if writer is not None and writer.done == writer.count:
            return ()
        with progress_bar(*columns, progress=progress) as bar:
            done = 0 if writer is None else writer.done
            task = bar.add_task("sampling", total=request.count, completed=done, shown="")

            def tick(words: str, part: float) -> None:
                bar.update(task, shown=words)
                if signals:
                    raise Interruption

            try:
                parts = _Parts(request, header["rows"], None if writer is None else writer.layers, tick)
                while not signals and (writer is None or writer.done < writer.count):
                    arrays = parts.draw(0 if writer is None else writer.done)
                    if writer is None:
                        frame = request.frame(parts.log_prob)
                        writer = SamplesWriter.created(path, header | parts.found, frame, arrays)
                    writer.append(arrays)
                    bar.update(task, completed=writer.done, shown="")
            except Interruption:
                pass
        unfinished = writer is None or writer.done < writer.count
        return tuple(signals) if unfinished else ()


def _header(request: Request) -> dict[str, Any]:
    """The attributes of the file that follow from the request."""
    return {
        **request.provenance,
        "count": request.count,
        "seed": request.seed,
        "rows": rows_per_part(request.compiled.program.configuration_shape),
        "anneal": str(request.anneal),
        "anneal_seconds": request.seconds if request.anneal == "auto" else 0.0,
    }


class _Parts:
    """The parts of the samples, each from its own seed.

    Parameters
    ----------
    layers
        Number of layers of the annealing, if an earlier call has found it.
    """

    def __init__(self, request: Request, rows: int, layers: int | None, tick: Tick) -> None:
        self._request, self._rows, self._tick = request, rows, tick
        self._count = request.anneal if layers is None else layers
        self._layers: Layers | None = None
        if self._count not in ("auto", 0):
            self._layers = self._with_layers(int(self._count))

    def draw(self, start: int) -> dict[str, np.ndarray]:
        """The arrays of the part that begins with sample number ``start``."""
        request = self._request
        seed = _seed_of_part(request.seed, start // self._rows)
        draws = request.model.sample(min(self._rows, request.count - start), seed)
        if self._count == "auto":
            self._layers = self._chosen(draws)
            self._count = 0 if self._layers is None else len(self._layers.ladder)
        if self._layers is None:
            return self._arrays(draws, None)
        with request.compiled.backend.scope("float64"):
            annealed = anneal_part(
                self._layers, request.compiled, request.parameters, draws, seed, self._tick
            )
        assert annealed.record is not None
        arrays = self._arrays(annealed.draws, annealed)
        arrays["model_log_weights"] = log_ratio(draws)
        return arrays | {ACCEPTANCE: np.array([annealed.record.acceptance])}

    @property
    def log_prob(self) -> LogProb | None:
        """A function that replaces log q for configurations from outside; None without layers."""
        return None if self._layers is None else self._layers.log_prob

    @property
    def found(self) -> dict[str, Any]:
        """Attributes of the file that the first part has brought to light."""
        if self._layers is None:
            return {"layers": 0}
        of_action, of_density = self._layers.evaluations
        return {
            "layers": len(self._layers.ladder),
            "action_evaluations": of_action,
            "density_evaluations": of_density,
            "pilot_ess": self._layers.pilot_ess,
        }

    def _with_layers(self, count: int) -> Layers:
        request = self._request
        with request.compiled.backend.scope("float64"):
            return Layers.of(
                request.model, request.compiled, request.parameters, count, request.seed, self._tick
            )

    def _chosen(self, draws: Draws) -> Layers | None:
        """Layers for all samples; None if those of the first part have a sufficient ESS."""
        request = self._request
        if ess_of(log_ratio(draws)) >= TARGET:
            return None
        with request.compiled.backend.scope("float64"):
            return Layers.chosen(
                request.model,
                request.compiled,
                request.parameters,
                request.count + request.outside,
                request.seconds,
                request.seed,
                self._tick,
            )

    def _arrays(self, draws: Draws, annealed: AnnealedDraws | None) -> dict[str, np.ndarray]:
        request, work = self._request, None if annealed is None else annealed.work
        samples = WeightedSamples.of(draws, request.compiled.program, request.parameters, None, work=work)
        names = ("x", "log_q", "action", "log_weights", "sector", "leaked", "work", "log_prob_mismatch")
        found = {name: getattr(samples, name) for name in names}
        return {name: array for name, array in found.items() if array is not None}


def _seed_of_part(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, 16, number]).generate_state(1, np.uint64)[0] >> 1)
