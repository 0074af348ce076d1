"""A client of any Pusher-compatible service: connects, stays connected, and subscribes.

How it behaves when the connection ends is pusher-js's behaviour:

1. A close code says what to do (:func:`callboard_protocol.refusals.retry_advice`): never again,
   after a pause that grows (:mod:`backoff`), or at once. An end without a close frame is a pause.
2. After each reconnect all channels are subscribed again, signed for the new socket id. Events
   published in between are missed; callbacks hear ``pusher:subscription_succeeded`` again.
3. Silence is asked about and then cut (:mod:`keepalive`).
4. Only a refusal for good ends the client by itself; whoever waits gets :class:`ConnectionFailed`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

from callboard_client.authorizers import Authorizer
from callboard_client.backoff import Backoff
from callboard_client.callbacks import call
from callboard_client.channel import Channel
from callboard_client.errors import ClientClosed, ClientError, ConnectionFailed
from callboard_client.events import Event, ServerError, server_error
from callboard_client.registry import Registry
from callboard_client.session import NO_CLOSE_FRAME, Ended, Session, open_session
from callboard_client.states import Input, State, step
from callboard_client.timings import Timings
from callboard_protocol import __version__
from callboard_protocol.refusals import RetryAdvice

PROTOCOL_VERSION: Final = 7

_jitter = secrets.SystemRandom().random
_logger = logging.getLogger("callboard_client")


class Client:
    """One connection to one app of a service, kept up from ``async with`` or ``start()`` on.

    ``key`` is the app's public key. ``tls`` is True or an ``ssl.SSLContext`` of your own. ``path``
    is a prefix before ``/app/KEY``. ``authorizer`` signs for private and presence channels.
    ``max_queued_events`` bounds what a channel keeps unread (:mod:`callboard_client.inbox`).
    ``on_state`` is called with each new :class:`State`, ``on_error`` with each ``pusher:error``
    that no waiting call gets; both on the loop, so they must not block. ``jitter`` returns a
    number from 0 to 1.
    """

    def __init__(
        self,
        key: str,
        host: str = "127.0.0.1",
        port: int = 6001,
        *,
        tls: bool | ssl.SSLContext = False,
        path: str = "",
        authorizer: Authorizer | None = None,
        timings: Timings | None = None,
        max_message_bytes: int = 1 << 20,
        max_queued_events: int = 1000,
        on_state: Callable[[State], object] | None = None,
        on_error: Callable[[ServerError], object] | None = None,
        jitter: Callable[[], float] = _jitter,
    ) -> None:
        self._uri = _uri(key, host, port, path, secure=bool(tls))
        self._tls = ssl.create_default_context() if tls is True else tls or None
        self._timings = timings or Timings()
        self._max_message_bytes = max_message_bytes
        self._on_state = on_state
        self._on_error = on_error
        self._registry = Registry(authorizer, max_queued_events)
        self._backoff = Backoff(
            self._timings.first_retry_seconds, self._timings.max_retry_seconds, jitter
        )
        self._state = State.INITIALIZED
        self._session: Session | None = None
        self._end: ClientError | None = None
        self._last_end: Ended | None = None
        # Set while connected, and at the end.
        self._settled = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None
        self._overdue: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Client {self._address} {self._state.value}>"

    @property
    def _address(self) -> str:
        """Where it connects, for people."""
        return self._uri.partition("?")[0]

    @property
    def state(self) -> State:
        return self._state

    @property
    def socket_id(self) -> str | None:
        """The connection's id while connected: an API trigger with it leaves this client out."""
        return None if self._session is None else self._session.socket_id

    def fileno(self) -> int | None:
        """Return the descriptor of the connection's socket while connected.

        For programs that fork: a child that keeps it open hides the end of this process.
        """
        return None if self._session is None else self._session.fileno()

    # From start to end

    def start(self) -> None:
        """Begin to connect; does nothing if that has begun."""
        if self._state is State.INITIALIZED:
            self._step(Input.OPENED)
            self._expect_connection()
            self._runner = asyncio.create_task(self._run())

    async def connected(self, timeout: float | None = None) -> str:
        """Return the socket id once connected; wait for it up to ``timeout`` seconds.

        Raises:
            TimeoutError: not connected in time; the text has what went wrong last.
            ConnectionFailed: the service refused for good.
            ClientClosed: ``close()`` was called.
        """
        try:
            async with asyncio.timeout(timeout):
                while (socket_id := self.socket_id) is None:
                    if self._end is not None:
                        raise self._end.with_traceback(None)
                    await self._settled.wait()
        except TimeoutError:
            last = f": {self._last_end}" if self._last_end else ""
            raise TimeoutError(
                f"not connected to {self._address} after {timeout:g} s{last}"
            ) from None
        return socket_id

    async def close(self) -> None:
        """Close the connection and end all waiting; does nothing the second time."""
        session, runner = self._session, self._runner
        self._finish(Input.CLOSED, ClientClosed())
        try:
            if session is not None:
                await session.close()
        finally:
            if runner is not None:
                runner.cancel()
                await asyncio.wait((runner,))

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # Channels

    def channel(self, name: str, *, max_queued_events: int | None = None) -> Channel:
        """Return a channel's object without subscribing, to bind callbacks before its first event.

        ``max_queued_events`` counts on first use; 0 keeps nothing for reading.
        """
        return self._registry.channel(name, max_queued_events)

    async def subscribe(self, name: str) -> Channel:
        """Subscribe and return the channel once the service has confirmed it.

        Waits through reconnects, and gives the subscription up when cancelled (a timeout).

        Raises:
            SubscriptionError: the service or the authorizer refused; its text is in ``message``.
            ConnectionFailed: the service refused the connection for good.
            ClientClosed: ``close()`` was called.
        """
        return await self._registry.subscribe(name)

    async def unsubscribe(self, name: str) -> None:
        """Leave a channel; its readers end behind what is unread. Unknown names are ignored."""
        self._registry.unsubscribe(name)

    # The connection

    async def _run(self) -> None:
        try:
            while self._end is None:
                await self._connect_once()
        except Exception as error:
            # A mistake of ours: whoever waits must not wait for ever.
            self._finish(Input.REFUSED, ConnectionFailed(NO_CLOSE_FRAME, repr(error)))
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"{self!r} ended unexpectedly", "exception": error}
            )

    async def _connect_once(self) -> None:
        """One connection from the attempt to its end, and the pause behind it."""
        held_seconds = 0.0
        try:
            session = await open_session(
                self._uri, self._tls, self._timings, self._max_message_bytes
            )
        except Ended as failed:
            ended = failed
        else:
            self._established(session)
            ended = await session.attend(self._received)
            held_seconds = asyncio.get_running_loop().time() - session.opened_at
        self._lost(ended)
        if self._end is None:
            await asyncio.sleep(self._backoff.delay(ended.advice, held_seconds))

    def _established(self, session: Session) -> None:
        _logger.info("connected to %s as %s", self._address, session.socket_id)
        self._session = session
        if self._overdue is not None:
            self._overdue.cancel()
        self._registry.connected(session)
        self._settled.set()
        self._step(Input.ESTABLISHED)

    def _lost(self, ended: Ended) -> None:
        if self._end is not None:
            return
        self._last_end = ended
        was_connected, self._session = self._session is not None, None
        what = "lost the connection to" if was_connected else "no connection to"
        _logger.info("%s %s: %s", what, self._address, ended)
        if ended.advice is RetryAdvice.NEVER:
            self._finish(Input.REFUSED, ConnectionFailed(ended.code, ended.reason))
            return
        self._settled.clear()
        self._registry.lost()
        self._step(Input.LOST)
        if was_connected:
            self._expect_connection()

    def _finish(self, given: Input, reason: ClientError) -> None:
        if self._end is not None:
            return
        self._end = reason
        self._session = None
        if self._overdue is not None:
            self._overdue.cancel()
        self._registry.finish(reason)
        self._settled.set()
        self._step(given)

    def _received(self, event: Event) -> None:
        if event.channel and event.event != "pusher:error":
            self._registry.received(event)
        elif event.event == "pusher:error":
            self._refused(server_error(event))

    def _refused(self, error: ServerError) -> None:
        if self._session is not None:
            self._session.refused(error)
        if self._registry.refused(error):
            return
        _logger.warning("%s says: %s (code %s)", self._address, error.message, error.code)
        if self._on_error is not None:
            call(self._on_error, error, "on_error")

    def _expect_connection(self) -> None:
        loop = asyncio.get_running_loop()
        self._overdue = loop.call_later(
            self._timings.unavailable_seconds, self._step, Input.OVERDUE
        )

    def _step(self, given: Input) -> None:
        before, self._state = self._state, step(self._state, given)
        if self._state is not before and self._on_state is not None:
            call(self._on_state, self._state, "on_state")


def _uri(key: str, host: str, port: int, path: str, *, secure: bool) -> str:
    if not key:
        raise ValueError("a client needs the key of an app")
    if not host:
        raise ValueError("a client needs a host")
    if path and not path.startswith("/"):
        raise ValueError(f"path must start with '/', got {path!r}")
    try:
        host.encode("idna")
    except UnicodeError as error:
        raise ValueError(f"host must be a name or an address, got {host!r}: {error}") from None
    # A bare IPv6 address.
    shown = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return (
        f"{'wss' if secure else 'ws'}://{shown}:{port}{path.rstrip('/')}/app/{quote(key, safe='')}"
        f"?protocol={PROTOCOL_VERSION}&client=callboard&version={__version__}"
    )
