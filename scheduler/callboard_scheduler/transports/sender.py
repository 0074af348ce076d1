"""Events on their way to a remote service, through the official ``pusher`` library.

The library blocks and takes about a millisecond a call, so one thread makes one call after the
other, each with as many events as the API takes. One thread keeps the order. Nothing waits for
it: the queue is bounded, and what is lost is repeated by whoever needs it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

logger = logging.getLogger("callboard.scheduler")

#: Events in one call: what hosted Pusher takes.
BATCH: Final = 10
#: Events that wait; more are refused.
MAX_WAITING: Final = 10_000
#: How long after a failure the service is tried again, doubling up to the last.
_PAUSES_SECONDS: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

#: Sends up to BATCH events as ``pusher.Pusher.trigger_batch`` takes them; may block and raise.
TriggerBatch = Callable[[Sequence[Mapping[str, Any]]], object]


class Sender:
    """A queue of events and the thread that empties it."""

    def __init__(self, trigger_batch: TriggerBatch) -> None:
        self._trigger_batch = trigger_batch
        self._waiting: deque[Mapping[str, Any]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="callboard-sender")
        self._sending: asyncio.Task[None] | None = None
        self._failures = 0

    def send(self, event: Mapping[str, Any]) -> bool:
        """Queue an event (``channel``, ``name``, ``data``); False if there is no room."""
        if len(self._waiting) >= MAX_WAITING:
            return False
        self._waiting.append(event)
        if self._sending is None:
            self._sending = asyncio.get_running_loop().create_task(self._send_all())
        return True

    async def stop(self, seconds: float = 2.0) -> None:
        """Send what waits, for so long; then drop it. Safe to call twice."""
        if self._sending is not None:
            await asyncio.wait((self._sending,), timeout=seconds)
            if self._sending is not None:
                self._sending.cancel()
                await asyncio.wait((self._sending,))
        self._waiting.clear()
        self._thread.shutdown(wait=False)

    async def _send_all(self) -> None:
        # What else is sent in this turn of the loop goes along.
        await asyncio.sleep(0)
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                await self._send(batch)
        finally:
            self._sending = None

    async def _send(self, batch: Sequence[Mapping[str, Any]]) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, self._trigger_batch, batch)
        except Exception as error:
            # Whatever the library or the service says: it is lost, and repeated where it matters.
            if not self._failures:
                logger.warning("the service did not take events n=%d: %s", len(batch), error)
            pause = _PAUSES_SECONDS[min(self._failures, len(_PAUSES_SECONDS) - 1)]
            self._failures += 1
            await asyncio.sleep(pause)
        else:
            if self._failures:
                logger.info("the service takes events again failures=%d", self._failures)
            self._failures = 0
