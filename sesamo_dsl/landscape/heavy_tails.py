"""How fast S grows far out, and which tails a density needs that exp(−S) is weighed against.

Where S grows more slowly than quadratically along a ray, a Gaussian has lighter tails than exp(−S), and
weights would have no variance. A Student t has the density |x|^(−ν−n) far out, and fits where S ~ c log|x|
with c = ν + n; anything that grows faster has lighter tails than that. A sum of terms each of which grows
like c log|x_i| along its own axis needs a product of Student t's in one variable, ν = c − 1.
"""

from __future__ import annotations

import numpy as np

from ..flows.base import Tail
from .landscape import Landscape

_DISTANCES = (1e3, 1e5, 1e7)  # a power of S has to be low as far out as that
_QUADRATIC = 1.9  # power of S from which a Gaussian has tails that are heavy enough
_MOST_FREEDOM = 3.0  # of a Student t where S grows faster than any logarithm
_LEAST_FREEDOM = 0.2
_MARGIN = 0.95  # tails are taken to be a little heavier than they are found to be
_RAYS = 32
_SMALL = 64  # real variables up to which rays go along all axes


def find_tail(landscape: Landscape, centre: np.ndarray, rng: np.random.Generator) -> Tail | None:
    """Tails at least as heavy as those of exp(−S) along rays from a point, (n,); None for a Gaussian's."""
    n, c = landscape.size, len(landscape.program.components)
    axes = np.eye(n) if n <= _SMALL else np.repeat(np.eye(c), n // c, axis=1)
    axes = np.concatenate([axes, -axes])
    generic = np.concatenate([np.ones((1, n)), rng.normal(size=(_RAYS, n))])
    powers, slopes = _growth(landscape, centre, np.concatenate([axes, generic, -generic]))
    along, across = slopes[: len(axes)], slopes[len(axes) :]
    if not powers.min() < _QUADRATIC:
        return None
    separate = n > 1 and n <= _SMALL and across.min() > 0.8 * n * along.min()
    if separate and along.min() - n < _MOST_FREEDOM:
        return Tail("product", float(np.clip(_MARGIN * (along.min() - 1), _LEAST_FREEDOM, _MOST_FREEDOM)))
    return Tail("student", float(np.clip(_MARGIN * (slopes.min() - n), _LEAST_FREEDOM, _MOST_FREEDOM)))


def _growth(landscape: Landscape, centre: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(p, c) of S ~ t^p or c log t along each ray; infinite where S is."""
    rays = rays / np.linalg.norm(rays, axis=1, keepdims=True)
    base = float(landscape.values(centre[None])[0])
    with np.errstate(all="ignore"):  # of infinite walls
        rises = np.stack([landscape.values(centre + t * rays) - base for t in _DISTANCES])
        decades = np.diff(np.log(_DISTANCES))[:, None]
        powers = (np.diff(np.log(rises), axis=0) / decades).max(axis=0)
        slopes = (np.diff(rises, axis=0) / decades)[-1]
    infinite = ~np.isfinite(rises[-1])
    return (
        np.where(infinite, np.inf, np.where(np.isnan(powers), 0.0, powers)),
        np.where(infinite, np.inf, slopes),
    )
