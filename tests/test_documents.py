"""What documents say about the repository is so today."""

from __future__ import annotations

import doctest
import importlib
import re
import runpy
import shlex
from pathlib import Path

import pytest
import typer

from sesamo_dsl.cli import app
from sesamo_theories.scalar_phi4 import scalar_phi4
from support import ROOT

ROOMS = runpy.run_path(str(ROOT / "docs" / "draw_rooms.py"))
DOCUMENTS = [
    "CONTRIBUTING.md",
    "README.md",
    *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))),
]
WITH_EXAMPLES = sorted(
    path for path in (ROOT / "sesamo_dsl").rglob("*.py") if ">>> " in path.read_text(encoding="utf-8")
)


def test_the_drawing_is_that_of_the_contract() -> None:
    assert ROOMS["page"]() == ROOMS["PAGE"].read_text(encoding="utf-8"), "run python docs/draw_rooms.py"


def test_every_room_says_what_belongs_there_and_what_does_not() -> None:
    """In the order of the contract."""
    rows = re.findall(
        r"^\| `(\w+)` \| (.+) \| (.+) \|$", ROOMS["PAGE"].read_text(encoding="utf-8"), re.MULTILINE
    )
    assert [name for name, _, _ in rows] == ROOMS["rooms"]()


@pytest.mark.parametrize(
    "document",
    ["CONTRIBUTING.md", "README.md", "docs/architecture.md", "docs/backends.md", "docs/extending.md"],
)
def test_named_files_exist(document: str) -> None:
    """Paths with a folder or a suffix, from the root or from the package."""
    text = (ROOT / document).read_text(encoding="utf-8")
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    quoted = re.findall(r"`([\w./]+)`", prose)
    named = {name for name in quoted if re.search(r"/|\.(py|md|toml)$", name) and "my_" not in name}
    assert len(named) >= 3
    places = [ROOT, ROOT / "sesamo_dsl", ROOT / "backends" / "sesamo_torch", ROOT / "theories"]
    made = ("runs/", "demo/")  # by commands
    missing = [
        n for n in sorted(named) if not n.startswith(made) and not any((p / n).exists() for p in places)
    ]
    assert not missing


RUN_ELSEWHERE = {"README.md": "test_readme.py", "docs/extending.md": "sampler/test_extensions.py"}
"""Documents whose Python trains, and the tests that run it with fewer steps."""


@pytest.mark.parametrize("document", DOCUMENTS)
def test_python_in_documents_runs(document: str) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL)
    if document in RUN_ELSEWHERE:
        assert blocks
        test = (ROOT / "tests" / RUN_ELSEWHERE[document]).read_text(encoding="utf-8")
        assert f'"{document}", "exec"' in test
        return
    exec(compile("\n".join(blocks), document, "exec"), {"theory": scalar_phi4(2, 2)})


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_in_documents_exist(document: str) -> None:
    """With the options that they are given."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL)
    for line in "".join(blocks).splitlines():
        program, *words = shlex.split(line, comments=True) or [""]
        if program == "sesamo-dsl":
            known = {option for parameter in commands[words[0]].params for option in parameter.opts}
            assert {word for word in words if word.startswith("--")} <= known, line


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.stem)
def test_examples_in_docstrings(path: Path) -> None:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0
    assert result.failed == 0
