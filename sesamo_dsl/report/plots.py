"""Pictures of one quantity: its distribution with errors, its course along chains or a training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..annealing.result import Annealed
from ..errors import OptionError
from ..estimates.chains import Chain
from ..estimates.samples import Samples
from ..estimates.weighted import Observable, values_of
from ..training.history import History
from .annealing import annealing_picture
from .canvas import BLUE, INK, ORANGE, axes_of_user, choice, figure_of, new_figure, typeset
from .panels import METRICS, draw_ladder, draw_metric, draw_weights

_BINS = 40
_LONGEST = 2000  # most points of a drawn series


def training_picture(
    history: History, quantity: str | None = None, against: str = "step", ax: Axes | None = None
) -> Figure:
    """Loss, batch ESS and norm of the gradient against steps or seconds, with their running means.

    ``quantity`` chooses one of them; in axes of the user it is the loss unless another one is chosen.
    """
    choice(against, ("step", "seconds"), "against")
    if quantity is not None:
        choice(quantity, tuple(METRICS), "quantity")
    names = [quantity] if quantity else ["loss"] if ax is not None else list(METRICS)
    if ax is None:
        figure = new_figure(8.0, 0.8 + 2.4 * len(names))
        places = list(np.ravel(figure.subplots(len(names), 1, sharex=True)))
        places[0].set_title("training", color=INK)
    else:
        places = [axes_of_user(ax)]
    for axes, name in zip(places, names, strict=True):
        draw_metric(axes, history, name, against)
    for axes in places[:-1]:  # above another one
        axes.set_xlabel("")
    return figure_of(places[0])


def samples_plot(samples: Samples, observable: Observable | None, ax: Axes | None) -> Figure:
    """The distribution of an observable under p with its error, or that of the log weights."""
    axes = _one(ax)
    if observable is None:
        draw_weights(axes, samples)
        return figure_of(axes)
    values = values_of(samples.program, samples.parameters, samples.x, observable, samples.declared)
    edges = _edges(values[samples.weights > 0], observable)
    _draw_density(axes, values, edges, lambda inside: samples.expect(inside), "under exp(−S)")
    kept = values[~samples.leaked & np.isfinite(values)]
    counts = np.histogram(kept, edges)[0] / len(kept) / np.diff(edges)
    axes.stairs(counts, edges, color=BLUE, linewidth=1.2, label="in the model")
    return _finished(axes, observable)


def annealed_plot(annealed: Annealed, observable: Observable | None, ax: Axes | None) -> Figure:
    """The distribution of an observable with its error; without one the whole annealing, or its ladder."""
    if observable is None:
        if ax is None:
            return annealing_picture(annealed)
        draw_ladder(axes_of_user(ax), annealed)
        return figure_of(ax)
    axes = _one(ax)
    values = values_of(annealed.program, annealed.parameters, annealed.samples, observable, annealed.declared)
    edges = _edges(values[annealed.weights > 0], observable)
    _draw_density(axes, values, edges, lambda inside: annealed.expect(inside), "annealed walkers")
    return _finished(axes, observable)


def chain_plot(chain: Chain, observable: Observable, kind: str | None, ax: Axes | None) -> Figure:
    """An observable along the chains, its distribution with its error, or both beside each other."""
    if kind is not None:
        choice(kind, ("series", "histogram"), "kind")
    kinds = [kind or "series"] if kind or ax is not None else ["series", "histogram"]
    if ax is None:
        figure = new_figure(6.4 * len(kinds), 4.0)
        places = list(np.ravel(figure.subplots(1, len(kinds))))
    else:
        places = [axes_of_user(ax)]
    series = chain.series(observable)
    for axes, which in zip(places, kinds, strict=True):
        if which == "histogram":
            edges = _edges(series.ravel(), observable)
            _draw_density(axes, series.ravel(), edges, lambda inside: chain.expect(inside), "chains")
            _finished(axes, observable)
        else:
            _draw_series(axes, chain, series)
            axes.set_ylabel(_label(observable))
    return figure_of(places[0])


def _draw_series(axes: Axes, chain: Chain, series: np.ndarray) -> None:
    length = series.shape[1]
    steps = np.arange(0, length, -(-length // _LONGEST))
    for replica in series[:8]:
        axes.plot(steps, replica[steps], linewidth=0.7, alpha=0.7)
    value, error = chain.expect(series.ravel())[:2]
    axes.axhspan(value - error, value + error, color=ORANGE, alpha=0.4, label="mean ± error")
    axes.set_xlabel("step of the chain" if len(series) <= 8 else f"step, 8 of {len(series)} chains")
    axes.grid(alpha=0.25)
    axes.legend(fontsize=9)


def _one(ax: Axes | None) -> Axes:
    """The axes of the user, or those of a new figure."""
    return new_figure(6.4, 4.2).subplots() if ax is None else axes_of_user(ax)


def _edges(values: np.ndarray, observable: Observable) -> np.ndarray:
    """Edges of the bins over all values that have a weight."""
    if not len(values) or not np.isfinite(values).all():
        raise OptionError(
            f"picture of {_words(observable)}",
            expected="finite values at all configurations that have a weight",
            found=f"NaN or infinity at {int((~np.isfinite(values)).sum())} of {len(values)}",
            remedy="check the observable at its singularities",
        )
    low, high = float(values.min()), float(values.max())
    room = 0.5 if high - low <= 1e-12 * max(abs(low), abs(high)) else 0.0
    return np.linspace(low - room, high + room, _BINS + 1)


def _draw_density(
    axes: Axes, values: np.ndarray, edges: np.ndarray, expect: Callable[[np.ndarray], Any], label: str
) -> None:
    """The probability of each bin divided by its width, with a band of one standard error."""
    number = np.searchsorted(edges, values, side="right") - 1
    number = np.where(values == edges[-1], len(edges) - 2, number)
    found = [expect((number == b).astype(np.float64)) for b in range(len(edges) - 1)]
    density, error = (np.array([f[i] for f in found]) / np.diff(edges) for i in (0, 1))
    axes.stairs(density, edges, color=ORANGE, linewidth=1.6, label=label)
    band = {"fill": True, "color": ORANGE, "alpha": 0.3, "label": "± one standard error"}
    axes.stairs(density + error, edges, baseline=density - error, **band)


def _finished(axes: Axes, observable: Observable) -> Figure:
    axes.set(xlabel=_label(observable), ylabel="probability density", ylim=(0, None))
    axes.grid(alpha=0.25)
    axes.legend(fontsize=9)
    return figure_of(axes)


def _label(observable: Observable) -> str:
    return (
        typeset(_words(observable))
        if isinstance(observable, str) and observable != "action"
        else ("$S$" if isinstance(observable, str) else _words(observable))
    )


def _words(observable: Observable) -> str:
    name = observable if isinstance(observable, str) else getattr(observable, "__name__", "observable")
    return "observable" if name == "<lambda>" else str(name)
