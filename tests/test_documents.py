"""What documents say about the repository is so today."""

from __future__ import annotations

import doctest
import importlib
import re
import runpy
import shlex
from pathlib import Path
from typing import Any, cast

import pytest
import typer

import sesamo_dsl as sd
from sesamo_dsl.cli import app
from sesamo_theories.scalar_phi4 import scalar_phi4
from support import ROOT

ROOMS = runpy.run_path(str(ROOT / "docs" / "draw_rooms.py"))
SITE = runpy.run_path(str(ROOT / "docs" / "hooks.py"))
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
    made = ("runs/", "demo/", "site/")  # by commands
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
    commands = cast(Any, typer.main.get_command(app)).commands
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


def test_every_class_of_errors_has_an_example() -> None:
    examples = {name: text.strip() for name, text in SITE["error_examples"]().items()}
    assert list(examples) == list(SITE["error_classes"]())
    raised = {name: SITE["raised"](name, text) for name, text in examples.items() if SITE["is_code"](text)}
    assert len(raised) > len(examples) / 2
    for name, error in raised.items():
        assert type(error) is SITE["error_classes"]()[name]


def test_the_page_of_commands_has_all_of_them() -> None:
    page = SITE["command_line"]()
    for name, command in cast(Any, typer.main.get_command(app)).commands.items():
        assert f"### {name}\n" in page
        assert all(option in page for parameter in command.params for option in parameter.opts)


def test_the_reference_has_all_public_names() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    modules = {"errors", "groups", "correlators"}
    assert set(re.findall(r"^::: sesamo_dsl\.(\w+)$", page, re.MULTILINE)) == {*sd.__all__} - modules
    for module in (sd.groups.catalogue, sd.correlators):
        own = {n for n, f in vars(module).items() if getattr(f, "__module__", "") == module.__name__}
        named = set(re.findall(r"^::: sesamo_dsl\.\w+\.\w+\.(\w+)$", page, re.MULTILINE))
        functions = {name for name in own if not name.startswith("_") and callable(getattr(module, name))}
        assert functions - named <= {"Z2", "Cyclic", "Options"}
