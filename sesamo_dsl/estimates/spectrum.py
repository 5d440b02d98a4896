"""Operators whose expectation values a model may have wrong, sorted by their deviation in standard errors.

The operators are derived from the Program: the monomials of the action and of the observables, powers of
every component and of its sum, two-point functions at the lowest momenta, the breaking part S₁, and for each
of these its part that is odd under elements of the modulating group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

from ..ir.interpreter import run
from ..ir.program import Program
from ..machine.memory import chunk_size
from ..values.couplings import Couplings
from ..values.sheet import Line, Sheet, Table
from .agreement import Agreement
from .estimate import SIGMAS
from .identities import known_operators, operator_values

_BREAKING = "S₁"
_ELEMENTS = 4  # most elements of the group for which odd parts are formed
_PROBES, _SAME = 64, 1e-9  # random configurations that tell operators apart, and relative tolerance
_ONE_IN = 2 * float(ndtr(-4.0))  # probability that any of the operators exceeds the bound by chance


@dataclass(frozen=True)
class Spectrum:
    """Deviations of operators, the largest first.

    Attributes
    ----------
    rows
        The operators, each from the model and from outside.
    bound
        Number of standard errors above which a deviation is significant, given the number of operators.
    """

    rows: tuple[Agreement, ...] = ()
    bound: float = SIGMAS

    @classmethod
    def of(cls, rows: Sequence[Agreement], independent: float = np.inf) -> Spectrum:
        """Sort the rows and compute the bound, from Student's t for few independent configurations.

        Parameters
        ----------
        rows
            The operators, in any order.
        independent
            Number of independent configurations from which the errors are estimated: with few of them an
            error may be much too small.
        """
        tail = _ONE_IN / (2 * max(len(rows), 1))
        bound = -(ndtri(tail) if np.isinf(independent) else stdtrit(max(independent - 1, 1), tail))
        size = [-abs(np.nan_to_num(row.z_score, nan=0.0, posinf=np.inf, neginf=-np.inf)) for row in rows]
        ordered = tuple(rows[i] for i in np.argsort(size, kind="stable"))
        return cls(ordered, max(SIGMAS, float(bound)))

    @property
    def differing(self) -> tuple[Agreement, ...]:
        """The rows whose deviation is above the bound."""
        return tuple(row for row in self.rows if row.has_errors and abs(row.z_score) > self.bound)

    def text(self, most: int | None = None, heading: str = "operators") -> str:
        """A table of the operators, all of them or the ``most`` with the largest deviations."""
        return self.table(most, heading).text()

    def table(self, most: int | None = None, heading: str = "operators") -> Table:
        """The operators, all of them or the ``most`` with the largest deviations."""
        rows = self.rows[:most]
        width = max((len(row.name) for row in rows), default=0)
        lines = []
        for row in rows:
            differs = row in self.differing
            cells = [f"z = {row.z_score:+7.2f}", str(row.model)]
            cells += [] if row.outside == (0.0, 0.0) else [f"outside {row.outside}"]
            cells += ["<- differs"] if differs else []
            text = f"  {row.name:<{width}}  {'   '.join(cells)}"
            lines.append(Line(text, (row.name, *cells), False if differs else None))
        if len(rows) < len(self.rows):
            more = f"… {len(self.rows) - len(rows)} more with smaller deviations"
            lines.append(Line(f"  {more}", (more,)))
        title = f"{heading} ({len(self.rows)}; |z| > {self.bound:.1f} is no accident)"
        return Table(title, tuple(lines))

    def _repr_html_(self) -> str:
        return Sheet("", [self.table()]).html()

    def __str__(self) -> str:
        return self.text()


@dataclass(frozen=True, eq=False)
class ComparedOperators:
    """The operators of a theory at given couplings.

    Attributes
    ----------
    names
        Names of the operators, in the order of :meth:`values`. The name of an operator that is odd under an
        element of the group begins with "odd".
    """

    program: Program
    parameters: Couplings
    names: tuple[str, ...]
    _columns: tuple[tuple[int, int | None], ...] = field(repr=False)

    @classmethod
    def of(cls, program: Program, parameters: Couplings) -> ComparedOperators:
        """All operators but those that are linear functions of another one, at random configurations."""
        x = np.random.default_rng(0).normal(size=(_PROBES, *program.configuration_shape))
        base, names = _base(program, parameters, x), _base_names(program)
        images = {u: _base(program, parameters, _moved(program, x, u)) for u in _elements(program)}
        s1 = names.index(_BREAKING) if _BREAKING in names else None  # S₁ is kept even if it is a monomial
        kept: list[np.ndarray] = []
        chosen: list[tuple[int, int | None]] = []
        labels: list[str] = []

        def take(column: int, u: int | None, values: np.ndarray, label: str) -> None:
            scale = np.abs(base[:, column]).max()
            centred = values - values.mean()
            size = np.linalg.norm(centred)
            if not np.isfinite(size) or not size > _SAME * (scale + 1e-300):
                return
            unit = centred / size
            if column == s1 or all(abs(unit @ other) < 1 - _SAME for other in kept):
                kept.append(unit)
                chosen.append((column, u))
                labels.append(label)

        for column, name in enumerate(names):
            values = base[:, column]
            scale = _SAME * np.abs(values).max()
            odd = any(np.abs(image[:, column] + values).max() <= scale for image in images.values())
            take(column, None, values, f"odd {name}" if odd else name)
        for u, image in images.items():
            for column, name in enumerate(names):
                take(column, u, (base[:, column] - image[:, column]) / 2, f"odd part under T_{u} of {name}")
        return cls(program, parameters, tuple(labels), tuple(chosen))

    def values(self, x: np.ndarray) -> np.ndarray:
        """The operators at configurations x, (n, components, *lattice) → (n, operators)."""
        x = x.astype(np.float64)
        base = _base(self.program, self.parameters, x)
        moved = {
            u: _base(self.program, self.parameters, _moved(self.program, x, u))
            for u in dict.fromkeys(u for _, u in self._columns if u is not None)
        }
        columns = [base[:, c] if u is None else (base[:, c] - moved[u][:, c]) / 2 for c, u in self._columns]
        return np.stack(columns, axis=1) if columns else np.zeros((len(x), 0))


def _momenta(program: Program) -> list[int]:
    """Axes along which there are momenta: neither the axis of graph nodes nor an axis of extent 1."""
    axes = range(len(program.shape) - (program.nodes is not None))
    return [mu for mu in axes if program.shape[mu] > 1]


def _base_names(program: Program) -> list[str]:
    waves = [f"|{c}(k)|², k = 2π/L_{mu}" for mu in _momenta(program) for c in program.components]
    breaking = [_BREAKING] if "breaking" in program.functions else []
    return [*known_operators(program).names, *waves, *breaking]


def _base(program: Program, parameters: Couplings, x: np.ndarray) -> np.ndarray:
    """The operators without odd parts, (n, operators)."""
    columns = [operator_values(program, parameters, x)]
    for mu in _momenta(program):
        extent = program.shape[mu]
        phase = np.exp(2j * np.pi * np.arange(extent) / extent)
        others = tuple(2 + nu for nu in range(len(program.shape)) if nu != mu)
        wave = x.sum(axis=others) @ phase
        columns.append(np.abs(wave) ** 2 / prod(program.shape))
    if "breaking" in program.functions:
        size = chunk_size(x.shape[1:])
        parts = [
            run(program, "breaking", {"x": x[i : i + size]}, parameters)[0] for i in range(0, len(x), size)
        ]
        columns.append(np.concatenate([np.empty(0), *parts])[:, None])
    return np.concatenate(columns, axis=1)


def _elements(program: Program) -> range:
    return range(1, min(program.sectors.order, 1 + _ELEMENTS))


def _moved(program: Program, x: np.ndarray, u: int) -> np.ndarray:
    """T_u x with the same element u in all blocks."""
    blocks = (prod(program.block_shape),) if program.block_axes else ()
    return run(program, "modulate", {"y": x, "u": np.full((len(x), *blocks), u)})[0]
