"""Pictures of matplotlib as SVG within a page: no files, no links, no names that two pictures share."""

from __future__ import annotations

import io
import itertools
import re

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.figure import Figure

_NUMBERS = itertools.count(1)
_DROPPED = re.compile(r"<metadata>.*?</metadata>|<!--.*?-->|\s+xmlns(:xlink)?=\"[^\"]*\"", re.DOTALL)
_NAMED = re.compile(r"(\bid=\"|href=\"#|url\(#)")


def inline(figure: Figure, description: str) -> Markup:
    """The picture as an ``svg`` element; ``description`` is what a screen reader says."""
    buffer = io.StringIO()
    nobody = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": "report"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=nobody)
    text = buffer.getvalue()
    text = _DROPPED.sub("", text[text.index("<svg") :]).replace("xlink:href", "href")
    prefix = f"p{next(_NUMBERS)}-"  # glyphs and clips have the same names in all pictures
    text = _NAMED.sub(lambda match: match[1] + prefix, text)
    head = Markup('<svg role="img" aria-label="{}" ').format(escape(description))
    return head + Markup(text[len("<svg") :].strip())  # made by matplotlib, which escapes what it is given
