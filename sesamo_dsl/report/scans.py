"""A picture of a scan: figures with error bars against a coupling, a curve for each value of the others."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..scans import Scan
from ..values.couplings import couplings_text
from .canvas import GREY, INK, axes_of_user, choice, figure_of, new_figure, plain, typeset

_SHOWN = ("log_z", "|m|", "susceptibility", "binder", "specific_heat")
_LABELS = {
    "log_z": r"$\log Z$",
    "|m|": r"$\langle |m| \rangle$",
    "m^2": r"$\langle m^2 \rangle$",
    "m^4": r"$\langle m^4 \rangle$",
    "action": r"$\langle S \rangle$",
    "ess": "ESS",
    "specific_heat": "specific heat",
    "susceptibility": "susceptibility",
    "binder": "Binder cumulant",
}
_MOST_CURVES = 12


def scan_picture(scan: Scan, figure: str | None, against: str | None, ax: Axes | None) -> Figure:
    """One figure of a scan against a coupling; without one several, beside each other."""
    coupling = scan.names[0] if against is None else choice(against, scan.names, "against")
    if figure is not None or ax is not None:
        axes = new_figure(6.4, 4.2).subplots() if ax is None else axes_of_user(ax)
        _draw(axes, scan, "log_z" if figure is None else figure, coupling)
        return figure_of(axes)
    names = [name for name in _SHOWN if name in scan.figures] + ["ess"]
    rows = -(-len(names) // 3)
    whole = new_figure(12.0, 3.6 * rows)
    places = list(np.ravel(whole.subplots(rows, 3)))
    for axes, name in zip(places, names, strict=False):
        _draw(axes, scan, name, coupling)
    for axes in places[len(names) :]:
        axes.set_visible(False)
    title = f"{scan.theory}   {len(scan)} points   {couplings_text(scan.fixed)}"
    whole.suptitle(plain(title), color=INK, fontsize=12)
    return whole


def _draw(axes: Axes, scan: Scan, name: str, coupling: str) -> None:
    if name == "ess":
        pairs = np.array([[point.ess, 0.0] for point in scan.points])
    else:
        pairs = np.array(scan.curve(name))
    theta = scan.coupling(coupling)
    others = [other for other in scan.names if other != coupling]
    fixed = [tuple(point.couplings[other] for other in others) for point in scan.points]
    curves = sorted(set(fixed))
    for curve in curves[:_MOST_CURVES]:
        rows = np.flatnonzero([values == curve for values in fixed])
        rows = rows[np.argsort(theta[rows])]
        label = couplings_text(dict(zip(others, curve, strict=True)))
        error = None if name == "ess" else pairs[rows, 1]
        axes.errorbar(theta[rows], pairs[rows, 0], error, fmt="o-", markersize=3, linewidth=1, label=label)
    if others:
        left_out = len(curves) - _MOST_CURVES
        title = f"and {left_out} more curves" if left_out > 0 else None
        axes.legend(fontsize=8, title=title)
    if name == "ess":
        axes.set_ylim(0, 1.05)
        axes.axhline(1.0, color=GREY, linewidth=0.8)
    axes.set(xlabel=typeset(coupling), ylabel=_LABELS.get(name, plain(name)))
    axes.grid(alpha=0.25)
