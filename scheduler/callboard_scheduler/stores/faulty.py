"""A memory store whose disk does what a test says: fail, stall, and lose what was not acknowledged.

It is as hard on its user as the contract allows. What nobody waits for is on the disk only once
something behind it was acknowledged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from callboard_scheduler.stores import Change, Committed, StoreError
from callboard_scheduler.stores.memory import Image, MemoryStore


class FaultyStore(MemoryStore):
    """A :class:`~callboard_scheduler.stores.memory.MemoryStore` with a disk behind it."""

    def __init__(self) -> None:
        super().__init__()
        #: While set, nothing that is waited for is stored: this is the answer.
        self.failure: StoreError | None = None
        self._stalled = False
        self._disk = Image()
        #: What is not on the disk, in order; None for what nobody waits for.
        self._behind: list[tuple[Sequence[Change], Committed | None]] = []

    def stall(self) -> None:
        """Acknowledge nothing, until :meth:`resume`."""
        self._stalled = True

    def resume(self) -> None:
        """Go on where :meth:`stall` began."""
        self._stalled = False
        asyncio.get_running_loop().call_soon(self._sync)

    def cut_power(self) -> None:
        """Forget all that was not acknowledged, and whoever waits for it."""
        self._behind.clear()
        self._image = self._disk.copy()

    def write(self, changes: Sequence[Change], committed: Committed | None = None) -> None:
        loop = asyncio.get_running_loop()
        if self.failure is not None and committed is not None:
            loop.call_soon(committed, self.failure)
            return
        self._image.apply(changes)
        self._behind.append((changes, committed))
        if committed is not None and not self._stalled:
            loop.call_soon(self._sync)

    def _sync(self) -> None:
        """Bring to the disk everything up to the last that somebody waits for, and say so."""
        while not self._stalled and any(committed for _, committed in self._behind):
            changes, committed = self._behind.pop(0)
            self._disk.apply(changes)
            if committed is not None:
                committed(None)
