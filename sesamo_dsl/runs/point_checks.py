"""Annealings at a few points of the range of couplings of a run: what its samples are held against there.

The points are the ends of the range, its middle, and the point of the lowest ESS among those of a net; and
the couplings of the run itself. Of a list of points they are those next to the corners and the middle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .. import checks
from ..backend import ModelOverRange
from ..estimates.coverage import NOT_ASKED, Coverage
from ..estimates.target_sample import TargetSample
from ..flows.coupling_range import CouplingRange, Density
from ..values.couplings import Couplings, couplings_text

COMPARED = 4096
"""Number of samples of the model that are compared with an annealing."""
_NET = 64  # points of a range whose ESS is looked at
_BATCHES = 4  # at each of them
_STATUSES = ("covered", "missed", "unknown")


@dataclass(frozen=True, eq=False)
class PointCheck:
    """An annealing at one point of a range, and what it says of the model.

    Attributes
    ----------
    couplings
        The couplings that vary, at this point.
    place
        What the point is, in words.
    outside
        Configurations of the target; None if the annealing failed.
    unchecked
        The reason why there are none, in words.
    ess
        The ESS of the samples that were compared with them; NaN if none were.
    status, verdict
        The coverage, see :class:`.Coverage`; "unknown" if nothing was compared since the last training.
    """

    couplings: Mapping[str, float]
    place: str
    outside: TargetSample | None
    unchecked: str = ""
    ess: float = float("nan")
    status: str = "unknown"
    verdict: str = "the training went on since"

    @property
    def text(self) -> str:
        """The couplings of the point as text."""
        return couplings_text(self.couplings)

    @property
    def line(self) -> str:
        """What the annealing says, as text."""
        ess = f"ESS {self.ess:.4f}, " if np.isfinite(self.ess) else ""
        return f"{ess}coverage {self.status} ({self.place})"

    def forgotten(self) -> PointCheck:
        """The annealing alone, for a model that is trained on."""
        return PointCheck(self.couplings, self.place, self.outside, self.unchecked)

    def compared(self, ess: float, coverage: Coverage | None) -> PointCheck:
        """The same with what samples of the model say."""
        if coverage is None:
            return replace(self, ess=ess, status="unknown", verdict=self.unchecked)
        return replace(self, ess=ess, status=coverage.status, verdict=coverage.verdict)

    def as_data(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Values that JSON can hold, and arrays by name."""
        values, arrays = (None, {}) if self.outside is None else self.outside.as_data()
        plain = {name: getattr(self, name) for name in ("place", "unchecked", "status", "verdict")}
        ess = float(self.ess) if np.isfinite(self.ess) else None
        return {"couplings": dict(self.couplings), "ess": ess, "outside": values, **plain}, arrays

    @classmethod
    def from_data(
        cls, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray], over: CouplingRange
    ) -> PointCheck:
        """Inverse of :meth:`as_data`; ValueError, KeyError or TypeError if the data do not fit together."""
        couplings = {str(k): checks.real(v, str(k), least=-np.inf) for k, v in values["couplings"].items()}
        if set(couplings) != set(over.names) or values["status"] not in _STATUSES:
            raise ValueError(f"an annealing at {couplings} that is {values['status']}")
        kept, ess = values["outside"], values["ess"]
        return cls(
            {name: couplings[name] for name in over.names},
            str(values["place"]),
            None if kept is None else TargetSample.from_data(kept, arrays),
            str(values["unchecked"]),
            float("nan") if ess is None else float(ess),
            str(values["status"]),
            str(values["verdict"]),
        )


def places(
    model: ModelOverRange, over: CouplingRange, density: Density, parameters: Couplings
) -> dict[tuple[float, ...], str]:
    """The points at which a model is held against an annealing, and in words what each of them is."""
    points = over.trained(density)
    found: dict[tuple[float, ...], str] = {}

    def add(point: Sequence[float] | np.ndarray, place: str) -> None:
        found.setdefault(tuple(map(float, point)), place)

    span = np.array(over.high) - np.array(over.low)

    def trained(point: np.ndarray) -> np.ndarray:
        """The point itself in a box; of a list, the nearest one."""
        return points[((points - point) ** 2 / span**2).sum(axis=1).argmin()] if over.points else point

    for corner in over.corners:
        add(trained(corner), "an end")
    add(trained(over.point(over.centre)), "the middle")
    add(over.point(parameters), "the run's own couplings")
    net = np.unique(np.linspace(0, len(points) - 1, min(_NET, len(points))).astype(int))
    ess = model.ess_of_points(net.tolist(), _BATCHES)
    key = tuple(map(float, points[net[np.argmin(np.nan_to_num(ess))]]))
    found[key] = f"{found[key]}, and the lowest ESS" if key in found else "the lowest ESS"
    return found


def told(found: Sequence[PointCheck]) -> tuple[str, ...]:
    """The annealings in one sentence, if there are any, for samples at all points of the range."""
    if not found:
        return ()
    return ("coverage at points of the range: " + "; ".join(f"{c.status} at {c.text}" for c in found),)


def unknown_between(found: Sequence[PointCheck]) -> str:
    """Why coverage is not known at a point without an annealing, in words."""
    missed = [check.text for check in found if check.status == "missed"]
    if found and all(check.status == "unknown" for check in found):
        return f"no annealing at a point of the range says anything, {found[0].text}: {found[0].verdict}"
    if not missed:
        return NOT_ASKED
    return f"the model misses a part at {'; '.join(missed)}, and there is no annealing here"


def checks_as_data(found: Sequence[PointCheck]) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """All annealings as values and arrays; the names of arrays begin with the number of the annealing."""
    values, arrays = list[dict[str, Any]](), dict[str, np.ndarray]()
    for i, check in enumerate(found):
        plain, own = check.as_data()
        values.append(plain)
        arrays |= {f"{i}.{name}": array for name, array in own.items()}
    return values, arrays


def checks_from_data(
    values: Any, arrays: Mapping[str, np.ndarray], over: CouplingRange
) -> tuple[PointCheck, ...]:
    """Inverse of :func:`checks_as_data`; see :meth:`PointCheck.from_data`."""
    return tuple(
        PointCheck.from_data(
            plain,
            {n.removeprefix(f"{i}."): array for n, array in arrays.items() if n.startswith(f"{i}.")},
            over,
        )
        for i, plain in enumerate(list(values))
    )
