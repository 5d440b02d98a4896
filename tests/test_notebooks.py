"""The notebooks of the examples: without outputs, and the quickest of them runs from beginning to end.

The others are trainings of up to half a minute each; `make notebooks` executes all of them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from support import EXAMPLES

NOTEBOOKS = sorted((EXAMPLES / "notebooks").glob("*.ipynb"))
QUICKEST = "identical_particles"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs_and_checks_its_results(path: Path) -> None:
    whole = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in whole["cells"] if cell["cell_type"] == "code"]
    assert len(code) >= 5
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)
    for cell in code:
        compile("".join(cell["source"]), path.name, "exec")
    assert any("assert " in "".join(cell["source"]) for cell in code)
    assert whole["cells"][0]["cell_type"] == "markdown"


def test_the_quickest_runs(private_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a kernel of its own; objects are shown by their HTML and pictures as images."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", "1")
    (path,) = (path for path in NOTEBOOKS if path.stem == QUICKEST)
    notebook = nbformat.read(path, 4)
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    shown = [o.get("data", {}) for cell in notebook.cells for o in cell.get("outputs", [])]
    assert sum("image/png" in data for data in shown) == 3
    assert sum("text/html" in data for data in shown) == 2
    assert not any(o.output_type == "error" for c in notebook.cells for o in c.get("outputs", []))
