"""The operations of a Program, by name.

The class of an operation (:class:`.Operation`) holds its type rule, its simplest form, its value in NumPy,
its pull-back and the bound on its rounding error. Dialects hold its spelling in each framework.
"""

from __future__ import annotations

from ...errors import ProgramError
from .arithmetic import ARITHMETIC
from .blocks import BLOCKS
from .charts import CHARTS
from .choices import CHOICES
from .determinants import DETERMINANTS
from .exponentials import EXPONENTIALS
from .functions import FUNCTIONS
from .lattice import LATTICE
from .leaves import LEAVES
from .matrices import MATRICES
from .operation import Operation
from .vectors import VECTORS

OPERATIONS: dict[str, Operation] = {}


def register(operation: Operation) -> None:
    """Add an operation; ProgramError if another operation has its name."""
    known = OPERATIONS.setdefault(operation.name, operation)
    if known is not operation:
        raise ProgramError(
            f"operation {operation.name}",
            expected="a name that is not taken",
            found=f"that of {type(known).__name__}",
            remedy="choose another name for the operation",
        )


for _topic in (
    *(LEAVES, ARITHMETIC, FUNCTIONS, CHOICES, EXPONENTIALS),
    *(LATTICE, BLOCKS, VECTORS, MATRICES, CHARTS, DETERMINANTS),
):
    for _operation in _topic:
        register(_operation)
