"""A server with a data directory of its own, its workers, and a connection to its API."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from callboard_bench.scheduler import program
from callboard_bench.scheduler.caller import Caller
from callboard_bench.scheduler.marks import Marks
from callboard_bench.scheduler.server import Server
from callboard_bench.scheduler.worker_process import WorkerProcess, spawn
from callboard_bench.targets.server_process import ServerFailed
from callboard_bench.targets.target import Contender

_READY_SECONDS: Final = 30.0
_QUIET_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.01


class Stage:
    """What a workload runs on."""

    def __init__(self, server: Server, caller: Caller, directory: Path) -> None:
        self.server = server
        self.caller = caller
        self.directory = directory
        #: The starts of tasks, and what a cancelled body saw.
        self.marks = Marks(directory / "marks")
        self.stops = Marks(directory / "stops")
        self.workers: list[WorkerProcess] = []
        self._started = 0

    async def add_workers(self, count: int, slots: int) -> list[WorkerProcess]:
        """Start workers and return them once they are idle.

        Raises:
            ServerFailed: one of them ended or was not welcomed; the text holds what it said.
        """
        added = [self.spawn_worker(slots) for _ in range(count)]
        await self.until_idle(added)
        return added

    def spawn_worker(self, slots: int) -> WorkerProcess:
        """Start a worker, and do not wait for it."""
        self._started += 1
        worker = spawn(self.server, f"w{self._started}", slots, self.directory)
        self.workers.append(worker)
        return worker

    async def until_idle(self, workers: list[WorkerProcess]) -> None:
        """Wait for workers; raises as :meth:`add_workers` does."""
        wanted = {worker.id for worker in workers}
        for _ in range(int(_READY_SECONDS / _POLL_SECONDS)):
            for worker in workers:
                if worker.process.poll() is not None:
                    raise ServerFailed(f"worker {worker.id} ended; it said: {worker.said()}")
            listed = (await self.caller.get("workers"))["workers"]
            if wanted <= {worker["id"] for worker in listed if worker["state"] == "idle"}:
                return
            await asyncio.sleep(_POLL_SECONDS)
        said = workers[0].said()
        raise ServerFailed(f"workers were not idle in {_READY_SECONDS:g} s; one said: {said}")

    def remove_worker(self, worker: WorkerProcess) -> None:
        """See to it that nothing is left of a worker."""
        worker.end()
        self.workers.remove(worker)

    async def until_quiet(self) -> None:
        """Wait until every queue is empty and nothing runs.

        Raises:
            ServerFailed: that does not come about.
        """
        for _ in range(int(_QUIET_SECONDS / _POLL_SECONDS)):
            queues = (await self.caller.get("queues"))["queues"]
            live = {
                queue["name"]: {state: queue[state] for state in _LIVE if queue[state]}
                for queue in queues
            }
            if not any(live.values()):
                return
            await asyncio.sleep(_POLL_SECONDS)
        raise ServerFailed(f"tasks did not finish in {_QUIET_SECONDS:g} s; there are: {live}")

    def close(self) -> None:
        """End the workers, and close what is open."""
        for worker in self.workers:
            worker.end()
        self.caller.close()
        self.marks.close()
        self.stops.close()


_LIVE: Final = ("blocked", "scheduled", "ready", "assigned", "running", "stopping")


@asynccontextmanager
async def staged(contender: Contender) -> AsyncIterator[Stage]:
    """Start a server, and end it and its workers.

    Raises:
        ServerFailed: as a contender's ``open`` does.
    """
    with tempfile.TemporaryDirectory(prefix="callboard-bench-") as name:
        directory = Path(name)
        (directory / f"{program.MODULE}.py").write_text(program.TEXT)
        async with contender.open() as target:
            server = Server.of(target)
            stage = Stage(server, await Caller.open(server), directory)
            try:
                yield stage
            finally:
                stage.close()
