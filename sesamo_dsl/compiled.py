"""What a user holds after ``sd.compile``: emitted code with its derivation, and the training of a sampler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np

from .analysis.result import Analysis
from .annealing.result import Annealed
from .backend import Backend, Model
from .estimates.chains import Chain
from .flows.coupling_range import Over
from .landscape.integrability import require_normalizable
from .language.theory import Theory
from .plan.base import make_base
from .plan.decide import planned
from .plan.options import TrainingFields, TrainingOptions
from .plan.over import asked_range, couplings_in, require_normalizable_over
from .plan.plan import Plan
from .runs import Run, start
from .stages.compile import DerivedProgram
from .training.callbacks import Callback
from .values.couplings import Coupling
from .values.precision import Precision


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class CompiledTheory(DerivedProgram):
    """A theory compiled for one backend: it evaluates emitted functions and trains samplers."""

    def plan(
        self,
        options: TrainingOptions | Plan | None = None,
        *,
        method: str | None = None,
        over: Over | None = None,
        **fields: Unpack[TrainingFields],
    ) -> Plan:
        """Every choice that building and training a model needs, with the reasons for those left open.

        Parameters
        ----------
        options
            What is asked, or a plan to change.
        method
            A named preset of options, e.g. "sesamo" or "realnvp"; see :mod:`sesamo_dsl.plan.methods`.
        over
            A range of couplings for one training, see :meth:`train`.
        **fields
            Single fields of :class:`sesamo_dsl.TrainingOptions`, which come before those of ``options``.

        Raises
        ------
        OptionError
            For options that do not exist, are out of range, or that this theory has no means for.
        """
        changes = _with_range(fields, over)
        return planned(
            self.analysis, options, changes, method=method, requested_precision=self.requested_precision
        )

    def model(
        self,
        plan: Plan | TrainingOptions | None = None,
        *,
        parameters: Mapping[Any, Coupling] | None = None,
        over: Over | None = None,
        **fields: Unpack[TrainingFields],
    ) -> Model:
        """A model before any training: ``sample(count, seed)`` and ``log_prob(x)`` work.

        Parameters
        ----------
        plan
            What :meth:`plan` has decided, or options; by default the compiler decides.
        parameters
            Couplings that differ from the theory's defaults.
        over
            A range of couplings, see :meth:`train`; the model is then that of one point in it.
        **fields
            See :meth:`plan`; ``seed`` is that of the weights.
        """
        box = asked_range(plan, _with_range(fields, over))
        values = couplings_in(box, self.parameter_values, parameters)
        require_normalizable(self.program, values)
        decided = self.plan(plan, over=box, **fields)
        if box is not None:
            require_normalizable_over(self.program, values, box)
        return self.backend.model(self, values, make_base(self.program, values, decided), decided)

    def train(
        self,
        plan: Plan | TrainingOptions | None = None,
        *,
        parameters: Mapping[Any, Coupling] | None = None,
        directory: str | Path | Literal[False] | None = None,
        progress: bool = True,
        reference: np.ndarray | Chain | Annealed | None = None,
        method: str | None = None,
        start_from: Run | str | Path | None = None,
        callbacks: Sequence[Callback] = (),
        optimizer: Any = None,
        check: bool = True,
        over: Over | None = None,
        **fields: Unpack[TrainingFields],
    ) -> Run:
        """Train a sampler.

        Parameters
        ----------
        plan
            What :meth:`plan` has decided, or options; by default the compiler decides.
        parameters
            Couplings that differ from the theory's defaults.
        directory
            Where to keep the run; default a new ``runs/<theory>-<backend>-<time>``. False: nothing is
            written, and ``run.save(directory)`` keeps it later.
        progress
            Whether to show a progress bar.
        reference
            Configurations of the target, (n, components, *lattice), a chain, or an annealing, for the forward
            part of the objective; ``forward_weight`` says how large that part is, by default 1/2.
        method
            A named preset of options, e.g. "sesamo" or "realnvp"; see :mod:`sesamo_dsl.plan.methods`.
        start_from
            A run, or its directory, whose flow weights to start with: of the same fields at other couplings
            or on a smaller lattice. Its architecture is taken over; the base is that of this theory.
        callbacks
            Functions of a :class:`sesamo_dsl.training.callbacks.Step`, called after every step; the training
            stops, and ``run.resume()`` goes on, if one of them returns True.
        optimizer
            An optimiser in the place of Adam: for torch a function of the parameters that makes a
            ``torch.optim.Optimizer``, such as ``lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9)``; for
            jax an ``optax.GradientTransformation``. Rate and schedule are then its own, and ``learning_rate``
            means nothing; the gradient is clipped at the norm ``clip`` before it sees it. A run that is
            loaded needs the same again to be trained on: ``load_run(…).resume(optimizer=…)``.
        check
            Whether an annealing ends the training, a fifth of its time and at least 5 s long, whose walkers
            all samples are held against: ``samples.coverage``.
        over
            A range of couplings that this training covers, ``{kappa: (0.2, 0.3), h: (0, 0.05)}``, or a list
            of points, ``[{kappa: 0.2}, {kappa: 0.3}]``. The run is that of ``parameters`` and the defaults,
            which have to lie in the range, or else of its centre; ``run.at(kappa=0.25)`` is the run at
            another point.
        **fields
            Single fields of :class:`sesamo_dsl.TrainingOptions`, which come before those of ``plan``: steps,
            seed, batch, learning_rate, law, strategy, …

        Raises
        ------
        OptionError, ParameterError
            For options or couplings that do not exist or are out of range, and an optimiser that is none.
        RunError
            If the directory cannot be written, another process trains a run in it, or the weights to start
            from do not fit.
        RunNotKeptError
            If the training is done and the directory can no longer be written; the run is its attribute.
        TrainingInterrupted
            A KeyboardInterrupt, for SIGINT as by Ctrl-C and for SIGTERM. The step that was going on is done
            first and all is kept; the run is its attribute, and ``run.resume()`` finishes the training.
        TrainingDivergedError
            If training produces NaN or infinity; the last good state is kept in the directory.
        """
        return start(
            self,
            plan,
            _with_range(fields, over),
            parameters=parameters,
            directory=directory,
            progress=progress,
            reference=reference,
            method=method,
            start_from=start_from,
            callbacks=callbacks,
            optimizer=optimizer,
            check=check,
        )


def _with_range(fields: TrainingFields, over: Over | None) -> dict[str, Any]:
    """Options with a range of couplings among them, if there is one."""
    return {**fields} if over is None else {**fields, "over": over}


def compile(
    theory: Theory | Analysis,
    backend: str | Backend = "torch",
    *,
    precision: Precision | None = None,
    device: str | None = None,
    normalizable: bool = True,
) -> CompiledTheory:
    """Compile a theory (or its finished analysis) for a backend.

    Parameters
    ----------
    backend
        Entry-point name, "torch" or "jax" unless others are installed; or a backend object.
    precision
        "float32" or "float64"; default is the theory's own.
    device
        Where arrays and models are, e.g. "cpu" or "cuda:1"; by default models are on a GPU if there is one.
    normalizable
        Whether ∫ exp(−S) has to be finite at the default couplings. False compiles S even where it is
        infinite; training and HMC refuse such couplings in any case.

    Raises
    ------
    NotNormalizableError
        If ∫ exp(−S) is found to be infinite; the direction is in the error.
    BackendError
        For a backend that does not exist or is not installed, or a device that is not there.
    OptionError
        For any other precision.
    """
    return CompiledTheory.of_theory(theory, backend, precision, device=device, normalizable=normalizable)
