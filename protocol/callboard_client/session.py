"""One WebSocket connection to a service, from the TCP connect to its end.

A session pings and answers pings by itself and hands over everything else. However it ends,
:class:`Ended` carries the code, the reason and what the protocol advises.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from callboard_client.errors import NotConnected
from callboard_client.events import (
    PING,
    PONG,
    BadFrame,
    Event,
    ServerError,
    decode,
    established,
    server_error,
)
from callboard_client.keepalive import Due, Keepalive
from callboard_client.timings import Timings
from callboard_protocol.refusals import RetryAdvice, retry_advice

#: The code for an end without a close frame (RFC 6455, 7.1.5).
NO_CLOSE_FRAME: Final = 1006


class Ended(Exception):
    """A connection, or the attempt at one, is over."""

    def __init__(self, code: int, reason: str, advice: RetryAdvice | None = None) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason
        self.advice = retry_advice(code) if advice is None else advice

    def __str__(self) -> str:
        return f"{self.code} {self.reason}".strip()


class Session:
    """An established connection; :func:`open_session` makes it."""

    def __init__(
        self, websocket: ClientConnection, socket_id: str, activity_seconds: float, pong: float
    ) -> None:
        self._websocket = websocket
        self.socket_id = socket_id
        self._loop = asyncio.get_running_loop()
        self.opened_at = self._loop.time()
        self._pong_seconds = pong
        self._keepalive = Keepalive(activity_seconds, pong, self.opened_at)
        self._silent = False
        self._last_error = ServerError(None, "")

    async def attend(self, received: Callable[[Event], None]) -> Ended:
        """Hand over all that the service says, in order, and return how it ended.

        A frame that cannot be understood is handed over as a ``pusher:error``.
        """
        watch = asyncio.create_task(self._watch())
        receive, heard, now = self._websocket.recv, self._keepalive.heard, self._loop.time
        try:
            while True:
                text = await receive(decode=False)
                heard(now())
                event = _decode(text)
                if event.event == "pusher:ping":
                    await self._websocket.send(PONG, text=True)
                elif event.event != "pusher:pong":
                    received(event)
        except ConnectionClosed as closed:
            return self._ended(closed)
        except BaseException:
            # Nobody attends any more.
            self._websocket.transport.abort()
            raise
        finally:
            watch.cancel()

    async def send(self, frame: bytes) -> None:
        """Send one text frame; waits while the connection's write buffer is full.

        Raises:
            NotConnected: the connection is gone.
        """
        try:
            await self._websocket.send(frame, text=True)
        except ConnectionClosed:
            raise NotConnected("the connection was lost: nothing was sent") from None

    async def close(self) -> None:
        """Close with 1000, and cut if the service does not answer in time."""
        await self._websocket.close()

    def fileno(self) -> int | None:
        """Return the socket's descriptor, None once it is closed."""
        sock = self._websocket.transport.get_extra_info("socket")
        fd = -1 if sock is None else sock.fileno()
        return fd if fd >= 0 else None

    def refused(self, error: ServerError) -> None:
        """Keep what the service said, for a close frame that comes without a reason."""
        self._last_error = error

    async def _watch(self) -> None:
        """Ask for signs of life, and cut the connection if there is none."""
        while True:
            await asyncio.sleep(self._keepalive.wait(self._loop.time()))
            due = self._keepalive.due(self._loop.time())
            if due is Due.PING:
                try:
                    # A peer that does not read either would hold up the sending for ever.
                    async with asyncio.timeout(self._pong_seconds):
                        await self._websocket.send(PING, text=True)
                except TimeoutError:
                    pass
                except ConnectionClosed:
                    return
            elif due is Due.CUT:
                self._silent = True
                self._websocket.transport.abort()
                return

    def _ended(self, closed: ConnectionClosed) -> Ended:
        if self._silent:
            return Ended(NO_CLOSE_FRAME, "no answer to a ping", RetryAdvice.AT_ONCE)
        return ended(closed, self._last_error)


def _decode(text: bytes) -> Event:
    try:
        return decode(text)
    except BadFrame as error:
        return Event("pusher:error", "", f"the service sent a bad frame: {error}")


def ended(closed: ConnectionClosed, said: ServerError) -> Ended:
    """Read how a WebSocket ended; ``said`` is the last ``pusher:error`` before it."""
    frame = closed.rcvd
    if frame is None:
        # Our own refusal, of a frame over the limit or one that breaks RFC 6455.
        sent = closed.sent
        reason = f"cut by the client: {sent}" if sent else "the connection was cut"
        return Ended(NO_CLOSE_FRAME, reason)
    said_so = said.message if said.code == frame.code else ""
    return Ended(frame.code, frame.reason or said_so)


async def open_session(
    uri: str, tls: ssl.SSLContext | None, timings: Timings, max_message_bytes: int
) -> Session:
    """Connect and wait for ``pusher:connection_established``.

    Raises:
        Ended: the attempt failed.
    """
    try:
        async with asyncio.timeout(timings.open_seconds):
            websocket = await connect(
                uri,
                ssl=tls,
                compression=None,
                proxy=None,
                open_timeout=None,
                # The protocol has its own pings, which every service answers.
                ping_interval=None,
                close_timeout=timings.close_seconds,
                max_size=max_message_bytes,
            )
            try:
                return await _establish(websocket, timings)
            except BaseException:
                websocket.transport.abort()
                raise
    except TimeoutError:
        reason = f"not established within {timings.open_seconds:g} s"
        raise Ended(NO_CLOSE_FRAME, reason) from None
    except (OSError, WebSocketException) as error:
        raise Ended(NO_CLOSE_FRAME, str(error) or type(error).__name__) from error


async def _establish(websocket: ClientConnection, timings: Timings) -> Session:
    """Read the first frame: the connection's id, or a refusal."""
    try:
        event = decode(await websocket.recv(decode=False))
        if event.event == "pusher:error":
            error = server_error(event)
            # A close frame should follow, but not every service sends one.
            await websocket.close()
            code = error.code or websocket.close_code or NO_CLOSE_FRAME
            raise Ended(code, error.message)
        if event.event != "pusher:connection_established":
            raise BadFrame(f"expected pusher:connection_established first, got {event.event[:80]}")
        first = established(event)
    except ConnectionClosed as closed:
        raise ended(closed, ServerError(None, "")) from None
    except BadFrame as error:
        raise Ended(NO_CLOSE_FRAME, str(error)) from None
    theirs = first.activity_timeout_seconds
    ours = timings.activity_seconds
    activity_seconds = ours if theirs is None else min(ours, theirs)
    return Session(websocket, first.socket_id, activity_seconds, timings.pong_seconds)
