"""A server's process: its group, what it said, and its end.

A server gets a process group of its own: Ctrl-C reaches the tool, and the tool ends the group; if
it cannot, a :class:`~callboard_bench.guard.Guard` does.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from callboard_bench.errors import BenchError
from callboard_bench.guard import Guard
from callboard_bench.process import members_of

_STOP_SECONDS: Final = 12.0
_POLL_SECONDS: Final = 0.01
_KILL_TRIES: Final = 100
_SAID_CHARACTERS: Final = 800
#: Of the end of a log that may be long.
_READ_BYTES: Final = 8192


class ServerFailed(BenchError):
    """A server did not start, or died; the text holds the end of what it said."""


class ServerProcess:
    """A process that was started, and what it said."""

    def __init__(
        self,
        name: str,
        command: list[str],
        environment: dict[str, str],
        log: Path,
        secret: str = "",
    ) -> None:
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                process_group=0,
            )
        self.name = name
        self.pid = self._process.pid
        self._guard = Guard(self.pid)
        self._log = log
        self._secret = secret

    def said(self) -> str:
        """Return the end of its output, without the app's secret."""
        with self._log.open("rb") as log:
            log.seek(max(0, self._log.stat().st_size - _READ_BYTES))
            text = log.read().decode(errors="replace")
        if self._secret:
            text = text.replace(self._secret, "***")
        text = text.strip()
        if len(text) > _SAID_CHARACTERS:
            # From the next word on.
            text = f"… {text[-_SAID_CHARACTERS:].split(maxsplit=1)[-1]}"
        return text or "nothing"

    def check(self) -> None:
        """See that it runs.

        Raises:
            ServerFailed: it has ended.
        """
        if self._process.poll() is not None:
            raise ServerFailed(
                f"{self.name} ended with status {self._process.returncode}; it said: {self.said()}"
            )

    async def end(self) -> None:
        """End the process and all of its group, and wait for them."""
        try:
            self._signal(signal.SIGTERM)
            for _ in range(int(_STOP_SECONDS / _POLL_SECONDS)):
                # A wrapper ends before what it started: only an empty group has ended.
                if self._process.poll() is not None and not members_of(self.pid):
                    return
                await asyncio.sleep(_POLL_SECONDS)
        finally:
            self._kill()

    def _kill(self) -> None:
        self._signal(signal.SIGKILL)
        self._process.wait()
        # Of its group nobody else can be waited for, and the next round wants the port.
        for _ in range(_KILL_TRIES):
            if not members_of(self.pid):
                break
            time.sleep(_POLL_SECONDS)
        self._guard.dismiss()

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            pass


@asynccontextmanager
async def started_process(
    name: str, command: list[str], environment: dict[str, str], log: Path, secret: str = ""
) -> AsyncIterator[ServerProcess]:
    """Start a process, and end it and its group afterwards.

    Args:
        secret: is never quoted of what it says.

    Raises:
        ServerFailed: it ended before its time; the text holds what it said last.
    """
    server = ServerProcess(name, command, environment, log, secret)
    try:
        yield server
        server.check()
    except Exception as error:
        if isinstance(error, ServerFailed):
            raise
        # What failed because the server died says less than what the server said.
        try:
            server.check()
        except ServerFailed as failure:
            raise failure from error
        error.add_note(f"{name} said: {server.said()}")
        raise
    finally:
        await server.end()
