"""The training loop: steps, timed checkpoints and the conditions that stop it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from ..backend import Model
from ..errors import TrainingDivergedError
from ..machine.progress_bar import progress_bar
from ..plan.plan import Plan
from .callbacks import Step, Watch
from .divergence import Cause
from .history import Course, History
from .reference import Reference
from .schedule import forward_weight, learning_rate

_SNAPSHOT_EVERY = 100


def train(
    model: Model,
    plan: Plan,
    history: History,
    *,
    progress: bool = True,
    keep: Callable[[dict[str, np.ndarray]], str] = lambda state: "memory",
    reference: Reference | None = None,
    explain: Callable[[], Cause],
    course: Course | None = None,
    stop: Callable[[], object] = lambda: False,
    watch: Watch | None = None,
) -> None:
    """Run the optimisation to its end or until it is stopped; the model is left at its last state.

    Parameters
    ----------
    keep
        Called with the state every ``checkpoint_seconds``, and with the last good state when a training
        diverges; history and course then belong to that state. Returns a text that names where it was stored.
    reference
        Configurations of the target for the forward part of the objective.
    explain
        Returns the cause of a divergence, called with the model back at its last good state.
    course
        The progress from which the training continues, by default zero; it is updated in place.
    stop
        Called between steps; the training stops if it returns True.
    watch
        Callbacks, which are told of every step and of the end; the training stops if one returns True.

    Raises
    ------
    TrainingDivergedError
        When the loss or its gradient is NaN or infinite. The model is put back to the last good state.
    """
    course = Course() if course is None else course
    watch, stopped = Watch() if watch is None else watch, False
    begin, first = time.perf_counter(), course.steps
    before, kept = course.seconds, begin
    good, good_course, good_rows, good_memory = model.state(), replace(course), len(history), watch.state()
    if plan.forward_weight == 0:
        reference = None
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[shown]}"),
        TimeRemainingColumn(),
    )
    with progress_bar(*columns, progress=progress) as bar:
        total = None if plan.seconds else plan.steps
        task = bar.add_task("training", total=total, completed=first, shown="compiling")
        while not stop():
            now = time.perf_counter()
            course.seconds = before + now - begin
            done = course.progress(plan)
            if done >= 1:
                break
            if now - kept >= plan.checkpoint_seconds:
                keep(model.state())
                kept = now
            rate = learning_rate(plan, done, course.steps - course.first_step)
            if reference is None:
                metrics = model.step(rate)
            else:
                batch = reference.batch(course.steps, plan.batch, plan.seed)
                metrics = model.step(rate, batch, forward_weight(plan, done))
            if not all(math.isfinite(value) for value in metrics.values()):
                step, course.steps, course.seconds = course.steps, good_course.steps, good_course.seconds
                history.cut(good_rows)
                model.load_state(good)
                watch.load_state(good_memory)
                place, cause = keep(good), explain()
                figures = ", ".join(f"{name} = {value}" for name, value in metrics.items())
                raise TrainingDivergedError(
                    f"training, step {step}",
                    expected="a finite loss and gradient",
                    found=f"{figures}; {cause.found}",
                    remedy=f"{cause.remedy}; the state of step {good_course.steps} is kept in {place}",
                )
            history.append({**metrics, "seconds": course.seconds})
            course.steps += 1
            if course.steps % 10 == 0 or course.steps == plan.steps:
                shown = f"loss {metrics['loss']:.4f}  batch ESS {metrics['ess']:.4f}"
                bar.update(task, completed=course.steps, shown=shown)
            if watch:
                told = Step(course.steps, course.seconds, min(course.progress(plan), 1.0), metrics)
                stopped = watch.step(told)
                if stopped:
                    break
            if (course.steps - first) % _SNAPSHOT_EVERY == 0:
                good, good_course, good_rows = model.state(), replace(course), len(history)
                good_memory = watch.state()
    watch.end(model, completed=stopped or course.progress(plan) >= 1)
