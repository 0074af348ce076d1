"""The server as a process: sockets, signals, exit status.

1. Sockets are bound, or taken over, and checked before anything answers.
2. SIGINT and SIGTERM are ours from the first moment of the loop. The first one ends in order and
   leads to exit status 0; a second one, of either kind, ends at once with 130 or 143.
3. The ports file and the announcement appear when the server listens, not before.
4. The announcement goes to stdout, the log to stderr.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import uvloop

from callboard import open_files, ports_file
from callboard.announcement import announce
from callboard.configuration import refuse_built_in_credentials
from callboard_server import listeners
from callboard_server.server import Server
from callboard_server.settings import Settings

logger = logging.getLogger(__name__)


def run(
    settings: Settings, *, ports_path: Path | None, fd: int | None, environment: Mapping[str, str]
) -> None:
    """Serve until a signal asks to end.

    `ports_path` is the ports file, `fd` the number of an inherited socket. Raises CallboardError or
    ListenError if the server cannot start.
    """
    log_to_stderr()
    limit = open_files.raise_limit()
    if ports_path is not None:
        ports_file.check(ports_path)
    sockets = listeners.inherited(fd, environment)
    name = None if sockets else settings.host
    sockets = sockets or listeners.bind(settings.host, settings.port)
    try:
        refuse_built_in_credentials(settings, sockets)
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(
            serve_until_signal(settings, sockets, name=name, ports_path=ports_path, limit=limit)
        )


def log_to_stderr() -> None:
    """Send the log to stderr, a line each."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )


class Ending:
    """SIGINT and SIGTERM: the first asks for an orderly end, the second ends the process."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.asked = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._received, number)

    def _received(self, number: signal.Signals) -> None:
        if self.asked.is_set():
            logger.warning("%s while ending: gone at once", number.name)
            os._exit(128 + number)
        logger.info("%s: ending in order; a second signal quits at once", number.name)
        self.asked.set()


async def serve_until_signal(
    settings: Settings,
    sockets: Sequence[socket.socket],
    *,
    name: str | None,
    ports_path: Path | None,
    limit: int | None,
) -> None:
    """Serve on bound sockets, which are closed in the end.

    `name` is the host as it was asked for, None for inherited sockets; `limit` the open files
    limit, to be told. Raises ListenError or StartError if that does not begin.
    """
    ending = Ending(asyncio.get_running_loop())
    host, port = sockets[0].getsockname()[:2]
    server = Server(settings, sockets)
    try:
        await server.start()
    except OSError as error:
        raise listeners.explain(error, host, port) from None
    try:
        if ports_path is not None:
            ports_file.write(ports_path, host, port)
        _say(announce(settings.apps, server.addresses, name=name, open_files=limit))
        await ending.asked.wait()
    finally:
        await server.stop()


def _say(text: str) -> None:
    try:
        print(text, flush=True)
    except OSError:
        # Nobody reads, which is no reason not to serve. Without this the interpreter would write
        # again at exit, and turn the exit status into 120.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
        logger.warning("nobody reads stdout")
