"""Pictures of samples and comparisons, as matplotlib figures without global state."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..comparison import Comparison
from ..estimates.estimate import Estimate
from ..estimates.samples import Samples
from ..ir.interpreter import run
from ..machine.files import write_bytes
from ..machine.outputs import check_picture
from ..values.couplings import couplings_text
from ..values.manifolds import feature_fields, feature_names
from .canvas import BLUE, GREY, INK, ORANGE, new_figure
from .panels import draw_mean, draw_sectors, draw_weights

_SHOWN = 3000  # most points of a scatter plot; more would hide the contours
_DEPTH = 12.0  # contours reach down to exp(−12) of the peak


def samples_picture(samples: Samples) -> Figure:
    """The samples, the mass of each sector, and the distribution of the importance weights.

    Two degrees of freedom are drawn in the plane, over the target and the walls of the fundamental domain and
    its images; larger theories by the spatial mean of each field component.
    """
    figure = new_figure(11.0, 6.4)
    parts = figure.add_gridspec(2, 2, width_ratios=(1.55, 1.0))
    if _degrees_of_freedom(samples) == 2:
        _draw_plane(figure.add_subplot(parts[:, 0]), samples)
    else:
        _draw_collective(figure, parts[:, 0], samples)
    masses = [Estimate(*pair) for pair in zip(samples.sector_masses, samples.sector_errors, strict=True)]
    exact = None if samples.exact is None else samples.exact.sector_masses
    draw_sectors(figure.add_subplot(parts[0, 1]), masses, samples.model_masses, exact)
    draw_weights(figure.add_subplot(parts[1, 1]), samples)
    couplings = couplings_text(samples.parameters)
    figure.suptitle(
        f"{samples.program.theory}   {couplings}   {len(samples)} samples, ESS {samples.ess:.4f}",
        color=INK,
        fontsize=12,
    )
    return figure


def comparison_picture(comparison: Comparison) -> Figure:
    """ESS, forward ESS, KL and sector error of every method, a dot per seed."""
    names = {"ess": "ESS", "forward_ess": "forward ESS", "kl": "KL(q‖p)", "sector_error": "sector error"}
    figure = new_figure(11.0, 1.2 + 0.45 * len(comparison.methods))
    panels = figure.subplots(1, len(names), sharey=True)
    rows = {method: row for row, method in enumerate(comparison.methods)}
    for axes, (name, label) in zip(panels, names.items(), strict=True):
        for method, row in rows.items():
            values = np.array([getattr(t, name) for t in comparison.trials if t.method == method])
            values = values[np.isfinite(values)]
            if len(values):
                axes.barh(row, values.mean(), color=ORANGE if method == "ours" else BLUE, alpha=0.55)
                axes.plot(values, np.full(len(values), row), ".", color=INK, markersize=5)
        axes.set_title(label, color=INK, fontsize=10)
        if name in ("ess", "forward_ess"):
            axes.set_xlim(0, 1)
    panels[0].set_yticks(list(rows.values()), list(rows))
    panels[0].invert_yaxis()
    couplings = couplings_text(comparison.parameters)
    figure.suptitle(f"{comparison.theory}   {couplings}   {comparison.backend}", color=INK, fontsize=12)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure; the suffix names the format.

    Raises
    ------
    OptionError
        If matplotlib cannot write that format.
    RunError
        If the path cannot be written.
    """
    check_picture(path)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix.removeprefix(".").lower(), dpi=150)
    write_bytes(path, buffer.getvalue())


def _degrees_of_freedom(samples: Samples) -> int:
    return int(np.prod(samples.x.shape[1:]))


def _draw_plane(axes: Axes, samples: Samples) -> None:
    points = samples.x.reshape(len(samples), 2)
    low, high = points.min(axis=0), points.max(axis=0)
    centre, half = (low + high) / 2, 0.56 * float((high - low).max())
    axis = np.linspace(-half, half, 301)
    x, y = centre[0] + axis, centre[1] + axis
    plane = np.stack(np.meshgrid(x, y), axis=-1)
    fields = plane.reshape(-1, *samples.x.shape[1:])
    action = run(samples.program, "action", {"x": fields}, samples.parameters)[0].reshape(plane.shape[:2])
    depth = np.minimum(action - action.min(), _DEPTH + 1)
    levels = np.arange(0.0, _DEPTH + 1, 2.0)
    filled = axes.contourf(x, y, depth, levels, cmap="Blues_r", alpha=0.85)
    axes.figure.colorbar(filled, ax=axes, label="S − min S", shrink=0.8, pad=0.02)

    seen = feature_fields(fields, samples.program.angles)
    scores = seen.mean(axis=tuple(range(2, fields.ndim))) @ samples.program.constants["SCORES"].T
    for u in reversed(range(scores.shape[1] if scores.shape[1] > 1 else 0)):  # Ω last, on top
        # Zero on the walls of T_u Ω and smooth across them, unlike the number of the sector.
        margin = scores[:, u] - np.delete(scores, u, axis=1).max(axis=1)
        margin = margin.reshape(plane.shape[:2])
        axes.contour(x, y, margin, [0.0], colors=GREY, linewidths=0.9)
        if u == 0:
            axes.contourf(x, y, margin, [0.0, np.inf], colors=[ORANGE], alpha=0.10)
            axes.contour(x, y, margin, [0.0], colors=ORANGE, linewidths=1.4)

    shown = points[:_SHOWN]
    axes.scatter(*shown.T, s=3, color=INK, alpha=0.45, linewidths=0)
    handles = [
        axes.scatter([], [], s=14, color=INK, label=f"{len(shown)} of the samples"),
        *(axes.plot([], [], color=ORANGE, label="fundamental domain Ω") if scores.shape[1] > 1 else []),
        *(axes.plot([], [], color=GREY, label="its images T_u Ω") if scores.shape[1] > 1 else []),
    ]
    axes.figure.legend(handles=handles, loc="outside lower left", ncols=3, frameon=False, fontsize=9)
    names = samples.program.components
    labels = names if len(names) == 2 else [f"{names[0]}(site {i})" for i in range(2)]
    axes.set(xlabel=labels[0], ylabel=labels[1], xlim=(x[0], x[-1]), ylim=(y[0], y[-1]), aspect="equal")


def _draw_collective(figure: Figure, place, samples: Samples) -> None:
    program = samples.program
    seen, names = feature_fields(samples.x, program.angles), feature_names(program.components, program.angles)
    means = seen.mean(axis=tuple(range(2, seen.ndim)), dtype=np.float64)
    count = means.shape[1]
    grid = place.subgridspec(count, 1)
    for a in range(count):
        axes = figure.add_subplot(grid[a])
        draw_mean(axes, means[:, a], samples.weights, "in the model", names[a])
