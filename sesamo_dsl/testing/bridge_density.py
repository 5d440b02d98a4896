"""A normalised density s(x) that overlaps with a model but shares no code with it: images of a Gaussian.

The test of ∫q = 1 compares q with it. The Gaussian is fitted to canonicalized samples of the model; its
images under the group elements (and, for Lie groups, under a few rotations) are drawn and evaluated by their
matrices alone, log-determinants included, so that nothing is assumed about the group.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import logsumexp

from ..backend import Draws
from ..laws.orbits import log_area, uniform_directions
from .property import EPS
from .subject import Subject

_ENUMERATED = 64  # group elements up to which the density is a sum over all images
_ROTATIONS = {2: 16, 3: 32}
_INFLATION = 1.2


@dataclass(frozen=True, eq=False)
class BridgeDensity:
    """The mixture of the images of a Gaussian under linear maps.

    For groups too large to enumerate it is a density of pairs (x, v) of a configuration and a group element:
    v is uniform and x = T_v y. A model's x is paired with its own u(x), and a pair (x, v) with v ≠ u(x) has
    density zero under the model; ratios and means are taken over pairs.

    Attributes
    ----------
    maps
        The linear maps, (images, n, n).
    mean, root
        Mean of the Gaussian, (n,), and Cholesky factor of its covariance, (n, n).
    labelled
        Whether it is a density of pairs.
    """

    subject: Subject
    maps: np.ndarray
    mean: np.ndarray
    root: np.ndarray
    labelled: bool

    @classmethod
    def of(cls, subject: Subject, draws: Draws) -> BridgeDensity:
        """Fit to samples of a model."""
        n, shape = subject.theory.degrees_of_freedom, subject.theory.configuration_shape
        y = subject.interpret("canonicalize", draws.x[~draws.leaked])[0]
        if subject.analysis.lie_reports:
            y = subject.interpret("unrotate", y)[0]
        flat = y.reshape(len(y), n)
        covariance = _INFLATION * np.cov(flat.T).reshape(n, n)
        identity = np.eye(n).reshape(n, *shape)
        maps = [np.eye(n)]
        rng = np.random.default_rng(23)
        for i, report in enumerate(subject.analysis.lie_reports):
            slice_ = report.slice
            count = _ROTATIONS.get(slice_.dimension, 128)
            directions = uniform_directions(rng, count, slice_.dimension)
            if slice_.dimension == 2:
                angles = 2 * np.pi * np.arange(count) / count
                directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
            radius = float(np.mean(subject.interpret("radii", y)[i]))
            spacing = radius * np.exp((log_area(slice_.dimension) - np.log(count)) / (slice_.dimension - 1))
            for a in slice_.block[1:]:
                mode = np.zeros(shape)
                mode[a] = 1 / np.sqrt(subject.theory.lattice.volume)
                covariance = covariance + (0.7 * spacing) ** 2 * np.outer(mode, mode)
            fixed = {
                f"n_{j}": np.broadcast_to(np.eye(other.slice.dimension)[0], (n, other.slice.dimension))
                for j, other in enumerate(subject.analysis.lie_reports)
            }
            turns = [
                subject.interpret("rotate", identity, **{**fixed, f"n_{i}": np.broadcast_to(d, (n, len(d)))})[
                    0
                ]
                for d in directions
            ]
            maps = [turn.reshape(n, n).T @ old for turn in turns for old in maps]
        labelled = subject.log_order > np.log(_ENUMERATED) + 1e-9
        if not labelled:
            images = [subject.act(u, identity).reshape(n, n).T for u in subject.some_elements(_ENUMERATED)]
            maps = [image @ old for image in images for old in maps]
        scale = np.trace(covariance) / n
        root = np.linalg.cholesky(covariance + 1e-9 * scale * np.eye(n))
        return cls(subject, np.array(maps), flat.mean(axis=0), root, labelled)

    def draw(self, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Configurations (count, components, *lattice), and whether q ≠ 0: True, or v = u(x) for pairs."""
        rng = np.random.default_rng([seed, 31])
        z = rng.normal(size=(count, len(self.mean)))
        y = self.mean + z @ self.root.T
        image = rng.integers(0, len(self.maps), size=count)
        flat = np.empty_like(y)
        for k, matrix in enumerate(self.maps):
            flat[image == k] = y[image == k] @ matrix.T
        x = flat.reshape(count, *self.subject.theory.configuration_shape)
        if not self.labelled:
            return x, np.ones(count, dtype=bool)
        order = self.subject.analysis.group.order
        v = rng.integers(0, order, size=(count, *self.subject.element_shape))
        x = self.subject.interpret("modulate", x, u=v)[0]
        u = self.subject.interpret("canonicalize", x)[1]
        return x, ~np.any(np.reshape(u != v, (count, -1)), axis=1)

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """log s(x), (batch,); at the pair (x, u(x)) for a density of pairs."""
        shift = 0.0
        if self.labelled:
            x, shift = self.subject.interpret("canonicalize", x)[0], self.subject.log_order
        terms = np.array([term for term, _ in self._terms(x)])
        return logsumexp(terms, axis=0) - np.log(len(self.maps)) - shift

    def log_density_and_score(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """log s, (batch,), and ∇ log s, of the shape of x; not for a density of pairs."""
        terms, whitened = zip(*self._terms(x), strict=True)
        log_s = logsumexp(terms, axis=0)
        score = np.zeros((len(x), len(self.mean)))
        for term, z, (inverse, _) in zip(terms, whitened, self._inverses, strict=True):
            weight = np.exp(term - log_s)
            near = weight > EPS["float64"]  # few images are near any one point
            score[near] -= weight[near, None] * (z[near] @ inverse)
        return log_s - np.log(len(self.maps)), score.reshape(x.shape)

    def _terms(self, x: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Log density of every image and its standardised coordinates z = W x − L⁻¹m."""
        flat = x.reshape(len(x), -1)
        offset = np.linalg.solve(self.root, self.mean)
        for inverse, log_volume in self._inverses:
            z = flat @ inverse.T - offset
            yield -log_volume - 0.5 * (z**2).sum(axis=1), z

    @cached_property
    def _inverses(self) -> list[tuple[np.ndarray, float]]:
        """W = L⁻¹M⁻¹ of every image, and the logarithm of its Gaussian's integral."""
        normal = 0.5 * len(self.mean) * np.log(2 * np.pi) + np.log(np.diag(self.root)).sum()
        return [
            (np.linalg.solve(self.root, np.linalg.inv(matrix)), normal + np.linalg.slogdet(matrix)[1])
            for matrix in self.maps
        ]
