"""One kept-alive HTTP connection, one request at a time.

A server may say with an answer that it closes the connection behind it, as soketi does with each.
Then the next request goes over another one, and takes the time that this takes.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from callboard_bench.api import cut_answer, ends_connection
from callboard_bench.targets.target import Address
from callboard_bench.websocket import Unexpected


class KeepAlive(asyncio.Protocol):
    """Sends ready bytes and hands back the answers; a lost connection fails the request."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._data = b""
        self._endpoint: dict[str, Any] = {}
        #: Whether the server has said that it closes.
        self._ended = False
        self._lost = asyncio.Event()

    @classmethod
    async def open(cls, host: str, port: int) -> KeepAlive:
        """Connect to a server.

        Raises:
            OSError: nobody listens there.
        """
        return await cls._opened({"host": host, "port": port})

    @classmethod
    async def to(cls, address: Address) -> KeepAlive:
        """Connect to a server, by TLS where its address says so.

        Raises:
            OSError: nobody listens there.
        """
        return await cls._opened(address.endpoint())

    @property
    def closed(self) -> bool:
        """Whether it was closed, as a server does with one that was not used for a while."""
        return self._transport is None or self._transport.is_closing()

    async def request(self, request: bytes) -> tuple[int, bytes]:
        """Send one request and return its answer's status and body.

        Raises:
            ConnectionError: the server closed instead of answering.
            OSError: it closed behind its last answer, and nobody listens any more.
            Unexpected: what came is no answer this client understands.
        """
        if self._ended:
            await self._lost.wait()
            await self._connect()
        if self._transport is None or self.closed:
            raise ConnectionResetError("the server has closed the kept-alive connection")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Close the connection."""
        self._ended = False
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ended, self._data = False, b""
        self._lost.clear()

    def data_received(self, data: bytes) -> None:
        self._data += data
        if self._answer is None or self._answer.done():
            return
        try:
            answer = cut_answer(self._data)
        except Unexpected as error:
            self._answer.set_exception(error)
            return
        if answer is not None:
            if ends_connection(self._data) and self._transport is not None:
                self._ended = True
                self._transport.close()
            status, body, self._data = answer
            self._answer.set_result((status, body))

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost.set()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(
                ConnectionResetError("the server closed the connection instead of answering")
            )

    @classmethod
    async def _opened(cls, endpoint: dict[str, Any]) -> KeepAlive:
        connection = cls()
        connection._endpoint = endpoint
        await connection._connect()
        return connection

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, **self._endpoint)
