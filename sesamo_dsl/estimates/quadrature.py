"""Adaptive quadrature of a density in one or two coordinates, with an estimate of its own error.

The rules are Gauss–Lobatto rules on boxes; the difference from a rule on every other node is the error
estimate. Both rules include the ends of a box, so that they see a jump close to an end. A box is halved along
the axis on which the two rules differ most, so that a jump across a coordinate line costs as much as in one
dimension. All boxes that need it are refined together.

Both rules miss a narrow peak between their nodes. Therefore −log of the density is tested as well: where a
parabola through three neighbouring nodes shows that the density between them may be much larger than at the
nodes, and not negligible, the box is halved whatever its error estimate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_NODES = 11
_LAST = np.polynomial.Legendre.basis(_NODES - 1)
_X = np.concatenate([[-1.0], np.sort(_LAST.deriv().roots().real), [1.0]])
_HIGH = 2 / (_NODES * (_NODES - 1) * _LAST(_X) ** 2)
_X[[0, -1]] *= 1 - 1e-10  # the density may be singular at the ends of a box
_LOW = np.zeros(_NODES)
_LOW[::2] = np.linalg.solve(
    np.polynomial.legendre.legvander(_X[::2], _NODES // 2).T, 2.0 * (np.arange(_NODES // 2 + 1) == 0)
)
# −log density, relative to log_scale, at which a node may hide a peak beside it and at which a peak is
# negligible; least depth of the valley below the node
_FAINT, _NEGLIGIBLE, _DEEPER = 10.0, 25.0, 3.0
_DOUBT = 1.5  # factor on the depth by the parabola, which is accurate only near a minimum
_OVERFLOW = 300.0  # largest log of the density above ``log_scale``


@dataclass(frozen=True, eq=False)
class Integral:
    """The integral of a density, box by box.

    Attributes
    ----------
    log_scale
        Logarithm of the unit of ``mass``, ``error`` and ``peak``.
    lower, upper
        Corners of the boxes, (boxes, n).
    mass, error
        Integral over each box and its estimated error, (boxes,).
    peak
        Largest density at a node of each box, (boxes,).
    label
        Label of the initial box that contains each box, (boxes,).
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
        """The estimated relative error of the integral."""
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
    """∫ exp(log_density) over a set of boxes; None if the density is NaN at a node or zero at all nodes.

    Parameters
    ----------
    log_density
        Logarithm of the density, (points, n) → (points,); −∞ for a density of zero.
    lower, upper, label
        Corners of the initial boxes, (boxes, n), and a label for each, (boxes,), which its parts inherit.
    log_scale
        Approximate maximum of ``log_density``. The result is None if a value is more than 300 above it.
    tolerance
        Relative error at which the refinement stops.
    evaluations
        Number of points at which the refinement stops, whatever the error.
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
        if error.sum() > tolerance * mass.sum():  # the largest errors, 1/16 of all boxes or more
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
    """(mass, error, axis to halve along, largest density, True if a peak may be hidden) for each box."""
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
    # a difference of the size of rounding is not an error
    error = gaps.sum(axis=1) * (gaps.sum(axis=1) > 1e-15 * mass)
    depth = np.stack([_hidden_depth(-np.moveaxis(logs, 1 + a, -1)) for a in range(n)], axis=1)
    hidden = depth.max(axis=1) > 0
    axis = np.where(hidden, depth.argmax(axis=1), gaps.argmax(axis=1))
    return mass * volume, error * volume, axis, values.reshape(boxes, -1).max(axis=1), hidden


def _hidden_depth(height: np.ndarray) -> np.ndarray:
    """Depth of a hidden valley of −log density below the nodes, (boxes, …, nodes) → (boxes,).

    The depth is that of the parabola through three nodes; it is 0 if the density there is negligible, or if
    the nodes see most of it.
    """
    with np.errstate(all="ignore"):
        left, middle, right = height[..., :-2], height[..., 1:-1], height[..., 2:]
        before, after = left - middle, right - middle
        bend = before + after
        lowest = (before >= 0) & (after >= 0) & np.isfinite(bend) & (bend > 0)
        inner = np.where(lowest, (after - before) ** 2 / (8 * bend), 0.0)
        counts = (middle > _FAINT) & (middle - _DOUBT * inner < _NEGLIGIBLE) & (inner > _DEEPER)
    return np.where(counts, inner, 0.0).reshape(len(height), -1).max(axis=1)
