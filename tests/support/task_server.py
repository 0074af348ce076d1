"""``callboard serve`` with its scheduler, and workers, each in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType

PATIENCE_SECONDS = 20.0

_WORKER = """
import asyncio, sys
from pathlib import Path
from callboard_scheduler import Context, Worker

worker = Worker(id=sys.argv[2], slots=8)

@worker.task("echo")
async def echo(ctx: Context, value: object) -> object:
    return value

@worker.task("steps")
async def steps(ctx: Context, count: int) -> int:
    for step in range(1, count + 1):
        await ctx.progress(100 * step / count, f"step {step}", data={"step": step})
        # Progress is merged while it waits, the newest wins.
        await asyncio.sleep(0.06)
    await ctx.log("all steps done")
    return count

@worker.task("fail")
async def fail(ctx: Context) -> None:
    raise ValueError("no such picture")

@worker.task("hold")
async def hold(ctx: Context, until: str | None = None) -> str:
    while ctx.attempt == 1 and not (until and Path(until).exists()):
        await asyncio.sleep(0.02)
    return f"attempt {ctx.attempt}"

worker.run(url=sys.argv[1])
"""


class TaskServer:
    """The development app on a free port, with everything in ``folder``; ``with`` it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = folder / "ports.json"
        self._port = 0
        self._server: subprocess.Popen[bytes] | None = None
        self._workers: dict[str, subprocess.Popen[bytes]] = {}
        self._stack = ExitStack()
        self._log = self._stack.enter_context((folder / "log").open("ab"))

    @property
    def url(self) -> str:
        return f"http://app-key:app-secret@127.0.0.1:{self._port}/apps/app-id"

    def __enter__(self) -> TaskServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in (*self._workers.values(), self._server):
            if process is not None:
                process.kill()
                process.wait(PATIENCE_SECONDS)
        self._stack.close()
        # Shown only with a test that has failed.
        print((self._folder / "log").read_text())

    def start(self) -> None:
        """Start, on the port that an earlier start took, and return once it listens."""
        self._ports.unlink(missing_ok=True)
        self._server = self._run(
            *("-m", "callboard", "serve", "--port", str(self._port)),
            *("--data", str(self._folder / "data"), "--ports-file", str(self._ports)),
        )
        end = time.perf_counter() + PATIENCE_SECONDS
        # The process has no other way to say that it listens; the file appears whole.
        while not self._ports.exists():
            assert self._server.poll() is None, "the server did not start"
            assert time.perf_counter() < end, "the server is late"
            time.sleep(0.01)
        self._port = json.loads(self._ports.read_text())["port"]

    def kill(self) -> None:
        """Kill the server as a power cut would."""
        assert self._server is not None
        self._server.kill()
        self._server.wait(PATIENCE_SECONDS)

    def start_worker(self, worker_id: str) -> None:
        self._workers[worker_id] = self._run("-c", _WORKER, self.url, worker_id)

    def kill_worker(self, worker_id: str) -> None:
        process = self._workers.pop(worker_id)
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE_SECONDS)

    @contextmanager
    def running(self, *arguments: str, cwd: Path) -> Iterator[None]:
        """Run another Python process beside the server."""
        process = self._run(*arguments, cwd=cwd)
        try:
            yield
        finally:
            process.kill()
            process.wait(PATIENCE_SECONDS)

    def _run(self, *arguments: str, cwd: Path | None = None) -> subprocess.Popen[bytes]:
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("CALLBOARD_", "PUSHER_"))
        }
        return subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env=environment,
            cwd=cwd,
        )
