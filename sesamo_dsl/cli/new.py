"""The command new: the file of a theory, from a template, to be changed by its owner."""

from __future__ import annotations

import keyword
import re
import sys
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from .. import checks
from ..errors import OptionError
from ..language.theory_files import load_theory
from ..machine.files import write_text
from ..machine.outputs import check_output
from .application import command
from .arguments import parse_path
from .output import note, say, tell

Kind = Literal["real", "complex", "doublet", "vector"]
_GROUPS: dict[str, tuple[str, ...]] = {
    "real": ("Z2",),
    "complex": ("U1", "Z2", "Z3", "Z4", "Z6", "Z8"),
    "doublet": ("SU2", "Z2"),
    "vector": ("SO", "Z2"),
}
"""The groups that the φ⁴ action of each kind of field has, the largest one first."""
_CALLS = {"U1": "sd.U1(phi)", "SU2": "sd.SU2(phi)", "SO": "sd.SO(phi)", "Z2": "sd.Z2(phi)"}
_MOST_COMPONENTS = 64
_EXTENTS = re.compile(r"[1-9][0-9]{0,5}(x[1-9][0-9]{0,5})*")


@command("new")
def new(
    name: Annotated[
        Path,
        typer.Argument(parser=parse_path, metavar="NAME", help="The name of the theory, or a new .py file."),
    ],
    shape: Annotated[
        str | None, typer.Option(metavar="EXTENTS", help="Extents of the lattice, as 64 or 8x8.")
    ] = None,
    field: Annotated[
        Kind | None,
        typer.Option(help="The field; a doublet is two complex fields, a vector n real ones."),
    ] = None,
    components: Annotated[
        int | None, typer.Option(min=2, max=_MOST_COMPONENTS, help="Components of a vector field.")
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="GROUP",
            help="The group to modulate with: Z2 of every field, U1, Z3, Z4, Z6 or Z8 of a complex one, SU2 "
            "of a doublet, SO of a vector; none for no group.",
        ),
    ] = None,
    source: Annotated[
        bool | None, typer.Option("--source/--no-source", help="A source h, which breaks the symmetries.")
    ] = None,
) -> None:
    """Write the file of a new theory, φ⁴ with a field and a group of your choice, ready to be trained.

    On a terminal it asks for what is not given; else: 8x8, a real field, its largest group, no source.
    """
    path = name if name.suffix == ".py" else name.with_name(f"{name.name}.py")
    title = path.stem
    if not title.isidentifier() or keyword.iskeyword(title) or not title.isascii():
        raise OptionError(
            f"name {name}",
            expected="letters, digits and underscores, not starting with a digit",
            found=repr(title),
            remedy="choose for instance my_phi4",
        )
    if path.exists():
        raise OptionError(
            f"file {path}",
            expected="a new file",
            found="one that exists",
            remedy="choose another name; nothing is overwritten",
        )
    check_output(path)
    shape = _extents(_asked(shape, "Extents of the lattice", "8x8"))
    kind = _one_of(_asked(field, f"Field ({', '.join(_GROUPS)})", "real"), tuple(_GROUPS), "--field")
    if components is not None and kind != "vector":
        raise OptionError(
            f"--components {components}",
            expected="a vector field",
            found=f"--field {kind}",
            remedy="leave it out, or give --field vector",
        )
    size = 1 if kind != "vector" else _components(_asked(components, "Components", 3))
    known = _GROUPS[kind]
    groups = _group(_asked(group, f"Group ({', '.join(known)} or none)", known[0]), kind)
    broken = _asked(source, "A source h that breaks the symmetries?", False)
    text = _template().render(
        name=title,
        extents=", ".join(shape.split("x")),
        kind=kind,
        size=size,
        symmetries=[_CALLS.get(g, f"sd.Cyclic({g[1:]}, phi)") for g in groups],
        source=broken,
        command=path,
        directions=len(shape.split("x")),
    )
    write_text(path, text)
    load_theory(path)
    say(f"theory             {path}")
    tell(file=path, name=title, shape=shape, field=kind, groups=groups, source=broken)
    note(f"next: sesamo-dsl check {path}\n      sesamo-dsl train {path}")


T = TypeVar("T", str, int, bool)


def _asked(given: T | None, question: str, default: T) -> T:
    """What was given; else an answer on the terminal; else the default."""
    if given is not None:
        return given
    if not sys.stdin.isatty():
        return default
    ask: Any = typer.confirm if isinstance(default, bool) else typer.prompt
    return ask(question, default=default, err=True)


def _extents(text: str) -> str:
    if _EXTENTS.fullmatch(text) is None:
        raise OptionError(
            f"--shape {text}",
            expected="extents ≥ 1 joined by x",
            found=checks.shown(text),
            remedy="write for instance 64 or 8x8",
        )
    return text


def _components(number: int) -> int:
    return checks.integer(number, "components of a vector field", least=2, most=_MOST_COMPONENTS)


def _one_of(text: str, known: tuple[str, ...], option: str) -> str:
    if text not in known:
        raise OptionError(
            f"{option} {text}",
            expected=f"one of {', '.join(known)}",
            found=checks.shown(text),
            remedy="choose one of them",
        )
    return text


def _group(text: str, kind: str) -> list[str]:
    """The group that is modulated with, in a list; OptionError for one that the action does not have."""
    name = _one_of(text, (*_GROUPS[kind], "none"), "--group")
    return [] if name == "none" else [name]


@cache
def _template() -> Template:
    surroundings = Environment(
        loader=PackageLoader("sesamo_dsl.cli", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return surroundings.get_template("theory.py.jinja")
