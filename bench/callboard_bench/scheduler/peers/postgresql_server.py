"""A PostgreSQL cluster for one round, made for it, on a Unix socket only.

It refuses to run as root. Where the tool does, the cluster belongs to ``postgres``, the user that
Debian's package makes, or to ``nobody``, in a directory that is theirs.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from callboard_bench.guard import Guard
from callboard_bench.targets.server_process import ServerFailed

_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.05
_LOG: Final = "postgresql.log"
_USERS: Final = ("postgres", "nobody")
#: Where Debian keeps the programs, a folder for each version.
_DEBIAN: Final = Path("/usr/lib/postgresql")


@asynccontextmanager
async def postgresql_server(
    directory: Path, settings: Sequence[str]
) -> AsyncIterator[tuple[int, str]]:
    """Make a cluster and start it; yields its first process and how libpq finds it.

    Args:
        directory: for its log.
        settings: as ``postgres -c`` takes them.

    Raises:
        ServerFailed: it is not installed, or does not start.
    """
    programs = _programs()
    with TemporaryDirectory(prefix="callboard-bench-pg-") as name:
        owner = _owner(Path(name))
        await asyncio.to_thread(_make, programs, name, owner)
        process = _spawn(programs, name, owner, settings, directory / _LOG)
        guard = Guard(process.pid)
        try:
            await _ready(process, programs, name, directory)
            yield process.pid, f"host={name} user=postgres dbname=postgres"
        finally:
            await _end(process)
            guard.dismiss()


def _programs() -> Path:
    found = shutil.which("postgres")
    if found is not None:
        # Its other programs are beside it, and not where a link to it is.
        return Path(found).resolve().parent
    of_versions = sorted(_DEBIAN.glob("*/bin"), key=lambda path: path.parent.name.zfill(4))
    for path in reversed(of_versions):
        if (path / "postgres").exists():
            return path
    raise ServerFailed(
        "procrastinate needs PostgreSQL, and there is none: install it (Debian: postgresql), or "
        "leave procrastinate out of --compare"
    )


def _owner(directory: Path) -> dict[str, Any]:
    """Give a directory to whom the cluster may belong; return what starts a process as them."""
    if os.geteuid() != 0:
        return {}
    for name in _USERS:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        os.chown(directory, user.pw_uid, user.pw_gid)
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise ServerFailed(
        f"PostgreSQL does not run as root, and there is no user {' or '.join(_USERS)}: run the "
        "benchmark as another user"
    )


def _make(programs: Path, where: str, owner: dict[str, Any]) -> None:
    command = [str(programs / "initdb"), "-D", f"{where}/data", "-A", "trust", "-U", "postgres"]
    # In a thread, for uvloop starts no process as another user.
    made = subprocess.run(
        [*command, "--no-sync"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=where,
        check=False,
        **owner,
    )
    if made.returncode:
        raise ServerFailed(f"initdb failed: {made.stdout.decode(errors='replace')[-800:].strip()}")


def _spawn(
    programs: Path, where: str, owner: dict[str, Any], settings: Sequence[str], log: Path
) -> subprocess.Popen[bytes]:
    options = ("listen_addresses=", f"unix_socket_directories={where}", *settings)
    command = [str(programs / "postgres"), "-D", f"{where}/data"]
    with log.open("wb") as output:
        return subprocess.Popen(
            [*command, *(word for option in options for word in ("-c", option))],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=where,
            process_group=0,
            **owner,
        )


async def _ready(
    process: subprocess.Popen[bytes], programs: Path, where: str, directory: Path
) -> None:
    for _ in range(int(_START_SECONDS / _POLL_SECONDS)):
        if process.poll() is not None:
            break
        # It accepts connections before it answers any.
        ready = await asyncio.create_subprocess_exec(
            *(str(programs / "pg_isready"), "-q", "-h", where), stdin=asyncio.subprocess.DEVNULL
        )
        if await ready.wait() == 0:
            return
        await asyncio.sleep(_POLL_SECONDS)
    said = (directory / _LOG).read_text(errors="replace")[-800:].strip() or "nothing"
    raise ServerFailed(f"PostgreSQL does not answer; it said: {said}")


async def _end(process: subprocess.Popen[bytes]) -> None:
    # At once, but so that it ends its children, which are in sessions of their own.
    process.send_signal(signal.SIGQUIT)
    try:
        for _ in range(int(_STOP_SECONDS / _POLL_SECONDS)):
            if process.poll() is not None:
                return
            await asyncio.sleep(_POLL_SECONDS)
    finally:
        process.kill()
        process.wait()
