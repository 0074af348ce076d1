"""What an SDK reports from its own thread or process, for the test to wait for."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import Any

#: Longest wait for anything; on loopback it is milliseconds.
WAIT_SECONDS = 10.0


class Inbox:
    """Reports under a name, each taken once; those of one name in the order they came."""

    def __init__(self) -> None:
        self._arriving: queue.SimpleQueue[tuple[str, Any] | None] = queue.SimpleQueue()
        self._kept: list[tuple[str, Any]] = []

    def put(self, name: str, data: Any) -> None:
        """Leave a report; any thread may."""
        self._arriving.put((name, data))

    def close(self) -> None:
        """Let waiting tests know that nothing more will come."""
        self._arriving.put(None)

    def take(self, name: str, timeout: float = WAIT_SECONDS) -> Any:
        """Return the next report under ``name``; others stay for later.

        Raises:
            AssertionError: it did not come in time, or will not come; says what came instead.
        """
        for place, (other, data) in enumerate(self._kept):
            if other == name:
                del self._kept[place]
                return data
        deadline = time.perf_counter() + timeout
        while True:
            try:
                report = self._arriving.get(timeout=max(deadline - time.perf_counter(), 0))
            except queue.Empty:
                raise AssertionError(f"no {name!r} within {timeout} s, but {self._kept}") from None
            if report is None:
                self._arriving.put(None)
                raise AssertionError(f"no {name!r} before the end, but {self._kept}")
            if report[0] == name:
                return report[1]
            self._kept.append(report)


def eventually(holds: Callable[[], bool], timeout: float = WAIT_SECONDS) -> None:
    """Wait for what only the HTTP API can tell, which has no event to wait for."""
    deadline = time.perf_counter() + timeout
    while not holds():
        assert time.perf_counter() < deadline, f"still not so after {timeout} s"
        time.sleep(0.01)
