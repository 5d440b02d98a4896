"""The derivation of an analysis for a referee, as text, LaTeX or HTML.

One list of lines says what there is to say, three writers say how it looks. From the ground up:

- ``lines``: a line, in which mathematics is written in one notation for all formats;
- ``finite``, ``lie``, ``content``: what is said of the finite group, of the Lie groups, and of everything;
- ``markup``: that notation, parsed;
- ``writer``: what the formats have in common;
- ``text``, ``latex``, ``html``: one writer each, with its SymPy printer.
"""

from __future__ import annotations

from typing import Literal, get_args

from ...analysis.result import Analysis
from ...errors import OptionError
from .content import content
from .html import HtmlWriter
from .latex import LatexWriter
from .text import TextWriter
from .writer import Writer

Format = Literal["text", "latex", "html"]

_WRITERS: dict[Format, type[Writer]] = {"text": TextWriter, "latex": LatexWriter, "html": HtmlWriter}


def derivation(analysis: Analysis, format: Format = "text") -> str:
    """Everything that was proved and derived, with the formulas.

    Parameters
    ----------
    format
        ``"text"``; ``"latex"``, a fragment to input into a document that uses amsmath; or ``"html"``, a page
        of its own with MathML.

    Raises
    ------
    OptionError
        For any other format.
    """
    if format not in _WRITERS:
        raise OptionError(
            "format of a derivation",
            expected=f"one of {', '.join(get_args(Format))}",
            found=repr(format),
            remedy="choose one of them",
        )
    return _WRITERS[format]().document(tuple(content(analysis)))
