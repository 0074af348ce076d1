"""A Redis on loopback for one round, with its files in a directory of its own."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from callboard_bench.guard import Guard
from callboard_bench.targets.server_process import ServerFailed

_START_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.02
_LOG: Final = "redis.log"


@asynccontextmanager
async def redis_server(directory: Path, settings: Sequence[str]) -> AsyncIterator[tuple[int, str]]:
    """Start one; yields its process and its URL.

    Args:
        settings: as in its configuration file, such as ``appendonly yes``.

    Raises:
        ServerFailed: there is no ``redis-server``, or it does not start.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = _spawn(port, directory, settings)
    guard = Guard(process.pid)
    try:
        if not await _answers(port, process):
            raise ServerFailed(f"redis-server does not answer; it said: {_said(directory)}")
        yield process.pid, f"redis://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
        guard.dismiss()


def _spawn(port: int, directory: Path, settings: Sequence[str]) -> subprocess.Popen[bytes]:
    program = shutil.which("redis-server")
    if program is None:
        raise ServerFailed("most peers need redis-server: install it, or leave out --compare")
    where = ("--bind", "127.0.0.1", "--port", str(port), "--dir", str(directory), "--save", "")
    words = [word for setting in settings for word in f"--{setting}".split()]
    with (directory / _LOG).open("wb") as output:
        return subprocess.Popen(
            [program, *where, *words, "--auto-aof-rewrite-percentage", "0"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,
        )


async def _answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    for _ in range(int(_START_SECONDS / _POLL_SECONDS)):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if process.poll() is not None:
                return False
            await asyncio.sleep(_POLL_SECONDS)
        else:
            writer.close()
            await writer.wait_closed()
            return True
    return False


def _said(directory: Path) -> str:
    return (directory / _LOG).read_text(errors="replace")[-800:].strip() or "nothing"
