"""How far a training has come, and the metrics of its steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..plan.plan import Plan


@dataclass
class Course:
    """How far a training has come, and where its schedule began.

    Attributes
    ----------
    steps, seconds
        Done so far, those of earlier parts of an interrupted training included.
    first_step, first_second
        Where the schedule of the learning rate began: at zero, unless it was started anew.
    """

    steps: int = 0
    seconds: float = 0.0
    first_step: int = 0
    first_second: float = 0.0

    def progress(self, plan: Plan) -> float:
        """Part of the schedule that is over, 1 at the end; ``plan`` count steps and seconds from zero."""
        if plan.seconds is not None:
            return (self.seconds - self.first_second) / (plan.seconds - self.first_second)
        return (self.steps - self.first_step) / (plan.steps - self.first_step)


@dataclass(repr=False)
class History:
    """Metrics of every step."""

    columns: dict[str, list[float]] = field(default_factory=dict)

    def append(self, metrics: Mapping[str, float]) -> None:
        """Add one step."""
        for name, value in metrics.items():
            self.columns.setdefault(name, []).append(float(value))

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def __repr__(self) -> str:
        last = ", ".join(f"{name}={values[-1]:.6g}" for name, values in self.columns.items() if values)
        return f"History({len(self)} steps{last and f', last {last}'})"

    def cut(self, length: int) -> None:
        """Forget what came later."""
        for values in self.columns.values():
            del values[length:]

    def csv(self) -> str:
        """Text with one line per step; numbers read back as they were."""
        rows = [",".join(["step", *self.columns])]
        for i, values in enumerate(zip(*self.columns.values(), strict=True)):
            rows.append(",".join([str(i), *(f"{v!r}" for v in values)]))
        return "\n".join(rows) + "\n"
