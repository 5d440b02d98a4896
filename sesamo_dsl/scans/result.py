"""The result of a scan: curves with errors, the laws that hold between the points, and warnings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks import shown, spelling
from ..errors import OptionError
from ..estimates.estimate import Estimate, propagate
from ..estimates.finding import Finding
from ..machine.optional import library
from ..runs import Run
from ..values.couplings import Couplings, arrays_only, couplings_text, numbers_only
from ..values.sheet import Line, Sheet, Table
from .files import points_as_data, read_scan, reading, write_scan
from .laws import Law, laws_of
from .point import ScanPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHOWN = ("log_z", "specific_heat", "|m|", "susceptibility", "binder")
"""Figures in the table of a scan that nobody has chosen."""
_LONGEST = 60  # most points of a printed table


@dataclass(frozen=True, eq=False, repr=False)
class Scan:
    """Figures at points of coupling space; printed, it shows a table, the laws and warnings.

    Attributes
    ----------
    theory
        Name of the theory.
    names
        The couplings that change.
    fixed
        All other couplings.
    points
        The points in the order in which they were visited. ``scan.points[3]["binder"]`` is an estimate.
    axes
        The values of each coupling in ascending order, if the points are the product of these; else None.
    order
        The order parameter m in words.
    missing
        Points that are not there, with the reasons in words.
    notes
        Sentences about the scan that a reader must know.
    versions
        Versions of the packages that computed it.
    runs
        The run of each point, or the one that was trained over a range; empty for a scan from a file.
    """

    theory: str
    names: tuple[str, ...]
    fixed: Couplings
    points: tuple[ScanPoint, ...]
    axes: Mapping[str, np.ndarray] | None
    order: str
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    versions: Mapping[str, str] | None = None
    runs: tuple[Run, ...] = ()

    def __len__(self) -> int:
        return len(self.points)

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of the figures that every point has, such as ``log_z`` and ``d2_log_z[h,h]``."""
        return tuple(f for f in self.points[0].figures if all(f in point.names for point in self.points))

    def curve(self, figure: str) -> tuple[Estimate, ...]:
        """A figure at all points, in the order of :attr:`points`; OptionError for other names."""
        name = spelling(figure) if isinstance(figure, str) else ""
        if name not in self.figures:
            raise OptionError(
                f"figure of the scan of {self.theory}",
                expected=f"one of {', '.join(self.figures)}",
                found=shown(figure),
                remedy="declare it as an observable of the theory, Theory(observables={…})",
            )
        return tuple(point[name] for point in self.points)

    def coupling(self, name: str) -> np.ndarray:
        """The values of a coupling that changes, (points,)."""
        if name not in self.names:
            raise OptionError(
                f"coupling of the scan of {self.theory}",
                expected=f"one of {', '.join(self.names)}",
                found=shown(name),
                remedy="other couplings are the same at all points: scan.fixed",
            )
        return np.array([point.couplings[name] for point in self.points])

    @cached_property
    def consistency(self) -> tuple[Law, ...]:
        """The laws that hold between neighbours, tested: thermodynamic integration, then reweighting.

        Each has ``chi_squared``, ``degrees``, ``per_degree``, ``p_value``, ``worst`` and ``residuals``; see
        :mod:`sesamo_dsl.scans.laws`.
        """
        return laws_of(self.points)

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """Reasons to doubt the figures, each with its remedy; empty for a sound scan."""
        found = [
            Finding(
                law.name,
                f"violated, χ²/dof = {law.chi_squared:.1f}/{law.degrees}, worst {law.worst[0]} "
                f"({law.worst[1]:+.1f} standard errors)",
                "train for longer, and look at coverage and ESS of the points there: one of them misses "
                "something, or its errors are too small",
            )
            for law in self.consistency
            if law.holds is False
        ]
        first = self.consistency[0]
        if first.degrees < first.possible and first.untested:
            found.append(
                Finding(first.name, f"not tested everywhere: {first.untested}", "take more points, closer")
            )
        of_points = [f"{point.text}: {warning}" for point in self.points for warning in point.warnings]
        return (*map(str, found), *self.missing, *of_points)

    @property
    def is_finite(self) -> bool:
        """True if log Z of every point is a number with an error."""
        return all(np.isfinite([*point["log_z"]]).all() for point in self.points)

    @property
    def precision(self) -> str:
        """The errors of log Z and the ESS over all points, in words."""
        errors = [point["log_z"].error for point in self.points]
        ess = [point.ess for point in self.points]
        return (
            f"errors of log Z from {min(errors):.2g} to {max(errors):.2g}, ESS from {min(ess):.3f} to "
            f"{max(ess):.3f}"
        )

    def table(self, figures: Sequence[str] | None = None) -> str:
        """Figures as a table with one line for each point, as text; by default some of them."""
        return self._table(figures).text()

    def _table(self, figures: Sequence[str] | None, most: int | None = None) -> Table:
        named = [figures] if isinstance(figures, str) else figures
        chosen = [f for f in _SHOWN if f in self.figures] if named is None else list(named)
        columns = [self.curve(name) for name in chosen]
        head = [*self.names, *chosen, "ESS", "coverage"]
        rows = [
            [
                *(f"{point.couplings[name]:g}" for name in self.names),
                *(str(column[i]) for column in columns),
                f"{point.ess:.4f}",
                point.coverage,
            ]
            for i, point in enumerate(self.points)
        ]
        widths = [max(len(line[k]) for line in (head, *rows)) for k in range(len(head))]

        def line(cells: Sequence[str]) -> Line:
            text = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
            return Line(text, tuple(cells))

        lines = [line(head), *map(line, rows[:most])]
        if most is not None and len(rows) > most:
            rest = f"… {len(rows) - most} more points: scan.table()"
            lines.append(Line(rest, (rest,)))
        couplings = couplings_text(self.fixed)
        heading = f"{self.theory}, {len(self)} points" + (f"   {couplings}" if couplings else "")
        return Table(heading, tuple(lines))

    @property
    def sheet(self) -> Sheet:
        """The table, the laws, the warnings and the notes."""
        order = f"order parameter m: {self.order}; k components, V sites; see docs/scans.md"
        parts = [self._table(None, _LONGEST), *(law.line for law in self.consistency), self.precision]
        return Sheet(f"Scan of {self.theory}", parts, self.warnings, (order, *self.notes), is_examined=True)

    def text(self) -> str:
        """The table, the laws, the warnings and the notes as text."""
        return self.sheet.text()

    __str__ = text

    def _repr_html_(self) -> str:
        return self.sheet.html()

    def __repr__(self) -> str:
        ranges = ", ".join(
            f"{name} {self.coupling(name).min():g} to {self.coupling(name).max():g}" for name in self.names
        )
        return f"Scan({self.theory!r}, {len(self)} points, {ranges})"

    def to_dataframe(self) -> Any:
        """A ``pandas.DataFrame`` with a row for each point: couplings, figures and errors, ESS, coverage.

        The error of ``log_z`` is the column ``log_z_error``, and so on.

        Raises
        ------
        BackendError
            If pandas is not installed.
        """
        pandas = library("pandas", "a table of a scan", "files")
        columns: dict[str, Any] = {name: self.coupling(name) for name in self.names}
        return pandas.DataFrame(columns | self._columns())

    def _columns(self) -> dict[str, np.ndarray]:
        columns: dict[str, np.ndarray] = {}
        for name in self.figures:
            pairs = np.array(self.curve(name))
            columns[name], columns[f"{name}_error"] = pairs[:, 0], pairs[:, 1]
        columns["ess"] = np.array([point.ess for point in self.points])
        columns["coverage"] = np.array([point.coverage for point in self.points])
        return columns

    def to_xarray(self) -> Any:
        """An ``xarray.Dataset`` of figures and errors, with the couplings as axes.

        For a product of ranges each coupling is an axis, in ascending order, and points that are missing are
        NaN; else there is one axis, ``point``, with the couplings as coordinates.

        Raises
        ------
        BackendError
            If xarray is not installed.
        """
        xarray = library("xarray", "arrays with named axes", "files")
        attributes = {
            "theory": self.theory,
            "couplings": json.dumps(numbers_only(self.fixed)),
            "inference_library": "sesamo-dsl",
            "inference_library_version": version("sesamo-dsl"),
        }
        columns = self._columns()
        if self.axes is None:
            places = {name: ("point", self.coupling(name)) for name in self.names}
            data = {name: ("point", values) for name, values in columns.items()}
            return xarray.Dataset(data, places, attributes)
        shape = tuple(len(self.axes[name]) for name in self.names)
        at = tuple(np.searchsorted(self.axes[name], self.coupling(name)) for name in self.names)
        data = {}
        for name, values in columns.items():
            whole = np.full(shape, "" if values.dtype.kind == "U" else np.nan, values.dtype)
            whole[at] = values
            data[name] = (self.names, whole)
        return xarray.Dataset(data, dict(self.axes), attributes)

    def plot(
        self, figure: str | None = None, *, against: str | None = None, ax: Axes | None = None
    ) -> Figure:
        """A picture of a figure against a coupling, with error bars; by default of several figures.

        Parameters
        ----------
        figure
            One of :attr:`figures`; ``"ess"`` as well.
        against
            The coupling on the horizontal axis, by default the first; there is one curve for each value of
            the others.
        ax
            Axes of matplotlib to draw into; by default a picture is made.
        """
        from ..report.scans import scan_picture  # matplotlib takes a second to import

        return scan_picture(self, figure, against, ax)

    def peak(self, figure: str = "susceptibility") -> tuple[Estimate, Estimate]:
        """Where a figure is largest, and its value there, by the parabola through the three highest points.

        Errors are statistical, with the correlations of one point; that the curve is no parabola is not in
        them. Points closer to the peak make it small.

        Returns
        -------
        tuple
            The coupling at the peak, and the figure.

        Raises
        ------
        OptionError
            For a scan over several couplings, fewer than three points, or a maximum at an end of the range.
        """
        curve = self.curve(figure)
        if len(self.names) != 1:
            raise self._no_peak(
                figure, f"the couplings {', '.join(self.names)}", "hold all couplings but one"
            )
        theta = self.coupling(self.names[0])
        order = np.argsort(theta)
        values = np.array([curve[i].value for i in order])
        top = int(np.argmax(values)) if np.isfinite(values).all() else 0
        if not 0 < top < len(order) - 1:
            raise self._no_peak(
                figure, f"the largest value at {self.names[0]} = {theta[order[top]]:g}", "take a wider range"
            )
        three = order[top - 1 : top + 2]
        t0, t1, t2 = theta[three] - theta[three[1]]

        def place(a: float, b: float, c: float) -> float:
            left, right = (b - a) / (t1 - t0), (c - b) / (t2 - t1)
            return (t0 + t1) / 2 - left * (t2 - t0) / (2 * (right - left))

        def height(a: float, b: float, c: float) -> float:
            t, bend = place(a, b, c), ((c - b) / (t2 - t1) - (b - a) / (t1 - t0)) / (t2 - t0)
            return b + (t - t1) * ((b - a) / (t1 - t0) + bend * (t - t0))

        at = [curve[i] for i in three]
        return propagate(place, *at) + float(theta[three[1]]), propagate(height, *at)

    def crossing(self, other: Scan, figure: str = "binder") -> tuple[Estimate, Estimate]:
        """Where the curves of two scans cross, as Binder cumulants of two lattices do, and the figure there.

        Between two neighbouring values of the coupling that both scans have, and between which the difference
        changes its sign, both curves are taken for straight lines. Errors are statistical, with the
        correlations of one point; that the curves bend is not in them. Points closer to the crossing make it
        small.

        Parameters
        ----------
        other
            A scan over the same coupling.
        figure
            One of :attr:`figures` of both.

        Returns
        -------
        tuple
            The coupling at the crossing, and the figure.

        Raises
        ------
        OptionError
            For scans over several couplings, or other ones, and curves that do not cross, or cross more than
            once, at values that both have.
        """
        if not isinstance(other, Scan):
            raise self._no_crossing(figure, "another scan", shown(other), "give a scan of another lattice")
        if len(self.names) != 1 or self.names != other.names:
            found = f"{', '.join(self.names)} and {', '.join(other.names)}"
            raise self._no_crossing(figure, "scans over one coupling, the same", found, "scan both over it")
        name, one, two = self.names[0], self.curve(figure), other.curve(figure)
        pairs = sorted(
            (float(theta), one[i], two[int(same[0])])
            for i, theta in enumerate(self.coupling(name))
            if len(same := np.flatnonzero(np.isclose(other.coupling(name), theta, rtol=1e-9, atol=0)))
        )
        gaps = [b - a for _, a, b in pairs]
        signs = np.sign([gap.value for gap in gaps])
        places = np.flatnonzero(signs[1:] * signs[:-1] < 0) if np.isfinite(signs).all() else np.zeros(0, int)
        if len(places) != 1:
            at = ", ".join(f"{pairs[i][0]:g} to {pairs[i + 1][0]:g}" for i in places)
            found = f"crossings at {name} = {at}" if at else f"none at {len(pairs)} common values of {name}"
            remedy = "take a range around one crossing, with more samples" if at else "take a wider range"
            raise self._no_crossing(figure, "curves that cross once at values that both have", found, remedy)
        i = int(places[0])
        (t0, first, _), (t1, last, _) = pairs[i], pairs[i + 1]

        def share(left: float, right: float) -> float:
            return left / (left - right)

        part = propagate(share, gaps[i], gaps[i + 1])
        return part * (t1 - t0) + t0, first + part * (last - first)

    def _no_crossing(self, figure: str, expected: str, found: str, remedy: str) -> OptionError:
        return OptionError(
            f"crossing of {figure} in scans of {self.theory}", expected=expected, found=found, remedy=remedy
        )

    def _no_peak(self, figure: str, found: str, remedy: str) -> OptionError:
        return OptionError(
            f"peak of {figure} in the scan of {self.theory}",
            expected="a range of one coupling with the maximum inside",
            found=found,
            remedy=remedy,
        )

    def save(self, path: str | Path) -> None:
        """Write the scan, without its runs, to an .npz file, which :meth:`load` reads.

        Raises
        ------
        OptionError
            If the name does not end in ``.npz``.
        RunError
            If the file cannot be written.
        """
        told, arrays = points_as_data(self.points)
        record = {
            "theory": self.theory,
            "names": list(self.names),
            "points": told,
            "fixed": numbers_only(self.fixed),
            "axes": None if self.axes is None else list(self.axes),
            **{name: list(getattr(self, name)) for name in ("missing", "notes")},
            "order": self.order,
            "versions": dict(self.versions or {}),
        }
        arrays |= {f"fixed_{name}": array for name, array in arrays_only(self.fixed).items()}
        arrays |= {f"axis_{name}": array for name, array in (self.axes or {}).items()}
        write_scan(path, record, arrays)

    @staticmethod
    def load(path: str | Path) -> Scan:
        """A scan from a file that :meth:`save` has written, without its runs; RunError for other files."""
        with reading(path) as place:
            record, arrays, points = read_scan(place)
            fixed = {str(name): float(value) for name, value in dict(record["fixed"]).items()}
            sitewise = {n.removeprefix("fixed_"): a for n, a in arrays.items() if n.startswith("fixed_")}
            axes = record["axes"]
            return Scan(
                str(record["theory"]),
                tuple(map(str, record["names"])),
                {**fixed, **sitewise},
                points,
                None if axes is None else {str(name): arrays[f"axis_{name}"] for name in axes},
                str(record["order"]),
                tuple(map(str, record["missing"])),
                tuple(map(str, record["notes"])),
                {str(k): str(v) for k, v in dict(record["versions"]).items()},
            )
