"""Exceptions of the package, one class for each kind of failure.

Every error names the object, what was expected, what was found and the remedy, so that the last line of a
traceback is enough to act on.
"""

from __future__ import annotations

from signal import Signals
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np


class SesamoError(Exception):
    """Base of all errors raised on purpose by this package.

    Parameters
    ----------
    subject
        The object that is wrong, as the user named it.
    expected, found
        What the package needed and what it got.
    remedy
        What to do about it.
    """

    def __init__(self, subject: str, *, expected: str, found: str, remedy: str) -> None:
        self.subject, self.expected, self.found, self.remedy = subject, expected, found, remedy
        super().__init__(f"{subject}\n  expected: {expected}\n  found:    {found}\n  remedy:   {remedy}")

    def __reduce__(self) -> Any:
        """Pickle arguments and attributes, without ``run``; unpickling does not call ``__init__``."""
        kept = {name: value for name, value in self.__dict__.items() if name != "run"}
        return _restored, (type(self), self.args, kept)


def _restored(kind: type[SesamoError], arguments: tuple[Any, ...], attributes: dict[str, Any]) -> SesamoError:
    error = kind.__new__(kind)
    error.args = arguments
    error.__dict__.update(attributes)
    return error


def found_by(error: Exception) -> str:
    """What an error found, for the message of another error that explains it.

    The remedy of an error of this package is left out: it is meant for the arguments of a user.
    """
    if isinstance(error, SesamoError):
        return f"{error.subject}: {error.found}"
    return f"{type(error).__name__}: {error}"


class KeptRun(Protocol):
    """The attributes of a :class:`sesamo_dsl.Run` that the ``run`` of every error has."""

    @property
    def progress(self) -> str:
        """The steps or seconds of training done so far, as text."""
        ...

    @property
    def directory(self) -> Path | None:
        """The run directory; None if the run is only in memory."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the training has done all steps, or taken all the time, that was asked for."""
        ...

    def save(self, directory: str | Path | None = None) -> None:
        """Write the run to its directory, or to another one."""
        ...

    def resume(self, *, progress: bool = True) -> Any:
        """Finish the training."""
        ...

    def sample(self, count: int, *, seed: int = 1) -> Any:
        """``count`` samples of the model as trained so far."""
        ...


class LatticeError(SesamoError):
    """A lattice with an impossible shape, an axis it does not have, or fields of different lattices."""


class FieldError(SesamoError):
    """A field declaration or field access that makes no sense."""


class GroupError(SesamoError):
    """A group element or generator that does not act as a group element must."""


class NotClosedError(GroupError):
    """The generators do not close within the stated bound on the group order."""


class NotFaithfulError(GroupError):
    """The group does not act faithfully on the collective coordinate; the kernel is named."""


class TheoryError(SesamoError):
    """A theory declaration that is not a theory: no sum over sites, a complex action, unknown symbols."""


class NotInvariantError(SesamoError):
    """A symmetry claimed to be exact is refuted; carries the counterexample.

    Attributes
    ----------
    counterexample
        Configuration of shape (components, *lattice) at which the action changes; None if the search found
        none and the residual alone refutes the symmetry.
    difference
        S(T_g x) − S(x) at the counterexample.
    residual
        S∘T_g − S in normal form.
    """

    def __init__(
        self,
        subject: str,
        *,
        counterexample: np.ndarray | None,
        difference: float,
        residual: Any,
        **explanation: str,
    ) -> None:
        super().__init__(subject, **explanation)
        self.counterexample, self.difference, self.residual = counterexample, difference, residual


class InternalError(SesamoError):
    """Two results of the package contradict each other: a bug, please report it with the theory."""


class ParameterError(SesamoError):
    """An unknown, missing or non-finite parameter value."""


class ConfigurationError(SesamoError):
    """Field configurations of the wrong shape, dtype or with non-finite entries."""


class LoweringError(SesamoError):
    """An expression the intermediate representation has no operation for."""


class ProgramError(SesamoError):
    """An ill-typed intermediate program."""


class BackendError(SesamoError):
    """A backend that does not exist, is not installed or cannot do what is asked."""


class OptionError(SesamoError):
    """A training, flow, law or strategy option outside its range."""


class TheoryFileError(SesamoError):
    """A theory name or file that cannot be found, read or run."""


class RunError(SesamoError):
    """A run directory that cannot be written or read."""


class RunNotKeptError(RunError):
    """A training is over and its run directory cannot be written.

    Attributes
    ----------
    run
        The run, with its model; ``run.save()`` tries again.
    """

    def __init__(self, subject: str, *, run: KeptRun | None = None, **explanation: str) -> None:
        super().__init__(subject, **explanation)
        self.run = run


class TrainingDivergedError(SesamoError):
    """Training produced NaN or infinity; the last good state is kept in the run.

    Attributes
    ----------
    run
        The run at its last good state.
    """

    run: KeptRun | None = None


class TrainingInterrupted(KeyboardInterrupt):
    """SIGINT, as by Ctrl-C, or SIGTERM has stopped a training after its current step.

    Attributes
    ----------
    signal
        The signal that was received.
    run
        The run, which is kept in its directory; ``run.resume()`` finishes the training.
    """

    def __init__(self, signal: Signals, run: KeptRun) -> None:
        super().__init__(f"{signal.name}: {run.progress}; kept in {run.directory or 'memory'}")
        self.signal, self.run = signal, run


class AnnealingError(SesamoError):
    """A theory that cannot be annealed: no start density, or no way from it to exp(−S)."""


class AnnealingInterrupted(KeyboardInterrupt):
    """SIGINT, as by Ctrl-C, or SIGTERM has stopped an annealing.

    Attributes
    ----------
    signal
        The signal that was received.
    annealed : sesamo_dsl.Annealed
        The finished populations; if there are none, the walkers of the first at β = ``annealed.reached`` < 1.
    """

    def __init__(self, signal: Signals, annealed: Any) -> None:
        done = f"{annealed.populations} population(s) are done"
        if annealed.reached < 1:
            done = f"the first walkers had reached β = {annealed.reached:.3g}"
        super().__init__(f"{signal.name}: {done}")
        self.signal, self.annealed = signal, annealed


class ChainInterrupted(KeyboardInterrupt):
    """SIGINT, as by Ctrl-C, or SIGTERM has stopped Hamiltonian Monte Carlo.

    Attributes
    ----------
    signal
        The signal that was received.
    chain : sesamo_dsl.Chain | None
        The trajectories that are done; None in the warm-up and just after it.
    """

    def __init__(self, signal: Signals, chain: Any) -> None:
        done = "the warm-up was not over" if chain is None else f"{chain.x.shape[1]} trajectories are done"
        super().__init__(f"{signal.name}: {done}")
        self.signal, self.chain = signal, chain


class SamplingInterrupted(KeyboardInterrupt):
    """SIGINT, as by Ctrl-C, or SIGTERM has stopped the annealing of samples, or their way to a file.

    Attributes
    ----------
    signal
        Which of them.
    samples : sesamo_dsl.Samples
        Those that were done. If none was annealed, all of them as the model drew them, with
        ``samples.annealed`` None; if none is in the file, None.
    """

    def __init__(self, signal: Signals, samples: Any, done: str) -> None:
        super().__init__(f"{signal.name}: {done}")
        self.signal, self.samples = signal, samples


class ScanInterrupted(KeyboardInterrupt):
    """SIGINT, as by Ctrl-C, or SIGTERM has stopped a scan.

    Attributes
    ----------
    signal
        Which of them.
    runs
        The runs of the points that are trained, in their order.
    directory
        Where they are kept, and where the same call goes on; None for runs in memory.
    """

    def __init__(self, signal: Signals, runs: Any, directory: Path | None) -> None:
        goes_on = "in memory" if directory is None else f"in {directory}, where the same call goes on"
        super().__init__(f"{signal.name}: {len(runs)} points are trained, {goes_on}")
        self.signal, self.runs, self.directory = signal, runs, directory


class NotNormalizableError(TheoryError):
    """∫ exp(−S) is infinite: the action is unbounded below, or does not grow, along a direction.

    Attributes
    ----------
    direction
        Unit vector of such a direction, shape (components, *lattice).
    """

    def __init__(self, subject: str, *, direction: np.ndarray, **explanation: str) -> None:
        super().__init__(subject, **explanation)
        self.direction = direction


def shown(x: np.ndarray) -> str:
    """The first entries of a configuration, for a message."""
    entries = ", ".join(f"{value:.4g}" for value in x.reshape(-1)[:4])
    return f"x = ({entries}{', …' if x.size > 4 else ''})"
