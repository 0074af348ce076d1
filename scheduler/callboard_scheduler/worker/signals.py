"""SIGINT and SIGTERM for a worker that owns its process."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

logger = logging.getLogger("callboard_scheduler.worker")

_ENDING: Final = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def draining_on_signals(drain: Callable[[], None]) -> Iterator[None]:
    """Call ``drain`` at the first signal, and end the process at the second.

    Handlers of the interpreter, not of the loop: a function that blocks the loop must not keep
    the worker from being told to leave. Only in the main thread.
    """
    asked = False

    def received(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        name = signal.Signals(number).name
        if asked:
            logger.warning("%s while draining: gone at once", name)
            os._exit(128 + number)
        asked = True
        logger.info("%s: leaving when what runs has ended; a second signal quits at once", name)
        drain()

    before = {number: signal.signal(number, received) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
