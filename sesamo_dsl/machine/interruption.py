"""SIGINT and SIGTERM are deferred while a training runs, so that no step is interrupted half-way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_HELD = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


@contextmanager
def held_back() -> Generator[list[signal.Signals], None, None]:
    """Context in which SIGINT and SIGTERM are appended to the list; a second one of a kind acts at once.

    Handlers other than Python's own are kept; outside the main thread nothing is changed.
    """
    caught: list[signal.Signals] = []
    before: dict[signal.Signals, Any] = {}

    def note(number: int, frame: FrameType | None) -> None:
        caught.append(signal.Signals(number))
        signal.signal(number, before[signal.Signals(number)])

    if threading.current_thread() is threading.main_thread():
        for number, own in _HELD.items():
            if signal.getsignal(number) == own:
                before[number] = own
                signal.signal(number, note)
    try:
        yield caught
    finally:
        for number, own in before.items():
            signal.signal(number, own)
