"""One client of the front: requests in, in order; responses, a WebSocket or a hand-over out.

A response is made at once, by a task, or by somebody who takes the request as an exchange
(:mod:`exchange`) and may write for hours.

Bounds: a request's head in bytes and time, its body in bytes and time, an idle kept-alive
connection in time, and one request at a time: what is pipelined behind it waits unread in the
kernel, but for a read or two behind a long answer. A request that is refused before its body has
arrived is answered at once, and what is still coming is read and thrown away for a moment, so that
the client sees the answer and not a connection reset.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from functools import partial
from typing import Final, cast

import msgspec

from callboard_server.client_info import ClientInfo
from callboard_server.connection import CLOSE_TIMEOUT_SECONDS
from callboard_server.front.context import FrontContext
from callboard_server.front.exchange import Attend, Exchange
from callboard_server.front.reader import RequestReader
from callboard_server.front.request import (
    ANY_ORIGIN,
    Request,
    Response,
    head_bytes,
    json_error,
    text,
)
from callboard_server.handshake import handshake
from callboard_server.stepping import step
from callboard_server.websocket import WebSocket

logger = logging.getLogger("callboard.server")

HEAD_SECONDS: Final = 10.0
BODY_SECONDS: Final = 30.0
#: How long a client with more requests on their way may leave its answers unread.
READ_SECONDS: Final = 30.0
KEEP_ALIVE_SECONDS: Final = 75.0
#: How long, and how much, of a refused request is read to let the client see the refusal.
LINGER_SECONDS: Final = 2.0
LINGER_BYTES: Final = 64 * 1024 * 1024
#: How much is read ahead while a long answer is written.
MAX_BEHIND_BYTES: Final = 16 * 1024
#: After so many pipelined requests of one client the others get a turn.
_REQUESTS_PER_TURN: Final = 32


class Phase(enum.Enum):
    """What is being waited for."""

    IDLE = "a request"
    READING = "the rest of a request"
    ANSWERING = "our answer"
    EXCHANGING = "whoever writes a long answer, or the client's end"
    LINGERING = "the end of a refused request"
    DONE = "nothing: the transport is closed or has a new protocol"


# Asking an enumeration for a member costs seven times what a name of the module does.
_IDLE: Final = Phase.IDLE
_READING: Final = Phase.READING
_ANSWERING: Final = Phase.ANSWERING
_EXCHANGING: Final = Phase.EXCHANGING
_LINGERING: Final = Phase.LINGERING
_DONE: Final = Phase.DONE


class HTTPConnection(asyncio.Protocol):
    """An HTTP/1 connection until it ends or becomes something else."""

    __slots__ = (
        "_answer",
        "_behind_bytes",
        "_context",
        "_eof",
        "_exchange",
        "_idle_since",
        "_lingered_bytes",
        "_phase",
        "_reader",
        "_time_limit",
        "_transport",
        "_write_paused",
        "due",
    )

    _transport: asyncio.Transport

    def __init__(self, context: FrontContext) -> None:
        self._context = context
        self._reader = RequestReader(
            context.settings.max_request_body_bytes,
            context.max_page_body_bytes,
            context.known_heads,
        )
        # A new connection owes a request, a kept-alive one need not send another.
        self._phase = _READING
        self._time_limit: float | None = HEAD_SECONDS
        self._eof = False
        #: The handler's task while it has to wait.
        self._answer: asyncio.Task[Response | Attend] | None = None
        #: The long answer that is being written, or is leaving before the end.
        self._exchange: Exchange | None = None
        self._write_paused = False
        #: How much was read since nothing waited behind a long answer.
        self._behind_bytes = 0
        self._lingered_bytes = 0
        self._idle_since = context.deadlines.tick
        self.due: int | None = None

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._context.connections.add(self)
        self._context.deadlines.set(self, HEAD_SECONDS)

    def data_received(self, data: bytes) -> None:
        phase = self._phase
        if phase is _LINGERING:
            self._linger(data)
            return
        if phase is _DONE:
            return
        if phase is _IDLE:
            self._phase = _READING
        self._reader.feed(data)
        self._behind_bytes += len(data)
        if self._phase is _READING:
            self._next()
        elif phase is _EXCHANGING and self._behind_bytes > MAX_BEHIND_BYTES:
            # It waits. So does the rest in the kernel, and the client's end behind it.
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Keep a half-closed connection open while an answer is due, and no longer.

        Whoever gives a long answer up says no more than this.
        """
        self._eof = True
        if self._phase is _EXCHANGING:
            self._give_up_exchange()
            return False
        if self._transport.get_extra_info("sslcontext") is not None:
            return False  # there is no half-closed TLS in asyncio
        return self._phase is _ANSWERING or bool(self._reader.requests)

    def pause_writing(self) -> None:
        """A client that does not read is not read either."""
        self._write_paused = True
        if self._exchange is not None:
            self._exchange.pause()
        else:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._exchange is not None:
            self._exchange.resume()
        else:
            self._time_limit = None
            self._resume()

    def connection_lost(self, error: Exception | None) -> None:
        self._release()

    # Requests, one at a time

    def _next(self) -> None:
        """Answer requests until one must wait, the client must read, or none is left."""
        requests = self._reader.requests
        requests_left = _REQUESTS_PER_TURN
        while requests and self._phase is _READING and not self._write_paused:
            if not requests_left:
                self._transport.pause_reading()
                asyncio.get_running_loop().call_soon(self._resume)
                return
            requests_left -= 1
            request = requests.popleft()
            self._unwrap(request)
            if request.target.startswith((b"/apps/", b"/users/")):
                handle = self._context.handle
            elif request.target.startswith(self._context.fallback_paths):
                handle = self._context.fallback
            elif request.target.startswith(self._context.extensions.paths):
                handle = self._context.extensions.handle
            else:
                self._hand_over(request)
                return
            self._phase = _ANSWERING
            try:
                answer = step(handle(request))
            except Exception:
                logger.exception("a request failed")
                answer = self._for_page(request, _FAILED)
            if isinstance(answer, Response):
                self._respond(request, answer)
            elif isinstance(answer, asyncio.Task):
                self._answer = answer
                self._transport.pause_reading()
                answer.add_done_callback(partial(self._answered, request))
                return
            else:
                self._begin_exchange(request, answer)
        if self._phase is not _READING:
            return
        if self._write_paused:
            self._context.deadlines.set(self, READ_SECONDS)
        elif self._reader.upgrade is not None:
            self._become_websocket(*self._reader.upgrade)
        else:
            self._await_rest()

    def _await_rest(self) -> None:
        """Let what has begun have its time once, in however many pieces it comes."""
        reader = self._reader
        if reader.refusal is None:
            encouragement = reader.check_rest()
            if encouragement:
                self._transport.write(encouragement)
        if reader.refusal is not None:
            self._refuse(*reader.refusal)
            return
        limit = BODY_SECONDS if reader.head_complete else HEAD_SECONDS
        if self._time_limit != limit:
            self._time_limit = limit
            self._context.deadlines.set(self, limit)

    def _resume(self) -> None:
        if self._phase in (_DONE, _ANSWERING, _EXCHANGING):
            return
        if not self._write_paused:
            self._transport.resume_reading()
            if self._phase is _READING:
                self._next()
        elif self._phase is _READING:
            self._context.deadlines.set(self, READ_SECONDS)

    def _answered(self, request: Request, task: asyncio.Task[Response | Attend]) -> None:
        self._answer = None
        if self._phase is not _ANSWERING:
            return
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None:
            logger.error("a request failed", exc_info=error)
            self._respond(request, self._for_page(request, _FAILED))
        else:
            answer = task.result()
            if isinstance(answer, Response):
                self._respond(request, answer)
            else:
                self._begin_exchange(request, answer)
        self._resume()

    def _respond(self, request: Request, response: Response) -> None:
        close = self.closes_behind(request)
        if response.status >= 400:
            self._note_refusal(request, response)
        self._transport.write(self._context.encoder.encode(response, request, close=close))
        self._go_on(close=close)

    def _go_on(self, *, close: bool) -> None:
        """What comes behind an answer."""
        self._time_limit = None
        if close:
            self._close()
        elif self._behind or self._reader.begun:
            self._phase = _READING
        else:
            self._phase = _IDLE
            self._idle_since = self._context.deadlines.tick
            if self.due is None:
                self._context.deadlines.set(self, KEEP_ALIVE_SECONDS)

    @property
    def _behind(self) -> bool:
        """Whether something that has been read waits for the answer to end."""
        reader = self._reader
        return bool(reader.requests or reader.upgrade or reader.refusal)

    # Long answers

    def _begin_exchange(self, request: Request, attend: Attend) -> None:
        self._phase = _EXCHANGING
        if self._eof:
            self._close()
            return
        # Until it is answered, its end is the source's to bring about.
        self._context.connections.discard(self)
        # Without its headers, which would be kept for as long as the answer takes.
        slim = Request(request.method, request.target, request.version, [])
        slim.keep_alive = request.keep_alive
        self._exchange = Exchange(
            self, self._transport, self._context.encoder, slim, paused=self._write_paused
        )
        if not self._behind:
            self._behind_bytes = 0
        # What is left of before counts: else each poll would let a client pile up more.
        if self._behind_bytes > MAX_BEHIND_BYTES:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
        attend(self._exchange)

    def closes_behind(self, request: Request) -> bool:
        """Whether the connection ends with the answer to ``request``."""
        return self._context.closing or not request.keep_alive or (self._eof and not self._behind)

    def answered(self, exchange: Exchange, response: Response | None) -> None:
        """A long answer is complete, either written already or this ``response``."""
        self._context.connections.add(self)
        request = exchange.request
        if response is not None:
            self._respond(request, response)
        else:
            self._transport.set_write_buffer_limits()
            self._go_on(close=request.version == "1.0" or self.closes_behind(request))
        if self._phase is _DONE:
            return  # it is over when all of it has left
        self._exchange = None
        if self._write_paused:
            self._transport.pause_reading()
        asyncio.get_running_loop().call_soon(self._resume)
        exchange.over()

    def _give_up_exchange(self) -> None:
        """The client has gone, and what is written from now on would be lost."""
        exchange, self._exchange = self._exchange, None
        self._context.connections.add(self)
        self._close()
        if exchange is not None:
            exchange.over()

    @property
    def has_more(self) -> bool:
        """Whether requests that have been read wait for nothing but their turn."""
        return self._phase is _READING and not self._write_paused and bool(self._reader.requests)

    # Something else

    def _hand_over(self, request: Request) -> None:
        """Give the request and the transport to aiohttp; a page's connection ends with it."""
        head = head_bytes(request, b"1.1", _HOP_BY_HOP)
        # Health checks of HTTP/1.0 name no host.
        host = b"" if request.header(b"host") is not None else b"Host: localhost\r\n"
        length = b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(request.body)
        transport = self._transport
        self._release()
        # aiohttp would take the end of a half-closed client's stream for the end of the client.
        transport.pause_reading()
        self._context.hand_over(transport, head + host + length + request.body)

    def _unwrap(self, request: Request) -> None:
        """Take off the path prefix, and note where to look for who the client is."""
        context = self._context
        request.client = ClientInfo(self._transport, request.headers, context.proxies)
        if context.path_prefix:
            request.target = context.without_prefix(request.target)

    def _become_websocket(self, request: Request, behind: bytes) -> None:
        self._unwrap(request)
        accepted, response = handshake(request.target, request.headers)
        context, transport = self._context, self._transport
        if context.interference is not None:
            refusal = context.interference.to_upgrade(request)
            if refusal is not None:
                self._give_up(request, refusal)
                return
        if not accepted:
            self._note_refusal(request, _parsed(response))
            transport.write(response)
            self._close()
            return
        if context.closing:
            self._give_up(request, text(503, "Server is ending"))
            return
        self._release()
        websocket = WebSocket(transport, context.hub, context.apps, context.settings)
        transport.set_protocol(websocket)
        websocket.begin(request.target, response, behind, request.client)

    # The end

    def finish(self) -> None:
        """The server ends: close now if nothing was asked, else behind the answer."""
        asked = bool(self._reader.requests) or self._reader.begun
        if self._phase is _IDLE or (self._phase is _READING and not asked):
            self._close()

    def abort(self) -> None:
        """The server has waited long enough."""
        self._phase = _DONE
        if self._answer is not None:
            self._answer.cancel()
        self._transport.abort()

    def overdue(self) -> None:
        """What was waited for did not come."""
        deadlines = self._context.deadlines
        if self._phase is _IDLE:
            idle_for = deadlines.seconds_since(self._idle_since)
            if idle_for < KEEP_ALIVE_SECONDS:
                deadlines.set(self, KEEP_ALIVE_SECONDS - idle_for)
            else:
                self._close()
        elif self._phase is _READING and self._reader.begun and not self._write_paused:
            if not self._reader.requests:
                request = self._reader.unfinished
                self._unwrap(request)
                self._give_up(
                    request, text(408, "Request timeout: the request did not arrive in time")
                )
        elif self._phase not in (_ANSWERING, _EXCHANGING):
            self._transport.abort()

    def _give_up(self, request: Request, response: Response) -> None:
        """Answer, and read nothing more."""
        response = self._for_page(request, response)
        self._note_refusal(request, response)
        self._transport.write(self._context.encoder.encode(response, None, close=True))
        self._close()

    def _refuse(self, request: Request, response: Response) -> None:
        """Answer, and read on for a moment so that the answer arrives before the end."""
        self._unwrap(request)
        response = self._for_page(request, response)
        self._note_refusal(request, response)
        self._phase = _LINGERING
        self._transport.write(self._context.encoder.encode(response, None, close=True))
        if self._reader.arrived:
            self._close()
        else:
            self._context.deadlines.set(self, LINGER_SECONDS)

    def _for_page(self, request: Request, response: Response) -> Response:
        """Return a refusal as the answers there are: for whom to read, and in which form."""
        fallback_paths, extensions = self._context.fallback_paths, self._context.extensions
        if request.target.startswith(extensions.json_paths):
            response = json_error(response)
        if not request.target.startswith((*fallback_paths, *extensions.open_paths)):
            return response
        return msgspec.structs.replace(response, headers=(*response.headers, ANY_ORIGIN))

    def _note_refusal(self, request: Request, response: Response) -> None:
        if request.target.startswith(self._context.extensions.own_paths):
            return
        # The query holds the signature.
        path = request.target.partition(b"?")[0][:200].decode("latin-1")
        self._context.hub.refusals.note(
            "a request",
            response.body.decode("utf-8", "replace"),
            client=request.client.address,
            path=repr(path) if path else "-",
            status=response.status,
        )

    def _linger(self, data: bytes) -> None:
        self._lingered_bytes += len(data)
        if self._lingered_bytes > LINGER_BYTES:
            self._transport.abort()
            return
        # The parser still knows where the refused request ends.
        self._reader.skip(data)
        if self._reader.arrived:
            self._close()

    def _close(self) -> None:
        """Close behind what is written; a client that does not read it is cut in the end."""
        self._phase = _DONE
        self._context.deadlines.set(self, CLOSE_TIMEOUT_SECONDS)
        self._transport.close()

    def _release(self) -> None:
        """This object is no longer the transport's protocol."""
        self._phase = _DONE
        self._reader.close()
        self._context.deadlines.cancel(self)
        self._context.connections.discard(self)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.over()


def visitor(context: FrontContext) -> asyncio.Protocol:
    """Return the protocol of a socket that speaks HTTP."""
    connection = HTTPConnection(context)
    if context.interference is None:
        return connection
    return context.interference.carrying(connection)


_FAILED: Final = text(500, "Internal server error")
_HOP_BY_HOP: Final = frozenset(
    (b"connection", b"keep-alive", b"content-length", b"transfer-encoding", b"expect", b"upgrade")
)


def _parsed(response: bytes) -> Response:
    """Return what the log must know of a library's response."""
    head, _, body = response.partition(b"\r\n\r\n")
    return Response(int(head.split(b" ", 2)[1]), body)
