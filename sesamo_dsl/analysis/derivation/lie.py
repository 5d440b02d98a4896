"""The lines on a Lie group: its slice, the rotation R(n), and the law p(n|y) on the orbit."""

from __future__ import annotations

from collections.abc import Iterator

import sympy as sp

from ...laws.circle import BINS
from ...laws.orbits import NODES
from ..findings import Findings
from ..slices import Slice, Stage, rotation_coefficients
from .lines import Line, equation, map_line, say, section, vector


def slice_lines(analysis: Findings, i: int) -> Iterator[Line]:
    """All lines on the ``i``-th Lie group."""
    report = analysis.lie_reports[i]
    s, several = report.slice, len(analysis.lie_reports) > 1
    n = s.dimension
    transverse = range(2, n + 1)
    own = ", with its own $M$, $r$, $n$, $Δ$, $a$ and $R$" if several else ""
    yield section(f"The slice of {{}}{own}", report.symmetry.name)
    yield say("Collective coordinate:")
    yield equation(f"M = V^(−1/2) Σ_x {vector('{}', n)}", *report.symmetry.collective)
    yield say("The slice and its gauge conditions:")
    yield equation(f"M_1(y) = r > 0, {', '.join(f'χ_{a} = M_{a}(y) = 0' for a in transverse)}")
    yield say("Generators with $K_b e_1 = e_b$:")
    for b, matrix in zip(transverse, s.basis, strict=True):
        yield map_line(f"K_{b}", matrix, analysis.theory.components, infinitesimal=True)
    yield from _rotation_lines(s)
    yield say("Faddeev–Popov determinant, the Jacobian of the modulation:")
    yield equation("Δ = |det_(ab) ∇χ_a·(K_b y)| = {}, d^n x = Δ dy dn, log |J| = log Δ", s.determinant)
    area = sp.simplify(2 * sp.pi ** sp.Rational(n, 2) / sp.gamma(sp.Rational(n, 2)))
    yield say("Orbit, with its surface measure $dn$:")
    yield equation(f"G/H = S^{n - 1}, |S^{n - 1}| = {{}} = {{}}", area, area.evalf(6))
    yield say(
        f"Completion: the flow keeps the shape of the lattice; what it gives for "
        f"${', '.join(f'M_{a}' for a in transverse)}$ are auxiliary coordinates "
        f"$a{f'_{i + 1}' if several else ''}$, which the target has as independent $N(0, 1)$."
    )
    yield from _law_lines(analysis, n)


def _rotation_lines(s: Slice) -> Iterator[Line]:
    """R(n), one exponential or a product of several."""
    n = s.dimension
    if len(s.stages) == 1:
        yield say(f"Modulation by the least rotation with $R(n) e_1 = n$, $n ∈ S^{n - 1}$:")
        terms, values = _series(rotation(s.stages[0]))
        yield equation(f"x = R(n) y, R(n) = exp(α A) = {terms}", *values)
        yield equation(
            f"A = {' + '.join(f'm_{b} K_{b}' for b in range(2, n + 1))}, n = (cos α, m sin α), |m| = 1, "
            "0 ≤ α ≤ π"
        )
        return
    yield say(f"Modulation by the product of rotations with $R(n) e_1 = n$, $n ∈ S^{n - 1}$:")
    factors = range(1, len(s.stages) + 1)
    yield equation(f"x = R(n) y, R(n) = {' '.join(f'exp(α_{j} A_{j})' for j in factors)}")
    for j, stage in enumerate(s.stages, start=1):
        terms, values = _series(rotation(stage))
        yield equation(f"exp(α A_{j}) = {terms.replace('A', f'A_{j}')}", *values)
        limit = "π" if j == 1 else "π/2"
        yield equation(
            f"A_{j} = {' + '.join(f'm_{d + 1} K_{d + 1}' for d in stage.directions)}, |m| = 1, "
            f"0 ≤ α_{j} ≤ {limit}"
        )
    yield say("The last factor gives $n$ its components along its own $e_b$, the one before it what is left.")


def rotation(stage: Stage) -> list[sp.Expr]:
    """Coefficients a_j(α) of exp(αA) = Σ_j a_j A^j, reduced by A Π_k (A² + k²) = 0."""
    angle, coefficients = rotation_coefficients(stage)
    a = sp.Symbol("A")
    vanishing = a * sp.prod([a**2 + k**2 for k in stage.speeds])
    total = sp.Add(*(c.subs(angle, sp.Symbol("α", real=True)) * a**j for j, c in enumerate(coefficients)))
    reduced = sp.Poly(total, a).rem(sp.Poly(vanishing, a))
    return [sp.expand(c) for c in reversed(reduced.all_coeffs())]


def _series(coefficients: list[sp.Expr]) -> tuple[str, list[sp.Expr]]:
    """Template and values of Σ_j a_j A^j, with parentheses around the coefficients that are sums."""
    terms, values = [], []
    for j, a in enumerate(coefficients):
        if a != 0:
            power = ("", " A")[j] if j < 2 else f" A^({j})"
            terms.append(("({})" if isinstance(a, sp.Add) else "{}") + power)
            values.append(a)
    return " + ".join(terms), values


def _law_lines(analysis: Findings, n: int) -> Iterator[Line]:
    """The law of the direction on the sphere in n dimensions."""
    uniform = equation(f"p(n|y) = 1/|S^{n - 1}|")
    if analysis.orbit_law == "uniform":
        yield say("The law of $n$ is uniform, which is exact; its normaliser is the area of the orbit:")
        yield uniform
    elif analysis.orbit_law == "von_mises":
        yield from _von_mises_lines(analysis, n)
    elif analysis.orbit_law == "tabulated":
        finite = analysis.group.order > 1
        weight = "Σ_(u ∈ G) exp(−S₁(T_u R(θ) y))" if finite else "exp(−S₁(R(θ) y))"
        yield say(f"The law of $n = (cos θ, sin θ)$ is tabulated at {NODES} equidistant angles:")
        yield equation(f"p(θ_j|y) = f(θ_j)/W, f(θ) = {weight}, W = (2π/{NODES}) Σ_j f(θ_j)")
        yield say(
            "and linear in between. It is not the exact conditional, but its own value is the one in "
            "$log q$: the weights are exact."
        )
        yield from _spline_lines()
    else:
        yield say("No exact conditional law is known for this orbit: the law of $n$ is uniform,")
        yield uniform
        yield say("which is not the exact conditional; the weights correct for it.")


def _spline_lines() -> Iterator[Line]:
    """Lines on the trained law of an angle, which can replace the derived one."""
    yield say(
        "On request a trained law takes its place: $f$ a monotone rational-quadratic spline of the circle "
        f"with {BINS} bins, and $v$ uniform."
    )
    yield equation("θ = f(v) + θ_0, p(θ|y) = (dv/dθ)/(2π)")
    yield say(
        "“learned” has one spline; “conditional” has one for every $y$, from a network of lattice means. The "
        "gradient goes through $θ$, and $log q$ has the spline's own density: the weights are exact."
    )


def _von_mises_lines(analysis: Findings, n: int) -> Iterator[Line]:
    assert analysis.linear_source is not None
    size = sp.sqrt(analysis.theory.lattice.volume) * sp.sqrt(sp.Add(*(h**2 for h in analysis.linear_source)))
    name = "von Mises" if n == 2 else "von Mises–Fisher"
    yield say("$S₁ = √V j·M = √V r j·n$ is linear:")
    yield equation("j = {}", analysis.linear_source)
    yield say(f"The law of $n$ is that of {name}, the exact conditional; its normaliser is $W$:")
    yield equation("p(n|y) = exp(−√V r j·n)/W(κ_n), κ_n = √V r |j| = {}", sp.simplify(size) * sp.Symbol("r"))
    general = "W(κ_n) = (2π)^(N/2) I_(N/2−1)(κ_n)/κ_n^(N/2−1)"
    if n == 2:
        yield equation(f"{general} = 2π I_0(κ_n), N = 2")
        yield from _spline_lines()
    elif n == 3:
        kappa = sp.Symbol("κ_n", positive=True)
        yield equation(f"{general} = {{}}, N = 3", 4 * sp.pi * sp.sinh(kappa) / kappa)
    else:
        yield equation(f"{general}, N = {n}")
