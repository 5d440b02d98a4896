"""The command doctor: what this machine has for the package, and traps that give wrong numbers."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any

import numpy as np
import typer
from rich.text import Text

from ..backend import Backend, backend_names, load_backend
from ..errors import BackendError, SesamoError
from ..machine.memory import physical_memory
from ..values.precision import Precision
from .application import FAILED, command
from .output import doing, show, tell

_SIZES = (3, 40, 200, 500)  # some linear-algebra libraries change their algorithm with the size
_TOLERANCE = 1e-6  # of log|det|; rounding is far below, a broken factorisation far above
_NEEDED = re.compile(r"([A-Za-z0-9_.-]+).*?(?:extra *== *['\"](\w+)['\"])?$")
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "XLA_FLAGS")


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes
    ----------
    part
        The part of the report it belongs to.
    subject, found
        What was looked at, and what was found.
    fails
        True if results of this machine are not to be trusted before this is mended.
    """

    part: str
    subject: str
    found: str
    fails: bool = False


@command("doctor")
def doctor() -> None:
    """Report packages, backends, devices, memory and known traps; exit code 3 if something is broken."""
    findings: list[Finding] = []
    part = ""
    with doing("examining") as update:
        for finding in _findings():
            update(f"examining {finding.part}")
            findings.append(finding)
    for finding in findings:
        if finding.part != part:
            part = finding.part
            show(Text(f"{part}", "bold"))
        mark = Text("✗ ", "bold red") if finding.fails else Text("  ")
        show(mark + Text(f"{finding.subject}: {finding.found}"))
    broken = [finding for finding in findings if finding.fails]
    show(Text(f"{len(broken)} of {len(findings)} findings are bad" if broken else "nothing is broken"))
    tell(findings=[vars(finding) for finding in findings])
    if broken:
        raise typer.Exit(FAILED)


def _findings() -> Iterator[Finding]:
    yield from _machine()
    yield from _packages()
    names = backend_names()
    usable = 0
    for name in names:
        try:
            backend = load_backend(name)
        except BackendError as error:
            yield Finding("backends", name, f"not installed: {error.remedy}")
            continue
        usable += 1
        yield from _backend(name, backend)
    if not usable:
        yield Finding("backends", "all", "none works: pip install 'sesamo-dsl[torch]'", fails=True)


def _machine() -> Iterator[Finding]:
    part = "machine"
    yield Finding(part, "Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield Finding(part, "memory", f"{physical_memory() / 2**30:.1f} GiB")
    try:
        usable = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        usable = os.cpu_count() or 1
    yield Finding(part, "processor cores", f"{usable} for this process")
    for name in _THREADS:
        if value := os.environ.get(name):
            yield Finding(part, name, value)


def _packages() -> Iterator[Finding]:
    """Every package that this one or an extra of it needs."""
    yield Finding("packages", "sesamo-dsl", version("sesamo-dsl"))
    seen = set()
    for requirement in requires("sesamo-dsl") or ():
        matched = _NEEDED.fullmatch(requirement.strip())
        if matched is None or matched[1].startswith("sesamo") or matched[2] in ("dev", "docs"):
            continue
        name, extra = matched[1], matched[2]
        if name in seen:
            continue
        seen.add(name)
        try:
            yield Finding("packages", name, version(name))
        except PackageNotFoundError:
            found = f"not installed; pip install 'sesamo-dsl[{extra}]'" if extra else "not installed"
            yield Finding("packages", name, found, fails=extra is None)


def _backend(name: str, backend: Backend) -> Iterator[Finding]:
    part = f"backend {name}"
    for library, number in backend.versions().items():
        yield Finding(part, library, number)
    yield Finding(part, "devices", ", ".join(_devices(backend)))
    if name == "torch":
        import torch

        yield Finding(part, "threads", f"{torch.get_num_threads()}")
    precisions: tuple[Precision, ...] = ("float32", "float64")
    for precision in precisions:
        yield _dtype(part, backend, precision)
    for size in _SIZES:
        yield _determinant(part, backend, size)


def _devices(backend: Backend) -> list[str]:
    """The devices of a kind that is usual, as far as the backend takes them."""
    found = []
    for device in ("cpu", *(f"{kind}:{n}" for kind in ("cuda", "xpu", "tpu") for n in range(8))):
        try:
            backend.on(device)
        except SesamoError:
            continue
        found.append(device)
    return found


def _dtype(part: str, backend: Backend, precision: Precision) -> Finding:
    """Whether numbers keep their precision: JAX drops half of the digits unless it is told not to."""
    values = np.array([1 / 3, 2 / 3], dtype=precision)
    with backend.scope(precision):
        there = backend.to_numpy(backend.to_array(values, precision) + 0)
    kept = there.dtype == values.dtype and bool(np.array_equal(there, values))
    return Finding(part, precision, "kept" if kept else f"comes back as {there.dtype}", fails=not kept)


def _determinant(part: str, backend: Backend, size: int) -> Finding:
    """log|det| of a matrix by the backend's LU factorisation against that by NumPy's QR factorisation."""
    matrix = np.random.default_rng(size).normal(size=(size, size))
    exact = float(np.log(np.abs(np.diag(np.linalg.qr(matrix)[1]))).sum())
    with backend.scope("float64"):
        xp: Any = backend.arrays().xp
        sign, value = map(backend.to_numpy, xp.linalg.slogdet(backend.to_array(matrix, "float64")))
    right = abs(float(sign)) == 1 and abs(float(value) - exact) <= _TOLERANCE * max(1.0, abs(exact))
    subject = f"log|det| of {size} × {size}"
    if right:
        return Finding(part, subject, "right")
    found = f"{float(sign):g}·exp({float(value):.8g}) where QR has {exact:.8g}: a broken LU factorisation"
    return Finding(part, subject, f"{found}; install another build of this framework", fails=True)
