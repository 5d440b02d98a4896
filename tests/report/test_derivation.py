"""The derivation: three formats that say the same, well-formed whatever the names are."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import sympy as sp
from typer.testing import CliRunner

import sesamo_dsl as sd
from sesamo_dsl.analysis.derivation.lie import rotation
from sesamo_dsl.cli import app
from sesamo_dsl.errors import OptionError
from sesamo_dsl.groups import Dihedral, Hyperoctahedral, Translations
from sesamo_dsl.report import derivation
from sesamo_dsl.symbols.latex import FieldLatexPrinter
from sesamo_dsl.symbols.lattice import SiteSum
from sesamo_dsl.symbols.mathml import FieldMathMLPrinter

LATTICE, POINT = sd.Lattice(4, 4), sd.Lattice(1)
H, KAPPA = sd.parameters("h kappa")
FORMATS = ("text", "latex", "html")


def u1_times_z2() -> sd.Theory:
    phi, sigma = sd.ComplexField("phi", LATTICE), sd.ScalarField("sigma", LATTICE)
    hopping = sum(phi.dot(phi.shift(mu)) + sigma * sigma.shift(mu, -1) for mu in LATTICE.directions)
    density = -2 * KAPPA * hopping + phi.abs2**2 + sigma**4 + phi.abs2 * sigma**2 + H * sigma
    symmetries = [sd.U1(phi), sd.Z2(sigma), Translations(LATTICE)]
    return sd.Theory("two_factors", fields=[phi, sigma], action=LATTICE.sum(density), symmetries=symmetries)


def two_circles() -> sd.Theory:
    a, b = sd.ComplexField("a", LATTICE), sd.ComplexField("b", LATTICE)
    action = LATTICE.sum(a.abs2**2 + b.abs2**2 + a.abs2 * b.abs2 + H * a.re)
    return sd.Theory("two_circles", fields=[a, b], action=action, symmetries=[sd.U1(a), sd.U1(b)])


def clock() -> sd.Theory:
    w = sd.ComplexField("w", POINT)
    action = w.abs2**2 - w.abs2 + (w.re**3 - 3 * w.re * w.im**2) / 2
    return sd.Theory("clock", fields=[w], action=action, symmetries=[sd.U1(w)])


def spins(size: int) -> sd.Theory:
    n = sd.VectorField("n", LATTICE, size)
    action = LATTICE.sum(n.squared**2 - n.dot(n.shift(0)) + H * n[0])
    return sd.Theory(f"spins_{size}", fields=[n], action=action, symmetries=[sd.SO(n)])


def doublet() -> sd.Theory:
    f = sd.VectorField("f", POINT, 4)
    return sd.Theory("doublet", fields=[f], action=f.squared**2, symmetries=[sd.SU2(f)])


def triangle() -> sd.Theory:
    d = sd.VectorField("d", POINT, 2)
    action = d.squared**2 - d[0] ** 3 + 3 * d[0] * d[1] ** 2
    return sd.Theory("triangle", fields=[d], action=action, symmetries=[Dihedral(3, d)])


def cubic() -> sd.Theory:
    v = sd.VectorField("v", LATTICE, 3)
    density = v.squared**2 + sp.Add(*(c**4 for c in v)) - v.dot(v.shift(1))
    action = LATTICE.sum(density) + sp.Abs(LATTICE.sum(v[0])) * H + LATTICE.sum(v.squared) ** 2
    return sd.Theory("cubic", fields=[v], action=action, symmetries=[Hyperoctahedral(v)])


def many() -> sd.Theory:
    x = sd.VectorField("x", POINT, 10)
    flip = sd.Symmetry("flip", [{x[0]: -x[0]}])
    return sd.Theory("many", fields=[x], action=x.squared**2 + H * x[0], symmetries=[flip])


def skewed() -> sd.Theory:
    x = sd.VectorField("x", POINT, 2)
    turn = sd.Symmetry("order six", [{x[0]: x[0] + x[1], x[1]: -x[0]}])
    action = (x[0] ** 2 + x[0] * x[1] + x[1] ** 2) ** 2
    return sd.Theory("skewed", fields=[x], action=action, symmetries=[turn])


def plain() -> sd.Theory:
    x = sd.ScalarField("x", POINT)
    step = sp.Piecewise((x**2, sp.And(x > 0, x < 3)), (x**4, True))
    return sd.Theory("plain", fields=[x], action=step + sp.pi * sp.cosh(x))


def chain() -> sd.Theory:
    line = sd.Lattice(7)
    x = sd.ScalarField("x", line)
    action = line.sum(x**4 - x**2 + H * x * x.shift(0))
    return sd.Theory("chain", fields=[x], action=action, symmetries=[sd.Sitewise(sd.Z2(x))])


def named() -> sd.Theory:
    """Names that mean something to LaTeX or XML."""
    field, coupling = sd.ScalarField("field_with__two", LATTICE), sd.parameters("é_1")
    other, greek = sd.ScalarField("_x", LATTICE), sd.ScalarField("φ", LATTICE)
    density = field**2 + other**2 + greek**2 * greek.shift(0, 2) ** 2 + coupling * field
    symmetry = sd.Symmetry(r"50% & $a_b^c$ #1 {~} \x <b>'\"", [{field: -field}])
    fields = [field, other, greek]
    return sd.Theory("a_b", fields=fields, action=LATTICE.sum(density), symmetries=[symmetry])


THEORIES: dict[str, Callable[[], sd.Theory]] = {
    **{name: lambda name=name: sd.load_theory(name) for name in sd.shipped_theories()},
    "U(1) x Z2": u1_times_z2,
    "U(1) x U(1)": two_circles,
    "chain": chain,
    "clock": clock,
    "SO(3)": lambda: spins(3),
    "SO(5)": lambda: spins(5),
    "SU(2)": doublet,
    "D3": triangle,
    "B3": cubic,
    "ten components": many,
    "not orthogonal": skewed,
    "none": plain,
    "names": named,
}
every_theory = pytest.mark.parametrize("name", THEORIES)


@cache
def analysed(name: str) -> sd.Analysis:
    return sd.analyse(THEORIES[name]())


@cache
def written(name: str, form: Any) -> str:
    return derivation(analysed(name), form)


def flat(text: str) -> str:
    """LaTeX without what only breaks lines."""
    text = re.sub(r"\\\\\n +& (\\quad )?", "", text)
    text = re.sub(r"\\(left|right|bigl|bigr)(?![a-z])", "", text)
    return re.sub(r"\s", "", text)


@every_theory
def test_every_formula_is_in_every_format(name: str) -> None:
    analysis = analysed(name)
    formulas: list[Any] = [analysis.theory.action, *analysis.theory.components]
    verdicts = [v for r in (*analysis.reports, *analysis.lie_reports) for v in r.verdicts]
    formulas += [v.residual for v in verdicts if v.status != "exact"]
    if analysis.is_modulated:
        formulas += [analysis.breaking, *(r.slice.determinant for r in analysis.lie_reports)]
        formulas += list(analysis.linear_source or ())
        formulas += [charge for r in analysis.lie_reports for charge in r.charges]
    if analysis.representation is not None:
        formulas += analysis.representation.characters
    if analysis.theory.lattice.volume == 1:  # where sums over one site are left out of what is set
        sums = {node: node.density for f in formulas for node in f.atoms(SiteSum)}
        shown = [f.xreplace(sums) for f in formulas]
    else:
        shown = formulas
    text, latex, page = (written(name, form) for form in FORMATS)
    for plain_form, set_form in zip(formulas, shown, strict=True):
        assert sp.sstr(plain_form) in text
        assert flat(FieldLatexPrinter().doprint(set_form)) in flat(latex)
        assert FieldMathMLPrinter().doprint(set_form) in page
    for verdict in verdicts:
        assert f" is {verdict.status}: {verdict.evidence}." in text
    matrices = [v.generator.matrix for v in verdicts if v.generator.matrix.rows <= 8]
    matrices += [t for r in analysis.lie_reports for t in r.slice.basis]
    matrices += [t for r in analysis.lie_reports if r.status != "exact" for t in r.surviving]
    kept = analysis.group.minimal_generators(analysis.surviving or ())
    matrices += [m for m in (analysis.group.elements[g].matrix for g in kept) if m.rows <= 8]
    for matrix in matrices:
        assert "; ".join(", ".join(map(sp.sstr, matrix.row(i))) for i in range(matrix.rows)) in text
        cells = " & ".join(FieldLatexPrinter().doprint(e) for e in matrix.row(0))
        assert rf"\begin{{pmatrix}} {cells}" in latex
        assert FieldMathMLPrinter().doprint(matrix) in page


@every_theory
def test_formats_have_the_same_lines(name: str) -> None:
    text, latex, page = (written(name, form) for form in FORMATS)
    headings = len(re.findall(r"^(=|-){3,}$", text, re.MULTILINE))
    assert headings == len(re.findall(r"\\(sub)?section\*", latex)) == len(re.findall(r"<h[12]>", page))
    equations = len(re.findall(r"^    ", text, re.MULTILINE))
    assert equations == page.count('<div class="equation">')
    items = len(re.findall(r"^- ", text, re.MULTILINE))
    assert items == latex.count(r"\item ") == page.count("<li>")


@every_theory
def test_html_is_well_formed_and_stands_alone(name: str) -> None:
    page = written(name, "html")
    root = ElementTree.fromstring(page)
    tags = {element.tag for element in root.iter()}
    assert not tags & {"script", "link", "img", "iframe"}
    assert "http" not in page
    assert "�" not in page
    assert "{}" not in page
    known = (
        "html head meta title style body h1 h2 p ul li div math mrow mi mo mn msub msup msubsup munder mover "
    )
    known += "mfrac msqrt mroot mtable mtr mtd mtext mspace"
    assert tags <= set(known.split())
    sizes = {"msub": 2, "msup": 2, "mover": 2, "munder": 2, "mfrac": 2, "mroot": 2, "msubsup": 3}
    assert all(len(element) == sizes.get(str(element.tag), len(element)) for element in root.iter())


@every_theory
def test_latex_is_balanced(name: str) -> None:
    latex = written(name, "latex")
    stack = []
    for kind, environment in re.findall(r"\\(begin|end)\{(\w+\*?)\}", latex):
        if kind == "begin":
            stack.append(environment)
        else:
            assert stack.pop() == environment
    assert not stack
    bare = re.sub(r"\\[\\{}$&#%_]", "", latex)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    for line in re.split(r"\\\\|\n", latex):
        assert len(re.findall(r"\\left(?![a-z])", line)) == len(re.findall(r"\\right(?![a-z])", line))
    for body in re.findall(r"\\begin\{align\*\}(.*?)\\end\{align\*\}", latex, re.DOTALL):
        assert "$" not in body.replace(r"\text{", "")
        assert "\n\n" not in body
    names = set(re.findall(r"\\([A-Za-z]+)", latex.replace("\\\\", " ")))
    known = "section subsection begin end item left right bigl bigr frac sqrt sum prod text mathrm beta psi "
    known += (
        "operatorname tilde hat quad log exp det sin cos cosh sinh pi phi sigma kappa lambda chi rho theta "
    )
    known += "alpha mu Delta "
    known += "Omega geq leq langle rangle nabla cdot circ in mapsto wedge for times ldots textasciitilde "
    known += "textasciicircum textbackslash textless textgreater textbar"
    assert names <= set(known.split())


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_compiles(tmp_path: Path) -> None:
    """All theories in one document."""
    body = "\n\\clearpage\n".join(written(name, "latex") for name in THEORIES)
    preamble = r"\documentclass{article}\usepackage{amsmath}\begin{document}"
    (tmp_path / "d.tex").write_text(f"{preamble}\n{body}\n\\end{{document}}\n", "utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "d.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-2000:]


def test_special_characters_are_escaped() -> None:
    text, latex, page = (written("names", form) for form in FORMATS)
    assert r"50% & $a_b^c$ #1 {~} \x <b>" in text
    escaped = r"50\% \& \$a\_b\textasciicircum{}c\$ \#1 \{\textasciitilde{}\} \textbackslash{}x \textless{}b"
    assert escaped in latex
    assert r"\section*{Theory a\_b}" in latex
    assert "50% &amp; $a_b^c$ #1 {~} \\x &lt;b&gt;" in page
    assert r"\mathrm{field}_{\mathrm{with},\mathrm{two},x}" in latex
    assert r"\phi_{x+2\hat{0}}" in latex


def test_sums_and_shifts() -> None:
    latex = written("U(1) x Z2", "latex")
    assert r"\sum_{x}" in latex
    assert r"\phi_{\mathrm{re},x+\hat{1}}" in latex
    assert r"\sigma_{x-\hat{0}}" in latex
    page = written("U(1) x Z2", "html")
    assert "<munder><mo>∑</mo><mi>x</mi></munder>" in page
    assert "<mo>−</mo><mover><mn>0</mn><mo>^</mo></mover>" in page


def test_power_of_a_sum_is_in_parentheses() -> None:
    x = sd.ScalarField("x", LATTICE)
    square = LATTICE.sum(x) ** 2
    assert FieldLatexPrinter().doprint(square) == r"\left(\sum_{x} \left[x_{x}\right]\right)^{2}"
    assert "<msup><mrow><mo>(</mo>" in FieldMathMLPrinter().doprint(square)


@pytest.mark.parametrize(
    ("name", "phrases"),
    [
        (
            "gaussian_mixture",
            ["c_1*(-2 + sqrt(2)) + sqrt(2)*c_2 ≤ 0", "ρ = (1, 0)", "heat bath", "order 8", "exp ψ(T_u y)"],
        ),
        ("D3", ["λ_1 = -c_2 ≤ 0", "-3*c_1 + sqrt(3)*c_2 ≤ 0", "p(u|y) = 1/|G| = 1/6"]),
        ("not orthogonal", ["Σ_g D_gᵀ D_g / |G|"]),
        (
            "complex_phi4",
            [
                "von Mises,",
                "κ_n = √V r |j| = 8*sqrt(2)*r*Abs(h)",
                "2π I_0(κ_n)",
                "j = (h, h)",
                "(dv/dθ)/(2π)",
            ],
        ),
        ("SO(3)", ["von Mises–Fisher", "4*pi*sinh(κ_n)/κ_n", "|S^2| = 4*pi = 12.5664", "= r**2"]),
        ("SO(5)", ["8*pi**2/3 = 26.3189", "= r**4"]),
        ("SU(2)", ["1 + sin(α) A", "p(n|y) = 1/|S^3|", "2*pi**2 = 19.7392", "= r**3"]),
        ("clock", ["tabulated", "64", "not the exact conditional", "θ = f(v) + θ_0"]),
        ("U(1) x U(1)", ["No exact conditional law", "log Δ_1", "R_1(n_1) R_2(n_2) y", "N(a_2)"]),
        ("U(1) x Z2", ["p(u|y, n)", "x = T_u R(n) y", "moves the sites", "equivariant"]),
        ("chain", ["Σ_(h ∈ H) p_1(h u|y) exp(−S₁(T_u y))/W", "H the 2 elements"]),
        ("ten components", ["A_1: x_0 ↦ -x_0"]),
        ("none", ["No symmetry to modulate with"]),
    ],
)
def test_content(name: str, phrases: list[str]) -> None:
    text = written(name, "text")
    assert all(phrase in text for phrase in phrases), text


@pytest.mark.parametrize(
    ("name", "phrases"),
    [
        ("scalar_phi4", ["order 1: the identity alone", "of dimension 1", "identity’s first: 1, -1."]),
        ("gaussian_mixture", ["of dimension 2", "2, sqrt(2), 0, -sqrt(2), -2, -sqrt(2), 0, sqrt(2)."]),
        ("B3", ["order 16, generated by", "H_1 = [-1, 0, 0; 0, 1, 0; 0, 0, 1]", "of dimension 2"]),
        ("SO(3)", ["of SO3(n), a basis:\n    X_1 = [0, 0, 0; 0, 0, -1; 0, 1, 0]"]),
        (
            "U(1) x U(1)",
            ["of U1(a), a basis: none.", "under U1(a): 1; the rotations by multiples of 2*pi stay"],
        ),
        ("clock", ["basis: none.", "under U1(w): 3; the rotations by multiples of 2*pi/3 stay"]),
    ],
)
def test_what_stays_unbroken(name: str, phrases: list[str]) -> None:
    text = written(name, "text").split("What stays unbroken")[1]
    assert all(phrase in text for phrase in phrases), text


@pytest.mark.parametrize("name", ["SU(2)", "D3", "not orthogonal", "none"])
def test_nothing_is_broken(name: str) -> None:
    assert all("stays unbroken" not in written(name, form) for form in FORMATS)


def test_rotation_is_the_exponential() -> None:
    """The printed R(n) of the doublet against the matrix exponential."""
    for name in ("SO(3)", "SU(2)", "complex_phi4"):
        (report,) = analysed(name).lie_reports
        matrix = sp.Matrix(report.slice.basis[0])
        alpha = sp.Symbol("α", real=True)
        terms = (a * matrix**j for j, a in enumerate(rotation(report.slice.stages[0])))
        total = sp.Matrix(sum(terms, sp.zeros(*matrix.shape))).subs(alpha, sp.Rational(7, 10))
        error = (total - (matrix * sp.Rational(7, 10)).evalf().exp()).evalf()
        assert max(abs(complex(e)) for e in error) < 1e-12


def test_decimal_walls_are_named() -> None:
    """A rotation group whose vacuum is in no simple direction."""
    x = sd.VectorField("x", POINT, 2)
    action = (
        (x.squared - 1) ** 2 - (x[0] ** 3 - 3 * x[0] * x[1] ** 2) - (3 * x[0] ** 2 * x[1] - x[1] ** 3) / 3
    )
    theory = sd.Theory("tilted", fields=[x], action=action, symmetries=[sd.Cyclic(3, x)])
    text = derivation(sd.analyse(theory))
    assert "given to six digits" in text
    assert re.search(r"λ_1 = -?0\.\d{4,6}\*c_1 [+-] 0\.\d{4,6}\*c_2 ≤ 0", text)


def test_an_analysis_is_printed_as_its_derivation() -> None:
    """There is one text, and every format says whether Z is finite."""
    analysis = analysed("none")
    assert str(analysis) == analysis.text() == derivation(analysis)
    for form in FORMATS:
        assert "normalisability" in written("none", form)


def test_unknown_format() -> None:
    with pytest.raises(OptionError, match="latex"):
        derivation(analysed("none"), "pdf")


def test_deterministic() -> None:
    script = (
        "import sys, sesamo_dsl as sd\nfrom sesamo_dsl.report.derivation import derivation\n"
        "for name in ('gaussian_mixture', 'complex_phi4'):\n"
        "    a = sd.analyse(sd.load_theory(name))\n"
        "    sys.stdout.buffer.write(''.join(derivation(a, f) for f in ('text', 'latex', 'html')).encode())\n"
    )
    here = "".join(written(n, f) for n in ("gaussian_mixture", "complex_phi4") for f in FORMATS)
    environment = {**os.environ, "PYTHONHASHSEED": "17"}
    elsewhere = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, check=True
    )
    assert elsewhere.stdout == here.encode()


# The command line


def derive(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["derive", *map(str, arguments)])


def test_derive_formats(tmp_path: Path) -> None:
    text = derive("scalar_phi4")
    assert text.exit_code == 0
    assert text.stdout == written("scalar_phi4", "text") + "\n"
    assert derive("scalar_phi4", "--format", "html").stdout == written("scalar_phi4", "html") + "\n"
    file = tmp_path / "deep" / "derivation.tex"
    result = derive("scalar_phi4", "--format", "latex", "--output", file)
    assert result.exit_code == 0
    assert file.read_text("utf-8") == written("scalar_phi4", "latex") + "\n"


def test_derive_picture(tmp_path: Path) -> None:
    picture = tmp_path / "domain.png"
    result = derive("gaussian_mixture", "--picture", picture)
    assert result.exit_code == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    refused = derive("gaussian_mixture", "--picture", tmp_path / "domain.xyz")
    assert refused.exit_code == 1
    assert "remedy:" in refused.stderr
    assert derive("gaussian_mixture", "--format", "pdf").exit_code == 2
