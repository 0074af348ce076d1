"""All the sockets of a server, opened together or not at all."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from callboard_server import listeners, unix_socket
from callboard_server.settings import Settings


@dataclass(slots=True)
class Sockets:
    """Bound sockets by what is spoken on them; the first plain one is a TCP socket."""

    plain: Sequence[socket.socket]
    tls: Sequence[socket.socket] = field(default=())

    def __iter__(self) -> Iterator[socket.socket]:
        yield from self.plain
        yield from self.tls

    def close(self) -> None:
        """Close all of them."""
        for sock in self:
            sock.close()


def bind(settings: Settings, given: Sequence[socket.socket] = ()) -> Sockets:
    """Return the sockets that ``settings`` name, bound and not listening.

    ``given`` sockets take the place of ``host`` and ``port``, and are closed like the others.
    Raises ListenError; then none stays open.
    """
    with ExitStack() as undo:
        plain = list(given) or listeners.bind(settings.host, settings.port)
        undo.callback(Sockets(plain).close)
        tls = []
        if settings.tls_port is not None:
            tls = listeners.bind(settings.host, settings.tls_port)
            undo.callback(Sockets(tls).close)
        if settings.unix_socket is not None:
            plain.append(unix_socket.bind(settings.unix_socket, settings.unix_socket_mode))
        undo.pop_all()
    return Sockets(plain, tls)
