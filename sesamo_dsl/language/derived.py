"""Functions of expectation values, such as a susceptibility, and their errors by linearisation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import sympy as sp

from ..checks import as_real, mismatch, shown
from ..errors import OptionError


@dataclass(frozen=True)
class Formula:
    """A SymPy expression as a function of its symbols, in the order of their names."""

    expr: sp.Expr

    @cached_property
    def _function(self) -> Callable[..., Any]:
        return sp.lambdify(sorted(self.expr.free_symbols, key=str), self.expr, "scipy")

    def __call__(self, *values: Any) -> Any:
        """The value of the expression at these values of its symbols."""
        return self._function(*values)

    def __getstate__(self) -> dict[str, Any]:
        return {"expr": self.expr}  # the compiled function is made again after unpickling


@dataclass(frozen=True)
class Derived:
    """f(⟨O_1⟩, ⟨O_2⟩, …), a number made from means of observables."""

    function: Callable[..., Any]
    observables: tuple[Any, ...]
    """Names; in a function of means also functions of configurations, and values."""

    @classmethod
    def of(
        cls,
        quantity: str | Callable[..., Any],
        observables: Sequence[Any],
        declared: Mapping[str, Derived],
        theory: str,
    ) -> Derived:
        """The declared quantity of this name, or a function of the means of these observables."""
        if callable(quantity) and observables:
            return cls(quantity, tuple(observables))
        if not isinstance(quantity, str) or quantity not in declared or observables:
            raise OptionError(
                f"derived quantity of theory {theory}",
                expected=f"one of {', '.join(declared) or 'none that is declared'}, "
                "or a function and its observables",
                found=", ".join(map(shown, (quantity, *observables))),
                remedy='declare it in Theory(derived={…}), or ask for instance derived(f, "m_squared")',
            )
        return declared[quantity]

    def linearised(self, means: Sequence[float], values: Sequence[np.ndarray]) -> np.ndarray:
        """f(m) + Σ_i ∂_i f(m) (O_i − m_i): values whose mean is f(m) and whose error is that of f(m).

        The derivatives are central differences, each on the scale on which its observable fluctuates.
        """
        point = np.array(means, dtype=np.float64)
        result = np.full(np.shape(values[0]), self._at(point))
        for i, series in enumerate(values):
            step = 1e-4 * float(np.std(series))
            if step > 0:
                shift = step * (np.arange(len(point)) == i)
                slope = (self._at(point + shift) - self._at(point - shift)) / (2 * step)
                result = result + slope * (series - point[i])
        if not np.isfinite(result).all():
            raise OptionError(
                self._subject,
                expected="finite values near the means",
                found=f"f({', '.join(f'{m:.6g}' for m in means)}) = {self.function(*point)}",
                remedy="check the function where the means are",
            )
        return result

    @property
    def _subject(self) -> str:
        names = (o if isinstance(o, str) else "an observable without a name" for o in self.observables)
        return f"function of {', '.join(names)}"

    def _at(self, point: np.ndarray) -> float:
        """f at these means; OptionError if it takes another number of them, or gives no real number."""
        wrong = mismatch(self.function, len(point))
        if wrong is not None:
            raise OptionError(
                self._subject,
                expected=f"one that takes {len(point)} numbers",
                found=wrong,
                remedy="give as many observables as the function has arguments",
            )
        value = self.function(*point)
        number = as_real(value)
        if number is None:
            raise OptionError(
                self._subject,
                expected="a real number for the means of the observables",
                found=shown(value),
                remedy="return one number; call derived once for each of several",
            )
        return number
