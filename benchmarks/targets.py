"""Targets with exact answers on which a sampler can be wrong although ESS and virial identity look fine.

Each is trained at default options. A result has to be right within four standard errors or come with a
warning; where Z is infinite the theory has to be refused. The exact answers have a closed form or come from a
one-dimensional quadrature or a transfer matrix, none of which shares code with the package. A directory of
cases with a file ``targets.py`` that has a list TARGETS can add more (``--cases DIR``).
"""

from __future__ import annotations

import importlib.util
import math
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import sympy as sp
from common import Row, Task
from scipy.integrate import quad
from scipy.special import gammaln

import sesamo_dsl as sd
from sesamo_dsl.errors import SesamoError
from sesamo_dsl.estimates.estimate import Estimate

CASES = Path(__file__).resolve().parents[2] / "shared" / "cases"
SECONDS = {"targets": 30.0}
SAMPLES = 10_000
SIGMAS = 4.0
_SILENT = 1  # number of results that may be wrong without a warning

Kind = Literal["right", "refuse"]
Verdict = Literal["right", "warned", "silent", "refused"]


@dataclass(frozen=True)
class Target:
    """A theory and its exact answers.

    Attributes
    ----------
    name
        A name that is unique among all targets.
    theory
        A function that returns the declaration.
    kind
        "right" if Z is finite, "refuse" if it is not.
    log_z, means
        Exact values of log Z and of declared observables.
    parameters
        Couplings that differ from the defaults.
    why
        The difficulty of the target in words.
    """

    name: str
    theory: Callable[[], sd.Theory]
    kind: str
    log_z: float | None = None
    means: Mapping[str, float] = field(default_factory=dict)
    parameters: Mapping[str, float] = field(default_factory=dict)
    why: str = ""


@dataclass(frozen=True)
class Result:
    """The result of a target.

    Attributes
    ----------
    pull
        The largest deviation of log Z and the means, in standard errors; None if the theory was refused.
    warnings
        Names of the checks that warned; for a refused theory the direction of infinite Z.
    """

    target: Target
    verdict: Verdict
    log_z: Estimate | None
    pull: float | None
    warnings: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the verdict is right, or warned, or for an infinite Z refused or warned."""
        allowed = ("refused", "warned") if self.target.kind == "refuse" else ("right", "warned")
        return self.verdict in allowed


def judge(target: Target, backend: str, **options: Any) -> Result:
    """Train a target at default options, changed by ``options``, and compare with the exact values."""
    try:
        with tempfile.TemporaryDirectory() as directory:
            run = sd.compile(target.theory(), backend).train(
                directory=Path(directory) / "run", progress=False, parameters=target.parameters, **options
            )
            samples = run.sample(SAMPLES)
            warnings = tuple(warning.partition(":")[0] for warning in samples.warnings)
    except SesamoError as error:
        return Result(target, "refused", None, None, (f"{type(error).__name__}: {error.found}",))
    log_z, pull = samples.log_z, math.nan
    if target.log_z is not None:
        known = {"": target.log_z, **target.means}
        estimates = {"": log_z, **{name: samples.expect(name) for name in target.means}}
        pull = max(pull_of(estimates[name], exact) for name, exact in known.items())
    right = target.kind == "right" and pull <= SIGMAS
    verdict: Verdict = "warned" if warnings else "right" if right else "silent"
    return Result(target, verdict, log_z, pull, warnings)


def pull_of(estimate: Estimate, exact: float) -> float:
    """Deviation in standard errors, less the rounding of the exact value's last digit; infinite if NaN."""
    digits = len(f"{exact!r}".partition(".")[2])
    off = max(abs(estimate.value - exact) - 0.5 * 10.0**-digits, 0.0)
    pull = off / estimate.error if estimate.error > 0 else math.inf if off > 1e-9 * abs(exact) else 0.0
    return pull if np.isfinite(estimate.value) else math.inf


def all_targets(cases: Path | None = None) -> list[Target]:
    """The targets of this file and of a directory of cases, if given."""
    path = (CASES if cases is None else cases) / "targets.py"
    if not path.is_file():
        if cases is not None:
            raise SystemExit(f"{cases} has no targets.py")
        return list(TARGETS)
    spec = importlib.util.spec_from_file_location("cases_targets", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["cases_targets"] = module  # dataclasses look up their module by name
    spec.loader.exec_module(module)
    return [*module.TARGETS, *TARGETS]


def task(cases: Path | None = None, only: Sequence[str] = ()) -> Task:
    """The benchmark with a row for every target, and a row with the number of silent errors."""

    def targets(backend: str, seconds: float) -> Iterator[Row]:
        silent = refusals = 0
        for target in all_targets(cases):
            if only and target.name not in only:
                continue
            result = judge(target, backend, seconds=seconds)
            silent += target.kind == "right" and not result.passed
            refusals += target.kind == "refuse" and not result.passed
            exact = "" if target.log_z is None else f", exact {target.log_z:.6g}"
            pull = "" if result.pull is None else f", {result.pull:.1f}σ"
            told = f" ({', '.join(result.warnings)})" if result.warnings else ""
            figure = f"{target.name} [{target.kind}]{exact}{pull}: {result.verdict}{told}"
            value = result.log_z or Estimate(math.nan, math.nan)
            yield Row(figure, *value, bar="right, warned or refused", passed=result.passed)
        yield Row("wrong without a warning", silent, bar=f"≤ {_SILENT}", passed=silent <= _SILENT)
        yield Row("infinite Z with a bare number", refusals, bar="0", passed=refusals == 0)

    return targets


# exact answers ----------------------------------------------------------------------------------------------


def chain_log_z(
    coupling: float, potential: Callable[[np.ndarray], np.ndarray], sites: int, reach: float = 4.0
) -> float:
    """log Z of a periodic chain, Σ c (φ_x − φ_(x+1))² + V(φ_x), by the trace of a transfer matrix."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    phi, weights = reach * nodes, reach * weights
    half = np.exp(-potential(phi) / 2) * np.sqrt(weights)
    matrix = half[:, None] * np.exp(-coupling * (phi[:, None] - phi[None, :]) ** 2) * half[None, :]
    values = np.linalg.eigvalsh(matrix)
    return float(np.log(values[-1]) * sites + np.log(((values / values[-1]) ** sites).sum()))


def triangle_log_z(
    potential: Callable[[np.ndarray], np.ndarray], pair: Callable[[np.ndarray], np.ndarray], reach: float
) -> float:
    """log ∫ exp(−Σ V(x_i) − Σ_(i<j) U(x_i − x_j)) over three particles on a line: the trace of a cube."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    x, weights = reach * nodes, reach * weights
    half = np.exp(-potential(x) / 2) * np.sqrt(weights)
    matrix = half[:, None] * np.exp(-pair(x[:, None] - x[None, :])) * half[None, :]
    return float(np.log(np.trace(matrix @ matrix @ matrix)))


def polar_log_z(action: Callable[[np.ndarray, np.ndarray], np.ndarray], reach: float) -> float:
    """log ∫ exp(−S(r, θ)) r dr dθ: Gauss in the radius, equidistant in the angle."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    r, weights = reach * (1 + nodes) / 2, reach * weights / 2
    angle = 2 * np.pi * np.arange(480) / 480
    values = np.exp(-action(r[:, None], angle[None, :]))
    return float(np.log((weights * r) @ values.sum(axis=1) * 2 * np.pi / 480))


def student_log_z(dimension: int, freedom: float) -> float:
    """log ∫ (1 + r²/ν)^(−(ν + n)/2) d^n x."""
    n, nu = dimension, freedom
    return n / 2 * math.log(nu * math.pi) + math.lgamma(nu / 2) - math.lgamma((nu + n) / 2)


def radial_log_z(
    action: Callable[[float], float], dimension: int, reach: float, points: list[float]
) -> float:
    """log ∫ exp(−S(|x|)) d^n x in n = ``dimension`` dimensions."""
    area = math.log(2) + dimension / 2 * math.log(math.pi) - float(gammaln(dimension / 2))
    integral = quad(
        lambda r: r ** (dimension - 1) * math.exp(-action(r)), 0, reach, points=points, limit=500, epsabs=0
    )[0]
    return area + math.log(integral)


def line_log_z(action: Callable[[float], float], points: list[float], reach: float) -> float:
    """log ∫ exp(−S(x)) dx over one variable."""
    return math.log(
        quad(lambda x: math.exp(-action(x)), -reach, reach, points=points, limit=500, epsabs=0)[0]
    )


# declarations -----------------------------------------------------------------------------------------------

_GAUSS = 0.5 * math.log(2 * math.pi)


def _vector(
    name: str, dimension: int, action: Callable[[sd.VectorField], sp.Expr], mirror: bool = False
) -> Callable[[], sd.Theory]:
    def theory() -> sd.Theory:
        v = sd.VectorField("v", sd.Lattice(1), dimension)
        return sd.Theory(name, fields=[v], action=action(v), symmetries=[sd.Z2(v)] if mirror else [])

    return theory


def _chain(name: str, sites: int, coupling: sp.Expr, potential: Callable[[Any], Any], mirror: bool) -> Any:
    def theory() -> sd.Theory:
        lattice = sd.Lattice(sites)
        phi = sd.ScalarField("phi", lattice)
        density = coupling * (phi - phi.shift(0)) ** 2 + potential(phi)
        symmetries = [sd.Z2(phi)] if mirror else []
        return sd.Theory(name, fields=[phi], action=lattice.sum(density), symmetries=symmetries)

    return theory


def _bumps(centres: Sequence[Sequence[int]], widths: Sequence[sp.Expr], masses: Sequence[sp.Expr]) -> Any:
    """−log of a sum of Gaussians with given masses, up to (2π)^(n/2)."""

    def action(v: sd.VectorField) -> sp.Expr:
        terms = [
            mass * width ** -len(v) * sp.exp(-sum((v[i] - c[i]) ** 2 for i in range(len(v))) / (2 * width**2))
            for c, width, mass in zip(centres, widths, masses, strict=True)
        ]
        return -sp.log(sp.Add(*terms))

    return action


def _corners(v: sd.VectorField) -> sp.Expr:
    return -sp.Add(
        *(sp.log(sp.exp(-((v[i] - 4) ** 2) / 2) + sp.exp(-((v[i] + 4) ** 2) / 2)) for i in range(3))
    )


def _shells(v: sd.VectorField) -> sp.Expr:
    r = sp.sqrt(v.squared)
    return -sp.log(sp.exp(-v.squared / 2) + sp.exp(-((r - 6) ** 2) / 2) / 100)


def _tilted(x: Any) -> Any:
    return 3 * (x**2 - 1) ** 2 + (x + x**3) / 8


def _deep(x: Any) -> Any:
    return 4 * (x**2 - 1) ** 2


def _path(x: Any) -> Any:
    """Of a path in steps of 1/5: an instanton costs several units of action, and one well is deeper."""
    return ((x**2 - 2) ** 2 / 2 + x / 25) / 5


def _sixth(x: Any) -> Any:
    """Three wells, of which the one in the middle is higher and wider."""
    return 4 * x**2 * (x**2 - 1) ** 2 + (1 - x**2) / 12


def _pot(x: Any) -> Any:
    return (x**2 - 2) ** 2


def _repulsion(d: Any) -> Any:
    return 2 / (d**2 + 1 / 4) if isinstance(d, np.ndarray) else 2 / (d**2 + sp.Rational(1, 4))


def _trimer(v: sd.VectorField) -> sp.Expr:
    pairs = ((0, 1), (1, 2), (0, 2))
    return sp.Add(*(_pot(v[i]) for i in range(3)), *(_repulsion(v[i] - v[j]) for i, j in pairs))


def _trimer_theory() -> sd.Theory:
    v = sd.VectorField("v", sd.Lattice(1), 3)
    swaps = [sd.Symmetry(f"swap{i}", [{v[i]: v[i + 1], v[i + 1]: v[i]}]) for i in (0, 1)]
    return sd.Theory("trimer", fields=[v], action=_trimer(v), symmetries=[sd.Z2(v), *swaps])


def _clock_theory() -> sd.Theory:
    """Z₃ with three metastable states between the three that are lowest."""
    point = sd.Lattice(1)
    x, y = sd.ScalarField("x", point), sd.ScalarField("y", point)
    cube = x**3 - 3 * x * y**2
    square = x**2 + y**2
    action = 6 * (square - 1) ** 2 + 5 * (square**3 - 2 * cube**2 + square**3) - cube / 3
    return sd.Theory("clock", fields=[x, y], action=action, symmetries=[sd.Cyclic(3, x, y)])


_ONE, _HALF, _TENTH = sp.S.One, sp.Rational(1, 2), sp.Rational(1, 10)

TARGETS = [
    Target(
        "three_widths",
        _vector(
            "three_widths",
            3,
            _bumps(
                [(0, 0, 0), (6, 0, 0), (0, -7, 2)], [_ONE, sp.Rational(1, 4), _HALF], [_ONE, _ONE, 2 * _ONE]
            ),
        ),
        "right",
        math.log(4) + 3 * _GAUSS,
        why="wells of three widths, the heaviest one is not the widest",
    ),
    Target(
        "small_far_well",
        _vector("small_far_well", 3, _bumps([(0, 0, 0), (30, 0, 0)], [_ONE, _ONE], [_ONE, _TENTH**2])),
        "right",
        math.log(1.01) + 3 * _GAUSS,
        why="a hundredth of the mass, thirty standard deviations away",
    ),
    Target(
        "corners",
        _vector("corners", 3, _corners, mirror=True),
        "right",
        3 * (math.log(2) + _GAUSS),
        why="eight corners of a cube, of which Z₂ relates only pairs",
    ),
    Target(
        "stiff_gaussian",
        _vector("stiff_gaussian", 4, lambda v: sp.Add(*(10 ** (2 * i) * v[i] ** 2 / 2 for i in range(4)))),
        "right",
        4 * _GAUSS - math.log(10) * (0 + 1 + 2 + 3),
        why="scales of 1 to 1000",
    ),
    Target(
        "laplace_3",
        _vector("laplace_3", 3, lambda v: sp.Add(*(sp.Abs(v[i]) for i in range(3))), mirror=True),
        "right",
        3 * math.log(2),
        why="a kink at the minimum, along every axis",
    ),
    Target(
        "quartic_3",
        _vector("quartic_3", 3, lambda v: sp.Add(*(v[i] ** 4 for i in range(3))), mirror=True),
        "right",
        3 * (math.log(2) + math.lgamma(1.25)),
        why="no Hessian at the minimum",
    ),
    Target(
        "student_3",
        _vector("student_3", 3, lambda v: sp.Rational(5, 2) * sp.log(1 + v.squared / 2)),
        "right",
        math.lgamma(1.0) + 1.5 * math.log(2 * math.pi) - math.lgamma(2.5),
        why="heavy tails in three dimensions, two degrees of freedom",
    ),
    Target(
        "banana",
        _vector("banana", 3, lambda v: v[0] ** 2 / 2 + 5 * (v[1] - v[0] ** 2) ** 2 + v[2] ** 2 / 2),
        "right",
        3 * _GAUSS - 0.5 * math.log(10),
        why="a curved valley",
    ),
    Target(
        "funnel",
        _vector(
            "funnel",
            4,
            lambda v: v[0] ** 2 / 8 + 3 * v[0] / 2 + (v[1] ** 2 + v[2] ** 2 + v[3] ** 2) * sp.exp(-v[0]) / 2,
        ),
        "right",
        4 * _GAUSS + math.log(2),
        why="widths that vary by orders of magnitude",
    ),
    Target(
        "shells",
        _vector("shells", 3, _shells, mirror=True),
        "right",
        radial_log_z(
            lambda r: -math.log(math.exp(-(r**2) / 2) + math.exp(-((r - 6) ** 2) / 2) / 100), 3, 20, [3, 6]
        ),
        why="a shell around a well, in one domain",
    ),
    Target(
        "tilted_chain_8",
        _chain("tilted_chain_8", 8, 2 * _ONE, _tilted, mirror=False),
        "right",
        chain_log_z(2.0, _tilted, 8),
        why="two wells of different depth on a chain, without a symmetry",
    ),
    Target(
        "kinks",
        _chain("kinks", 12, sp.Rational(3, 5), _deep, mirror=True),
        "right",
        chain_log_z(0.6, _deep, 12),
        why="a large part of the mass has kinks between two wells",
    ),
    Target(
        "loose_sites",
        _chain("loose_sites", 4, sp.S.Zero, _deep, mirror=True),
        "right",
        4 * line_log_z(lambda x: 4 * (x**2 - 1) ** 2, [-1, 0, 1], 6),
        why="every site chooses its well, Z₂ relates all of them together",
    ),
    Target(
        "unequal_2",
        _vector(
            "unequal_2",
            2,
            _bumps(
                [(0, 0), (7, 3), (-5, 6)], [_ONE, _HALF / 3, 2 * _ONE], [_ONE, sp.Rational(1, 5), 3 * _ONE]
            ),
        ),
        "right",
        math.log(4.2) + 2 * _GAUSS,
        why="a narrow well with a twentieth of the mass, a wide one with most of it",
    ),
    Target(
        "unequal_5",
        _vector(
            "unequal_5",
            5,
            _bumps(
                [(0, 0, 0, 0, 0), (3, -3, 2, 0, 1), (-4, 0, 0, 5, 0)],
                [_HALF, _ONE, _HALF / 2],
                [_ONE, _HALF, _HALF / 2],
            ),
        ),
        "right",
        math.log(1.75) + 5 * _GAUSS,
        why="three widths in five dimensions",
    ),
    Target(
        "unequal_6",
        _vector("unequal_6", 6, _bumps([(0,) * 6, (4,) * 6], [_ONE, _HALF], [_ONE, _TENTH / 2])),
        "right",
        math.log(1.05) + 6 * _GAUSS,
        why="a twentieth of the mass in a part of the volume that is 10⁻³ of the other",
    ),
    Target(
        "trimer",
        _trimer_theory,
        "right",
        triangle_log_z(_pot, _repulsion, 4.0),
        why="three particles in two wells: two and one, or three and none",
    ),
    Target(
        "path_32",
        _chain("path_32", 32, sp.Rational(5, 2), _path, mirror=True),
        "right",
        chain_log_z(2.5, _path, 32),
        why="instantons, of a symmetry that is broken",
    ),
    Target(
        "sixth_power",
        _chain("sixth_power", 6, 2 * _ONE, _sixth, mirror=True),
        "right",
        chain_log_z(2.0, _sixth, 6),
        why="φ⁶ with a metastable centre",
    ),
    Target(
        "clock",
        _clock_theory,
        "right",
        polar_log_z(
            lambda r, a: (
                6 * (r**2 - 1) ** 2 + 5 * r**6 * (2 - 2 * np.cos(3 * a) ** 2) - r**3 * np.cos(3 * a) / 3
            ),
            3.0,
        ),
        why="Z₃ with metastable states in between",
    ),
    Target(
        "student_5",
        _vector("student_5", 5, lambda v: 4 * sp.log(1 + v.squared / 3), mirror=True),
        "right",
        student_log_z(5, 3.0),
        why="heavy tails in five dimensions",
    ),
    Target(
        "student_pair",
        _vector("student_pair", 2, lambda v: sp.Add(*(3 * sp.log(1 + v[i] ** 2 / 2) / 2 for i in range(2)))),
        "right",
        2 * student_log_z(1, 2.0),
        why="heavy tails along each axis",
    ),
    Target(
        "peak_on_a_tail",
        _vector(
            "peak_on_a_tail",
            1,
            lambda v: -sp.log(1 / (1 + v[0] ** 2) + 2 * sp.exp(-2 * (v[0] - 15) ** 2)),
        ),
        "right",
        math.log(math.pi + 2 * math.sqrt(math.pi / 2)),
        why="a second well on a heavy tail",
    ),
    Target(
        "cone",
        _vector("cone", 4, lambda v: sp.sqrt(v.squared)),
        "right",
        math.log(2 * math.pi**2 * 6),
        why="a kink at the minimum in all directions",
    ),
    Target(
        "cross",
        _vector("cross", 3, lambda v: (v[0] * v[1]) ** 2 + v[2] ** 2),
        "refuse",
        why="x²y²: flat on axes",
    ),
    Target(
        "slow_logarithm",
        _vector("slow_logarithm", 3, lambda v: sp.log(1 + v.squared)),
        "refuse",
        why="tails ∝ r^−2 in three dimensions",
    ),
    Target(
        "falling_saddle",
        _vector("falling_saddle", 3, lambda v: v.squared / 2 + v[0] ** 2 * v[1] / 10 + v[2] ** 4),
        "refuse",
        why="unbounded along a diagonal only",
    ),
]
