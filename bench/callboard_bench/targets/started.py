"""Servers that the tool starts for a round, each with fresh credentials, and ends after it.

Our own and the floors take port 0 and tell theirs in a ports file, so no two runs can meet. A
command of the user's is told a port, or says by its URL where it will listen, and is ready when
that accepts connections.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import orjson

from callboard_bench.api import App
from callboard_bench.process import with_children
from callboard_bench.targets.loopback import is_loopback
from callboard_bench.targets.owners import owners
from callboard_bench.targets.server_process import ServerFailed, ServerProcess, started_process
from callboard_bench.targets.target import Address, Contender, Target

FLOOR: Final = "floor"
CALLBOARD: Final = "callboard"

#: What a command may hold, to be told what the tool chose.
PLACEHOLDERS: Final = ("{port}", "{key}", "{secret}", "{app_id}")

_HOST: Final = "127.0.0.1"
_START_SECONDS: Final = 15.0
#: Others may have to load a framework first.
_COMMAND_START_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.01


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command will listen, as its URL says."""

    app: App
    api: Address
    websocket: Address


def callboard() -> Contender:
    """Return ``callboard serve`` as it starts by default, with a data directory of its own."""
    serve = "-m", "callboard", "serve", "--port", "0", "--config", "{config}", "--data", "{data}"
    return Contender(CALLBOARD, partial(_ours, CALLBOARD, serve))


def floor(arguments: Sequence[str], name: str = FLOOR) -> Contender:
    """Return a floor, by the arguments of ``python``."""
    return Contender(name, partial(_ours, name, arguments))


def started_server(name: str, command: str, place: Place | None = None) -> Contender:
    """Return a server that a shell command starts.

    Args:
        command: for ``/bin/sh``; without a place, its :data:`PLACEHOLDERS` are filled in.
    """
    return Contender(name, partial(_theirs, name, command, place))


@asynccontextmanager
async def _ours(name: str, arguments: Sequence[str]) -> AsyncIterator[Target]:
    app = _fresh_app()
    with tempfile.TemporaryDirectory(prefix="callboard-bench-") as directory:
        ports_file, config = Path(directory, "ports.json"), Path(directory, "callboard.toml")
        _write_config(config, app)
        # The data directory is not that of a server which runs here besides.
        filled = [
            argument.replace("{config}", str(config)).replace("{data}", f"{directory}/data")
            for argument in arguments
        ]
        command = [sys.executable, *filled, "--ports-file", str(ports_file)]
        # Settings of the caller's shell would change what is measured.
        environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("CALLBOARD_", "PUSHER_"))
        }
        environment["BENCH_FLOOR_SECRET"] = app.secret
        log = Path(directory, "log")
        async with started_process(name, command, environment, log, app.secret) as server:
            where = await _told(server, ports_file)
            yield Target(name, app, where, where, with_children([server.pid]))


@asynccontextmanager
async def _theirs(name: str, command: str, place: Place | None) -> AsyncIterator[Target]:
    if place is None:
        where = Address(_HOST, _free_port())
        place = Place(_fresh_app(), where, where)
        values = (str(where.port), place.app.key, place.app.secret, place.app.id)
        for placeholder, value in zip(PLACEHOLDERS, values, strict=True):
            command = command.replace(placeholder, value)
    addresses = dict.fromkeys((place.api, place.websocket))
    for address in addresses:
        if await _accepts(address):
            raise ServerFailed(
                f"somebody listens on {address.authority} already, so {name!r} cannot: end that "
                "server, or measure it without --server"
            )
    with tempfile.TemporaryDirectory(prefix="callboard-bench-") as directory:
        shell = ["/bin/sh", "-c", command]
        log, environment = Path(directory, "log"), dict(os.environ)
        async with started_process(name, shell, environment, log, place.app.secret) as server:
            for address in addresses:
                await _listening(server, address)
            pids = (*owners(*addresses), *with_children([server.pid]))
            unique = tuple(dict.fromkeys(pids))
            yield Target(name, place.app, place.api, place.websocket, unique)


async def _told(server: ServerProcess, ports_file: Path) -> Address:
    """Wait for the ports file of a server of ours."""
    for _ in range(int(_START_SECONDS / _POLL_SECONDS)):
        server.check()
        where = _read_ports(ports_file)
        if where is not None:
            if not is_loopback(where.host):
                raise ServerFailed(
                    f"{server.name} listens on {where.host}; load goes to a loopback address "
                    f"only, such as {_HOST}"
                )
            return where
        await asyncio.sleep(_POLL_SECONDS)
    raise _too_late(server, _START_SECONDS, "listen")


def _read_ports(path: Path) -> Address | None:
    if not path.exists():
        return None
    ports = orjson.loads(path.read_bytes())
    return Address(ports["host"], ports["port"])


async def _listening(server: ServerProcess, address: Address) -> None:
    """Wait until a server of the user's accepts connections."""
    for _ in range(int(_COMMAND_START_SECONDS / _POLL_SECONDS)):
        server.check()
        if await _accepts(address):
            return
        await asyncio.sleep(_POLL_SECONDS)
    raise _too_late(server, _COMMAND_START_SECONDS, f"listen on {address.authority}")


def _too_late(server: ServerProcess, seconds: float, what: str) -> ServerFailed:
    return ServerFailed(
        f"{server.name} did not {what} within {seconds:g} s; it said: {server.said()}"
    )


async def _accepts(address: Address) -> bool:
    loop = asyncio.get_running_loop()
    try:
        # Without TLS, whatever it speaks: that it accepts is enough.
        transport, _ = await loop.create_connection(
            asyncio.Protocol, address.ip or address.host, address.port
        )
    except OSError:
        return False
    transport.close()
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _fresh_app() -> App:
    return App("bench", "bench-key", secrets.token_hex(16))


def _write_config(path: Path, app: App) -> None:
    path.write_text(
        f'[[apps]]\nid = "{app.id}"\nkey = "{app.key}"\nsecret = "{app.secret}"\n'
        # Off by default. How many a second is for the load to say, which --over-limit may raise.
        "client_events = true\nmax_client_events_per_second = 1000000\n"
    )
