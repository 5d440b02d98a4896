"""The wheel and the source archive, without the repository: what is in them, and that they work elsewhere."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = {"sesamo_dsl", "sesamo_pytest", "sesamo_torch", "sesamo_jax", "sesamo_theories"}
USED = """
import sys
sys.path[:] = [sys.argv[1], *(p for p in sys.path if not p.startswith(sys.argv[2]) or "site-packages" in p)]
import sesamo_dsl, sesamo_theories
assert sesamo_dsl.__file__.startswith(sys.argv[1]), sesamo_dsl.__file__
assert sesamo_theories.__file__.startswith(sys.argv[1]), sesamo_theories.__file__
from sesamo_dsl.cli import app
from typer.main import get_command
get_command(app).main(sys.argv[3:], prog_name="sesamo-dsl")
"""


def built(kind: str, place: Path) -> Path:
    """The archive that the build backend makes of the repository, in another process."""
    script = f"import hatchling.build as b; print(b.build_{kind}({str(place)!r}))"
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return place / done.stdout.split()[-1]


def files_of(place: Path) -> set[Path]:
    files = {path.relative_to(place) for path in place.rglob("*") if path.is_file()}
    return {path for path in files if "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked as an installer unpacks it."""
    place = tmp_path_factory.mktemp("wheel")
    archive = built("wheel", place)
    with zipfile.ZipFile(archive) as files:
        files.extractall(place / "installed")
    return place / "installed"


def test_what_is_in_the_wheel(wheel: Path) -> None:
    names = {entry.name for entry in wheel.iterdir() if not entry.name.endswith(".dist-info")}
    assert names == PACKAGES
    sources = {"sesamo_torch": "backends", "sesamo_jax": "backends", "sesamo_theories": "theories"}
    for name in names:
        source = REPOSITORY / sources.get(name, "") / name
        assert files_of(wheel / name) == files_of(source)


def test_the_wheel_works_without_the_repository(wheel: Path, tmp_path: Path) -> None:
    """Templates are found: the command writes a theory file, which is then checked."""
    for line in (["new", "own.py"], ["check", "own.py"]):
        command = [sys.executable, "-c", USED, str(wheel), str(REPOSITORY), *line]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert "exact" in done.stdout


def test_the_wheel_can_be_built_from_the_source_archive(tmp_path: Path) -> None:
    archive = built("sdist", tmp_path)
    with tarfile.open(archive) as files:
        names = {name.partition("/")[2] for name in files.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "CITATION.cff", "constraints.txt", "Makefile"} <= names
    assert {"tests/test_package.py", "docs/index.md", "examples/numpy_backend.py"} <= names
    assert not [name for name in names if name.startswith((".venv", "runs/", "demo/", ".ci", "site/"))]
