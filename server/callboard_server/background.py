"""A server in a thread of its own, for tests and for programs that are not asynchronous."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar

import uvloop

from callboard_server import listeners, sockets
from callboard_server.extensions import Extension
from callboard_server.server import Server
from callboard_server.settings import Settings

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Life:
    """What the thread and its owner tell each other."""

    #: By the thread: the server listens, or why it does not.
    ready: Future[tuple[asyncio.AbstractEventLoop, Server]] = field(default_factory=Future)
    #: By the owner: the server shall end, and in how many seconds its clients (None: the setting).
    ending: Future[float | None] = field(default_factory=Future)
    #: By the thread, as the last thing: nothing is left, or what went wrong at the end.
    ended: Future[None] = field(default_factory=Future)
    #: Set when the thread has nothing more to do.
    over: threading.Event = field(default_factory=threading.Event)


class BackgroundServer:
    """Runs a :class:`~callboard_server.server.Server` on its own loop and thread.

    The same code path as the command's, without signal handlers, environment or output. Use as
    a context manager, or call :meth:`start` and :meth:`stop`; also from a coroutine, whose loop
    waits meanwhile. ``extensions`` are started with the server, each time. ``make_server`` is for
    one of other parts, as ``functools.partial`` of the class makes it.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        extensions: Sequence[Extension] = (),
        make_server: Callable[..., Server] = Server,
    ) -> None:
        self.settings = settings
        self._extensions = extensions
        self._make_server = make_server
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._process_id = 0
        self._server: Server | None = None
        self._life = _Life()

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
    def running(self) -> bool:
        """Whether it has been started, by this process, and not stopped since."""
        return self._server is not None and self._is_here

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
            Exception: an extension cannot start. In either case neither thread nor socket is left.
        """
        if self._thread is not None:
            raise RuntimeError("the server is already running")
        life = self._life = _Life()
        thread = threading.Thread(target=self._live, args=(life,), name="callboard", daemon=True)
        try:
            try:
                thread.start()
            except RuntimeError:
                life.over.set()  # there is no thread to be had
                raise
            self._loop, self._server = life.ready.result()
        except BaseException as error:
            # Without an error of the thread's own this is Ctrl-C, at any moment since the thread
            # was asked for: it may be about to begin, and cannot be joined before it has.
            life.ending.set_result(0.0)
            life.over.wait()
            if thread.ident is not None:
                thread.join()
            if isinstance(error, OSError):  # such as no descriptor left for the loop itself
                host, port = self.settings.host, self.settings.port
                raise listeners.explain(error, host, port) from error
            raise
        self._process_id = os.getpid()
        self._thread = thread

    def stop(self, drain_seconds: float | None = None) -> None:
        """Stop, as :meth:`Server.stop` does, and return once the thread has ended.

        In a process that was forked from the server's, the server goes on.
        """
        thread, life = self._thread, self._life
        if thread is None:
            return
        self._loop = self._thread = self._server = None
        if not self._is_here:
            return  # it is the parent's to end
        life.ending.set_result(drain_seconds)
        thread.join()
        life.ended.result()

    def reload(self, settings: Settings) -> None:
        """Take over settings, as :meth:`Server.reload` does, and return once it is done."""
        self.submit(lambda server: server.reload(settings)).result()

    def call(self, function: Callable[[Server], Result]) -> Result:
        """Run ``function(server)`` on the server's thread, which may be this one.

        Returns what the function returns.
        """

        async def run(server: Server) -> Result:
            return function(server)

        if self._thread is threading.current_thread():
            return function(self.server)
        return self.submit(run).result()

    def submit(self, function: Callable[[Server], Coroutine[Any, Any, Result]]) -> Future[Result]:
        """Begin ``function(server)`` on the server's thread, and return what will be its result."""
        if self._loop is None:
            raise RuntimeError("the server is not running: call start() first")
        if not self._is_here:
            raise RuntimeError(
                "the server runs in the process that this one was forked from: ask it there, or "
                "start one here"
            )
        return asyncio.run_coroutine_threadsafe(function(self.server), self._loop)

    @property
    def _is_here(self) -> bool:
        """Whether this process started it: a fork takes all threads but its own away."""
        return self._process_id == os.getpid()

    def _live(self, life: _Life) -> None:
        # All of it in here: the thread that starts the server may have a loop running already.
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve(life))
        except BaseException as error:
            told = life.ended if life.ready.done() else life.ready
            told.set_exception(error)
        else:
            life.ended.set_result(None)
        finally:
            life.over.set()

    async def _serve(self, life: _Life) -> None:
        with closing(sockets.bind(self.settings)) as bound:
            server = self._make_server(
                self.settings,
                bound.plain,
                tls_sockets=bound.tls,
                extensions=self._extensions,
            )
            try:
                await server.start()
            except BaseException:
                # It ends itself only for an address or certificate it cannot use. What it had
                # not made yet cannot be stopped, and says less than why it failed.
                with suppress(Exception):
                    await server.stop(0.0)
                raise
            life.ready.set_result((asyncio.get_running_loop(), server))
            await server.stop(await asyncio.wrap_future(life.ending))
