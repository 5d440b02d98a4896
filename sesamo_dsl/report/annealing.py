"""A picture of an annealing: its ladder, its populations, and the final mean fields of its walkers."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..annealing.result import Annealed
from ..values.couplings import couplings_text
from ..values.manifolds import feature_fields, feature_names
from .canvas import BLUE, GREY, INK, ORANGE, new_figure, typeset
from .panels import draw_ladder

_COMPONENTS = 4  # most components shown


def annealing_picture(annealed: Annealed) -> Figure:
    """Acceptance and ESS along the ladder, log Z and ancestors of each population, and means of the field."""
    figure = new_figure(11.0, 6.4)
    parts = figure.add_gridspec(2, 2)
    draw_ladder(figure.add_subplot(parts[0, 0]), annealed)
    _draw_log_z(figure.add_subplot(parts[0, 1]), annealed)
    _draw_ancestors(figure.add_subplot(parts[1, 0]), annealed)
    _draw_means(figure.add_subplot(parts[1, 1]), annealed)
    size = f"{annealed.populations} × {annealed.walkers} walkers"
    couplings = couplings_text(annealed.parameters)
    figure.suptitle(
        f"{annealed.program.theory}   {couplings}   {size}, log Z {annealed.estimate}",
        color=INK,
        fontsize=12,
    )
    return figure


def _draw_log_z(axes: Axes, annealed: Annealed) -> None:
    numbers = np.arange(annealed.populations)
    errors = np.sqrt(annealed.population_variance)
    axes.errorbar(numbers, annealed.population_log_z, errors, fmt="o", color=BLUE, capsize=3)
    if np.isfinite(annealed.log_z):
        low, high = (annealed.log_z + sign * annealed.log_z_error for sign in (-1, 1))
        axes.axhspan(low, high, color=ORANGE, alpha=0.3, label="all together")
        axes.legend(fontsize=9)
    axes.set(xlabel="population", ylabel="log Z" if annealed.reached == 1 else "log ∫ γ_β")
    axes.grid(alpha=0.25)


def _draw_ancestors(axes: Axes, annealed: Annealed) -> None:
    shares = np.bincount(annealed.ancestor, weights=annealed.weights)
    shares = np.sort(shares[shares > 0])[::-1]
    axes.plot(np.arange(1, len(shares) + 1), shares, color=BLUE)
    axes.axhline(1 / len(annealed), color=GREY, linewidth=1.0, label="one walker")
    axes.set(xlabel="ancestor, by weight", ylabel="weight of its descendants", xscale="log", yscale="log")
    axes.grid(alpha=0.25)
    axes.legend(fontsize=9)


def _draw_means(axes: Axes, annealed: Annealed) -> None:
    program = annealed.program
    names = feature_names(program.components, program.angles)
    seen = feature_fields(annealed.samples, program.angles)
    means = seen.mean(axis=tuple(range(2, seen.ndim)))
    for a in range(min(means.shape[1], _COMPONENTS)):
        bins = np.linspace(means[:, a].min(), means[:, a].max(), 81).tolist()
        name = typeset(names[a])
        axes.hist(means[:, a], bins, weights=annealed.weights, density=True, histtype="step", label=name)
    axes.set(xlabel="spatial mean", ylabel="density")
    axes.grid(alpha=0.25)
    axes.legend(fontsize=9)
