"""Properties of a training step: its loss is the mean over samples, and seed and step number determine it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from hypothesis import strategies as st
from scipy.special import expit

from ...plan.options import TrainingOptions
from ...plan.plan import LEAKY
from ..property import Measurement, Property, has_slices
from ..significance import STAGE_LEVEL, samples_at, student_bound
from ..subject import BATCH, Subject
from .density import choice, choices, samples

_LOSSES = 4  # number of batches of the loss, for each stage of a test


def _training(subject: Subject, options: dict[str, str]) -> Iterator[Measurement]:
    """Seed and step number determine a step, also after loading; all metrics are finite."""
    for backend in subject.trainers:
        model = subject.fresh_model(backend, **options)
        start = model.state()
        loss = model.loss(0)
        first = model.step(1e-3)
        size = 1e-9 * (1 + abs(loss))
        yield Measurement(first["loss"] - loss, size, f"the loss of a step ({backend})")
        middle = model.state()
        second = model.step(1e-3)
        finite = np.isfinite([*first.values(), *second.values()]).all()
        yield Measurement(int(not finite), 0, f"finite figures ({backend})")
        yield Measurement(int(not 0 < first["ess"] <= 1 + 1e-12), 0, f"0 < ESS ≤ 1 ({backend})")
        moved = any(not np.array_equal(middle[k], start[k]) for k in start if k.startswith("flow."))
        yield Measurement(int(not moved), 0, f"a step moves the weights ({backend})")
        end = model.state()
        model.load_state(middle)
        again = model.step(1e-3)
        yield Measurement(again["loss"] - second["loss"], 0, f"load → the same next step ({backend})")
        distance = max(float(np.abs(end[k] - v).max(initial=0)) for k, v in model.state().items())
        yield Measurement(distance, 0, f"load → the same weights ({backend})")


def _loss(subject: Subject, backend: str, options: dict[str, str], stage: int) -> tuple[float, np.ndarray]:
    """The mean loss of some steps, and the terms of the loss at samples of the model.

    Different step numbers have independent noise. The loss integrates the group out, so that the variance of
    its terms is not larger than the variance at the samples.
    """
    model = subject.model(backend, **options)
    draws = samples_at(subject, backend, options, stage)
    values = draws.log_q + draws.action
    if options["strategy"] in LEAKY and subject.analysis.group.order > 1:
        resolved = TrainingOptions()
        inverse = subject.analysis.group.inverses[draws.sector]
        y = subject.interpret("modulate", draws.x, u=inverse)[0]
        facets = subject.interpret("facets", y)[0].reshape(len(y), -1)
        walls = np.where(facets > 0, expit(resolved.penalty_slope * facets), 0.0)
        values = values + resolved.penalty_height * walls.sum(axis=1)
    steps = range(1 + stage * _LOSSES, 1 + (stage + 1) * _LOSSES)
    return float(np.mean([model.loss(step) for step in steps])), values


def _training_loss(subject: Subject, options: dict[str, str]) -> Iterator[Measurement]:
    """The loss is the mean of its terms; the level allows for few batches and for polynomial tails."""
    for backend in subject.samplers:
        for stage in (0, 1):
            loss, values = _loss(subject, backend, options, stage)
            bound = student_bound(values, STAGE_LEVEL) * np.sqrt(1 + len(values) / (_LOSSES * BATCH))
            what = f"loss = ⟨log q + S + penalty⟩ ({backend}, {options})"
            measurement = Measurement(loss - float(values.mean()), bound, what, 10 * STAGE_LEVEL**2)
            if measurement.ratio <= 1:
                break
        yield measurement


PROPERTIES = (
    Property(
        "training",
        "seed and step number determine a training step",
        # it takes longest to compile, and longest of all with the first strategy
        lambda s: st.just(choices(s)[-1]),
        _training,
        samples,
        1,
    ),
    Property(
        "loss",
        "the training loss is the mean of log q + S, and of the penalty",
        choice,
        _training_loss,
        lambda s: samples(s) and (s.analysis.group.order == 1 or not has_slices(s)),
        3,
    ),
)
