"""Servers, schedulers and workers in processes of their own, which a test kills and starts again.

Each process leads a session, so that what it has started ends with it. It says on stdout that it
is ready, which is what is waited for; its log is shown with a test that fails.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from callboard_server.settings import AppSettings

#: Longest wait for anything; on loopback it is milliseconds.
PATIENCE_SECONDS = 20.0

#: Digits, because the official Python library, which a remote scheduler uses, takes nothing else.
APP = AppSettings(id="1001", key="key", secret="secret", client_events=True)

_CONFIGURATION = f"""\
[[apps]]
id = "{APP.id}"
key = "{APP.key}"
secret = "{APP.secret}"
client_events = true
"""


class Program:
    """One process at a time of a command, which may be started again."""

    def __init__(self, name: str, folder: Path, *arguments: str, **environment: str) -> None:
        self.name = name
        self.folder = folder
        self.arguments: Sequence[str] = arguments
        self._environment = environment
        self.log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, f"{self.name} was not started"
        return self._process

    async def start(self) -> str:
        """Start, and return the first line that it writes, which says that it is ready."""
        self.launch()
        return await self.line()

    def launch(self) -> None:
        """Start it without waiting until it is ready."""
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("CALLBOARD_", "PUSHER_"))
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *self.arguments],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**environment, **self._environment},
                start_new_session=True,
            )

    async def line(self) -> str:
        """Return the next line that it writes."""
        stdout = self._running.stdout
        assert stdout is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            line = await asyncio.to_thread(stdout.readline)
        assert line, f"{self.name} has ended:\n{self.log.read_text()}"
        return line.decode()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it and to nothing that it has started."""
        self._running.send_signal(number)

    async def ended(self) -> int:
        """Wait for its end, and return the exit status."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await asyncio.to_thread(self._running.wait)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.send(number)
        return await self.ended()

    async def kill(self) -> None:
        """End it as the kernel does when memory is short."""
        await self.end(signal.SIGKILL)

    def close(self) -> None:
        """End it and everything that it has started, and show its log if the test has failed."""
        if self._process is None:
            return
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.communicate()
        print(f"--- {self.name}\n{self.log.read_text(errors='replace')}")


class Deployment:
    """A scheduler: in the server, or ``remote``, in a process beside one without.

    Ports are free ones at the first start, and the same ones ever after.
    """

    def __init__(self, folder: Path, *, remote: bool) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "callboard.toml").write_text(_CONFIGURATION)
        self.folder = folder
        self.remote = remote
        self.data = folder / "data"
        self.port = 0
        self.scheduler_port = 0
        self.server = Program("server", folder)
        self.scheduler = Program("scheduler", folder) if remote else self.server
        self._programs = [self.server, self.scheduler] if remote else [self.server]

    @property
    def service(self) -> str:
        """The address of the server, where workers and watchers connect."""
        return f"http://{APP.key}:{APP.secret}@127.0.0.1:{self.port}/apps/{APP.id}"

    @property
    def url(self) -> str:
        """The address of the scheduler, where tasks are submitted."""
        port = self.scheduler_port if self.remote else self.port
        return f"http://{APP.key}:{APP.secret}@127.0.0.1:{port}/apps/{APP.id}"

    @property
    def base(self) -> str:
        """The address of the scheduler for whoever has no secret."""
        return f"http://127.0.0.1:{self.scheduler_port if self.remote else self.port}"

    async def start(self) -> None:
        await self.start_server()
        if self.remote:
            await self.start_scheduler()

    async def start_server(self) -> None:
        """Start the server, with its scheduler if that is in it."""
        scheduler = ("--no-scheduler",) if self.remote else ("--data", str(self.data))
        self.server.arguments = (
            *("-m", "callboard", "serve", "--config", "callboard.toml"),
            *("--port", str(self.port), "--ports-file", "server.json", *scheduler),
        )
        await self.server.start()
        self.port = self._port_in("server.json")

    async def start_scheduler(self) -> None:
        """Start the scheduler that is beside the server."""
        ports_file = ("--ports-file", "scheduler.json")
        self.scheduler.arguments = (*self.scheduling(self.scheduler_port), *ports_file)
        await self.scheduler.start()
        self.scheduler_port = self._port_in("scheduler.json")

    def scheduling(self, port: int) -> Sequence[str]:
        """Return the command of a scheduler beside the server."""
        assert self.remote
        command = ("-m", "callboard", "scheduler", "--url", self.service, "--data", str(self.data))
        return (*command, "--port", str(port))

    def close(self) -> None:
        for program in self._programs:
            program.close()

    def _port_in(self, name: str) -> int:
        port = json.loads((self.folder / name).read_text())["port"]
        assert isinstance(port, int)
        return port
