"""A request that is answered later, or in pieces, by somebody who knows nothing of HTTP.

While an exchange lasts, its connection answers nothing else, but reads on for a while to see the
client's end: a client that has gone, or has said that it will send no more, ends the exchange
(:meth:`Source.over`). A stream is chunked; for HTTP/1.0 it is what comes before the end of the
connection (RFC 9112, 7.1 and 6.3).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from callboard_server.front.request import Encoder, Request, Response


class Source(Protocol):
    """Whoever writes the answer; each is told on the loop and must not raise."""

    def pause(self) -> None:
        """The client's kernel takes no more for now."""

    def resume(self) -> None:
        """What was written has been taken."""

    def over(self, exchange: Exchange) -> None:
        """The answer is complete and sent, or cannot be any more."""


class Carrier(Protocol):
    """The HTTP connection below."""

    def closes_behind(self, request: Request) -> bool:
        """Whether the connection ends with the answer to ``request``."""

    def answered(self, exchange: Exchange, response: Response | None) -> None:
        """The answer is complete, either written already or this ``response``."""

    def abort(self) -> None:
        """Cut the connection."""


class Exchange:
    """One request and its answer, from when it is understood until the answer is sent."""

    __slots__ = ("_carrier", "_chunked", "_encoder", "_transport", "paused", "request", "source")

    def __init__(
        self,
        carrier: Carrier,
        transport: asyncio.Transport,
        encoder: Encoder,
        request: Request,
        *,
        paused: bool = False,
    ) -> None:
        #: None once the answer is over.
        self._carrier: Carrier | None = carrier
        self._transport = transport
        self._encoder = encoder
        self._chunked = False
        self.request = request
        #: Whether the kernel takes no more for now.
        self.paused = paused
        self.source: Source | None = None

    # For the source

    def respond(self, response: Response) -> None:
        """Answer in one piece, and be done."""
        if self._carrier is not None:
            self._carrier.answered(self, response)

    def stream(self, content_type: str, *headers: str) -> None:
        """Begin a stream."""
        if self._carrier is None:
            return
        request = self.request
        self._chunked = request.version != "1.0"
        close = not self._chunked or self._carrier.closes_behind(request)
        head = self._encoder.stream_head(content_type, headers, request, close=close)
        # As for a WebSocket: what the kernel does not take at once is a reason to wait.
        self._transport.set_write_buffer_limits(high=1)
        self._transport.write(head)

    def write(self, data: bytes) -> None:
        """Send a piece of the stream, which may not be empty."""
        if self._carrier is not None:
            if self._chunked:
                data = b"%x\r\n%b\r\n" % (len(data), data)
            self._transport.write(data)

    def end(self) -> None:
        """End the stream."""
        if self._carrier is not None:
            if self._chunked:
                self._transport.write(b"0\r\n\r\n")
            self._carrier.answered(self, None)

    def buffered(self) -> int:
        """Return how many bytes the kernel has not taken."""
        return self._transport.get_write_buffer_size() if self._carrier is not None else 0

    def abort(self) -> None:
        """Cut the client off."""
        if self._carrier is not None:
            self._carrier.abort()

    # For the carrier

    def pause(self) -> None:
        self.paused = True
        if self.source is not None:
            self.source.pause()

    def resume(self) -> None:
        self.paused = False
        if self.source is not None:
            self.source.resume()

    def over(self) -> None:
        """Let go of the connection, and tell the source."""
        self._carrier = None
        source, self.source = self.source, None
        if source is not None:
            source.over(self)


#: Answers a request by an exchange: takes it, and is its source.
Attend = Callable[[Exchange], None]
