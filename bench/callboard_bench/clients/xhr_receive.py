"""The connection on which one session receives, a response after the other.

A response is cut into chunks and lines as it comes. Thousands of sessions read the same, so what
one read held is kept for those that read an equal one (:class:`Parsed`).
"""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from callboard_bench.answers import CHUNKED, UNTIL_CLOSED, Chunks, Head, cut_chunks, cut_head
from callboard_bench.clients.xhr_lines import Lines, cut_lines
from callboard_bench.websocket import Unexpected


class Session(Protocol):
    """Whoever receives."""

    def read(self, lines: Lines, *, whole: bool) -> None:
        """Take lines of the current response; ``whole`` if nothing more comes of it."""

    def refuse(self, status: int, body: bytes) -> None:
        """Learn of a response that is no 200."""

    def end(self, reason: str) -> None:
        """Learn that nothing more comes, and why."""


class Parsed:
    """What the last reads held."""

    def __init__(self) -> None:
        self._chunks = Chunks(b"", b"", b"", False)
        self._lines = Lines(b"", (), 0, None, 0, b"")

    def chunks(self, data: bytes) -> Chunks:
        """Cut one read, or return what an equal one held."""
        if self._chunks.data != data:
            self._chunks = cut_chunks(data)
        return self._chunks

    def lines(self, body: bytes) -> Lines:
        """Read a piece of a body, or return what an equal one held."""
        if self._lines.body != body:
            self._lines = cut_lines(body)
        return self._lines


class Receive(asyncio.Protocol):
    """The connection for one response after the other."""

    __slots__ = ("_asked", "_data", "_head", "_left", "_line", "_parsed", "_session", "_transport")

    def __init__(self, session: Session, parsed: Parsed) -> None:
        self._session: Session | None = session
        self._parsed = parsed
        self._transport: asyncio.Transport
        self._asked = False
        self._head: Head | None = None
        self._data = b""
        self._line = b""
        self._left = 0

    @property
    def usable(self) -> bool:
        """Whether another request can be sent."""
        return self._session is not None and not self._transport.is_closing()

    def ask(self, request: bytes) -> None:
        """Send a request."""
        self._asked = True
        self._transport.write(request)

    def abort(self) -> None:
        """Give up what is left of the response, with the connection, as a browser does."""
        self._session = None
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._data:
            data = self._data + data
        session = self._session
        if session is None:
            return
        try:
            if self._head is None:
                self._begin(data)
            else:
                self._body(data)
        except Unexpected as error:
            session.end(str(error))

    def connection_lost(self, exc: Exception | None) -> None:
        session, self._session = self._session, None
        # A connection that ends between two responses is no end of the session.
        if session is None or not self._asked:
            return
        if self._head is not None and self._head.length == UNTIL_CLOSED:
            session.read(self._parsed.lines(self._line), whole=True)
        else:
            session.end("the server closed the connection without a word")

    def _begin(self, data: bytes) -> None:
        head = cut_head(data)
        if head is None:
            self._data = data
            return
        self._head, self._left, self._data, self._line = head, head.length, b"", b""
        if head.rest or head.length == 0:
            self._body(head.rest)

    def _body(self, data: bytes) -> None:
        assert self._head is not None
        whole, body = False, data
        if self._head.length == CHUNKED:
            chunks = self._parsed.chunks(data)
            body, self._data, whole = chunks.body, chunks.rest, chunks.whole
        elif self._head.length >= 0:
            body = data[: self._left]
            self._left -= len(body)
            whole, self._data = self._left == 0, b""
        if self._head.status != 200:
            self._refused(body, whole=whole)
            return
        lines = self._parsed.lines(self._line + body if self._line else body)
        self._line = lines.rest
        if whole:
            self._head, self._asked = None, False
        if self._session is not None:
            self._session.read(lines, whole=whole)

    def _refused(self, body: bytes, *, whole: bool) -> None:
        assert self._head is not None
        self._line += body
        if whole and self._session is not None:
            self._session.refuse(self._head.status, self._line)
