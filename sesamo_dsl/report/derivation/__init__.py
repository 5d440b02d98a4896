"""The derivation of an analysis in a format for print.

:mod:`sesamo_dsl.analysis.derivation` has its content and the plain-text writer. From the ground up:

- ``markup``: the parser of the notation of its formulas;
- ``writer``: the base class of the LaTeX and HTML writers;
- ``latex``, ``html``: one writer each, with its SymPy printer.
"""

from __future__ import annotations

from typing import Literal, get_args

from ...analysis.derivation.content import content
from ...analysis.derivation.text import TextWriter
from ...analysis.derivation.writer import Writer
from ...analysis.result import Analysis
from ...errors import OptionError
from .html import HtmlWriter
from .latex import LatexWriter

Format = Literal["text", "latex", "html"]

_WRITERS: dict[Format, type[Writer]] = {"text": TextWriter, "latex": LatexWriter, "html": HtmlWriter}


def inner_html(analysis: Analysis) -> str:
    """The derivation as a fragment of HTML with MathML."""
    return HtmlWriter().fragment(tuple(content(analysis)))


def derivation(analysis: Analysis, format: Format = "text") -> str:
    """The text of the derivation: all verdicts, proofs and formulas of an analysis.

    Parameters
    ----------
    format
        ``"text"``; ``"latex"``, a fragment to input into a document that uses amsmath; or ``"html"``, a page
        by itself with MathML.

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
