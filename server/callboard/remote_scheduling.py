"""A scheduler for an app of a service elsewhere, as a process of its own.

It reaches workers through that service, and offers the scheduler's own calls, ``/sched/auth`` and
``/sched/blobs`` on an address of its own, by the same server and extension as ``callboard serve``.
Clients belong to the service: here their connections are refused, and so are plain triggers.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import uvloop

from callboard import ports_file
from callboard.announcement import where_kept
from callboard.errors import StartError
from callboard.scheduling import Scheduling
from callboard.serve import Ending, log_to_stderr
from callboard_client.signed_request import Credentials
from callboard_protocol import __version__
from callboard_scheduler.stores import Store
from callboard_scheduler.stores.sqlite import SqliteStore
from callboard_scheduler.transports import FOREIGN, HOSTED, Profile, Transport
from callboard_scheduler.transports.remote import RemoteTransport, TransportError
from callboard_server import sockets as server_sockets
from callboard_server.extensions import Facilities
from callboard_server.front.request import Response, text
from callboard_server.listeners import is_loopback
from callboard_server.server import Server
from callboard_server.settings import AppSettings, Settings

logger = logging.getLogger("callboard.scheduler")

#: What the service bears, by the name on the command line.
PROFILES: Final[dict[str, Profile]] = {"self-hosted": FOREIGN, "hosted": HOSTED}


@dataclass(frozen=True, slots=True)
class Remote:
    """The service, and where to listen for the scheduler's own calls."""

    url: str
    host: str
    port: int
    data: Path
    profile: str
    pool: str = "default"
    ws_host: str | None = None
    ws_port: int | None = None
    look_seconds: float = 5.0
    #: What workers reach the scheduler at, for large values; None: where it listens.
    address: str | None = None


class RemoteScheduling(Scheduling):
    """The extension of ``callboard serve``, over another service."""

    name = "remote scheduler"
    foreign = True

    def __init__(self, make_store: Callable[[], Store], remote: Remote, address: str) -> None:
        super().__init__(make_store)
        self._remote = remote
        # Workers know the service's address, and not this one.
        self.address = address

    async def start(self, facilities: Facilities) -> None:
        try:
            await super().start(facilities)
        except TransportError as error:
            raise StartError(str(error)) from None

    def look(self, app: AppSettings, body: bytes) -> Coroutine[Any, Any, Response] | None:
        return super().look(app, body) or _refuse_trigger(self._remote)

    def _make_transport(self, app: AppSettings, facilities: Facilities) -> Transport:
        remote = self._remote
        return RemoteTransport(
            remote.url,
            profile=PROFILES[remote.profile],
            pool=remote.pool,
            ws_host=remote.ws_host,
            ws_port=remote.ws_port,
            look_seconds=remote.look_seconds,
        )


async def _refuse_trigger(remote: Remote) -> Response:
    base = Credentials.from_url(remote.url).base
    return text(400, f"This is a scheduler; trigger events that are to be published now at {base}")


def run(remote: Remote, ports_path: Path | None) -> None:
    """Schedule until SIGINT or SIGTERM.

    Raises:
        StartError: the service, the data folder or the address cannot be used, the last also for
            credentials that everyone knows.
        ListenError: the address cannot be listened on.
    """
    log_to_stderr()
    try:
        credentials = Credentials.from_url(remote.url)
    except ValueError as error:
        raise StartError(f"--url: {error}") from None
    app = AppSettings(
        id=credentials.app_id,
        key=credentials.key,
        secret=credentials.secret,
        # Clients connect to the service, not to its scheduler.
        max_connections=0,
    )
    settings = Settings(host=remote.host, port=remote.port, apps=(app,), scheduler=False)
    if ports_path is not None:
        ports_file.check(ports_path)
    bound = server_sockets.bind(settings)
    try:
        _refuse_built_in_credentials(app, bound)
    except BaseException:
        bound.close()
        raise
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, bound.plain, remote, ports_path))


def _refuse_built_in_credentials(app: AppSettings, sockets: Iterable[socket.socket]) -> None:
    public = [sock.getsockname()[0] for sock in sockets if not is_loopback(sock)]
    if app.built_in and public:
        raise StartError(
            f"--url has the built-in development credentials, which everyone knows, and other "
            f"machines can reach {public[0]}: give the app credentials of its own where its "
            "service is configured, or listen on 127.0.0.1 only"
        )


async def _serve(settings: Settings, sockets: Any, remote: Remote, ports_path: Path | None) -> None:
    ending = Ending(asyncio.get_running_loop())
    address = (remote.address or _address_of(sockets[0])).rstrip("/")
    extension = RemoteScheduling(lambda: SqliteStore(remote.data), remote, address)
    server = Server(settings, sockets, extensions=[extension])
    await server.start()
    try:
        host, port = server.addresses[0]
        if ports_path is not None:
            ports_file.write(ports_path, host, port)
        base = Credentials.from_url(remote.url).base
        print(
            f"Callboard {__version__} schedules for app {settings.apps[0].id} of {base}\n"
            f"Calls, /sched/auth and /sched/blobs: http://{host}:{port}\n"
            f"Tasks are kept in {where_kept(remote.data)}",
            flush=True,
        )
        await ending.asked.wait()
    finally:
        await server.stop(0.0)


def _address_of(listening: socket.socket) -> str:
    """Return where it is reached on this machine; workers elsewhere need to be told more."""
    host, port = listening.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = "::1" if ":" in host else "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
