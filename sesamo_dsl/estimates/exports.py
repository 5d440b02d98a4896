"""Configurations and what is known of each, in the containers of other libraries: xarray, ArviZ, pandas.

Samples of a model, annealings and Markov chains name their arrays; what becomes of the names is the same for
all of them and stands here.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import product
from math import prod
from typing import Any

import numpy as np
from scipy.special import logsumexp

from .. import checks
from ..errors import OptionError
from ..ir.program import Program
from ..machine.memory import check_memory
from ..machine.optional import library
from ..values.couplings import Couplings, arrays_only, numbers_only
from .samples_file import axis_names

_MOST_COLUMNS = 1000
_AXES = ("sample", "chain", "draw", "component", "block")
_ARRAYS = ("x", "log_weights", "action", "lp", "log_q", "sector", "leaked", "population", "ancestor")
"""Names of arrays of any kind of samples, so that an observable has one name in all of them."""


@dataclass(frozen=True, eq=False)
class NamedArrays:
    """Configurations with the values that belong to each.

    Attributes
    ----------
    program, parameters
        The theory and its couplings.
    axes
        Names of the first axes of all arrays, ``("sample",)`` or ``("chain", "draw")``.
    x
        Configurations, (*axes, components, *lattice).
    values, observables
        Arrays by name, (*axes) or (*axes, blocks). Names that are taken, such as that of an observable
        "sector", get the prefix ``observable_``.
    log_weights
        Logarithms of the importance weights, (*axes); None if all have the same weight.
    figures
        Numbers that characterise all of them, such as log Z.
    unfinished
        The reason why they are no configurations of exp(−S), in words; empty if they are.
    """

    program: Program
    parameters: Couplings
    axes: tuple[str, ...]
    x: np.ndarray
    values: Mapping[str, np.ndarray]
    observables: Mapping[str, np.ndarray]
    log_weights: np.ndarray | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    unfinished: str = ""

    @property
    def count(self) -> int:
        """Number of configurations."""
        return prod(self.x.shape[: len(self.axes)])

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """All arrays but the configurations, the observables first."""
        own = dict(self.values) | ({} if self.log_weights is None else {"log_weights": self.log_weights})
        return {self.column(name): array for name, array in self.observables.items()} | own

    def column(self, name: str) -> str:
        """The name that an observable has among the arrays."""
        taken = (*_AXES, *_ARRAYS, *axis_names(self.program))
        return f"observable_{name}" if name in taken else name

    def as_chain(self, rows: np.ndarray | None) -> NamedArrays:
        """One chain of the configurations with these numbers, and without their weights; all for None.

        All of them keep their weights, as values.
        """
        weights = {} if rows is not None or self.log_weights is None else {"log_weights": self.log_weights}
        values, observables = (
            {name: array[rows][None] if rows is not None else array[None] for name, array in arrays.items()}
            for arrays in (dict(self.values) | weights, self.observables)
        )
        x = self.x[None] if rows is None else self.x[rows][None]
        rest = self.program, self.parameters, ("chain", "draw")
        return NamedArrays(*rest, x, values, observables, None, self.figures)


class Exports(ABC):
    """Samples of any kind that other libraries can take over."""

    @abstractmethod
    def _named_arrays(self) -> NamedArrays:
        """The arrays with their names."""

    def to_xarray(self) -> Any:
        """An ``xarray.Dataset`` with the configurations, their weights and observables, and the couplings.

        Axes are ``sample``, or ``chain`` and ``draw`` for Markov chains, then ``component`` and those of the
        lattice, ``axis_0``, …, or ``node`` for the nodes of a graph. Weights are the variable
        ``log_weights``; means of the dataset are taken without them. Couplings that depend on the site are
        variables ``coupling_…``, other couplings an attribute, in JSON.

        Raises
        ------
        BackendError
            If xarray is not installed.
        """
        return _dataset(self._named_arrays())

    def to_arviz(self, *, resampled: bool = True, seed: int = 0) -> Any:
        """An ``xarray.DataTree`` with the groups of ArviZ, ``posterior`` and ``sample_stats``.

        ArviZ knows no weights. Weighted samples are therefore drawn anew, as many as there are, by systematic
        resampling with their weights: configurations of exp(−S)/Z, in which equal ones follow each other, so
        that ArviZ takes them for one that stayed. Markov chains have no weights, and stay as they are.

        Parameters
        ----------
        resampled
            False to leave weighted samples as they are, with ``log_weights`` in ``sample_stats``: the
            posterior is then that of the model.
        seed
            Seed of the resampling.

        Raises
        ------
        OptionError
            If the weights are not finite, or the configurations not those of exp(−S), or too many for memory.
        BackendError
            If xarray is not installed.
        """
        resampled, seed = checks.flag(resampled, "option resampled"), checks.seed(seed)
        named = self._named_arrays()
        if named.unfinished:
            raise OptionError(
                f"posterior of theory {named.program.theory}",
                expected="configurations of exp(−S)",
                found=named.unfinished,
                remedy="give the annealing more seconds",
            )
        if named.log_weights is not None and resampled:
            check_memory(
                named.count * prod(named.program.configuration_shape),
                f"{named.count} configurations",
                "open a part of the file, Samples.open(path, part=slice(0, 100000)), or use resampled=False",
            )
            named = named.as_chain(_systematic(named.log_weights, named.program.theory, seed))
        elif named.axes == ("sample",):
            named = named.as_chain(None)
        dataset = _dataset(named)
        posterior = ["x", *map(named.column, named.observables)]
        couplings = [f"coupling_{name}" for name in arrays_only(named.parameters)]
        stats = dataset[[str(name) for name in dataset if name not in (*posterior, *couplings)]]
        stats["lp"] = -stats["action"]
        groups = {"posterior": dataset[posterior], "sample_stats": stats}
        if couplings:
            groups["constant_data"] = dataset[couplings]
        return library("xarray", "groups of ArviZ", "files").DataTree.from_dict(groups)

    def to_dataframe(self, *, configurations: bool = False) -> Any:
        """A ``pandas.DataFrame`` with a row for each configuration: observables, action, log weight, sector.

        Parameters
        ----------
        configurations
            True to add a column for every field at every site, ``phi[0,1]`` for instance; for at most 1000 of
            them.

        Raises
        ------
        OptionError
            If configurations have too many numbers for columns.
        BackendError
            If pandas is not installed.
        """
        pandas = library("pandas", "a table of samples", "files")
        named = self._named_arrays()
        columns: dict[str, np.ndarray] = {}
        if len(named.axes) > 1:
            places = np.indices(named.x.shape[: len(named.axes)])
            columns |= {axis: place.reshape(-1) for axis, place in zip(named.axes, places, strict=True)}
        for name, array in named.columns.items():
            flat = array.reshape(named.count, -1)
            several = flat.shape[1] > 1
            columns |= {f"{name}[{b}]" if several else name: flat[:, b] for b in range(flat.shape[1])}
        if checks.flag(configurations, "option configurations"):
            columns |= _columns_of_fields(named)
        return pandas.DataFrame(columns)


def _dataset(named: NamedArrays) -> Any:
    xarray = library("xarray", "arrays with named axes", "files")
    program, lattice = named.program, axis_names(named.program)
    variables: dict[str, Any] = {"x": ((*named.axes, "component", *lattice), named.x)}
    for name, array in named.columns.items():
        variables[name] = ((*named.axes, "block")[: array.ndim], array)
    for name, array in arrays_only(named.parameters).items():
        variables[f"coupling_{name}"] = (lattice, array)
    first = dict(zip(named.axes, named.x.shape, strict=False))
    extents = first | dict(zip(lattice, program.shape, strict=True))
    coordinates = {axis: np.arange(extent) for axis, extent in extents.items()}
    attributes = {
        "theory": program.theory,
        "couplings": json.dumps(numbers_only(named.parameters)),
        "inference_library": "sesamo-dsl",
        "inference_library_version": version("sesamo-dsl"),
        **named.figures,
    }
    return xarray.Dataset(variables, {"component": list(program.components), **coordinates}, attributes)


def _systematic(log_weights: np.ndarray, theory: str, seed: int) -> np.ndarray:
    """Numbers of samples, (n,) in ascending order, each as often as n times its weight, rounded up or down.

    Systematic resampling: J. Carpenter, P. Clifford, P. Fearnhead, IEE Proc. Radar Sonar Navig. 146 (1999) 2.
    """
    with np.errstate(invalid="ignore"):
        edges = np.cumsum(np.exp(log_weights - logsumexp(log_weights)))
    if not np.isfinite(edges[-1]):
        raise OptionError(
            f"samples of theory {theory}",
            expected="weights that are finite, and one of them above zero",
            found="none, or NaN",
            remedy="see the warnings of the samples; resampled=False leaves them as they are",
        )
    count = len(log_weights)
    positions = (np.arange(count) + np.random.default_rng(seed).uniform()) / count * edges[-1]
    last = int(np.flatnonzero(np.isfinite(log_weights))[-1])  # the last position may be rounded up to the end
    return np.minimum(np.searchsorted(edges, positions, side="right"), last)


def _columns_of_fields(named: NamedArrays) -> dict[str, np.ndarray]:
    program = named.program
    numbers = prod(program.configuration_shape)
    if numbers > _MOST_COLUMNS:
        raise OptionError(
            "option configurations",
            expected=f"configurations of at most {_MOST_COLUMNS} numbers",
            found=f"{numbers} of them, {'×'.join(map(str, program.configuration_shape))}",
            remedy="use to_xarray, which keeps the axes of the lattice",
        )
    flat = named.x.reshape(named.count, -1)
    sites = [",".join(map(str, site)) for site in product(*map(range, program.shape))]
    names = [f"{component}[{site}]" for component in program.components for site in sites]
    return {name: flat[:, i] for i, name in enumerate(names)}
