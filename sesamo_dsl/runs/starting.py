"""A new run: a theory, its couplings and options, and a directory of its own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from .. import checks
from ..errors import OptionError
from ..estimates.chains import Chain
from ..landscape.integrability import require_normalizable
from ..machine.cache import file_stem, write_text
from ..plan.base import make_base
from ..plan.methods import method_options
from ..plan.options import TrainingOptions, notes_on
from ..stages.compile import DerivedProgram
from ..values.couplings import Coupling
from .declaration import Declaration
from .donor import Donor
from .run import Run
from .store import RunDirectory


def start(
    compiled: DerivedProgram,
    *,
    parameters: Mapping[Any, Coupling] | None = None,
    directory: str | Path | None = None,
    progress: bool = True,
    source: Mapping[str, str] | None = None,
    reference: np.ndarray | Chain | None = None,
    method: str | None = None,
    start_from: Run | str | Path | None = None,
    **options: Any,
) -> Run:
    """Train a compiled theory; see ``CompiledTheory.train`` for the arguments."""
    values = compiled.parameter_values(parameters)
    require_normalizable(compiled.program, values)
    given = _reference(compiled, reference, options)
    donor = None if start_from is None else Donor.of(start_from)
    if donor is not None and options.get("flow") is None:
        options["flow"] = donor.flow
    resolved = resolved_options(compiled, method, **options)
    base = make_base(compiled.program, values, resolved)
    model = compiled.backend.model(compiled, values, base, resolved)
    if donor is not None:
        model.load_state(donor.graft(model.state(), compiled.theory, resolved.flow))
    store = _directory(compiled, directory)
    with store.locked():
        store.refuse_a_run()
        run = Run(
            compiled,
            values,
            resolved,
            model,
            store,
            Declaration.of(compiled, values, base),
            source=dict(source or {}),
            notes=notes_on(resolved, compiled.analysis),
            derived=compiled.theory.derived,
            reference=given,
            start_from=None if donor is None else donor.directory,
        )
        # an unwritable place is found before, not after, the training
        write_text(store.path / "analysis.txt", compiled.analysis.text() + "\n")
        write_text(store.path / compiled.source.name, compiled.source.read_text(encoding="utf-8"))
        run.save()
        run._train(progress)
    return run


def resolved_options(compiled: DerivedProgram, method: str | None, **options: Any) -> TrainingOptions:
    """The options of a training with all that is left to the compiler, or OptionError."""
    if method is not None:
        options = method_options(method, compiled.analysis, **options)
    unknown = set(options) - set(TrainingOptions.__dataclass_fields__)
    if unknown:
        raise OptionError(
            f"option {', '.join(sorted(unknown))}",
            expected=f"one of {', '.join(TrainingOptions.__dataclass_fields__)}",
            found=", ".join(sorted(unknown)),
            remedy="check the spelling",
        )
    if "steps" in options and options.get("seconds") is not None:
        raise OptionError(
            "options steps and seconds",
            expected="one of them: the length of the training in steps, or in time",
            found=f"steps={options['steps']} and seconds={options['seconds']}",
            remedy="leave one out",
        )
    return TrainingOptions(**options).resolve(compiled.analysis, compiled.requested_precision)


def _directory(compiled: DerivedProgram, directory: str | Path | None) -> RunDirectory:
    if directory is not None:
        return RunDirectory(checks.path(directory, "directory of a run"))
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    stem = file_stem(compiled.theory.name)
    return RunDirectory.fresh(Path("runs") / f"{stem}-{compiled.backend.name}-{stamp}")


def _reference(
    compiled: DerivedProgram, reference: np.ndarray | Chain | None, options: dict[str, Any]
) -> np.ndarray | None:
    """The configurations to train with, checked; fills in the weight of the forward divergence."""
    weight = options.get("forward_weight")
    if reference is None:
        if weight:
            raise OptionError(
                "option forward_weight",
                expected="configurations of the target along with it",
                found=f"{weight} without any",
                remedy="pass reference=…, an array or a chain such as sd.hmc(theory)",
            )
        return None
    if weight is None:
        options["forward_weight"] = 0.5
    x = reference.configurations if isinstance(reference, Chain) else reference
    checked = compiled.check_configurations(x)
    if not len(checked):
        raise OptionError(
            "reference", expected="at least one configuration", found="none", remedy="pass some, or nothing"
        )
    return np.ascontiguousarray(checked)
