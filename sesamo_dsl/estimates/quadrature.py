"""Adaptive quadrature of a density in one or two coordinates, with an estimate of its own error.

Gauss–Lobatto rules on boxes; the rule that uses every other node says how much of it to believe. Both
see the ends, so that a jump close to one is not missed. A box is halved along the axis on which the two
rules disagree most, so that a jump along a coordinate line costs as much as in one dimension. All boxes
that need it are refined together.

Both rules agree on what passes between their nodes. So −log of the density is looked at as well: where a
parabola through three nodes says that the density between them may be much larger than at any of them, and
not negligible, the box is halved whatever its error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_NODES = 11
_LAST = np.polynomial.Legendre.basis(_NODES - 1)
_X = np.concatenate([[-1.0], np.sort(_LAST.deriv().roots().real), [1.0]])
_HIGH = 2 / (_NODES * (_NODES - 1) * _LAST(_X) ** 2)
_X[[0, -1]] *= 1 - 1e-10  # boxes end where the density may be singular
_LOW = np.zeros(_NODES)
_LOW[::2] = np.linalg.solve(
    np.polynomial.legendre.legvander(_X[::2], _NODES // 2).T, 2.0 * (np.arange(_NODES // 2 + 1) == 0)
)
_FAINT, _NEGLIGIBLE, _DEEPER = 10.0, 25.0, 3.0  # nats below the peak, and below the nodes around it
_DOUBT = 1.5  # times what the parabola says, which is one only near a minimum
_OVERFLOW = 300.0  # nats above the peak that was known before


@dataclass(frozen=True, eq=False)
class Integral:
    """The result, box by box.

    Attributes
    ----------
    log_scale
        Masses are in units of e to this.
    lower, upper
        Corners of the boxes, (boxes, n).
    mass, error
        Integral over each box and its estimated error, (boxes,).
    peak
        Largest density at a node of each box, (boxes,).
    label
        The label of the initial box that each one is a part of, (boxes,).
    """

    log_scale: float
    lower: np.ndarray
    upper: np.ndarray
    mass: np.ndarray
    error: np.ndarray
    peak: np.ndarray
    label: np.ndarray

    @property
    def log_value(self) -> float:
        """The logarithm of the integral."""
        return float(np.log(self.mass.sum())) + self.log_scale

    @property
    def relative_error(self) -> float:
        """Of the integral."""
        return float(self.error.sum() / self.mass.sum())


def integrate(
    log_density: Callable[[np.ndarray], np.ndarray],
    lower: np.ndarray,
    upper: np.ndarray,
    label: np.ndarray,
    log_scale: float,
    *,
    tolerance: float,
    evaluations: int,
) -> Integral | None:
    """∫ exp(log_density) over a set of boxes; None if the density is not a number somewhere, or zero.

    Parameters
    ----------
    log_density
        (points, n) → (points,); −∞ is a density of zero.
    lower, upper, label
        Corners of the initial boxes, (boxes, n), and a number for each that its parts inherit, (boxes,).
    log_scale
        About the largest value of the logarithm.
    tolerance
        Stop at this relative error.
    evaluations
        Stop when so many points have been asked for, whatever the error.
    """
    n = lower.shape[1]
    done = _rule(log_density, lower, upper, log_scale)
    if done is None:
        return None
    mass: np.ndarray
    error: np.ndarray
    axis: np.ndarray
    peak: np.ndarray
    hidden: np.ndarray
    mass, error, axis, peak, hidden = done
    spent: int = len(lower) * _NODES**n
    while mass.sum() > 0:
        splittable = (upper - lower)[np.arange(len(axis)), axis] > 1e-13
        urgency = np.where(splittable, np.where(hidden, np.inf, error), 0.0)
        order: np.ndarray = np.argsort(-urgency, kind="stable")
        needed = int(hidden.sum())
        if error.sum() > tolerance * mass.sum():  # the largest errors; not too few, as every round costs time
            spare = error.sum() - tolerance * mass.sum() / 2
            needed += max(int(np.searchsorted(np.cumsum(np.sort(error)[::-1]), spare)) + 1, len(error) // 16)
        chosen: np.ndarray = order[: min(needed, max((evaluations - spent) // (2 * _NODES**n), 0))]
        chosen = chosen[urgency[chosen] > 0]
        if not len(chosen):
            break
        rows, along = np.arange(len(chosen)), axis[chosen]
        middle = (lower[chosen] + upper[chosen])[rows, along] / 2
        left, right = upper[chosen].copy(), lower[chosen].copy()
        left[rows, along], right[rows, along] = middle, middle
        low, high = np.concatenate([lower[chosen], right]), np.concatenate([left, upper[chosen]])
        parts = _rule(log_density, low, high, log_scale)
        if parts is None:
            return None
        spent += len(low) * _NODES**n
        keep = np.ones(len(lower), dtype=bool)
        keep[chosen] = False
        lower, upper = np.concatenate([lower[keep], low]), np.concatenate([upper[keep], high])
        label = np.concatenate([label[keep], np.tile(label[chosen], 2)])
        before = (mass, error, axis, peak, hidden)
        merged = [np.concatenate([old[keep], new]) for old, new in zip(before, parts, strict=True)]
        mass, error, axis, peak, hidden = merged
    if not mass.sum() > 0:
        return None
    return Integral(log_scale, lower, upper, mass, error, peak, label)


def _rule(
    log_density: Callable[[np.ndarray], np.ndarray], lower: np.ndarray, upper: np.ndarray, log_scale: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """(mass, error, the axis to halve along, largest density, whether more may be hidden) of each box."""
    boxes, n = lower.shape
    nodes = lower[..., None] + (upper - lower)[..., None] * (1 + _X) / 2  # (boxes, n, nodes)
    if n == 1:
        points = nodes[:, 0, :, None]
    else:
        shape = (boxes, _NODES, _NODES)
        points = np.stack(
            [np.broadcast_to(nodes[:, 0, :, None], shape), np.broadcast_to(nodes[:, 1, None, :], shape)], -1
        )
    logs = log_density(points.reshape(-1, n)).reshape(points.shape[:-1]) - log_scale
    if np.isnan(logs).any() or logs.max() > _OVERFLOW:
        return None
    values = np.exp(logs)
    volume = np.prod((upper - lower) / 2, axis=1)
    if n == 1:
        mass = values @ _HIGH
        gaps = np.abs(values @ (_HIGH - _LOW))[:, None]
    else:
        mass = np.einsum("bij,i,j->b", values, _HIGH, _HIGH)
        gaps = np.abs(
            np.stack(
                [
                    np.einsum("bij,i,j->b", values, _HIGH - _LOW, _HIGH),
                    np.einsum("bij,i,j->b", values, _HIGH, _HIGH - _LOW),
                ],
                axis=1,
            )
        )
    # what the weights of the nodes round to cannot be told from an error
    error = gaps.sum(axis=1) * (gaps.sum(axis=1) > 1e-15 * mass)
    depth = np.stack([_hidden_depth(-np.moveaxis(logs, 1 + a, -1)) for a in range(n)], axis=1)
    hidden = depth.max(axis=1) > 0
    axis = np.where(hidden, depth.argmax(axis=1), gaps.argmax(axis=1))
    return mass * volume, error * volume, axis, values.reshape(boxes, -1).max(axis=1), hidden


def _hidden_depth(height: np.ndarray) -> np.ndarray:
    """By how much a valley between nodes may be deeper than the nodes, (boxes, …, nodes) → (boxes,).

    0 if what may be there is negligible, or the nodes see most of it.
    """
    with np.errstate(all="ignore"):
        left, middle, right = height[..., :-2], height[..., 1:-1], height[..., 2:]
        before, after = left - middle, right - middle
        bend = before + after
        lowest = (before >= 0) & (after >= 0) & np.isfinite(bend) & (bend > 0)
        inner = np.where(lowest, (after - before) ** 2 / (8 * bend), 0.0)
        counts = (middle > _FAINT) & (middle - _DOUBT * inner < _NEGLIGIBLE) & (inner > _DEEPER)
    return np.where(counts, inner, 0.0).reshape(len(height), -1).max(axis=1)
