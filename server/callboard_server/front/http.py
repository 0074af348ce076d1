"""One client of the front: requests in, in order; responses, a WebSocket or a hand-over out.

Bounds: a request's head in bytes and time, its body in bytes and time, an idle kept-alive
connection in time, and one request at a time: what is pipelined behind it waits unread in the
kernel. A request that is refused before its body has arrived is answered at once, and what is
still coming is read and thrown away for a moment, so that the client sees the answer and not a
connection reset.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast

import httptools

from callboard_server.connection import CLOSE_TIMEOUT_SECONDS
from callboard_server.deadlines import Deadlines
from callboard_server.front.request import MAX_HEAD_BYTES, Encoder, Request, Response, text
from callboard_server.hub import Hub
from callboard_server.roster import Roster
from callboard_server.settings import Settings
from callboard_server.stepping import step
from callboard_server.websocket import Apps, WebSocket, handshake

logger = logging.getLogger("callboard.server")

HEAD_SECONDS: Final = 10.0
BODY_SECONDS: Final = 30.0
#: How long a client with more requests on their way may leave its answers unread.
READ_SECONDS: Final = 30.0
KEEP_ALIVE_SECONDS: Final = 75.0
#: How long, and how much, of a refused request is read to let the client see the refusal.
LINGER_SECONDS: Final = 2.0
LINGER_BYTES: Final = 64 * 1024 * 1024
#: After so many pipelined requests of one client the others get a turn.
_REQUESTS_PER_TURN: Final = 32

Handle = Callable[[Request], Coroutine[Any, Any, Response]]
#: Takes a transport and the bytes of one request over, with everything that follows.
HandOver = Callable[[asyncio.Transport, bytes], None]


@dataclass(slots=True)
class FrontContext:
    """What every connection of the front shares."""

    hub: Hub
    apps: Apps
    settings: Settings
    deadlines: Deadlines
    encoder: Encoder
    #: Answers a request under ``/apps/``.
    handle: Handle
    #: Gives any other request to aiohttp.
    hand_over: HandOver
    connections: Roster[HTTPConnection]
    #: Set when the server ends: finish what was begun, keep nothing alive.
    closing: bool = False


class Phase(enum.Enum):
    """What is being waited for."""

    IDLE = "a request"
    READING = "the rest of a request"
    ANSWERING = "our answer"
    LINGERING = "the end of a refused request"
    DONE = "nothing: the transport is closed or has a new protocol"


class HTTPConnection(asyncio.Protocol):
    """An HTTP/1 connection until it ends or becomes something else."""

    __slots__ = (
        "_answer",
        "_body",
        "_body_bytes",
        "_context",
        "_eof",
        "_expects_100",
        "_head_bytes",
        "_head_complete",
        "_headers",
        "_idle_since",
        "_lingered_bytes",
        "_parser",
        "_phase",
        "_refusal",
        "_requests",
        "_target",
        "_time_limit",
        "_transport",
        "_unseen_bytes",
        "_upgrade",
        "_write_paused",
        "due",
    )

    _transport: asyncio.Transport

    def __init__(self, context: FrontContext) -> None:
        self._context = context
        # A new connection owes a request, a kept-alive one need not send another.
        self._phase = Phase.READING
        self._time_limit: float | None = HEAD_SECONDS
        self._eof = False
        self._parser = httptools.HttpRequestParser(self)
        self._requests: deque[Request] = deque()
        #: The handler's task while it has to wait.
        self._answer: asyncio.Task[Response] | None = None
        #: The upgrade to a WebSocket behind the requests, with the bytes that follow it.
        self._upgrade: tuple[Request, bytes] | None = None
        #: The refusal of what came behind the requests; nothing is read any more.
        self._refusal: Response | None = None
        self._write_paused = False
        self._unseen_bytes = 0
        self._lingered_bytes = 0
        self.due: int | None = None
        self._idle_since = context.deadlines.tick
        self.on_message_begin()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._context.connections.add(self)
        self._context.deadlines.set(self, HEAD_SECONDS)

    def data_received(self, data: bytes) -> None:
        if self._phase is Phase.LINGERING:
            self._linger(data)
            return
        if self._phase is Phase.IDLE:
            self._phase = Phase.READING
        self._parse(data)
        if self._phase is Phase.READING:
            self._next()

    def _parse(self, data: bytes) -> None:
        # Back to zero with whatever the parser tells us; what it does not, it may be keeping.
        self._unseen_bytes += len(data)
        pieces: list[bytes | memoryview] = [data]
        while pieces:
            piece = pieces.pop()
            try:
                self._parser.feed_data(piece)
            except httptools.HttpParserUpgrade as upgrade:
                pieces = self._upgraded(memoryview(piece)[upgrade.args[0] :])
            except httptools.HttpParserError as error:
                if self._phase is Phase.READING and self._refusal is None:
                    self._refuse(text(400, f"Bad request: {_one_line(error)}"))
                return

    def eof_received(self) -> bool:
        """Keep a half-closed connection open while an answer is due, and no longer."""
        self._eof = True
        return self._phase is Phase.ANSWERING or bool(self._requests)

    def pause_writing(self) -> None:
        """A client that does not read is not read either."""
        self._write_paused = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._write_paused = False
        self._time_limit = None
        self._resume()

    def connection_lost(self, error: Exception | None) -> None:
        self._release()

    # httptools callbacks

    def on_message_begin(self) -> None:
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._head_complete = False
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._expects_100 = False

    def on_url(self, target: bytes) -> None:
        self._target += target
        self._head_bytes += len(target)
        self._unseen_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._phase is Phase.READING:
            self._headers.append((name, value))
        self._head_bytes += len(name) + len(value) + 4
        self._unseen_bytes = 0

    def on_headers_complete(self) -> None:
        self._head_complete = True
        if self._phase is not Phase.READING or self._refusal is not None:
            return
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse_head()
            return
        for name, value in self._headers:
            folded = name.lower()
            if folded == b"content-length":
                if int(value) > self._context.settings.max_request_body_bytes:
                    self._refuse_body()
                    return
            elif folded == b"expect":
                # A client of HTTP/1.0 would take the 100 for the answer (RFC 9110, 10.1.1).
                self._expects_100 = (
                    value.lower() == b"100-continue" and self._parser.get_http_version() != "1.0"
                )

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        self._unseen_bytes = 0
        if self._phase is not Phase.READING or self._refusal is not None:
            return
        if self._body_bytes > self._context.settings.max_request_body_bytes:
            self._refuse_body()
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._phase is Phase.LINGERING:
            # The refused request has arrived in full: nothing more need be waited for.
            self._close()
        elif self._phase is Phase.READING and self._refusal is None:
            parser = self._parser
            self._requests.append(
                Request(
                    parser.get_method().decode("latin-1"),
                    _origin_form(self._target),
                    parser.get_http_version(),
                    self._headers,
                    self._body[0] if len(self._body) == 1 else b"".join(self._body),
                    parser.should_keep_alive(),
                )
            )
            self.on_message_begin()

    # Requests, one at a time

    def _next(self) -> None:
        """Answer requests until one must wait, the client must read, or none is left."""
        requests_left = _REQUESTS_PER_TURN
        while self._phase is Phase.READING and self._requests and not self._write_paused:
            if not requests_left:
                self._transport.pause_reading()
                asyncio.get_running_loop().call_soon(self._resume)
                return
            requests_left -= 1
            request = self._requests.popleft()
            if not request.target.startswith(b"/apps/"):
                self._hand_over(request)
                return
            self._phase = Phase.ANSWERING
            try:
                answer = step(self._context.handle(request))
            except Exception:
                logger.exception("an API request failed")
                answer = text(500, "Internal server error")
            if isinstance(answer, asyncio.Task):
                self._answer = answer
                self._transport.pause_reading()
                answer.add_done_callback(partial(self._answered, request))
                return
            self._respond(request, answer)
        if self._phase is not Phase.READING:
            return
        if self._write_paused:
            self._context.deadlines.set(self, READ_SECONDS)
        elif self._upgrade:
            self._become_websocket(*self._upgrade)
        elif self._refusal is not None:
            self._refuse(self._refusal)
        else:
            self._await_rest()

    def _await_rest(self) -> None:
        """Bound the head, and let what has begun have its time once, in however many pieces."""
        if self._head_bytes + self._unseen_bytes > MAX_HEAD_BYTES:
            self._refuse_head()
            return
        if self._expects_100:
            self._expects_100 = False
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        limit = BODY_SECONDS if self._head_complete else HEAD_SECONDS
        if self._time_limit != limit:
            self._time_limit = limit
            self._context.deadlines.set(self, limit)

    def _resume(self) -> None:
        if self._phase not in (Phase.DONE, Phase.ANSWERING) and not self._write_paused:
            self._transport.resume_reading()
            if self._phase is Phase.READING:
                self._next()

    def _answered(self, request: Request, task: asyncio.Task[Response]) -> None:
        self._answer = None
        if self._phase is not Phase.ANSWERING:
            return
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None:
            logger.error("an API request failed", exc_info=error)
            self._respond(request, text(500, "Internal server error"))
        else:
            self._respond(request, task.result())
        self._resume()

    def _respond(self, request: Request, response: Response) -> None:
        context = self._context
        behind = bool(self._requests or self._upgrade or self._refusal is not None)
        close = context.closing or not request.keep_alive or (self._eof and not behind)
        self._transport.write(context.encoder.encode(response, request, close=close))
        if close:
            self._close()
        elif behind or self._head_bytes:
            self._phase = Phase.READING
            self._time_limit = None
        else:
            self._phase = Phase.IDLE
            self._time_limit = None
            self._idle_since = context.deadlines.tick
            if self.due is None:
                context.deadlines.set(self, KEEP_ALIVE_SECONDS)

    def _hand_over(self, request: Request) -> None:
        """Give the request and the transport to aiohttp; a page's connection ends with it."""
        head = _head(request, b"1.1", _HOP_BY_HOP)
        # Health checks of HTTP/1.0 name no host.
        host = b"" if request.header(b"host") is not None else b"Host: localhost\r\n"
        length = b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(request.body)
        transport = self._transport
        self._release()
        # aiohttp would take the end of a half-closed client's stream for the end of the client.
        transport.pause_reading()
        self._context.hand_over(transport, head + host + length + request.body)

    def _upgraded(self, behind: memoryview) -> list[bytes | memoryview]:
        """Take an upgrade to a WebSocket; ignore any other and return what to parse then."""
        if self._phase is not Phase.READING or self._refusal is not None:
            return []
        request = self._requests.pop()
        if request.method == "CONNECT":
            self._refuse(text(405, "Method not allowed: this is no proxy", "Allow: GET, POST"))
            return []
        wanted = (request.header(b"upgrade") or b"").lower()
        # RFC 9110, 7.8: HTTP/1.0 has no upgrades; RFC 6455, 4.1: it must be a GET.
        if wanted == b"websocket" and (request.method, request.version) == ("GET", "1.1"):
            self._upgrade = (request, bytes(behind))
            return []
        # httptools reads no body behind an upgrade, so the request is read again without it.
        self._parser = httptools.HttpRequestParser(self)
        head = _head(request, request.version.encode(), frozenset((b"upgrade",))) + b"\r\n"
        return [behind, head]

    def _become_websocket(self, request: Request, behind: bytes) -> None:
        headers = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers
        ]
        accepted, response = handshake(request.target.decode("latin-1"), headers)
        context, transport = self._context, self._transport
        if not accepted or context.closing:
            if accepted:
                response = context.encoder.encode(
                    text(503, "Server is ending"), request, close=True
                )
            transport.write(response)
            self._close()
            return
        self._release()
        websocket = WebSocket(transport, context.hub, context.apps, context.settings)
        transport.set_protocol(websocket)
        websocket.begin(request.target, response, behind)

    # The end

    def finish(self) -> None:
        """The server ends: close now if nothing was asked, else behind the answer."""
        asked = bool(self._requests) or self._head_bytes > 0
        if self._phase is Phase.IDLE or (self._phase is Phase.READING and not asked):
            self._close()

    def abort(self) -> None:
        """The server has waited long enough."""
        self._phase = Phase.DONE
        if self._answer is not None:
            self._answer.cancel()
        self._transport.abort()

    def overdue(self) -> None:
        """What was waited for did not come."""
        deadlines = self._context.deadlines
        if self._phase is Phase.IDLE:
            idle_for = deadlines.seconds_since(self._idle_since)
            if idle_for < KEEP_ALIVE_SECONDS:
                deadlines.set(self, KEEP_ALIVE_SECONDS - idle_for)
            else:
                self._close()
        elif self._phase is Phase.READING and self._head_bytes and not self._write_paused:
            if not self._requests:
                response = text(408, "Request timeout: the request did not arrive in time")
                self._transport.write(self._context.encoder.encode(response, None, close=True))
                self._close()
        elif self._phase is not Phase.ANSWERING:
            self._transport.abort()

    def _refuse_head(self) -> None:
        self._refuse(text(431, f"Request head too large: more than {MAX_HEAD_BYTES} bytes"))

    def _refuse_body(self) -> None:
        limit = self._context.settings.max_request_body_bytes
        self._refuse(text(413, f"Request body too large: more than {limit} bytes"))

    def _refuse(self, response: Response) -> None:
        """Answer in turn, and read on for a moment so that it arrives before the end."""
        if self._requests:
            self._refusal = response
            return
        self._body.clear()
        self._phase = Phase.LINGERING
        self._transport.write(self._context.encoder.encode(response, None, close=True))
        self._context.deadlines.set(self, LINGER_SECONDS)

    def _linger(self, data: bytes) -> None:
        self._lingered_bytes += len(data)
        if self._lingered_bytes > LINGER_BYTES:
            self._transport.abort()
        elif self._head_bytes + self._unseen_bytes <= MAX_HEAD_BYTES:
            # The parser still knows where the refused request ends.
            self._parse(data)

    def _close(self) -> None:
        """Close behind what is written; a client that does not read it is cut in the end."""
        self._phase = Phase.DONE
        self._context.deadlines.set(self, CLOSE_TIMEOUT_SECONDS)
        self._transport.close()

    def _release(self) -> None:
        """This object is no longer the transport's protocol."""
        self._phase = Phase.DONE
        self._requests.clear()
        self._upgrade = None
        # The parser refers to this object: without the circle both are freed at once.
        del self._parser
        self._context.deadlines.cancel(self)
        self._context.connections.discard(self)


_HOP_BY_HOP: Final = frozenset(
    (b"connection", b"keep-alive", b"content-length", b"transfer-encoding", b"expect", b"upgrade")
)


def _head(request: Request, version: bytes, left_out: frozenset[bytes]) -> bytes:
    """Return the head of ``request`` without these headers, and without its empty line."""
    lines = [b"%s %s HTTP/%s\r\n" % (request.method.encode("latin-1"), request.target, version)]
    lines += [
        b"%s: %s\r\n" % (name, value)
        for name, value in request.headers
        if name.lower() not in left_out
    ]
    return b"".join(lines)


def _origin_form(target: bytes) -> bytes:
    """Return the target without scheme and host, which any client may send (RFC 9112, 3.2.2)."""
    if target.startswith(b"/") or b"://" not in target:
        return target
    path, mark, query = target.partition(b"://")[2].partition(b"?")
    return b"/" + path.partition(b"/")[2] + mark + query


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
