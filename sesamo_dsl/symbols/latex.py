"""Formulas in LaTeX."""

from __future__ import annotations

from typing import Any, cast

import sympy as sp
from sympy.printing.latex import LatexPrinter, tex_greek_dictionary
from sympy.printing.precedence import PRECEDENCE
from sympy.printing.pretty.pretty_symbology import greek_unicode

from .fermions import FermionLogDet
from .fields import FieldComponent
from .lattice import SiteSum
from .notation import hop_count, name_parts, site_steps, without_trivial_sums

_GREEK: dict[str, str] = {str(char): name for name, char in greek_unicode.items() if name != "lamda"}
SYMBOLS = {
    "−": "-",
    "{": r"\{",
    "}": r"\}",
    "·": r"\cdot",
    "…": r"\ldots",
    "≤": r"\leq",
    "≥": r"\geq",
    "∈": r"\in",
    "∘": r"\circ",
    "↦": r"\mapsto",
    "⟨": r"\langle",
    "⟩": r"\rangle",
    "∇": r"\nabla",
    "Σ": r"\sum",
}
"""Characters of formulas that have a command."""


def latex(expr: sp.Expr) -> str:
    """An expression in LaTeX, without dollars around it."""
    return FieldLatexPrinter().doprint(without_trivial_sums(expr))


def named(name: str) -> str:
    """A name in LaTeX, without dollars around it: ``phi_re`` has a subscript."""
    base, scripts = name_parts(name)
    return letters(base) + (f"_{{{','.join(map(letters, scripts))}}}" if scripts else "")


class FieldLatexPrinter(LatexPrinter):
    """SymPy's LaTeX printer, with fields, sums over sites and functions as the derivation writes them."""

    def __init__(self) -> None:
        super().__init__()
        self._summing = False

    def _print(self, expr: Any, **kwargs: Any) -> str:
        if isinstance(expr, SiteSum):  # the printing methods of the nodes do not know the enclosing sum
            return self._print_SiteSum(expr)
        if isinstance(expr, FieldComponent):
            return self._print_FieldComponent(expr)
        return cast(str, super()._print(expr, **kwargs))

    def _print_SiteSum(self, expr: SiteSum) -> str:
        before, self._summing = self._summing, True
        density = self._print(expr.density)
        self._summing = before
        running, factor = ("x", "") if expr.bonds is None else (r"\langle xy\rangle", "c_{xy}")
        factor = "" if expr.bonds is None or expr.bonds.is_plain else factor
        return rf"\sum_{{{running}}} {factor}\left[{density}\right]"

    def _print_Symbol(self, expr: sp.Symbol, style: str = "plain") -> str:
        return self._named(expr.name, [])

    def _print_FieldComponent(self, expr: FieldComponent) -> str:
        steps = "".join(
            f"{'-' if sign == '−' else sign}{k if k > 1 else ''}\\hat{{{mu}}}"
            for sign, k, mu in site_steps(expr)
        )
        place = [f"{'xxy'[expr.end]}{steps}"] if self._summing or steps else []
        if count := hop_count(expr):
            power = f"^{{{count}}}" if count > 1 else ""
            return rf"(A{power}{self._named(expr.label, [])})" + (f"_{{{place[0]}}}" if place else "")
        return self._named(expr.label, place)

    def _print_FermionLogDet(self, expr: FermionLogDet) -> str:
        field = self._print(expr.species * expr.field)
        return rf"\log\det\left(1 + B_{{N_t}} \cdots B_1\right)\left[{field}\right]"

    def _named(self, name: str, more: list[str]) -> str:
        base, scripts = name_parts(name)
        scripts = [letters(s) for s in scripts] + more
        return letters(base) + (f"_{{{','.join(scripts)}}}" if scripts else "")

    def _print_log(self, expr: sp.Expr, exp: str | None = None) -> str:
        power = "" if exp is None else f"^{{{exp}}}"
        # no braces around the argument: lines can be broken inside
        return rf"\log{power} \left({self._print(expr.args[0])}\right)"

    def parenthesize(self, item: Any, level: int, is_neg: bool = False, strict: bool = False) -> str:
        """Parentheses where precedence requires them; a SiteSum has the precedence of a sum."""
        if isinstance(item, SiteSum) and level >= PRECEDENCE["Pow"]:
            return rf"\left({self._print(item)}\right)"
        return super().parenthesize(item, level, is_neg=is_neg, strict=strict)


def letters(text: str) -> str:
    """A name without subscripts in a formula: a letter, a Greek letter, or a word."""
    text = _GREEK.get(text, text)
    if text in greek_unicode:
        return str(tex_greek_dictionary.get(text, f"\\{text}"))
    if (len(text) == 1 and text.isascii()) or text.isdigit():
        return text
    return rf"\mathrm{{{text}}}" if text.isascii() else rf"\text{{{escape(text)}}}"


_LATEX_SPECIAL = {
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "–": "--",
    "’": "'",
    "×": r"$\times$",
    "⋉": r"$\ltimes$",
    "⋊": r"$\rtimes$",
    "·": r"$\cdot$",
    "−": "$-$",
    "→": r"$\to$",
    "↔": r"$\leftrightarrow$",
    "∞": r"$\infty$",
    "ⁿ": "$^n$",
    **{c: f"$_{i}$" for i, c in enumerate("₀₁₂₃₄₅₆₇₈₉")},
    **{c: rf"${letters(c)}$" for c in _GREEK if len(c) == 1},
    **{c: f"${latex}$" for c, latex in SYMBOLS.items() if latex.startswith("\\")},
    **{c: f"\\{c}" for c in "&%$#_{}"},
}


def escape(text: str) -> str:
    """Text outside formulas."""
    return "".join(_LATEX_SPECIAL.get(c, c) for c in text)
