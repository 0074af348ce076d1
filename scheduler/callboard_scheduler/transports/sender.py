"""Events on their way to a remote service, through the official ``pusher`` library.

The library blocks and takes about a millisecond a call, so one thread makes one call after the
other, each with as many events as the API takes. One thread keeps the order. Nothing waits for
it, and the queue is bounded. Rules:

1. What a call does not bring is lost, and is repeated by whoever needs it.
2. But what nobody repeats is kept, and tried until the service takes it, with all that is behind
   it. It may be published twice if an answer is lost.
3. A call that the service refuses for good is not tried again: what is kept of it is tried event
   by event, and what is refused alone is given up.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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


@dataclass(slots=True)
class _Waiting:
    event: Mapping[str, Any]
    keep: bool
    #: Whether one of those that went with it was refused.
    alone: bool = False


class Sender:
    """A queue of events and the thread that empties it."""

    def __init__(
        self, trigger_batch: TriggerBatch, is_refusal: Callable[[Exception], bool] = lambda _: False
    ) -> None:
        """``is_refusal`` says of what a call has raised whether it would be so again."""
        self._trigger_batch = trigger_batch
        self._is_refusal = is_refusal
        self._waiting: deque[_Waiting] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="callboard-sender")
        self._sending: asyncio.Task[None] | None = None
        self._failures = 0

    def send(self, event: Mapping[str, Any], *, keep: bool = False) -> bool:
        """Queue an event (``channel``, ``name``, ``data``); False if there is no room.

        ``keep`` it until the service has taken it.
        """
        if len(self._waiting) >= MAX_WAITING:
            return False
        self._waiting.append(_Waiting(event, keep))
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
        if lost := sum(each.keep for each in self._waiting):
            logger.error("events are lost, for the service did not take them n=%d", lost)
        self._waiting.clear()
        self._thread.shutdown(wait=False)

    async def _send_all(self) -> None:
        # What else is sent in this turn of the loop goes along.
        await asyncio.sleep(0)
        try:
            while self._waiting:
                await self._send(self._next_batch())
        finally:
            self._sending = None

    def _next_batch(self) -> list[_Waiting]:
        waiting = self._waiting
        batch = [waiting.popleft()]
        while waiting and len(batch) < BATCH and not (batch[0].alone or waiting[0].alone):
            batch.append(waiting.popleft())
        return batch

    async def _send(self, batch: Sequence[_Waiting]) -> None:
        loop = asyncio.get_running_loop()
        events = [each.event for each in batch]
        try:
            await loop.run_in_executor(self._thread, self._trigger_batch, events)
        except asyncio.CancelledError:
            self._put_back(batch)
            raise
        except Exception as error:
            if self._is_refusal(error):
                self._refused(batch, error)
                return
            self._put_back(batch)
            if not self._failures:
                logger.warning("the service did not take events n=%d: %s", len(batch), error)
            pause = _PAUSES_SECONDS[min(self._failures, len(_PAUSES_SECONDS) - 1)]
            self._failures += 1
            await asyncio.sleep(pause)
        else:
            if self._failures:
                logger.info("the service takes events again failures=%d", self._failures)
            self._failures = 0

    def _put_back(self, batch: Sequence[_Waiting]) -> None:
        self._waiting.extendleft(each for each in reversed(batch) if each.keep)

    def _refused(self, batch: Sequence[_Waiting], error: Exception) -> None:
        logger.warning("the service refused events n=%d: %s", len(batch), error)
        if len(batch) > 1:
            for each in batch:
                each.alone = True
            self._put_back(batch)
