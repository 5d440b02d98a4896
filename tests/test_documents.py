"""What documents say about the repository is so today."""

from __future__ import annotations

import doctest
import importlib
import re
import runpy
from pathlib import Path

import pytest

from support import ROOT

ROOMS = runpy.run_path(str(ROOT / "docs" / "draw_rooms.py"))
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


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.stem)
def test_examples_in_docstrings(path: Path) -> None:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0
    assert result.failed == 0
