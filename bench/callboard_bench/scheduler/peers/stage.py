"""A peer's broker, workers and producer for one round."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from callboard_bench.guard import Guard
from callboard_bench.scheduler import program
from callboard_bench.scheduler.marks import Marks
from callboard_bench.scheduler.peers import trees
from callboard_bench.scheduler.peers.brokers import Broker, broker
from callboard_bench.scheduler.peers.environments import Peer
from callboard_bench.scheduler.peers.programs.program import BROKER, PRODUCER, TASKS
from callboard_bench.targets.server_process import ServerFailed


@dataclass(frozen=True, slots=True)
class PeerWorker:
    """A worker that was started: its first process, and the number that its marks have."""

    number: int
    process: subprocess.Popen[bytes]
    guard: Guard

    @property
    def pid(self) -> int:
        return self.process.pid


class PeerStage:
    """What a workload of a peer runs on."""

    def __init__(self, peer: Peer, kept_by: Broker, directory: Path) -> None:
        self.broker = kept_by
        self.marks = Marks(directory / "marks")
        self._peer = peer
        self._directory = directory
        self._log = directory / "log"
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(directory),
            program.MARKS: str(self.marks.path),
            # Of the producer, which marks nothing.
            program.WORKER: "0",
            BROKER: kept_by.url,
        }
        self.workers: dict[int, PeerWorker] = {}
        self._started = 0
        (directory / f"{TASKS}.py").write_text(peer.program.tasks)
        (directory / f"{PRODUCER}.py").write_text(peer.program.producer)

    async def prepare(self) -> None:
        """Make the broker ready.

        Raises:
            ServerFailed: that failed; the text holds what was said.
        """
        if self._peer.program.prepare:
            await self._run(self._command(self._peer.program.prepare))

    def start_worker(self) -> PeerWorker:
        """Start a worker."""
        self._started += 1
        with self._log.open("ab") as output:
            process = subprocess.Popen(
                self._command(self._peer.program.worker),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**self._environment, program.WORKER: str(self._started)},
                cwd=self._directory,
                process_group=0,
            )
        worker = self.workers[self._started] = PeerWorker(
            self._started, process, Guard(process.pid)
        )
        return worker

    def kill_worker(self, worker: PeerWorker) -> None:
        """Kill a worker and all that it started."""
        del self.workers[worker.number]
        # Before it is waited for: until then its number is nobody else's.
        trees.kill(worker.pid)
        worker.process.wait()
        worker.guard.dismiss()

    async def paced(self, count: int, interval_seconds: float) -> list[int]:
        """Let the producer submit so many tasks, numbered by the time; returns the numbers."""
        numbers = await self._produce("paced", str(count), str(interval_seconds))
        return [int(number) for number in numbers.split()]

    async def burst(self, first: int, count: int) -> tuple[int, int]:
        """Let the producer submit so many at once; returns when it began and ended, in ns."""
        began, ended = (await self._produce("burst", str(first), str(count))).split()
        return int(began), int(ended)

    async def hold(self, number: int) -> None:
        """Let the producer submit the task that stays at its first try."""
        await self._produce("hold", str(number))

    def said(self) -> str:
        """Return the end of what the workers wrote."""
        if not self._log.exists():
            return "nothing"
        return self._log.read_text(errors="replace")[-800:].strip() or "nothing"

    def close(self) -> None:
        """End the workers and all that they started."""
        for worker in list(self.workers.values()):
            self.kill_worker(worker)
        self.marks.close()

    def _command(self, words: Sequence[str]) -> list[str]:
        name, *arguments = words
        filled = [argument.replace("{url}", self.broker.url) for argument in arguments]
        return [str(self._peer.bin / name), *filled]

    async def _produce(self, *arguments: str) -> str:
        command = str(self._peer.bin / "python"), "-m", PRODUCER, *arguments
        return await self._run(command)

    async def _run(self, command: Sequence[str]) -> str:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment,
            cwd=self._directory,
        )
        try:
            output, said = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            raise
        if process.returncode:
            text = said.decode(errors="replace")[-800:].strip()
            what = "producer" if PRODUCER in command else "preparation"
            raise ServerFailed(f"the {what} of {self._peer.name} failed: {text}")
        return output.decode()


@asynccontextmanager
async def staged(peer: Peer) -> AsyncIterator[PeerStage]:
    """Start what keeps a peer's tasks, and end it and the workers.

    Raises:
        ServerFailed: it is not installed, or does not start.
    """
    with TemporaryDirectory(prefix="callboard-bench-") as name:
        directory = Path(name)
        async with broker(peer.program.broker, peer.durability, directory) as kept_by:
            stage = PeerStage(peer, kept_by, directory)
            try:
                await stage.prepare()
                yield stage
            finally:
                stage.close()
