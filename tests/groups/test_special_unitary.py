"""SU(N) on complex N-plets: verified, and modulated with on S^(2N−1) by elements of the group itself."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl.analysis.evaluate import evaluate
from sesamo_dsl.backend import call
from sesamo_dsl.errors import GroupError, NotInvariantError
from sesamo_dsl.report.derivation import derivation
from sesamo_dsl.testing import PROPERTIES, Subject, check_property

POINT, PAIR = sd.Lattice(1), sd.Lattice(2)
G, H = sd.parameters("g h")


def complex_components(field: Any) -> list[sp.Expr]:
    return [re + sp.I * im for re, im in zip(field.components[::2], field.components[1::2], strict=True)]


def determinant(*multiplets: Any) -> sp.Expr:
    """Re det of N N-plets, which SU(N) leaves alone and U(N) turns by a phase."""
    return sp.re(sp.expand(sp.Matrix([complex_components(m) for m in multiplets]).det()))


def quartic(n: int, extra: Any = lambda v: 0, **options: Any) -> sd.Theory:
    v = sd.VectorField("v", PAIR, 2 * n)
    action = PAIR.sum(v.squared / 2 + v.squared**2 / 9 - v.dot(v.shift(0)) / 5 + extra(v))
    symmetry = sd.SU(n, v, **options)
    return sd.Theory("quartic", fields=[v], action=action, symmetries=[symmetry], defaults={})


def three_triplets() -> sd.Theory:
    """Invariant under SU(3) on all triplets at once, and under nothing larger that is connected."""
    triplets = [sd.VectorField(name, POINT, 6) for name in "uvw"]
    generators = [sd.SU(3, t).generators for t in triplets]
    together = [{c: e for part in parts for c, e in part.items()} for parts in zip(*generators, strict=True)]
    symmetry = sd.LieSymmetry("SU3", together, collective=triplets[0].components, exact=True)
    action = sum((k + 1) * t.squared for k, t in enumerate(triplets)) + determinant(*triplets) / 7
    return sd.Theory("determinant", fields=triplets, action=action, symmetries=[symmetry])


@cache
def subject(name: str) -> Subject:
    return Subject.of(THEORIES[name](), ("torch",))


THEORIES = {
    "SU(3)": lambda: quartic(3, exact=True),
    "SU(4)": lambda: quartic(4, exact=True),
    "SU(3), source": lambda: quartic(3, lambda v: v[4] / 3),
    "three triplets": three_triplets,
}


@pytest.mark.parametrize("name", THEORIES)
def test_rotations_are_special_unitary_and_turn_the_slice_anywhere(name: str) -> None:
    """R(n) as the emitted function applies it, against the definition of SU(N); axes of n included."""
    (report,) = subject(name).analysis.lie_reports
    n = report.slice.dimension
    rng = np.random.default_rng(0)
    directions = np.concatenate([np.eye(n), -np.eye(n), rng.normal(size=(8, n))])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    size = len(subject(name).theory.components)
    shape = (len(directions), *subject(name).theory.configuration_shape)
    columns = []
    for a in range(size):
        unit = np.zeros(shape)
        unit[:, a] = 1
        (image,) = subject(name).interpret("rotate", unit, n_0=directions)
        columns.append(image.reshape(len(directions), size, -1)[..., 0])
    rotations = np.stack(columns, axis=2)
    assert np.allclose(rotations[:, :n, 0], directions, atol=1e-12)
    for matrix in rotations:
        for start in range(0, size, n):  # every multiplet by the same element
            block = matrix[start : start + n, start : start + n]
            assert np.allclose(block, matrix[:n, :n], atol=1e-12)
        re, im = matrix[:n:2, :n:2], matrix[1:n:2, :n:2]
        assert np.allclose(matrix[1:n:2, 1:n:2], re, atol=1e-12)  # complex linear
        assert np.allclose(matrix[:n:2, 1:n:2], -im, atol=1e-12)
        unitary = re + 1j * im
        assert np.allclose(unitary @ unitary.conj().T, np.eye(n // 2), atol=1e-12)
        assert abs(np.linalg.det(unitary) - 1) < 1e-12


@pytest.mark.parametrize("name", THEORIES)
def test_laws_of_the_slice(name: str) -> None:
    """R(n) and its inverse, S₀∘R(n) = S₀, log|J| = log r^(2N−1) by autodiff; interpreter against torch."""
    names = ("slice_pair", "orbit_invariance", "slice_jacobian", "emitted_is_program")
    for law in PROPERTIES:
        if law.name in names and law.applies(subject(name)):
            result = check_property(law, subject(name), examples=3)
            assert result.holds, f"{law.name}: {result.worst} at {result.counterexample}"
    (report,) = subject(name).analysis.lie_reports
    n, r = report.slice.dimension, report.slice.radius
    assert sp.simplify(report.slice.determinant - r ** (n - 1)) == 0


def test_a_source_leaves_the_smaller_group() -> None:
    """S₁ = h Re φ_3 on S⁵: von Mises–Fisher, and SU(2) of dimension 3 survives."""
    analysis = subject("SU(3), source").analysis
    assert (analysis.status, analysis.orbit_law) == ("broken", "von_mises")
    assert len(analysis.lie_reports[0].surviving) == 3


def test_the_determinant_is_no_invariant_of_the_unitary_group() -> None:
    """The phase rotation of all triplets, which U(3) has and SU(3) has not, is refuted."""
    declared = three_triplets()
    generator: dict[Any, Any] = {}
    for t in declared.fields:
        for re, im in zip(t.components[::2], t.components[1::2], strict=True):
            generator |= {re: -im, im: re}
    claim = sd.LieSymmetry("U1", [generator], exact=True, collective=declared.fields[0].components[:2])
    with pytest.raises(NotInvariantError):
        sd.analyse(sd.Theory("u1", fields=declared.fields, action=declared.action, symmetries=[claim]))


def test_unitary_group_and_any_order_of_components() -> None:
    """U(3), whose circle is a stage of its own, with real parts listed before imaginary parts."""
    v = sd.VectorField("v", POINT, 6)
    real, imaginary = v.components[:3], v.components[3:]
    generators = []
    for a in range(3):
        generators.append({real[a]: -imaginary[a], imaginary[a]: real[a]})
        for b in range(a):
            generators.append(
                {real[a]: -real[b], real[b]: real[a]}
                | {
                    imaginary[a]: -imaginary[b],
                    imaginary[b]: imaginary[a],
                }
            )
    action = v.squared**2 + v.squared
    symmetry = sd.LieSymmetry("U3", generators, exact=True, collective=v.components)
    declared = sd.Theory("u3", fields=[v], action=action, symmetries=[symmetry])
    analysis = sd.analyse(declared)
    (report,) = analysis.lie_reports
    assert len(report.slice.stages) == 3
    own = Subject.of(declared, ("torch",))
    for law in PROPERTIES:
        if law.name in ("slice_pair", "orbit_invariance", "slice_jacobian"):
            assert check_property(law, own, examples=3).holds


def test_the_symplectic_group_of_two_quaternions() -> None:
    """Sp(2) on R⁸, transitive on S⁷ with stabiliser Sp(1): two stages, by the same derivation."""
    v = sd.VectorField("v", POINT, 8)
    i = sp.Matrix([[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, -1], [0, 0, 1, 0]])
    j = sp.Matrix([[0, 0, -1, 0], [0, 0, 0, 1], [1, 0, 0, 0], [0, -1, 0, 0]])
    units, zero = (i, j, i * j), sp.zeros(4)
    blocks = [sp.Matrix(sp.BlockMatrix([[u, zero], [zero, zero]])) for u in units]
    blocks += [sp.Matrix(sp.BlockMatrix([[zero, u], [u, zero]])) for u in units]
    blocks += [sp.Matrix(sp.BlockMatrix([[zero, -sp.eye(4)], [sp.eye(4), zero]]))]
    generators = [
        {c: e for c, e in zip(v, (m * sp.Matrix(list(v))).flat(), strict=True) if e != 0} for m in blocks
    ]
    symmetry = sd.LieSymmetry("Sp2", generators, exact=True, collective=v.components)
    declared = sd.Theory("sp2", fields=[v], action=v.squared**2, symmetries=[symmetry])
    own = Subject.of(declared, ("torch",))
    stages = own.analysis.lie_reports[0].slice.stages
    assert [len(stage.directions) for stage in stages] in ([7], [3, 4])
    for law in PROPERTIES:
        if law.name in ("slice_pair", "slice_jacobian"):
            assert check_property(law, own, examples=3).holds


def test_rotations_agree_between_the_interpreter_and_torch() -> None:
    own = subject("SU(4)")
    compiled = own.compiled("torch", "float64")
    rng = np.random.default_rng(1)
    x = rng.normal(size=(5, *own.theory.configuration_shape))
    n = rng.normal(size=(5, 8))
    n /= np.linalg.norm(n, axis=1, keepdims=True)
    (image,) = call(compiled.backend, compiled.module, "rotate", {"y": x, "n_0": n}, {}, "float64")
    assert np.allclose(image, own.interpret("rotate", x, n_0=n)[0], atol=1e-12)
    components = own.theory.components
    change = [
        evaluate(own.theory.action, a, components, {}) - evaluate(own.theory.action, b, components, {})
        for a, b in zip(image, x, strict=True)
    ]
    assert np.abs(change).max() < 1e-10


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ((3, sd.VectorField("v", POINT, 4)), "4 component"),
        ((1, sd.VectorField("v", POINT, 2)), "N = 1"),
        ((True, sd.VectorField("v", POINT, 2)), "N = True"),
        ((sd.VectorField("v", POINT, 6), 3), "component"),
        ((2.0, sd.VectorField("v", POINT, 4)), "N = 2.0"),
    ],
)
def test_mistakes(arguments: tuple[Any, Any], found: str) -> None:
    with pytest.raises(GroupError, match=found):
        sd.SU(*arguments)


def test_a_broken_action_is_refuted_and_irrational_charges_never_close() -> None:
    with pytest.raises(NotInvariantError):
        sd.analyse(quartic(3, lambda v: v[0] ** 4, exact=True))
    v = sd.VectorField("v", POINT, 4)
    turn = {v[0]: -v[1], v[1]: v[0], v[2]: -sp.sqrt(2) * v[3], v[3]: sp.sqrt(2) * v[2]}
    symmetry = sd.LieSymmetry("irrational", [turn], collective=v.components[:2])
    with pytest.raises(GroupError, match="integers"):
        sd.analyse(sd.Theory("wound", fields=[v], action=v.squared, symmetries=[symmetry]))


def test_the_factors_are_in_the_derivation() -> None:
    analysis = subject("SU(3)").analysis
    assert "exp(α_1 A_1) exp(α_2 A_2)" in derivation(analysis, "text")
    for form in ("latex", "html"):
        assert derivation(analysis, form)
