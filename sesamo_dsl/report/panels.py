"""Single panels that pictures and pages share, drawn into given axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ..annealing.result import Annealed
from ..estimates.estimate import Estimate
from ..estimates.pareto import pareto_tail_index
from ..estimates.weighted import WeightedSamples
from ..training.history import History
from .canvas import BLUE, INK, ORANGE, typeset

METRICS = {"loss": "loss  ⟨log q + S⟩", "ess": "ESS of the batch", "gradient_norm": "norm of the gradient"}
"""Columns of a training's history that are drawn, with their labels."""
_BINS = 60
_BARS = 64  # most sectors that have a bar of their own
_NUMBERED = 16  # most sectors with their names on the axis
_TINY = 1e-300


def draw_metric(axes: Axes, history: History, name: str, against: str = "step") -> None:
    """One column of a training's history against steps or seconds, with its running mean."""
    values = np.asarray(history.columns.get(name, []), dtype=float)
    seconds = np.asarray(history.columns.get("seconds", []), dtype=float)
    along = np.arange(1, len(values) + 1) if against == "step" else seconds[: len(values)]
    values = values[: len(along)]
    finite = np.isfinite(values)
    width = max(1, len(values) // 50)
    style: dict[str, Any] = (
        {"alpha": 0.3, "linewidth": 0.8} if width > 1 else {"marker": ".", "linewidth": 1.2}
    )
    axes.plot(along, values, color=BLUE, label="each step", **style)
    if width > 1:
        smooth = np.convolve(values, np.full(width, 1 / width), mode="valid")
        axes.plot(along[width - 1 :], smooth, color=BLUE, linewidth=1.8, label=f"mean of {width}")
    axes.set(xlabel="step" if against == "step" else "time / s", ylabel=METRICS[name])
    axes.grid(alpha=0.25)
    axes.legend(fontsize=9, frameon=False)
    later = values[len(values) // 20 :][finite[len(values) // 20 :]]
    if name == "ess":
        axes.set_ylim(0, 1.03)
    elif name == "gradient_norm" and finite.any() and values[finite].min() > 0:
        axes.set_yscale("log")
    elif name == "loss" and len(values) > 20 and len(later):  # at first it may be orders of magnitude larger
        low, high = float(values[finite].min()), float(np.quantile(later, 0.99))
        margin = 0.08 * max(high - low, 1e-6)
        axes.set_ylim(low - margin, high + margin)


def draw_weights(axes: Axes, samples: WeightedSamples) -> None:
    """The distribution of log w − log Z over the samples that have a weight, with its tail index k̂."""
    log_w = samples.log_weights[np.isfinite(samples.log_weights)] - samples.log_z.value
    log_w = log_w[np.isfinite(log_w)]
    if not len(log_w):
        axes.plot([], [], " ", label="no sample has a finite weight")
    elif np.ptp(log_w) < 1e-9:  # all bins in one point
        axes.axvline(float(log_w[0]), color=BLUE, linewidth=2.5, label="all weights are equal")
        axes.set_ylim(0, 1)
    else:
        axes.hist(log_w, _BINS, color=BLUE, alpha=0.55, log=True, label=f"{len(log_w)} samples")
    axes.axvline(0.0, color=INK, linewidth=1.0, label="$w = Z$")
    index = pareto_tail_index(samples.log_weights)
    if np.isfinite(index):
        axes.plot([], [], " ", label=rf"Pareto $\hat{{k}}$ = {index:.2f}")
    leaked = f"   ({samples.leaked_fraction:.1%} leaked)" if samples.leaked.any() else ""
    axes.set(xlabel=rf"$\log w - \log Z${leaked}", ylabel="samples")
    axes.locator_params(axis="x", nbins=5)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=9, frameon=False)


def draw_sectors(
    axes: Axes, masses: Sequence[Estimate], model: np.ndarray | None, exact: np.ndarray | None
) -> None:
    """Probability of each sector with its error, beside the share of the samples and exact values."""
    values = np.array([mass.value for mass in masses])
    errors = np.nan_to_num(np.array([mass.error for mass in masses]))
    u = np.arange(len(values))
    if len(u) <= _BARS:
        axes.bar(u, values, color=BLUE, alpha=0.45, label="under exp(−S)")
        axes.errorbar(u, values, errors, fmt="none", ecolor=BLUE, capsize=3)
    else:
        axes.errorbar(u, values, errors, fmt=".", color=BLUE, alpha=0.6, markersize=3, label="under exp(−S)")
    if model is not None:
        axes.plot(u, model, "o", color=ORANGE, markersize=4, label="in the model")
    if exact is not None:
        axes.hlines(exact, u - 0.4, u + 0.4, color=INK, linewidth=1.6, label="exact")
    top = float(np.nan_to_num(values + errors).max())
    axes.set(xlabel="sector $u$", ylabel="probability", ylim=(0, 1.35 * max(top, _TINY)))
    if len(u) <= _NUMBERED:
        axes.set_xticks(u, ["Ω", *(f"$T_{{{k}}}$Ω" for k in u[1:])])
    axes.legend(fontsize=9, frameon=False, ncols=3)


def draw_mean(axes: Axes, values: np.ndarray, weights: np.ndarray | None, drawn: str, component: str) -> None:
    """Distribution of the spatial mean of a component, (n,), as drawn and, with weights, under exp(−S)."""
    bins = np.linspace(values.min(), values.max(), _BINS + 1).tolist()
    axes.hist(values, bins, density=True, color=BLUE, alpha=0.35, label=drawn)
    if weights is not None and np.isfinite(weights).all():
        style: dict[str, Any] = {"histtype": "step", "color": ORANGE, "linewidth": 1.6}
        axes.hist(values, bins, density=True, weights=weights, label="under exp(−S)", **style)
    axes.set(xlabel=f"spatial mean of {typeset(component)}", ylabel="density")
    axes.grid(alpha=0.25)
    axes.legend(fontsize=9, frameon=False)


def draw_ladder(axes: Axes, annealed: Annealed) -> None:
    """Least acceptance and least conditional ESS of all populations at each temperature."""
    axes.plot(annealed.ladder, annealed.acceptance, ".-", color=BLUE, label="least acceptance")
    axes.plot(annealed.ladder, annealed.conditional_ess, ".-", color=ORANGE, label="least conditional ESS")
    axes.set(xlabel=r"$\beta$", xscale="log", ylim=(0, 1.03))
    axes.grid(alpha=0.25)
    axes.legend(fontsize=9, frameon=False)
