"""The whole server: put together, started, and ended in good order.

Starting and ending are plain coroutines without signals, environment or output, so the command
line, a thread of a test suite and our own tests run the same code.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Sequence

from callboard_protocol import refusals
from callboard_server.api import Api
from callboard_server.apps import AppRegistry
from callboard_server.brokers.memory import MemoryBroker
from callboard_server.clock import Clock, SystemClock
from callboard_server.deadlines import TICK_SECONDS, Deadlines
from callboard_server.front.http import FrontContext, HTTPConnection
from callboard_server.front.pages import Pages
from callboard_server.front.request import Encoder
from callboard_server.hub import Hub
from callboard_server.outbox import Flusher
from callboard_server.roster import Roster
from callboard_server.settings import Settings

logger = logging.getLogger("callboard.server")

#: How long the end waits for requests being answered, and then for clients to go, in seconds.
REQUESTS_SECONDS = 3.0
FAREWELL_SECONDS = 2.0
_BACKLOG = 4096
#: How much the kernel may hold unsent for one client; the rest is ours to count.
_NOTSENT_LOWAT_BYTES = 128 * 1024


class Server:
    """Serves apps on bound sockets, which it owns from then on.

    ``start`` and ``stop`` run on the loop that serves. After ``start`` the sockets listen;
    after ``stop`` nothing of the server is left on the loop.
    """

    def __init__(
        self,
        settings: Settings,
        sockets: Sequence[socket.socket],
        *,
        clock: Clock | None = None,
    ) -> None:
        self.settings = settings
        self.apps = AppRegistry(settings.apps)
        self.broker = MemoryBroker()
        self._clock = clock or SystemClock()
        self._sockets = list(sockets)
        self._listeners: list[asyncio.Server] = []
        self._sweep_handle: asyncio.TimerHandle | None = None
        self._stopped: asyncio.Task[None] | None = None

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each address listened on."""
        return [sock.getsockname()[:2] for sock in self._sockets]

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: a socket cannot listen; nothing is left running.
        """
        loop = self._loop = asyncio.get_running_loop()
        self.deadlines = Deadlines(loop.time())
        self.hub = Hub(self.broker, Flusher(loop.call_soon, loop.time), self.deadlines, loop.time)
        self._pages = Pages(lambda: self._stopped is None)
        api = Api(self.apps, self.broker, self.broker, self._clock)
        self._front = FrontContext(
            hub=self.hub,
            apps=self.apps,
            settings=self.settings,
            deadlines=self.deadlines,
            encoder=Encoder(self._clock.now),
            handle=api.handle,
            hand_over=self._pages.take,
            connections=Roster(),
        )
        await self.broker.start(self.hub)
        await self._pages.start()
        self._sweep()
        try:
            for sock in self._sockets:
                _tune(sock)
                self._listeners.append(
                    await loop.create_server(
                        lambda: HTTPConnection(self._front), sock=sock, backlog=_BACKLOG
                    )
                )
        except OSError:
            await self.stop()
            raise
        logger.info("listening addresses=%s apps=%d", self.addresses, len(self.settings.apps))

    async def stop(self, drain_seconds: float | None = None) -> None:
        """Take no more clients, finish requests, send clients away, and clean up.

        ``drain_seconds`` (default: the setting) spreads the closes over that time with 4200,
        so that clients go over to another node one after the other; with 0 all are closed at
        once with 4100, which stock pusher-js answers by coming back in a second. Takes 6
        seconds at most beyond the drain. Calls after the first wait for the first.
        """
        if self._stopped is None:
            self._stopped = asyncio.ensure_future(self._stop(drain_seconds))
        await asyncio.shield(self._stopped)

    async def _stop(self, drain_seconds: float | None) -> None:
        seconds = self.settings.drain_seconds if drain_seconds is None else drain_seconds
        logger.info("stopping clients=%d drain_seconds=%g", len(self.hub.connections), seconds)
        for listener in self._listeners:
            listener.close()
        if seconds > 0:
            await self._drain(seconds)
        self._front.closing = True
        for connection in self._front.connections:
            connection.finish()
        await self._front.connections.wait_empty(REQUESTS_SECONDS)
        for connection in self._front.connections:
            connection.abort()
        refusal = refusals.OVER_CAPACITY if seconds <= 0 else refusals.RECONNECT
        for client in list(self.hub.connections.values()):
            client.end(refusal)
        await self.hub.transient.wait_empty(FAREWELL_SECONDS)
        for transport in self.hub.transient:
            transport.abort()
        await self._pages.stop()
        await self.broker.stop()
        if self._sweep_handle is not None:
            self._sweep_handle.cancel()
        # What was cut hears of it in the next turn.
        await asyncio.sleep(0)
        for sock in self._sockets:
            sock.close()
        logger.info("stopped")

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


def _tune(listener: socket.socket) -> None:
    """Accepted sockets inherit it: without a bound the kernel hides megabytes of a slow reader."""
    if hasattr(socket, "TCP_NOTSENT_LOWAT") and listener.family != socket.AF_UNIX:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _NOTSENT_LOWAT_BYTES)
