"""A scan of one run that was trained over a range of couplings: samples at many points, and no training.

Points have samples of their own, from seeds of their own, so that their errors are independent although the
weights of the flow are those of one training: what weights a sampler has is no error of its estimates.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from .. import checks
from ..errors import ParameterError
from ..estimates.making import versions_with
from ..estimates.weighted import observable_names
from ..plan.over import point_of
from ..runs import Run
from ..values.couplings import Coupling, couplings_text
from .grid import Grid, require_normalizable_points
from .measuring import Order
from .result import Scan
from .visiting import checked_count, measured_points


def scan_over_range(
    run: Run,
    over: Mapping[Any, Sequence[float] | np.ndarray] | Sequence[Mapping[Any, float]],
    *,
    n: int,
    parameters: Mapping[Any, float] | None,
    order_parameter: Any,
    extrapolate: bool,
    seed: int,
    progress: bool,
) -> Scan:
    """Measure curves with errors at points of the range of a run; see :meth:`sesamo_dsl.Run.scan`."""
    n = checked_count(n, run.compiled.program)
    seed = checks.seed(seed, "seed of samples")
    extrapolate, progress = (
        checks.flag(value, f"option {name}")
        for name, value in (("extrapolate", extrapolate), ("progress", progress))
    )
    box, program = run._range, run.compiled.program
    grid = Grid.named_by(partial(_name, box.names, str(box)), over)
    fixed = _fixed(parameters, grid)
    points: list[dict[str, Coupling]] = []
    outside: list[str] = []
    for i in range(len(grid)):
        values, inside = point_of(box, run.parameters, {**fixed, **grid.at(i)}, {}, extrapolate)
        points.append(values)
        outside += [] if inside else [couplings_text(box.at(box.point(values)))]
    names, shape, angles = observable_names(program), program.configuration_shape, bool(program.angles)
    order = Order.among(names, shape, run.fields, order_parameter, angles=angles)
    require_normalizable_points(program, points)
    if outside:
        text = f"{len(outside)} points of a scan are outside of the trained range, {box}: {outside[0]}"
        warnings.warn(text + (", …" if outside[1:] else ""), RuntimeWarning, stacklevel=3)

    def told(_: int, here: Run) -> dict[str, Any]:
        return {
            "steps": here.steps_done,
            "seconds": here.course.seconds,
            "start": f"a training over {box}",
            "directory": "" if run.directory is None else str(run.directory),
        }

    def say(text: str) -> None:
        if progress:
            print(text, file=sys.stderr, flush=True)

    visits = [(i, values, partial(run._at, values)) for i, values in enumerate(points)]
    measurements, notes = measured_points(visits, grid.names, order, n, seed, told, say)
    return Scan(
        program.theory,
        grid.names,
        {name: value for name, value in points[0].items() if name not in grid.names},
        measurements,
        grid.axes,
        order.name,
        (),
        (*grid.notes, *order.notes, *notes),
        versions_with(run.compiled.backend),
        (run,),
    )


def _name(varying: tuple[str, ...], box: str, key: Any) -> str:
    """The name of a coupling that varies in the range of a run."""
    name = checks.spelling(str(getattr(key, "name", key)))
    if name in varying:
        return name
    raise ParameterError(
        f"scan of a run over {box}, over {name}",
        expected=f"couplings that vary: {', '.join(varying)}",
        found=checks.shown(key),
        remedy="leave it out, or train over a range of it",
    )


def _fixed(parameters: Mapping[Any, float] | None, grid: Grid) -> dict[Any, float]:
    """Values of couplings of the range that the scan does not change."""
    if not isinstance(parameters, Mapping | None):
        raise ParameterError(
            "parameters of a scan",
            expected="a dictionary of couplings",
            found=checks.shown(parameters),
            remedy="write for instance parameters={'h': 0.02}",
        )
    for key, value in (parameters or {}).items():
        if checks.spelling(str(getattr(key, "name", key))) in grid.names:
            raise ParameterError(
                f"coupling {key} of a scan",
                expected="a value, or a range",
                found=f"{value!r}, and a range as well",
                remedy="leave one of them out",
            )
    return dict(parameters or {})
