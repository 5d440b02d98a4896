"""Results of deterministic searches, kept as long as their program: several stages ask for the same ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from ..ir.program import Program
from ..values.couplings import Couplings, couplings_key

Result = TypeVar("Result")
_MOST = 16  # results that are kept of one program, at different couplings


class Remembered(Generic[Result]):
    """A function that is evaluated once for a program at equal couplings.

    Its results must not refer to the program, and callers must not change them.
    """

    def __init__(self, function: Callable[[Program, Couplings], Result]) -> None:
        self._function = function
        self._kept: WeakKeyDictionary[Program, dict[tuple[tuple[str, bytes], ...], Result]]
        self._kept = WeakKeyDictionary()
        update_wrapper(self, function)

    def __call__(self, program: Program, parameters: Couplings) -> Result:
        """The result for a program and its couplings, evaluated if it is not kept."""
        results, key = self._kept.get(program, {}), couplings_key(parameters)
        if key not in results:
            self.keep(program, parameters, self._function(program, parameters))
        return self._kept[program][key]

    def keep(self, program: Program, parameters: Couplings, result: Result) -> None:
        """Keep a result that is known already, such as that of another program of the same theory."""
        results = self._kept.setdefault(program, {})
        while len(results) >= _MOST:
            results.pop(next(iter(results)))
        results[couplings_key(parameters)] = result
