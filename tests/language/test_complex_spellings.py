"""Real expressions in complex fields: φ φ*, 2 Re, |φ|, arg, are real functions of two real components."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl.errors import LoweringError, SesamoError, TheoryError
from sesamo_dsl.ir.interpreter import run

LATTICE = sd.Lattice(4)
Z, W = sd.ComplexField("z", LATTICE), sd.ComplexField("w", LATTICE)
UP, DOWN = Z.shift(0), Z.shift(0, -1)

SPELLED = {
    "product": (Z.value * Z.conjugate, lambda z, w: abs(z) ** 2),
    "hopping": (
        Z.conjugate * UP.value + Z.value * UP.conjugate,
        lambda z, w: 2 * (z.conj() * np.roll(z, -1, 1)).real,
    ),
    "hopping, real only as a sum": (
        Z.conjugate * (UP.value + DOWN.value),
        lambda z, w: (z.conj() * (np.roll(z, -1, 1) + np.roll(z, 1, 1))).real,
    ),
    "real part of a power": (sp.re(Z.value**4), lambda z, w: (z**4).real),
    "imaginary part": (sp.im(Z.value * W.conjugate), lambda z, w: (z * w.conj()).imag),
    "quartic": ((Z.value * Z.conjugate) ** 2, lambda z, w: abs(z) ** 4),
    "exponential": (sp.exp(-Z.value * Z.conjugate), lambda z, w: np.exp(-(abs(z) ** 2))),
    "modulus of a difference": (sp.Abs(Z.value - W.value) ** 2, lambda z, w: abs(z - w) ** 2),
    "modulus of a power": (sp.Abs(Z.value**3), lambda z, w: abs(z) ** 3),
    "modulus of a polynomial": (sp.Abs(Z.value**2 - W.value), lambda z, w: abs(z**2 - w)),
    "cosine of the argument": (
        sp.cos(sp.arg(Z.value)) * W.abs2 / 2,
        lambda z, w: z.real / abs(z) * abs(w) ** 2 / 2,
    ),
    "root of both signs": (
        sp.re(sp.sqrt(Z.value * Z.conjugate - 1)),
        lambda z, w: np.sqrt(abs(z) ** 2 - 1 + 0j).real,
    ),
    "conjugate": (sp.conjugate(Z.value) * Z.value, lambda z, w: abs(z) ** 2),
    "argument": (sp.arg(Z.value) ** 2, lambda z, w: np.angle(z) ** 2),
    "phase": (sp.re(sp.exp(sp.I * Z.re)), lambda z, w: np.cos(z.real)),
    "current": (
        sp.I * (Z.conjugate * W.value - Z.value * W.conjugate),
        lambda z, w: -2 * (z.conj() * w).imag,
    ),
}


def theory(density: sp.Expr) -> sd.Theory:
    return sd.Theory("spelled", fields=[Z, W], action=LATTICE.sum(density + 3 * Z.abs2**2 + W.abs2))


@pytest.mark.parametrize("name", SPELLED)
def test_values(name: str) -> None:
    density, formula = SPELLED[name]
    compiled = sd.compile(theory(density), "torch", precision="float64")
    x = np.random.default_rng(0).normal(size=(5, 4, 4))
    z, w = x[:, 0] + 1j * x[:, 1], x[:, 2] + 1j * x[:, 3]
    expected = (formula(z, w) + 3 * abs(z) ** 4 + abs(w) ** 2).sum(axis=1)
    np.testing.assert_allclose(compiled.action(x), expected, rtol=1e-12)
    np.testing.assert_allclose(run(compiled.program, "action", {"x": x})[0], expected, rtol=1e-12)


def test_symmetries_are_proved_as_in_other_spellings() -> None:
    action = LATTICE.sum(Z.value * Z.conjugate - Z.conjugate * (UP.value + DOWN.value) / 4)
    declared = sd.Theory("u1", fields=[Z], action=action, symmetries=[sd.U1(Z)])
    assert sd.analyse(declared).status == "exact"


@pytest.mark.parametrize("density", [Z.value, Z.value * UP.conjugate, sp.I * Z.abs2, Z.value * W.conjugate])
def test_complex_actions_show_their_imaginary_part(density: sp.Expr) -> None:
    with pytest.raises(TheoryError, match=r"imaginary part(.|\n)*remedy:(.|\n)*abs2"):
        theory(density)


UNEVALUATED = {
    "Derivative": sp.Derivative(Z.re**4, Z.re),
    "Integral": sp.Integral(sp.Symbol("s"), (sp.Symbol("s"), 0, Z.re**2)),
    "Sum": sp.Sum(Z.re ** sp.Symbol("n"), (sp.Symbol("n"), 1, 2)),
    "Product": sp.Product(Z.re ** sp.Symbol("n"), (sp.Symbol("n"), 1, 2)),
}


@pytest.mark.parametrize("name", UNEVALUATED)
def test_what_is_only_written_down(name: str) -> None:
    with pytest.raises(LoweringError, match=rf"{name}(.|\n)*doit"):
        theory(UNEVALUATED[name])


@pytest.mark.parametrize(
    ("density", "word"),
    [
        (sp.Integer(10) ** 400 * Z.re**2, "range of float64"),
        (sp.zeta(2 + Z.re**2), "zeta"),
        (sp.LambertW(1 + Z.re**2), "LambertW"),
        (sp.besselj(0, Z.re), "besselj"),
        (sp.besseli(3, Z.re) ** 2, "besseli of order 3"),
        (sp.DiracDelta(Z.re), "DiracDelta"),
        (sp.Function("V")(Z.re), "V"),
        (sp.expint(1, 1 + Z.re**2), "expint"),
        (sp.gamma(Z.re) ** 2, "gamma"),
    ],
)
def test_functions_without_operation_are_named(density: sp.Expr, word: str) -> None:
    with pytest.raises(SesamoError, match=rf"{word}(.|\n)*remedy:"):
        sd.compile(theory(density), "torch")
