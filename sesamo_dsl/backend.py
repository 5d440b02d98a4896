"""The protocols of a backend and its models, and the look-up of backends by entry points."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast

import numpy as np

from .checks import shown
from .errors import BackendError
from .flows.base import GaussianBase
from .ir.facts import Facts
from .ir.program import Program
from .plan.plan import Plan
from .values.arrays import Array, Arrays
from .values.couplings import Couplings
from .values.precision import Precision

ENTRY_POINTS = "sesamo_dsl.backends"
WALL_HEIGHT = 100.0  # in training S = ∞ is replaced by the largest S of the batch plus this
_EXTRAS = {"torch": "sesamo-dsl[torch]", "jax": "sesamo-dsl[jax]"}


LogDensity = Callable[[Array, Array], tuple[Array, Array | None]]
"""(log q, ∂log q/∂x) of x, (batch, components, *lattice), and auxiliary coordinates, (batch, k); or None."""


@dataclass(frozen=True, eq=False)
class ModelDensity:
    """The density of a model with the weights that it had, in float64, on arrays of its framework.

    Attributes
    ----------
    arrays, emitted
        The arrays, and the emitted functions of the theory with couplings filled in.
    log_density
        log q(x, a) − log N(a) of x, (batch, components, *lattice), and a, (batch, k).
    auxiliary
        Coordinates a that complete slices, for so many given configurations, (n,) → (n, k).
    """

    arrays: Arrays
    emitted: Mapping[str, Callable[..., Any]]
    log_density: Callable[[Array, Array], Array]
    auxiliary: Callable[[int], np.ndarray]


@dataclass(frozen=True, eq=False)
class Draws:
    """Samples of a model with their log q and actions; NumPy arrays, first axis the sample.

    Attributes
    ----------
    x
        Configurations, (samples, components, *lattice).
    log_q
        log q(x) as the model's strategy defines it, (samples,). With auxiliary coordinates a it is
        log q(x, a) − log N(a), and its exponential is an unbiased estimate of q(x).
    action
        S(x), (samples,).
    sector
        Group element u with x ∈ T_u Ω, (samples,), or one per block, (samples, blocks).
    leaked
        Whether y left the domain, (samples,); such samples have weight zero.
    auxiliary
        Auxiliary coordinates that complete the slices of Lie groups, (samples, k); k = 0 without slices.
    log_prob_mismatch
        Excess of log q accumulated by the flow while drawing a sample over log q̃ evaluated at the sample,
        (samples,); never positive in exact arithmetic. None if the model does not compute it.
    """

    x: np.ndarray
    log_q: np.ndarray
    action: np.ndarray
    sector: np.ndarray
    leaked: np.ndarray
    auxiliary: np.ndarray
    log_prob_mismatch: np.ndarray | None = None

    def __repr__(self) -> str:
        return f"Draws({len(self.x)} configurations, x of shape {self.x.shape})"

    def raised(self, constant: float) -> Draws:
        """The draws with a constant added to the action, in float64."""
        if constant == 0:
            return self
        return replace(self, action=self.action.astype(np.float64) + constant)

    def head(self, count: int) -> Draws:
        """The first ``count`` samples."""
        return self.part(slice(count))

    def part(self, chosen: slice | np.ndarray) -> Draws:
        """Some of the samples, by a slice or by their numbers."""
        arrays: dict[str, Any] = vars(self)
        some: dict[str, Any] = {k: None if v is None else v[chosen] for k, v in arrays.items()}
        return Draws(**some)


class Model(Protocol):
    """A trainable sampler of one compiled theory at fixed couplings.

    Step number and seed determine the noise of a step, so that an interrupted and resumed training gives the
    same numbers as an uninterrupted one.
    """

    def step(
        self,
        learning_rate: float,
        reference: np.ndarray | None = None,
        forward_weight: float | None = None,
    ) -> Mapping[str, float]:
        """One optimisation step; ``reference`` are configurations of the target for the forward divergence.

        Its weight in the objective is ``forward_weight``, by default that of the plan.
        Returns ``loss`` (the batch mean of log q + S, plus the penalty), ``ess`` of the batch and
        ``gradient_norm`` before clipping.
        """
        ...

    @property
    def optimizer(self) -> str | None:
        """The name of the user's optimiser of this model; None for Adam."""
        ...

    def use_optimizer(self, optimizer: Any) -> None:
        """Train with an optimiser of the user; None continues with the optimiser of the first step.

        It is an optimiser of the framework with its own learning rate; its memory is part of the state. To
        continue the training of a loaded model, the optimiser has to be passed again.

        Raises
        ------
        OptionError
            For anything else, and for an optimiser that differs from that of the first step.
        """
        ...

    def loss(self, step: int, reference: np.ndarray | None = None) -> float:
        """The ``loss`` of the step with this number at the present weights; the model does not change."""
        ...

    def state(self) -> dict[str, np.ndarray]:
        """All arrays needed to go on training or to sample; names and shapes are the same for all backends.

        Only the memory of a user's optimiser, ``optimizer…``, is specific to a framework.
        """
        ...

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore a state that :meth:`state` returned."""
        ...

    def sample(self, count: int, seed: int = 1) -> Draws:
        """Independent samples; the same seed gives the same samples."""
        ...

    def log_prob(self, x: np.ndarray, auxiliary: np.ndarray | None = None) -> np.ndarray:
        """log q(x) of given configurations, (n, components, *lattice) → (n,).

        For models with auxiliary coordinates: log q(x, a) − log N(a), with a from a fixed seed if not given.
        """
        ...


@dataclass(frozen=True, eq=False)
class Exported:
    """The functions of a model in the format of a framework, see :mod:`sesamo_dsl.sampler.functions`.

    Attributes
    ----------
    files
        Name → content.
    functions
        Names of the functions.
    lengths
        Lengths that batches are filled up to, since each is compiled; empty if they need not be.
    recipe
        What the caller of the functions has to know, as JSON has it.
    loader
        The class that calls the functions without this package.
    imports
        Lines before the class: they import what it uses, and define what the functions call.
    needs
        The packages that it needs beside NumPy, in words.
    evaluate
        The functions of the model itself, (name, *arrays) → arrays, if the loader has random numbers other
        than the model's, so that samples of both cannot be compared; else None.
    """

    files: Mapping[str, bytes]
    functions: tuple[str, ...]
    lengths: tuple[int, ...]
    recipe: Mapping[str, Any]
    loader: type[Any]
    imports: str
    needs: str
    evaluate: Callable[..., tuple[np.ndarray, ...]] | None = None


class ModelWithExport(Model, Protocol):
    """A model whose functions can be written in a format of its framework."""

    def exported(self, form: str) -> Exported:
        """The functions with the weights as they are now; BackendError if an operation is missing."""
        ...


class ModelWithDistribution(Model, Protocol):
    """A model that its framework can use as a distribution."""

    def distribution(self) -> Any:
        """The density as it is now, whatever becomes of the weights."""
        ...


class ModelWithDensity(Model, Protocol):
    """A model with its density on arrays of its framework, from which samples can be annealed."""

    def density(self) -> ModelDensity:
        """log q as it is now, whatever becomes of the weights."""
        ...


class ModelOverRange(Model, Protocol):
    """A model for a range of couplings; as a ``Model`` it is that of one point."""

    def at(self, parameters: Couplings) -> Model:
        """The ordinary model at another point, with the weights that the range model has there."""
        ...

    def ess_of_points(self, points: Sequence[int], batches: int) -> np.ndarray:
        """The ESS of groups of a batch at points of ``over.trained(density)``, by their numbers, (points,).

        It is the mean over the groups of so many batches, which is larger than the ESS of many samples, and
        tells points apart.
        """
        ...


class EmittedProgram(Protocol):
    """A program with its emitted module: the part of ``CompiledProgram`` that backends use."""

    @property
    def program(self) -> Program:
        """The program."""
        ...

    @property
    def facts(self) -> Facts:
        """The symmetry facts that models need beside the program."""
        ...

    @property
    def precision(self) -> Precision:
        """Floating-point type of models."""
        ...

    @property
    def backend(self) -> Backend:
        """The backend that emitted it."""
        ...

    @property
    def source_path(self) -> Path:
        """Path of the emitted module."""
        ...

    def bind(self, parameters: Couplings) -> dict[str, Callable[..., Any]]:
        """The emitted functions on framework arrays, with their couplings filled in."""
        ...

    def varying(self, names: Set[str]) -> EmittedProgram:
        """The program whose couplings ``names`` take one value for each configuration, arrays (batch,)."""
        ...

    def constant(self, parameters: Couplings) -> float:
        """The field-independent part of S, in float64, if it is split off; else 0."""
        ...


class Backend(Protocol):
    """The interface of a backend package, an object that its entry point names."""

    @property
    def name(self) -> str:
        """Entry-point name."""
        ...

    def on(self, device: str) -> Backend:
        """The same backend with its arrays and models on a device, e.g. ``"cpu"`` or ``"cuda:0"``.

        Raises
        ------
        BackendError
            If the device is not there.
        """
        ...

    def versions(self) -> dict[str, str]:
        """Versions of the libraries that results may depend on, by name."""
        ...

    def emit(self, program: Program) -> str:
        """Source text of the module for a program."""
        ...

    def scope(self, precision: Precision) -> AbstractContextManager[None]:
        """Context in which arrays of this precision are created and used.

        It sets the framework's global options (gradients, default device, promotion) and restores the
        caller's afterwards.
        """
        ...

    def to_array(self, values: np.ndarray, precision: Precision) -> Any:
        """A NumPy array as a framework array in this precision; integers stay integers."""
        ...

    def to_numpy(self, values: Any) -> np.ndarray:
        """A framework array as a NumPy array."""
        ...

    def derivative(
        self, function: Callable[..., Any], inputs: Sequence[np.ndarray], tangents: Sequence[np.ndarray]
    ) -> np.ndarray:
        """Forward-mode derivative of an emitted function's first output along tangents, float64."""
        ...

    def arrays(self) -> Arrays:
        """The array interface for samplers, annealing and Markov chains."""
        ...

    def model(
        self,
        compiled: EmittedProgram,
        parameters: Couplings,
        base: GaussianBase,
        plan: Plan,
    ) -> Model:
        """A new, untrained model."""
        ...


def backend_names() -> tuple[str, ...]:
    """Names of all backends that are declared, installed or not."""
    return tuple(sorted({entry.name for entry in entry_points(group=ENTRY_POINTS)}))


def load_backend(name: str) -> Backend:
    """The backend called ``name``; raises BackendError with the command that installs it."""
    if not isinstance(name, str):
        raise BackendError(
            "backend",
            expected=f"the name of one, {' or '.join(backend_names())}, or a backend object",
            found=shown(name),
            remedy='write backend="torch"',
        )
    for entry in _entries(name):
        try:
            return entry.load()
        except ImportError as error:
            raise BackendError(
                f"backend {name}",
                expected="its framework to be installed",
                found=str(error),
                remedy=f"pip install '{_EXTRAS.get(name, name)}'",
            ) from error
    raise BackendError(
        f"backend {name}",
        expected=f"one of {', '.join(backend_names()) or 'none is registered'}",
        found=repr(name),
        remedy="check the spelling, or install the package that provides it",
    )


def placed(backend: Backend, device: str | None) -> Backend:
    """The backend on a device; on its default device for None."""
    if device is None:
        return backend
    if not isinstance(cast(object, device), str) or not device.strip():
        raise no_device(backend.name, device, type(device).__name__, ("cpu", "cuda:0", "the like in quotes"))
    return backend.on(device)


def no_device(backend: str, device: object, found: str, there: Sequence[str]) -> BackendError:
    """The error for a device that a backend does not have; ``there`` are the devices that it has."""
    return BackendError(
        f"device {shown(device)} of backend {backend}",
        expected=f"one of {', '.join(there)}",
        found=found or "no such device",
        remedy="leave it out for the default, or install the framework's build for this device",
    )


def _entries(name: str) -> Iterator[Any]:
    return (entry for entry in entry_points(group=ENTRY_POINTS) if entry.name == name)


def call(
    backend: Backend,
    module: ModuleType,
    function: str,
    inputs: Mapping[str, np.ndarray],
    parameters: Couplings,
    precision: Precision,
) -> tuple[np.ndarray, ...]:
    """Call an emitted function with NumPy arrays; returns its outputs as NumPy arrays."""
    with backend.scope(precision):
        arrays = {key: backend.to_array(value, precision) for key, value in inputs.items()}
        outputs = getattr(module, function)(**arrays, **framework_couplings(backend, parameters, precision))
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return tuple(backend.to_numpy(output) for output in outputs)


def framework_couplings(backend: Backend, parameters: Couplings, precision: Precision) -> dict[str, Any]:
    """Couplings for emitted functions: numbers stay numbers, site-dependent ones become framework arrays."""
    return {
        name: backend.to_array(np.array(value), precision) if isinstance(value, np.ndarray) else value
        for name, value in parameters.items()
    }
