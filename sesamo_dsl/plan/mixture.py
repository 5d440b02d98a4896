"""A base fitted to configurations of the target: a mixture of Gaussians, one part for each flow.

The mixture Σ_k π_k N(m_k, C_k) is fitted to configurations in the domain by expectation maximisation
(A. P. Dempster, N. M. Laird, D. B. Rubin, J. R. Stat. Soc. B 39 (1977) 1). Means are constant fields, and
covariances are translation invariant, a block for every wave. A fold gives y the density Σ_M q(M y), a sum
over all pre-images. Therefore all pre-images of each configuration enter the fit, and the expectation step
determines how probable each of them is under each part. With heavy tails the parts are Student t
distributions (D. Peel, G. J. McLachlan, Stat. Comput. 10 (2000) 339).

Parts are added one by one, each at the best of several trial points, as long as configurations that do not
enter the fit become clearly more probable. On a lattice the parts also have to be well separated, because one
valley with many sites is described by a flow, not by many Gaussians. The fit is deterministic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import gammaln, logsumexp

from ..flows.base import GaussianBase, MixtureBase, Tail
from ..ir.interpreter import run
from ..ir.program import Program
from ..lowering.modulation import preimages

MOST_PARTS = 8
_LEAST_WIDTH = 1e-6  # multiple of the mean variance that is added, for directions without any variance
_ENTRIES = 150_000  # about the largest number of complex numbers in the fit
_MOST_IMAGES = 64  # with more pre-images only the configuration itself enters the fit
_LEAST_GAIN = 0.1  # least gain in the mean of log q for another part
_SIGNIFICANT = 3.0  # least gain in units of its standard error
_MOST_DOUBT = 0.02  # largest misassignment of configurations to parts, on a lattice
_TRIALS = (0.002, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9)  # quantiles of log q at which a new part may start
_SHORT, _LONG = 6, 40  # numbers of steps of expectation maximisation


@dataclass(frozen=True, eq=False)
class _Parts:
    """A mixture in momentum space: weights (parts,), means (parts, c), covariances (parts, waves, c, c)."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    def __len__(self) -> int:
        return len(self.weights)


@dataclass(frozen=True, eq=False)
class _Fit:
    """The fit to one set of configurations.

    Attributes
    ----------
    waves
        Unitary Fourier transforms of all images of the configurations, (n, images, waves, c); the first wave
        has momentum 0.
    sites
        Number of sites, which is the number of waves.
    tail
        Tail of the parts; None for Gaussians.
    """

    waves: np.ndarray
    sites: int
    tail: Tail | None

    @property
    def size(self) -> int:
        """Number of real variables of a configuration."""
        return self.sites * self.waves.shape[-1]

    def apart(self, mean: np.ndarray) -> np.ndarray:
        """Waves of the differences from a constant field, (n, images, waves, c)."""
        shifted = self.waves.copy()
        shifted[:, :, 0] -= math.sqrt(self.sites) * mean
        return shifted

    def distances(self, mean: np.ndarray, precision: np.ndarray) -> np.ndarray:
        """Squared Mahalanobis distance d² of every image from a part, (n, images)."""
        apart = self.apart(mean)
        turned = np.einsum("kab,ngkb->ngka", precision, apart, optimize=True)
        return np.einsum("ngka,ngka->ng", apart.conj(), turned, optimize=True).real

    def log_parts(self, parts: _Parts) -> tuple[np.ndarray, np.ndarray]:
        """(log of weight times density, d²) for each part and image, (parts, n, images) each."""
        precisions = np.linalg.inv(parts.covariances)
        log_dets = np.linalg.slogdet(parts.covariances)[1].sum(axis=1)
        squares = np.stack([self.distances(m, p) for m, p in zip(parts.means, precisions, strict=True)])
        offsets = (np.log(parts.weights) - log_dets / 2)[:, None, None]
        if self.tail is None:
            return offsets - squares / 2 - self.size / 2 * math.log(2 * math.pi), squares
        nu, n = self.tail.freedom, self.size
        peak = float(gammaln((nu + n) / 2) - gammaln(nu / 2)) - n / 2 * math.log(nu * math.pi)
        return offsets + peak - (nu + n) / 2 * np.log1p(squares / nu), squares

    def log_density(self, parts: _Parts) -> np.ndarray:
        """log q of each configuration, a sum over parts and images, (n,)."""
        return np.asarray(logsumexp(self.log_parts(parts)[0], axis=(0, 2)))

    def doubt(self, parts: _Parts) -> float:
        """Mean probability that a configuration does not belong to its most probable part."""
        log_parts = np.asarray(logsumexp(self.log_parts(parts)[0], axis=2))
        return 1 - float(np.exp(log_parts - logsumexp(log_parts, axis=0)).max(axis=0).mean())

    def improved(self, parts: _Parts) -> _Parts:
        """One step of expectation maximisation."""
        log_parts, squares = self.log_parts(parts)
        belongs = np.exp(log_parts - logsumexp(log_parts, axis=(0, 2), keepdims=True))
        shares = belongs.sum(axis=(1, 2)) + 1e-12
        drawn = belongs
        if self.tail is not None:
            drawn = belongs * (self.tail.freedom + self.size) / (self.tail.freedom + squares)
        moments = [self.moments(weights, total) for weights, total in zip(drawn, shares, strict=True)]
        means, covariances = (np.stack(values) for values in zip(*moments, strict=True))
        return _Parts(shares / shares.sum(), means, covariances)

    def moments(self, weights: np.ndarray, total: float) -> tuple[np.ndarray, np.ndarray]:
        """Weighted mean, (c,), and Σ w d d†/total, (waves, c, c), of images with weights, (n, images)."""
        mean = np.einsum("ng,nga->a", weights, self.waves[:, :, 0]).real / weights.sum()
        mean = mean / math.sqrt(self.sites)
        apart = self.apart(mean)
        weighted = apart * weights[:, :, None, None]
        covariance = np.einsum("ngka,ngkb->kab", weighted, apart.conj(), optimize=True) / total
        width = np.abs(np.einsum("kaa->ka", covariance)).mean()
        return mean, covariance + _LEAST_WIDTH * width * np.eye(len(mean))

    def run(self, parts: _Parts, steps: int) -> _Parts:
        """``steps`` steps of expectation maximisation; parts of negligible weight are dropped."""
        least = (self.waves.shape[-1] + 2) / len(self.waves)
        for _ in range(steps):
            parts = self.improved(parts)
            kept = parts.weights >= min(least, parts.weights.max())
            if not kept.all():
                weights = parts.weights[kept]
                parts = _Parts(weights / weights.sum(), parts.means[kept], parts.covariances[kept])
        return parts

    def with_one_more(self, parts: _Parts) -> _Parts:
        """The best of a few mixtures with one more part, which starts around one of the configurations."""
        order = np.argsort(self.log_density(parts), kind="stable")
        found = []
        for quantile in _TRIALS:
            more = self._joined(parts, int(order[int(quantile * len(order))]))
            found.append(self.run(more, _SHORT))
        heights = [self.log_density(tried).mean() for tried in found]
        return self.run(found[int(np.argmax(heights))], _LONG)

    def _joined(self, parts: _Parts, seed: int) -> _Parts:
        log_parts, _ = self.log_parts(parts)
        k, image = np.unravel_index(int(np.argmax(log_parts[:, seed])), log_parts[:, seed].shape)
        here = self.waves[seed, image]
        precision = np.linalg.inv(parts.covariances[k])
        apart = self.waves - here
        squares = np.einsum("ngka,kab,ngkb->ng", apart.conj(), precision, apart, optimize=True).real
        image = squares.argmin(axis=1)
        nearest = np.argsort(squares.min(axis=1), kind="stable")[: 3 * here.shape[-1] + 10]
        weights = np.zeros(squares.shape)
        weights[nearest, image[nearest]] = 1.0
        mean, covariance = self.moments(weights, len(nearest))
        share = 1 / (len(parts) + 1)
        return _Parts(
            np.append(parts.weights * (1 - share), share),
            np.concatenate([parts.means, mean[None]]),
            np.concatenate([parts.covariances, covariance[None]]),
        )


def in_domain(program: Program, x: np.ndarray, strategy: str) -> np.ndarray:
    """Configurations as the flow draws them: in the domain, off slices by random auxiliary coordinates."""
    x = x.astype(np.float64)
    if strategy == "none":
        return x
    y = run(program, "canonicalize", {"x": x})[0]
    if "unrotate" not in program.functions:
        return y
    on_slice = run(program, "unrotate", {"x": y})[0]
    rng, auxiliary = np.random.default_rng(0), {}
    while (name := f"COLLECTIVE_{len(auxiliary)}") in program.constants:
        dimension = len(program.constants[name])
        auxiliary[f"a_{len(auxiliary)}"] = rng.normal(size=(len(y), dimension - 1))
    return run(program, "off_slice", {"y": on_slice, **auxiliary})[0]


def base_of_configurations(
    program: Program,
    x: np.ndarray,
    strategy: str,
    *,
    most: int = MOST_PARTS,
    tail: Tail | None = None,
) -> GaussianBase:
    """The base for configurations of the target, with several parts if one does not suffice.

    Parameters
    ----------
    x
        Configurations, (n, components, *lattice), of a theory without a graph; configurations that depend on
        each other have to be neighbours.
    strategy
        Strategy by which the flow stays in the domain.
    most
        Largest number of parts.
    tail
        Tail of the flows.
    """
    y = in_domain(program, x, strategy)
    matrices = preimages(program, strategy)
    if matrices.ndim == 4 or len(matrices) > _MOST_IMAGES:  # blocks: the configuration itself
        matrices = np.eye(y.shape[1])[None]
    kept = min(len(y), max(_ENTRIES // (len(matrices) * y[0].size), 64))
    y = y[:: max(len(y) // kept, 1)]
    axes, sites = tuple(range(2, y.ndim)), int(np.prod(program.shape))
    waves = np.fft.fftn(y, axes=axes, norm="ortho").reshape(len(y), y.shape[1], sites)
    images = np.einsum("gab,nbk->ngka", matrices, waves)
    learned, other = (_Fit(rows, sites, tail) for rows in np.array_split(images, 2))
    best = _single(learned)
    height = other.log_density(best)
    while len(best) < most:
        tried = learned.with_one_more(best)
        gain = other.log_density(tried) - height
        error = gain.std() / math.sqrt(len(gain))
        apart = sites == 1 or other.doubt(tried) < _MOST_DOUBT
        if len(tried) <= len(best) or not apart or not gain.mean() > max(_LEAST_GAIN, _SIGNIFICANT * error):
            break
        best, height = tried, height + gain
    return _as_base(program, _Fit(images, sites, tail).run(best, _SHORT), tail)


def _single(fit: _Fit) -> _Parts:
    """One part, which starts from the moments of the configurations without their images."""
    weights = np.zeros(fit.waves.shape[:2])
    weights[:, 0] = 1.0
    mean, covariance = fit.moments(weights, len(weights))
    return fit.run(_Parts(np.ones(1), mean[None], covariance[None]), _LONG)


def _as_base(program: Program, parts: _Parts, tail: Tail | None) -> GaussianBase:
    bases = [_gaussian(program, m, c, tail) for m, c in zip(parts.means, parts.covariances, strict=True)]
    if len(bases) == 1:
        return bases[0]
    return MixtureBase.of_parts(bases, np.log(parts.weights))


def _gaussian(program: Program, mean: np.ndarray, covariance: np.ndarray, tail: Tail | None) -> GaussianBase:
    """A Gaussian with these moments; H(−k) = conj H(k), as for a real field, is made exact."""
    precision = np.linalg.inv(covariance).reshape(*program.shape, len(mean), len(mean))
    lattice = tuple(range(len(program.shape)))
    mirrored = np.roll(np.flip(precision, lattice), 1, lattice).conj()
    precision = (precision + mirrored) / 2
    precision = (precision + precision.conj().swapaxes(-1, -2)) / 2
    return replace(GaussianBase.from_precision(mean, precision, program.nodes), tail=tail)
