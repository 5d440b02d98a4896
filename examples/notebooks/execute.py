"""Executes the notebooks of this folder, all of them or those that are named, each in a kernel of its own.

python examples/notebooks/execute.py [--out FOLDER] [NAME …]

They are kept without outputs. With ``--out`` executed copies are written to a folder; without it nothing is
written, and a notebook that fails is named. It needs ``pip install 'sesamo-dsl[torch,chains,notebook]'``.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import nbclient
import nbformat

HERE = Path(__file__).parent
SECONDS = 900  # of one cell


def executed(path: Path) -> nbformat.NotebookNode:
    """The notebook with its outputs; nbclient's CellExecutionError if a cell fails."""
    notebook = nbformat.read(path, 4)
    nbclient.NotebookClient(notebook, timeout=SECONDS, kernel_name="python3").execute()
    return notebook


def main() -> int:
    """Execute and report; 1 if one fails."""
    parser = argparse.ArgumentParser(description="Execute the notebooks of this folder.")
    parser.add_argument("names", nargs="*", help="names without .ipynb; all by default")
    parser.add_argument("--out", type=Path, help="folder for executed copies")
    given = parser.parse_args()
    known = {path.stem: path for path in sorted(HERE.glob("*.ipynb"))}
    if unknown := [name for name in given.names if name not in known]:
        parser.error(f"no notebook {unknown[0]}; there are {', '.join(known)}")
    failed = 0
    for name in given.names or known:
        begin = time.perf_counter()
        try:
            notebook = executed(known[name])
        except nbclient.exceptions.CellExecutionError as error:
            failed += 1
            print(f"{name} fails:\n{error}", file=sys.stderr)
            continue
        print(f"{name}   {time.perf_counter() - begin:.0f} s")
        if given.out is not None:
            given.out.mkdir(parents=True, exist_ok=True)
            nbformat.write(notebook, given.out / f"{name}.ipynb")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
