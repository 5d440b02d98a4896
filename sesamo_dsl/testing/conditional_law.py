"""The conditional law p(u|y) in plain NumPy, from the weights of a model, to compare all backends with.

The formulas are in :mod:`sesamo_dsl.laws.conditional`. Only the scales of the features and the cosets are
taken from there; features, network and normalisation are computed independently.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.special import logsumexp

from ..laws.conditional import ConditionalSpec
from .subject import Subject


def log_conditional_law(
    subject: Subject, state: Mapping[str, np.ndarray], strategy: str, y: np.ndarray, u: np.ndarray
) -> np.ndarray:
    """log p(u|y) of a conditional law that is not autoregressive, (batch,).

    Parameters
    ----------
    state
        State of the model; the weights of the network are called ``law.…``.
    strategy
        Strategy of the model, on which the scales of the features depend.
    y
        Configurations in the domain, (batch, components, *lattice).
    u
        Elements, (batch,) or one for each block, (batch, blocks).
    """
    program, sectors = subject.program, subject.program.sectors
    spec: ConditionalSpec = subject.once(
        ("conditional law", strategy),
        lambda: ConditionalSpec.of(program, subject.analysis, subject.base, strategy, subject.parameters),
    )
    shape = subject.element_shape
    choices = sectors.elements if spec.joint else [np.full(shape, g) for g in range(sectors.order)]
    seen = np.stack([_features(spec, program.block_axes, subject.act(g, y)) for g in choices])
    if spec.joint:  # one input for every feature and block
        inputs = seen.reshape(len(choices), len(y), 1, -1)
    else:
        everywhere = np.broadcast_to(seen.mean(axis=(0, 3), keepdims=True), seen.shape)
        inputs = np.moveaxis(np.concatenate([seen, everywhere], axis=2), 2, 3)
    psi = _network(state, inputs)
    log_p = psi - logsumexp(psi, axis=0)
    if spec.cosets is not None:
        log_p = logsumexp(log_p[spec.cosets], axis=1) - np.log(spec.cosets.shape[1])
    if spec.joint:
        return np.take_along_axis(log_p[..., 0], sectors.index(u)[None], axis=0)[0]
    return np.take_along_axis(log_p, u[None], axis=0)[0].sum(axis=1)


def _features(spec: ConditionalSpec, blocks: tuple[int, ...], x: np.ndarray) -> np.ndarray:
    """Centred and scaled means of monomials over each block, (batch, features, blocks)."""
    averaged = tuple(mu + 1 for mu in range(x.ndim - 2) if mu not in blocks)
    rows = []
    for monomial, mean, scale in zip(
        spec.features.monomials, spec.features.mean, spec.features.scale, strict=True
    ):
        density = np.ones_like(x[:, 0])
        for a in monomial:
            density = density * x[:, a]
        rows.append((density.mean(axis=averaged).reshape(len(x), -1) - mean) / scale)
    return np.stack(rows, axis=1)


def _network(state: Mapping[str, np.ndarray], inputs: np.ndarray) -> np.ndarray:
    """ψ, (…, inputs) → (…): a linear function and a network with SiLU between its layers."""
    depth = sum(name.startswith("law.weight.") for name in state)
    hidden = inputs
    for n in range(depth):
        if n:
            hidden = hidden / (1 + np.exp(-hidden))
        hidden = hidden @ state[f"law.weight.{n}"].T + state[f"law.bias.{n}"][:, 0]
    return hidden[..., 0] + inputs @ state["law.linear"][0]
