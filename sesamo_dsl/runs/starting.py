"""The start of a new run: from a theory with couplings and options to a trained model in its directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .. import checks
from ..annealing.result import Annealed
from ..errors import BackendError, OptionError, TrainingInterrupted
from ..estimates.chains import Chain
from ..flows.base import GaussianBase, MixtureBase
from ..flows.spec import FlowSpec
from ..hamiltonian.walkers import WalkerKernel
from ..landscape.integrability import require_normalizable
from ..machine.files import file_stem, write_text
from ..machine.progress_bar import tell
from ..plan.base import make_base
from ..plan.decide import planned
from ..plan.mixture import MOST_PARTS, base_of_configurations
from ..plan.options import TrainingOptions
from ..plan.over import asked_range, couplings_in, require_normalizable_over
from ..plan.plan import Plan
from ..stages.compile import DerivedProgram
from ..training.callbacks import Callback, checked
from ..training.reference import Reference
from ..values.couplings import Coupling
from .checking import TrainingWalkers, walkers_after_training, walkers_before_training
from .declaration import Declaration
from .run import Run
from .store import Memory, RunDirectory, Store
from .training import rate_of_an_optimizer
from .warm_start import WarmStart

_LOOKED_AT = 4096  # samples of a first training that are compared with the walkers of an annealing


def start(
    compiled: DerivedProgram,
    begun: Plan | TrainingOptions | None = None,
    changes: Mapping[str, Any] | None = None,
    *,
    parameters: Mapping[Any, Coupling] | None = None,
    directory: str | Path | Literal[False] | None = None,
    progress: bool = True,
    origin: Mapping[str, str] | None = None,
    reference: np.ndarray | Chain | Annealed | None = None,
    method: str | None = None,
    start_from: Run | str | Path | None = None,
    callbacks: Sequence[Callback] = (),
    optimizer: Any = None,
    check: bool = True,
) -> Run:
    """Train a compiled theory; see ``CompiledTheory.train`` for the arguments."""
    watching, check = checked(callbacks), checks.flag(check, "option check")
    progress, changes = checks.flag(progress, "option progress"), dict(changes or {})
    over = asked_range(begun, changes)
    values = couplings_in(over, compiled.parameter_values, parameters)
    require_normalizable(compiled.program, values)
    given = _reference(compiled, reference)
    warm_start = None if start_from is None else WarmStart.of(start_from)
    if optimizer is not None and changes.get("learning_rate") is not None:
        raise rate_of_an_optimizer(changes["learning_rate"])
    if warm_start is not None and changes.get("flow") is None:
        changes["flow"] = warm_start.flow

    def decide(with_target: bool) -> Plan:
        precision = compiled.requested_precision
        asked = {"method": method, "with_target": with_target, "requested_precision": precision}
        return planned(compiled.analysis, begun, changes, **asked)

    plan, walkers, signals = decide(given is not None), None, ()
    if over is not None:
        compiled.varying(frozenset(over.names))  # ParameterError for couplings that cannot vary
        require_normalizable_over(compiled.program, values, over)
    learns = over is None and given is None and check and _may_learn(compiled, plan, method, warm_start)
    if learns:
        walkers, signals = walkers_before_training(compiled, values, plan.seed, progress=progress)
    store = _store(compiled, directory)

    def made(plan: Plan, walkers: TrainingWalkers | None) -> Run:
        reference = None if given is None else Reference(given)
        if walkers is None:
            base = make_base(compiled.program, values, plan)
        else:
            plan, base = _trained_on(compiled, values, decide(True), walkers)
            reference = Reference(walkers.x, WalkerKernel(compiled, values))
        model = compiled.backend.model(compiled, values, base, plan)
        if "step" not in model.state():
            raise BackendError(
                f"training of theory {compiled.program.theory}",
                expected="a backend whose models can be trained",
                found=f"the {compiled.backend.name} backend, whose models sample and evaluate log q alone",
                remedy="choose backend='torch' or backend='jax'",
            )
        if warm_start is not None:
            model.load_state(warm_start.apply(model.state(), compiled.theory, plan.flow, plan.over))
        if optimizer is not None:
            model.use_optimizer(optimizer)
        return Run(
            compiled,
            values,
            plan,
            model,
            store,
            Declaration.of(compiled, values, base),
            origin=dict(origin or {}),
            notes=plan.notes,
            derived=compiled.theory.derived,
            reference=reference,
            start_from=None if warm_start is None else warm_start.directory,
            outside=None if walkers is None else walkers.outside,
            fields=len(compiled.theory.fields),
        )

    run = made(plan, walkers)
    with store.locked():
        if isinstance(store, RunDirectory):
            store.refuse_a_run()
        if store.path is not None:  # an unwritable directory raises before the training, not after it
            write_text(store.path / "analysis.txt", compiled.analysis.text() + "\n")
            write_text(
                store.path / compiled.source_path.name, compiled.source_path.read_text(encoding="utf-8")
            )
            run.save()
        if signals:
            raise TrainingInterrupted(signals[0], run)
        run._train(progress, watching, check)
        coverage = run.sample(_LOOKED_AT).coverage if learns and walkers is None and run.finished else None
        if coverage is not None and run.outside is not None:
            walkers, signals = walkers_after_training(
                compiled, values, plan.seed, run.outside, coverage, progress=progress
            )
            if signals:
                raise TrainingInterrupted(signals[0], run)
            if walkers is not None:
                tell(f"training anew: {walkers.reason}", progress=progress)
                run = made(plan, walkers)
                run._train(progress, watching, check)
    return run


def _trained_on(
    compiled: DerivedProgram, values: Mapping[str, Coupling], plan: Plan, walkers: TrainingWalkers
) -> tuple[Plan, GaussianBase]:
    """The plan, and the base that is fitted to the walkers, with one flow for each of its parts."""
    program = compiled.program
    if program.angles:  # uniform at the start, whatever the walkers are
        plan = replace(plan, reasons=(*plan.reasons, walkers.reason))
        return plan, make_base(program, values, plan)
    tail = make_base(program, values, plan).tail
    most = MOST_PARTS if plan.flows == 1 else 1
    base = base_of_configurations(program, walkers.x, plan.strategy, most=most, tail=tail)
    reasons = [walkers.reason, "base: fitted to these walkers"]
    fields = len(program.components), program.shape
    if plan.flow == FlowSpec.default(*fields) != FlowSpec.of_valleys(*fields):
        plan = replace(plan, flow=FlowSpec.of_valleys(*fields))
        reasons.append("flow of splines: an entry of the field may have several valleys")
    if isinstance(base, MixtureBase):
        parts = len(base.parts)
        reasons[1] = f"flows {parts}: that many Gaussians tell these walkers apart, and each is a base"
        plan = replace(plan, flows=parts)
    return replace(plan, reasons=(*plan.reasons, *reasons)), base


def _may_learn(
    compiled: DerivedProgram, plan: Plan, method: str | None, warm_start: WarmStart | None
) -> bool:
    """True if the compiler may decide to train on walkers: no method, base or warm start was asked for.

    Theories on graphs and the strategy ``canonicalize`` have no fitted base.
    """
    simple = compiled.program.nodes is None and plan.strategy != "canonicalize"
    return simple and plan.base == "vacuum" and method is None and warm_start is None


def _store(compiled: DerivedProgram, directory: str | Path | Literal[False] | None) -> Store:
    if directory is False:
        return Memory()
    if directory is not None:
        return RunDirectory(checks.path(directory, "directory of a run"))
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    stem = file_stem(compiled.theory.name)
    return RunDirectory.fresh(Path("runs") / f"{stem}-{compiled.backend.name}-{stamp}")


def _reference(
    compiled: DerivedProgram, reference: np.ndarray | Chain | Annealed | None
) -> np.ndarray | None:
    """The given configurations of the target as an array, (n, components, *lattice), checked."""
    if reference is None:
        return None
    if isinstance(reference, Annealed):
        reference = reference.as_target().x
    x = reference.configurations if isinstance(reference, Chain) else reference
    checked = compiled.check_configurations(x)
    if not len(checked):
        raise OptionError(
            "reference", expected="at least one configuration", found="none", remedy="pass some, or nothing"
        )
    return np.ascontiguousarray(checked)
