"""Samples at the points of a scan, one point after the other, and what holds between neighbours.

Only one point's samples are in memory at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import checks
from ..ir.program import Program
from ..machine.memory import check_memory
from ..runs import Run
from ..values.couplings import Coupling, Couplings, couplings_text
from .measuring import Order, measured
from .point import ScanPoint, Side

_FEWEST = 100  # samples of a point
Visit = tuple[int, Mapping[str, Coupling], Callable[[], Run]]
"""Number of a point, all couplings there, and a function that gives the run there."""


def checked_count(n: Any, program: Program) -> int:
    """The number of samples at each point; OptionError if it is too small, or too large for the memory."""
    n = checks.integer(n, "option n of a scan", least=_FEWEST)
    numbers = 2 * n * math.prod(program.configuration_shape)  # the chunks and their concatenation
    check_memory(numbers, f"option n = {n} of a scan", "draw fewer samples at each point")
    return n


def measured_points(
    visits: Sequence[Visit],
    names: tuple[str, ...],
    order: Order,
    n: int,
    seed: int,
    told: Callable[[int, Run], Mapping[str, Any]],
    say: Callable[[str], None],
) -> tuple[tuple[ScanPoint, ...], tuple[str, ...]]:
    """The figures of all points, and the notes of their samples, each once.

    Parameters
    ----------
    visits
        The points in the order of the way.
    names
        The couplings that change.
    n, seed
        Number of samples at each point, and the seed of the scan.
    told
        What else is known of a point, see :func:`.measured`.
    say
        Tells the user what is being done.
    """
    points, notes = list[ScanPoint](), dict[str, None]()
    for at, (i, values, make) in enumerate(visits):
        say(f"samples at {couplings_text({name: values[name] for name in names})}")
        neighbours: dict[Side, Couplings] = {}
        if at > 0:
            neighbours["previous"] = visits[at - 1][1]
        if at + 1 < len(visits):
            neighbours["next"] = visits[at + 1][1]
        # one seed for all points would give them the same noise: their errors would not be independent
        own = int(np.random.SeedSequence([seed, i]).generate_state(1, np.uint64)[0] >> 1)
        run = make()
        points.append(measured(run.sample(n, seed=own), names, order, neighbours, **told(i, run)))
        notes |= dict.fromkeys(run.notes)
    return tuple(points), tuple(notes)
