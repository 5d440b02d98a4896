"""What notebooks show of each object: one line, the tables of its text, formulas, and pictures."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from typing import Any
from xml.dom.minidom import parseString

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

import sesamo_dsl as sd
from sesamo_dsl.errors import OptionError
from sesamo_dsl.estimates.target_sample import Outside
from sesamo_dsl.values.sheet import Line, Sheet, Table, row
from support import walkers_of_normal_numbers

LATTICE = sd.Lattice(3)
PHI = sd.ScalarField("phi", LATTICE)
KAPPA, H = sd.parameters("kappa h")
THEORY = sd.Theory(
    "shown",
    fields=[PHI],
    action=LATTICE.sum(PHI**2 - KAPPA * PHI * PHI.shift(0) + PHI**4 / 4 + H * PHI),
    symmetries=[sd.Z2(PHI)],
    defaults={KAPPA: 0.3, H: 0.1},
    observables={"abs_m": abs(LATTICE.sum(PHI)) / 3, "one": 1 + 0 * LATTICE.sum(PHI)},
    notes=["<script>alert('a & b')</script>"],
)


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    """One of each object."""
    run = sd.compile(THEORY, "torch").train(steps=30, batch=32, check=False, directory=False, progress=False)
    samples = run.sample(400)
    walkers = walkers_of_normal_numbers(run.compiled.program, {"kappa": 0.3, "h": 0.1})
    walkers = replace(walkers, notes=THEORY.notes)
    target = walkers.as_target()
    return {
        "theory": THEORY,
        "analysis": run.compiled.analysis,
        "program": run.compiled.program,
        "plan": run.plan,
        "run": run,
        "samples": replace(samples, outside=Outside(run.log_prob(target.x), target)),
        "chain": sd.independence_metropolis(samples),
        "annealed": walkers,
        "coverage": run.coverage(samples, walkers),
        "estimate": samples.expect("abs_m"),
    }


NAMES = [
    "theory",
    "analysis",
    "program",
    "plan",
    "run",
    "samples",
    "chain",
    "annealed",
    "coverage",
    "estimate",
]
WITH_TEXT = ("plan", "samples", "chain", "annealed", "coverage")


@pytest.mark.parametrize("name", NAMES)
def test_each_is_one_line(name: str, shown: dict[str, Any]) -> None:
    line = repr(shown[name])
    assert 10 < len(line) < 200
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize("name", NAMES[:-1])
def test_html_is_escaped_and_nested(name: str, shown: dict[str, Any]) -> None:
    page = shown[name]._repr_html_()
    parseString(f"<all>{page}</all>")  # tags are nested, text is escaped
    assert "<script" not in page
    if name in ("theory", "samples", "chain", "annealed"):
        assert "&lt;script&gt;" in page


@pytest.mark.parametrize("name", WITH_TEXT)
def test_html_says_what_text_says(name: str, shown: dict[str, Any]) -> None:
    """All words, in their order."""
    page = re.sub(r"<strong>.*?</strong>|no warnings", "", shown[name]._repr_html_())
    words = html.unescape(re.sub(r"<[^>]+>", " ", page)).split()
    assert len(words) > 10
    assert words == str(shown[name]).split()


def test_formulas(shown: dict[str, Any]) -> None:
    page, latex = THEORY._repr_html_(), THEORY._repr_latex_()
    assert page.count("<math") == 3
    assert "<mi>φ</mi>" in page
    assert latex.startswith(r"$\displaystyle S = ")
    assert r"\sum_{x} \left[" in latex
    assert r"\phi_{x+\hat{0}}" in latex
    mpl.mathtext.MathTextParser("path").parse(latex.replace(r"\displaystyle", ""))  # pyright: ignore
    assert "<math" in shown["analysis"]._repr_html_()
    assert "S₀ + S₁" not in shown["analysis"]._repr_html_()  # typeset


def test_warnings_are_red_and_their_absence_is_green(shown: dict[str, Any]) -> None:
    sound = Sheet("t", [row("a", "1", "2"), "sentence"], is_examined=True)
    assert "no warnings" in sound.html()
    assert "#1a7f37" in sound.html()
    assert "#cf222e" not in sound.html()
    doubtful = replace(sound, warnings=["bad < worse"])
    assert '<div style="color:#cf222e">WARNING: bad &lt; worse</div>' in doubtful.html()
    assert "#1a7f37" not in doubtful.html()
    assert "no warnings" not in replace(sound, is_examined=False).html()
    assert doubtful.text().splitlines() == ["a                  1   2", "sentence", "WARNING: bad < worse"]
    worse = replace(shown["samples"], leaked=np.ones(400, dtype=bool))
    assert "#cf222e" in worse._repr_html_()
    table = Table("heading", (Line("  x  y", ("x", "y"), good=False),))
    assert Sheet("", [table]).text() == "heading\n  x  y"
    assert 'colspan="2">heading' in Sheet("", [table]).html()


def test_every_picture(shown: dict[str, Any]) -> None:
    run, samples, chain, annealed = (shown[name] for name in ("run", "samples", "chain", "annealed"))
    analysis = shown["analysis"]
    pictures = [
        (lambda **o: run.plot(**o), 3),
        (lambda **o: run.plot("gradient_norm", against="seconds", **o), 1),
        (lambda **o: samples.plot(**o), 1),
        (lambda **o: samples.plot("abs_m", **o), 1),
        (lambda **o: samples.plot("one", **o), 1),
        (lambda **o: samples.plot(lambda x: x[:, 0, 0], **o), 1),
        (lambda **o: chain.plot(**o), 2),
        (lambda **o: chain.plot("abs_m", "histogram", **o), 1),
        (lambda **o: annealed.plot(**o), 4),
        (lambda **o: annealed.plot("abs_m", **o), 1),
        (lambda **o: analysis.plot(**o), 1),
        (lambda **o: analysis.plot("cayley", **o), 1),
    ]
    for draw, panels in pictures:
        figure = draw()
        assert isinstance(figure, Figure)
        assert len(figure.axes) == panels
        figure.draw_without_rendering()  # formulas are typeset
        own = Figure()
        place = own.subplots(1, 2)[1]
        assert draw(ax=place) is own
        assert place.get_children()
        assert len(own.axes) == 2
        with pytest.raises(OptionError, match="option ax"):
            draw(ax=own)
    assert analysis.plot()._repr_png_().startswith(b"\x89PNG")
    for wrong in (
        lambda: run.plot("speed"),
        lambda: run.plot(against="hours"),
        lambda: chain.plot(kind="pie"),
        lambda: analysis.plot("sphere"),
        lambda: samples.plot("unknown"),
        lambda: samples.plot(lambda x: x[:, 0, 0] / 0),
    ):
        with pytest.raises(OptionError), np.errstate(all="ignore"):
            wrong()


def test_the_histogram_is_the_density_with_its_error(shown: dict[str, Any]) -> None:
    """Bins by loops over samples; the whole is one."""
    samples: sd.Samples = shown["samples"]
    (axes,) = samples.plot("abs_m").axes
    line, band = axes.patches[:2]
    density, edges, _ = line.get_data()
    upper, _, lower = band.get_data()
    assert np.sum(density * np.diff(edges)) == pytest.approx(1.0)
    values = np.abs(samples.x.astype(np.float64).mean(axis=(1, 2)))
    for b in range(len(density)):
        last = b == len(density) - 1
        inside = (values >= edges[b]) & ((values <= edges[b + 1]) if last else (values < edges[b + 1]))
        mean, error = samples.expect(inside)
        width = edges[b + 1] - edges[b]
        assert density[b] == pytest.approx(mean / width, abs=1e-9)
        assert upper[b] - lower[b] == pytest.approx(2 * error / width, abs=1e-9)
    assert axes.get_xlabel() == r"$\mathrm{abs}_{m}$"
    assert axes.get_legend() is not None


def test_a_cayley_graph_has_the_arrows_of_its_generators() -> None:
    """Z₈ has one generator of order 8; a group without elements to draw is refused."""
    analysis = sd.analyse(sd.load_theory("gaussian_mixture"))
    axes = analysis.plot("cayley").axes[0]
    assert len(axes.patches) == 8
    assert len(axes.texts) == 8
    x = sd.ScalarField("x", LATTICE)
    plain = sd.analyse(sd.Theory("plain", fields=[x], action=LATTICE.sum(x**2)))
    for kind in ("cayley", "domain"):
        with pytest.raises(OptionError, match="plain"):
            plain.plot(kind)
