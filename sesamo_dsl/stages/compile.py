"""All stages together: from a theory and a backend to an emitted and imported module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, cast

from ..analysis.result import Analysis
from ..backend import Backend, load_backend, placed
from ..checks import flag, shown
from ..compiled_program import CompiledProgram
from ..errors import OptionError
from ..ir.program import Program
from ..landscape.integrability import find_divergence, not_normalizable
from ..language.theory import Theory, check_theory
from ..machine.cache import load_source
from ..machine.timing import stage
from ..values.couplings import Coupling
from ..values.precision import Precision
from .analyse import analyse
from .lower import lower_theory


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class DerivedProgram(CompiledProgram):
    """A theory compiled for one backend: the program with its declaration and its analysis.

    Attributes
    ----------
    theory, analysis
        The declaration and its analysis.
    requested_precision
        The precision that the user asked for, None if the compiler chose it.
    """

    theory: Theory
    analysis: Analysis
    requested_precision: Precision | None

    @classmethod
    def of_theory(
        cls,
        theory: Theory | Analysis,
        backend: str | Backend,
        precision: Precision | None = None,
        *,
        device: str | None = None,
        normalizable: bool = True,
    ) -> Self:
        """Compile a theory for a backend; see :func:`sesamo_dsl.compile`."""
        known = isinstance(precision, str) and precision in ("float32", "float64")
        if precision is not None and not known:
            raise OptionError(
                "option precision",
                expected="'float32' or 'float64'",
                found=shown(precision),
                remedy="choose one of the two, or leave it to the theory",
            )
        declared = theory.theory if isinstance(theory, Analysis) else check_theory(theory)
        if precision == "float32" and declared.has_determinants:
            raise OptionError(
                f"option precision of theory {declared.name}",
                expected="'float64': log det(1 + B_Nt … B_1) cancels many digits",
                found="'float32'",
                remedy="leave precision out",
            )
        named = isinstance(backend, str) or not hasattr(backend, "emit")
        loaded = load_backend(cast(str, backend)) if named else cast(Backend, backend)
        loaded = placed(loaded, device)
        normalizable = flag(normalizable, "option normalizable")
        analysis = theory if isinstance(theory, Analysis) else analyse(theory, normalizable=normalizable)
        if normalizable and analysis.divergence is not None:
            raise not_normalizable(declared.name, declared.defaults, analysis.divergence)
        with stage("lower", declared.name):
            program = lower_theory(analysis)
        if all(parameter.name in declared.defaults for parameter in declared.parameters):
            find_divergence.keep(program, declared.defaults, analysis.divergence)
        requested = precision or declared.requested_precision
        return cls.emitted(declared, analysis, program, loaded, precision or declared.precision, requested)

    @classmethod
    def emitted(
        cls,
        theory: Theory,
        analysis: Analysis,
        program: Program,
        backend: Backend,
        precision: Precision,
        requested: Precision | None,
    ) -> Self:
        """Emit a lowered program and import its module."""
        with backend.scope(precision):  # loading the module creates its constants
            with stage(f"emit for {backend.name}", theory.name):
                text = backend.emit(program)
            with stage(f"load for {backend.name}", theory.name):
                path, module = load_source(f"{theory.name}_{backend.name}", text)
        return cls(
            theory=theory,
            analysis=analysis,
            program=program,
            facts=analysis,
            backend=backend,
            precision=precision,
            requested_precision=requested,
            source_path=path,
            module=module,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.theory.name!r}, {self.backend.name}, {self.precision})"

    def __reduce__(self) -> Any:
        """Pickle theory, analysis and program; unpickling emits the module again."""
        parts = self.theory, self.analysis, self.program, self.backend, self.precision
        return type(self).emitted, (*parts, self.requested_precision)

    def parameter_values(self, overrides: Mapping[Any, Any] | None = None) -> dict[str, Coupling]:
        """All couplings by name, defaults replaced by ``overrides``; raises ParameterError."""
        return self.theory.parameter_values(overrides)
