"""The progress of a training and the metrics of its steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..plan.plan import Plan


@dataclass
class Course:
    """The progress of a training and the start of its learning-rate schedule.

    Attributes
    ----------
    steps, seconds
        Number of steps and seconds so far, including earlier parts of an interrupted training.
    first_step, first_second
        Start of the schedule of the learning rate: zero, unless the schedule was restarted.
    """

    steps: int = 0
    seconds: float = 0.0
    first_step: int = 0
    first_second: float = 0.0

    def progress(self, plan: Plan) -> float:
        """Fraction of the schedule that is done, 1 at the end; ``plan`` has totals since the beginning."""
        if plan.seconds is not None:
            return (self.seconds - self.first_second) / (plan.seconds - self.first_second)
        return (self.steps - self.first_step) / (plan.steps - self.first_step)


@dataclass(repr=False)
class History:
    """Metrics of every step, a list of numbers for each name."""

    columns: dict[str, list[float]] = field(default_factory=dict)

    def append(self, metrics: Mapping[str, float]) -> None:
        """Add the metrics of one step."""
        for name, value in metrics.items():
            self.columns.setdefault(name, []).append(float(value))

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def __repr__(self) -> str:
        last = ", ".join(f"{name}={values[-1]:.6g}" for name, values in self.columns.items() if values)
        return f"History({len(self)} steps{last and f', last {last}'})"

    def cut(self, length: int) -> None:
        """Keep the first ``length`` steps only."""
        for values in self.columns.values():
            del values[length:]

    def csv(self) -> str:
        """The history as CSV text, one line per step; numbers are written without loss of digits."""
        rows = [",".join(["step", *self.columns])]
        for i, values in enumerate(zip(*self.columns.values(), strict=True)):
            rows.append(",".join([str(i), *(f"{v!r}" for v in values)]))
        return "\n".join(rows) + "\n"
