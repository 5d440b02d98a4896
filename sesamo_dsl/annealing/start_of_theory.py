"""The start density q₀ that a theory needs: a mixture over its minima of S, and a broad part around them.

Centres are the minima and their images under the finite group, under translations, and on the orbits of Lie
groups. Widths are the widths of Laplace's approximation times 1.5, weights are square roots of Laplace's
masses, so that every minimum gets some walkers. If S is the same at all sites, the covariance is diagonal in
momentum. The images of one minimum share their widths. On a lattice with more than three real variables q₀ is
one wide Gaussian instead, see :func:`_soft`. If no minimum is known, as for large theories with determinants,
q₀ starts from the translation-invariant Gaussian that is closest to the theory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import logsumexp

from ..flows.base import Tail
from ..ir.interpreter import run
from ..ir.program import Program
from ..landscape.heavy_tails import find_tail
from ..landscape.images import Images
from ..landscape.landscape import Landscape
from ..landscape.laplace import DENSE, modes_at
from ..landscape.minima import Minimum, find_minima
from ..landscape.vacua import variational_gaussian, wave_hessian
from ..laws.orbits import circle, uniform_directions
from ..markov.whitening import Whitening, real_waves
from ..values.arrays import Arrays
from ..values.couplings import Couplings
from .fit import fit_mixture
from .start import Family, MixtureDensity, Shape, StartDensity
from .start_with_angles import start_with_angles

_MOST_IMAGES = 64  # most images of one minimum
_ORBIT_IMAGES = 16  # images of a minimum on the orbit of a Lie group
_LEAST_WEIGHT = 0.05  # least weight of a minimum, in units of the largest weight
_FEW = 3  # largest number of variables with which a mixture covers a theory on a lattice
_INFLATION = 1.5  # factor on the widths of Laplace's approximation
_BROAD, _BROAD_WIDTH, _BROAD_FREEDOM = 0.2, 2.0, 5.0  # weight, width and ν of the part around all minima
_FITTED, _FITTED_WIDTH = 0.5, 1.5  # weight and width of parts that are fitted to walkers
_PARTS = 8  # most parts of a fitted mixture
_MAXIMISATIONS, _KEPT = 10, 0.2  # steps for the weights of the parts, and the kept part of the first weights
_LEAST_FREEDOM = 2.5  # least ν of tails whose covariance can be estimated from walkers
_NEGLIGIBLE = 30.0  # minima are omitted if their log mass is this much below the largest
_ALIKE = 1.5  # largest ratio of variances at which two minima share their widths
_SOFTEST = 1e-14  # eigenvalues below this part of the largest one are rounding


@dataclass(frozen=True, eq=False)
class _Basin:
    """One minimum with its images, their masses and their common covariance.

    Attributes
    ----------
    centres
        The images, (images, n).
    log_masses
        Logarithm of Laplace's mass of each image, (images,).
    covariance
        A block for each wave, (waves, c, c); or one dense block, (1, n, n).
    """

    centres: np.ndarray
    log_masses: np.ndarray
    covariance: np.ndarray


class _Layout:
    """The storage of covariances of a theory: one dense block, or a block for each wave."""

    def __init__(self, program: Program) -> None:
        action, self.n = program.functions["action"], int(np.prod(program.configuration_shape))
        alike = not (action.is_site_dependent or action.couples_nodes)
        self.field_shape, self.sites = program.configuration_shape, int(np.prod(program.shape))
        self.by_wave = self.sites > 1 and (alike or program.has_determinants or self.n > DENSE)
        self.nodes = len(program.shape) - 1 if program.nodes is not None else None
        self.shape = program.configuration_shape if self.by_wave else (self.n,)

    @property
    def is_soft(self) -> bool:
        """True if q₀ is one wide Gaussian, because combinations of minima at all sites are too many."""
        return self.sites > 1 and self.n > _FEW

    def whitening(self, covariance: np.ndarray) -> Whitening:
        """The linear map that whitens a Gaussian with this covariance."""
        precision = np.linalg.inv(covariance)
        precision = (precision + np.swapaxes(precision, 1, 2)) / 2
        if self.by_wave:
            return Whitening.of_waves(precision, self.shape, self.nodes)
        return Whitening.dense(precision[0])

    def blocks(self, matrix: np.ndarray) -> np.ndarray:
        """The blocks of a symmetric matrix, (n, n), without entries that couple different waves."""
        if not self.by_wave:
            return matrix[None]
        rows = self.transformed(matrix).reshape(self.n, self.n)
        c, sites = self.shape[0], self.n // self.shape[0]
        both = self.transformed(rows.T).reshape(c, sites, c, sites)
        return self.averaged(np.einsum("akbk->kab", both))

    def spread(self, differences: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Blocks of Σ_i w_i d_i d_iᵀ for differences d, (count, n), and weights w, (waves, c, c)."""
        if not self.by_wave:
            return ((differences.T * weights) @ differences)[None]
        waves = self.transformed(differences).reshape(len(differences), self.shape[0], -1)
        return self.averaged(np.einsum("i,iak,ibk->kab", weights, waves, waves))

    def transformed(self, x: np.ndarray) -> np.ndarray:
        """Real Fourier transform of configurations, (count, n) → (count, components, *lattice)."""
        x = x.reshape(len(x), *self.shape)
        for mu, extent in enumerate(self.shape[1:]):
            x = np.tensordot(x, np.eye(extent) if mu == self.nodes else real_waves(extent), axes=((2,), (0,)))
        return x

    def of_waves(self, hessian: np.ndarray) -> np.ndarray:
        """Real symmetric blocks of a Hessian H(k), averaged over k and its reflections, (waves, c, c)."""
        c = self.shape[0]
        return self.averaged(np.real(hessian).reshape(-1, c, c))

    def averaged(self, blocks: np.ndarray) -> np.ndarray:
        """Blocks averaged over k and its reflections along every transformed axis, (waves, c, c)."""
        grid = blocks.reshape(*self.field_shape[1:], *blocks.shape[1:])
        for axis in range(len(self.field_shape) - 1):
            if axis != self.nodes:
                grid = (grid + np.roll(np.flip(grid, axis), 1, axis)) / 2
        return grid.reshape(blocks.shape)


def start_density(program: Program, parameters: Couplings) -> StartDensity:
    """q₀ from the minima of S, with the mass matrix of Hamiltonian Monte Carlo; deterministic."""
    if program.angles:
        return start_with_angles(program, parameters)
    landscape = Landscape(program, parameters, program.shape)
    layout, rng = _Layout(program), np.random.default_rng(0)
    basins = _basins(landscape, layout, rng)
    n, shape = landscape.size, program.configuration_shape
    if not basins:
        blocks = layout.of_waves(variational_gaussian(program, parameters).hessian)
        covariance = np.linalg.inv(blocks) if layout.by_wave else _assembled(blocks, program.shape)
        basins = [_Basin(np.zeros((1, n)), np.zeros(1), covariance)]
    tail = find_tail(landscape, basins[0].centres[0], rng)
    log_masses = np.array([np.logaddexp.reduce(b.log_masses) for b in basins])
    shares = np.maximum(np.exp((log_masses - log_masses.max()) / 2), _LEAST_WEIGHT)
    shares /= shares.sum()
    precision = sum(s * np.linalg.inv(b.covariance) for s, b in zip(shares, basins, strict=True))
    mass = layout.whitening(np.linalg.inv(precision))
    if layout.is_soft:
        return StartDensity(shape, (_soft(layout, basins, shares, tail),), mass)
    families = []
    for members in _alike(basins):
        total = shares[members].sum()
        covariance = np.sum([shares[i] / total * basins[i].covariance for i in members], axis=0)
        log_weights = np.concatenate([np.log(shares[i]) + _shares(basins[i].log_masses) for i in members])
        centres = np.concatenate([basins[i].centres for i in members]).reshape(-1, *shape)
        whitening = layout.whitening(covariance).scaled(_INFLATION)
        families.append(Family(whitening, centres, log_weights + np.log(1 - _BROAD), *_kind(tail)))
    return StartDensity(shape, (*families, *_broad(layout, basins, shares, tail)), mass)


def is_soft(program: Program) -> bool:
    """True if q₀ is one wide Gaussian, or has angles, and is not refined by walkers."""
    return bool(program.angles) or _Layout(program).is_soft


def _soft(layout: _Layout, basins: list[_Basin], shares: np.ndarray, tail: Tail | None) -> Family:
    """A Gaussian around the mean of all minima, with a variance per site that includes their differences.

    Fields that are near different minima at different sites have far more weight together than Gaussians
    around single minima give them. The precision of the Gaussian is P − δ, with P the inverse of the mean
    covariance of the minima and a number δ below its least eigenvalue: couplings between sites and stiff
    waves stay the same, and each site reaches every minimum. Annealing then contracts the walkers.
    """
    middle, between = _between(layout, basins, shares)
    covariance = _mean_covariance(basins, shares)
    wanted = _INFLATION**2 * (np.trace(covariance + between, axis1=1, axis2=2).sum()) / layout.n
    precision = np.linalg.inv(covariance)
    values, vectors = np.linalg.eigh((precision + np.swapaxes(precision, 1, 2)) / 2)
    least = values.min()
    low, high = np.log(1e-8 * least), np.log(least)
    for _ in range(60):  # bisection in the logarithm of the least remaining curvature
        half = (low + high) / 2
        if np.mean(1 / (values - least + np.exp(half))) > wanted:
            low = half
        else:
            high = half
    softened = (vectors / (values - least + np.exp(high))[:, None, :]) @ np.swapaxes(vectors, 1, 2)
    shape, freedom = _kind(tail)
    centre = middle.reshape(1, *layout.field_shape)
    together = "student" if shape == "product" else shape
    return Family(layout.whitening(softened), centre, np.zeros(1), together, freedom)


def refined(
    start: StartDensity, program: Program, arrays: Arrays, x: np.ndarray, weights: np.ndarray
) -> StartDensity:
    """q₀ with more parts, a mixture fitted to walkers under exp(−S), and with weights fitted to the walkers.

    The first q₀ by Laplace's approximation misses regions far from all minima, such as the arms of a curved
    valley. q₀ is returned unchanged if it is one wide Gaussian, because a narrower one could not reach
    regions that are rare among the walkers; if its tails have no reliable variance; or if there are too few
    walkers.

    Parameters
    ----------
    start
        The present q₀.
    x, weights
        Walkers, (walkers, components, *lattice), and their normalised weights, (walkers,).
    """
    if program.angles:
        return start
    layout, tails = _Layout(program), start.families[0]
    if layout.is_soft or tails.freedom < _LEAST_FREEDOM or 1 / np.sum(weights**2) < 4 * layout.n:
        return start
    rows = x.reshape(len(x), -1)
    parts = fit_mixture(rows, weights, 1, np.random.default_rng(0))
    parts += fit_mixture(rows, weights, _PARTS, np.random.default_rng(0))
    if not parts:
        return start
    freedom = min(tails.freedom, _BROAD_FREEDOM)
    fitted = [
        Family(
            layout.whitening(layout.blocks(part.covariance)).scaled(_FITTED_WIDTH),
            part.mean.reshape(1, *start.field_shape),
            np.log([_FITTED / len(parts)]),
            "student",
            freedom,
        )
        for part in parts
    ]
    rest = [replace(f, log_weights=f.log_weights + np.log(1 - _FITTED)) for f in start.families]
    return _reweighted(replace(start, families=(*rest, *fitted)), arrays, x, weights)


def _reweighted(start: StartDensity, arrays: Arrays, x: np.ndarray, weights: np.ndarray) -> StartDensity:
    """q₀ with weights of its parts fitted to walkers by expectation maximisation; each keeps at least 1/5."""
    log_parts = MixtureDensity(arrays, start).parts(x)
    log_weights = np.concatenate([f.log_weights for f in start.families])
    before = np.exp(log_weights)
    log_parts = log_parts - log_weights
    now = before
    for _ in range(_MAXIMISATIONS):
        joint = log_parts + np.log(now)
        now = weights @ np.exp(joint - logsumexp(joint, axis=1, keepdims=True)) + 1e-300
    now = np.log((1 - _KEPT) * now / now.sum() + _KEPT * before)
    ends = np.cumsum([len(f.log_weights) for f in start.families])
    parts = np.split(now, ends[:-1])
    return replace(
        start,
        families=tuple(replace(f, log_weights=w) for f, w in zip(start.families, parts, strict=True)),
    )


def mass_of_samples(program: Program, parameters: Couplings, x: np.ndarray) -> Whitening:
    """The mass matrix of Hamiltonian Monte Carlo for typical configurations, (n, components, *lattice).

    It is the inverse covariance inside of one sector, of the canonical forms on the slices, because group
    moves change the sector; it is averaged over the groups. Correlations are damped if there are few samples.
    """
    if program.angles:  # the covariance of an angle says nothing about its stiffness
        return start_with_angles(program, parameters).mass
    y = run(program, "canonicalize", {"x": x}, parameters)[0]
    if "unrotate" in program.functions:
        y = run(program, "unrotate", {"x": y}, parameters)[0]
    layout, rows = _Layout(program), y.reshape(len(y), -1)
    mean = rows.mean(axis=0)
    if layout.by_wave:
        mean = np.repeat(mean.reshape(len(program.components), -1).mean(axis=1), layout.sites)
    covariance = layout.spread(rows - mean, np.full(len(rows), 1 / len(rows)))
    covariance = _averaged(program, layout, covariance)
    size = covariance.shape[1]
    damped = covariance * (len(rows) / (len(rows) + size))
    diagonal = np.einsum("kaa->ka", covariance)
    least = _SOFTEST * max(float(diagonal.max()), np.finfo(np.float64).tiny)
    np.einsum("kaa->ka", damped)[...] = np.maximum(diagonal, least)
    return layout.whitening(damped)


def _shares(log_masses: np.ndarray) -> np.ndarray:
    """Logarithms of weights proportional to the square roots of masses, with sum 1."""
    return log_masses / 2 - np.logaddexp.reduce(log_masses / 2)


def _assembled(blocks: np.ndarray, lattice: tuple[int, ...]) -> np.ndarray:
    """The covariance of all coordinates from the precisions of waves, (1, n, n)."""
    c = blocks.shape[1]
    covariance = np.linalg.inv(blocks)
    whitening = Whitening((c, *lattice), None, np.zeros((0, c, c)))
    basis = np.eye(c * int(np.prod(lattice))).reshape(-1, c, *lattice)
    for transform in whitening.transforms:
        basis = np.tensordot(basis, transform, axes=((2,), (0,)))
    waves = basis.reshape(len(basis), c, -1)
    return np.einsum("iak,kab,jbk->ij", waves, covariance, waves)[None]


def _mean_covariance(basins: list[_Basin], shares: np.ndarray) -> np.ndarray:
    return sum(
        (s * b.covariance for s, b in zip(shares, basins, strict=True)), np.zeros_like(basins[0].covariance)
    )


def _between(layout: _Layout, basins: list[_Basin], shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of all centres, (n,), and their covariance, (waves, c, c)."""
    weights = np.concatenate([s * np.exp(_shares(b.log_masses)) for s, b in zip(shares, basins, strict=True)])
    centres = np.concatenate([b.centres for b in basins])
    middle = weights @ centres
    return middle, layout.spread(centres - middle, weights)


def _broad(layout: _Layout, basins: list[_Basin], shares: np.ndarray, tail: Tail | None) -> list[Family]:
    """A wide part around all centres, which covers the regions between and beyond them."""
    middle, between = _between(layout, basins, shares)
    whitening = layout.whitening(between + _mean_covariance(basins, shares)).scaled(_BROAD_WIDTH)
    shape, freedom = _kind(tail)
    centre, freedom = middle.reshape(1, *layout.field_shape), min(freedom, _BROAD_FREEDOM)
    shapes: tuple[Shape, ...] = ("product", "student") if shape == "product" else ("student",)
    weight = np.log([_BROAD / len(shapes)])
    return [Family(whitening, centre, weight, shape, freedom) for shape in shapes]


def _kind(tail: Tail | None) -> tuple[Shape, float]:
    """Shape and ν of the parts of the mixture."""
    return ("normal", np.inf) if tail is None else (tail.shape, tail.freedom)


def _alike(basins: list[_Basin]) -> list[list[int]]:
    """Groups of basins, by their numbers, whose covariances differ little, so that they form one family."""
    groups: list[list[int]] = []
    for i, basin in enumerate(basins):
        for members in groups:
            ratio = np.linalg.eigvals(np.linalg.solve(basins[members[0]].covariance, basin.covariance)).real
            if ratio.max() < _ALIKE and ratio.min() > 1 / _ALIKE:
                members.append(i)
                break
        else:
            groups.append([i])
    return groups


def _basins(landscape: Landscape, layout: _Layout, rng: np.random.Generator) -> list[_Basin]:
    images = Images(landscape)
    found = []
    for minimum in find_minima(landscape.program, landscape.parameters):
        covariance = _covariance(landscape, layout, images, minimum)
        if covariance is not None:
            centres = _centres(landscape, images, minimum.configuration.reshape(-1), rng)
            heights = landscape.values(centres) - minimum.action
            log_masses = minimum.log_weight - heights - np.log(len(centres))
            kept = np.isfinite(log_masses)
            found.append(_Basin(centres[kept], log_masses[kept], covariance))
    heaviest = max((basin.log_masses.max() for basin in found), default=0.0)
    return [basin for basin in found if basin.log_masses.max() > heaviest - _NEGLIGIBLE]


def _covariance(landscape: Landscape, layout: _Layout, images: Images, minimum: Minimum) -> np.ndarray | None:
    """Covariance around a minimum, averaged over the groups; None if the Hessian of S does not give one."""
    program, x = landscape.program, minimum.configuration.reshape(-1)
    if layout.by_wave and (minimum.is_constant or landscape.size > DENSE):
        mean = minimum.configuration.reshape(len(program.components), -1).mean(axis=1)
        hessian = wave_hessian(program, landscape.parameters, mean, [])
        if hessian is None:
            return None
        blocks = layout.of_waves(hessian)
        covariance = np.linalg.inv(blocks)
    else:
        tangents = images.orbit(x)[0]
        modes = modes_at(landscape, x, tangents)
        if modes is None:
            return None
        values, vectors = np.linalg.eigh(modes.stiffness)
        free = np.arange(len(values)) < len(tangents)  # directions along the orbit have stiffness zero
        stiff = np.maximum(values, _SOFTEST * values.max())
        variance = np.where(free, np.sum(x**2) / 4, 1 / stiff)  # along the orbit, a part of its extent
        covariance = layout.blocks((vectors * variance) @ vectors.T)
    return _averaged(program, layout, covariance)


def _averaged(program: Program, layout: _Layout, covariance: np.ndarray) -> np.ndarray:
    """The mean of a covariance over its images under the finite group and the Lie groups."""
    matrices = program.constants["MATRICES"]
    if "COLLECTIVE_0" in program.constants:  # average over rotations of the Lie groups too
        rng, c, i = np.random.default_rng(0), len(program.components), 0
        turned, unit = [], np.eye(c).reshape(c, c, *(1,) * len(program.shape))
        dimensions = []
        while f"COLLECTIVE_{i}" in program.constants:
            dimensions.append(len(program.constants[f"COLLECTIVE_{i}"]))
            i += 1
        for _ in range(_MOST_IMAGES):
            turns = {
                f"n_{i}": np.repeat(uniform_directions(rng, 1, d), c, axis=0)
                for i, d in enumerate(dimensions)
            }
            fields = np.broadcast_to(unit, (c, c, *program.shape)).copy()
            turned.append(run(program, "rotate", {"y": fields, **turns})[0].reshape(c, c, -1)[..., 0].T)
        matrices = np.array([m @ g for m in turned for g in matrices[:_MOST_IMAGES]])
    matrices = matrices[:_MOST_IMAGES] if len(matrices) <= _MOST_IMAGES else matrices
    if len(matrices) == 1:
        return covariance
    if layout.by_wave:
        return np.einsum("gab,kbc,gdc->kad", matrices, covariance, matrices) / len(matrices)
    c, sites = matrices.shape[1], layout.n // matrices.shape[1]
    tensor = covariance.reshape(c, sites, c, sites)
    total = np.einsum("gab,bsct,gdc->asdt", matrices, tensor, matrices, optimize=True) / len(matrices)
    return total.reshape(1, layout.n, layout.n)


def _centres(landscape: Landscape, images: Images, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Different images of a minimum, (images, n), at most ``_MOST_IMAGES``."""
    program = landscape.program
    on_orbit = x[None]
    if "unrotate" in program.functions and np.linalg.norm(x) > 1e-9:
        fields = landscape.fields(x[None])
        y, *orientations = run(program, "unrotate", {"x": fields})
        dimensions = [n.shape[1] for n in orientations]
        turns = [
            circle(_ORBIT_IMAGES)
            if d == 2 and len(dimensions) == 1
            else uniform_directions(rng, _ORBIT_IMAGES, d)
            for d in dimensions
        ]
        named = {f"n_{i}": n for i, n in enumerate(turns)}
        y = np.repeat(y, _ORBIT_IMAGES, axis=0)
        on_orbit = run(program, "rotate", {"y": y, **named})[0].reshape(_ORBIT_IMAGES, -1)
    listed = np.concatenate([images.listed(point) for point in on_orbit])
    if len(listed) <= _MOST_IMAGES:
        return listed
    return listed[np.sort(rng.choice(len(listed), _MOST_IMAGES, replace=False))]
