"""A Pusher client that comes by HTTP: one connection of the hub, many requests.

What the client is sent goes into the response of its *receive*: a stream, or a poll that ends
with the first lines written. The rules:

1. There is one receive at a time. A second one takes the place of the first, which is told so:
   were it merely sent away, two clients with one session would take it from each other for ever.
2. Without a receive the connection is paused, like a WebSocket whose kernel takes no more: lines
   wait in its outbox, bounded by ``max_outbox_bytes``, and the next receive begins with them.
3. A response ends with the line by which it is full (:mod:`lines`), and the next receive goes on
   behind it. pusher-js reads the text of an ended response before it minds its end, so it finds
   it full and posts again. Left open, its last line could stay in a proxy that buffers, and the
   client would wait for it until that proxy gives up.
4. Lines that were written to a response before its end was seen are gone with it. The protocol
   has no acknowledgement, so nobody can know whether the client has read them.
5. A session that nobody asks for is over after ``fallback_session_timeout_seconds``.
6. Any request of the client is a sign of life. A heartbeat asks for one: a poll's client posts
   the next poll, a stream's posts an empty list of messages. Such a list is also how the client
   asks for a sign of ours, and then it is answered by a heartbeat. Which of the two it is, is
   known by whether a heartbeat is still to be answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from callboard_server.connection import Connection
from callboard_server.fallback import lines
from callboard_server.front.exchange import Exchange
from callboard_server.front.request import ANY_ORIGIN, Response, text
from callboard_server.handlers import receive
from callboard_server.hub import Hub
from callboard_server.settings import AppSettings, Settings

#: An idle receive is given a heartbeat after so long: less than the 30 s that pusher-js waits for
#: a sign of life, and than the minute after which proxies take a silent response for dead.
HEARTBEAT_SECONDS: Final = 25.0
CONTENT_TYPE: Final = "application/javascript; charset=UTF-8"
#: Nobody may keep, change, hold back or interpret what only this client is to read now.
HEADERS: Final = (
    ANY_ORIGIN,
    "Cache-Control: no-store, no-transform",
    "X-Accel-Buffering: no",
    "X-Content-Type-Options: nosniff",
)

#: After so many messages of one request the others get a turn.
_MESSAGES_PER_TURN: Final = 256
#: The code by which SockJS tells a receive that another one has taken its place.
_REPLACED: Final = lines.close(2010, "Another connection still open")


def one_piece(data: bytes) -> Response:
    """Return lines as a response of their own."""
    return Response(200, data, CONTENT_TYPE, HEADERS)


class Session:
    """One client from the moment its app has admitted it.

    Implements :class:`~callboard_server.connection.Outlet` and
    :class:`~callboard_server.front.exchange.Source`.
    """

    __slots__ = (
        "_closing",
        "_connection",
        "_echo_due",
        "_exchange",
        "_forget",
        "_hub",
        "_order",
        "_settings",
        "_streaming",
        "_unattended",
        "_units",
        "due",
    )

    def __init__(
        self,
        hub: Hub,
        app: AppSettings,
        settings: Settings,
        unattended: set[Session],
        forget: Callable[[], object],
    ) -> None:
        """The session keeps itself in ``unattended`` while it has no receive.

        ``forget`` is called once, when it can no longer be asked for.
        """
        self._hub = hub
        self._settings = settings
        self._unattended = unattended
        self._forget: Callable[[], object] | None = forget
        self._exchange: Exchange | None = None
        self._streaming = False
        #: How much the current response holds, in UTF-16 code units.
        self._units = 0
        #: Whether the line that ends the session has been given out.
        self._closing = False
        #: Whether a heartbeat was sent that the client answers.
        self._echo_due = False
        #: Messages are carried out one after the other, in whatever requests they come.
        self._order = asyncio.Lock()
        self.due: int | None = None
        self._connection: Connection | None = Connection(
            hub, app, settings, self, lines.message, lines.OPEN
        )
        self._await_receive()

    @property
    def socket_id(self) -> str:
        """The connection's; empty when it is over."""
        return self._connection.socket_id if self._connection is not None else ""

    # Requests

    def attend(self, exchange: Exchange, *, streaming: bool) -> None:
        """Write to this receive from now on."""
        connection = self._connection
        if connection is None or self._forget is None:
            exchange.respond(text(404, "Session ended before it was asked for", ANY_ORIGIN))
            return
        connection.hear()
        self._replace()
        self._exchange, self._streaming, self._units = exchange, streaming, 0
        self._echo_due = False
        self._unattended.discard(self)
        self._hub.deadlines.set(self, HEARTBEAT_SECONDS)
        if streaming:
            exchange.stream(CONTENT_TYPE, *HEADERS)
        # Not before: over TLS the head may be said to be taken while it is being written.
        exchange.source = self
        if exchange.paused:
            self.pause()
        else:
            self.resume()

    def _replace(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        exchange.source = None
        if not self._streaming:
            exchange.respond(one_piece(_REPLACED))
            return
        exchange.write(_REPLACED)
        exchange.end()

    async def take(self, messages: Sequence[str]) -> bool:
        """Carry messages of the client out; False if nobody is there any more to send them."""
        connection = self._connection
        if connection is None or not connection.live:
            return False
        connection.hear()
        if not messages:
            self._answer_heartbeat(connection)
        async with self._order:
            if not connection.live:
                return False
            for place, message in enumerate(messages, start=1):
                if not connection.live:
                    break
                if len(message.encode()) > self._settings.max_message_bytes:
                    connection.fail(1009, "message too big")
                    break
                task = receive(connection, message)
                if task is not None:
                    await asyncio.wait([task])
                elif place % _MESSAGES_PER_TURN == 0:
                    await asyncio.sleep(0)
        return True

    def _answer_heartbeat(self, connection: Connection) -> None:
        if self._echo_due:
            self._echo_due = False
        elif not connection.paused:
            connection.send_wire(self.ping())

    # Outlet

    def writer(self) -> Callable[[bytes], object]:
        return self._write

    def buffered(self) -> int:
        return self._exchange.buffered() if self._exchange is not None else 0

    def ping(self) -> bytes:
        self._echo_due = self._streaming
        return lines.HEARTBEAT

    def close(self, code: int, reason: str) -> bytes:
        self._closing = True
        return lines.close(code, reason)

    def abort(self) -> None:
        self._retire()
        if self._exchange is not None:
            self._exchange.abort()
        else:
            self._end()

    # Source

    def pause(self) -> None:
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        # Over TLS the beginning of a stream may have been taken, and the stream filled, by now.
        if self._exchange is not None and self._connection is not None:
            self._connection.resume()

    def over(self, exchange: Exchange) -> None:
        self._exchange = None
        if self._forget is None:
            self._end()
        else:
            self._await_receive()

    # Writing

    def _write(self, data: bytes) -> None:
        """Send lines; only while there is a receive that is not stalled."""
        exchange, connection = self._exchange, self._connection
        if exchange is None or connection is None:
            return
        end = lines.cut(data, lines.MAX_RESPONSE_UNITS - self._units)
        data, rest = data[:end], data[end:]
        self._units += lines.units(data)
        last = self._closing and not rest
        full = not self._streaming or self._units > lines.MAX_RESPONSE_UNITS
        if last:
            self._retire()
        elif full:
            self._exchange = exchange.source = None
            self._await_receive()
        if rest:
            # Before the write, which may find the client too slow and put its close behind.
            connection.hold(rest)
        if not self._streaming:
            exchange.respond(one_piece(data))
            return
        exchange.write(data)
        if last or full:
            exchange.end()

    def overdue(self) -> None:
        """Nobody has asked for the session, or whoever did has heard nothing for a while."""
        if self._exchange is None:
            self._end()
            return
        self._hub.deadlines.set(self, HEARTBEAT_SECONDS)
        if self._connection is not None and not self._connection.paused:
            self._connection.send_wire(self.ping())

    # Ending

    def _await_receive(self) -> None:
        self._unattended.add(self)
        self._hub.deadlines.set(self, self._settings.fallback_session_timeout_seconds)
        self.pause()

    def _retire(self) -> None:
        """From now on the session's name is free for another."""
        self._unattended.discard(self)
        forget, self._forget = self._forget, None
        if forget is not None:
            forget()

    def _end(self) -> None:
        self._retire()
        self._hub.deadlines.cancel(self)
        self._hub.transient.discard(self)
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.lost()
