"""Annealing of samples of a model, batch by batch, with progress, signals and a record of the result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from signal import Signals
from typing import Any, Literal

import numpy as np

from ..backend import Draws, Model
from ..compiled_program import CompiledProgram
from ..estimates.annealing_record import AnnealingRecord, ess_of
from ..values.couplings import Couplings
from .layer_training import PASSES, VERIFICATION, trained
from .layers import TARGET, Layers, Tick
from .population import Interruption
from .progress import watched


@dataclass(frozen=True, eq=False)
class AnnealedDraws:
    """Samples of a model after the layers of an annealing.

    Attributes
    ----------
    draws
        The annealed configurations, with log q of the model and S at these configurations.
    work
        Term of the log weights beside −S − log q, (samples,); None if no sample was annealed.
    record
        Record of the annealing; None if it was stopped before a batch was done.
    log_prob
        A function that replaces log q for configurations from outside, see :meth:`.Layers.log_prob`; None if
        log q itself applies.
    """

    draws: Draws
    work: np.ndarray | None
    record: AnnealingRecord | None
    log_prob: Callable[[np.ndarray], np.ndarray] | None


def anneal_draws(
    model: Model,
    compiled: CompiledProgram,
    values: Couplings,
    draws: Draws,
    layers: int | Literal["auto"],
    seed: int,
    *,
    further: int,
    seconds: float,
    train_layers: bool,
    progress: bool,
) -> tuple[AnnealedDraws, Sequence[Signals]]:
    """Anneal samples of a model to exp(−S); see :mod:`sesamo_dsl.annealing.layers`.

    Parameters
    ----------
    draws
        Samples of the model.
    layers
        Number of layers, or ``"auto"``.
    further
        Number of configurations from outside that will pass the layers as well; ``"auto"`` allows time for
        them.
    seconds
        The time that ``"auto"`` may take, search, training and samples together; for a number of layers that
        of the training.
    train_layers
        Whether the layers are trained, see :mod:`sesamo_dsl.annealing.layer_training`.

    Returns
    -------
    tuple
        The samples that are done, and the signals that were received in the meantime; the first of them ended
        the annealing.
    """
    ess = ess_of(log_ratio(draws))
    if layers == "auto" and ess >= TARGET:
        return AnnealedDraws(draws, None, AnnealingRecord(0, np.nan, 0, 0, ess, ess, seed), None), ()
    with watched(compiled.backend, "pilot", progress=progress, transient=True) as (signals, show):

        def tick(shown: str, part: float) -> None:
            show(shown, part)
            if signals:
                raise Interruption

        done: list[_Batch] = []
        try:
            found = _layers(
                model, compiled, values, layers, seed, tick, len(draws.x) + further, seconds, train_layers
            )
            for batch in _batches(found, draws, seed, tick):
                done.append(batch)
        except Interruption:
            pass
    if not done:
        return AnnealedDraws(draws, None, None, None), tuple(signals)
    return _collected(found, done, draws, compiled.constant(values), seed), tuple(signals)


def anneal_part(
    layers: Layers, compiled: CompiledProgram, values: Couplings, draws: Draws, seed: int, tick: Tick
) -> AnnealedDraws:
    """Samples of a model after layers that are known; ``tick`` may raise Interruption."""
    done = list(_batches(layers, draws, seed, tick))
    return _collected(layers, done, draws, compiled.constant(values), seed)


def _layers(
    model: Model,
    compiled: CompiledProgram,
    values: Couplings,
    layers: int | Literal["auto"],
    seed: int,
    tick: Tick,
    samples: int,
    seconds: float,
    train_layers: bool,
) -> Layers:
    """The layers, with a number that was given or is found, and trained if they are to be."""
    began = time.perf_counter()
    if layers != "auto":
        found, samples = Layers.of(model, compiled, values, layers, seed, tick), 0
        began = time.perf_counter()  # their time is not limited
    else:
        passes = PASSES + VERIFICATION if train_layers else 0
        found = Layers.chosen(model, compiled, values, samples, seconds, seed, tick, passes)
    if not train_layers:
        return found
    return trained(found, seconds - (time.perf_counter() - began), tick, samples)


@dataclass(frozen=True, eq=False)
class _Batch:
    draws: Draws
    work: np.ndarray
    acceptance: float


def _batches(layers: Layers, draws: Draws, seed: int, tick: Tick) -> Iterator[_Batch]:
    """The samples batch by batch after all layers; one seed gives the same batches."""
    batches = layers.batches(len(draws.x))
    for number, rows in enumerate(batches):

        def shown(beta: float, number: int = number) -> None:
            text = f"batch {number + 1} of {len(batches)}, {len(layers.ladder)} layers, β = {beta:.3g}"
            tick(text, (number + beta) / len(batches))

        rng = np.random.default_rng([seed, 14, number])
        yield _through(layers, draws.part(rows), rng, shown)


def _collected(
    layers: Layers, done: Sequence[_Batch], draws: Draws, constant: float, seed: int
) -> AnnealedDraws:
    """The samples of all batches that are done; ``constant`` is the part of S that the program omits."""
    count = min(len(draws.x), sum(len(batch.work) for batch in done))
    moved = _together([batch.draws for batch in done]).raised(constant).head(count)
    record = AnnealingRecord(
        len(layers.ladder),
        float(np.mean([batch.acceptance for batch in done])),
        *layers.evaluations,
        ess_of(log_ratio(draws)[:count]),
        layers.pilot_ess,
        seed,
        layers.training,
    )
    work = np.concatenate([batch.work for batch in done])[:count]
    return AnnealedDraws(moved, work, record, layers.log_prob)


def log_ratio(draws: Draws) -> np.ndarray:
    """−S − log q of samples as the model drew them, (samples,), float64; −∞ for leaked samples."""
    return np.where(draws.leaked, -np.inf, -draws.action.astype(np.float64) - draws.log_q)


def _through(layers: Layers, draws: Draws, rng: np.random.Generator, tick: Callable[[float], None]) -> _Batch:
    """One batch after all layers.

    A sample in a hard wall, or at which q = 0 by rounding, has weight zero, as a leaked sample has.
    """
    state = layers.start(draws)
    lost = draws.leaked | np.isinf(layers.log_ratio(state))
    moved = layers.forward(state, rng, tick)
    after = layers.draws(moved.state, lost, draws.log_prob_mismatch)
    with np.errstate(invalid="ignore"):
        work = np.where(lost, 0.0, moved.log_weights - layers.log_ratio(moved.state))
    return _Batch(after, work, moved.acceptance)


def _together(parts: Sequence[Draws]) -> Draws:
    columns: dict[str, Any] = {name: [vars(part)[name] for part in parts] for name in vars(parts[0])}
    return replace(parts[0], **{k: None if v[0] is None else np.concatenate(v) for k, v in columns.items()})
