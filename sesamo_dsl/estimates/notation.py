"""How a value and its error are written: 0.1234 ± 0.0005, 0.1234(5), and the same in LaTeX."""

from __future__ import annotations

import math
import re

from ..errors import OptionError

_SHORT = re.compile(r"(?:\.([1-9])u)?S")
_LEAST, _LARGEST = 1e-4, 1e7  # values beyond have a power of ten


def with_sign(value: float, error: float) -> str:
    """``value ± error`` with six digits, or two digits of the error if they are more."""
    digits = 6
    if 0 < error < abs(value) < math.inf:
        needed = math.floor(math.log10(abs(value))) - math.floor(math.log10(error)) + 2
        digits = min(max(6, needed), 17)  # a float has no more
    return f"{value:.{digits}g} ± {error:.2g}"


def formatted(value: float, error: float, form: str) -> str:
    """The numbers in a format as f-strings have it.

    ``"S"`` is the short notation, as in the package uncertainties: two digits of the error in parentheses,
    ``".1uS"`` for one digit. Any other format of a float is that of both numbers, ``"value ± error"``.

    Raises
    ------
    OptionError
        If it is no format of a float.
    """
    if not form:
        return with_sign(value, error)
    found = _SHORT.fullmatch(form)
    if found:
        return short(value, error, int(found[1] or 2))
    try:
        return f"{value:{form}} ± {error:{form}}"
    except ValueError as wrong:
        raise OptionError(
            "format of an estimate",
            expected="a format of a float such as .3f, or S for 0.1234(56)",
            found=f"{form!r}: {wrong}",
            remedy='write f"{e:.3f}" for 0.123 ± 0.004, f"{e:S}" for 0.1234(56), f"{e:.1uS}" for 0.123(6)',
        ) from wrong


def short(value: float, error: float, digits: int) -> str:
    """``0.1234(56)``: the error in units of the last digit, or as it is where it has a decimal point.

    Without a finite error above zero it is ``value ± error``.
    """
    if not (math.isfinite(value) and 0 < error < math.inf) or digits < 1:
        return with_sign(value, error)
    size = max(abs(value), error)
    power = math.floor(math.log10(size)) if not _LEAST <= size < _LARGEST else 0
    if power:
        scale = 10.0**power
        if scale in (0.0, math.inf):
            return with_sign(value, error)
        return f"{short(value / scale, error / scale, digits)}e{power:+03d}"
    decimals = digits - 1 - int(f"{error:.{digits - 1}e}".partition("e")[2])  # of the rounded error
    if decimals <= 0:
        unit = 10**-decimals
        return f"{round(value / unit) * unit:.0f}({round(error / unit) * unit:.0f})"
    shown = f"{error:.{decimals}f}"
    return f"{value:.{decimals}f}({shown if error >= 1 else str(round(error * 10**decimals))})"


def latex(value: float, error: float) -> str:
    r"""``value \pm error`` in LaTeX, powers of ten written as such."""
    text = (
        with_sign(value, error).replace("±", r"\pm").replace("inf", r"\infty").replace("nan", r"\mathrm{NaN}")
    )
    return re.sub(r"e([+-])0*(\d+)", lambda m: rf"\cdot 10^{{{m[1].replace('+', '')}{m[2]}}}", text)
