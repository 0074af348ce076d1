"""The flush: from the outboxes of many connections to their sockets, in slices.

uvloop makes one system call per write, and that call is nearly the whole cost of a delivery.
So delivering only leaves the frame with each connection and queues the connection; one callback
per loop turn walks the queue for about two milliseconds and writes what each has in one piece,
then lets the loop do other work. Frames that arrive meanwhile ride along, which is why a flood
costs a tenth per delivery, and order per connection holds by construction.

With a thousand connections, every object that a delivery touches is a cache miss. So a
connection's outbox is the frame itself while there is one, and the flush calls the transport's
own write. When there are more, those who hear the same have the same outbox: it is never changed,
only followed by a longer one, and joined once for all. A list for each would be joined for each,
and so many new containers would send the garbage collector through all the other objects.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

logger = logging.getLogger("callboard.server")

#: How long one flush may hold the loop, in seconds.
SLICE_SECONDS = 0.002
#: How many writes lie between two looks at the clock.
_LOOK_EVERY = 16


#: What waits for the flush: one frame, or what waited before and one frame more, or nothing.
Outbox = bytes | tuple["Outbox", bytes] | None


def joined(outbox: Outbox) -> bytes:
    """Return the frames of an outbox in one piece."""
    frames: list[bytes] = []
    while isinstance(outbox, tuple):
        outbox, frame = outbox
        frames.append(frame)
    frames.append(outbox or b"")
    frames.reverse()
    return b"".join(frames)


class Flushable(Protocol):
    """A connection as the flush sees it."""

    #: In the queue exactly while this is not None.
    outbox: Outbox
    #: Sends bytes, or throws them away when the transport is gone; never raises.
    write: Callable[[bytes], object]
    #: Whether the transport is full, so that the frames are the connection's to hold.
    paused: bool

    def hold(self, data: bytes) -> None:
        """Keep ``data`` until the transport takes more."""

    def cut(self) -> None:
        """End it at once: what it was to be sent could not be written."""


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
        outbox = connection.outbox
        if outbox is None:
            connection.outbox = frame
            self._queue.append(connection)
            self._schedule()
        else:
            connection.outbox = (outbox, frame)

    def send_all(
        self, connections: Iterable[Flushable], frame: bytes, excluded: object = None
    ) -> None:
        """Queue one frame for many connections, but for ``excluded``: the loop of a fan-out."""
        enqueue = self._queue.append
        shared: Outbox = None
        longer: Outbox = None
        for connection in connections:
            if connection is excluded:
                continue
            outbox = connection.outbox
            if outbox is None:
                connection.outbox = frame
                enqueue(connection)
            else:
                if outbox is not shared:
                    shared, longer = outbox, (outbox, frame)
                connection.outbox = longer
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._call_soon(self._run)

    def _run(self) -> None:
        queue = self._queue
        end = self._time() + SLICE_SECONDS
        connection: Flushable | None = None
        shared: Outbox = None
        data = b""
        try:
            while queue:
                for _ in range(min(_LOOK_EVERY, len(queue))):
                    connection = queue.popleft()
                    outbox = connection.outbox
                    connection.outbox = None
                    if outbox is None:
                        continue
                    if outbox is not shared:
                        shared = outbox
                        data = outbox if isinstance(outbox, bytes) else joined(outbox)
                    if connection.paused:
                        connection.hold(data)
                    else:
                        connection.write(data)
                if self._time() >= end:
                    break
        except Exception:
            # One connection's fault is not the others'.
            logger.exception("a write failed")
            if connection is not None:
                connection.cut()
        finally:
            self._scheduled = False
            if queue:
                self._schedule()
