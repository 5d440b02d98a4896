"""A Program with its emitted module on a backend, from which models are made.

It comes from a compiled theory or from a stored run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from .backend import Backend, call, framework_couplings
from .checks import real, shown, spelling
from .errors import ConfigurationError, OptionError, ParameterError
from .ir.facts import Facts
from .ir.interpreter import run
from .ir.program import Program
from .ir.source import argument_name
from .ir.varying import with_varying
from .machine.cache import load_source
from .values.couplings import Coupling, Couplings
from .values.precision import Precision


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class CompiledProgram:
    """A program compiled for one backend, without its declaration; a stored run has no more than this.

    Attributes
    ----------
    facts
        The symmetry facts that models need beside the program.
    precision
        Floating-point type of models.
    source_path
        Path of the emitted module, a standalone file that can be copied and imported anywhere.
    module
        The imported module.
    """

    program: Program
    facts: Facts
    backend: Backend
    precision: Precision
    source_path: Path
    module: ModuleType

    @classmethod
    def of(cls, program: Program, facts: Facts, backend: Backend, precision: Precision) -> CompiledProgram:
        """Emit the module of a program and import it."""
        with backend.scope(precision):  # loading the module creates its constants
            path, module = load_source(f"{program.theory}_{backend.name}", backend.emit(program))
        return cls(
            program=program,
            facts=facts,
            backend=backend,
            precision=precision,
            source_path=path,
            module=module,
        )

    def __repr__(self) -> str:
        return f"CompiledProgram({self.program.theory!r}, {self.backend.name}, {self.precision})"

    def __reduce__(self) -> Any:
        """Pickle without the module; unpickling emits it again."""
        return CompiledProgram.of, (self.program, self.facts, self.backend, self.precision)

    @cached_property
    def _site_dependent(self) -> frozenset[str]:
        """Couplings that have a value for every site."""
        ops = (op for f in self.program.functions.values() for op in f.ops)
        return frozenset(op.attribute for op in ops if op.name == "site_parameter")

    @cached_property
    def _variants(self) -> dict[frozenset[str], CompiledProgram]:
        return {}

    def varying(self, names: Set[str]) -> CompiledProgram:
        """The program whose couplings ``names`` take one value for each configuration, arrays (batch,).

        Raises
        ------
        ParameterError
            If a coupling cannot vary, see :func:`.with_varying`.
        """
        key = frozenset(names)
        if not key:
            return self
        if key not in self._variants:
            program = with_varying(self.program, key)
            self._variants[key] = CompiledProgram.of(program, self.facts, self.backend, self.precision)
        return self._variants[key]

    def parameter_values(self, overrides: Mapping[Any, Any] | None = None) -> dict[str, Coupling]:
        """All couplings by name, defaults replaced by ``overrides``; raises ParameterError."""
        program = self.program
        values = dict(program.parameters)
        site_dependent = self._site_dependent
        if not isinstance(overrides, Mapping | None):
            raise ParameterError(
                f"parameters of theory {program.theory}",
                expected="a dictionary of values",
                found=shown(overrides),
                remedy="write for instance {'h': 0.1}",
            )
        for key, value in ({} if overrides is None else overrides).items():
            name = spelling(str(getattr(key, "name", key)))
            subject = f"parameter {name} of theory {program.theory}"
            if name not in values:
                raise ParameterError(
                    subject,
                    expected=f"one of: {', '.join(sorted(values)) or 'none, the theory has no parameters'}",
                    found=name,
                    remedy="check the spelling",
                )
            if name in site_dependent and np.shape(value) == program.shape:
                values[name] = np.asarray(value, dtype=np.float64)
                continue
            number = real(
                value,
                subject,
                expected="a finite real number",
                least=-math.inf,
                error=ParameterError,
                remedy="give a number",
            )
            values[name] = np.full(program.shape, number) if name in site_dependent else number
        known = {name: value for name, value in values.items() if value is not None}
        missing = [name for name in values if name not in known]
        if missing or not all(np.isfinite(value).all() for value in known.values()):
            raise ParameterError(
                f"theory {program.theory}",
                expected=f"a finite value for each of {', '.join(values)}",
                found=f"none for {', '.join(missing)}" if missing else "NaN or infinity",
                remedy=f"pass parameters={{'{(missing or list(values))[0]}': …}}",
            )
        return known

    def evaluate(
        self,
        function: str,
        x: np.ndarray,
        parameters: Mapping[Any, Coupling] | None = None,
        **inputs: np.ndarray,
    ) -> tuple[np.ndarray, ...]:
        """Evaluate an emitted function on NumPy configurations (batch, components, *lattice).

        A coupling is a number, or has one value for each configuration, (batch,).

        Raises ConfigurationError for arrays of another shape, dtype or with non-finite entries, and
        ParameterError for couplings that are unknown or missing.
        """
        x = self.check_configurations(x)
        function = spelling(function) if isinstance(function, str) else ""
        if function not in self.program.functions:
            raise OptionError(
                f"function {function} of theory {self.program.theory}",
                expected=f"one of {', '.join(self.program.functions)}",
                found=repr(function),
                remedy="check the spelling; observables are called observable_<name>",
            )
        signature = self.program.functions[function]
        name = signature.inputs[0][0]
        # a function without couplings, such as the modulation, needs no parameters
        none = parameters is None or (isinstance(parameters, Mapping) and not parameters)
        values, varied = ({}, {}) if none and not signature.parameters else self._values(parameters, len(x))
        needed = {p: varied.get(p, values[p]) for p in signature.parameters}
        return call(
            self.backend,
            self.varying(varied.keys() & needed.keys()).module,
            function,
            {name: x, **inputs},
            {argument_name(k): v for k, v in needed.items()},
            self.precision,
        )

    def _values(
        self, parameters: Mapping[Any, Any] | None, count: int
    ) -> tuple[dict[str, Coupling], dict[str, np.ndarray]]:
        """All couplings as numbers, and those that have one value for each of ``count`` configurations."""
        varied: dict[str, np.ndarray] = {}
        least, most = dict[Any, Any](), dict[Any, Any]()
        for key, value in parameters.items() if isinstance(parameters, Mapping) else ():
            name = spelling(str(getattr(key, "name", key)))
            least[key] = most[key] = value
            if np.ndim(value) > 0 and name in self.program.parameters and name not in self._site_dependent:
                varied[name] = _one_for_each(
                    value, count, f"parameter {name} of theory {self.program.theory}"
                )
                least[key], most[key] = varied[name].min(initial=np.inf), varied[name].max(initial=-np.inf)
        if not varied:
            return self.parameter_values(parameters), {}
        self.parameter_values(least)
        return self.parameter_values(most), varied

    def bind(self, parameters: Couplings) -> dict[str, Callable[..., Any]]:
        """The emitted functions on framework arrays, with their couplings filled in.

        ``action`` and ``action_and_gradient`` are functions of S − :meth:`constant`.
        """
        values = framework_couplings(self.backend, parameters, self.precision)
        functions = {
            name: partial(getattr(self.module, name), **{argument_name(p): values[p] for p in f.parameters})
            for name, f in self.program.functions.items()
        }
        relative = {
            n: functions.get(f"relative_{n}", functions[n]) for n in ("action", "action_and_gradient")
        }
        return functions | relative

    def constant(self, parameters: Couplings) -> float:
        """The field-independent part of S, in float64, if it is split off; else 0."""
        if "constant" not in self.program.functions:
            return 0.0
        x = np.zeros((1, *self.program.configuration_shape))
        return float(run(self.program, "constant", {"x": x}, parameters)[0][0])

    def action(self, x: np.ndarray, parameters: Mapping[Any, Coupling] | None = None) -> np.ndarray:
        """S(x) with its constant, (batch, components, *lattice) → (batch,), in the models' precision.

        A coupling is a number, or has one value for each configuration, (batch,).
        """
        return self.evaluate("action", x, parameters)[0]

    def check_configurations(self, x: np.ndarray) -> np.ndarray:
        """Return ``x`` in the model's precision, or raise ConfigurationError."""
        program = self.program
        return check_configurations(program.theory, program.configuration_shape, x, self.precision)


def _one_for_each(value: Any, count: int, subject: str) -> np.ndarray:
    """The values of a coupling for ``count`` configurations, or ParameterError."""
    try:
        given = np.asarray(value, dtype=np.float64) if np.asarray(value).dtype.kind in "iuf" else None
    except (TypeError, ValueError):  # rows of different lengths
        given = None
    if given is None or given.shape != (count,) or not (count and np.isfinite(given).all()):
        raise ParameterError(
            subject,
            expected=f"a finite real number, or one for each of the {count} configurations",
            found=shown(value),
            remedy="give an array of as many finite numbers as there are configurations",
        )
    return given


def check_configurations(
    name: str, shape: tuple[int, ...], x: Any, precision: Precision, subject: str = ""
) -> np.ndarray:
    """Configurations of a theory as a float array (batch, components, *lattice), or ConfigurationError.

    ``subject`` names them where they are something else.
    """
    try:
        array = np.asarray(x)
    except ValueError:  # rows of different lengths
        array = np.empty(0)
    subject = subject or f"configurations of theory {name}"
    if array.ndim != len(shape) + 1 or array.shape[1:] != shape:
        raise ConfigurationError(
            subject,
            expected=f"shape (batch, {', '.join(map(str, shape))})",
            found=f"shape {array.shape}",
            remedy="stack the components of all fields on axis 1 and put the batch first",
        )
    if not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)):
        raise ConfigurationError(
            subject,
            expected="real numbers",
            found=f"dtype {array.dtype}",
            remedy="hold complex fields as two real components",
        )
    array = array.astype(precision)
    if not np.isfinite(array).all():
        raise ConfigurationError(
            subject,
            expected="finite numbers",
            found=f"{int((~np.isfinite(array)).sum())} entries that are NaN or infinite in {precision}",
            remedy="check where the configurations come from",
        )
    return array
