"""Bad input: one of our errors, which names the object, what was expected, what was found and the remedy."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl import backend as backends
from sesamo_dsl.errors import (
    BackendError,
    ConfigurationError,
    FieldError,
    GroupError,
    LatticeError,
    LoweringError,
    NotClosedError,
    NotFaithfulError,
    NotNormalizableError,
    OptionError,
    ParameterError,
    ProgramError,
    RunError,
    TheoryError,
    TheoryFileError,
    TrainingDivergedError,
)
from sesamo_dsl.flows.base import GaussianBase

L, SMALL, POINT = sd.Lattice(4, 4), sd.Lattice(3, 3), sd.Lattice(1)
PHI, OTHER = sd.ScalarField("phi", L), sd.ScalarField("chi", SMALL)
CHI = sd.ComplexField("chi", L)
KAPPA, H = sd.parameters("kappa h")


def theory(action: Any = None, **declared: Any) -> sd.Theory:
    """φ² on a 4×4 lattice, with whatever a test wants to be different."""
    given = L.sum(KAPPA * PHI**2) if action is None else action
    return sd.Theory(**{"name": "bad", "fields": [PHI], "action": given, **declared})


@cache
def model() -> sd.CompiledTheory:
    return sd.compile(theory(defaults={KAPPA: 1}), "torch")


def fields(*shape: int) -> np.ndarray[Any, Any]:
    return np.zeros(shape)


def with_entry(value: float) -> np.ndarray[Any, Any]:
    x = fields(2, 1, 4, 4)
    x[1, 0, 2, 3] = value
    return x


def train(**options: Any) -> sd.Run:
    return model().train(progress=False, directory="never-made", **options)


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def below_a_file(tmp_path: Path) -> Path:
    return written(tmp_path / "file", "not a directory") / "run"


@dataclass(frozen=True)
class Bad:
    """What the user does, the error that answers, and words its message has to contain."""

    act: Callable[[Path], object]
    error: type[sd.SesamoError]
    words: tuple[str, ...]


def bad(error: type[sd.SesamoError], act: Callable[..., object], *words: str) -> Bad:
    return Bad(act, error, words)


def symmetry(*generators: Any, exact: bool = False, **options: Any) -> sd.Symmetry:
    return sd.Symmetry("mine", generators, exact=exact, **options)


def rotation(c: Any, s: Any) -> dict[Any, Any]:
    return {CHI.re: c * CHI.re - s * CHI.im, CHI.im: s * CHI.re + c * CHI.im}


def complex_theory(*symmetries: sd.Symmetry) -> sd.Theory:
    return theory(L.sum(CHI.abs2), fields=[CHI], symmetries=symmetries)


TABLE: dict[str, Bad] = {
    # symmetries
    "symmetry the action lacks": bad(
        sd.NotInvariantError,
        lambda _: sd.analyse(theory(L.sum(PHI**2 + PHI**3), symmetries=[sd.Z2(PHI, exact=True)])),
        "symmetry Z2(phi) of theory bad",
        "-2*Σ_x[phi**3]",
        "counterexample",
    ),
    "group that does not close": bad(
        NotClosedError,
        lambda _: sd.analyse(
            complex_theory(symmetry(rotation(sp.Rational(3, 5), sp.Rational(4, 5)), order_bound=100))
        ),
        "group mine",
        "at most 100 elements",
        "order_bound",
    ),
    "groups that do not close together": bad(
        NotClosedError,
        lambda _: sd.analyse(
            complex_theory(
                sd.Symmetry("left", [{CHI.re: -CHI.re}], order_bound=20),
                sd.Symmetry(
                    "right",
                    [{CHI.re: (3 * CHI.re + 4 * CHI.im) / 5, CHI.im: (4 * CHI.re - 3 * CHI.im) / 5}],
                    order_bound=20,
                ),
            )
        ),
        "left × right",
        "at most 20",
    ),
    "no generators": bad(GroupError, lambda _: symmetry(), "symmetry mine", "at least one generator"),
    "a mapping for a list": bad(GroupError, lambda _: sd.Symmetry("mine", {PHI: -PHI}), "a list of"),
    "generator that is not linear": bad(
        GroupError,
        lambda _: sd.analyse(theory(symmetries=[symmetry({PHI: PHI**3})])),
        "image of phi",
        "phi**3",
    ),
    "generator with a coupling": bad(
        GroupError,
        lambda _: sd.analyse(theory(symmetries=[symmetry({PHI: KAPPA * PHI})])),
        "phi*kappa",
    ),
    "generator that shifts": bad(
        GroupError,
        lambda _: sd.analyse(theory(symmetries=[symmetry({PHI: PHI.shift(0)})])),
        "same site",
    ),
    "generator that is singular": bad(
        GroupError,
        lambda _: sd.analyse(theory(symmetries=[symmetry({PHI: 0 * PHI})])),
        "invertible",
    ),
    "symmetry of another field": bad(
        FieldError,
        lambda _: sd.analyse(theory(symmetries=[sd.Z2(CHI)])),
        "components of the theory",
        "chi_re",
    ),
    "cyclic group in a line": bad(GroupError, lambda _: sd.Cyclic(4, PHI), "plane", "1 component"),
    "cyclic group of order one": bad(GroupError, lambda _: sd.Cyclic(1, CHI), "order n ≥ 2"),
    "collective coordinate that is not faithful": bad(
        NotFaithfulError,
        lambda _: sd.analyse(
            complex_theory(symmetry({CHI.re: -CHI.re}, {CHI.im: -CHI.im}, collective=[CHI.re]))
        ),
        "kernel of order 2",
        "[1, 0; 0, -1]",
        "collective=",
    ),
    "collective coordinate that is no representation": bad(
        GroupError,
        lambda _: sd.analyse(complex_theory(symmetry(rotation(0, 1), collective=[CHI.re]))),
        "collective coordinate of mine",
        "add the missing",
    ),
    # lattices and fields
    "lattice without extent": bad(LatticeError, lambda _: sd.Lattice(4, 0), "Lattice(4, 0)", "≥ 1"),
    "lattice without axes": bad(LatticeError, lambda _: sd.Lattice(), "Lattice()"),
    "lattice of half a site": bad(LatticeError, lambda _: sd.Lattice(2.5), "2.5"),
    "field of another lattice in a sum": bad(
        LatticeError,
        lambda _: L.sum(PHI * OTHER),
        "chi on Lattice(3, 3)",
        "fields on Lattice(4, 4)",
    ),
    "fields of two lattices": bad(
        LatticeError, lambda _: theory(fields=[PHI, OTHER]), "theory bad", "chi on Lattice(3, 3)"
    ),
    "sums over two lattices": bad(
        LatticeError,
        lambda _: theory(L.sum(PHI**2) + SMALL.sum(OTHER**2)),
        "plain sums over Lattice(4, 4)",
    ),
    "sum in a sum": bad(LatticeError, lambda _: theory(L.sum(PHI * L.sum(PHI))), "no sum inside a sum"),
    "missing axis": bad(LatticeError, lambda _: PHI.shift(2), "axis 2 of Lattice(4, 4)", "(0, 1)"),
    "negative axis": bad(LatticeError, lambda _: CHI.shift(-1), "axis -1"),
    "axis by name": bad(LatticeError, lambda _: PHI.shift("x"), "axis x"),
    "half a step": bad(FieldError, lambda _: PHI.shift(0, 0.5), "shift of phi along axis 0", "0.5"),
    "name of a field": bad(FieldError, lambda _: sd.ScalarField("my field", L), "'my field'", "rename"),
    "name of a coupling": bad(FieldError, lambda _: sd.parameters("2kappa"), "'2kappa'"),
    "name of a theory": bad(FieldError, lambda _: theory(name="a/b"), "'a/b'"),
    "no components": bad(FieldError, lambda _: sd.VectorField("v", L, 0), "components ≥ 1"),
    "two fields of one name": bad(
        FieldError, lambda _: theory(fields=[PHI, sd.ScalarField("phi", L)]), "distinct"
    ),
    "shifted field declared": bad(FieldError, lambda _: theory(fields=[PHI.shift(0)]), "running site"),
    "undeclared field": bad(FieldError, lambda _: theory(L.sum(PHI**2 + CHI.abs2)), "chi_im", "fields=["),
    "no fields": bad(TheoryError, lambda _: theory(fields=[]), "at least one"),
    "a name for a field": bad(TheoryError, lambda _: theory(fields=["phi"]), "ScalarField"),
    # actions
    "free site index": bad(
        TheoryError,
        lambda _: theory(PHI**2),
        "action of theory bad",
        "phi at a free site",
        "lattice.sum",
    ),
    "free site beside a sum": bad(TheoryError, lambda _: theory(L.sum(PHI**2) + PHI), "free site"),
    "free site in an observable": bad(
        TheoryError, lambda _: theory(observables={"m": PHI}), "observable m of theory bad"
    ),
    "imaginary action": bad(TheoryError, lambda _: theory(L.sum(sp.I * PHI**2)), "a real number", "Abs"),
    "complex field squared": bad(
        TheoryError, lambda _: theory(L.sum(CHI.value**2), fields=[CHI]), "a real number"
    ),
    "logarithm of a field": bad(TheoryError, lambda _: theory(L.sum(sp.log(PHI))), "a real number"),
    "imaginary outside of the sum": bad(
        TheoryError, lambda _: theory(sp.sqrt(-1 - L.sum(PHI**2) ** 2)), "a real number"
    ),
    "infinite action": bad(
        TheoryError, lambda _: theory(L.sum(PHI**2) / H, defaults={H: 0}), "a real number"
    ),
    "action that is text": bad(TheoryError, lambda _: theory("phi**2"), "a SymPy expression", "str"),
    "action that is an inequality": bad(
        TheoryError, lambda _: theory(L.sum(PHI**2) > 1), "a SymPy expression"
    ),
    "unknown function": bad(
        LoweringError, lambda _: sd.compile(theory(L.sum(sp.zeta(1 + PHI**2)))), "zeta", "rewrite"
    ),
    "unknown precision": bad(
        TheoryError, lambda _: theory(precision="half"), "'float32' or 'float64'", "'half'"
    ),
    # couplings
    "undeclared symbol": bad(
        ParameterError,
        lambda _: theory(L.sum(sp.Symbol("g") * PHI**2)),
        "the symbol g",
        'parameters("g")',
    ),
    "coupling named like a field": bad(
        ParameterError,
        lambda _: theory(L.sum(sd.parameters("phi") * PHI**2)),
        "differently from fields",
    ),
    "default of nothing": bad(
        ParameterError, lambda _: theory(defaults={H: 1}), "parameter h of theory bad", "kappa"
    ),
    "NaN default": bad(
        ParameterError, lambda _: theory(defaults={KAPPA: math.nan}), "a finite real number", "nan"
    ),
    "infinite default": bad(ParameterError, lambda _: theory(defaults={KAPPA: math.inf}), "inf"),
    "complex default": bad(ParameterError, lambda _: theory(defaults={KAPPA: 1j}), "1j"),
    "missing value": bad(
        ParameterError,
        lambda _: sd.compile(theory(), "torch").action(fields(1, 1, 4, 4)),
        "a value for each of kappa",
        "none for kappa",
    ),
    "unknown value": bad(
        ParameterError,
        lambda _: model().action(fields(1, 1, 4, 4), {"kapa": 1}),
        "parameter kapa",
        "kappa",
    ),
    "NaN value": bad(
        ParameterError, lambda _: model().action(fields(1, 1, 4, 4), {"kappa": math.nan}), "nan"
    ),
    "infinite value in training": bad(ParameterError, lambda _: train(parameters={KAPPA: -math.inf}), "-inf"),
    "text value": bad(ParameterError, lambda _: model().action(fields(1, 1, 4, 4), {"kappa": "one"}), "one"),
    # configurations
    "no batch axis": bad(
        ConfigurationError,
        lambda _: model().action(fields(1, 4, 4)),
        "shape (batch, 1, 4, 4)",
        "(1, 4, 4)",
    ),
    "wrong lattice": bad(ConfigurationError, lambda _: model().action(fields(2, 1, 4, 5)), "(2, 1, 4, 5)"),
    "wrong components": bad(ConfigurationError, lambda _: model().action(fields(2, 2, 4, 4)), "(2, 2, 4, 4)"),
    "a number": bad(ConfigurationError, lambda _: model().action(1.0), "shape ()"),
    "rows of different lengths": bad(
        ConfigurationError, lambda _: model().action([[1.0], [1.0, 2.0]]), "shape"
    ),
    "complex configurations": bad(
        ConfigurationError,
        lambda _: model().action(fields(1, 1, 4, 4) + 1j),
        "real numbers",
        "complex128",
    ),
    "text for configurations": bad(
        ConfigurationError, lambda _: model().action(fields(1, 1, 4, 4).astype(str)), "real numbers"
    ),
    "NaN in configurations": bad(
        ConfigurationError, lambda _: model().action(with_entry(math.nan)), "1 entries"
    ),
    "infinity in configurations": bad(
        ConfigurationError, lambda _: model().action(with_entry(-math.inf)), "1 entries"
    ),
    "overflow of the precision": bad(
        ConfigurationError, lambda _: model().action(with_entry(1e300)), "infinite in float32"
    ),
    "unknown function of a model": bad(
        OptionError,
        lambda _: model().evaluate("energy", fields(1, 1, 4, 4)),
        "function energy",
        "action_and_gradient",
    ),
    # backends, theories, files
    "unknown backend": bad(
        BackendError, lambda _: sd.compile(theory(), "tensorflow"), "tensorflow", "jax, torch"
    ),
    "unknown precision of a backend": bad(
        OptionError,
        lambda _: sd.compile(theory(), precision="float16"),
        "float16",
        "'float32' or 'float64'",
    ),
    "unknown theory": bad(
        TheoryFileError,
        lambda _: sd.load_theory("scalar_phi5"),
        "scalar_phi5",
        "scalar_phi4",
        "spelling",
    ),
    "unknown file": bad(TheoryFileError, lambda p: sd.load_theory(p / "none.py"), "none.py", "existing file"),
    "directory for a file": bad(TheoryFileError, lambda p: sd.load_theory(p), "suffix"),
    "file that raises": bad(
        TheoryFileError,
        lambda p: sd.load_theory(written(p / "mine.py", "a = 1\n\nb = a / 0\n")),
        "mine.py",
        "ZeroDivisionError: division by zero (line 3)",
        "traceback",
    ),
    "file that exits": bad(
        TheoryFileError,
        lambda p: sd.load_theory(written(p / "mine.py", "raise SystemExit(3)")),
        "SystemExit",
    ),
    "file that is not Python": bad(
        TheoryFileError,
        lambda p: sd.load_theory(written(p / "mine.py", "x = (\n")),
        "SyntaxError",
        "line",
    ),
    "file that imports what is not there": bad(
        TheoryFileError,
        lambda p: sd.load_theory(written(p / "mine.py", "import not_a_module")),
        "ModuleNotFoundError",
    ),
    "file of zeros": bad(TheoryFileError, lambda p: sd.load_theory(written(p / "mine.py", "\0")), "mine.py"),
    "file without a theory": bad(
        TheoryFileError,
        lambda p: sd.load_theory(written(p / "mine.py", "x = 1")),
        "`theory`",
        "none",
    ),
    "file with another theory": bad(
        TheoryFileError,
        lambda p: sd.load_theory(written(p / "mine.py", "theory = 'phi4'")),
        "found:    str",
    ),
    "file with a wrong declaration": bad(
        LatticeError,
        lambda p: sd.load_theory(written(p / "mine.py", "import sesamo_dsl as sd\ntheory = sd.Lattice(0)")),
        "Lattice(0)",
    ),
    # runs
    "unwritable run directory": bad(
        RunError,
        lambda p: model().train(progress=False, steps=1, directory=below_a_file(p)),
        "can be written",
        "fix",
    ),
    "file for a run directory": bad(
        RunError,
        lambda p: model().train(progress=False, steps=1, directory=written(p / "run", "a file")),
        "can be written",
    ),
    "no run there": bad(RunError, lambda p: sd.load_run(p / "nowhere"), "nowhere", "run.json"),
    # annealing
    "slit that no start finds": bad(
        sd.errors.AnnealingError,
        lambda _: sd.anneal(
            theory(
                L.sum(
                    PHI**2 + sp.Piecewise((sp.S.Zero, abs(PHI - 5) < sp.Rational(1, 10**12)), (sp.oo, True))
                )
            ),
            progress=False,
        ),
        "where S is finite",
    ),
    "two walkers": bad(OptionError, lambda _: sd.anneal(theory(), walkers=2), "walkers of anneal", "≥ 32"),
    # options
    "unknown option": bad(OptionError, lambda _: train(epochs=10), "option epochs", "learning_rate"),
    "no steps": bad(OptionError, lambda _: train(steps=0), "option steps", "≥ 1", "0"),
    "half a step of training": bad(OptionError, lambda _: train(steps=2.5), "option steps", "2.5"),
    "batch of one": bad(OptionError, lambda _: train(batch=1), "option batch", "≥ 2"),
    "negative seed": bad(OptionError, lambda _: train(seed=-1), "option seed"),
    "negative rate": bad(OptionError, lambda _: train(learning_rate=-1e-3), "learning_rate", "> 0"),
    "NaN rate": bad(OptionError, lambda _: train(learning_rate=math.nan), "nan"),
    "text rate": bad(OptionError, lambda _: train(learning_rate="fast"), "'fast'"),
    "text time": bad(OptionError, lambda _: train(seconds="long"), "'long'"),
    "no time": bad(OptionError, lambda _: train(seconds=0), "option seconds"),
    "no clipping": bad(OptionError, lambda _: train(clip=0), "option clip"),
    "flat penalty": bad(OptionError, lambda _: train(penalty_height=math.inf), "penalty_height"),
    "unknown law": bad(OptionError, lambda _: train(law="heatbath"), "option law", "'heat_bath'"),
    "unknown strategy": bad(OptionError, lambda _: train(strategy="mirror"), "'fold' or 'penalty'"),
    "unknown gradient": bad(OptionError, lambda _: train(gradient="reinforce"), "'path'"),
    "no gradient": bad(OptionError, lambda _: train(gradient=None), "'path'"),
    "unknown base": bad(OptionError, lambda _: train(base="uniform"), "'vacuum'"),
    "flow by name": bad(OptionError, lambda _: train(flow="RealNVP"), "a FlowSpec"),
    "flow without layers": bad(OptionError, lambda _: sd.FlowSpec(layers=0, hidden=(8,)), "layers", ">= 1"),
    "flow of text layers": bad(OptionError, lambda _: sd.FlowSpec(layers="8", hidden=(8,)), "layers", "'8'"),
    "flow of one width": bad(OptionError, lambda _: sd.FlowSpec(layers=2, hidden=8), "hidden", "tuple"),
    "flow with an even kernel": bad(OptionError, lambda _: sd.FlowSpec(layers=2, hidden=(), kernel=4), "odd"),
    "flow of an unknown kind": bad(
        OptionError,
        lambda _: sd.FlowSpec(layers=2, hidden=(), transform="cubic"),
        "'affine' or 'spline'",
    ),
    "flow without bound": bad(
        OptionError, lambda _: sd.FlowSpec(layers=2, hidden=(), bound=math.nan), "bound"
    ),
    "base with a hole": bad(
        OptionError,
        lambda _: GaussianBase.from_precision([0.0], np.zeros((4, 1, 1))),
        "positive definite",
    ),
    "base of another shape": bad(
        OptionError,
        lambda _: GaussianBase.from_precision([0.0, 1.0], np.ones((4, 1, 1))),
        "precision",
    ),
}


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize("name", TABLE)
def test_bad_input(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    case = TABLE[name]
    with pytest.raises(sd.SesamoError) as caught:
        case.act(tmp_path)
    error, message = caught.value, str(caught.value)
    assert type(error) is case.error
    explanation = f"expected: {error.expected}\n  found:    {error.found}\n  remedy:   {error.remedy}"
    assert message == f"{error.subject}\n  {explanation}"
    for part in (error.subject, error.expected, error.found, error.remedy):
        assert part.strip()
    for word in case.words:
        assert word in message, message
    assert not (tmp_path / "never-made").exists(), (
        "nothing is written before the options are known to be right"
    )


def test_every_public_error_is_raised_somewhere() -> None:
    """The table covers all error classes but those that have tests of their own."""
    errors = {e for e in vars(sd.errors).values() if isinstance(e, type) and issubclass(e, sd.SesamoError)}
    elsewhere = {sd.SesamoError, TrainingDivergedError, ProgramError, NotNormalizableError}
    elsewhere |= {sd.errors.InternalError, sd.errors.RunNotKeptError}
    assert {case.error for case in TABLE.values()} == errors - elsewhere


def test_samples_and_observables_of_a_run(tmp_path: Path) -> None:
    run = model().train(progress=False, steps=1, batch=4, directory=tmp_path / "run")
    for count in (0, -3, 2.5, "many"):
        with pytest.raises(OptionError, match="sample count"):
            run.sample(count)
    with pytest.raises(OptionError, match="observable energy"):
        run.sample(8).expect("energy")
    with pytest.raises(ConfigurationError, match="shape"):
        run.log_prob(fields(1, 4, 4))


def test_a_backend_that_is_not_installed_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("jax", "a_framework_that_is_missing:BACKEND", backends.ENTRY_POINTS)
    monkeypatch.setattr(backends, "entry_points", lambda group: [entry])
    with pytest.raises(BackendError, match=r"pip install 'sesamo-dsl\[jax\]'") as caught:
        sd.compile(theory(), "jax")
    assert "a_framework_that_is_missing" in caught.value.found


def test_a_false_claim_comes_with_its_evidence() -> None:
    """The error can be acted on: configuration, couplings and difference belong together."""
    action = L.sum(PHI**2 + H * PHI)
    with pytest.raises(sd.NotInvariantError) as caught:
        sd.analyse(theory(action, symmetries=[sd.Z2(PHI, exact=True)], defaults={H: 0}))
    error = caught.value
    couplings = error.found.split("with couplings ")[1]
    h = float(couplings.split(" = ")[1])
    assert h != 0, "a coupling that is off by default is switched on to show the breaking"
    assert abs(error.difference + 2 * h * error.counterexample.sum()) < 1e-10
