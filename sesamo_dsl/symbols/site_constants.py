"""Site-dependent couplings: a random field h(x), a staggered source, bond couplings, a mass that varies.

A ``SiteConstant`` is a symbol in densities like a field component, but its values are given. For every x it
stores the site from which its value at x is read, so that translations, rotations and automorphisms of a
graph map a density together with its coefficients.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import sympy as sp

from .. import checks
from ..errors import ParameterError
from .fields import whole_steps
from .lattice import Lattice


def site_values(values: Any, lattice: Lattice, what: str) -> np.ndarray:
    """A read-only float64 copy of an array of shape (*lattice); raises ParameterError for anything else."""
    try:
        array = np.asarray(values)
    except ValueError:  # rows of different lengths
        array = np.empty(0)
    # NumPy reads True among numbers as 1
    number = array.dtype.kind in "iuf" and not any(map(_is_flag, _entries(values)))
    if array.shape != lattice.shape or not number:
        raise ParameterError(
            what,
            expected=f"an array of real numbers of shape {lattice.shape}, one for every site of {lattice}",
            found=f"shape {array.shape}" if number else checks.shown(values),
            remedy="give one value per site, the axes in the order of the lattice",
        )
    array = np.array(array, dtype=np.float64, order="C")
    if not np.isfinite(array).all():
        site = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ParameterError(
            what,
            expected="finite values",
            found=f"{array[site]} at site {site}",
            remedy="leave a bond or a site out with the value 0",
        )
    array += 0.0  # −0 is 0
    array.flags.writeable = False
    return array


def _entries(values: Any) -> Iterator[Any]:
    """All entries of nested lists."""
    if isinstance(values, list | tuple):
        for value in values:
            yield from _entries(value)
    else:
        yield values


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool) or getattr(value, "dtype", None) == np.bool_


class SiteConstant(sp.Symbol):
    """h(x): a coupling with a value of its own at every site.

    Parameters
    ----------
    name
        An identifier.
    lattice
        The lattice of the fields it multiplies.
    values
        An array of the lattice's shape, which is then part of the theory: verdicts on symmetries hold for
        these values, with decimals read as fractions (0.1 is 1/10). Without it the values are given at run
        time, ``parameters={"h": array}``, or by the theory's defaults, and verdicts hold for all values.

    Attributes
    ----------
    places : np.ndarray
        Number of the site that the value at x is read from, for every x in C order; read-only.

    Raises
    ------
    ParameterError
        If the values are not one finite real number per site.
    """

    coupling: str
    lattice: Lattice
    values: np.ndarray | None
    places: np.ndarray

    def __new__(cls, name: str, lattice: Lattice, values: Any = None) -> SiteConstant:
        """Check the arguments, see the class."""
        name = checks.name(name, "site constant")
        if not isinstance(lattice, Lattice):
            raise ParameterError(
                f"SiteConstant {name}",
                expected="the lattice of the fields as second argument",
                found=repr(lattice),
                remedy=f'write SiteConstant("{name}", lattice, values)',
            )
        array = None if values is None else site_values(values, lattice, f"values of SiteConstant {name}")
        return cls._of(name, lattice, array, np.arange(lattice.volume))

    @classmethod
    def _of(cls, name: str, lattice: Lattice, values: np.ndarray | None, places: np.ndarray) -> SiteConstant:
        places = np.array(places, dtype=np.int64)
        places.flags.writeable = False
        # __xnew__ by-passes SymPy's symbol cache, which knows nothing of the attributes below.
        self = sp.Symbol.__xnew__(cls, _shown(name, lattice, places), real=True)
        self.coupling, self.lattice, self.values, self.places = name, lattice, values, places
        return self

    @classmethod
    def given(cls, label: str, lattice: Lattice, values: Any) -> SiteConstant:
        """A constant made by the package, with a ``label`` that is no identifier, as no declared one has."""
        return cls._of(label, lattice, site_values(values, lattice, label), np.arange(lattice.volume))

    def __getnewargs_ex__(self) -> Any:
        return (self.coupling, self.lattice, self.values), {}

    def __reduce__(self) -> Any:
        return SiteConstant._of, (self.coupling, self.lattice, self.values, np.array(self.places))

    def _hashable_content(self) -> tuple[Any, ...]:
        return (self.name, self.coupling, self.lattice.shape, self.lattice.digest, self._digest)

    @cached_property
    def _digest(self) -> bytes:
        content = self.places.tobytes() + (b"" if self.values is None else self.values.tobytes())
        return hashlib.sha256(content).digest()

    @property
    def base(self) -> SiteConstant:
        """The coupling h(x) at the running site."""
        return self._of(self.coupling, self.lattice, self.values, np.arange(self.lattice.volume))

    @property
    def array(self) -> np.ndarray | None:
        """Values of the constant at every x, (*lattice); None if they are given at run time."""
        return None if self.values is None else self.of(self.values)

    def of(self, values: np.ndarray) -> np.ndarray:
        """Values of the constant at every x if the coupling has these values, (*lattice) → (*lattice)."""
        return np.ravel(values)[self.places].reshape(self.lattice.shape)

    def held(self, values: Any) -> SiteConstant:
        """The constant with these values of the coupling given, (*lattice)."""
        array = site_values(values, self.lattice, f"values of SiteConstant {self.coupling}")
        return self._of(self.coupling, self.lattice, array, self.places)

    def shift(self, mu: int, steps: int = 1) -> SiteConstant:
        """The constant at x + steps·e_mu."""
        mu = self.lattice.axis(mu)
        steps = whole_steps(self, mu, steps)
        return self.moved(tuple(steps * (nu == mu) for nu in range(self.lattice.dimension)))

    def moved(self, offset: Sequence[int]) -> SiteConstant:
        """The constant at x + offset."""
        axes = tuple(range(self.lattice.dimension))
        places = np.roll(self.places.reshape(self.lattice.shape), tuple(-o for o in offset), axes)
        return self._of(self.coupling, self.lattice, self.values, places.ravel())

    def at_images(self, images: Sequence[int]) -> SiteConstant:
        """The constant at g(x), for a map g of the sites given by the number of every site's image."""
        return self._of(self.coupling, self.lattice, self.values, self.places[np.asarray(images)])

    @property
    def offset(self) -> tuple[int, ...] | None:
        """The o for which the constant is h(x + o); None if a map of the sites made it anything else."""
        return _offset(self.places.tobytes(), self.lattice.shape)

    @cached_property
    def canonical(self) -> sp.Expr:
        """A canonical form of given values: a number if all are equal, else ± the constant at one offset."""
        array = self.array
        if array is None:
            return self
        first = array.flat[0]
        if (array == first).all():
            return exact_value(first)
        assert self.values is not None
        axes = tuple(range(array.ndim))
        translated = [mu for mu in axes if mu != self.lattice.graph_axis]
        candidates = np.argwhere(np.abs(self.values) == abs(first))
        for offset in (tuple(int(o) for o in candidate) for candidate in candidates):
            if any(o for mu, o in enumerate(offset) if mu not in translated):
                continue
            image = np.roll(self.values, tuple(-o for o in offset), axes)
            for sign in (1, -1):
                if np.array_equal(sign * image, array):
                    return sign * self.base.moved(offset)
        return self

    def _latex(self, printer: Any) -> str:
        body = printer._print_Symbol(sp.Symbol(self.coupling))
        moved = self.name.removeprefix(self.coupling)[1:-1].replace("e", r"\hat e_")
        return rf"{body}({moved})" if moved else rf"{body}(x)"


def exact_value(value: float) -> sp.Expr:
    """The fraction that a decimal number spells: 0.1 is 1/10."""
    return sp.Rational(repr(float(value)))


def _shown(name: str, lattice: Lattice, places: np.ndarray) -> str:
    offset = _offset(places.tobytes(), lattice.shape)
    if offset is None:
        return f"{name}(g[{hashlib.sha256(places.tobytes()).hexdigest()[:6]}]x)"
    steps = [o if 2 * o <= extent else o - extent for o, extent in zip(offset, lattice.shape, strict=True)]
    moved = "".join(f"{step:+d}e{mu}" for mu, step in enumerate(steps) if step)
    return f"{name}(x{moved})" if moved else name


@lru_cache(maxsize=4096)
def _offset(places: bytes, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The o with places[x] = x + o for all sites; None if there is none."""
    numbers = np.frombuffer(places, dtype=np.int64)
    offset = tuple(int(i) for i in np.unravel_index(numbers[0], shape))
    plain = np.arange(len(numbers)).reshape(shape)
    moved = np.roll(plain, tuple(-o for o in offset), tuple(range(len(shape))))
    return offset if np.array_equal(moved.ravel(), numbers) else None
