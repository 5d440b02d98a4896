"""Results of deterministic searches, kept as long as their program: several stages ask for the same ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar
from weakref import WeakKeyDictionary

from ..ir.program import Program
from ..values.couplings import Couplings, couplings_key

Result = TypeVar("Result")
_MOST = 16  # results that are kept of one program, at different couplings


def remembered(function: Callable[[Program, Couplings], Result]) -> Callable[[Program, Couplings], Result]:
    """The function, which is evaluated once for a program at equal couplings.

    Its results must not refer to the program, and callers must not change them.
    """
    kept: WeakKeyDictionary[Program, dict[tuple[tuple[str, bytes], ...], Result]] = WeakKeyDictionary()

    @wraps(function)
    def known(program: Program, parameters: Couplings) -> Result:
        results, key = kept.setdefault(program, {}), couplings_key(parameters)
        if key not in results:
            found = function(program, parameters)
            while len(results) >= _MOST:
                results.pop(next(iter(results)))
            results[key] = found
        return results[key]

    return known
