"""Emitted modules on disk: written once per digest, imported from a real path so tracebacks show source."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import secrets
import sys
from pathlib import Path
from types import ModuleType

from .errors import RunError


def cache_directory() -> Path:
    """``$SESAMO_DSL_CACHE``, or ``sesamo-dsl`` in the user's cache directory."""
    override = os.environ.get("SESAMO_DSL_CACHE")
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(override) if override else Path(root) / "sesamo-dsl"


def write_text(path: Path, text: str) -> None:
    """Write a file completely or not at all; raises RunError if the place cannot be written."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """Like :func:`write_text`, for bytes."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}"
        try:
            temporary.write_bytes(data)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(
            f"file {path}",
            expected="a place that can be written",
            found=str(error),
            remedy="choose another directory or fix its permissions",
        ) from error


def load_source(name: str, source: str) -> tuple[Path, ModuleType]:
    """Store emitted source under its digest and import it."""
    digest = hashlib.sha256(source.encode("utf-8")).hexdigest()[:16]
    path = cache_directory() / f"{name}_{digest}.py"
    if not path.exists() or path.read_text(encoding="utf-8") != source:
        write_text(path, source)
    module_name = f"sesamo_emitted.{name}_{digest}"
    if module_name not in sys.modules:
        spec = importlib.util.spec_from_file_location(module_name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[module_name] = module
    return path, sys.modules[module_name]
