"""The servers that can be measured, each started for one round as a process on loopback."""

from __future__ import annotations

import asyncio
import importlib.util
import ipaddress
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from callboard_bench.api import App

FLOOR: Final = "floor"
CALLBOARD: Final = "callboard"
UVICORN: Final = "uvicorn"

_START_SECONDS: Final = 15.0
_STOP_SECONDS: Final = 12.0
_POLL_SECONDS: Final = 0.01


class ServerFailed(Exception):
    """A server did not start, or died; the text holds the end of what it said."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A kind of server: its name, and the command line for a ports file and configuration."""

    name: str
    command: Callable[[Path, Path], list[str]]


@dataclass(frozen=True, slots=True)
class Server:
    """A server that listens."""

    host: str
    port: int
    pid: int
    app: App


def broadcast_contenders() -> list[Contender]:
    """Return what carries messages to subscribers; the floor comes first."""
    return [Contender(FLOOR, _floor("broadcast")), Contender(CALLBOARD, _callboard)]


def trigger_contenders() -> list[Contender]:
    """Return what answers signed triggers; uvicorn only where it is installed."""
    found = [Contender(FLOOR, _floor("verify")), Contender(CALLBOARD, _callboard)]
    if importlib.util.find_spec("uvicorn") is not None:
        found.append(Contender(UVICORN, _uvicorn))
    return found


def _floor(kind: str) -> Callable[[Path, Path], list[str]]:
    def command(ports_file: Path, config: Path) -> list[str]:
        module = "callboard_bench.floor"
        return [sys.executable, "-m", module, kind, "--ports-file", str(ports_file)]

    return command


def _callboard(ports_file: Path, config: Path) -> list[str]:
    serve = [sys.executable, "-m", "callboard", "serve", "--port", "0"]
    # Not the one of a server that runs here besides.
    data = str(config.with_name("data"))
    return [*serve, "--config", str(config), "--ports-file", str(ports_file), "--data", data]


def _uvicorn(ports_file: Path, config: Path) -> list[str]:
    return [sys.executable, "-m", "callboard_bench.asgi_floor", "--ports-file", str(ports_file)]


@asynccontextmanager
async def running(contender: Contender) -> AsyncIterator[Server]:
    """Start a contender with fresh credentials, and stop it at the end.

    Raises:
        ServerFailed: it ended, or did not listen in time, or listens beyond loopback.
    """
    app = App("bench", "bench-key", secrets.token_hex(16))
    with tempfile.TemporaryDirectory(prefix="callboard-bench-") as directory:
        ports_file, config = Path(directory, "ports.json"), Path(directory, "callboard.toml")
        _write_config(config, app)
        log = Path(directory, "log")
        process = _spawn(contender.command(ports_file, config), app, log)
        try:
            host, port = await _listening(contender, process, ports_file, log)
            yield Server(host, port, process.pid, app)
            if process.poll() is not None:
                raise ServerFailed(_ended(contender, process, log))
        except Exception as error:
            if isinstance(error, ServerFailed):
                raise
            # What failed because the server died says less than what the server said.
            if process.poll() is not None:
                raise ServerFailed(_ended(contender, process, log)) from error
            error.add_note(f"{contender.name} said: {_tail(log)}")
            raise
        finally:
            await _stop(process)


def _write_config(path: Path, app: App) -> None:
    path.write_text(f'[[apps]]\nid = "{app.id}"\nkey = "{app.key}"\nsecret = "{app.secret}"\n')


def _spawn(command: list[str], app: App, log: Path) -> subprocess.Popen[bytes]:
    # Settings of the caller's shell would change what is measured.
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CALLBOARD_", "PUSHER_"))
    }
    environment["BENCH_FLOOR_SECRET"] = app.secret
    with log.open("wb") as output:
        # A group of its own: Ctrl-C reaches the tool, and the tool ends the server.
        return subprocess.Popen(
            command, stdout=output, stderr=output, env=environment, process_group=0
        )


async def _listening(
    contender: Contender, process: subprocess.Popen[bytes], ports_file: Path, log: Path
) -> tuple[str, int]:
    for _ in range(int(_START_SECONDS / _POLL_SECONDS)):
        if process.poll() is not None:
            raise ServerFailed(_ended(contender, process, log))
        address = _read_ports(ports_file)
        if address is not None:
            _refuse_beyond_loopback(contender, address[0])
            return address
        await asyncio.sleep(_POLL_SECONDS)
    raise ServerFailed(
        f"{contender.name} did not listen within {_START_SECONDS:g} s; it said: {_tail(log)}"
    )


def _read_ports(path: Path) -> tuple[str, int] | None:
    if not path.exists():
        return None
    ports = orjson.loads(path.read_bytes())
    return ports["host"], ports["port"]


def _refuse_beyond_loopback(contender: Contender, host: str) -> None:
    try:
        if ipaddress.ip_address(host).is_loopback:
            return
    except ValueError:
        pass
    raise ServerFailed(
        f"{contender.name} listens on {host}; load goes to a loopback address only, such as "
        "127.0.0.1"
    )


def _ended(contender: Contender, process: subprocess.Popen[bytes], log: Path) -> str:
    return f"{contender.name} ended with status {process.returncode}; it said: {_tail(log)}"


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-800:].strip() or "nothing"


async def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        for _ in range(int(_STOP_SECONDS / _POLL_SECONDS)):
            if process.poll() is not None:
                return
            await asyncio.sleep(_POLL_SECONDS)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
