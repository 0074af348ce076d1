"""Servers that run already: found by their URL, and left as they are."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Final

from callboard_bench import api
from callboard_bench.api import App
from callboard_bench.errors import BenchError
from callboard_bench.process import cpu_if_alive, with_children
from callboard_bench.targets.owners import is_local, owners
from callboard_bench.targets.target import Address, Contender, Target

_ANSWER_SECONDS: Final = 5.0
_HEAD_BYTES: Final = 4096
_SAID_CHARACTERS: Final = 400


class Unreachable(BenchError):
    """A server does not answer, or not for this app; the text says what it did instead."""


def running_server(
    name: str, app: App, where: Address, websocket: Address, pids: Sequence[int] = ()
) -> Contender:
    """Return a server that somebody else started.

    Args:
        pids: its processes, where they are known; else the owners of its ports.
    """
    return Contender(
        name,
        partial(_opened, Target(name, app, where, websocket, tuple(pids)), count()),
        partial(_takes_load, app, where, websocket, pids),
    )


@asynccontextmanager
async def _opened(known: Target, rounds: Iterator[int]) -> AsyncIterator[Target]:
    # Anew for each round: it may have been started again, or have forked.
    where = known.api
    found = with_children(known.pids) if known.pids else owners(where, known.websocket)
    warning = ""
    if not found and is_local(where):
        warning = (
            f"who listens on {where.authority} cannot be seen, as with another user's process or "
            "a container's: there are no figures of its CPU and memory; name it with --pid"
        )
    yield replace(known, pids=found, warning=warning, used=next(rounds) > 0)


async def _takes_load(app: App, where: Address, websocket: Address, pids: Sequence[int]) -> None:
    for pid in pids:
        if cpu_if_alive(pid) is None:
            raise Unreachable(
                f"there is no process {pid}: see that --pid names one of the server's"
            )
    await answers(app, where)
    if websocket == where:
        return
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            _, writer = await asyncio.open_connection(**websocket.endpoint())
    except OSError as error:
        raise Unreachable(
            f"no WebSocket gets through to {websocket.authority}: {str(error) or 'no answer'}; "
            "see that --ws-host and --ws-port say where the server takes them"
        ) from None
    writer.close()


async def answers(app: App, where: Address) -> None:
    """Ask for the app's channels, once, so that a wrong key is told before any load.

    Raises:
        Unreachable: nobody listens, or the answer is none to a signed request.
    """
    url = where.authority
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            head = await _ask(where, api.get(app, where.host, where.port, "channels", {}))
    except TimeoutError:
        raise Unreachable(f"{url} did not answer within {_ANSWER_SECONDS:g} s") from None
    except ssl.SSLCertVerificationError as error:
        raise Unreachable(
            f"the certificate of {url} is not valid: {error.verify_message}; name its authority "
            "in SSL_CERT_FILE, or take any certificate of this machine with --insecure"
        ) from None
    except OSError as error:
        raise Unreachable(
            f"{url} cannot be reached: {error}; start the server first, or let the bench do it "
            "with --server"
        ) from None
    if not head.startswith((b"HTTP/1.1 200 ", b"HTTP/1.0 200 ")):
        said = " ".join(head.decode(errors="replace").split())[:_SAID_CHARACTERS] or "nothing"
        raise Unreachable(
            f"{url} does not take signed requests for app {app.id} with key {app.key}: see that "
            f"ID, KEY and SECRET are the server's. It answered: {said}"
        )


async def _ask(where: Address, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(**where.endpoint())
    try:
        writer.write(request)
        return await reader.read(_HEAD_BYTES)
    finally:
        writer.close()
