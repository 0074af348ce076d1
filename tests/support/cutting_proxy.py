"""A network that a test can break: a TCP proxy on loopback whose connections it cuts or blocks."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class CuttingProxy:
    """Listens on a free port from ``async with`` on, and connects to ``port`` of 127.0.0.1."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._pumps: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._open = asyncio.Event()
        self._open.set()
        self._cut = False

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        self._open.set()
        if self._pumps:
            await asyncio.wait(self._pumps)

    @property
    def port(self) -> int:
        assert self._server is not None, "the proxy does not listen: enter it first"
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def cut(self) -> None:
        """End all connections at both ends, and each new one, until :meth:`heal`."""
        self._cut = True
        for writer in self._writers:
            writer.transport.abort()

    def block(self) -> None:
        """Let nothing through either way and say so to nobody, until :meth:`heal`.

        What is sent meanwhile arrives then, as TCP sends it again.
        """
        self._open.clear()

    def heal(self) -> None:
        self._cut = False
        self._open.set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            writer.transport.abort()
            return
        try:
            onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, onward_writer}
        self._pump(reader, onward_writer)
        self._pump(onward_reader, writer)

    def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pump = asyncio.get_running_loop().create_task(self._pass_on(reader, writer))
        self._pumps.add(pump)
        pump.add_done_callback(self._pumps.discard)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        await self._open.wait()
        self._writers.discard(writer)
        writer.close()
