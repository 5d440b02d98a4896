"""Figures of the package: without global state, shown by notebooks, or drawn into axes of the user."""

from __future__ import annotations

import io
from typing import Any, cast

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..checks import shown
from ..errors import OptionError
from ..symbols.latex import named

BLUE, ORANGE, GREY, INK = "#2563a8", "#d1601f", "#8a94a0", "#20262e"
TINTS = ("#dbe7f3", "#b5cde6", "#e6ebf0", "#93b5d8", "#c9d3dd", "#7da3cc")
"""Light tints of areas that meet."""


class Picture(Figure):
    """A matplotlib figure that notebooks show by itself, whether or not pyplot was imported."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=self.dpi)
        return buffer.getvalue()


def new_figure(width: float = 4.6, height: float = 3.2) -> Figure:
    """An empty figure of this size in inches."""
    figure = Picture(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def axes_of_user(ax: Any) -> Axes:
    """The axes if they are those of matplotlib; OptionError for anything else."""
    if not isinstance(ax, Axes):
        raise OptionError(
            "option ax",
            expected="one axes of matplotlib, or None for a figure of its own",
            found=f"{type(ax).__name__} {shown(ax)}",
            remedy="give one entry of what plt.subplots() returns",
        )
    return ax


def figure_of(axes: Axes) -> Figure:
    """The whole figure that axes are in."""
    figure = cast(Any, axes.figure)
    while not isinstance(figure, Figure):  # a part of a figure
        figure = figure._parent
    return figure


def choice(value: Any, allowed: tuple[str, ...], option: str) -> str:
    """The value if it is among the allowed ones; OptionError for anything else."""
    if not isinstance(value, str) or value not in allowed:
        raise OptionError(
            f"option {option} of a picture",
            expected=f"one of {', '.join(allowed)}",
            found=shown(value),
            remedy="choose one of them",
        )
    return value


def plain(text: str) -> str:
    """Text as a label of matplotlib, which would typeset what stands between dollar signs."""
    return text.replace("$", r"\$")


def typeset(name: str) -> str:
    """A name as matplotlib typesets it: Greek letters, and subscripts after underscores."""
    return f"${named(name)}$"
