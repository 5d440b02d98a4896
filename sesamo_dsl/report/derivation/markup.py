"""Parser of the formulas' notation, which plain text shows as it is and LaTeX and HTML typeset."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

WORDS = ("argmax", "log", "exp", "det", "cos", "sin", "eff", "for all")
OPERATORS = frozenset("+=()[]|,:/<>−{}·…≤≥∈∘↦⟨⟩∇Σ")
_DIGITS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_TOKEN = re.compile(
    rf"(?<=,) |(?<![A-Za-z])(?:{'|'.join(WORDS)})(?![A-Za-z])|\{{\}}|⁻¹|ᵀ|[₀-₉]+|\d+|[^\W\d_]\u0303?|\S"
)


@dataclass(frozen=True)
class Node:
    """A node of the parsed formula: a token, a value, or a structure of other nodes.

    Attributes
    ----------
    content
        The token or the value; the letter under a tilde.
    parts
        The nodes of a row, the radicand of a root, (base, subscript, superscript) of a script.
    """

    kind: Literal["row", "letter", "word", "number", "operator", "value", "tilde", "root", "script", "space"]
    content: Any = None
    parts: tuple[Node | None, ...] = ()


_INVERSE = Node("row", parts=(Node("operator", "−"), Node("number", "1")))


def parse(template: str, values: Iterator[Any]) -> Node:
    """The formula as a row node; placeholders take their values from ``values`` in order."""
    return _row(_TOKEN.findall(template), values, closing=None)


def _row(tokens: list[str], values: Iterator[Any], closing: str | None) -> Node:
    nodes: list[Node] = []
    depth = 0
    while tokens:
        if tokens[0] == closing and depth == 0:
            tokens.pop(0)
            break
        depth += (tokens[0] in "(⟨") - (tokens[0] in ")⟩")
        if tokens[0] == " " and depth:
            tokens.pop(0)  # spaces inside parentheses are dropped
            continue
        nodes.append(_scripted(tokens, values))
    return Node("row", parts=tuple(nodes))


def _scripted(tokens: list[str], values: Iterator[Any]) -> Node:
    base = _atom(tokens, values)
    below: Node | None = None
    above: Node | None = None
    while tokens:
        if tokens[0] == "ᵀ":
            tokens.pop(0)
            above = Node("letter", "T")
        elif tokens[0] == "⁻¹":
            tokens.pop(0)
            above = _INVERSE
        elif tokens[0][0] in "₀₁₂₃₄₅₆₇₈₉":
            below = Node("number", tokens.pop(0).translate(_DIGITS))
        elif tokens[0] == "_":
            tokens.pop(0)
            below = _script(tokens, values)
        elif tokens[0] == "^":
            tokens.pop(0)
            above = _script(tokens, values)
        else:
            break
    return base if below is above is None else Node("script", parts=(base, below, above))


def _script(tokens: list[str], values: Iterator[Any]) -> Node:
    if tokens[0] != "(":
        return _atom(tokens, values)
    tokens.pop(0)
    return _row(tokens, values, closing=")")


def _atom(tokens: list[str], values: Iterator[Any]) -> Node:
    token = tokens.pop(0)
    if token == "{}":
        return Node("value", next(values))
    if token == "√":
        return Node("root", parts=(_atom(tokens, values),))
    if token == " ":
        return Node("space")
    if token in WORDS:
        return Node("word", token)
    if token.isdigit():
        return Node("number", token)
    if token in OPERATORS:
        return Node("operator", token)
    if token.endswith("\u0303"):
        return Node("tilde", token[0])
    return Node("letter", token)
