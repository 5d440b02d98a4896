"""The README's Python is run, with fewer steps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from support import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_python_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where a run without a directory of its own is kept
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    code = "\n".join(blocks)
    assert code.count("steps=3000") == 3
    scope: dict[str, Any] = {}
    exec(compile(code.replace("steps=3000", "steps=3"), "README.md", "exec"), scope)
    assert 0 < scope["samples"].ess <= 1
    assert callable(scope["test_laws"])
    assert len(list(Path("runs").glob("*/run.json"))) == 3


def test_named_commands_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"`make (\w+)`", README))
    assert {"demo", "test"} <= targets
    for target in sorted(targets):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
