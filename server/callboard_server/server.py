"""The whole server: put together, started, and ended in good order.

Starting and ending are plain coroutines without signals, environment or output, so the command
line, a thread of a test suite and our own tests run the same code.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence

import msgspec

from callboard_protocol import refusals
from callboard_protocol.refusals import Refusal
from callboard_server import changes, listeners, tls, unix_socket
from callboard_server.api import Api
from callboard_server.apps import AppRegistry
from callboard_server.backend_rate import BackendRate
from callboard_server.brokers.memory import MemoryBroker
from callboard_server.client_info import TrustedProxies
from callboard_server.clock import Clock, SystemClock
from callboard_server.deadlines import TICK_SECONDS, Deadlines
from callboard_server.extensions import Extension, Facilities
from callboard_server.extensions.hosting import Extensions
from callboard_server.fallback.routes import Fallback
from callboard_server.front.context import FrontContext, Handle
from callboard_server.front.http import visitor
from callboard_server.front.pages import Pages
from callboard_server.front.request import Encoder
from callboard_server.front.tls_handshake import TLSHandshake
from callboard_server.hub import Hub, State, Subscriber
from callboard_server.interference import Interference
from callboard_server.outbox import Flusher
from callboard_server.reservations import Reservations
from callboard_server.roster import Roster
from callboard_server.settings import Settings
from callboard_server.unix_socket import UnixSocket
from callboard_server.webhooks import Timing, Webhooks
from callboard_server.webhooks.posting import HTTPPoster, Poster
from callboard_server.webhooks.targets import Targets
from callboard_server.witness import Witness

logger = logging.getLogger("callboard.server")

#: How long the end waits for requests being answered, and then for clients to go, in seconds.
REQUESTS_SECONDS = 3.0
FAREWELL_SECONDS = 2.0
_BACKLOG = 4096
#: Turns of the loop after which a connection that was made is accepted, read and answered.
_TURNS_TO_HEAR = 3
#: So many turns are waited for clients that have pipelined more requests than one turn answers.
_MAX_TURNS_TO_HEAR = 1024
#: After so many clients of a reload the others get a turn.
_CLIENTS_PER_TURN = 256
#: How much the kernel may hold unsent for one client; the rest is ours to count.
_NOTSENT_LOWAT_BYTES = 128 * 1024


class Server:
    """Serves apps on bound sockets, which it owns from then on.

    On ``tls_sockets`` it speaks TLS; the others may be TCP and Unix sockets. ``start``,
    ``reload`` and ``stop`` run on the loop that serves. After ``start`` the sockets listen;
    after ``stop`` nothing of the server is left on the loop.
    """

    def __init__(
        self,
        settings: Settings,
        sockets: Sequence[socket.socket],
        *,
        tls_sockets: Sequence[socket.socket] = (),
        make_broker: Callable[[Callable[[], float]], State] = MemoryBroker,
        make_poster: Callable[[Targets], Poster] = HTTPPoster,
        webhook_timing: Timing | None = None,
        witness: Witness | None = None,
        clock: Clock | None = None,
        interference: Interference | None = None,
        extensions: Sequence[Extension] = (),
    ) -> None:
        self.settings = settings
        self.apps = AppRegistry(settings.apps)
        self._clock = clock or SystemClock()
        self._plain = list(sockets)
        self._encrypted = list(tls_sockets)
        self._make_broker = make_broker
        self._make_poster = make_poster
        self._webhook_timing = webhook_timing
        self._witness = witness
        self._interference = interference
        self._extensions = Extensions(extensions)
        self._listeners: list[asyncio.Server] = []
        self._tls: tls.TLS | None = None
        self._sweep_handle: asyncio.TimerHandle | None = None
        self._stopped: asyncio.Task[None] | None = None
        self._started = False

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each address listened on without TLS."""
        return [sock.getsockname()[:2] for sock in self._plain if sock.family != socket.AF_UNIX]

    @property
    def tls_addresses(self) -> list[tuple[str, int]]:
        """Host and port of each address listened on for TLS."""
        return [sock.getsockname()[:2] for sock in self._encrypted]

    async def start(self) -> None:
        """Listen.

        Raises:
            callboard_server.listeners.ListenError: a socket cannot listen, or the certificate
                cannot be used.
            Exception: an extension cannot start. In either case nothing is left running.
        """
        self._assemble(asyncio.get_running_loop())
        await self.broker.start(self._listener)
        await self._pages.start()
        self._sweep()
        try:
            await self._extensions.start(self._facilities)
            self._tls = self._load_certificate()
            for sock in self._plain:
                await self._listen(sock)
            for sock in self._encrypted:
                await self._listen(sock, self._tls)
        except BaseException:
            await self.stop(0.0)
            raise
        self._started = True
        logger.info(
            "listening addresses=%s tls_addresses=%s unix_socket=%s apps=%d",
            self.addresses,
            self.tls_addresses,
            self.settings.unix_socket,
            len(self.settings.apps),
        )

    def _assemble(self, loop: asyncio.AbstractEventLoop) -> None:
        """Put the parts together, from the broker up to the front."""
        self._loop = loop
        self.deadlines = Deadlines(loop.time())
        self.broker = self._make_broker(loop.time)
        targets = Targets(
            private=self.settings.webhooks.allow_private_targets,
            loopback=all(map(listeners.is_loopback, [*self._plain, *self._encrypted])),
        )
        poster, witness, clock = self._make_poster(targets), self._witness, self._clock
        interference = self._interference
        if interference is not None:
            poster, clock = interference.posting(poster), interference.timing(clock)
            witness = interference.witnessing(witness)
        reservations = Reservations()
        self.webhooks = Webhooks(
            settle=self.broker.settle,
            deadlines=self.deadlines,
            clock=self._clock,
            time=loop.time,
            poster=poster,
            reservations=reservations,
            timing=self._webhook_timing,
        )
        flusher = Flusher(loop.call_soon, loop.time)
        self.hub = Hub(
            self.broker,
            flusher,
            self.deadlines,
            loop.time,
            self.webhooks,
            reservations,
            witness,
            interference,
        )
        self._listener = self.hub if interference is None else interference.hearing(self.hub)
        self._facilities = Facilities(self.broker, self.apps, reservations, self._clock)
        self._pages = Pages(lambda: self._stopped is None)
        prefix = self.settings.path_prefix.encode()
        self._backend_rate = BackendRate(self._clock)
        self._api = Api(
            self.apps,
            self.broker,
            self.broker,
            self.broker,
            clock,
            self._backend_rate,
            prefix,
            self._extensions,
        )
        handle: Handle = self._api.handle
        if interference is not None:
            handle = interference.answering(handle)
        self._fallback = Fallback(self.hub, self.apps, self.settings)
        self._front = FrontContext(
            hub=self.hub,
            apps=self.apps,
            settings=self.settings,
            deadlines=self.deadlines,
            encoder=Encoder(self._clock.now),
            handle=handle,
            fallback=self._fallback.handle,
            fallback_paths=self._fallback.paths,
            extensions=self._extensions,
            hand_over=self._pages.take,
            connections=Roster(),
            proxies=TrustedProxies(self.settings.trusted_proxies),
            path_prefix=prefix,
            interference=interference,
        )

    def _load_certificate(self) -> tls.TLS | None:
        certificate, key = self.settings.tls_certificate, self.settings.tls_key
        return tls.TLS(certificate, key) if certificate and key else None

    def connect(self, encryption: tls.TLS | None = None) -> asyncio.Protocol:
        """Return the protocol for a client's transport, which need not be a socket's."""
        if encryption is None:
            return visitor(self._front)
        return TLSHandshake(self._front, encryption)

    async def _listen(self, sock: socket.socket, encryption: tls.TLS | None = None) -> None:
        _tune(sock)
        # uvloop closes the socket if it cannot listen, and then it has no address any more.
        address = sock.getsockname()
        try:
            listener = await self._loop.create_server(
                lambda: self.connect(encryption), sock=sock, backlog=_BACKLOG
            )
        except OSError as error:
            if isinstance(sock, UnixSocket):
                raise unix_socket.explain(sock.path, error) from None
            raise listeners.explain(error, *address[:2]) from None
        self._listeners.append(listener)

    async def reload(self, settings: Settings) -> None:
        """Serve the apps and the certificate of ``settings`` from now on.

        Clients of an app that is gone are closed with 4001, of one that is disabled with 4003;
        all others stay and get their app's new settings. What is asked once, when a client
        connects (``tls_only``, ``allowed_origins``, ``max_connections``), is asked of new
        clients. Any other setting stays as it is until a restart, and is logged if it differs.

        Raises:
            callboard_server.tls.CertificateError: nothing has changed.
        """
        certificate, key = settings.tls_certificate, settings.tls_key
        if self._tls is not None and certificate and key:
            self._tls.use(tls.load(certificate, key))
        before = self.settings
        self.settings = self._front.settings = msgspec.structs.replace(before, apps=settings.apps)
        self.apps.replace(settings.apps)
        changes.log(before, settings)
        await self._extensions.reload(settings.apps)
        for place, client in enumerate(list(self.hub.connections.values()), start=1):
            self._settle(client)
            if place % _CLIENTS_PER_TURN == 0:
                await asyncio.sleep(0)

    def _settle(self, client: Subscriber) -> None:
        """Give a client its app as it is now, or send it away."""
        app = self.apps.by_id(client.app.id)
        if app is None:
            client.end(refusals.unknown_key(client.app.key))
        elif app.enabled:
            client.app = app
        else:
            client.end(refusals.APP_DISABLED)

    async def renew(self, farewell: Refusal) -> None:
        """Send all clients away with ``farewell``, and forget what they and backends have left.

        Addresses, settings and kept-alive connections of backends stay. What had reached this
        machine before the call is heard first, so none of it can come up afterwards. The broker
        is left for whoever made it. Of requests that one client has pipelined, some ten thousand
        are heard.
        """
        await self._hear()
        # All are sent away: none need hear of the others leaving.
        self.hub.farewell = True
        # Who was in many channels leaves them in turns of the loop, in which others may come.
        await self.hub.settled()
        while self.hub.connections:
            for client in list(self.hub.connections.values()):
                client.end(farewell)
            await self.hub.settled()
        self.hub.farewell = False
        self.hub.counts.forget()
        self._backend_rate.forget()
        self.webhooks.forget()

    async def _hear(self) -> None:
        """Wait until nothing is left to be heard, for a bounded number of turns."""
        quiet_turns = 0
        for _ in range(_MAX_TURNS_TO_HEAR):
            await asyncio.sleep(0)
            busy = any(connection.has_more for connection in self._front.connections)
            quiet_turns = 0 if busy else quiet_turns + 1
            if quiet_turns == _TURNS_TO_HEAR:
                return

    async def stop(
        self, drain_seconds: float | None = None, *, patience_seconds: float | None = None
    ) -> None:
        """Take no more clients, finish requests, send clients away, and clean up.

        ``drain_seconds`` (default: the setting) spreads the closes over that time with 4200,
        so that clients go over to another node one after the other; with 0 all are closed at
        once with 4100, which stock pusher-js answers by coming back in a second. Takes 9
        seconds at most beyond the drain, and 5 for each extension. ``patience_seconds`` is for
        who waits neither for requests nor for clients so long. Calls after the first wait for
        the first.
        """
        if self._stopped is None:
            self._stopped = asyncio.ensure_future(self._stop(drain_seconds, patience_seconds))
        await asyncio.shield(self._stopped)

    async def _stop(self, drain_seconds: float | None, patience_seconds: float | None) -> None:
        seconds = self.settings.drain_seconds if drain_seconds is None else drain_seconds
        # Why a start failed is not to be looked for behind an end that nobody asked for.
        level = logging.INFO if self._started else logging.DEBUG
        clients = len(self.hub.connections)
        logger.log(level, "stopping clients=%d drain_seconds=%g", clients, seconds)
        for listener in self._listeners:
            listener.close()
        for sock in (*self._plain, *self._encrypted):
            sock.close()
        if self._interference is not None:
            self._interference.stop()
        self._extensions.farewell()
        # Kept-alive connections end with their next answer, so that nobody stays by them.
        self._front.closing = True
        self._fallback.leaving = True
        if seconds > 0:
            await self._drain(seconds)
        for connection in self._front.connections:
            connection.finish()
        await self._front.connections.wait_empty(_at_most(REQUESTS_SECONDS, patience_seconds))
        for connection in self._front.connections:
            connection.abort()
        refusal = refusals.OVER_CAPACITY if seconds <= 0 else refusals.RECONNECT
        self.hub.farewell = True
        for client in list(self.hub.connections.values()):
            client.end(refusal)
        self._fallback.farewell()
        await self.hub.transient.wait_empty(_at_most(FAREWELL_SECONDS, patience_seconds))
        for transport in self.hub.transient:
            transport.abort()
        await self._extensions.stop()
        await self._pages.stop()
        await self.hub.stop()
        await self.webhooks.stop()
        await self.broker.stop()
        if self._sweep_handle is not None:
            self._sweep_handle.cancel()
        # What was cut hears of it in the next turn.
        await asyncio.sleep(0)
        logger.log(level, "stopped")

    async def _drain(self, seconds: float) -> None:
        clients = list(self.hub.connections.values())
        loop = self._loop
        began = loop.time()
        for place, client in enumerate(clients):
            wait = began + seconds * place / len(clients) - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            client.end(refusals.RECONNECT)

    def _sweep(self) -> None:
        self._sweep_handle = self._loop.call_later(TICK_SECONDS, self._sweep)
        self.deadlines.advance(self._loop.time())


def _at_most(seconds: float, patience_seconds: float | None) -> float:
    return seconds if patience_seconds is None else min(seconds, patience_seconds)


def _tune(listener: socket.socket) -> None:
    """Accepted sockets inherit it: without a bound the kernel hides megabytes of a slow reader."""
    if hasattr(socket, "TCP_NOTSENT_LOWAT") and listener.family != socket.AF_UNIX:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _NOTSENT_LOWAT_BYTES)
