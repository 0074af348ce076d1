"""Environments of the peers: made once, with what each of them needs from PyPI, and kept.

They are in the user's cache folder, one for each peer, its requirements and this Python; their
pins of the Redis client exclude each other. One counts as made when its mark is there, which is
written last and holds the version that was installed.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from callboard_bench.scheduler.peers.brokers import described
from callboard_bench.scheduler.peers.programs import PROGRAMS, Program
from callboard_bench.targets.server_process import ServerFailed

_MADE: Final = "callboard-bench-made"


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer that is installed, and what becomes of an acknowledged task."""

    program: Program
    #: Its environment.
    directory: Path
    version: str
    durability: str

    @property
    def name(self) -> str:
        """As the report names it."""
        return self.program.name

    @property
    def bin(self) -> Path:
        """Where its programs are."""
        return self.directory / "bin"

    @property
    def kept_in(self) -> str:
        """What its tasks are in: ``Redis with appendonly yes, appendfsync always``."""
        return described(self.program.broker, self.durability)


async def environments(names: Sequence[str], durability: str, *, fresh: bool) -> list[Peer]:
    """Return the peers named, each with its environment, made where there is none or on request.

    Raises:
        ServerFailed: one could not be made; the text holds what pip said.
    """
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    peers = []
    made = False
    for name in names:
        program = PROGRAMS[name]
        directory = folder / f"{name}-{_digest(program)}"
        with _alone(directory.with_suffix(".lock")):
            if fresh or not (directory / _MADE).exists():
                await _make(program, directory)
                made = True
            version = (directory / _MADE).read_text()
        peers.append(Peer(program, directory, version, durability))
    if made:
        # Else the first to wait for the disk waits for all these files.
        await asyncio.to_thread(os.sync)
    return peers


def cache_folder() -> Path:
    """Return where environments are kept: in ``XDG_CACHE_HOME``, or ``~/.cache``."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache, "callboard", "bench-peers")


def _digest(program: Program) -> str:
    ingredients = "\n".join((sys.version, sys.prefix, *program.requirements))
    return hashlib.sha256(ingredients.encode()).hexdigest()[:12]


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Keep other runs from making the same environment meanwhile."""
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServerFailed(
                f"another run is installing what {lock} stands for: wait for it, and run again"
            ) from None
        yield


async def _make(program: Program, directory: Path) -> None:
    click.echo(f"installing {', '.join(program.requirements)}", err=True)
    shutil.rmtree(directory, ignore_errors=True)
    await _run(sys.executable, "-m", "venv", str(directory))
    python = str(directory / "bin" / "python")
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    await _run(*pip, *program.requirements)
    asked = f"from importlib.metadata import version; print(version({program.name!r}), end='')"
    (directory / _MADE).write_text(await _run(python, "-c", asked))


async def _run(*command: str) -> str:
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
    said = output.decode(errors="replace")
    if process.returncode:
        raise ServerFailed(f"{' '.join(command[-3:])} failed: {said[-800:].strip()}")
    return said
