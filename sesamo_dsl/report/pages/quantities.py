"""Tables of measured quantities: observables, sector masses and operators, against what else is known."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from ... import checks
from ...errors import OptionError
from ...estimates.agreement import Agreement
from ...estimates.estimate import SIGMAS, Estimate
from ...estimates.weighted import observable_names
from ...ir.program import Program
from .blocks import Table
from .wording import deviation, measured, operator

MOST = 32
"""Most rows of a table of sectors; of more sectors the heaviest are shown."""
LOG_Z = "log_z"


def check_references(references: Any, known: Sequence[str], theory: str) -> dict[str, Estimate]:
    """The references as estimates; OptionError for anything but values with errors of known quantities."""
    if references is None:
        return {}
    if not isinstance(references, Mapping):
        raise _wrong("references", checks.shown(references), "a dictionary of values with their errors")
    found: dict[str, Estimate] = {}
    for name, pair in references.items():
        if name not in known:
            raise OptionError(
                f"reference {checks.shown(name)} of theory {theory}",
                expected=f"one of {', '.join(known)}",
                found=checks.shown(name),
                remedy="check the spelling, or declare the observable in Theory(observables={…})",
            )
        values = checks.listed(pair)
        if values is None or len(values) != 2:
            raise _wrong(f"reference {name}", checks.shown(pair), "a value and its error")
        limits: dict[str, Any] = {
            "expected": "a finite value, and an error of zero or more",
            "remedy": _REMEDY,
        }
        value = checks.real(values[0], f"reference {name}", least=-np.inf, **limits)
        error = checks.real(values[1], f"error of reference {name}", open_below=False, **limits)
        found[name] = Estimate(value, error)
    return found


_REMEDY = 'write references={"m_squared": (0.1234, 0.0005)}'


def _wrong(subject: str, found: str, expected: str) -> OptionError:
    return OptionError(subject, expected=expected, found=found, remedy=_REMEDY)


def names_of(program: Program, declared: Iterable[str], *, log_z: bool) -> list[str]:
    """The quantities that a page lists and references may have."""
    return [*([LOG_Z] if log_z else []), "action", *observable_names(program), *declared]


def values(
    names: Sequence[str],
    declared: Iterable[str],
    expect: Callable[[str], Sequence[float]],
    derived: Callable[[str], Sequence[float]],
    log_z: Estimate | None,
) -> dict[str, Estimate]:
    """The measured value of every quantity by name; NaN where it cannot be computed."""
    own = set(declared)
    found: dict[str, Estimate] = {}
    for name in names:
        if name == LOG_Z and log_z is not None:
            found[name] = log_z
        else:
            found[name] = Estimate(np.nan, np.nan)
            with np.errstate(all="ignore"), contextlib.suppress(OptionError):  # such as a function of NaN
                found[name] = Estimate(*(derived if name in own else expect)(name)[:2])
    return found


def table(
    measurements: Mapping[str, Estimate],
    columns: Mapping[str, Mapping[str, Estimate]],
    declared: Iterable[str] = (),
) -> Table:
    """Quantities with their values, and values from elsewhere with the differences in standard errors."""
    shown = {title: column for title, column in columns.items() if column}
    header = ["quantity", "value"]
    for title in shown:
        header += [title, "difference"]
    own, rows = set(declared), []
    for name, value in measurements.items():
        row: list[str | Markup] = [_label(name, own), measured(value)]
        for column in shown.values():
            other = column.get(name)
            row += ["", ""] if other is None else [measured(other), difference(name, value, other)]
        rows.append(row)
    return Table(header, rows, numeric=frozenset(range(1, len(header))))


def difference(name: str, ours: Estimate, other: Estimate) -> Markup:
    """The difference of two values in standard errors, marked where it is no accident."""
    pair = Agreement(name, ours, other)
    text = deviation(pair.z_score)
    return Markup("{}").format(text) if pair.agrees else Markup('<b class="badge broken">{}</b>').format(text)


def _label(name: str, declared: set[str]) -> str:
    if name == LOG_Z:
        return "log Z"
    if name in declared:
        return name
    return "⟨S⟩" if name == "action" else f"⟨{name}⟩"


def sectors(
    masses: Sequence[Estimate],
    model: np.ndarray | None,
    exact: np.ndarray | None,
    outside: Sequence[Agreement],
) -> Table:
    """Masses of the sectors, all of them or the heaviest, beside what is known of them."""
    numbers: Sequence[int] = range(len(masses))
    caption = ""
    if len(masses) > MOST:
        heaviest = np.argsort([-np.nan_to_num(mass.value) for mass in masses], kind="stable")[:MOST]
        numbers = [int(u) for u in heaviest]
        caption = f"The {MOST} heaviest of {len(masses)} sectors."
    header = ["sector", "probability"]
    header += ["exact", "difference"] if exact is not None else []
    header += ["from outside", "difference"] if outside else []
    header += ["share of the samples"] if model is not None else []
    rows = []
    for u in numbers:
        row: list[str | Markup] = [Markup("T<sub>{}</sub>Ω").format(u) if u else "Ω", measured(masses[u])]
        if exact is not None:
            known = Estimate(float(exact[u]), 0.0)
            row += [f"{known.value:.6f}", difference("mass", masses[u], known)]
        if outside:
            other = outside[u].outside
            row += [measured(other), difference("mass", masses[u], other)]
        if model is not None:
            row.append(f"{model[u]:.5f}")
        rows.append(row)
    return Table(header, rows, caption, frozenset(range(1, len(header))))


def operators(rows: Sequence[Agreement], bound: float, *, outside: bool) -> Table:
    """Operators with their deviations, in the order given."""
    header = ["operator", "model", *(["from outside"] if outside else []), "difference"]
    cells = []
    for row in rows:
        z = deviation(row.z_score)
        mark = row.has_errors and abs(row.z_score) > bound
        last = Markup('<b class="badge broken">{}</b>').format(z) if mark else z
        other = [measured(row.outside)] if outside else []
        cells.append([operator(row.name), measured(row.model), *other, last])
    return Table(header, cells, numeric=frozenset(range(1, len(header))))


SIGNIFICANT = f"A difference of more than {SIGMAS:g} σ is no accident, and is marked."
"""What the colour of a difference means."""
