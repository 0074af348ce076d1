"""Links over WebSockets, each as cheap as can be.

A read is cut into frames once: the next links that read equal bytes (a memory comparison) take
the result of the first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from callboard_bench.clients.link import PING, Listener, Wire
from callboard_bench.websocket import (
    Unexpected,
    cut_frames,
    masked_pong,
    masked_text,
    upgrade_request,
)
from callboard_protocol import frames


@dataclass(frozen=True, slots=True)
class Read:
    """What one read held: messages, other frames, and the beginning of a next frame."""

    data: bytes
    messages: Sequence[bytes]
    controls: Sequence[tuple[int, bytes]]
    rest: bytes


class WebSocketLinks:
    """Opens WebSockets and keeps the last read of all of them."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._opened = 0
        self.upgrade = upgrade_request(wire.address.authority, wire.path)
        self.last = Read(b"", (), (), b"")

    async def open(self, listener: Listener) -> None:
        """Connect and ask for the upgrade; its answer is not awaited.

        Raises:
            OSError: nobody listens there.
        """
        endpoint = self._wire.endpoint(self._opened)
        self._opened += 1
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: _WebSocketLink(self, listener), **endpoint)

    def cut(self, data: bytes) -> Read:
        """Cut one read into frames and keep the result for the links that read the same.

        Raises:
            Unexpected: a frame that is not understood.
        """
        found, rest = cut_frames(data)
        messages = tuple([payload for opcode, payload in found if opcode == frames.TEXT])
        controls = tuple([frame for frame in found if frame[0] != frames.TEXT])
        self.last = Read(data, messages, controls, rest)
        return self.last


class _WebSocketLink(asyncio.Protocol):
    __slots__ = ("_links", "_listener", "_rest", "_transport", "_upgraded")

    def __init__(self, links: WebSocketLinks, listener: Listener) -> None:
        self._links = links
        self._listener: Listener | None = listener
        self._transport: asyncio.Transport
        self._upgraded = False
        self._rest = b""

    def send(self, message: bytes) -> None:
        self._transport.write(masked_text(message))

    def ping(self) -> None:
        self.send(PING)

    def close(self) -> None:
        self._listener = None
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        assert self._listener is not None
        self._listener.linked(self)
        self._transport.write(self._links.upgrade)

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        if not self._upgraded:
            self._handshake(data)
            return
        read = self._links.last
        if read.data != data:
            try:
                read = self._links.cut(data)
            except Unexpected as error:
                self._end(str(error))
                return
        self._rest = read.rest
        listener = self._listener
        if listener is not None and read.messages:
            listener.heard(read.messages)
        if read.controls:
            self._control(read.controls)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("the server closed the connection without a word")

    def _handshake(self, data: bytes) -> None:
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._rest = data
        elif not data.startswith(b"HTTP/1.1 101 "):
            self._end(f"the upgrade was answered with {data[:60]!r}")
        else:
            self._upgraded, self._rest = True, b""
            if len(data) > end + 4:
                self.data_received(data[end + 4 :])

    def _control(self, controls: Sequence[tuple[int, bytes]]) -> None:
        for opcode, payload in controls:
            if opcode == frames.PING:
                self._transport.write(masked_pong(payload))
            elif opcode == frames.CLOSE:
                code, reason = (
                    int.from_bytes(payload[:2], "big"),
                    payload[2:].decode(errors="replace"),
                )
                self._end(f"the server closed with {code} {reason}".rstrip())

    def _end(self, reason: str) -> None:
        listener, self._listener = self._listener, None
        self._transport.close()
        if listener is not None:
            listener.ended(reason)
