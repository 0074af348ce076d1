"""The flush: from the outboxes of many connections to their sockets, in slices.

uvloop makes one system call per write, and that call is nearly the whole cost of a delivery.
So delivering only appends the frame to each connection's outbox and queues the connection;
one callback per loop turn walks the queue for about two milliseconds and writes each outbox
in one piece, then lets the loop do other work. Frames that arrive meanwhile ride along, which
is why a flood costs a tenth per delivery, and order per connection holds by construction.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

#: How long one flush may hold the loop, in seconds.
SLICE_SECONDS = 0.002
#: How many writes lie between two looks at the clock.
_LOOK_EVERY = 16


class Flushable(Protocol):
    """A connection as the flush sees it."""

    outbox: list[bytes]
    #: Whether it is in the queue; whoever appends to ``outbox`` queues it once.
    queued: bool

    def flush(self) -> None:
        """Write the outbox; must not raise when the transport is gone."""


class Flusher:
    """Queues connections with something to write and flushes them in slices."""

    def __init__(
        self, call_soon: Callable[[Callable[[], None]], object], time: Callable[[], float]
    ) -> None:
        self._call_soon = call_soon
        self._time = time
        self._queue: deque[Flushable] = deque()
        self._scheduled = False

    def __len__(self) -> int:
        return len(self._queue)

    def send(self, connection: Flushable, frame: bytes) -> None:
        """Queue one frame for one connection."""
        connection.outbox.append(frame)
        if not connection.queued:
            connection.queued = True
            self._queue.append(connection)
            self.schedule()

    @property
    def enqueue(self) -> Callable[[Flushable], None]:
        """What a fan-out loop calls per connection; ``schedule`` must follow it once."""
        return self._queue.append

    def schedule(self) -> None:
        """Flush in this or the next loop turn."""
        if not self._scheduled:
            self._scheduled = True
            self._call_soon(self._run)

    def _run(self) -> None:
        queue = self._queue
        end = self._time() + SLICE_SECONDS
        while queue:
            for _ in range(min(_LOOK_EVERY, len(queue))):
                queue.popleft().flush()
            if self._time() >= end:
                break
        self._scheduled = False
        if queue:
            self.schedule()
