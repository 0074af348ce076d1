"""The file that task bodies append to, read as it grows."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final, NamedTuple

from callboard_bench.errors import BenchError

_POLL_SECONDS: Final = 0.002


class Mark(NamedTuple):
    """One line: a body ran for the task of this number."""

    number: int
    at_ns: int
    pid: int


class NeverMarked(BenchError):
    """Bodies that should have run did not."""


class Marks:
    """All lines so far; :meth:`wait` reads on.

    The file is asked for every few milliseconds, which no time depends on: each line has its own.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()
        self._file = path.open("rb")
        self._rest = b""
        self.all: list[Mark] = []

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self) -> list[Mark]:
        """Read on; return all lines so far."""
        data = self._rest + self._file.read()
        whole, newline, self._rest = data.rpartition(b"\n")
        if newline:
            self.all += [Mark(*map(int, line.split())) for line in whole.split(b"\n")]
        return self.all

    async def wait(self, count: int, timeout_seconds: float) -> list[Mark]:
        """Return all lines once there are ``count``.

        Raises:
            NeverMarked: there were fewer when the time was up.
        """
        for _ in range(int(timeout_seconds / _POLL_SECONDS)):
            if len(self.read()) >= count:
                return self.all
            await asyncio.sleep(_POLL_SECONDS)
        raise NeverMarked(
            f"{count} starts were expected within {timeout_seconds:g} s, there are {len(self.all)}"
        )

    async def settle(self, count: int, quiet_seconds: float) -> list[Mark]:
        """Return all lines once there are ``count``, or none has come for a while."""
        while True:
            before = len(self.read())
            try:
                await self.wait(count, quiet_seconds)
            except NeverMarked:
                if len(self.all) > before:
                    continue
            return self.all
