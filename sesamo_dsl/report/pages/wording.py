"""Numbers, measured values and names of operators, written as in a paper."""

from __future__ import annotations

import math
import re

from markupsafe import Markup, escape
from sympy.printing.pretty.pretty_symbology import greek_unicode

from ...symbols.notation import name_parts

_NOTHING = 1e-290  # smaller sizes are zero: they are what is left of underflow, and no measurement
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_LOWERED = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_SHIFTED = re.compile(r"([^\W\d]\w*)(?:\(((?:[+-]?\d+)(?:, [+-]?\d+)*)\))?")
_POWER = re.compile(r"(?<=\d)e([+-]\d+)\b")
_MINUS = re.compile(r"(?<![\w)\]-])-(?=\d|inf|nan)")
_SHIFT = re.compile(r"\(([xy])((?:[+-]\d+e\d+)+)\)")
_STEP = re.compile(r"([+-])(\d+)e(\d+)")
_PLAIN = {"Σ", "odd", "part", "under", "of", "f", "k", "L", "T"}  # words of operator names that are no fields


def number(value: float, digits: int = 4) -> str:
    """A number with so many significant digits, as 0.0312, 1.2 × 10⁻⁷ or ∞."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if abs(value) < _NOTHING:
        return "0"
    mantissa, _, exponent = f"{value:.{digits}g}".replace("-", "−", int(value < 0)).partition("e")
    if not exponent:
        return mantissa
    power = str(int(exponent.replace("−", "-"))).translate(_RAISED)
    return f"{mantissa} × 10{power}"


def measured(estimate: tuple[float, float]) -> str:
    """A value with its error, the error with two digits: 0.1235 ± 0.0012, or (1.23 ± 0.12) × 10⁻⁷."""
    value, error = estimate[:2]
    if not math.isfinite(value):
        return number(value)
    if not math.isfinite(error):
        return f"{number(value, 6)} (no error bar)"
    if error < _NOTHING:
        return f"{number(value, 8)} ± 0"
    size = math.floor(math.log10(max(abs(value), error)))
    power = size if not -4 <= size < 7 else 0
    unit = 10.0**power
    decimals = min(max(1 - math.floor(math.log10(error / unit)), 0), 14)
    text = f"{_fixed(value / unit, decimals)} ± {_fixed(error / unit, decimals)}"
    return f"({text}) × 10{str(power).translate(_RAISED)}" if power else text


def _fixed(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    return text.replace("-", "" if float(text) == 0 else "−")


def deviation(z: float) -> str:
    """A number of standard errors with its sign, as +1.3 σ."""
    if math.isnan(z):
        return "—"
    sign = "+" if z > 0 else "−" if z < 0 else ""
    return f"{sign}{number(abs(z), 2)} σ" if math.isfinite(z) and abs(z) < 1e4 else f"{sign}∞ σ"


def typeset(text: str) -> str:
    """Prose with its numbers as a page writes them: 1.2e-05 is 1.2 × 10⁻⁵, and -3 is −3."""
    text = _POWER.sub(lambda found: f" × 10{str(int(found[1])).translate(_RAISED)}", text)
    return _MINUS.sub("−", text)


def power(base: object, exponent: object) -> str:
    """A power, such as 2¹⁶ or S², of plain text."""
    return f"{base}{str(exponent).translate(_RAISED)}"


def shifts(text: str) -> str:
    """The plain text of a derivation, with phi(x+1e0) as phi(x+ê₀)."""
    return _SHIFT.sub(lambda found: f"({found[1]}{_steps_of(found[2])})", text)


def _steps_of(text: str) -> str:
    return "".join(
        f"{sign.replace('-', '−')}{'' if count == '1' else count}ê{mu.translate(_LOWERED)}"
        for sign, count, mu in _STEP.findall(text)
    )


def share(value: float) -> str:
    """A part of one in percent."""
    return f"{number(100 * value, 3)} %" if math.isfinite(value) else number(value)


def symbol(name: str) -> Markup:
    """A name as a symbol, Greek letters and subscripts set: ``phi_re`` is φ with the subscript re."""
    base, scripts = name_parts(name)
    below = ",".join(_letter(script) for script in scripts)
    lower = Markup("<sub>{}</sub>").format(below) if below else Markup("")
    return escape(_letter(base)) + lower


def pretty(name: str) -> str:
    """A name in plain text, Greek letters set: ``phi_re`` is φ_re."""
    base, scripts = name_parts(name)
    if len(scripts) == 1 and scripts[0].isdigit():
        return _letter(base) + scripts[0].translate(_LOWERED)
    return "_".join([_letter(base), *map(_letter, scripts)])


def _letter(text: str) -> str:
    return str(greek_unicode.get(text, text))


def operator(name: str) -> Markup:
    """The name of an operator, with fields as φ(x+ê₀): ``Σ phi·phi(+1, 0)`` is Σ φ(x) φ(x+ê₀)."""
    out, end = Markup(""), 0
    many = "·" in name  # a product of fields at several sites names all of them
    for found in _SHIFTED.finditer(name):
        out += escape(name[end : found.start()])
        end = found.end()
        word, offsets = found.groups()
        if word in _PLAIN or word.startswith(("T_", "L_")):
            out += _lowered(word) + (f"({offsets})" if offsets else "")
            continue
        out += symbol(word)
        steps = _steps(offsets)
        if steps or many:
            out += Markup("({})").format(f"x{steps}")
    out += escape(name[end:])
    for plain, typeset in (("^2", "²"), ("^3", "³"), ("^4", "⁴"), ("·", " "), ("*", " ")):
        out = out.replace(plain, typeset)
    return out


def _lowered(word: str) -> str:
    """``T_3`` as T₃."""
    letter, _, index = word.partition("_")
    return letter + index.translate(_LOWERED) if index.isdigit() else word


def _steps(offsets: str | None) -> str:
    """Offsets "+1, 0" as "+ê₀"."""
    text = ""
    for mu, offset in enumerate((offsets or "").split(", ") if offsets else ()):
        step = int(offset)
        if step:
            count = str(abs(step)) if abs(step) > 1 else ""
            text += f"{'+' if step > 0 else '−'}{count}ê{str(mu).translate(_LOWERED)}"
    return text
