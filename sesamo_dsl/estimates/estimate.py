"""A number with its statistical error, and arithmetic that knows which numbers share their samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from ..checks import as_real, calling, mismatch, shown
from ..errors import OptionError
from .notation import formatted, latex, with_sign
from .sources import Influences, Source, combined, of_one_number, standard_error

SIGMAS = 5.0
"""Number of standard errors above which a deviation is significant."""
_STEP = 1e-4  # step of numerical derivatives in standard errors


class Measured:
    """Arithmetic of numbers with errors: the first two entries of a tuple, value and error.

    Sums, differences, products, quotients and powers with numbers and each other are estimates, whose errors
    are propagated to first order. Numbers from one set of samples are correlated as the samples say; numbers
    from different sets, and numbers that were written down with an error, are independent.
    """

    value: float
    error: float
    _influences: Influences

    @classmethod
    def from_samples(cls, source: Source, influence: np.ndarray, *numbers: float) -> Self:
        """An estimate from samples, which remembers the influence of each configuration.

        Parameters
        ----------
        source
            The samples.
        influence
            First-order change of the value due to each configuration, (n,) or as the source has it.
        numbers
            The entries of the tuple, value and error first.
        """
        made: Any = cls(*numbers)  # pyright: ignore[reportCallIssue]
        made._influences = {source.key: (source, influence)}
        return made

    @classmethod
    def like(cls, other: Measured) -> Self:
        """The same number as an estimate of this class; it has all entries that this class has."""
        whole: Any = cls
        made = whole(*(getattr(other, name) for name in whole._fields))
        made._influences = other.influences
        return made

    @property
    def influences(self) -> Influences:
        """Samples and the influence of each configuration on the value, by the key of the samples."""
        try:
            return self._influences
        except AttributeError:  # from no samples: a number with an error of its own
            self._influences = of_one_number(self.error)
            return self._influences

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_influences": self.influences}  # a copy is the same number

    def __neg__(self) -> Estimate:
        return _function(-self.value, (-1.0, self))

    def __pos__(self) -> Estimate:
        return _function(self.value, (1.0, self))

    def __abs__(self) -> Estimate:
        return -self if self.value < 0 else +self

    def __add__(self, other: Any) -> Estimate:
        return _of_two(_sum, self, other)

    def __radd__(self, other: Any) -> Estimate:
        return _of_two(_sum, other, self)

    def __sub__(self, other: Any) -> Estimate:
        return _of_two(_difference, self, other)

    def __rsub__(self, other: Any) -> Estimate:
        return _of_two(_difference, other, self)

    def __mul__(self, other: Any) -> Estimate:
        return _of_two(_product, self, other)

    def __rmul__(self, other: Any) -> Estimate:
        return _of_two(_product, other, self)

    def __truediv__(self, other: Any) -> Estimate:
        return _of_two(_quotient, self, other)

    def __rtruediv__(self, other: Any) -> Estimate:
        return _of_two(_quotient, other, self)

    def __pow__(self, other: Any) -> Estimate:
        return _of_two(_power, self, other)

    def __rpow__(self, other: Any) -> Estimate:
        return _of_two(_power, other, self)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """Arithmetic with numbers of NumPy, which would take the pair for an array of two numbers."""
        plain = method == "__call__" and not options
        if plain and ufunc in _RULES:
            return _of_two(_RULES[ufunc], *inputs)
        if plain and ufunc in (np.isnan, np.isfinite, np.isinf):
            return ufunc(np.array([self.value, self.error]))
        raise OptionError(
            f"function {ufunc.__name__} of NumPy",
            expected="sums, differences, products, quotients and powers of estimates and numbers",
            found=", ".join(map(shown, inputs)),
            remedy=f"write propagate(np.{ufunc.__name__}, e), or take e.value",
        )

    def __format__(self, form: str) -> str:
        return formatted(self.value, self.error, form) if form else str(self)

    def _repr_latex_(self) -> str:
        return f"${latex(self.value, self.error)}$"


class _ValueAndError(NamedTuple):
    value: float
    error: float


class Estimate(Measured, _ValueAndError):
    """A value with its standard error, which is NaN if there are too few samples to estimate it.

    It unpacks into the two numbers, ``value, error = samples.expect("action")``, and is equal to such a pair.
    In arithmetic it is a number with an error: ``+ - * / **`` with numbers and estimates give estimates.
    Their errors, to first order, include the correlations of estimates from the same samples, so that
    ``e - e`` is 0 ± 0. Estimates from different sets of samples are taken for independent; that a set is a
    part of another one, or a chain was made of it, is not seen. ``Estimate(0.5, 0.1)``, written down, is
    independent of all others. :func:`sesamo_dsl.propagate` has other functions.

    As text it is ``0.1234 ± 0.0056``; ``f"{e:.2f}"`` is ``0.12 ± 0.01``; ``f"{e:S}"`` is ``0.1234(56)`` with
    two digits of the error, and ``f"{e:.1uS}"`` is ``0.123(6)``, as in the package uncertainties.

    Attributes
    ----------
    value, error
        The value and its standard error.

    Raises
    ------
    OptionError
        If one of them is no real number, or the error is below zero.
    """

    def __new__(cls, value: float, error: float) -> Self:
        """See the class."""
        numbers = as_real(value), as_real(error)
        if numbers[0] is None or numbers[1] is None or numbers[1] < 0:
            raise OptionError(
                "estimate",
                expected="a real number and its standard error, which is not below zero",
                found=f"{shown(value)} and {shown(error)}",
                remedy="write for instance Estimate(0.51, 0.02)",
            )
        return super().__new__(cls, numbers[0], numbers[1])

    def __str__(self) -> str:
        return with_sign(self.value, self.error)


def propagate(function: Callable[..., Any], *numbers: Estimate | float) -> Estimate:
    """``function(a, b, …)`` of estimates, with the error of the linearised function.

    ``sd.propagate(np.log, samples.expect("m_squared"))``, or of estimates from several sources. Correlations
    are those of :class:`sesamo_dsl.Estimate`. Derivatives are central differences on the scale of each error.

    Parameters
    ----------
    function
        A function of as many real numbers that returns one real number.
    numbers
        Estimates and numbers.

    Raises
    ------
    OptionError
        If the function takes other arguments, or its value or a slope is not a finite real number.
    """
    subject = "function of estimates"
    if not callable(function) or not numbers:
        raise OptionError(
            subject,
            expected="a function, and its arguments",
            found=", ".join(map(shown, (function, *numbers))),
            remedy='write for instance propagate(np.log, samples.expect("action"))',
        )
    checked = [_number(n, subject) for n in numbers]
    wrong = mismatch(function, len(checked))
    if wrong is not None:
        raise OptionError(
            subject,
            expected=f"one that takes {len(checked)} numbers",
            found=wrong,
            remedy="give as many estimates as the function has arguments",
        )
    point = [n.value if isinstance(n, Measured) else n for n in checked]

    def at(place: list[float]) -> float:
        with np.errstate(all="ignore"), calling(subject, f"a value at {place}", "check the function there"):
            value = function(*place)
        number = as_real(value)
        if number is None or not math.isfinite(number):
            raise OptionError(
                subject,
                expected="a finite real number at the estimates and near them",
                found=f"{shown(value)} at {place}",
                remedy="check the function where the estimates are; call propagate once for each of several",
            )
        return number

    terms = []
    for i, n in enumerate(checked):
        if isinstance(n, Measured) and n.error != 0:
            step = _STEP * n.error if math.isfinite(n.error) else _STEP * (1 + abs(n.value))
            up, down = (at([*point[:i], point[i] + s, *point[i + 1 :]]) for s in (step, -step))
            terms.append(((up - down) / (2 * step), n))
    return _function(at(point), *terms)


def covariance(estimates: Sequence[Measured]) -> np.ndarray:
    """Covariance matrix of estimates, (k, k), due to the samples that they have in common."""
    total = np.zeros((len(estimates), len(estimates)))
    sources = {key: source for e in estimates for key, (source, _) in e.influences.items()}
    for key, source in sources.items():
        rows = [k for k, e in enumerate(estimates) if key in e.influences]
        total[np.ix_(rows, rows)] += source.covariance(
            np.stack([estimates[k].influences[key][1] for k in rows])
        )
    return total


def independent_mean(values: np.ndarray) -> Estimate:
    """Mean of independent values, (n,); the error of a single value is NaN, as is the mean of no values."""
    if not len(values):
        return Estimate(np.nan, np.nan)
    with np.errstate(invalid="ignore"):  # infinite values
        error = float(values.std() / np.sqrt(len(values))) if len(values) > 1 else np.nan
        return Estimate(float(values.mean()), error)


def _number(value: object, subject: str) -> Measured | float:
    if isinstance(value, Measured):
        return value
    number = as_real(value)
    if number is None:
        raise OptionError(
            subject,
            expected="real numbers and estimates",
            found=f"{type(value).__name__} {shown(value)}",
            remedy="unpack an estimate for its two numbers, value, error = e; take entries of arrays singly",
        )
    return number


def _function(value: float, *terms: tuple[float, Measured]) -> Estimate:
    """The estimate with this value whose slopes in its arguments are given."""
    influences = combined((slope, estimate.influences) for slope, estimate in terms)
    made = Estimate(float(value), standard_error(influences))
    made._influences = influences
    return made


_Slopes = tuple[Any, Any, Any]
"""f(x, y), ∂f/∂x and ∂f/∂y."""


def _sum(x: np.float64, y: np.float64) -> _Slopes:
    return x + y, 1.0, 1.0


def _difference(x: np.float64, y: np.float64) -> _Slopes:
    return x - y, 1.0, -1.0


def _product(x: np.float64, y: np.float64) -> _Slopes:
    return x * y, y, x


def _quotient(x: np.float64, y: np.float64) -> _Slopes:
    return x / y, 1 / y, -x / y**2


def _power(x: np.float64, y: np.float64) -> _Slopes:
    value = x**y
    return value, y * x ** (y - 1) if y else 0.0, value * np.log(x)


_RULES: dict[Any, Callable[[np.float64, np.float64], _Slopes]] = {
    np.add: _sum,
    np.subtract: _difference,
    np.multiply: _product,
    np.divide: _quotient,
    np.power: _power,
}


def _of_two(rule: Callable[[np.float64, np.float64], _Slopes], first: Any, second: Any) -> Estimate:
    """A function of two numbers, of which one at least is an estimate."""
    subject = f"{rule.__name__[1:]} of estimates"
    both = [_number(first, subject), _number(second, subject)]
    x, y = (np.float64(n.value if isinstance(n, Measured) else n) for n in both)
    with np.errstate(all="ignore"):  # what is not finite is explained below
        value, *slopes = rule(x, y)
    terms = [(float(slope), n) for slope, n in zip(slopes, both, strict=True) if isinstance(n, Measured)]
    defined = math.isfinite(value) and all(math.isfinite(slope) for slope, _ in terms)
    if not defined and math.isfinite(x) and math.isfinite(y):
        raise OptionError(
            subject,
            expected="a finite real result with finite slopes",
            found=f"the numbers {x:.6g} and {y:.6g}",
            remedy="do not divide by zero, nor take roots or logarithms of what is not above zero",
        )
    return _function(float(value), *terms)
