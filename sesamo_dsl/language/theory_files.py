"""Loading theories: those that come with the package, and those declared in a user's Python file."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from .. import checks
from ..errors import SesamoError, TheoryFileError
from .derived import Derived
from .theory import Theory

_MOST_DIGITS = 12
"""Largest number of digits of an extent that is read as a number; the lattice has a bound of its own."""


def shipped_theories() -> tuple[str, ...]:
    """Names of the theories that come with the package."""
    package = importlib.import_module("sesamo_theories")
    return tuple(sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_")))


def is_shipped(name_or_path: str) -> bool:
    """Whether ``name_or_path`` names a theory that comes with the package, on whatever lattice."""
    return str(name_or_path).partition("@")[0] in shipped_theories()


def source_of(name_or_path: str) -> dict[str, str]:
    """The origin of a declaration, as a run records it: the name or path, and the SHA-256 of a file."""
    if is_shipped(name_or_path):
        return {"reference": name_or_path}
    return {"reference": name_or_path, "sha256": hashlib.sha256(Path(name_or_path).read_bytes()).hexdigest()}


def load_theory(name_or_path: str | Path, *, alone: bool = False) -> Theory:
    """The theory called ``name_or_path``, or declared as ``theory = …`` in the file of that path.

    ``"scalar_phi4@16x16"`` is the shipped theory on a lattice of these extents.
    A file is run as Python: load only files you would run yourself. It can import modules beside it,
    unless it is loaded ``alone``.

    Raises
    ------
    TheoryFileError
        If there is no such theory, the file raises, or it declares none.
    """
    path = checks.path(name_or_path, "theory", error=TheoryFileError)
    name = str(name_or_path)
    if is_shipped(name):
        return _shipped(name)
    if path.suffix != ".py":
        raise TheoryFileError(
            f"theory {name}",
            expected=f"one of {', '.join(shipped_theories())}, or the path of a .py file",
            found=repr(name),
            remedy="check the spelling; a file needs its .py suffix",
        )
    if not path.is_file():
        raise TheoryFileError(
            f"theory file {name}", expected="an existing file", found="none there", remedy="check the path"
        )
    return _from_file(path, alone)


def derived_quantities(
    wanted: Sequence[str], origin: Mapping[str, str], given: Theory | None, places: Sequence[Path]
) -> tuple[Mapping[str, Derived], tuple[str, ...]]:
    """The derived quantities of a stored theory, and notes about those that are not found.

    The theory file is executed only if its SHA-256 is the same as when it was recorded. It cannot import
    modules beside it, because their SHA-256 was not recorded.

    Parameters
    ----------
    wanted
        Names of the quantities.
    origin
        The origin of the declaration as :func:`source_of` has recorded it; empty if it came from no file.
    given
        The declaration, if the caller has it.
    places
        Directories in which the theory file may be, beside its recorded path.
    """
    if given is None and wanted:
        given = recorded_theory(origin, places)
    derived = {} if given is None else given.derived
    missing = [quantity for quantity in wanted if quantity not in derived]
    if not missing:
        return derived, ()
    note = (
        f"derived quantities {', '.join(missing)} are declared in {origin.get('reference', 'Python')}, "
        "which is not there as it was, or imports files beside it: give the declaration to have them"
    )
    return derived, (note,)


def recorded_theory(origin: Mapping[str, str], places: Sequence[Path]) -> Theory | None:
    """The theory of an origin: a shipped one, or that of its file if it is found as it was recorded.

    The arguments are those of :func:`derived_quantities`.
    """
    reference = origin.get("reference")
    if reference is None:
        return None
    if is_shipped(reference):
        return load_theory(reference)
    recorded = Path(reference)
    for path in (recorded, *(place / recorded.name for place in places)):
        with suppress(OSError, TheoryFileError):
            if source_of(str(path)).get("sha256") == origin.get("sha256"):
                return load_theory(path, alone=True)
    return None


def _shipped(name_or_path: str) -> Theory:
    name, at, extents = name_or_path.partition("@")
    module = importlib.import_module(f"sesamo_theories.{name}")
    if not at:
        return module.theory
    declare = getattr(module, name)
    digits = [extent.isdecimal() and len(extent) < _MOST_DIGITS for extent in extents.split("x")]
    shape = [int(extent) if whole else 0 for extent, whole in zip(extents.split("x"), digits, strict=True)]
    takes_extents = any(p.kind is p.VAR_POSITIONAL for p in inspect.signature(declare).parameters.values())
    if not takes_extents or not all(shape):
        raise TheoryFileError(
            f"theory {name_or_path}",
            expected="extents ≥ 1 joined by x" if takes_extents else "no extents: it lives on no lattice",
            found=checks.shown(extents),
            remedy=f"write for instance {name}@16x16" if takes_extents else f"write {name}",
        )
    return declare(*shape)


def _from_file(path: Path, alone: bool) -> Theory:
    resolved = path.resolve()
    module_name = f"sesamo_user_{hashlib.sha256(str(resolved).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(module_name, resolved)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        with nullcontext() if alone else _neighbours(resolved.parent):
            spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[module_name]
        if isinstance(error, SesamoError | KeyboardInterrupt):
            raise
        raise TheoryFileError(
            f"theory file {path}",
            expected="a Python file that runs",
            found=f"{type(error).__name__}: {_message(error)}{_line(error, resolved)}",
            remedy="run it with python to see the traceback",
        ) from error
    theory = getattr(module, "theory", None)
    if not isinstance(theory, Theory):
        raise TheoryFileError(
            f"theory file {path}",
            expected="a module-level name `theory` bound to a sesamo_dsl.Theory",
            found="none" if theory is None else type(theory).__name__,
            remedy="end the file with theory = sd.Theory(…)",
        )
    return theory


@contextmanager
def _neighbours(directory: Path) -> Iterator[None]:
    """Let a theory file import modules beside it while it is run, as when python runs it.

    These modules are removed from ``sys.modules`` afterwards: two directories may hold modules of the same
    name.
    """
    before = set(sys.modules)
    sys.path.insert(0, str(directory))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(directory))
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None)
            if file and directory in Path(file).parents and "site-packages" not in Path(file).parts:
                del sys.modules[name]


def _message(error: BaseException) -> str:
    """The message of an error on one line, also of an error that cannot be printed."""
    try:
        return " ".join(str(error).split())
    except Exception:
        return "an error without a message"


def _line(error: BaseException, path: Path) -> str:
    """The last line of the user's file that the error passed, as text; empty if there is none."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f" (line {error.lineno})"
    line, traceback = "", error.__traceback__
    while traceback is not None:
        if Path(traceback.tb_frame.f_code.co_filename) == path:
            line = f" (line {traceback.tb_lineno})"
        traceback = traceback.tb_next
    return line
