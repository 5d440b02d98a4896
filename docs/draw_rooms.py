"""Draws the rooms of the package into docs/architecture.md, in the order that pyproject.toml keeps.

python docs/draw_rooms.py
"""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- rooms: drawn by docs/draw_rooms.py -->\n", "<!-- end of rooms -->"
FLOORS = {  # the highest room of each floor
    "cli": "for people",
    "compiled": "what a user holds",
    "stages": "the work, on a backend",
    "backend": "agreed with backends",
    "lowering": "from symbols to the Program",
    "analysis": "what is found out",
    "laws": "before any framework",
    "language": "what is declared",
    "machine": "for all",
}


def rooms() -> list[str]:
    """All rooms, the highest first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    return next(contract["layers"] for contract in contracts if contract["type"] == "layers")


def drawing() -> str:
    """The rooms as a column, floor by floor; each room may import what is below it."""
    width = 20
    lines = []
    for room in rooms():
        if room in FLOORS or not lines:
            lines.append(f"{'├' if lines else '┌'}{'─' * width}{'┤' if lines else '┐'}")
        lines.append(f"│ {room:<{width - 1}}│  {FLOORS.get(room, '')}".rstrip())
    return "\n".join(["```", *lines, f"└{'─' * width}┘", "```"])


def page() -> str:
    """The page with the drawing of today."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    return before + BEGIN + "\n" + drawing() + "\n\n" + END + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
