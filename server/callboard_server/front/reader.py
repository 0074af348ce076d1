"""From bytes to whole requests: httptools (llhttp), and the bounds of what is read.

Sans-IO. Requests pile up in :attr:`RequestReader.requests` as they become whole. Reading ends
with an upgrade to a WebSocket or with a refusal, both of which come behind those requests.

A reader is created for every connection and fed for every request, so its callbacks do only
what must be done for each of them; what matters only for a request that is not whole yet
(:meth:`RequestReader.check_rest`) is looked at only then. A request whose headers are known
(:mod:`known_heads`) does not reach the parser at all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import httptools

from callboard_server.front.known_heads import KnownHeads
from callboard_server.front.request import (
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    Request,
    Response,
    head_bytes,
    origin_form,
    text,
)

#: How a client that speaks TLS begins (RFC 8446, 5.1).
_TLS_HANDSHAKE: Final = b"\x16\x03"


class RequestReader:
    """Reads the requests of one connection."""

    __slots__ = (
        "_between",
        "_body",
        "_body_bytes",
        "_head_bytes",
        "_headers",
        "_known",
        "_larger",
        "_max_body_bytes",
        "_parser",
        "_rest_checked",
        "_target",
        "_unseen_bytes",
        "arrived",
        "head_complete",
        "refusal",
        "requests",
        "upgrade",
    )

    head_complete: bool
    _body: bytes | bytearray
    _rest_checked: bool

    def __init__(
        self,
        max_body_bytes: int,
        larger: Callable[[bytes], int] = lambda target: 0,
        known: KnownHeads | None = None,
    ) -> None:
        """``larger`` says of a target that its bodies may have more bytes."""
        self._max_body_bytes = max_body_bytes
        self._larger = larger
        self._known = KnownHeads() if known is None else known
        #: Whether every read so far was one whole request, so that the next begins another.
        self._between = True
        self.requests: deque[Request] = deque()
        #: The request that asks for a WebSocket, and the bytes that follow it.
        self.upgrade: tuple[Request, bytes] | None = None
        #: What cannot be read on, as far as it is known, and the answer to it.
        self.refusal: tuple[Request, Response] | None = None
        #: Whether the request that was refused has arrived in full.
        self.arrived = False
        #: Bytes fed since a request was whole or a body went on: what the parser may be keeping.
        self._unseen_bytes = 0
        self._begin()
        self._parser = httptools.HttpRequestParser(self)

    @property
    def begun(self) -> bool:
        """Whether a part of a request that is not whole yet has been read."""
        return self._head_bytes > 0

    @property
    def unfinished(self) -> Request:
        """The request that is not whole yet, for the log: its target and headers so far.

        The headers are missing until all are there: what a proxy has written stands last.
        """
        headers = self._headers if self.head_complete else []
        return Request("", origin_form(self._target), "1.1", headers)

    @property
    def _overlong(self) -> bool:
        """Whether head, chunk extension or trailer have more bytes than any honest one."""
        return max(self._head_bytes, self._unseen_bytes) > MAX_HEAD_BYTES

    def feed(self, data: bytes) -> None:
        """Read on; nothing is kept of what follows a refusal."""
        if self.upgrade is not None:
            # The request is waiting for its turn, and this is no HTTP any more.
            request, behind = self.upgrade
            self.upgrade = (request, behind + data)
            return
        if self._between:
            request_known = self._known.read(data)
            if request_known is not None and len(request_known.body) <= self._max_body_bytes:
                self.requests.append(request_known)
                return
            waiting = len(self.requests)
            self._parse(data)
            self._between = len(self.requests) == waiting + 1 and self._known.learn(
                data, self.requests[-1]
            )
        else:
            self._parse(data)

    def _parse(self, data: bytes) -> None:
        self._unseen_bytes += len(data)
        pieces: list[bytes | memoryview] = [data]
        while pieces:
            piece = pieces.pop()
            try:
                self._parser.feed_data(piece)
            except httptools.HttpParserUpgrade as upgrade:
                pieces = self._upgraded(memoryview(piece)[upgrade.args[0] :])
            except httptools.HttpParserError as error:
                reason = " ".join(str(error).split())[:200]
                if bytes(piece[:2]) == _TLS_HANDSHAKE:
                    reason += ". It looks like TLS on a port without it (useTLS, forceTLS)"
                self._refuse(text(400, f"Bad request: {reason}"))
                return

    def skip(self, data: bytes) -> None:
        """Read on to the end of the request that was refused, as far as that can be known."""
        if not self._overlong:
            self.feed(data)

    def check_rest(self) -> bytes:
        """Look at a request whose rest is still to come; return what must be said to get it.

        A body that is announced as too large is refused before it is read.
        """
        if self._overlong:
            self._refuse_head()
        elif self.head_complete and not self._rest_checked:
            self._rest_checked = True
            for name, value in self._headers:
                folded = name.lower()
                if folded == b"content-length" and int(value) > self._max_body_bytes:
                    self._check_body(int(value))
                    if self.refusal is not None:
                        return b""
            expectation = Request("", b"", "", self._headers).header(b"expect") or b""
            # A client of HTTP/1.0 would take the 100 for the answer (RFC 9110, 10.1.1).
            if expectation.lower() == b"100-continue" and self._parser.get_http_version() != "1.0":
                return b"HTTP/1.1 100 Continue\r\n\r\n"
        return b""

    def close(self) -> None:
        """Read no more."""
        self.requests.clear()
        self.upgrade = None
        # The parser refers to this object: without the circle both are freed at once.
        del self._parser

    # httptools callbacks

    def on_url(self, target: bytes) -> None:
        self._head_bytes += len(target)
        if self.refusal is None:
            self._target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value) + 4
        # Behind the head it is a trailer, which must not be taken for a header: whoever checks the
        # headers on their way here, such as a proxy, has not seen it (RFC 9110, 6.5.1).
        if self.refusal is not None or self.head_complete:
            return
        if len(self._headers) == MAX_HEADERS:
            self._refuse(text(431, f"Request head too large: more than {MAX_HEADERS} headers"))
            return
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.head_complete = True
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse_head()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        self._unseen_bytes = 0
        if self._body_bytes > self._max_body_bytes:
            self._check_body(self._body_bytes)
        if self.refusal is None:
            if not self._body:
                self._body = body
            else:
                # One buffer, since many small chunks would cost many times their bytes.
                if isinstance(self._body, bytes):
                    self._body = bytearray(self._body)
                self._body += body

    def on_message_complete(self) -> None:
        if self.refusal is not None:
            self.arrived = True
            return
        parser = self._parser
        self.requests.append(
            Request(
                parser.get_method().decode("latin-1"),
                origin_form(self._target),
                parser.get_http_version(),
                self._headers,
                bytes(self._body),
                parser.should_keep_alive(),
            )
        )
        self._unseen_bytes = 0
        self._begin()

    def _begin(self) -> None:
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self.head_complete = False
        self._rest_checked = False
        self._body = b""
        self._body_bytes = 0

    def _upgraded(self, behind: memoryview) -> list[bytes | memoryview]:
        """Take an upgrade to a WebSocket; ignore any other and return what to parse then."""
        if self.refusal is not None:
            return []
        request = self.requests.pop()
        if request.method == "CONNECT":
            response = text(405, "Method not allowed: this is no proxy", "Allow: GET, POST")
            self._refuse(response, request)
            return []
        wanted = (request.header(b"upgrade") or b"").lower()
        # RFC 9110, 7.8: HTTP/1.0 has no upgrades; RFC 6455, 4.1: it must be a GET.
        if wanted == b"websocket" and (request.method, request.version) == ("GET", "1.1"):
            self.upgrade = (request, bytes(behind))
            return []
        # httptools reads no body behind an upgrade, so the request is read again without it.
        self._parser = httptools.HttpRequestParser(self)
        head = head_bytes(request, request.version.encode(), frozenset((b"upgrade",))) + b"\r\n"
        return [behind, head]

    def _refuse_head(self) -> None:
        self._refuse(text(431, f"Request head too large: more than {MAX_HEAD_BYTES} bytes"))

    def _check_body(self, size: int) -> None:
        """Refuse a body that is larger than most may be, unless this one may be so large."""
        limit = max(self._max_body_bytes, self._larger(origin_form(self._target)))
        if size > limit:
            self._refuse(text(413, f"Request body too large: more than {limit} bytes"))

    def _refuse(self, response: Response, request: Request | None = None) -> None:
        if self.refusal is None:
            self.refusal = (request or self.unfinished, response)
            self._headers = []
            self._body = b""
