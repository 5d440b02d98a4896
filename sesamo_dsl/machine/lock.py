"""A lock that one process at a time can hold, for the duration of a context."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import RunError


@contextmanager
def alone(lock: Path, busy: RunError) -> Generator[None, None, None]:
    """Context that no second process can enter; the lock ends with the process, however that ends.

    Parameters
    ----------
    lock
        The path of the lock, an empty file that stays where it is.
    busy
        The error that is raised while another process is inside.

    Raises
    ------
    RunError
        ``busy``, or that the lock cannot be written.
    """
    held = FileLock(lock)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        held.acquire(blocking=False)
    except Timeout as error:
        raise busy from error
    except (OSError, NotImplementedError) as error:  # NotImplementedError: a file system without locks
        raise RunError(
            busy.subject,
            expected="a place that can be written",
            found=str(error),
            remedy="choose another directory or fix its permissions",
        ) from error
    try:
        yield
    finally:
        held.release()
