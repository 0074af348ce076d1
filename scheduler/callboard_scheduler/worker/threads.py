"""Threads for plain functions: as many as there are slots, made when they are needed.

They are daemons, unlike those of :mod:`concurrent.futures`: a function that ignores its
cancellation must not keep the process from ending.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable


class Threads:
    """At most ``most`` threads; callers never hand over more work than that at a time."""

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._made = 0
        self._waiting = threading.Semaphore(0)

    def run(self, job: Callable[[], None]) -> None:
        """Run ``job()`` in a thread; it must raise nothing. Called from one thread only."""
        # One that waits takes it; else there is room for another one.
        if not self._waiting.acquire(blocking=False) and self._made < self._most:
            self._made += 1
            name = f"{self._name}-{self._made}"
            threading.Thread(target=self._work, name=name, daemon=True).start()
        self._jobs.put(job)

    def close(self) -> None:
        """Let every thread end after what it does."""
        for _ in range(self._made):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            self._waiting.release()
