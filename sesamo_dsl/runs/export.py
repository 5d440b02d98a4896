"""The hand-over of a trained sampler: one zip file that needs a framework and nothing of this package.

The file has the functions of the model in a format of the framework (:mod:`sesamo_dsl.sampler.functions`),
``manifest.json`` with all numbers that their caller needs, ``load.py``, which samples and evaluates log q and
S with them (:mod:`sesamo_dsl.runs.loader`), and ``README.txt``.

=========  ===================================================  ==============================================
format     functions                                            random numbers of a sample
=========  ===================================================  ==============================================
torch      ``.pt2`` of ``torch.export``, for any batch          of ``torch.Generator``, as in the run
jax        StableHLO of ``jax.export``                          of ``jax.random``, as in the run
onnx       ONNX, made of those for torch                        of NumPy
=========  ===================================================  ==============================================

An export ends with a comparison: ``load.py`` is run, and fresh samples and densities must be those of the
model. Only then is the file written. A run as a distribution of its framework is handed over here as well.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np

from .. import checks
from ..backend import Exported, Model, ModelWithDistribution, ModelWithExport, load_backend, placed
from ..compiled_program import CompiledProgram
from ..errors import BackendError, OptionError, RunError
from ..flows.base import GaussianBase
from ..machine.cache import load_source
from ..machine.files import ARCHIVE_DAMAGES, write_bytes
from ..machine.outputs import check_output
from ..plan.plan import Plan
from ..values.couplings import Couplings, arrays_only, numbers_only
from .loader import loader_text

FORMS: Mapping[str, str] = {"torch": "torch", "jax": "jax", "onnx": "torch"}
"""Formats, and the backend that writes each."""
_FORMAT = 1
_KIND = "sampler of sesamo-dsl"
_COMPARED = 256
"""Samples of an export that are compared with those of the model."""
_SEED = 20_619
TOLERANCE = 2000.0
"""Tolerance of the comparison in units of the machine precision, relative to 1 + the value."""


def export_model(
    path: str | Path,
    to: str,
    compiled: CompiledProgram,
    parameters: Couplings,
    base: GaussianBase,
    plan: Plan,
    state: Mapping[str, np.ndarray],
    notes: tuple[str, ...],
) -> Path:
    """Write the sampler of a run; see ``Run.export``."""
    target = _checked(path, to)
    backend = placed(load_backend(FORMS[to]), "cpu")
    program = CompiledProgram.of(compiled.program, compiled.facts, backend, compiled.precision)
    model = backend.model(program, parameters, base, plan)
    model.load_state(state)
    exported = cast(ModelWithExport, model).exported(to)
    manifest = {
        "kind": _KIND,
        "format": _FORMAT,
        "theory": program.program.theory,
        "components": list(program.program.components),
        "couplings": numbers_only(parameters),
        "site_dependent": sorted(arrays_only(parameters)),
        "functions": list(exported.functions),
        "lengths": list(exported.lengths),
        **exported.recipe,
        "notes": list(notes),
        "versions": {"sesamo-dsl": version("sesamo-dsl"), "numpy": np.__version__, **backend.versions()},
    }
    loader = loader_text(exported.loader, exported.imports, f"NumPy and {exported.needs}")
    texts = {
        "README.txt": _readme(manifest, target.name, to, exported),
        "load.py": loader,
        "manifest.json": json.dumps(manifest, indent=1, ensure_ascii=False),
    }
    data = _zipped({**{name: text.encode("utf-8") for name, text in texts.items()}, **exported.files})
    types = {compiled.precision, plan.flow_precision or compiled.precision}
    _compare(data, loader, model, exported, to, max(float(np.finfo(name).eps) for name in types))
    write_bytes(target, data)
    return target


def distribution_of(model: Model, compiled: CompiledProgram) -> Any:
    """The density of a model as a distribution of its framework; see ``Run.distribution``."""
    if not hasattr(model, "distribution"):
        raise BackendError(
            f"distribution of a run of theory {compiled.program.theory}",
            expected="a backend with distributions, such as torch and jax",
            found=f"the {compiled.backend.name} backend, which has none",
            remedy="load the run with backend='torch' or backend='jax'",
        )
    return cast(ModelWithDistribution, model).distribution()


def _checked(path: str | Path, to: str) -> Path:
    """The file to write; OptionError for an unknown format, or a file that is something else."""
    if not isinstance(cast(object, to), str) or to not in FORMS:
        raise OptionError(
            "format of an export",
            expected=f"one of {', '.join(FORMS)}",
            found=checks.shown(to),
            remedy="write to='torch'",
        )
    target = checks.path(path, "file of an export")
    if target.suffix != ".zip":
        raise OptionError(
            f"file {target}",
            expected="a name that ends in .zip",
            found=target.suffix or "no ending",
            remedy=f"write for instance {target.with_suffix('.zip').name}",
        )
    check_output(target, (".zip",))
    if target.is_file() and not _is_an_export(target):
        raise OptionError(
            f"file {target}",
            expected="a new file, or an exported sampler, which is replaced",
            found="a file that exists, and is something else",
            remedy="choose another name",
        )
    return target


def _is_an_export(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = json.loads(archive.read("manifest.json"))
    except ARCHIVE_DAMAGES:
        return False
    return isinstance(manifest, dict) and cast(dict[str, Any], manifest).get("kind") == _KIND


def _zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip file; equal contents give equal bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def _compare(data: bytes, loader: str, model: Model, exported: Exported, to: str, rounding: float) -> None:
    """BackendError unless the file gives samples, log q and S of the model.

    Parameters
    ----------
    rounding
        The machine precision of the model.
    """
    ours = model.sample(_COMPARED, _SEED)
    if not (np.isfinite(ours.x).all() and np.isfinite(ours.log_q[~ours.leaked]).all()):
        raise RunError(
            "export of a run",
            expected="a model whose samples are finite",
            found="samples that are NaN or infinite",
            remedy="train the run on, or again with a lower learning rate",
        )
    module = load_source(f"load_{to}", loader)[1]
    try:
        sampler = module.load(io.BytesIO(data))
        theirs = sampler.sample(_SEED, _COMPARED)
    except Exception as error:
        raise BackendError(
            f"export to {to}",
            expected=f"functions that {exported.needs} can run",
            found=f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}",
            remedy=_instead(to),
        ) from error
    given, far = ours, ours.x + np.random.default_rng(_SEED).normal(size=ours.x.shape).astype(ours.x.dtype)
    if exported.evaluate is not None:
        ours = module.Sampler(io.BytesIO(data), _of_the_model(exported)).sample(_SEED, _COMPARED)
    pairs = {
        "samples": (theirs.x, ours.x),
        "log q of the samples": (theirs.log_q, ours.log_q),
        "S of the samples": (theirs.action, ours.action),
        "leaked samples": (theirs.leaked, ours.leaked),
        "group elements": (theirs.sector, ours.sector),
        "auxiliary coordinates": (theirs.auxiliary, ours.auxiliary),
        "log q of given configurations": (sampler.log_prob(far), model.log_prob(far)),
        "S of given configurations": (sampler.action(given.x), given.action),
    }
    for name, (found, expected) in pairs.items():
        difference = _difference(found, expected)
        if not difference <= TOLERANCE * rounding:
            raise BackendError(
                f"export to {to}",
                expected=f"{name} as the model has them, to {TOLERANCE * rounding:.1g}",
                found=f"{difference:.3g}, relative, with functions that {exported.needs} runs",
                remedy=_instead(to),
            )


def _instead(to: str) -> str:
    return f"export to {'torch' if to != 'torch' else 'jax'} instead"


def _difference(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest |a − b|/(1 + |b|); NaN and infinities count as equal to themselves alone."""
    if found.shape != expected.shape:
        return np.inf
    a, b = found.astype(np.float64), expected.astype(np.float64)
    with np.errstate(invalid="ignore"):
        error = np.abs(a - b) / (1 + np.abs(b))
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    return float(np.where(same, 0, np.where(np.isnan(error), np.inf, error)).max(initial=0.0))


def _of_the_model(exported: Exported) -> type[Any]:
    """A class with the random numbers of the loader that calls the functions of the model itself."""
    evaluate = exported.evaluate
    assert evaluate is not None

    class OfTheModel(exported.loader):
        def __call__(self, name: str, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
            return evaluate(name, *arrays)

    return OfTheModel


def _readme(manifest: Mapping[str, Any], name: str, to: str, exported: Exported) -> str:
    shape = ", ".join(map(str, manifest["shape"]))
    notes = "".join(f"* {note}\n" for note in manifest["notes"])
    own = "by random numbers of NumPy: others than those of the run, of the same law"
    if exported.evaluate is None:
        own = f"those of the run when {to} draws them"
    couplings = [f"{k} = {v:g}" for k, v in manifest["couplings"].items()]
    couplings += [f"{name}: site by site" for name in manifest["site_dependent"]]
    return _README.format(
        **{key: manifest[key] for key in ("theory", "precision")},
        name=name,
        shape=shape,
        needs=exported.needs,
        components=", ".join(manifest["components"]),
        couplings=", ".join(couplings) or "none",
        versions=", ".join(f"{k} {v}" for k, v in manifest["versions"].items()),
        functions=", ".join(manifest["functions"]),
        own=own,
        notes=f"\nWhat a reader of results has to know\n\n{notes}" if notes else "",
    )


_README = """A sampler of {theory}
couplings: {couplings}

It draws configurations x, ({shape}), with components {components}, in {precision}, and evaluates the density
log q(x) they are drawn with, and the action S(x).
Needed: Python with NumPy and {needs}; written with {versions}.
Take load.py out of this file, and

    from load import load

    sampler = load("{name}")
    samples = sampler.sample(seed=1, n=1000)
    samples.x, samples.log_q, samples.action, samples.leaked
    sampler.log_prob(x), sampler.action(x)  # of any configurations, (n, {shape})

A sample has the weight w = exp(-S(x) - log q(x)), and weight zero if it leaked; samples.log_weights has the
logarithms. Expectation values are <f> = sum w f / sum w, log Z is that of the mean of w, and the effective
sample size per sample is (sum w)^2 / (n sum w^2). Without weights the samples are those of the model, not of
exp(-S).

One seed gives the same samples, {own}. Everything runs on the CPU.

Functions ({functions}) are described in load.py, whose class Sampler calls them in turn.
{notes}"""
