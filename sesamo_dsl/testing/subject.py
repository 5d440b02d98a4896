"""The subject of a property test: one theory, compiled for some backends, at generic couplings."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import Any, TypeVar

import numpy as np

from ..analysis.result import Analysis
from ..backend import Backend, Draws, Model, backend_names
from ..compiled import CompiledTheory, compile
from ..compiled_program import check_configurations
from ..errors import BackendError, TheoryError
from ..estimates.exact import ExactValues, exact_values
from ..flows.base import GaussianBase
from ..flows.bisection import BisectionSpec, is_chain
from ..flows.spec import FlowSpec
from ..ir.interpreter import run
from ..ir.program import Program
from ..language.theory import Theory
from ..plan.base import make_base, wall_statistics
from ..plan.decide import decide, has_isotropic_group, possible_laws
from ..plan.options import TrainingOptions
from ..stages.analyse import analyse
from ..stages.lower import lower_theory
from ..symbols.fields import Parameter
from ..symbols.site_constants import SiteConstant
from ..values.couplings import Coupling, Couplings
from ..values.precision import Precision

Made = TypeVar("Made")

SAMPLES = 4096
"""Number of samples that are drawn of every model of a subject and shared by all properties."""
BATCH = 1024
"""Batch size of the models' training; circles evaluate the action some thousand times per configuration."""
SAMPLES_SEED = 71
"""Seed of the samples that models are tested with."""
_KEPT = 2**28  # bytes of samples to keep
_FOLDED = 64  # sectors up to which folding is tried: it evaluates the flow once for each
_PERTURBATION = 0.1  # size of the random weights of an untrained model: far from the identity, yet tame
_FEW = 8  # degrees of freedom up to which the weights have this size


@dataclass(eq=False)
class Subject:
    """A theory under test.

    Attributes
    ----------
    theory
        The declaration.
    backends
        Names of the backends to compare.
    analysis, program
        The analysis and the program of the theory.
    parameters
        Couplings at which properties are checked; couplings that default to zero get other values.
    """

    theory: Theory
    backends: tuple[str, ...]
    analysis: Analysis
    program: Program
    parameters: dict[str, Coupling]
    _backends: dict[str, str | Backend] = field(default_factory=dict)
    _made: dict[tuple[Any, ...], Future[Any]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    @classmethod
    def of(cls, theory: Theory, backends: Sequence[str | Backend] | None = None) -> Subject:
        """Analyse a theory and prepare it for testing; ``backends`` default to all that are registered."""
        if theory.angles:
            raise TheoryError(
                f"properties of theory {theory.name}",
                expected="a theory of real fields: densities and samples are tested on lines alone",
                found=f"the angle {theory.angles[0]}",
                remedy="compare sd.anneal, sd.hmc and a training with each other, or with an exact value",
            )
        analysis = analyse(theory, normalizable=False)  # properties are tested at other couplings
        generic = np.random.default_rng(11).uniform(0.05, 0.25, size=len(theory.parameters))
        parameters = {
            p.name: _switched_on(theory, p, round(float(v), 3))
            for p, v in zip(theory.parameters, generic, strict=True)
        }
        chosen = tuple(backends) if backends is not None else backend_names()
        named = {b if isinstance(b, str) else b.name: b for b in chosen}
        return cls(theory, tuple(named), analysis, lower_theory(analysis), parameters, named)

    def compiled(self, backend: str, precision: Precision) -> CompiledTheory:
        """The theory compiled for a backend."""
        chosen = self._backends.get(backend, backend)
        return self.once(
            ("compiled", backend, precision),
            lambda: compile(self.analysis, chosen, precision=precision, normalizable=False),
        )

    def once(self, key: tuple[Any, ...], make: Callable[[], Made]) -> Made:
        """The cached result of ``make``; of several threads that ask for it one computes, the others wait."""
        with self._lock:
            known = key in self._made
            future: Future[Made] = self._made.setdefault(key, Future())
        if not known:
            try:
                future.set_result(make())
            except BaseException as error:
                future.set_exception(error)
                with self._lock:
                    self._made.pop(key, None)
        return future.result()

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """The precisions of the theory: determinants cancel too many digits for float32."""
        return ("float64",) if self.theory.has_determinants else ("float32", "float64")

    def model(self, backend: str, **options: Any) -> Model:
        """An untrained model in float64 whose weights are random, so that its flow is not the identity."""

        def make() -> Model:
            model = self.fresh_model(backend, **options)
            rng = np.random.default_rng(5)
            # log q is a sum over the lattice: its distance from a Gaussian's should not grow with the volume
            size = _PERTURBATION * min(1.0, (_FEW / self.theory.degrees_of_freedom) ** 0.5)
            noisy = {
                name: value + size * rng.normal(size=value.shape)
                if name.startswith(("flow.", "law."))
                else value
                for name, value in sorted(model.state().items())
            }
            model.load_state(noisy)
            return model

        return self.once(("model", backend, *sorted(options.items())), make)

    def draws(self, backend: str, seed: int, **options: Any) -> Draws:
        """``SAMPLES`` samples of :meth:`model`, the same for all properties that ask for the same seed.

        The bound on false alarms is a sum over the properties, which need not be independent.
        """

        def make() -> Draws:
            draws = self.model(backend, **options).sample(SAMPLES, seed)
            with self._lock:
                kept = [key for key in self._made if key[0] == "draws"]
                while len(kept) > 1 and len(kept) * draws.x.nbytes > _KEPT:
                    del self._made[kept.pop(0)]
            return draws

        return self.once(("draws", backend, seed, *sorted(options.items())), make)

    def fresh_model(self, backend: str, **options: Any) -> Model:
        """A new model in float64, as training starts from."""
        compiled = self.compiled(backend, "float64")
        # the laws hold for any network; a small one is quick. Points get splines and chains a bisection, as
        # in the default; the zero-mode layer is independent of the strategy, so that models of one test it
        lattice = self.theory.lattice
        flow = FlowSpec(
            layers=2,
            hidden=(8,),
            kernel=3,
            transform="spline" if lattice.volume == 1 else "affine",
            zero_mode=options.get("strategy", self.strategies[0]) == self.strategies[0],
        )
        if is_chain(lattice.shape, lattice.graph_axis is not None):
            flow = BisectionSpec(hidden=(8,), bins=4)
        chosen = TrainingOptions(flow=flow, flow_precision="float64", batch=BATCH, **options)
        return compiled.backend.model(compiled, self.parameters, self.base, decide(chosen, self.analysis))

    def interpret(
        self,
        function: str,
        x: np.ndarray,
        parameters: Couplings | None = None,
        /,
        **inputs: np.ndarray,
    ) -> tuple[np.ndarray, ...]:
        """The outputs of a program function, by the NumPy interpreter in float64."""
        checked = check_configurations(self.theory.name, self.theory.configuration_shape, x, "float64")
        name = self.program.functions[function].inputs[0][0]
        return run(self.program, function, {name: checked, **inputs}, parameters or self.parameters)

    def act(self, element: np.ndarray | int, x: np.ndarray) -> np.ndarray:
        """T_g x for configurations (batch, components, *lattice)."""
        return self.interpret("modulate", x, u=np.broadcast_to(element, (len(x), *self.element_shape)))[0]

    @cached_property
    def element_shape(self) -> tuple[int, ...]:
        """Shape of u for one configuration: () for a global group, (blocks,) for a local one."""
        return self.interpret("canonicalize", np.zeros((1, *self.theory.configuration_shape)))[1].shape[1:]

    @property
    def log_order(self) -> float:
        """Logarithm of the number of group elements."""
        return math.prod(self.element_shape) * math.log(self.analysis.group.order)

    def random_element(self, rng: np.random.Generator) -> np.ndarray:
        """A uniformly random group element."""
        return rng.integers(0, self.analysis.group.order, size=self.element_shape)

    def some_elements(self, limit: int) -> list[np.ndarray]:
        """All group elements if there are at most ``limit``, else the identity and random ones."""
        if self.log_order <= math.log(limit) + 1e-9:
            blocks = math.prod(self.element_shape)
            every = itertools.product(range(self.analysis.group.order), repeat=blocks)
            return [np.array(u, dtype=np.int64).reshape(self.element_shape) for u in every]
        rng = np.random.default_rng(3)
        identity = np.zeros(self.element_shape, dtype=np.int64)
        return [identity, *(self.random_element(rng) for _ in range(limit - 1))]

    @cached_property
    def exact(self) -> ExactValues | None:
        """Exact expectation values by quadrature; None above two dimensions."""
        return exact_values(self.program, self.parameters)

    @cached_property
    def base(self) -> GaussianBase:
        """The base of all models, one object, because backends compare bases by identity."""
        return make_base(self.program, self.parameters, decide(TrainingOptions(), self.analysis))

    @cached_property
    def wall_inputs(self) -> dict[str, np.ndarray]:
        """Location and width of the charts, as models choose them."""
        location, width = wall_statistics(self.program, self.base)
        return {"location": location, "width": width}

    @cached_property
    def samplers(self) -> tuple[str, ...]:
        """The backends that have models; the others refuse with a BackendError and only evaluate."""
        able = []
        for backend in self.backends:
            try:
                self.fresh_model(backend)
            except BackendError:
                continue
            able.append(backend)
        return tuple(able)

    @cached_property
    def trainers(self) -> tuple[str, ...]:
        """The backends whose models can be trained; the others refuse the step with a BackendError."""
        able = []
        for backend in self.samplers:
            try:
                self.fresh_model(backend).step(1e-12)
            except BackendError:
                continue
            able.append(backend)
        return tuple(able)

    @property
    def strategies(self) -> tuple[str, ...]:
        """The strategies for staying in the domain that models of this theory can have."""
        fold = ("fold",) if self.log_order <= math.log(_FOLDED) + 1e-9 else ()
        chart = ("chart",) if "chart" in self.program.functions else ()
        noise = ("canonicalize",) if self.analysis.is_modulated and has_isotropic_group(self.analysis) else ()
        return (*fold, *chart, "penalty", *noise)

    @property
    def laws(self) -> tuple[str, ...]:
        """The laws p(u|y) that models of this theory can have."""
        if not self.analysis.is_modulated:
            return ("uniform",)
        return possible_laws(self.analysis)

    @cached_property
    def typical_size(self) -> float:
        """Typical size of the fields: the largest component of the vacuum, at least 1."""
        return max(1.0, float(np.abs(self.base.mean).max()))


def _switched_on(theory: Theory, parameter: Parameter | SiteConstant, value: float) -> Coupling:
    """The default of a coupling; where it is zero or there is none, a number around ``value``."""
    default = theory.defaults.get(parameter.name)
    if isinstance(parameter, SiteConstant):
        known = np.zeros(theory.lattice.shape) if default is None else np.asarray(default)
        factors = np.random.default_rng(12).uniform(0.5, 1.5, size=known.shape).round(3)
        return np.where(known == 0, value * factors, known)
    return default or value
