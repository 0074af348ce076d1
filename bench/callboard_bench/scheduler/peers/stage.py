"""A peer's Redis, worker and producer for one round."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from callboard_bench.scheduler import program
from callboard_bench.scheduler.marks import Marks
from callboard_bench.scheduler.peers.environments import Peer
from callboard_bench.scheduler.peers.programs import PRODUCER, REDIS
from callboard_bench.scheduler.peers.redis_server import redis_server
from callboard_bench.targets.server_process import ServerFailed


class PeerStage:
    """What a workload of a peer runs on; ``redis_pid`` is its Redis."""

    def __init__(self, peer: Peer, redis_pid: int, url: str, directory: Path) -> None:
        self.redis_pid = redis_pid
        self.marks = Marks(directory / "marks")
        self._peer = peer
        self._log = directory / "log"
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(peer.directory),
            program.MARKS: str(self.marks.path),
            REDIS: url,
        }
        self._worker: subprocess.Popen[bytes] | None = None

    def start_worker(self) -> int:
        """Start the worker and return its process."""
        name, *arguments = self._peer.program.worker
        with self._log.open("ab") as output:
            self._worker = subprocess.Popen(
                [str(self._peer.bin / name), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                process_group=0,
            )
        return self._worker.pid

    async def paced(self, count: int, interval_seconds: float) -> list[int]:
        """Let the producer submit so many tasks, numbered by the time; returns the numbers."""
        numbers = await self._produce("paced", str(count), str(interval_seconds))
        return [int(number) for number in numbers.split()]

    async def burst(self, first: int, count: int) -> tuple[int, int]:
        """Let the producer submit so many at once; returns when it began and ended, in ns."""
        began, ended = (await self._produce("burst", str(first), str(count))).split()
        return int(began), int(ended)

    async def _produce(self, *arguments: str) -> str:
        command = str(self._peer.bin / "python"), "-m", PRODUCER
        process = await asyncio.create_subprocess_exec(
            *command,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment,
        )
        try:
            output, said = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            raise
        if process.returncode:
            text = said.decode(errors="replace")[-800:].strip()
            raise ServerFailed(f"the producer of {self._peer.name} failed: {text}")
        return output.decode()

    def close(self) -> None:
        """End the worker and all that it started."""
        if self._worker is not None:
            try:
                os.killpg(self._worker.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self._worker.wait()
        self.marks.close()


@asynccontextmanager
async def staged(peer: Peer) -> AsyncIterator[PeerStage]:
    """Start a Redis for a peer, and end it and the worker.

    Raises:
        ServerFailed: there is no Redis, or it does not start.
    """
    with TemporaryDirectory(prefix="callboard-bench-") as name:
        directory = Path(name)
        async with redis_server(directory, peer.fsync) as (pid, url):
            stage = PeerStage(peer, pid, url, directory)
            try:
                yield stage
            finally:
                stage.close()
