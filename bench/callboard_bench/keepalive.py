"""One kept-alive HTTP connection, one request at a time."""

from __future__ import annotations

import asyncio
from typing import cast

from callboard_bench.api import cut_answer
from callboard_bench.targets.target import Address
from callboard_bench.websocket import Unexpected


class KeepAlive(asyncio.Protocol):
    """Sends ready bytes and hands back the answers; a lost connection fails the request."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._data = b""

    @classmethod
    async def open(cls, host: str, port: int) -> KeepAlive:
        """Connect to a server.

        Raises:
            OSError: nobody listens there.
        """
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(cls, host, port)
        return connection

    @classmethod
    async def to(cls, address: Address) -> KeepAlive:
        """Connect to a server, by TLS where its address says so.

        Raises:
            OSError: nobody listens there.
        """
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(cls, **address.endpoint())
        return connection

    @property
    def closed(self) -> bool:
        """Whether it was closed, as a server does with one that was not used for a while."""
        return self._transport is None or self._transport.is_closing()

    async def request(self, request: bytes) -> tuple[int, bytes]:
        """Send one request and return its answer's status and body.

        Raises:
            ConnectionError: the server closed instead of answering.
            Unexpected: what came is no answer this client understands.
        """
        if self._transport is None or self.closed:
            raise ConnectionResetError("the server has closed the kept-alive connection")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

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
            status, body, self._data = answer
            self._answer.set_result((status, body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(
                ConnectionResetError("the server closed the connection instead of answering")
            )
