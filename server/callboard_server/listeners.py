"""Sockets to listen on: bound here, or inherited from whoever started the process.

1. A host name may have several addresses; every one of them gets a socket on the *same* port,
   because clients are told one port. Port 0 takes a free one on the first address and the same on
   the others, and tries another one if it is taken there.
2. IPv6 sockets are IPv6 only, so that ``0.0.0.0`` and ``::`` are two sockets everywhere and do
   not depend on the machine's settings.
3. An inherited socket (a number, or systemd's ``LISTEN_FDS``, see sd_listen_fds(3)) is checked to
   be one that can be listened on, before it is used.
4. Nothing here listens: the server does that when it is ready to answer.

Everything that goes wrong is a :class:`ListenError` with a sentence that says what to do.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from callboard_server.loopback import is_loopback_address

logger = logging.getLogger(__name__)

#: How many free ports are tried when one is taken on another address of the same host.
FREE_PORT_ATTEMPTS = 16
#: The number of the first socket that systemd hands over (SD_LISTEN_FDS_START).
FIRST_SYSTEMD_FD = 3

#: The machine has this kind of address in its tables but cannot use it, as ``::1`` of
#: ``localhost`` where IPv6 is switched off; the other addresses of the host still serve.
_UNAVAILABLE = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT})

_Address = tuple[socket.AddressFamily, tuple[Any, ...]]


class ListenError(Exception):
    """A socket cannot be listened on; the text says why and what to do.

    ``in_use`` is true when the only reason is that somebody else has the port.
    """

    def __init__(self, sentence: str, *, in_use: bool = False) -> None:
        super().__init__(sentence)
        self.in_use = in_use


def bind(host: str, port: int) -> list[socket.socket]:
    """Return one bound, non-blocking stream socket for each address of `host`, all on one port.

    `port` 0 takes a free port. Raises ListenError; then no socket stays open.
    """
    addresses = _resolve(host)
    attempts = FREE_PORT_ATTEMPTS if port == 0 else 1
    while True:
        attempts -= 1
        try:
            return _bind_all(addresses, port)
        except ListenError as error:
            if not error.in_use or attempts == 0:
                raise


def inherited(fd: int | None, environment: Mapping[str, str]) -> list[socket.socket]:
    """Return the sockets that the process was started with; none if it was not given any.

    `fd` is a file descriptor's number; without it, systemd's LISTEN_FDS counts if LISTEN_PID is
    this process. Raises ListenError if one of them is not a bound stream socket; the descriptors
    then stay open and unchanged.
    """
    if fd is not None:
        return [_adopt(fd)]
    adopted: list[socket.socket] = []
    try:
        for number in range(FIRST_SYSTEMD_FD, FIRST_SYSTEMD_FD + _systemd_count(environment)):
            adopted.append(_adopt(number))  # noqa: PERF401 - the first ones are needed below
    except ListenError:
        for sock in adopted:
            sock.detach()
        raise
    return adopted


def is_loopback(sock: socket.socket) -> bool:
    """Tell whether only this machine can reach the socket, by the address it is bound to."""
    if sock.family == socket.AF_UNIX:
        return True
    return is_loopback_address(sock.getsockname()[0])


def explain(error: OSError, host: str, port: int) -> ListenError:
    """Return the ListenError for what the system said about listening on `host` and `port`."""
    match error.errno:
        case errno.EADDRINUSE:
            return ListenError(
                f"{host} port {port} is in use: another program listens there, perhaps another "
                "Callboard. Stop it, or choose another port (0 takes a free one).",
                in_use=True,
            )
        case errno.EACCES | errno.EPERM:
            return ListenError(
                f"This user may not listen on {host} port {port}: the system keeps low ports "
                "for root. Choose a higher port, such as 6001."
            )
        case code if code in _UNAVAILABLE:
            return ListenError(
                f"This machine does not have the address {host}. Use one that it has, "
                "127.0.0.1 for this machine only, or 0.0.0.0 for all its IPv4 addresses."
            )
    return ListenError(f"Cannot listen on {host} port {port}: {error.strerror or error}.")


def _resolve(host: str) -> list[_Address]:
    try:
        found = socket.getaddrinfo(
            host, 0, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )
    except (OSError, ValueError) as error:  # ValueError: no name at all, such as a label too long
        reason = getattr(error, "strerror", None) or str(error)
        raise ListenError(
            f"Cannot find the host {host!r} ({reason}). Use a name that this machine knows, "
            "127.0.0.1 for this machine only, or 0.0.0.0 for all its IPv4 addresses."
        ) from None
    families = (socket.AF_INET, socket.AF_INET6)
    return list(dict.fromkeys((entry[0], entry[4]) for entry in found if entry[0] in families))


def _bind_all(addresses: Sequence[_Address], port: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    unavailable: ListenError | None = None
    try:
        for family, sockaddr in addresses:
            try:
                sock = _bind_one(family, (sockaddr[0], port, *sockaddr[2:]))
            except OSError as error:
                refusal = explain(error, sockaddr[0], port)
                if error.errno not in _UNAVAILABLE:
                    raise refusal from None
                unavailable = refusal
                continue
            sockets.append(sock)
            port = sock.getsockname()[1]
        if unavailable is not None and not sockets:
            raise unavailable
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _bind_one(family: socket.AddressFamily, sockaddr: tuple[Any, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock


def _systemd_count(environment: Mapping[str, str]) -> int:
    count, owner = environment.get("LISTEN_FDS", ""), environment.get("LISTEN_PID", "")
    if not count:
        return 0
    if owner != str(os.getpid()):
        # sd_listen_fds(3): they are for the process named, and a child inherits the variables.
        logger.warning(
            "LISTEN_FDS is not used: LISTEN_PID is %r, and this process is %d", owner, os.getpid()
        )
        return 0
    if not (count.isascii() and count.isdigit()):
        raise ListenError(f"LISTEN_FDS is {count!r}: expected the number of sockets handed over.")
    return int(count[:9])


def _adopt(fd: int) -> socket.socket:
    try:
        sock = socket.socket(fileno=fd)
    except (OSError, ValueError, OverflowError):
        raise ListenError(
            f"File descriptor {fd} is not a socket. Expected the number of a listening socket "
            "that the process was started with."
        ) from None
    fault = _fault(sock)
    if fault is not None:
        sock.detach()
        raise ListenError(
            f"File descriptor {fd} is {fault}. Expected a TCP socket that is bound to an address."
        )
    sock.setblocking(False)
    sock.set_inheritable(False)
    return sock


def _fault(sock: socket.socket) -> str | None:
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return "not an IPv4 or IPv6 socket"
    if sock.type != socket.SOCK_STREAM:
        return "not a stream socket"
    if sock.getsockname()[1] == 0:
        return "not bound to a port"
    try:
        sock.getpeername()
    except OSError:
        return None
    return "a connection, not a listener (systemd: Accept=no)"
