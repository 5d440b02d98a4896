"""Pictures of trainings, weights, sectors and orientations, one panel each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...annealing.result import Annealed
from ...estimates.estimate import Estimate
from ...estimates.pareto import HEAVY_TAIL, pareto_tail_index
from ...estimates.samples import Samples
from ...ir.program import Program
from ...training.history import History
from ...values.manifolds import feature_fields, feature_names
from ..canvas import BLUE, GREY, INK, ORANGE, new_figure, plain
from ..panels import draw_ladder, draw_mean, draw_metric, draw_sectors, draw_weights
from .blocks import Picture
from .drawing import inline
from .wording import number, pretty

_TINY = 1e-300


def training(history: History) -> list[Picture]:
    """Loss and batch ESS along the training; nothing without steps."""
    captions = {
        "loss": "The free-energy bound ⟨log q + S⟩ ≥ −log Z at each step.",
        "ess": "Effective sample size of each batch, as a part of its size.",
    }
    pictures = []
    for name, caption in captions.items():
        if np.isfinite(np.asarray(history.columns.get(name, []), dtype=float)).any():
            figure = new_figure()
            draw_metric(figure.subplots(), history, name)
            pictures.append(Picture(inline(figure, caption), caption))
    return pictures


def weights(samples: Samples) -> Picture | None:
    """Histogram of log w − log Z with the tail index k̂; None without a weight."""
    if not np.isfinite(samples.log_weights).any() or not np.isfinite(samples.log_z.value):
        return None
    figure = new_figure()
    draw_weights(figure.subplots(), samples)
    index = pareto_tail_index(samples.log_weights)
    tail = "The weights are too few or too even for a Pareto k̂"
    if index > HEAVY_TAIL:
        verdict = f"above {HEAVY_TAIL}: error bars are in doubt"
        tail = f"Pareto k̂ = {number(index, 3)} of the largest weights, {verdict}"
    elif np.isfinite(index):
        verdict = f"error bars can be believed up to {HEAVY_TAIL}"
        tail = f"Pareto k̂ = {number(index, 3)} of the largest weights ({verdict})"
    leaked = int(samples.leaked.sum())
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
    if len(masses) < 2 or not all(np.isfinite(mass.value) for mass in masses):
        return None
    figure = new_figure(max(4.6, min(0.3 * len(masses) + 2.5, 9.0)))
    draw_sectors(figure.subplots(), masses, model, exact)
    caption = f"Probability of each sector of the group, by {source}"
    caption += ", against the exact values." if exact is not None else "."
    return Picture(inline(figure, caption), caption)


def blocks(masses: np.ndarray) -> Picture:
    """Probability of each element in each block, (blocks, elements)."""
    figure = new_figure(6.4)
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
        moved = np.flatnonzero(np.abs(program.constants[name]).max(axis=0))
        components = ", ".join(program.components[a] for a in moved)
        pictures.append(_orientation(moment, components, weights, drawn))
    return pictures


def _orientation(moment: np.ndarray, components: str, weights: np.ndarray | None, drawn: str) -> Picture:
    of = f"of M = Σ ({components})/√V on the orbit of the Lie group that turns them."
    figure = new_figure()
    axes = figure.subplots()
    dimension = moment.shape[1]
    if dimension == 2:
        values, low, high = np.arctan2(moment[:, 1], moment[:, 0]), -np.pi, np.pi
        axes.set_xticks([-np.pi, 0, np.pi], [r"$-\pi$", "0", r"$\pi$"])
        axes.axhline(1 / (2 * np.pi), color=GREY, linewidth=1.2, label="all directions alike")
        label, caption = r"$\arg\,(M_1 + i M_2)$", f"Angle {of}"
    else:
        values, low, high = moment[:, 0] / np.maximum(np.linalg.norm(moment, axis=1), _TINY), -1.0, 1.0
        cosine = np.linspace(-0.999, 0.999, 201)
        density = (1 - cosine**2) ** ((dimension - 3) / 2)
        axes.plot(cosine, density / np.trapezoid(density, cosine), color=GREY, label="all directions alike")
        label, caption = r"$M_1/|M|$", f"Direction {of}"
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
    seen, names = feature_fields(x, program.angles), feature_names(program.components, program.angles)
    average = seen.mean(axis=tuple(range(2, x.ndim)), dtype=np.float64)
    pictures = []
    for a, name in enumerate(names[:4]):
        values = average[:, a]
        if not np.isfinite(values).all() or np.ptp(values) == 0:
            continue
        figure = new_figure()
        draw_mean(figure.subplots(), values, weights, drawn, name)
        caption = f"Spatial mean of {pretty(name)} over the configurations."
        pictures.append(Picture(inline(figure, caption), caption))
    return pictures


def ladder(annealed: Annealed) -> Picture:
    """Acceptance and ESS at each temperature of an annealing."""
    figure = new_figure()
    draw_ladder(figure.subplots(), annealed)
    what = "Acceptance of trajectories, and ESS of the step to each temperature"
    caption = f"{what}, the smallest of all populations."
    return Picture(inline(figure, caption), caption)


def curves(x: np.ndarray, lines: Mapping[str, np.ndarray], xlabel: str, ylabel: str, caption: str) -> Picture:
    """Several curves over one axis."""
    figure = new_figure()
    axes = figure.subplots()
    for (name, values), colour in zip(lines.items(), (BLUE, ORANGE, GREY, INK), strict=False):
        axes.plot(x, values, ".-", markersize=3, linewidth=1.0, color=colour, label=plain(name))
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=9, frameon=False)
    return Picture(inline(figure, caption), caption)


def points(values: Sequence[Estimate], names: Sequence[str], xlabel: str, caption: str) -> Picture:
    """Values with errors, one under the other."""
    figure = new_figure(5.4, max(1.6, 0.36 * len(values) + 0.9))
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
