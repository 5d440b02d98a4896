"""Duplication between the two backends: lines that are equal once the frameworks' names are exchanged.

    python benchmarks/twins.py [--show]

Files of the same name in ``backends/sesamo_torch`` and ``backends/sesamo_jax`` are paired; a file without a
partner counts in the total of its side. Names of arrays, modules, functions and keyword arguments that mean
the same in PyTorch, JAX and NumPy become one name each (``RENAMED``). Only code is compared: no comments,
docstrings and imports, no lines without any word, such as a bracket by itself, and no signatures of functions
and heads of classes, because both sides implement one protocol. A second total counts signatures too. A line
is the same if one of the matching blocks of both files has it.

The bar is 10 % of the lines of either side, in all and without signatures. ``--show`` prints the lines.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from difflib import SequenceMatcher
from pathlib import Path
from typing import TypeGuard

BACKENDS = Path(__file__).parent.parent / "backends"
SIDES = ("sesamo_torch", "sesamo_jax")
BAR = 0.10

RENAMED = (  # substitutions on both sides, in this order: pattern → common name
    (r"\b(torch\.Tensor|jax\.Array|np\.ndarray|Tensor|Array)\b", "ARRAY"),
    (r"\bjax\.(nn|scipy\.special|scipy\.linalg|lax\.linalg|lax)\.", "XP."),
    (r"\btorch\.(special|linalg|nn\.functional)\.", "XP."),
    (r"\bjnp\.linalg\.", "XP."),
    (r"\b(torch|jnp|jax|np|numpy)\b", "XP"),
    (r"(?i)(torch|jax)", "XP"),
    (r"\bPyTorch\b|\bJAX\b", "XP"),
    (r"\b(keepdims?)\b", "keepdims"),
    (r"\bdims?\b|\baxis\b|\baxes\b", "axis"),
    (r"\b(cat|concatenate|concat)\b", "concat"),
    (r"\b(as_tensor|asarray|tensor|array|from_numpy)\b", "asarray"),
    (r"\b(astype|to)\(", "astype("),
    (r"\b(clamp|clip)\b", "clip"),
    (r"\b(amax|max)\b", "max"),
    (r"\bbroadcast_(tensors|arrays)\b", "broadcast_arrays"),
    (r"\.swapaxes\(-1, -2\)|\.mT\b", ".mT"),
    (r"\bsolve_triangular\b|\btriangular_solve\b", "solve_triangular"),
    (r"\bmatrix_exp\b|\bexpm\b", "expm"),
    (r"\bvector_norm\b|\bnorm\b", "norm"),
    (r"\bstop_gradient\b|\bdetach\b", "detach"),
    (r"\b(repeat|tile|expand|expand_as|broadcast_to)\b", "broadcast_to"),
    (r"\barc(sin|cos|tan|sinh|cosh|tanh|tan2)\b", r"a\1"),
    (r"\bmoveaxis\b|\bmovedim\b", "moveaxis"),
)


def code_lines(path: Path, signatures: bool) -> list[str]:
    """The lines of a file that are compared, renamed."""
    text = path.read_text(encoding="utf-8")
    left_out: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom) or _is_docstring(node):
            left_out.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        elif isinstance(node, ast.FunctionDef | ast.ClassDef) and not signatures:
            first = min(part.lineno for part in (node, *node.decorator_list))
            left_out.update(range(first, node.body[0].lineno))
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        bare = re.sub(r"\s+#.*$|^#.*$", "", line).strip()
        # helpers in strings have docstrings and signatures as well
        head = not signatures and re.match(r'"""|("_\w+": .{3})?def ', bare)
        if number not in left_out and re.search(r"\w", bare) and not head:
            lines.append(_renamed(bare))
    return lines


def _is_docstring(node: ast.AST) -> TypeGuard[ast.Expr]:
    """Whether a node is a statement that consists of a string."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _renamed(line: str) -> str:
    for pattern, name in RENAMED:
        line = re.sub(pattern, name, line)
    return line


def same_lines(one: list[str], other: list[str]) -> list[str]:
    """The lines of a longest common subsequence."""
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    return [line for block in matcher.get_matching_blocks() for line in one[block.a : block.a + block.size]]


def main() -> int:
    """Print the table; the exit code is 1 if a side is above the bar."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--show", action="store_true", help="print the lines that are the same")
    show = parser.parse_args().show
    columns = "{:<18}{:>6}{:>8}{:>8}{:>10.1%}{:>9.1%}"
    print(re.sub(r"\.1%", "", columns).format("file", "same", "torch", "jax", "of torch", "of jax"))
    worst = 0.0
    for signatures in (False, True):
        total = [0, 0, 0]
        for name in sorted({path.name for side in SIDES for path in (BACKENDS / side).glob("*.py")}):
            paths = [BACKENDS / side / name for side in SIDES]
            one, other = (code_lines(path, signatures) if path.exists() else [] for path in paths)
            same = same_lines(one, other)
            counts = [len(same), len(one), len(other)]
            total = [a + b for a, b in zip(total, counts, strict=True)]
            if one and other and not signatures:
                print(columns.format(name, *counts, *(len(same) / n for n in counts[1:])))
                if show:
                    print(*(f"    {line}" for line in same), sep="\n")
        shares = [total[0] / n for n in total[1:]]
        if signatures:
            print(columns.format("with signatures", *total, *shares))
        else:
            worst = max(shares)
            print(columns.format("in all", *total, *shares), f"  bar: at most {BAR:.0%}")
    return int(worst > BAR)


if __name__ == "__main__":
    sys.exit(main())
