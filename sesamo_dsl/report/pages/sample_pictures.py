"""Pictures of trainings, weights, sectors and orientations, one panel each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...estimates.estimate import Estimate
from ...estimates.pareto import HEAVY_TAIL, pareto_tail_index
from ...ir.program import Program
from ...training.history import History
from ..style import BLUE, GREY, INK, ORANGE, panel, plain
from .blocks import Picture
from .drawing import inline
from .wording import number, pretty

_BINS = 60
_BARS = 64  # most sectors that have a bar of their own
_TINY = 1e-300


def training(history: History) -> list[Picture]:
    """Loss and batch ESS along the training; nothing without steps."""
    shown = (
        (
            "loss",
            r"loss  $\langle \log q + S\rangle$",
            "The free-energy bound ⟨log q + S⟩ ≥ −log Z at each step.",
        ),
        ("ess", "ESS of the batch", "Effective sample size of each batch, as a part of its size."),
    )
    pictures = []
    for name, label, caption in shown:
        values = np.asarray(history.columns.get(name, []), dtype=float)
        finite = np.isfinite(values)
        if not finite.any():
            continue
        figure = panel()
        axes = figure.subplots()
        steps = np.arange(1, len(values) + 1)
        width = max(1, len(values) // 50)
        alone: dict[str, Any] = (
            {"alpha": 1.0, "linewidth": 1.2} if width == 1 else {"alpha": 0.35, "linewidth": 0.8}
        )
        axes.plot(steps, values, color=BLUE, label="each step", **alone)
        if width > 1:
            smooth = np.convolve(values, np.full(width, 1 / width), mode="valid")
            axes.plot(steps[width - 1 :], smooth, color=BLUE, linewidth=1.8, label=f"mean of {width}")
        elif len(values) < 50:
            axes.plot(steps, values, ".", color=BLUE)
        axes.set(xlabel="step", ylabel=label)
        if name == "ess":
            axes.set_ylim(0, 1.03)
        elif len(values) > 20:  # the loss of the first steps may be orders of magnitude larger
            later = values[finite & (steps > len(values) // 20)]
            if len(later):
                low, high = float(values[finite].min()), float(np.quantile(later, 0.99))
                margin = 0.08 * max(high - low, 1e-6)
                axes.set_ylim(low - margin, high + margin)
        axes.grid(alpha=0.25)
        axes.legend(fontsize=9, frameon=False)
        pictures.append(Picture(inline(figure, caption), caption))
    return pictures


def weights(log_weights: np.ndarray, log_z: float, leaked: int) -> Picture | None:
    """Histogram of log w − log Z with the tail index k̂; None without a weight."""
    finite = log_weights[np.isfinite(log_weights)] - log_z
    if not len(finite) or not np.isfinite(log_z):
        return None
    figure = panel()
    axes = figure.subplots()
    if np.ptp(finite) < 1e-9:  # all bins in one point
        axes.axvline(float(finite[0]), color=BLUE, linewidth=2.5, label="all weights are equal")
        axes.set_ylim(0, 1)
    else:
        axes.hist(finite, _BINS, color=BLUE, alpha=0.55, log=True, label=f"{len(finite)} samples")
    axes.axvline(0.0, color=INK, linewidth=1.0, label=r"$w = Z$")
    index = pareto_tail_index(log_weights)
    if np.isfinite(index):
        verdict = "error bars can be believed" if index <= HEAVY_TAIL else "error bars are in doubt"
        tail = f"Pareto k̂ = {number(index, 3)} of the largest weights ({verdict} up to {HEAVY_TAIL})"
        if index > HEAVY_TAIL:
            tail = f"Pareto k̂ = {number(index, 3)} of the largest weights, above {HEAVY_TAIL}: {verdict}"
        axes.plot([], [], " ", label=rf"Pareto $\hat{{k}}$ = {index:.2f}")
    else:
        tail = "The weights are too few or too even for a Pareto k̂"
    axes.set(xlabel=r"$\log w - \log Z$", ylabel="samples")
    axes.locator_params(axis="x", nbins=5)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=9, frameon=False)
    lost = f" {leaked} samples leaked or lie in a wall and have weight zero." if leaked else ""
    caption = f"Log-weights of the samples. {tail}.{lost}"
    return Picture(inline(figure, caption), caption)


def sectors(
    masses: Sequence[Estimate],
    model: np.ndarray | None,
    exact: np.ndarray | None,
    source: str = "importance weights",
) -> Picture | None:
    """Probability of each sector with its error, beside exact values; None for a single sector."""
    values = np.array([mass.value for mass in masses])
    errors = np.nan_to_num(np.array([mass.error for mass in masses]))
    if len(values) < 2 or not np.isfinite(values).all():
        return None
    u = np.arange(len(values))
    figure = panel(max(4.6, min(0.3 * len(u) + 2.5, 9.0)))
    axes = figure.subplots()
    if len(u) <= _BARS:
        axes.bar(u, values, color=BLUE, alpha=0.45, label="under exp(−S)")
        axes.errorbar(u, values, errors, fmt="none", ecolor=BLUE, capsize=3)
    else:
        axes.errorbar(u, values, errors, fmt=".", color=BLUE, alpha=0.6, markersize=3, label="under exp(−S)")
    if model is not None:
        axes.plot(u, model, "o", color=ORANGE, markersize=4, label="in the model")
    if exact is not None:
        axes.hlines(exact, u - 0.4, u + 0.4, color=INK, linewidth=1.6, label="exact")
    axes.set(
        xlabel="sector $u$", ylabel="probability", ylim=(0, 1.35 * max(float((values + errors).max()), _TINY))
    )
    if len(u) <= 16:
        axes.set_xticks(u, ["Ω", *(f"$T_{{{k}}}$Ω" for k in u[1:])])
    axes.legend(fontsize=9, frameon=False, ncols=3)
    caption = f"Probability of each sector of the group, by {source}"
    caption += ", against the exact values." if exact is not None else "."
    return Picture(inline(figure, caption), caption)


def blocks(masses: np.ndarray) -> Picture:
    """Probability of each element in each block, (blocks, elements)."""
    figure = panel(6.4)
    axes = figure.subplots()
    number_of = np.arange(len(masses))
    for u in range(min(masses.shape[1], 8)):
        label = "identity" if u == 0 else f"$T_{{{u}}}$"
        axes.plot(number_of, masses[:, u], ".", markersize=4, label=label)
    axes.axhline(1 / masses.shape[1], color=GREY, linewidth=1.0, label="all alike")
    axes.set(
        xlabel="block",
        ylabel="probability",
        ylim=(0, min(1.0, 1.4 * float(np.nan_to_num(masses).max())) or 1),
    )
    axes.grid(alpha=0.25)
    axes.legend(fontsize=9, frameon=False, ncols=3)
    caption = "Probability of each group element at each block, by importance weights."
    return Picture(inline(figure, caption), caption)


def orientations(program: Program, x: np.ndarray, weights: np.ndarray | None, drawn: str) -> list[Picture]:
    """How M = Σφ/√V of each Lie group is oriented: its angle on a circle, else its first direction.

    ``weights`` are those of the configurations x, (n, components, *lattice), None for equal weights;
    ``drawn`` says what these are without weights.
    """
    pictures = []
    means = x.mean(axis=tuple(range(2, x.ndim)), dtype=np.float64)
    for name in sorted(name for name in program.constants if name.startswith("COLLECTIVE_")):
        moment = means @ program.constants[name].T
        if not np.isfinite(moment).all():
            continue
        pictures.append(_orientation(moment, weights, drawn))
    return pictures


def _orientation(moment: np.ndarray, weights: np.ndarray | None, drawn: str) -> Picture:
    figure = panel()
    axes = figure.subplots()
    dimension = moment.shape[1]
    if dimension == 2:
        values, low, high = np.arctan2(moment[:, 1], moment[:, 0]), -np.pi, np.pi
        axes.set_xticks([-np.pi, 0, np.pi], [r"$-\pi$", "0", r"$\pi$"])
        axes.axhline(1 / (2 * np.pi), color=GREY, linewidth=1.2, label="all directions alike")
        label, caption = r"$\arg\,(M_1 + i M_2)$", "Angle of M = Σ φ/√V on the orbit of the Lie group."
    else:
        values, low, high = moment[:, 0] / np.maximum(np.linalg.norm(moment, axis=1), _TINY), -1.0, 1.0
        cosine = np.linspace(-0.999, 0.999, 201)
        density = (1 - cosine**2) ** ((dimension - 3) / 2)
        axes.plot(cosine, density / np.trapezoid(density, cosine), color=GREY, label="all directions alike")
        label, caption = r"$M_1/|M|$", "Direction of M = Σ φ/√V on the orbit of the Lie group."
    bins = np.linspace(low, high, 25).tolist()
    axes.hist(
        values,
        bins,
        density=True,
        color=BLUE,
        alpha=0.4,
        label=drawn,
    )
    if weights is not None and np.isfinite(weights).all():
        style: dict[str, Any] = {"histtype": "step", "color": ORANGE, "linewidth": 1.6}
        axes.hist(values, bins, density=True, weights=weights, label="under exp(−S)", **style)
    axes.set(xlabel=label, ylabel="density", xlim=(low, high))
    axes.set_ylim(0, 1.4 * axes.get_ylim()[1])
    axes.legend(fontsize=9, frameon=False, ncols=2)
    return Picture(inline(figure, caption), caption)


def means(program: Program, x: np.ndarray, weights: np.ndarray | None, drawn: str) -> list[Picture]:
    """Distribution of the spatial mean of the first components, as drawn and under exp(−S)."""
    average = x.mean(axis=tuple(range(2, x.ndim)), dtype=np.float64)
    pictures = []
    for a, name in enumerate(program.components[:4]):
        values = average[:, a]
        if not np.isfinite(values).all() or np.ptp(values) == 0:
            continue
        figure = panel()
        axes = figure.subplots()
        bins = np.linspace(values.min(), values.max(), 61).tolist()
        axes.hist(values, bins, density=True, color=BLUE, alpha=0.35, label=drawn)
        if weights is not None and np.isfinite(weights).all():
            style: dict[str, Any] = {"histtype": "step", "color": ORANGE, "linewidth": 1.6}
            axes.hist(values, bins, density=True, weights=weights, label="under exp(−S)", **style)
        axes.set(xlabel=f"spatial mean of {plain(pretty(name))}", ylabel="density")
        axes.grid(alpha=0.25)
        axes.legend(fontsize=9, frameon=False)
        caption = f"Spatial mean of {pretty(name)} over the configurations."
        pictures.append(Picture(inline(figure, caption), caption))
    return pictures


def curves(
    x: np.ndarray,
    lines: Mapping[str, np.ndarray],
    xlabel: str,
    ylabel: str,
    caption: str,
    *,
    log: bool = False,
) -> Picture:
    """Several curves over one axis."""
    figure = panel()
    axes = figure.subplots()
    for (name, values), colour in zip(lines.items(), (BLUE, ORANGE, GREY, INK), strict=False):
        axes.plot(x, values, ".-", markersize=3, linewidth=1.0, color=colour, label=plain(name))
    axes.set(xlabel=xlabel, ylabel=ylabel)
    if log:
        axes.set_xscale("log")
    axes.grid(alpha=0.25)
    axes.legend(fontsize=9, frameon=False)
    return Picture(inline(figure, caption), caption)


def points(values: Sequence[Estimate], names: Sequence[str], xlabel: str, caption: str) -> Picture:
    """Values with errors, one under the other."""
    figure = panel(5.4, max(1.6, 0.36 * len(values) + 0.9))
    axes = figure.subplots()
    rows = np.arange(len(values))
    numbers = np.array([value.value for value in values])
    errors = np.nan_to_num(np.array([value.error for value in values]))
    shown = np.isfinite(numbers)
    axes.errorbar(
        numbers[shown], rows[shown], xerr=errors[shown], fmt="o", color=BLUE, capsize=3, markersize=4
    )
    axes.set_yticks(rows, [plain(name) for name in names])
    axes.invert_yaxis()
    axes.set(xlabel=xlabel)
    axes.grid(alpha=0.25, axis="x")
    return Picture(inline(figure, caption), caption)
