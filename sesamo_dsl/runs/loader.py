"""The text of ``load.py``, which draws from an exported sampler with NumPy and one framework alone.

An exported sampler is a zip file that contains the classes and functions of this module as text, those of
:mod:`sesamo_dsl.laws.orbits` that draw orientations, and the class of the backend that calls the exported
functions, a :class:`Functions`. They therefore use no other name of this package, and their errors are those
of Python.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from ..laws.orbits import tabulated_directions, tabulated_log_prob, uniform_directions, von_mises_fisher


class Functions(Protocol):
    """The exported functions of a sampler, called with NumPy arrays, and its random numbers.

    It is made from the files of the zip file by name, and from the manifest.
    """

    def noise(self, count: int, seed: int, chunk: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """z, (count, components, *lattice), and uniform numbers for the group element and for the flow."""
        ...

    def __call__(self, name: str, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """What the function of this name returns."""
        ...


@dataclasses.dataclass(frozen=True)
class Samples:
    """Independent samples; the first axis of every array is the sample.

    Attributes
    ----------
    x
        Configurations, (samples, components, *lattice).
    log_q
        log q(x), the density they were drawn with. For a theory with a slice of a Lie group it is
        log q(x, a) − log N(a), whose exponential is an unbiased estimate of q(x).
    action
        S(x).
    leaked
        True for samples outside of the domain of the model: their weight is zero.
    sector
        The group element that was drawn, or one for each block.
    auxiliary
        The coordinates a that complete a slice, (samples, k); k = 0 without slices.
    """

    x: np.ndarray
    log_q: np.ndarray
    action: np.ndarray
    leaked: np.ndarray
    sector: np.ndarray
    auxiliary: np.ndarray

    @property
    def log_weights(self) -> np.ndarray:
        """log w = −S(x) − log q(x) in float64; −∞ for leaked samples."""
        log_w = -self.action.astype(np.float64) - self.log_q
        return np.where(self.leaked, -np.inf, log_w)


class Sampler:
    """A trained sampler of exp(−S)/Z with its density."""

    def __init__(self, path: Any, functions: Callable[[Mapping[str, bytes], Mapping[str, Any]], Any]) -> None:
        try:
            with zipfile.ZipFile(path) as archive:
                files = {name: archive.read(name) for name in archive.namelist()}
            self.manifest = json.loads(files["manifest.json"])
            written = self.manifest["format"]
        except FileNotFoundError:
            raise
        except (
            *(zipfile.BadZipFile, zlib.error, EOFError, OSError),
            *(ValueError, LookupError, TypeError, RuntimeError),
        ) as error:  # which of them depends on the byte that is damaged
            raise ValueError(
                f"{path}: expected an exported sampler, found a damaged or another file"
            ) from error
        if written != 1:
            raise ValueError(f"{path}: expected format 1; use the load.py that lies in the file")
        self._functions = functions(files, self.manifest)
        self._dtype = np.dtype(self.manifest["precision"])
        self.shape = tuple(self.manifest["shape"])

    def sample(self, seed: int, n: int) -> Samples:
        """n independent samples; the same seed gives the same samples."""
        if int(seed) != seed or seed < 0 or int(n) != n or n < 1:
            raise ValueError("sample(seed, n): expected integers, seed >= 0 and n >= 1")
        parts, size = [], self.manifest["chunk"]
        for chunk, start in enumerate(range(0, n, size)):
            rows = min(size, n - start)
            count = size if self.manifest["lengths"] else rows  # compiled for one length, which is cut
            z, uniform, choices = self._functions.noise(count, int(seed), chunk)
            first = (z, choices) if self.manifest["mixture"] else (z,)
            y, log_q, leaked, auxiliary = self._functions("draw_flow", *first)
            directions = self._directions(y, np.random.default_rng([int(seed), 4, chunk]))
            turns = [direction.astype(self._dtype) for direction in directions]
            x, log_p, action, sector = self._functions("modulate", y, uniform, *turns)
            log_q = log_q + log_p + self._log_orientations(y, directions)
            arrays = x, log_q, action, leaked, sector, auxiliary
            parts.append([array[:rows] for array in arrays])
        x, log_q, action, leaked, sector, auxiliary = map(np.concatenate, zip(*parts, strict=True))
        return Samples(x, log_q, self._raised(action), leaked, sector, auxiliary)

    def log_prob(self, x: Any, auxiliary: Any = None) -> np.ndarray:
        """log q(x) of any configurations, (n, components, *lattice) → (n,).

        With slices of Lie groups it is log q(x, a) − log N(a), with a given, or drawn from a fixed seed.
        """
        x = self._configurations(x)
        width = sum(n - 1 for n in self.manifest["orientations"]["dimensions"])
        if auxiliary is None:
            auxiliary = np.random.default_rng(0).normal(size=(len(x), width))
        auxiliary = np.asarray(auxiliary, self._dtype)
        if auxiliary.shape != (len(x), width) or not np.isfinite(auxiliary).all():
            raise ValueError(f"expected finite auxiliary coordinates of shape ({len(x)}, {width})")
        parts = [np.zeros(0, self._dtype)]
        for rows in self._chunks(len(x)):
            log_q, y, *directions = self._called("density", x[rows], auxiliary[rows])
            exact = [n.astype(np.float64) for n in directions]
            parts.append(log_q + self._log_orientations(y, exact))
        return np.concatenate(parts)

    def action(self, x: Any) -> np.ndarray:
        """S(x) of any configurations, (n, components, *lattice) → (n,)."""
        x = self._configurations(x)
        parts = [self._called("action", x[rows])[0] for rows in self._chunks(len(x))]
        return self._raised(np.concatenate([np.zeros(0, self._dtype), *parts]))

    def _raised(self, action: np.ndarray) -> np.ndarray:
        constant = self.manifest["constant"]
        return action.astype(np.float64) + constant if constant else action

    def _configurations(self, x: Any) -> np.ndarray:
        array = np.asarray(x)
        if array.dtype.kind not in "fiu":
            raise ValueError(f"expected real numbers, found {array.dtype}")
        array = array.astype(self._dtype)
        if array.shape[1:] != self.shape or array.ndim != len(self.shape) + 1 or not np.isfinite(array).all():
            raise ValueError(f"expected finite configurations of shape (n, {str(self.shape)[1:]}")
        return array

    def _chunks(self, count: int) -> list[slice]:
        size = self.manifest["chunk"]
        return [slice(start, min(start + size, count)) for start in range(0, count, size)]

    def _called(self, name: str, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """A function of a few rows, filled up with the last row to a length that is compiled once."""
        rows = len(arrays[0])
        length = next((n for n in self.manifest["lengths"] if n >= rows), rows)
        filled = [np.concatenate([a, np.repeat(a[-1:], length - rows, axis=0)]) for a in arrays]
        return tuple(
            output[..., :rows] if name == "table" else output[:rows]
            for output in self._functions(name, *filled)
        )

    def _directions(self, y: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        """Orientations n given y on the slices, (rows, N) each, in float64."""
        law = self.manifest["orientations"]
        if law["law"] == "von_mises":
            return [von_mises_fisher(rng, self._kappa(y), np.array(law["mean"]))]
        if law["law"] == "tabulated":
            return [tabulated_directions(rng, -self._table(y))]
        return [uniform_directions(rng, len(y), n) for n in law["dimensions"]]

    def _log_orientations(self, y: np.ndarray, directions: list[np.ndarray]) -> np.ndarray:
        """log p(n|y), (rows,)."""
        law = self.manifest["orientations"]
        if law["law"] == "von_mises":
            kappa = self._kappa(y)
            source = kappa * (directions[0] @ np.array(law["mean"]))
            return (source - self._called("log_integral", kappa)[0]).astype(self._dtype)
        if law["law"] == "tabulated":
            return tabulated_log_prob(directions[0], -self._table(y)).astype(self._dtype)
        return np.full(len(y), -law["log_area"]).astype(self._dtype)

    def _kappa(self, y: np.ndarray) -> np.ndarray:
        radius = self._called("radius", y)[0].astype(np.float64)
        return self.manifest["orientations"]["strength"] * radius

    def _table(self, y: np.ndarray) -> np.ndarray:
        return self._called("table", y)[0].astype(np.float64)


def loader_text(functions: type[Functions], imports: str, needs: str) -> str:
    """The text of ``load.py`` for the class of a backend, with the lines that import what it uses.

    Parameters
    ----------
    needs
        The packages that the receiver needs, for the docstring.
    """
    parts = (
        *(von_mises_fisher, uniform_directions, tabulated_directions, tabulated_log_prob),
        *(functions, Samples, Sampler),
    )
    sources = "\n\n".join(inspect.getsource(part) for part in parts)
    return _TEXT.format(needs=needs, imports=imports, sources=sources, name=functions.__name__)


_TEXT = '''"""Samples and densities of a trained sampler; needs Python with {needs}, nothing else.

    from load import load

    sampler = load("sampler.zip")
    samples = sampler.sample(seed=1, n=1000)  # x, log_q, action, leaked; samples.log_weights
    sampler.log_prob(samples.x), sampler.action(samples.x)
"""

from __future__ import annotations

import dataclasses
import json
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
{imports}

{sources}

def load(path):
    """The sampler in a zip file."""
    return Sampler(path, {name})
'''
