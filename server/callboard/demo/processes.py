"""The demonstration's processes: one server, and workers by name."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

KEY: Final = "demo-key"
#: The official Python library takes app ids of digits only.
APP_ID: Final = "1"
WAIT_SECONDS: Final = 15.0


class Processes:
    """Starts them, and leaves none behind; ``async with`` it."""

    def __init__(self, folder: Path, secret: str) -> None:
        """``folder`` is for what the server writes."""
        self.secret = secret
        self._folder = folder
        self._port = 0
        self._server: asyncio.subprocess.Process | None = None
        self._workers: dict[str, asyncio.subprocess.Process] = {}

    @property
    def url(self) -> str:
        """Where the app's API is."""
        return f"http://{KEY}:{self.secret}@127.0.0.1:{self._port}/apps/{APP_ID}"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in (*self._workers.values(), self._server):
            if process is not None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

    async def start_server(self) -> int:
        """Start the server and return its port.

        Raises:
            RuntimeError: it did not start; the text has what it said.
        """
        config, ports = self._folder / "callboard.toml", self._folder / "ports.json"
        config.write_text(
            f'[[apps]]\nid = "{APP_ID}"\nkey = "{KEY}"\nsecret = "{self.secret}"\n'
            "client_events = true\n"
        )
        server = self._server = await self._start(
            "server",
            *("callboard", "serve", "--host", "127.0.0.1", "--port", "0"),
            *("--config", str(config), "--ports-file", str(ports)),
            *("--data", str(self._folder / "data")),
        )
        async with asyncio.timeout(WAIT_SECONDS):
            while not ports.exists():
                if server.returncode is not None:
                    said = (self._folder / "server.log").read_text()
                    raise RuntimeError(f"the server did not start: {said}")
                await asyncio.sleep(0.01)
        self._port = int(json.loads(ports.read_text())["port"])
        return self._port

    async def stop_server(self) -> int:
        """Ask the server to end and return its exit status; workers are ended first."""
        for worker in self._workers.values():
            with suppress(ProcessLookupError):
                worker.send_signal(signal.SIGTERM)
        for worker in self._workers.values():
            await asyncio.wait_for(worker.wait(), WAIT_SECONDS)
        server = self._server
        if server is None:
            raise RuntimeError("the server was not started")
        with suppress(ProcessLookupError):
            server.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(server.wait(), WAIT_SECONDS)

    async def start_worker(self, name: str) -> None:
        """Start a worker process; it says hello by itself."""
        self._workers[name] = await self._start(name, "callboard.demo.worker", self.url, name)

    async def kill_worker(self, name: str) -> None:
        """Kill a worker process as the kernel does when memory is short."""
        worker = self._workers.pop(name)
        worker.send_signal(signal.SIGKILL)
        await worker.wait()

    async def _start(self, name: str, *module: str) -> asyncio.subprocess.Process:
        """Run a module with its arguments; what it says goes into a file of that name."""
        with (self._folder / f"{name}.log").open("wb") as log:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", *module),
                env=_environment(),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=log,
            )


def _environment() -> dict[str, str]:
    """Return ours without what the reader has set for a server of their own."""
    prefixes = ("CALLBOARD_", "PUSHER_", "REVERB_")
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
