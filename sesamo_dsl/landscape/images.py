"""Images of one configuration under translations, the modulating finite group, and Lie groups."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..ir.interpreter import run
from ..laws.orbits import circle, log_area, uniform_directions
from .landscape import Landscape

_LISTED = 64  # group elements up to which every image is computed
_COUNTED = 4096
_ORBIT_POINTS = 1024


@dataclass(frozen=True, eq=False)
class Known:
    """A configuration (n,) that others are compared with, its Fourier transform and its orientations."""

    x: np.ndarray
    waves: np.ndarray
    orientations: tuple[np.ndarray, ...]


class Images:
    """The images of configurations of a theory under translations, the finite group and the Lie groups."""

    def __init__(self, landscape: Landscape) -> None:
        self._landscape, self._program = landscape, landscape.program
        axes = range(len(landscape.shape))
        uniform = not self._program.functions["action"].is_site_dependent
        self._axes = tuple(mu for mu in axes if uniform and (self._program.nodes is None or mu != axes[-1]))
        self._dimensions = []
        while (name := f"COLLECTIVE_{len(self._dimensions)}") in self._program.constants:
            self._dimensions.append(len(self._program.constants[name]))

    @cached_property
    def _elements(self) -> np.ndarray:
        """Group elements u, all of them or a random selection, (elements, [blocks])."""
        sectors = self._program.sectors
        if sectors.count <= _COUNTED:
            return sectors.elements
        rng = np.random.default_rng(0)
        return rng.integers(
            sectors.order, size=(_LISTED, *(() if sectors.n_blocks is None else (sectors.n_blocks,)))
        )

    def _under_group(self, x: np.ndarray, elements: np.ndarray) -> np.ndarray:
        """T_u x, (n,) → (elements, n)."""
        fields = np.repeat(self._landscape.fields(x[None]), len(elements), axis=0)
        return run(self._program, "modulate", {"y": fields, "u": elements})[0].reshape(len(elements), -1)

    def _translation_axes(self, x: np.ndarray) -> tuple[int, ...]:
        """The axes along which translations of this configuration leave S unchanged."""
        field = self._landscape.fields(x[None])
        here = float(self._landscape.values(x[None])[0])
        moved = [np.roll(field, 1, axis=2 + mu).reshape(1, -1) for mu in self._axes]
        there = [float(self._landscape.values(m)[0]) for m in moved]
        return tuple(
            mu for mu, s in zip(self._axes, there, strict=True) if abs(s - here) < 1e-9 * (1 + abs(here))
        )

    def _waves(self, x: np.ndarray) -> np.ndarray:
        """Fourier transform along the axes with translations, (batch, n) → (batch, components, *lattice)."""
        return np.fft.fftn(self._landscape.fields(x), axes=[2 + mu for mu in self._axes])

    def _overlaps(self, x: np.ndarray, waves: np.ndarray) -> np.ndarray:
        """Σ x(s − τ) y(s) for all translations τ of each x, (batch, *translations)."""
        product = np.conj(self._waves(x)) * waves
        rest = tuple(a for a in range(1, product.ndim) if a - 2 not in self._axes)
        return np.fft.ifftn(product, axes=[2 + mu for mu in self._axes]).real.sum(axis=rest)

    def known(self, x: np.ndarray) -> Known:
        """The configuration x with the data that :meth:`aligned` compares others with."""
        orientations: tuple[np.ndarray, ...] = ()
        if self._dimensions:
            orientations = run(self._program, "unrotate", {"x": self._landscape.fields(x[None])})[1:]
        return Known(x, self._waves(x[None]), orientations)

    def aligned(self, x: np.ndarray, known: Known) -> np.ndarray:
        """The image of ``x`` that is closest to a known configuration, (n,)."""
        if self._dimensions:
            on_slice = run(self._program, "unrotate", {"x": self._landscape.fields(x[None])})[0]
            turns = {f"n_{i}": n for i, n in enumerate(known.orientations)}
            x = run(self._program, "rotate", {"y": on_slice, **turns})[0].reshape(-1)
        images = x[None]
        if self._program.sectors.count <= _LISTED:
            images = self._under_group(x, self._elements)
        overlaps = self._overlaps(images, known.waves)
        u, *shift = np.unravel_index(int(np.argmax(overlaps)), overlaps.shape)
        field = self._landscape.fields(images[u][None])
        return np.roll(field, shift, axis=[2 + mu for mu in self._axes]).reshape(-1)

    def listed(self, x: np.ndarray) -> np.ndarray:
        """All different images, (images, n); under translations alone if the group is large."""
        images = x[None]
        if self._program.sectors.count <= _LISTED:
            images = self._under_group(x, self._elements)
        for mu in self._axes:
            fields = self._landscape.fields(images)
            moved = [np.roll(fields, step, axis=2 + mu) for step in range(self._landscape.shape[mu])]
            images = np.concatenate(moved).reshape(-1, x.size)
        size = np.linalg.norm(x) + 1e-12
        return images[np.unique(np.round(images / size, 6), axis=0, return_index=True)[1]]

    def count(self, x: np.ndarray, resolution: float) -> tuple[float, int]:
        """(log Σ exp(S(x) − S(image)), number of images), over images under the group and translations.

        Images that are closer than ``resolution`` count once.
        """
        sectors = self._program.sectors
        images = self._under_group(x, self._elements)
        lost = self._landscape.values(images) - float(self._landscape.values(x[None])[0])
        axes = self._translation_axes(x) if sectors.n_blocks is None else ()
        translations = int(np.prod([self._landscape.shape[mu] for mu in axes]))
        limit = np.sum(x**2) - resolution**2 / 2 - 1e-12 * np.sum(x**2)
        overlaps = self._overlaps(images, self._waves(x[None]))
        overlaps = overlaps[(slice(None), *(slice(None) if mu in axes else 0 for mu in self._axes))]
        same = overlaps.reshape(len(images), -1) > limit
        log_sum, elements = float(np.logaddexp.reduce(-lost)), len(images)
        fixed = max(int(same.sum()), 1)  # order of the stabiliser of x; 0 where squares underflow
        if sectors.count > elements:  # a random selection: either all elements fix x, or hardly any
            fixed = sectors.count if same.all() else 1
            log_sum += float(np.log(sectors.order)) * (sectors.n_blocks or 1) - np.log(elements)
            elements = sectors.count
        log_sum += float(np.log(translations)) - math.log(fixed)
        return log_sum, max(elements * translations // fixed, 1)

    def orbit(self, x: np.ndarray) -> tuple[np.ndarray, float]:
        """Orthonormal tangents of the orbits of Lie groups, (k, n), and log ∫ exp(S(x) − S) over the orbits.

        A configuration that the groups leave fixed has no tangents and −∞.
        """
        nothing = np.zeros((0, x.size)), -np.inf
        if not self._dimensions or np.linalg.norm(x) < 1e-12:
            return nothing
        on_slice, *orientations = run(self._program, "unrotate", {"x": self._landscape.fields(x[None])})
        lines = []
        for i, n in enumerate(orientations):
            for t in np.linalg.svd(n, full_matrices=True)[2][1:]:
                step = 1e-4
                sides = [
                    self._turned(on_slice, [*orientations[:i], m / np.linalg.norm(m), *orientations[i + 1 :]])
                    for m in (n + step * t, n - step * t)
                ]
                lines.append((sides[0] - sides[1])[0] / (2 * step))
        matrix = np.array(lines)
        lengths = np.linalg.svd(matrix, compute_uv=False)
        if lengths.min() < 1e-6 * np.linalg.norm(x):
            return nothing
        rng = np.random.default_rng(0)
        directions = [
            circle(_ORBIT_POINTS)
            if len(self._dimensions) == 1 and n == 2
            else uniform_directions(rng, _ORBIT_POINTS, n)
            for n in self._dimensions
        ]
        turned = self._turned(np.repeat(on_slice, _ORBIT_POINTS, axis=0), directions)
        lost = self._landscape.values(turned) - float(self._landscape.values(x[None])[0])
        area = sum(log_area(n) for n in self._dimensions)
        log_orbit = float(np.log(lengths).sum() + area + np.logaddexp.reduce(-lost) - np.log(_ORBIT_POINTS))
        return np.linalg.svd(matrix, full_matrices=False)[2], log_orbit

    def _turned(self, on_slice: np.ndarray, orientations: list[np.ndarray]) -> np.ndarray:
        turns = {f"n_{i}": n for i, n in enumerate(orientations)}
        return run(self._program, "rotate", {"y": on_slice, **turns})[0].reshape(len(on_slice), -1)
