"""Environments of the peers: made once for a run, with what each of them needs from PyPI."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from callboard_bench.scheduler.peers.programs import PRODUCER, PROGRAMS, TASKS, Program
from callboard_bench.targets.server_process import ServerFailed


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer that is installed, and how its Redis keeps what it is given."""

    program: Program
    #: The environment, with the modules in it.
    directory: Path
    fsync: str

    @property
    def name(self) -> str:
        """As the report and ``--only`` name it."""
        return self.program.name

    @property
    def bin(self) -> Path:
        """Where its programs are."""
        return self.directory / "bin"


@asynccontextmanager
async def environments(names: Sequence[str], fsync: str) -> AsyncIterator[list[Peer]]:
    """Make an environment for each of the peers named, and remove them at the end.

    Raises:
        ServerFailed: one could not be made; the text holds what pip said.
    """
    with TemporaryDirectory(prefix="callboard-bench-peers-") as root:
        peers = []
        for name in names:
            program, directory = PROGRAMS[name], Path(root, name)
            print(f"peer {name}: {', '.join(program.requirements)}", file=sys.stderr, flush=True)
            await _run(sys.executable, "-m", "venv", str(directory))
            pip = (str(directory / "bin" / "python"), "-m", "pip", "install", "--quiet")
            await _run(*pip, "--disable-pip-version-check", *program.requirements)
            (directory / f"{TASKS}.py").write_text(program.tasks)
            (directory / f"{PRODUCER}.py").write_text(program.producer)
            peers.append(Peer(program, directory, fsync))
        if peers:
            # Else the first to wait for the disk waits for all these files.
            await asyncio.to_thread(os.sync)
        yield peers


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    if process.returncode:
        said = output.decode(errors="replace")[-800:].strip()
        raise ServerFailed(f"{' '.join(command[-3:])} failed: {said}")
