"""Proposals from the declared groups: an element is drawn, and the walkers are turned by it.

The inverse of an element is drawn as often as the element itself and volumes do not change, so that a
Metropolis step leaves any density invariant. Where S₁ breaks a finite group whose elements can be listed, the
element may be drawn by the heat bath, p(u|x) ∝ exp(−S₁(T_u x)), which leaves exp(−S) invariant as it is.

Noise is NumPy's and images are those of a framework, so that images can be compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.program import Program
from ..laws.orbits import uniform_directions
from ..values.arrays import Array, Arrays
from ..values.manifolds import wrapped_fields

_BLOCK_MOVES = 8  # at most, in one round


@dataclass(frozen=True)
class GroupMove:
    """Draws of images of walkers.

    Attributes
    ----------
    noise
        Random numbers for walkers of any shape, in NumPy.
    image
        The walkers turned, (x, noise) ↦ x, (walkers, components, *lattice).
    repeats
        How often in one round.
    heat_bath
        Whether images have the right law already, and are not to be rejected.
    """

    noise: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
    image: Callable[[Array, Array], Array]
    repeats: int = 1
    heat_bath: bool = False

    def log_uniform(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """What the logarithm of the acceptance probability has to exceed."""
        return np.full(shape, -np.inf) if self.heat_bath else np.log1p(-rng.uniform(size=shape))


def group_moves(
    arrays: Arrays, emitted: Mapping[str, Callable[..., Any]], program: Program, *, heat_bath: bool = False
) -> list[GroupMove]:
    """Moves under the finite group, or one of its blocks, under each Lie group, and rotations of angles.

    Parameters
    ----------
    emitted
        The emitted functions with couplings filled in.
    heat_bath
        Whether the density is exp(−S), and elements may be drawn by the heat bath.
    """
    sectors, found = program.sectors, []
    if sectors.order > 1:
        conditional = heat_bath and sectors.n_blocks is None and "breaking" in emitted
        if conditional:
            found.append(_heat_bath(arrays, emitted["modulate"], emitted["breaking"], sectors.order))
        else:
            found.append(_uniform(emitted["modulate"], sectors.order, sectors.n_blocks))
    dimensions: list[int] = []
    while (name := f"COLLECTIVE_{len(dimensions)}") in program.constants:
        dimensions.append(len(program.constants[name]))
    found += [_rotation(arrays, emitted["rotate"], dimensions, i) for i in range(len(dimensions))]
    charges = program.constants.get("CHARGES", np.zeros((0, len(program.components))))
    return found + [_turn(arrays, row, program) for row in charges]


def _uniform(modulate: Callable[..., Array], order: int, blocks: int | None) -> GroupMove:
    """All of the walker, or one block of it, turned by any element."""

    def noise(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        u = rng.integers(order, size=shape)
        if blocks is None:
            return u
        everywhere = np.zeros((*shape, blocks), dtype=np.int64)
        np.put_along_axis(everywhere, rng.integers(blocks, size=shape)[..., None], u[..., None], axis=-1)
        return everywhere

    return GroupMove(noise, modulate, min(blocks or 1, _BLOCK_MOVES))


def _heat_bath(
    arrays: Arrays, modulate: Callable[..., Array], breaking: Callable[[Array], Array], order: int
) -> GroupMove:
    """An element with probability ∝ exp(−S₁(T_u x)), as the largest of −S₁ and Gumbel's noise."""
    xp = arrays.xp

    def noise(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return rng.gumbel(size=(*shape, order))

    def image(x: Array, gumbel: Array) -> Array:
        count = x.shape[0]
        elements = arrays.constant(np.repeat(np.arange(order), count), "index")
        energies = breaking(modulate(xp.concat([x] * order, axis=0), elements))
        log_weights = xp.matrix_transpose(gumbel) - xp.reshape(energies, (order, count))
        return modulate(x, xp.argmax(log_weights, axis=0))

    return GroupMove(noise, image, heat_bath=True)


def _rotation(
    arrays: Arrays, rotate: Callable[..., Array], dimensions: Sequence[int], which: int
) -> GroupMove:
    """R(n) with uniform n, whose inverse is R(n') with n' = (n_1, −n_2, …)."""

    def noise(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        d = dimensions[which]
        return uniform_directions(rng, int(np.prod(shape)), d).reshape(*shape, d)

    def image(x: Array, direction: Array) -> Array:
        precision = arrays.dtype_of(direction)
        at_rest = [np.repeat(np.eye(1, d), x.shape[0], axis=0) for d in dimensions]  # R(e_1) = 1
        n = [arrays.constant(e, precision) for e in at_rest]
        n[which] = direction
        return rotate(x, *n)

    return GroupMove(noise, image)


def _turn(arrays: Arrays, charges: np.ndarray, program: Program) -> GroupMove:
    """θ_a → θ_a + q_a α with uniform α, whose inverse is drawn as often."""

    def noise(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return rng.uniform(-np.pi, np.pi, size=shape)

    def image(x: Array, alpha: Array) -> Array:
        xp, column = arrays.xp, (-1, *(1,) * len(program.shape))
        q = arrays.constant(charges.reshape(column), arrays.dtype_of(x))
        turned = x + q * xp.reshape(alpha, (-1, 1, *(1,) * len(program.shape)))
        return wrapped_fields(xp, turned, program.angles)

    return GroupMove(noise, image)
