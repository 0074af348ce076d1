"""Lines on their way into a file, by a thread of their own.

1. Whoever has a line hands it over and goes on. What waits for the disk is bounded: beyond
   ``max_waiting_bytes`` all who make lines wait in :meth:`Writer.room`, and so does the traffic.
   A recording with holes would be worth less than a pause, but a pause is told, not kept quiet.
2. What has been written is the kernel's: a process that is killed leaves whole lines, but for the
   one that it was at. It is not forced to the disk.
3. A disk that takes no more ends the recording (:attr:`Writer.failure`).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Final, Protocol

MAX_WAITING_BYTES: Final = 8 * 1024 * 1024


class Sink(Protocol):
    """Where lines go: an unbuffered binary file."""

    def write(self, data: memoryview, /) -> int | None:
        """Write some of ``data`` and return how much."""


class Writer:
    """Writes lines in order; all methods are for the loop that has made it."""

    def __init__(
        self,
        sink: Sink,
        *,
        on_stall: Callable[[], None] = lambda: None,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        """``on_stall`` is called when traffic begins to wait."""
        self._sink = sink
        self._on_stall = on_stall
        self._max_waiting_bytes = max_waiting_bytes
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Event()
        self._room.set()
        #: Why nothing is written any more.
        self.failure: asyncio.Future[OSError] = self._loop.create_future()
        self._lines: list[bytes] = []
        self._waiting_bytes = 0
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._write_all, name="callboard-recording")
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Hand over a line; it is forgotten when the file has failed."""
        if self.failure.done():
            return
        with self._changed:
            self._lines.append(line)
            self._waiting_bytes += len(line)
            full = self._waiting_bytes > self._max_waiting_bytes
            self._changed.notify()
        if full and self._room.is_set():
            self._room.clear()
            self._on_stall()

    async def room(self) -> None:
        """Return when more lines may be made."""
        if not self._room.is_set():
            await self._room.wait()

    async def close(self) -> None:
        """Write what waits, and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        await asyncio.to_thread(self._thread.join)

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines or self._closing)
                if not self._lines:
                    return
                lines, self._lines = self._lines, []
            data = b"".join(lines)
            try:
                self._write(data)
            except OSError as error:
                self._loop.call_soon_threadsafe(self._fail, error)
                return
            with self._changed:
                self._waiting_bytes -= len(data)
                low = self._waiting_bytes <= self._max_waiting_bytes // 2
            if low:
                self._loop.call_soon_threadsafe(self._room.set)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._sink.write(view) or 0 :]

    def _fail(self, error: OSError) -> None:
        if not self.failure.done():
            self.failure.set_result(error)
        # Nobody shall wait for a disk that takes nothing.
        self._room.set()
