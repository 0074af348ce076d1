"""A server in a thread of its own, for tests and for programs that are not asynchronous."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType

import uvloop

from callboard_server import sockets
from callboard_server.server import Server
from callboard_server.settings import Settings


class BackgroundServer:
    """Runs a :class:`~callboard_server.server.Server` on its own loop and thread.

    The same code path as the command's, without signal handlers, environment or output. Use as
    a context manager, or call :meth:`start` and :meth:`stop`.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._server: Server | None = None

    def __enter__(self) -> BackgroundServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def server(self) -> Server:
        """The running server; its objects belong to its thread (see :meth:`call`)."""
        if self._server is None:
            raise RuntimeError("the server is not running: call start() first")
        return self._server

    @property
    def port(self) -> int:
        """The port listened on."""
        return self.server.addresses[0][1]

    @property
    def tls_port(self) -> int:
        """The port listened on for TLS; only if the settings ask for one."""
        return self.server.tls_addresses[0][1]

    def start(self) -> None:
        """Start and return once the server listens.

        Raises:
            callboard_server.listeners.ListenError: the address cannot be listened on, or the
                certificate cannot be used.
        """
        if self._server is not None:
            raise RuntimeError("the server is already running")
        bound = sockets.bind(self.settings)
        loop = uvloop.new_event_loop()
        server = Server(self.settings, bound.plain, tls_sockets=bound.tls)
        try:
            loop.run_until_complete(server.start())
        except BaseException:
            loop.close()
            raise
        self._loop, self._server = loop, server
        self._thread = threading.Thread(target=loop.run_forever, name="callboard", daemon=True)
        self._thread.start()

    def stop(self, drain_seconds: float | None = None) -> None:
        """Stop, as :meth:`Server.stop` does, and return once the thread has ended."""
        loop, thread, server = self._loop, self._thread, self._server
        if loop is None or thread is None or server is None:
            return
        self._loop = self._thread = self._server = None
        asyncio.run_coroutine_threadsafe(server.stop(drain_seconds), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    def reload(self, settings: Settings) -> None:
        """Take over settings, as :meth:`Server.reload` does, and return once it is done."""
        if self._loop is None:
            raise RuntimeError("the server is not running: call start() first")
        asyncio.run_coroutine_threadsafe(self.server.reload(settings), self._loop).result()

    def call(self, function: Callable[[Server], object]) -> None:
        """Run ``function(server)`` on the server's thread and wait for it."""

        async def run() -> None:
            function(self.server)

        if self._loop is None:
            raise RuntimeError("the server is not running: call start() first")
        asyncio.run_coroutine_threadsafe(run(), self._loop).result()
