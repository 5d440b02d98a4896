"""The Hubbard model on a few sites as a trace over Fock space, with the Trotter error of Nt slices.

Integrating over the auxiliary field with weight exp(−φ²/2Ũ) and det[φ] det[−φ], each of which is
Tr ∏ e^{ε c†Kc} e^{± Σ φ n}, gives site by site √(2πŨ) exp(Ũ (n↑ − n↓)²/2). So exactly, constants included,

    Z = (2πŨ)^{Nt·Nx/2} Tr Tᴺᵗ,    T = e^{ε c†Kc} exp(Σ_x Ũ (n↑_x − n↓_x)²/2),    ε = β/Nt,  Ũ = Uε.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.linalg

Array = np.ndarray[Any, Any]


def annihilators(sites: int) -> list[Array]:
    """c_x of one spin by Jordan and Wigner, matrices of size 2^sites."""
    lower, sign = np.array([[0.0, 1.0], [0.0, 0.0]]), np.diag([1.0, -1.0])
    operators = []
    for x in range(sites):
        operator = np.eye(1)
        for y in range(sites):
            operator = np.kron(operator, sign if y < x else lower if y == x else np.eye(2))
        operators.append(operator)
    return operators


@dataclass(frozen=True, eq=False)
class FockSpace:
    """Exact averages; ``matrix`` is the hopping matrix K."""

    matrix: Array
    slices: int
    U: float
    beta: float

    @cached_property
    def up(self) -> list[Array]:
        return [np.kron(c, np.eye(2 ** len(self.matrix))) for c in annihilators(len(self.matrix))]

    @cached_property
    def numbers(self) -> tuple[Array, Array]:
        """Occupations (Nx, states) of both spins."""
        single = np.array([np.diag(c.T @ c) for c in annihilators(len(self.matrix))])
        ones = np.ones_like(single[0])
        return np.array([np.kron(n, ones) for n in single]), np.array([np.kron(ones, n) for n in single])

    @cached_property
    def transfer(self) -> Array:
        c = annihilators(len(self.matrix))
        hopping = sum(self.matrix[x, y] * c[x].T @ c[y] for x in range(len(c)) for y in range(len(c)))
        kinetic = scipy.linalg.expm(self.beta / self.slices * hopping)
        n, m = self.numbers
        potential = np.exp(self.U * self.beta / self.slices / 2 * ((n - m) ** 2).sum(axis=0))
        return np.kron(kinetic, kinetic) * potential

    def power(self, exponent: int) -> Array:
        return np.linalg.matrix_power(self.transfer, exponent)

    @cached_property
    def trace(self) -> float:
        return float(np.trace(self.power(self.slices)))

    @property
    def log_z(self) -> float:
        variables = self.slices * len(self.matrix)
        return float(
            np.log(self.trace) + variables / 2 * np.log(2 * np.pi * self.U * self.beta / self.slices)
        )

    def diagonal(self, values: Array) -> float:
        """⟨O⟩ of a function of the occupations, (states,)."""
        return float(np.diag(self.power(self.slices)) @ values / self.trace)

    @property
    def double_occupancy(self) -> float:
        n, m = self.numbers
        return self.diagonal((n * m).mean(axis=0))

    @property
    def spin_correlation(self) -> Array:
        """⟨Sᶻ_x Sᶻ_y⟩."""
        spin = (self.numbers[0] - self.numbers[1]) / 2
        return np.array([[self.diagonal(a * b) for b in spin] for a in spin])

    @property
    def propagator(self) -> Array:
        """⟨c_x(t) c†_y(0)⟩, (Nt, Nx, Nx)."""
        return (
            np.array(
                [
                    [
                        [np.trace(self.power(self.slices - t) @ a @ self.power(t) @ b.T) for b in self.up]
                        for a in self.up
                    ]
                    for t in range(self.slices)
                ]
            )
            / self.trace
        )

    def sample(self, count: int, seed: int) -> Array:
        """Independent fields with density exp(−S)/Z, (count, Nt, Nx).

        Inserting occupation states between the factors makes Z a sum over their histories, whose weights are
        positive on open chains; given the history, φ_tx is N(Ũ (n↑ − n↓), Ũ).
        """
        assert (self.transfer >= -1e-14).all(), "fermions that can exchange places make signs"
        rng = np.random.default_rng(seed)
        n, m = self.numbers
        first = _choose(rng, np.broadcast_to(np.diag(self.power(self.slices)), (count, n.shape[1])))
        history = [first]
        for t in range(1, self.slices):
            history.append(_choose(rng, self.transfer.T[history[-1]] * self.power(self.slices - t)[first]))
        spin = (n - m).T[np.stack(history, axis=1)]
        width = self.U * self.beta / self.slices
        return width * spin + np.sqrt(width) * rng.normal(size=spin.shape)

    def log_weight(self, phi: Array) -> float:
        """−S at one field (Nt, Nx), with the determinants as a trace over Fock space."""
        n, m = self.numbers
        kinetic = self.transfer / np.exp(self.U * self.beta / self.slices / 2 * ((n - m) ** 2).sum(axis=0))
        product = np.eye(n.shape[1])
        for row in phi:
            product = kinetic * np.exp(row @ (n - m)) @ product
        return float(np.log(np.trace(product)) - (phi**2).sum() * self.slices / (2 * self.U * self.beta))


def _choose(rng: np.random.Generator, weights: Array) -> Array:
    """One index per row, with probabilities in proportion to the row."""
    total = np.cumsum(weights, axis=1)
    return (rng.random((len(weights), 1)) * total[:, -1:] > total).sum(axis=1)
