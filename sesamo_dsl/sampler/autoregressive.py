"""The conditional law of many coupled blocks: an autoregressive chain, and a heat bath of rows of blocks.

Formulas and notation are in :mod:`sesamo_dsl.laws.autoregressive`: the chain draws u block by block, and an
element h of the small group H, which acts alike on all blocks of a row, is resampled by a heat bath.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..laws.autoregressive import AutoregressiveSpec
from .arrays import Array, Weights, inverse_cdf, layers_of, repeated
from .features import Features
from .group_action import GroupAction
from .laws import GroupLaw


class AutoregressiveLaw(GroupLaw):
    """log Σ_(h ∈ H) p_chain(hu|y) and draws of u; y is (batch, components, *lattice), u (batch, blocks)."""

    def __init__(self, group: GroupAction, spec: AutoregressiveSpec, dtype: str) -> None:
        super().__init__(group)
        arrays = group.arrays
        self._spec, self._features = spec, Features(arrays, spec.features, dtype)
        self._mask = arrays.constant(spec.mask, dtype)
        self._places = arrays.constant(np.eye(spec.n_blocks)[:, None, :, None], dtype)
        self._numbers = arrays.constant(np.arange(spec.order)[:, None, None], "index")
        self._product = arrays.constant(spec.table.ravel(), "index")
        self._summed, self._shared, self._turns = None, 1, None
        if spec.together is not None:
            self._turns = arrays.constant(spec.together.elements, "index")
            self._summed, self._shared = spec.together.summed, spec.together.shared

    @property
    def uniforms(self) -> tuple[int, ...]:
        """One uniform number for every block, and one for the heat bath of h."""
        return (self._spec.n_blocks + 1,)

    def initial_state(self, seed: int) -> dict[str, np.ndarray]:
        """See :meth:`AutoregressiveSpec.initial_state`."""
        return {f"law.{name}": values for name, values in self._spec.initial_state(seed).items()}

    def sample_and_log_prob(self, weights: Weights, y: Array, uniform: Array) -> tuple[Array, Array]:
        """See :meth:`GroupLaw.sample_and_log_prob`."""
        choice = self._draw(self._arrays.detach(weights), self._arrays.detach(y), uniform)
        return choice, self.log_prob(weights, y, choice)

    def log_prob(self, weights: Weights, y: Array, choice: Array) -> Array:
        """See :meth:`GroupLaw.log_prob`."""
        xp, u = self._arrays.xp, choice
        hidden, size = self._given(weights, y)
        turns = 1 if self._turns is None else len(self._turns)
        if turns > 1:
            u = self._turned(xp.tile(u, (turns, 1)), repeated(self._arrays, xp.arange(turns), u.shape[0]))
            hidden, size = xp.tile(hidden, (1, 1, turns)), xp.tile(size, (1, turns))
        fields = self._fields(weights["law.coupling"] * self._mask, self._encoded(u, y), size, size)
        log_p = self._arrays.log_softmax(self._logits(weights, hidden, fields, weights["law.logits"]), axis=0)
        chain = xp.take_along_axis(log_p, u.T[None], axis=0)[0].sum(axis=0)
        return self._arrays.logsumexp(chain.reshape(turns, -1), axis=0)

    def log_rows(self, x: Array) -> Array:
        """See :meth:`GroupLaw.log_rows`."""
        return math.log(self._shared) - self._heat_of_rows(x)[0]

    def turn_rows(self, x: Array, choice: Array, uniform: Array) -> tuple[Array, Array]:
        """See :meth:`GroupLaw.turn_rows`; h is drawn by the last of the uniform numbers."""
        if self._turns is None:
            return super().turn_rows(x, choice, uniform)
        xp = self._arrays.xp
        log_p = xp.tile(self._heat_of_rows(x), (self._shared, 1)) - math.log(self._shared)
        h = inverse_cdf(self._arrays, log_p, uniform[:, -1])
        return self._turned(choice, h), xp.take_along_axis(log_p, h[None], axis=0)[0]

    def _heat_of_rows(self, x: Array) -> Array:
        """−S₁(T_h x) − log Σ_h exp(−S₁(T_h x)) for one h of each coset in H, (cosets, batch); h = 1 first."""
        if self._summed is None or len(self._summed) == 1:
            return self._arrays.zeros((1, x.shape[0]), x)
        xp = self._arrays.xp
        turns = repeated(self._arrays, self._arrays.constant(self._summed, "index"), x.shape[0])
        turned = self._group.emitted["modulate"](xp.tile(x, (len(self._summed), *[1] * (x.ndim - 1))), turns)
        energy = self._group.emitted["breaking"](turned).reshape(len(self._summed), -1)
        return self._arrays.log_softmax(-energy, axis=0)

    def _turned(self, u: Array, h: Array) -> Array:
        """hu for the numbers of h in the list of the elements of H, (batch,)."""
        assert self._turns is not None
        elements = self._arrays.take(self._turns, h)
        products = self._arrays.take(self._product, (elements * self._spec.order + u).reshape(-1))
        return products.reshape(u.shape)

    def _draw(self, weights: Weights, y: Array, uniform: Array) -> Array:
        """u drawn by the chain, (batch, blocks): block after block, each by its own uniform number."""
        xp = self._arrays.xp
        hidden, size = self._given(weights, y)
        coupling = weights["law.coupling"] * self._mask

        def step(encoded: Array, row: tuple[Array, ...]) -> tuple[Array, tuple[Array, ...]]:
            place, own_hidden, own_coupling, own_size, own_logits, own_uniform = row
            fields = self._fields(own_coupling[:, :, None], encoded, own_size[None], size)
            logits = self._logits(weights, own_hidden[:, None], fields, own_logits[:, None])
            log_p = self._arrays.log_softmax(logits, axis=0)
            u = inverse_cdf(self._arrays, log_p[:, 0], own_uniform)
            return encoded + place * self._encoded(u[:, None], y), (u,)

        rows: tuple[Any, ...] = (
            self._places,
            xp.moveaxis(hidden, 1, 0),
            xp.moveaxis(coupling, 2, 0),
            size,
            weights["law.logits"].T,
            uniform.T[: self._spec.n_blocks],
        )
        empty = self._arrays.zeros((self._spec.order, self._spec.n_blocks, y.shape[0]), y)
        _, (u,) = self._arrays.scan(step, empty, rows)
        return u.T

    def _given(self, weights: Weights, y: Array) -> tuple[Array, Array]:
        """Quantities that do not depend on u: the inputs of the hidden layer from y, and the sizes m.

        The shapes are (hidden, blocks, batch) and (blocks, batch).
        """
        xp, spec = self._arrays.xp, self._spec
        rest = tuple(mu + 1 for mu in spec.features.rest)
        means = xp.mean(y, axis=rest) if rest else y
        flat = means.reshape(*y.shape[:2], -1)
        tiny = float(np.finfo(self._arrays.dtype_of(y)).tiny)
        size = xp.sqrt((flat * flat).sum(axis=1).T + tiny) / spec.size
        own = xp.moveaxis(self._features(y), 1, 2)
        seen = xp.concat([own, xp.zeros_like(own) + xp.mean(own, axis=1, keepdims=True)])
        weight = weights["law.weight.0"][:, : len(seen)]
        hidden = self._arrays.affine(weights["law.bias.0"], weight, seen.reshape(len(seen), -1))
        exerted = weights["law.sizes"].reshape(-1, spec.n_blocks) @ (size - 1)
        return hidden.reshape(-1, *seen.shape[1:]) + exerted.reshape(-1, *seen.shape[1:]), size

    def _encoded(self, u: Array, like: Array) -> Array:
        """One-hot vectors of the elements less their mean 1/order, (order, blocks, batch)."""
        one = self._arrays.cast(u.T[None] == self._numbers, self._arrays.dtype_of(like))
        return one - 1 / self._spec.order

    def _fields(self, coupling: Array, encoded: Array, size: Array, sizes: Array) -> Array:
        """The fields Σ J and Σ K m_b m_b' on blocks of size m, (2, order, blocks, batch)."""
        order, batch = self._spec.order, encoded.shape[-1]
        rows = coupling.reshape(2, order * len(size), -1)
        plain = rows[0] @ encoded.reshape(-1, batch)
        sized = rows[1] @ (encoded * sizes).reshape(-1, batch)
        shape = (order, *size.shape)
        return self._arrays.xp.stack([plain.reshape(shape), sized.reshape(shape) * size])

    def _logits(self, weights: Weights, hidden: Array, fields: Array, logits: Array) -> Array:
        """Logits of every element at every block, (order, blocks, batch)."""
        exerted = fields.reshape(-1, *fields.shape[2:])
        weight = weights["law.weight.0"][:, -len(exerted) :]
        value = self._arrays.affine(
            hidden.reshape(len(hidden), -1), weight, exerted.reshape(len(exerted), -1)
        )
        for weight, bias in layers_of(weights, "law.", first=1):
            value = self._arrays.affine(bias, weight, self._arrays.silu(value))
        return value.reshape(fields.shape[1:]) + fields.sum(axis=0) + logits[..., None]
