"""Looking names up so that nothing ever has to wait for it.

A lookup cannot be broken off and may take half a minute. In the loop's own threads it would hold
up the end: closing the loop, or the interpreter, waits for those. So each lookup has a thread of
its own that is left behind with whatever it still asks.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

#: Lookups at once, with those that nobody waits for any more; others wait for their turn.
MAX_LOOKUPS: Final = 32

#: Returns the addresses of a name, and may block; raises OSError if there are none.
Lookup = Callable[[str, int, socket.AddressFamily], list[ResolveResult]]

_NUMERIC_FLAGS = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
_NUMERIC_NAME = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV


def look_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    """Ask the system for the addresses of a name.

    Raises:
        OSError: it cannot be resolved.
        ValueError: it cannot be a name.
    """
    return [
        ResolveResult(
            hostname=host,
            # With its scope, which an address of one link is nothing without.
            host=socket.getnameinfo(address, _NUMERIC_NAME)[0]
            if len(address) == 4 and address[3]
            else str(address[0]),
            port=port,
            family=kind,
            proto=protocol,
            flags=_NUMERIC_FLAGS,
        )
        for kind, _, protocol, _, address in socket.getaddrinfo(
            host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
    ]


class DetachedResolver(AbstractResolver):
    """Runs lookups in daemon threads, one each and ``at_once`` at most."""

    def __init__(self, lookup: Lookup = look_up, at_once: int = MAX_LOOKUPS) -> None:
        self._lookup = lookup
        self._free = asyncio.Semaphore(at_once)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a name.

        Raises:
            OSError: it cannot be resolved.
        """
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[ResolveResult]] = loop.create_future()

        def finish(found: list[ResolveResult], error: Exception | None) -> None:
            self._free.release()
            if answer.done():
                return
            if error is None:
                answer.set_result(found)
            else:
                answer.set_exception(error)

        def run() -> None:
            found: list[ResolveResult] = []
            failure: Exception | None = None
            try:
                found = self._lookup(host, port, family)
            except Exception as error:
                failure = error
            # The loop may be closed by now: then nobody waits for the answer.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(finish, found, failure)

        try:
            Thread(target=run, name="callboard-lookup", daemon=True).start()
        except RuntimeError as error:
            self._free.release()
            raise OSError("no thread is left to look the name up") from error
        return await answer

    async def close(self) -> None:
        """Nothing to do: whoever waits is cancelled, and threads end by themselves."""
