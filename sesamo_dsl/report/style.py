"""The colours and sizes that all pictures share, as matplotlib figures without global state."""

from __future__ import annotations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

BLUE, ORANGE, GREY, INK = "#2563a8", "#d1601f", "#8a94a0", "#20262e"


def panel(width: float = 4.6, height: float = 3.2) -> Figure:
    """An empty picture of this size in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def plain(text: str) -> str:
    """A name as a label of matplotlib, which would typeset what stands between dollar signs."""
    return text.replace("$", r"\$")
