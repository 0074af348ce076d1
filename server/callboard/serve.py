"""The server as a process: sockets, signals, exit status.

1. Sockets are bound, or taken over, and checked before anything answers. They listen before the
   server is loaded, so that a restart refuses clients for as short a time as can be.
2. SIGINT and SIGTERM are ours from the first moment of the loop. The first one ends in order and
   leads to exit status 0; a second one, of either kind, ends at once with 130 or 143.
3. The ports file and the announcement appear when the server listens, not before.
4. The announcement goes to stdout, the log to stderr.
5. SIGHUP reads the configuration again (:mod:`reloading`).
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from callboard import open_files, ports_file, task_folder
from callboard.announcement import announce, where_kept
from callboard.configuration import refuse_built_in_credentials
from callboard.reloading import Load, Reloading
from callboard_server import listeners, unix_socket
from callboard_server import sockets as server_sockets
from callboard_server.settings import Settings
from callboard_server.unix_socket import UnixSocket

if TYPE_CHECKING:
    from callboard_server.extensions import Extension
    from callboard_server.server import Server

logger = logging.getLogger(__name__)

_BACKLOG = 4096


def run(
    settings: Settings,
    *,
    ports_path: Path | None,
    fd: int | None,
    environment: Mapping[str, str],
    load: Load | None = None,
) -> None:
    """Serve until a signal asks to end.

    `ports_path` is the ports file, `fd` the number of an inherited socket, `load` reads the
    settings again for SIGHUP, which ends the process without it. Raises CallboardError or
    ListenError if the server cannot start.
    """
    log_to_stderr()
    limit = open_files.raise_limit()
    if ports_path is not None:
        ports_file.check(ports_path)
    given = listeners.inherited(fd, environment)
    sockets = server_sockets.bind(settings, given)
    try:
        refuse_built_in_credentials(settings, sockets)
    except BaseException:
        sockets.close()
        raise
    # Clients of a server that is being restarted are not refused while the rest is loaded: the
    # kernel lets them wait.
    for sock in sockets:
        try:
            sock.listen(_BACKLOG)
        except OSError as error:
            address = sock.getsockname()
            sockets.close()
            if isinstance(sock, UnixSocket):
                raise unix_socket.explain(sock.path, error) from None
            raise listeners.explain(error, *address[:2]) from None
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(
            serve_until_signal(
                settings,
                sockets.plain,
                tls_sockets=sockets.tls,
                name=None if given else settings.host,
                ports_path=ports_path,
                limit=limit,
                load=load,
            )
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
    tls_sockets: Sequence[socket.socket] = (),
    name: str | None,
    ports_path: Path | None,
    limit: int | None,
    load: Load | None = None,
) -> None:
    """Serve on bound sockets, which are closed in the end.

    `name` is the host as it was asked for, None for inherited sockets; `limit` the open files
    limit, to be told; `load` reads the settings again. Raises ListenError or StartError if that
    does not begin.
    """
    loop = asyncio.get_running_loop()
    ending = Ending(loop)
    reloading = Reloading(loop, load) if load is not None else None
    # The signals are ours by now, so one that comes while this loads is not lost.
    from callboard_server.server import Server

    settings, note = task_folder.settle(settings)
    if note is not None:
        logger.warning(note)
    server = Server(settings, sockets, tls_sockets=tls_sockets, extensions=_extensions(settings))
    await server.start()
    task = None
    try:
        if ports_path is not None:
            _write_ports_file(ports_path, server)
        _say(
            announce(
                settings.apps,
                server.addresses,
                name=name,
                open_files=limit,
                tls_addresses=server.tls_addresses,
                unix_socket=settings.unix_socket,
                data=where_kept(Path(settings.data)) if settings.scheduler else None,
            )
        )
        # What is loaded by now stays: the garbage collector need not look through it again, with
        # all clients waiting.
        gc.freeze()
        if reloading is not None:
            task = loop.create_task(reloading.run(server, [*sockets, *tls_sockets]))
        await ending.asked.wait()
    finally:
        if task is not None:
            task.cancel()
        await server.stop()


def _extensions(settings: Settings) -> Sequence[Extension]:
    if not settings.scheduler:
        from callboard.unscheduled import Unscheduled

        return (Unscheduled(),)
    # Whoever does without it does not pay for it.
    from callboard.scheduling import Scheduling
    from callboard_scheduler.stores.sqlite import SqliteStore

    return (
        Scheduling(
            lambda: SqliteStore(Path(settings.data)),
            max_waiting_tasks=settings.max_waiting_tasks,
            finished_tasks_seconds=settings.finished_tasks_seconds,
        ),
    )


def _write_ports_file(path: Path, server: Server) -> None:
    host, port = server.addresses[0]
    tls_port = server.tls_addresses[0][1] if server.tls_addresses else None
    unix_socket = server.settings.unix_socket
    ports_file.write(path, host, port, tls_port=tls_port, unix_socket=unix_socket)


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
