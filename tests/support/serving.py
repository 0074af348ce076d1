"""The server under test in its own thread, with time that a test can move on."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import Any

from callboard_server.background import BackgroundServer
from callboard_server.server import Server
from callboard_server.settings import Settings
from support.sockets import TIMEOUT_SECONDS, Answer, Peer, request
from support.websocket import WebSocketPeer


class Serving:
    """A running server and the clients a test makes of it, which end with it."""

    def __init__(
        self, background: BackgroundServer, errors: list[logging.LogRecord], stack: ExitStack
    ) -> None:
        self.background = background
        #: What was logged as an error. A test that means to cause one takes it out.
        self.errors = errors
        self.port = background.port
        self._stack = stack
        self._now: float | None = None

    def connect(self, *, receive_buffer_bytes: int | None = None) -> Peer:
        return self._stack.enter_context(Peer(self.port, receive_buffer_bytes=receive_buffer_bytes))

    def websocket(
        self,
        target: str = "/app/app-key?protocol=7",
        *,
        before: bytes = b"",
        behind: bytes = b"",
        receive_buffer_bytes: int | None = None,
    ) -> WebSocketPeer:
        """Connect and ask for a WebSocket; the answer is not read."""
        return self._stack.enter_context(
            WebSocketPeer(
                self.port,
                target,
                before=before,
                behind=behind,
                receive_buffer_bytes=receive_buffer_bytes,
            )
        )

    def client(self, *, receive_buffer_bytes: int | None = None) -> WebSocketPeer:
        """Connect a Pusher client."""
        return self.websocket(receive_buffer_bytes=receive_buffer_bytes).established()

    def ask(self, data: bytes) -> Answer:
        """Send a request on a connection of its own."""
        with Peer(self.port) as peer:
            peer.send(data)
            return peer.read_answer()

    def settle(self) -> None:
        """Return when the server has seen whatever was sent before."""
        assert self.ask(request("GET", "/apps/none/channels")).status == 404

    def skip(self, seconds: float) -> None:
        """Let the deadlines of the server believe that time has passed.

        From then on it stands still for them, until it is skipped again.
        """
        self.settle()

        def advance(server: Server) -> None:
            now = server.hub.time() if self._now is None else self._now
            self._now = now + seconds
            server.deadlines.advance(self._now)

        self.background.call(advance)

    def eventually(self, condition: Callable[[], bool]) -> None:
        """Let the server work until ``condition()`` holds; fail if it takes too long."""
        end = perf_counter() + TIMEOUT_SECONDS
        while not condition():
            assert perf_counter() < end, "it did not happen in time"
            self.look(lambda _: None)

    def look(self, function: Callable[[Server], Any]) -> Any:
        """Return what ``function(server)`` returns on the server's thread."""
        found: list[Any] = []
        self.background.call(lambda server: found.append(function(server)))
        return found[0]


def open_files() -> Counter[str]:
    """Return what this process has open, and how often.

    To be compared by what is new: what an earlier test left to its peer's end may go meanwhile.
    """
    found: Counter[str] = Counter()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the descriptor that lists the directory
            found[str(entry.readlink())] += 1
    return found


def open_sockets() -> frozenset[str]:
    """Return the sockets of this process, the server's and the test's, each with its number."""
    return frozenset(name for name in open_files() if name.startswith("socket:"))


@contextmanager
def nothing_left() -> Iterator[None]:
    """Fail if a thread or a socket is left that was not there before."""
    threads, sockets = set(threading.enumerate()), open_sockets()
    yield
    # Those of what has just gone may end meanwhile.
    assert set(threading.enumerate()) <= threads
    assert not open_sockets() - sockets


@contextmanager
def serving(**settings: Any) -> Iterator[Serving]:
    """Serve the development app; errors that are logged and tasks that are left fail the test."""
    with errors_logged() as errors:
        settings.setdefault("port", 0)
        with BackgroundServer(Settings(**settings)) as background, ExitStack() as clients:
            running = Serving(background, errors, clients)
            loop = running.look(lambda _: asyncio.get_running_loop())
            yield running
    assert not asyncio.all_tasks(loop)
    assert not errors, [logging.Formatter().format(error) for error in errors]


class _Collector(logging.Handler):
    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__(logging.ERROR)
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(record)


@contextmanager
def errors_logged() -> Iterator[list[logging.LogRecord]]:
    """Collect what is logged as an error: an exception on the server's loop shows only there."""
    errors: list[logging.LogRecord] = []
    handler = _Collector(errors)
    logging.getLogger().addHandler(handler)
    try:
        yield errors
    finally:
        logging.getLogger().removeHandler(handler)
