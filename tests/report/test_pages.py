"""Pages about results: well-formed, complete, escaped, without the network, and true to what they claim."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from xml.etree import ElementTree

import numpy as np
import pytest
import sympy as sp
from typer.testing import CliRunner

import sesamo_dsl as sd
from sesamo_dsl.cli import app
from sesamo_dsl.comparison import Trial
from sesamo_dsl.errors import OptionError
from sesamo_dsl.estimates.coverage import Coverage
from sesamo_dsl.estimates.estimate import Estimate
from sesamo_dsl.estimates.examined import TABLE, outcomes
from sesamo_dsl.estimates.health import CHECKS
from sesamo_dsl.estimates.target_sample import Outside, TargetSample
from sesamo_dsl.report.cayley import MOST, generators
from sesamo_dsl.report.pages import wording
from sesamo_dsl.report.pages.blocks import Check, Picture
from sesamo_dsl.report.pages.checklist import card, of_findings, of_samples
from sesamo_dsl.report.pages.formulas import WIDTH, equation, width
from sesamo_dsl.report.pages.group_pictures import cayley
from sesamo_dsl.report.pages.render import render
from sesamo_dsl.report.pages.run import run_page
from sesamo_dsl.report.pages.sample_pictures import orientations
from sesamo_dsl.runs import analysis_of
from sesamo_dsl.symbols.lattice import SiteSum
from sesamo_dsl.symbols.mathml import FieldMathMLPrinter

HOSTILE = "<script>alert('$x_{')</script>&\"$"
SECTIONS = (
    "Checks",
    "Theory",
    "Symmetries",
    "Training",
    "Samples and weights",
    "Sectors and orientations",
    "Observables",
    "Coverage",
    "Provenance",
)


def parsed(text: str) -> ElementTree.Element:
    """The page as a tree; raises ParseError unless it is well-formed, and fails if it loads anything."""
    page = ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>"))
    names = [element.get("id") for element in page.iter() if element.get("id")]
    assert len(set(names)) == len(names), "a name of two elements"
    for element in page.iter():
        assert element.tag not in ("script", "link", "iframe", "object", "embed", "img", "base")
        for attribute, value in element.attrib.items():
            assert not attribute.startswith("on")
            if attribute in ("href", "src"):
                assert value.startswith(("#", "data:image/png;base64,"))
                assert not value.startswith("#") or value[1:] in names, "a link to nothing"
            assert all(place in names for place in re.findall(r"url\(#([^)]*)\)", value))
    assert "://" not in text
    return page


def said(element: ElementTree.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def of(page: ElementTree.Element, title: str) -> ElementTree.Element:
    """The section with this heading."""
    return next(part for part in page.iter("section") if said(part).startswith(title))


def theory() -> sd.Theory:
    lattice = sd.Lattice(4)
    phi = sd.ScalarField("phi", lattice)
    h = sd.parameters("h")
    action = lattice.sum(phi**2 * sp.Rational(3, 4) - phi * phi.shift(0) / 2 + phi**4 / 10 + h * phi)
    flip = sd.Symmetry(HOSTILE, [{phi: -phi}])
    return sd.Theory(
        "chain_of_four",
        fields=[phi],
        action=action,
        symmetries=[flip],
        defaults={h: 0.2},
        observables={"phi_squared": lattice.sum(phi**2) / 4},
        derived={"twice": 2 * sp.Symbol("phi_squared")},
        notes=[HOSTILE],
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> sd.Run:
    place = tmp_path_factory.mktemp("runs") / "a<b>&'c"
    return sd.compile(theory()).train(steps=60, batch=64, directory=place, progress=False, check=False)


@pytest.fixture(scope="module")
def samples(run: sd.Run) -> sd.Samples:
    return run.sample(400)


def page_of(run: sd.Run, samples: sd.Samples, **references: Estimate) -> ElementTree.Element:
    return parsed(render(run_page(run, samples, references, 1), "0"))


def test_page_of_a_run(run: sd.Run, tmp_path: Path) -> None:
    run.report(tmp_path / "x.html", count=300, references={"phi_squared": (7.0, 0.001), "log_z": (1, 1e-3)})
    text = (tmp_path / "x.html").read_text(encoding="utf-8")
    page = parsed(text)
    assert [said(part.find("h2")) for part in page.iter("section")] == list(SECTIONS)  # pyright: ignore
    assert "<script" not in text
    assert HOSTILE in said(of(page, "Symmetries"))
    assert HOSTILE in said(of(page, "Theory"))
    assert HOSTILE in said(of(page, "Checks"))
    assert str(run.directory) in said(of(page, "Provenance"))
    assert len(list(of(page, "Theory").iter("math"))) == 1
    assert "broken" in said(of(page, "Symmetries"))
    assert len(list(of(page, "Symmetries").iter("svg"))) == 3  # Cayley graph, domain, modulation
    assert len(list(of(page, "Training").iter("svg"))) == 2
    assert "7.0000 ± 0.0010" in said(of(page, "Observables"))
    assert any(e.get("class") == "badge broken" for e in of(page, "Observables").iter("b"))
    assert f"seed of the training {run.plan.seed}" in said(of(page, "Provenance")).replace(
        "training0", "training 0"
    )
    samples = run.sample(300)
    assert wording.measured(samples.log_z) in said(of(page, "Samples and weights"))
    assert wording.measured(samples.expect("phi_squared")) in said(of(page, "Observables"))
    for mass, error in zip(samples.sector_masses, samples.sector_errors, strict=True):
        assert wording.measured((mass, error)) in said(of(page, "Sectors"))


def test_a_run_without_its_declaration(run: sd.Run, samples: sd.Samples) -> None:
    assert run.directory is not None
    alone = page_of(sd.load_run(run.directory), samples)
    assert not list(of(alone, "Theory").iter("math"))
    assert "phi(x+ê₀)" in said(of(alone, "Theory"))  # as the training wrote it down
    assert "broken" in said(of(alone, "Symmetries"))
    assert len(list(of(alone, "Symmetries").iter("svg"))) == 2  # the domain needs the declaration
    assert HOSTILE in said(of(alone, "Symmetries"))
    analysis = analysis_of(sd.load_run(run.directory, theory=theory()))
    assert analysis is not None
    assert analysis.theory.name == "chain_of_four"
    other = replace(sd.load_run(run.directory), theory=sd.load_theory("scalar_phi4@4"))
    assert analysis_of(other) is None  # another theory is not shown


def test_the_command(run: sd.Run, tmp_path: Path) -> None:
    assert run.directory is not None
    made = CliRunner().invoke(app, ["report", str(run.directory), "--count", "100"])
    assert made.exit_code == 0, made.output
    parsed((run.directory / "report.html").read_text(encoding="utf-8"))
    sd.load_run(run.directory)  # the page is no part of the run, and does not disturb it
    kept = tmp_path / "theory.py"
    kept.write_text("mine")
    for place in (kept, tmp_path / "report.pdf"):
        assert CliRunner().invoke(app, ["report", str(run.directory), "--output", str(place)]).exit_code == 1
    assert kept.read_text() == "mine"
    for command in ("hmc", "anneal", "compare"):  # before anything is computed
        assert CliRunner().invoke(app, [command, "scalar_phi4", "--report", str(kept)]).exit_code == 1
    twice = ["anneal", "scalar_phi4", "--report", str(tmp_path / "a.html"), "--out", str(tmp_path / "a.html")]
    assert CliRunner().invoke(app, twice).exit_code == 1


@pytest.mark.parametrize(
    "references",
    [
        {"phi": (1, 0.1)},
        {"phi_squared": 1.0},
        {"phi_squared": (1.0, -0.1)},
        {"phi_squared": (float("nan"), 0.1)},
        {"phi_squared": ("1", 0.1)},
        {"phi_squared": (1.0, 0.1, 0.1)},
        {3: (1.0, 0.1)},
        [("phi_squared", (1, 0.1))],
    ],
)
def test_wrong_references(run: sd.Run, tmp_path: Path, references: Any) -> None:
    with pytest.raises(OptionError, match="reference"):
        run.report(tmp_path / "x.html", references=references, count=10)
    assert not (tmp_path / "x.html").exists()


@pytest.mark.parametrize("path", ["x.txt", "x", "", 3])
def test_wrong_paths(run: sd.Run, path: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match="report"):
        run.report(path)
    with pytest.raises(OptionError, match="sample count"):
        run.report("x.html", count=0)


def states(samples: sd.Samples) -> dict[str, str]:
    return {check.title: check.state for check in of_samples(samples)}


def test_every_check_is_on_the_page(samples: sd.Samples) -> None:
    assert list(TABLE) == list(CHECKS)
    assert len(outcomes(samples)) == len(CHECKS) + 1
    found = of_samples(samples)
    assert {check.title for check in found if check.state == "bad"} == set()
    assert len(samples.warnings) == 0
    assert {check.title for check in found if check.state == "unknown"} == {
        "sign of KL(q‖p)",
        "exact log Z",
        "coverage, by configurations from outside",
    }
    assert card(found).state == "unknown"


def test_trouble_is_red(run: sd.Run, samples: sd.Samples) -> None:
    heavy = replace(samples, log_q=np.where(np.arange(400) == 7, samples.log_q - 30, samples.log_q))
    found = states(heavy)
    assert found["largest weight"] == found["number of samples"] == found["effective sample size"] == "bad"
    assert found["virial identity ⟨x·∇S⟩ = n"] == "unknown"  # too few effective samples: it has not passed
    red = [check for check in of_samples(heavy) if check.state == "bad"]
    assert len(red) == len(heavy.warnings)
    assert all(check.remedy for check in red)

    leaked = np.arange(400) % 4 == 0
    broken = replace(samples, log_q=np.where(np.arange(400) < 3, np.nan, samples.log_q), leaked=leaked)
    found = states(broken)
    assert found.pop("finite values") == "bad"
    assert found.pop("training") == found.pop("range of the training") == "good"
    assert set(found.values()) == {"unknown"}  # nothing passes that was computed from NaN
    page = page_of(run, broken)
    assert next(of(page, "Checks").iter("li")).get("class") == "bad"
    assert "NaN" in said(of(page, "Observables"))
    assert "25 %" in said(of(page, "Samples and weights"))

    nothing = replace(samples, leaked=np.ones(400, dtype=bool))
    assert states(nothing)["finite values"] == "bad"
    assert "no histogram" in said(of(page_of(run, nothing), "Samples and weights"))


def test_coverage_is_on_the_page(run: sd.Run, samples: sd.Samples) -> None:
    x = samples.x
    target = TargetSample.of_arrays(x, run.compiled.action(x, run.parameters), None)
    covered = replace(samples, outside=Outside(run.log_prob(x), target), unchecked="")
    assert isinstance(covered.coverage, Coverage)
    page = page_of(run, covered)
    text = said(of(page, "Coverage"))
    assert covered.coverage.status in text
    assert "φ(x) φ(x+ê₀)" in text
    far = replace(target, x=x + 9.0, action=run.compiled.action(x + 9.0, run.parameters))
    missed = replace(samples, outside=Outside(run.log_prob(far.x), far), unchecked="")
    assert states(missed)["coverage, by configurations from outside"] == "bad"


def test_interrupted_and_without_symmetries(tmp_path: Path) -> None:
    x = sd.VectorField("x", sd.Lattice(1), 3)
    plain = sd.Theory("plain", fields=[x], action=x.squared / 2)
    stopped = sd.compile(plain).train(
        steps=100, batch=16, directory=False, progress=False, check=False, callbacks=[lambda *_: True]
    )
    page = page_of(stopped, stopped.sample(60))
    assert "not finished" in said(of(page, "Training"))
    assert "No symmetry is declared" in said(of(page, "Symmetries"))
    assert "nothing to compare" in said(of(page, "Sectors"))
    assert states(stopped.sample(60))["training"] == "bad"


def test_annealing_and_chains(tmp_path: Path) -> None:
    annealed = sd.anneal(theory(), walkers=64, populations=4, progress=False)
    annealed.report(tmp_path / "a.html", references={"log_z": (annealed.log_z, 0.1)})
    page = parsed((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert len(annealed.findings) == len(list(of(page, "Checks").iter("li"))) - len(annealed.notes)
    assert wording.measured(annealed.estimate) in said(of(page, "Annealing"))
    assert "option seed0" in said(of(page, "Provenance")).replace(" 0", "0")
    assert list(of(page, "Theory").iter("math"))

    chain = sd.hmc(theory(), chains=4, trajectories=30, warm_up=50)
    chain.report(tmp_path / "c.html")
    page = parsed((tmp_path / "c.html").read_text(encoding="utf-8"))
    red = [e for e in of(page, "Checks").iter("li") if e.get("class") == "bad"]
    assert len(red) == len(chain.warnings) > 0  # so short a chain has findings
    assert wording.measured(chain.expect("action")[:2]) in said(of(page, "Observables"))
    with pytest.raises(OptionError, match="log_z"):
        chain.report(tmp_path / "c.html", references={"log_z": (0.0, 1.0)})

    made_elsewhere = replace(chain, making=None)
    made_elsewhere.report(tmp_path / "d.html")
    assert "not recorded" in (tmp_path / "d.html").read_text(encoding="utf-8")


def test_comparison(tmp_path: Path) -> None:
    figures = {"kl": 0.1, "nll": 4.0, "sector_error": 0.01, "leaked": 0.0, "uncovered": 0.0, "seconds": 5.0}
    trials = [
        Trial(method, seed, 0.9, ess, **figures, log_z=1.5 + seed / 100, steps=100)  # pyright: ignore
        for method, ess in (("ours", 0.8), ("realnvp", float("nan")))
        for seed in range(2)
    ]
    notes = {"ours": (HOSTILE,)}
    sd.Comparison("some", {"h": 0.1}, "torch", 5.0, tuple(trials), notes, HOSTILE).report(
        tmp_path / "x.html", references={"log_z": (1.505, 0.01)}
    )
    page = parsed((tmp_path / "x.html").read_text(encoding="utf-8"))
    assert HOSTILE in said(of(page, "Methods"))
    assert "1.5050 ± 0.0050" in said(of(page, "Methods"))
    assert "—" in said(of(page, "Methods"))  # the forward ESS that is not known
    with pytest.raises(OptionError, match="action"):
        sd.Comparison("some", {}, "torch", 5.0, tuple(trials), {}, "").report(
            tmp_path / "x.html", references={"action": (1.0, 0.1)}
        )


def test_findings_of_which_nothing_is_known_are_not_green() -> None:
    assert of_findings({"acceptance": None}, {"acceptance": "no trajectory was made"})[0].state == "unknown"
    assert of_findings({"acceptance": None}, {})[0].state == "good"
    assert card([Check("bad", "a", "b", "c"), Check("good", "a", "b")]).state == "bad"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.1e-313, "0"),
        (0.0, "0"),
        (-1.5e-7, "−1.5 × 10⁻⁷"),
        (float("nan"), "NaN"),
        (-np.inf, "−∞"),
        (np.float64(12.5), "12.5"),
        (1.234e12, "1.234 × 10¹²"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert wording.number(value) == text


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.123456, 0.00123, "0.1235 ± 0.0012"),
        (1.37294e-5, 1.2e-5, "(1.4 ± 1.2) × 10⁻⁵"),
        (-2500.0, 130.0, "−2500 ± 130"),
        (1.1e-313, 0.0, "0 ± 0"),
        (3.0, 0.0, "3 ± 0"),
        (1.0, float("nan"), "1 (no error bar)"),
        (float("nan"), 1.0, "NaN"),
        (-0.001, 0.5, "0.00 ± 0.50"),
        (1e-5, 2.0, "0.0 ± 2.0"),
    ],
)
def test_measured_values(value: float, error: float, text: str) -> None:
    assert wording.measured((value, error)) == text


def test_names() -> None:
    assert wording.operator("Σ phi·phi(+1, 0)") == "Σ φ(x) φ(x+ê₀)"
    assert wording.operator("Σ phi_re·phi_re(0, -2)") == "Σ φ<sub>re</sub>(x) φ<sub>re</sub>(x−2ê₁)"
    assert wording.operator("(Σ phi)^2") == "(Σ φ)²"
    assert wording.operator("odd part under T_3 of Σ x_0^4") == "odd part under T₃ of Σ x<sub>0</sub>⁴"
    assert wording.operator("Σ <b>") == "Σ &lt;b&gt;"
    assert wording.typeset("1.2e-05 is -3, not a-1") == "1.2 × 10⁻⁵ is −3, not a-1"


def characters(mathml: str) -> Counter[str]:
    text = re.sub(r"<[^>]*>|[\s\u2062]", "", mathml).replace("-", "−")
    return Counter(text)


@pytest.mark.parametrize(
    "name", ["complex_phi4", "gaussian_mixture", "scalar_phi4", "hubbard", "two_sources"]
)
def test_broken_formulas_have_all_terms(name: str) -> None:
    action = sd.load_theory(name).action
    trivial = {s: s.density for s in action.atoms(SiteSum) if s.lattice.volume == 1}
    whole = FieldMathMLPrinter().doprint(cast(Any, action).xreplace(trivial))
    rows = equation("S", cast(Any, action))
    ours, theirs = characters(rows) - Counter("S="), characters(whole)
    assert not theirs - ours
    assert (ours - theirs).total() <= ("1" in ours - theirs)  # Σ/2 may be 1/2 Σ
    each = ElementTree.fromstring(rows).iter("mtr")
    assert max(width(ElementTree.tostring(row, "unicode")) for row in each) < 1.5 * WIDTH


@pytest.mark.parametrize("name", ["Cyclic", "Dihedral", "Hyperoctahedral"])
def test_cayley_graphs(name: str) -> None:
    x = sd.VectorField("x", sd.Lattice(1), 2)
    group = sd.groups.Hyperoctahedral(x) if name == "Hyperoctahedral" else getattr(sd.groups, name)(5, x)
    table = sd.analyse(sd.Theory("free", fields=[x], action=x.squared / 2, symmetries=[group])).table
    chosen = generators(table)
    reached = {0}
    for _ in range(len(table)):
        reached |= {int(table[u, g]) for u in reached for g in chosen}
    assert len(reached) == len(table)
    assert isinstance(cayley(table, [0]), Picture)
    assert isinstance(cayley(np.zeros((MOST + 1, MOST + 1), dtype=int), None), str)


def test_orientations_are_densities_of_an_angle() -> None:
    program = sd.compile(sd.load_theory("complex_phi4@2x2")).program
    x = np.random.default_rng(0).normal(size=(500, 2, 2, 2))
    assert len(orientations(program, x, None, "chains")) == 1
    assert orientations(program, np.full_like(x, np.nan), None, "chains") == []
