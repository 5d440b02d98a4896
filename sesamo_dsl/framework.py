"""The part of a backend that all frameworks with automatic differentiation share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .backend import Backend, EmittedProgram, Model
from .flows.base import GaussianBase
from .ir.program import Program
from .ir.source import Dialect, module_source
from .plan.plan import Plan
from .sampler.trainable import widest
from .values.arrays import Arrays
from .values.couplings import Couplings
from .values.precision import Precision


class FrameworkBackend(ABC):
    """Base class of backends; a subclass adds arrays, derivatives and the dialect of its framework.

    Attributes
    ----------
    name, version
        Entry-point name, and version of the framework.
    dialect
        The spelling of programs in the framework.
    """

    name: str
    version: str
    dialect: ClassVar[Dialect]

    @abstractmethod
    def on(self, device: str) -> Backend:
        """See :meth:`.Backend.on`."""

    @abstractmethod
    def scope(self, precision: Precision) -> AbstractContextManager[None]:
        """See :meth:`.Backend.scope`."""

    @abstractmethod
    def to_array(self, values: np.ndarray, precision: Precision) -> Any:
        """See :meth:`.Backend.to_array`."""

    @abstractmethod
    def to_numpy(self, values: Any) -> np.ndarray:
        """See :meth:`.Backend.to_numpy`."""

    @abstractmethod
    def jvp(self, function: Callable[..., Any], inputs: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
        """The derivative of a function of arrays along tangents, in forward mode."""

    @abstractmethod
    def arrays(self) -> Arrays:
        """See :meth:`.Backend.arrays`."""

    @abstractmethod
    def new_model(
        self, compiled: EmittedProgram, parameters: Couplings, base: GaussianBase, plan: Plan
    ) -> Model:
        """See :meth:`.Backend.model`; called inside :meth:`scope`."""

    def versions(self) -> dict[str, str]:
        """The version of the framework."""
        return {self.name: self.version}

    def emit(self, program: Program) -> str:
        """See :meth:`.Backend.emit`."""
        return module_source(program, self.dialect)

    def derivative(
        self, function: Callable[..., Any], inputs: Sequence[np.ndarray], tangents: Sequence[np.ndarray]
    ) -> np.ndarray:
        """See :meth:`.Backend.derivative`."""

        def first(*arrays: Any) -> Any:
            output = function(*arrays)
            return output[0] if isinstance(output, tuple) else output

        with self.scope("float64"):
            primal, along = (tuple(self.to_array(a, "float64") for a in some) for some in (inputs, tangents))
            return self.to_numpy(self.jvp(first, primal, along))

    def model(
        self,
        compiled: EmittedProgram,
        parameters: Couplings,
        base: GaussianBase,
        plan: Plan,
    ) -> Model:
        """See :meth:`.Backend.model`."""
        with self.scope(widest(compiled, plan)):
            return self.new_model(compiled, parameters, base, plan)


if TYPE_CHECKING:

    def _(backend: FrameworkBackend) -> Backend:
        return backend
