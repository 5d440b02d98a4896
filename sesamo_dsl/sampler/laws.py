"""Modulation laws p(u|y) of a finite group.

=============  ===========================================================================================
law            p(u|y)
=============  ===========================================================================================
uniform        1/|G|
learned        one logit for every element, the same for all y
heat_bath      exp(−S₁(T_u y)) / Σ_v exp(−S₁(T_v y)), the exact conditional
conditional    exp ψ(T_u y) / Σ_v exp ψ(T_v y) with a network ψ (:mod:`sesamo_dsl.laws.conditional`); the
               chain of :mod:`sesamo_dsl.sampler.autoregressive` if S₁ couples too many blocks for a table
=============  ===========================================================================================

A user's law is a subclass of :class:`GroupLaw`, or of :class:`TableLaw` if it has a table over all u, and is
registered by :func:`sesamo_dsl.register_law`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from ..laws.conditional import ConditionalSpec
from .arrays import Array, Arrays, Weights, chosen, inverse_cdf, layers_of, perceptron
from .features import Features
from .group_action import GroupAction


class GroupLaw(ABC):
    """A law p(u|y): y has the shape (batch, components, *lattice), u is a choice of :class:`GroupAction`.

    Subclasses have the group as ``self._group`` and the arrays of the framework as ``self._arrays``.
    """

    has_table: ClassVar[bool] = False
    """True if the law is a :class:`TableLaw`, which evaluates log p(u|y) for every u at once."""
    depends_on_y: ClassVar[bool] = True
    """False if p(u|y) is the same for all y: a note says that it cannot be exact on a broken symmetry."""
    equivariant: ClassVar[bool] = False
    """True if p(u|T_g y) = p(ug|y), as for a softmax over u of a function of T_u y.

    The objective is then continuous where a fold joins two walls of the domain, and its gradient goes along
    y; else the difference from the heat bath is differentiated through the density of y.
    """
    note: ClassVar[str] = "declared by the user; the weights correct for what it lacks"
    """What readers of results are told about the law."""

    def __init__(self, group: GroupAction) -> None:
        self._group, self._arrays = group, group.arrays

    @property
    def uniforms(self) -> tuple[int, ...]:
        """Shape of the uniform numbers that a draw needs for one configuration."""
        return self._group.sectors.law_shape

    def initial_state(self, seed: int) -> dict[str, np.ndarray]:
        """Initial weights beside ``law.logits``, by names that begin with ``law.``, not ``law.circle.``."""
        return {}

    @abstractmethod
    def sample_and_log_prob(self, weights: Weights, y: Array, uniform: Array) -> tuple[Array, Array]:
        """A choice for each y, a constant, and its log p(u|y), (batch,), which is differentiable."""

    @abstractmethod
    def log_prob(self, weights: Weights, y: Array, choice: Array) -> Array:
        """log p(u|y), (batch,); a chain returns log p(u|y) + :meth:`log_rows` at x = T_u y."""

    def log_rows(self, x: Array) -> Array:
        """log Σ_(h ∈ H) exp(S₁(x) − S₁(T_h x)), (batch,); 0 if the law has no heat bath of rows.

        The elements h ∈ H act alike on all blocks of a row, see :mod:`sesamo_dsl.laws.autoregressive`.
        """
        return self._arrays.zeros((x.shape[0],), x)

    def turn_rows(self, x: Array, choice: Array, uniform: Array) -> tuple[Array, Array]:
        """(hu, log p(h|x)) with h ∈ H drawn from its heat bath at x = T_u y; (u, 0) without a heat bath."""
        return choice, self._arrays.zeros((x.shape[0],), x)


class TableLaw(GroupLaw):
    """A law that evaluates log p(u|y) for every u at once."""

    has_table = True

    @abstractmethod
    def table(self, weights: Weights, y: Array) -> Array:
        """log p(u|y) for every u, (choices, batch) or (elements, batch, blocks), as S₁(T_u y)."""

    def sample_and_log_prob(self, weights: Weights, y: Array, uniform: Array) -> tuple[Array, Array]:
        """See :meth:`GroupLaw.sample_and_log_prob`."""
        log_p = self.table(weights, y)
        choice = inverse_cdf(self._arrays, self._arrays.detach(log_p), uniform)
        return choice, chosen(self._arrays, log_p, choice)

    def log_prob(self, weights: Weights, y: Array, choice: Array) -> Array:
        """See :meth:`GroupLaw.log_prob`."""
        return chosen(self._arrays, self.table(weights, y), choice)


class Uniform(TableLaw):
    """p(u|y) = 1/|G|."""

    depends_on_y, equivariant = False, True

    def table(self, weights: Weights, y: Array) -> Array:
        """See :meth:`TableLaw.table`."""
        shape = self._group.table_shape(y)
        return self._arrays.zeros(shape, y) - math.log(shape[0])


class Learned(TableLaw):
    """A softmax with one logit for every element, and every block; it does not depend on y."""

    depends_on_y = False

    def table(self, weights: Weights, y: Array) -> Array:
        """See :meth:`TableLaw.table`."""
        log_p = self._arrays.log_softmax(weights["law.logits"], axis=0)[:, None]
        return log_p + self._arrays.zeros(self._group.table_shape(y), y)


class HeatBath(TableLaw):
    """The exact conditional law p(u|y) ∝ exp(−S₁(T_u y))."""

    equivariant = True

    def table(self, weights: Weights, y: Array) -> Array:
        """See :meth:`TableLaw.table`."""
        return log_heat(self._arrays, self._group.breaking(y))


class Conditional(TableLaw):
    """A softmax of a network ψ(T_u y), averaged over the cosets of the unbroken subgroup."""

    equivariant = True

    def __init__(self, group: GroupAction, spec: ConditionalSpec, dtype: str) -> None:
        super().__init__(group)
        self._spec, self._features = spec, Features(group.arrays, spec.features, dtype)
        self._cosets = None if spec.cosets is None else group.arrays.constant(spec.cosets, "index")

    def initial_state(self, seed: int) -> dict[str, np.ndarray]:
        """See :meth:`ConditionalSpec.initial_state`."""
        return {f"law.{name}": values for name, values in self._spec.initial_state(seed).items()}

    def table(self, weights: Weights, y: Array) -> Array:
        """See :meth:`TableLaw.table`."""
        seen = self._seen(self._group.all_images(y))
        shape, seen = seen.shape[1:], seen.reshape(len(seen), -1)
        hidden = perceptron(self._arrays, layers_of(weights, "law."), seen)
        log_p = self._arrays.log_softmax((hidden + weights["law.linear"] @ seen).reshape(shape), axis=0)
        if self._cosets is None:
            return log_p
        return self._arrays.logsumexp(log_p[self._cosets], axis=1) - math.log(self._cosets.shape[1])

    def _seen(self, images: Array) -> Array:
        """Inputs of the network, (inputs, choices, batch[, blocks]).

        For one table over all sectors these are the features of all blocks; else those of the block itself,
        and their mean over all elements and blocks.
        """
        xp, spec, own = self._arrays.xp, self._spec, self._features(images)
        if spec.joint:
            return xp.moveaxis(own, 1, 2).reshape(spec.inputs, spec.choices, -1)
        own = own.reshape(len(own), spec.choices, -1, spec.n_blocks)
        return xp.concat([own, xp.zeros_like(own) + xp.mean(own, axis=(1, 3), keepdims=True)])


def log_heat(arrays: Arrays, breaking: Array) -> Array:
    """log p(u|y) of the heat bath from S₁(T_u y), both of shape :meth:`GroupAction.table_shape`."""
    return arrays.log_softmax(-breaking, axis=0)


LAW_CLASSES: dict[str, type[GroupLaw]] = {"uniform": Uniform, "learned": Learned, "heat_bath": HeatBath}
"""The laws of the package that need the group alone; laws of users are in the registry ``LAWS``."""
