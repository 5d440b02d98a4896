"""Asymptotic expansions for t → ∞, Σ_i c_i t^p_i exp(q_i(t)) + O(t^p exp(q(t))), and their arithmetic.

On a straight line every field is a t + b, and S, made of sums, products and exponentials, becomes such an
expansion. Exponentials with equal exponents are collected, so that cosh² t − cosh(2t)/2 is 1/2 here, while in
float64 it is the rounding error of its terms and soon ∞ − ∞.

An exponent q(t) = c_1 t + … + c_D t^D has no constant term: its exponential is a factor of c_i. Terms are
ordered by their growth, which is the order of the keys (c_D, …, c_1, p). A coefficient that is the rounding
error of the numbers it was added from is zero; one that is not much larger is unknown, and what is unknown is
part of the remainder O(…). The expansion of a function that is not known has a remainder that covers all.

The arrays of NumPy hold expansions as objects: ``np.exp`` calls ``Expansion.exp`` on each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

Key = tuple[float, ...]
"""(c_D, …, c_1, p) of t^p exp(c_1 t + … + c_D t^D)."""

DEGREE = 2  # D
_ONE: Key = (0.0,) * (DEGREE + 1)
_BEYOND: Key = (1e300, *_ONE[1:])  # grows faster than all that is expanded
_NOTHING: Key = (-1e300, *_ONE[1:])  # falls faster than all that is expanded, exp(−exp t) for one
_LOGARITHM: Key = (*_ONE[:-1], 1e-3)  # log t grows more slowly
_DIGITS = 10  # significant digits of numbers in keys that count as the same
_ZERO, _DOUBTFUL = 64 * 2.0**-53, 1e-11  # of the sum of absolute values
_CANCELLED = 1e-3  # of the sum of absolute values: too small for an exponent, whose digits identify a term
_ORDER = 5  # in ε of the remainder of functions of 1 + ε
_MOST_TERMS = 16  # terms that grow more slowly are part of the remainder


class UndecidedError(Exception):
    """The larger of two expansions is not known."""


class Term(NamedTuple):
    """coefficient · t^p exp(q(t)); ``size`` is the sum of the absolute values of what was added up to it."""

    key: Key
    coefficient: float
    size: float


@dataclass(frozen=True, eq=False)
class Expansion:
    """Terms in the order of their growth, fastest first, and the key of the remainder, None without one."""

    terms: tuple[Term, ...] = ()
    remainder: Key | None = None

    @classmethod
    def line(cls, slope: float, offset: float) -> Expansion:
        """slope · t + offset."""
        terms = [(_power(1), float(slope)), (_ONE, float(offset))]
        return _collected([Term(key, c, abs(c)) for key, c in terms if c != 0], None)

    @classmethod
    def constant(cls, number: float) -> Expansion:
        """A number."""
        return cls.line(0.0, number)

    @property
    def leading(self) -> Term | None:
        """The term that grows fastest; None for 0 and where the remainder covers all."""
        return self.terms[0] if self.terms else None

    @property
    def order(self) -> Key | None:
        """The key of the fastest growth, that of the remainder included; None for 0."""
        return self.terms[0].key if self.terms else self.remainder

    @property
    def sign(self) -> int:
        """The sign for t → ∞."""
        if self.terms:
            return 1 if self.terms[0].coefficient > 0 else -1
        if self.remainder is not None:
            raise UndecidedError
        return 0

    # Arithmetic

    def __add__(self, other: Expansion | float) -> Expansion:
        other = expanded(other)
        return _collected([*self.terms, *other.terms], _fastest(self.remainder, other.remainder))

    __radd__ = __add__

    def __neg__(self) -> Expansion:
        return Expansion(tuple(Term(t.key, -t.coefficient, t.size) for t in self.terms), self.remainder)

    def __sub__(self, other: Expansion | float) -> Expansion:
        return self + (-expanded(other))

    def __rsub__(self, other: float) -> Expansion:
        return expanded(other) + (-self)

    def __mul__(self, other: Expansion | float) -> Expansion:
        if not isinstance(other, Expansion) and other != 0 and math.isfinite(other):
            scaled = tuple(Term(t.key, other * t.coefficient, abs(other) * t.size) for t in self.terms)
            return Expansion(scaled, self.remainder) if all(t.size < math.inf for t in scaled) else _UNKNOWN
        other = expanded(other)
        if self.order is None or other.order is None:
            return Expansion()
        if _BEYOND in (self.remainder, other.remainder):
            return _UNKNOWN
        remainders = [
            _product(remainder, order)
            for remainder, order in ((self.remainder, other.order), (other.remainder, self.order))
            if remainder is not None
        ]
        return _collected([_multiplied(a, b) for a in self.terms for b in other.terms], _fastest(*remainders))

    __rmul__ = __mul__

    def __truediv__(self, other: Expansion | float) -> Expansion:
        return self * expanded(other).inverse()

    def __rtruediv__(self, other: float) -> Expansion:
        return expanded(other) * self.inverse()

    def __lt__(self, other: Expansion | float) -> bool:
        return (self - other).sign < 0

    def __le__(self, other: Expansion | float) -> bool:
        return (self - other).sign <= 0

    def __gt__(self, other: Expansion | float) -> bool:
        return (self - other).sign > 0

    def __ge__(self, other: Expansion | float) -> bool:
        return (self - other).sign >= 0

    def __abs__(self) -> Expansion:
        if not self.terms:
            return self
        return self if self.sign > 0 else -self

    # Functions

    def inverse(self) -> Expansion:
        """1/self."""
        first = self.leading
        if first is None:
            return _UNKNOWN
        return _reciprocal(first) * _series(self._relative(first), [(-1.0) ** k for k in range(_ORDER)])

    def sqrt(self) -> Expansion:
        """√self."""
        first = self.leading
        if first is None or first.coefficient < 0:
            return self if self.order is None else _UNKNOWN
        root = math.sqrt(first.coefficient)
        term = Term(tuple(k / 2 for k in first.key), root, first.size / root)
        return _collected([term], None) * _series(self._relative(first), _ROOT)

    def log(self) -> Expansion:
        """log self; log t, for which there is no term, is part of the remainder."""
        first = self.leading
        if first is None or first.coefficient <= 0:
            return _UNKNOWN
        constant = math.log(first.coefficient)
        rates = zip(range(DEGREE, 0, -1), first.key, strict=False)
        terms = [Term(_power(k), c, abs(c)) for k, c in rates if c != 0]
        terms.append(Term(_ONE, constant, abs(constant) + first.size / first.coefficient))
        series = [0.0, *(-((-1.0) ** k) / k for k in range(1, _ORDER))]
        leading = _collected(terms, _LOGARITHM if first.key[-1] != 0 else None)
        return leading + _series(self._relative(first), series)

    def exp(self) -> Expansion:
        """exp self, for a polynomial of t with terms that fall; what grows faster is not expanded."""
        exponent = [0.0] * (DEGREE + 1)
        constant, size, falling = 0.0, 0.0, list[Term]()
        if self.remainder is not None and _faster(self.remainder, _ONE):
            return _UNKNOWN
        for term in self.terms:
            power = term.key[-1]
            if _same(term.key, _ONE):
                constant, size = term.coefficient, term.size
            elif not _faster(term.key, _ONE):
                falling.append(term)
            elif any(term.key[:-1]) or power > DEGREE or power != int(power):
                return _UNKNOWN if self.sign > 0 else Expansion((), _NOTHING)
            elif abs(term.coefficient) < _CANCELLED * term.size:
                return _UNKNOWN
            else:
                exponent[DEGREE - int(power)] = term.coefficient
        key = tuple(exponent)
        if self.remainder is not None and not _faster(_ONE, self.remainder):  # bounded, no more is known
            return Expansion((), key)
        if abs(constant) > 500:
            return _UNKNOWN
        number = math.exp(constant)
        factor = _collected([Term(key, number, number * (1 + size))], None)
        return factor * _series(
            Expansion(tuple(falling), self.remainder), [1 / math.factorial(k) for k in range(_ORDER)]
        )

    def expm1(self) -> Expansion:
        """exp self − 1."""
        return self.exp() - 1.0

    def cosh(self) -> Expansion:
        """cosh self."""
        return (self.exp() + (-self).exp()) * 0.5

    def sinh(self) -> Expansion:
        """sinh self."""
        return (self.exp() - (-self).exp()) * 0.5

    def tanh(self) -> Expansion:
        """tanh self."""
        if not self.terms or _same(self.terms[0].key, _ONE) or not _faster(self.terms[0].key, _ONE):
            return _BOUNDED if self.order is not None else self
        falling = (abs(self) * -2.0).exp()
        magnitude = (1.0 - falling) / (1.0 + falling)
        return magnitude if self.sign > 0 else -magnitude

    def sin(self) -> Expansion:
        """sin self, of which nothing but its bound is known."""
        return _BOUNDED

    cos = arctan = sin

    def _relative(self, first: Term) -> Expansion:
        """ε with self = first · (1 + ε)."""
        return Expansion(self.terms[1:], self.remainder) * _reciprocal(first)


_ROOT = (1.0, 1 / 2, -1 / 8, 1 / 16, -5 / 128)  # of √(1 + ε)
_UNKNOWN = Expansion((), _BEYOND)
_BOUNDED = Expansion((), _ONE)


def expanded(value: Expansion | float) -> Expansion:
    """The value itself, or the expansion of a number."""
    if isinstance(value, Expansion):
        return value
    return Expansion.constant(value) if math.isfinite(value) else _UNKNOWN


def grows_exponentially(key: Key) -> bool:
    """Whether exp(q(t)) → ∞."""
    return next((c for c in key[:-1] if c != 0), 0.0) > 0


def is_bounded(key: Key) -> bool:
    """Whether t^p exp(q(t)) stays finite."""
    return not _faster(key, _ONE)


def _series(small: Expansion, coefficients: Sequence[float]) -> Expansion:
    """Σ_k coefficients_k ε^k of an ε that falls to 0."""
    total, power = Expansion.constant(coefficients[0]), small
    if small.order is None:
        return total
    for c in coefficients[1:]:
        total += c * power
        power = power * small
    return total + Expansion((), power.order)


def _collected(terms: Sequence[Term], remainder: Key | None) -> Expansion:
    """Terms with equal keys added, without those that the remainder covers."""
    found: dict[Key, Term] = {}
    for term in terms:
        label = _label(term.key)
        other = found.get(label)
        if other is not None:
            term = Term(other.key, other.coefficient + term.coefficient, other.size + term.size)
        if not term.size < math.inf:
            return _UNKNOWN
        found[label] = term
    kept: list[Term] = []
    for label in sorted(found, reverse=True):
        term = found[label]
        if remainder is not None and label <= _label(remainder):
            break
        if abs(term.coefficient) > _DOUBTFUL * term.size and len(kept) < _MOST_TERMS:
            kept.append(term)
        elif abs(term.coefficient) > _ZERO * term.size:
            remainder = term.key
    return Expansion(tuple(kept), remainder)


def _multiplied(a: Term, b: Term) -> Term:
    return Term(_product(a.key, b.key), a.coefficient * b.coefficient, a.size * b.size)


def _reciprocal(term: Term) -> Expansion:
    number = 1 / term.coefficient
    return _collected([Term(tuple(-k for k in term.key), number, term.size * number * number)], None)


def _power(p: int) -> Key:
    return (*_ONE[:-1], float(p))


def _product(a: Key, b: Key) -> Key:
    """The sums of the numbers; 0 for a sum that is the rounding error of its summands."""
    sums = [(x + y, 10.0**-_DIGITS * max(abs(x), abs(y))) for x, y in zip(a, b, strict=True)]
    return tuple(0.0 if abs(total) <= doubt else max(total, _NOTHING[0]) for total, doubt in sums)


@lru_cache(maxsize=4096)
def _label(key: Key) -> Key:
    """The key without its last digits, so that keys that differ by rounding are equal."""
    return tuple(float(f"{x:.{_DIGITS}g}") for x in key)


def _same(a: Key, b: Key) -> bool:
    return _label(a) == _label(b)


def _faster(a: Key, b: Key) -> bool:
    """Whether a grows faster than b."""
    return _label(a) > _label(b)


def _fastest(*keys: Key | None) -> Key | None:
    fastest: Key | None = None
    for key in keys:
        if key is not None and (fastest is None or _faster(key, fastest)):
            fastest = key
    return fastest
