"""An exported sampler gives what the run gives, in a process that has its framework and NumPy alone."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from typer.testing import CliRunner

import sesamo_dsl as sd
from sesamo_dsl.cli import app
from sesamo_dsl.errors import BackendError, OptionError
from sesamo_dsl.runs import export as exporting
from sesamo_dsl.runs.loader import Sampler
from sesamo_dsl.sampler.functions import model_functions, recipe
from sesamo_theories.complex_phi4 import complex_phi4
from sesamo_theories.gaussian_mixture import gaussian_mixture
from sesamo_theories.hubbard import hubbard, two_sites
from sesamo_torch.model import TorchModel
from support import ScaledFlow, shaken, untrained_run

PLAIN = sd.FlowSpec(layers=1, hidden=(3,), kernel=1, zero_mode=False)
SCALED = "scaled_for_an_export"
COUNT, SEED, MANY = 40, 5, 4099  # the last is more than a chunk

RECEIVER = (
    """
import importlib, importlib.abc, sys
import numpy as np

missing, out, path = sys.argv[1:]
missing = missing.split(",")

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            raise ImportError(name + " is not installed")

sys.meta_path.insert(0, Missing())
for name in missing:
    try:
        importlib.import_module(name)
    except ImportError:
        continue
    raise SystemExit(name + " can be imported")
sys.path.insert(0, path)
from load import load

sampler = load(path)
samples = sampler.sample(SEED, COUNT)
found = dict(vars(samples), log_weights=samples.log_weights)
found["log_prob"] = sampler.log_prob(samples.x[::-1].copy() + 0.25)
found["given"] = sampler.action(samples.x + 0.25)
found["one"], found["many"] = sampler.sample(SEED, 1).x, sampler.sample(SEED, MANY).x[-9:]
found["none"] = sampler.log_prob(samples.x[:0])
np.savez(out, **found)
""".replace("SEED", str(SEED))
    .replace("COUNT", str(COUNT))
    .replace("MANY", str(MANY))
)


class Waves(ScaledFlow):
    """The same flow after a Fourier transform and back, with an operation on complex numbers."""

    def forward(self, weights: Any, z: Any) -> tuple[Any, Any]:
        fft = self._xp.fft
        waves = fft.fft(z)[..., None]  # the exporter to ONNX has no new axes of complex numbers
        return super().forward(weights, self._xp.real(fft.ifft(waves[..., 0])))


sd.register_flow(SCALED, ScaledFlow)
sd.register_flow("waves_for_an_export", Waves)


def ring() -> sd.Theory:
    """A chain with two wells."""
    lattice = sd.Lattice(2)
    phi = sd.ScalarField("phi", lattice)
    action = lattice.sum((phi - phi.shift(0)) ** 2 / 4 + (phi**2 - 1) ** 2 / 4)
    return sd.Theory("two_wells", fields=[phi], action=action, symmetries=[sd.Z2(phi)])


def molecule() -> sd.Theory:
    """A broken Z₂ on a graph."""
    lattice = sd.GraphLattice(nx.path_graph(3))
    phi, h = sd.ScalarField("phi", lattice), sd.parameters("h")
    action = lattice.sum(phi**4 / 4 - phi * lattice.neighbours(phi) / 4 + h * phi)
    return sd.Theory("molecule", fields=[phi], action=action, symmetries=[sd.Z2(phi)], defaults={h: 0.2})


def ellipse() -> sd.Theory:
    """A U(1) that is broken by a square, so that the law of the angle is tabulated."""
    lattice = sd.Lattice(2)
    phi, h = sd.ComplexField("phi", lattice), sd.parameters("h")
    re, im = phi.components
    action = lattice.sum(re**2 + im**2 + h * re**2)
    return sd.Theory("ellipse", fields=[phi], action=action, symmetries=[sd.U1(phi)], defaults={h: 0.7})


THEORIES: Mapping[str, tuple[Callable[[], sd.Theory], dict[str, Any]]] = {
    "molecule": (molecule, {"flow": PLAIN, "strategy": "chart", "precision": "float64"}),
    "circle": (lambda: complex_phi4(2), {"flow": SCALED, "parameters": {"h": 0.5}}),
    "ellipse": (ellipse, {"flow": SCALED}),
    "leaking": (
        lambda: gaussian_mixture(4, 3),
        {"flow": PLAIN, "flows": 2, "strategy": "penalty", "parameters": {"h": 0.1}},
    ),
    "halves": (ring, {"flow": sd.BisectionSpec(hidden=(3,), bins=2)}),
    "wells": (ring, {"flow": SCALED}),
    "hubbard": (lambda: hubbard(two_sites(), 2, U=2), {"flow": SCALED}),
    "mixed": (ring, {"flow": SCALED, "flows": 2, "backend": "jax"}),
}


@cache
def trained(name: str) -> sd.Run:
    """A run whose weights are far from the identity."""
    theory, options = THEORIES[name]
    compiled = sd.compile(theory(), options.get("backend", "torch"), precision=options.get("precision"))
    chosen = {key: value for key, value in options.items() if key not in ("precision", "backend")}
    run = untrained_run(compiled, **chosen)
    shaken(run.model, size=0.2)
    return run


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, str], Path]]:
    """Exported runs, by name and format; equal weights are traced once, and compared by every export."""
    folder, written = tmp_path_factory.mktemp("exported"), TorchModel.exported
    kept: dict[Any, Any] = {}

    def once(model: TorchModel, form: str) -> Any:
        key = model._theory, form, tuple(float(w.sum()) for w in model.weights.values())
        if key not in kept:
            kept[key] = written(model, form)
        return kept[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TorchModel, "exported", once)
        yield cache(lambda name, to: trained(name).export(folder / f"{name}.{to}.zip", to))


def received(path: Path, missing: str, out: Path) -> dict[str, np.ndarray]:
    """What the sampler gives in a process of its own."""
    command = [
        sys.executable,
        "-I",
        "-c",
        RECEIVER,
        f"sesamo_dsl,sesamo_torch,sesamo_jax,{missing}",
        out,
        path,
    ]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with np.load(out) as arrays:
        return dict(arrays)


def test_onnx_draws_by_numpy(exported: Callable[[str, str], Path], tmp_path: Path) -> None:
    run = trained("wells")
    found = received(exported("wells", "onnx"), "torch,jax,sympy,scipy", tmp_path / "found.npz")
    assert not found["leaked"].any()
    np.testing.assert_allclose(found["log_q"], run.log_prob(found["x"]), rtol=1e-5, atol=1e-5)
    action = run.compiled.action(found["x"], run.parameters)
    np.testing.assert_allclose(found["action"], action, rtol=1e-5, atol=1e-5)
    z = np.random.default_rng([SEED, 2, 0]).standard_normal((COUNT, 1, 2), np.float32)
    weights = run.model.state()
    y = weights["flow.mean"] + np.exp(weights["flow.log_scale"]) * z
    folded = y * np.sign(y.sum(axis=(1, 2), keepdims=True))
    sign = np.sign((found["x"] * folded).sum(axis=(1, 2), keepdims=True))
    np.testing.assert_allclose(found["x"], sign * folded, rtol=1e-5, atol=1e-5)
    assert 0 < (sign > 0).sum() < COUNT


def test_onnx_names_what_it_lacks(tmp_path: Path) -> None:
    run = untrained_run(trained("wells").compiled, flow="waves_for_an_export")
    with pytest.raises(BackendError, match=r"operator aten\..*complex(.|\n)*export it to torch"):
        run.export(tmp_path / "sampler.zip", to="onnx")
    assert not (tmp_path / "sampler.zip").exists()


@pytest.mark.parametrize(
    ("name", "to", "missing"), [("hubbard", "torch", "scipy,jax"), ("mixed", "jax", "sympy,torch,optax")]
)
def test_the_receiver_gets_the_samples_of_the_run(
    name: str, to: str, missing: str, exported: Callable[[str, str], Path], tmp_path: Path
) -> None:
    run, there = trained(name), received(exported(name, to), missing, tmp_path / "found.npz")
    # the exported graph has the operations of the run; those of XLA are compiled anew
    compare(there, run, 0 if to == "torch" else 50 * np.finfo(np.float32).eps)


@pytest.mark.parametrize("name", ["molecule", "circle", "ellipse", "leaking", "halves"])
def test_the_loader_calls_the_functions_as_the_model_does(name: str) -> None:
    """Slices, laws of orientations, mixtures and leaks, without a format in between."""
    run = trained(name)
    model: Any = run.model

    class OfTheModel:
        def __init__(self, *_: Any) -> None:
            with model._scope():
                found = model_functions(model, 2, lambda function, *given: function(*given))
            self._functions = {f.name: f.function for f in found}

        def noise(self, count: int, seed: int, chunk: int) -> tuple[np.ndarray, ...]:
            z, uniform = model._noise(count, seed, 2, chunk)
            return z.numpy(), uniform.numpy(), model._flow_uniform(count, seed, 2, chunk).numpy()

        def __call__(self, function: str, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
            given = [model.arrays.constant(a, str(a.dtype)) for a in arrays]
            return tuple(a.detach().numpy() for a in self._functions[function](model.weights, *given))

    with zipfile.ZipFile(stream := io.BytesIO(), "w") as archive:
        archive.writestr("manifest.json", json.dumps({"format": 1, "lengths": [], **recipe(model)}))
    sampler = Sampler(stream, OfTheModel)
    samples = sampler.sample(SEED, COUNT)
    found = {
        **vars(samples),
        "log_weights": samples.log_weights,
        "log_prob": sampler.log_prob(samples.x[::-1] + np.array(0.25, samples.x.dtype)),
        "given": sampler.action(samples.x + np.array(0.25, samples.x.dtype)),
        "one": sampler.sample(SEED, 1).x,
        "many": sampler.sample(SEED, MANY).x[-9:],
        "none": sampler.log_prob(samples.x[:0]),
    }
    compare(found, run, 0, orbits=name in ("circle", "ellipse"))
    if name == "leaking":
        assert 0 < samples.leaked.sum() < COUNT
    nan = np.full_like(samples.x, np.nan)
    for wrong in (samples.x[:, :, None], samples.x[0], nan, samples.x + 1j, [["x"]], None):
        for function in (sampler.log_prob, sampler.action):
            with pytest.raises(ValueError, match="expected"):
                function(wrong)
    for seed, n in ((-1, 3), (1, 0), (0.5, 3), (1, 2.5)):
        with pytest.raises(ValueError, match=r"seed >= 0 and n >= 1"):
            sampler.sample(seed, n)  # pyright: ignore[reportArgumentType]


def compare(found: Mapping[str, np.ndarray], run: sd.Run, close: float, orbits: bool = False) -> None:
    """Samples, log q and S are those of the run; densities on orbits are rounded on the way."""
    own, samples = run.model.sample(COUNT, SEED), run.sample(COUNT, seed=SEED)
    x, eps = own.x + np.array(0.25, own.x.dtype), np.finfo(own.x.dtype).eps
    assert found["x"].dtype == own.x.dtype
    np.testing.assert_array_equal(samples.x, own.x)
    np.testing.assert_array_equal(found["leaked"], own.leaked)
    np.testing.assert_array_equal(found["sector"], own.sector)
    density = max(close, 20 * eps if orbits else 0)
    for key, expected, tolerance in (
        ("x", own.x, close),
        ("auxiliary", own.auxiliary, close),
        ("action", own.action, close),
        ("log_q", own.log_q, density),
        ("log_prob", run.log_prob(x[::-1]), density),
        ("given", run.compiled.action(x, run.parameters), 20 * eps),
        ("log_weights", samples.log_weights, 1e-5),
        ("one", run.model.sample(1, SEED).x, close),
        ("many", run.model.sample(MANY, SEED).x[-9:], close),
        ("none", np.zeros(0), 0),
    ):
        np.testing.assert_allclose(found[key], expected, rtol=tolerance, atol=tolerance, err_msg=key)


def test_a_file_that_gives_something_else_is_not_written(
    exported: Callable[[str, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported("wells", "onnx")
    zipped = exporting._zipped

    def spoiled(files: Mapping[str, bytes]) -> bytes:
        manifest = files["manifest.json"].replace(b'"constant": 0.0', b'"constant": 0.001')
        assert manifest != files["manifest.json"]
        return zipped({**files, "manifest.json": manifest})

    monkeypatch.setattr(exporting, "_zipped", spoiled)
    with pytest.raises(BackendError, match=r"S of given configurations(.|\n)*export to torch instead"):
        trained("wells").export(tmp_path / "sampler.zip", "onnx")
    assert not (tmp_path / "sampler.zip").exists()


def test_files_and_formats(exported: Callable[[str, str], Path], tmp_path: Path) -> None:
    path = exported("wells", "onnx")
    run = trained("wells")
    for name, to, word in (
        ("sampler.pt2", None, r"ends in \.zip"),
        ("sampler.zip", "tensorflow", "torch, jax, onnx"),
        ("sampler.zip", 3, "torch, jax, onnx"),
        ("photos.zip", None, "something else"),
        ("text.zip", None, "something else"),
    ):
        with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
            archive.writestr("manifest.json", "[]")
        (tmp_path / "text.zip").write_text("notes")
        with pytest.raises(OptionError, match=word):
            run.export(tmp_path / name, to=to)  # pyright: ignore[reportArgumentType]
    assert (tmp_path / "text.zip").read_text() == "notes"
    run.save(tmp_path / "run")
    before = path.read_bytes()
    arguments = ["export", str(tmp_path / "run"), "--output", str(path), "--to", "onnx"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert path.read_bytes() == before
    with zipfile.ZipFile(path) as archive:
        assert {"README.txt", "load.py", "manifest.json", "draw_flow.onnx"} <= set(archive.namelist())
        assert "two_wells" in archive.read("README.txt").decode()
    damaged = bytearray(before)
    damaged[len(damaged) // 2] ^= 255
    for content in (before[:-200], bytes(damaged), b"", (tmp_path / "photos.zip").read_bytes()):
        with pytest.raises(ValueError, match="expected an exported sampler"):
            Sampler(io.BytesIO(content), lambda *_: None)
