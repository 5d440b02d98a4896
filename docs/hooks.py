"""What of the site is made when it is built: formulas, the command line, the errors, how to cite.

The pages name the place of each by a comment, ``<!-- made here: errors -->``.
"""

from __future__ import annotations

import contextlib
import html
import re
import runpy
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
_PLACE = re.compile(r"<!-- made here: (\w+) -->")
_ROLE = re.compile(r":(?:class|func|meth|mod|data|attr):<code>(~?)([\w.]+)</code>")
_TAG = re.compile(r"\\tag\{(\w+)\}")
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)

for room in (ROOT, ROOT / "backends", ROOT / "theories"):
    sys.path.insert(0, str(room))


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put what is made here at its places."""
    return _PLACE.sub(lambda place: MADE[place[1]](), markdown)


def on_page_content(content: str, **_: Any) -> str:
    """Turn formulas into MathML, which needs no script to be shown, and the roles of docstrings into code."""
    from latex2mathml.converter import convert

    def formula(found: re.Match[str]) -> str:
        tag, bracket, latex = found.groups()
        display = "inline" if bracket == "(" else "block"
        number = "".join(f'<span class="number">({n})</span>' for n in _TAG.findall(latex))
        shown = convert(_TAG.sub("", html.unescape(latex)), display=display)
        return f'<{tag} class="arithmatex">{shown}{number}</{tag}>'

    def named(found: re.Match[str]) -> str:
        return f"<code>{found[2].rpartition('.')[2] if found[1] else found[2]}</code>"

    return _ROLE.sub(named, _FORMULA.sub(formula, content))


def command_line() -> str:
    """Every command with its arguments and options, in the words of ``--help``."""
    import typer

    from sesamo_dsl.cli import app

    group: Any = typer.main.get_command(app)
    parts = []
    for name, command in group.commands.items():
        context = command.make_context(name, [], resilient_parsing=True)
        pieces = [
            re.sub(r"^{(.*)}$|^\[(\[.*\])\]$", r"\1\2", p) for p in command.collect_usage_pieces(context)
        ]
        usage = " ".join(["sesamo-dsl", name, *pieces])
        rows = [p.get_help_record(context) for p in command.params]
        table = [f"| `{names}` | {text.replace('|', chr(92) + '|')} |" for names, text in filter(None, rows)]
        parts += [f"### {name}", command.help, f"```text\n{usage}\n```"]
        parts += ["\n".join(["| | |", "|---|---|", *table])] * bool(table)
    return "\n\n".join([*parts, "### Exit codes", group.epilog.removeprefix("Exit codes: ")])


def errors() -> str:
    """Every class of errors: when it is raised, an example, and what the example says."""
    return "\n\n".join(_error_section(name, kind) for name, kind in error_classes().items())


def error_classes() -> dict[str, type[BaseException]]:
    """The exceptions of ``sesamo_dsl.errors`` in their order, without the base of all."""
    from sesamo_dsl import errors

    kinds = {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, BaseException) and value is not errors.SesamoError
    }
    return {name: kind for name, kind in kinds.items() if kind.__module__ == errors.__name__}


def error_examples() -> dict[str, str]:
    """What is shown for each class: Python that raises it, or text about what no Python brings about."""
    return runpy.run_path(str(ROOT / "docs" / "error_examples.py"))["EXAMPLES"]


def raised(name: str, code: str) -> BaseException:
    """The error of this class that an example raises; AssertionError if it does not."""
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        try:
            exec(compile(code, f"example of {name}", "exec"), {})
        except (Exception, KeyboardInterrupt) as error:
            if type(error).__name__ == name:
                return error
            raise
    raise AssertionError(f"the example of {name} raises nothing")


def is_code(example: str) -> bool:
    """Whether an example is Python, and not text."""
    return example.startswith("import ")


def _error_section(name: str, kind: type[BaseException]) -> str:
    example = error_examples()[name].strip()
    above = kind.__mro__[1].__name__
    base = "" if above == "SesamoError" else f" It is a {above}."
    lines = [f"## {name}", (kind.__doc__ or "").partition("\n")[0] + base]
    if is_code(example):
        message = f"{name}: {raised(name, example)}"
        lines += [f"```py\n{example}\n```", f"```text\n{message}\n```"]
    else:
        lines.append(example)
    return "\n\n".join(lines)


def citation() -> str:
    """CITATION.cff as it is, and as BibTeX."""
    import yaml

    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    record = yaml.safe_load(text)
    (paper,) = record["references"]
    people = " and ".join(f"{p['family-names']}, {p['given-names']}" for p in paper["authors"])
    entries = [
        ("software", "sesamo_dsl", record["title"], "{" + record["authors"][0]["name"] + "}", None, None),
        ("article", "sesamo", paper["title"], people, paper["year"], paper["url"]),
    ]
    return "```bibtex\n" + "\n".join(_bibtex(record["version"], *entry) for entry in entries) + "```"


def _bibtex(version: str, kind: str, key: str, title: str, who: str, year: Any, url: Any) -> str:
    fields: Iterator[tuple[str, Any]] = iter(
        [("title", f"{{{title}}}"), ("author", who), ("year", year), ("url", url)]
        + [("version", version)] * (kind == "software")
    )
    return f"@{kind}{{{key},\n" + "".join(f"  {n} = {{{v}}},\n" for n, v in fields if v is not None) + "}\n"


MADE: dict[str, Callable[[], str]] = {"command_line": command_line, "errors": errors, "citation": citation}
