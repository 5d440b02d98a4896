"""The values of a Program: their kinds, and the operations that define them.

The kind of a value is its shape apart from the batch:

=========  ==========================  =======================================
kind       shape                       example
=========  ==========================  =======================================
SCALAR     ()                          a coupling, a literal
CONFIG     (batch,)                    the action, log|J|
SITE       (batch, *lattice)           φ_a(x), a density
FIELDS     (batch, components, *lattice)  a configuration
VECTOR     (batch, [blocks,] k)        a collective coordinate, the distances to the walls
BLOCKS     (batch, blocks)             a sum over the sites of every block
INDEX      (batch, [blocks]) integer   the group element u
MATRIX     (batch, components, components)  a rotation of the components
STACK      (K, batch·sites)            the exponents of a log-sum-exp
=========  ==========================  =======================================

A group that acts independently at every point of some axes of the lattice, the block axes, has one vector and
one group element per block; blocks are numbered in the order of the sites.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any


class Kind(Enum):
    """Shape of a value apart from the batch."""

    SCALAR = "scalar"
    CONFIG = "config"
    SITE = "site"
    FIELDS = "fields"
    VECTOR = "vector"
    BLOCKS = "blocks"
    INDEX = "index"
    MATRIX = "matrix"
    STACK = "stack"


Attribute = Any  # a number, a name or a tuple of them, depending on the operation; None if it has none


@dataclass(frozen=True)
class Op:
    """One operation: result = name(args; attribute); args index earlier operations of the same function."""

    name: str
    args: tuple[int, ...]
    kind: Kind
    attribute: Attribute = None
