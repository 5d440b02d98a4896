"""Timing of the compiler's stages, logged to ``sesamo_dsl`` at debug level.

``logging.basicConfig()`` and ``logging.getLogger("sesamo_dsl").setLevel("DEBUG")`` show one line per stage,
with the name of the exception where a stage fails.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Generator
from contextlib import contextmanager

LOGGER = logging.getLogger("sesamo_dsl")


@contextmanager
def stage(name: str, subject: str) -> Generator[None, None, None]:
    """Context that logs its duration as the stage ``name`` of the theory ``subject``."""
    start, end = time.perf_counter(), ""
    try:
        yield
    except BaseException as error:
        end = f", ended by {type(error).__name__}"
        raise
    finally:
        LOGGER.debug("%s %s: %.3f s%s", name, subject, time.perf_counter() - start, end)
