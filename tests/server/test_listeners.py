"""Sockets to listen on: one port on every address, inherited ones checked, faults explained."""

from __future__ import annotations

import errno
import logging
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from callboard_server import listeners
from callboard_server.listeners import ListenError


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def listener(closing: ExitStack) -> socket.socket:
    return closing.enter_context(socket.create_server(("127.0.0.1", 0)))


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let every name have these addresses."""

    def getaddrinfo(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, 0, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))
            for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def fail_binding(
    monkeypatch: pytest.MonkeyPatch, number: int, times: int, address: str
) -> list[socket.socket]:
    """Let binding to `address` fail `times` times; return the list of all sockets bound."""
    bind_one = listeners._bind_one
    bound: list[socket.socket] = []
    failures = 0

    def bind(family: socket.AddressFamily, sockaddr: tuple[Any, ...]) -> socket.socket:
        nonlocal failures
        if sockaddr[0] == address and failures < times:
            failures += 1
            raise OSError(number, os.strerror(number))
        bound.append(bind_one(family, sockaddr))
        return bound[-1]

    monkeypatch.setattr(listeners, "_bind_one", bind)
    return bound


def test_a_bound_socket_does_not_listen_yet_and_does_not_block(closing: ExitStack) -> None:
    [sock] = listeners.bind("127.0.0.1", 0)
    closing.enter_context(sock)

    assert sock.getsockname()[0] == "127.0.0.1"
    assert sock.getsockname()[1] > 0
    assert not sock.getblocking()
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


def test_every_address_of_a_host_gets_the_same_port(
    monkeypatch: pytest.MonkeyPatch, closing: ExitStack
) -> None:
    resolve_to(monkeypatch, "127.0.0.1", "127.0.0.2", "127.0.0.1")

    sockets = [closing.enter_context(sock) for sock in listeners.bind("two", 0)]

    assert [sock.getsockname()[0] for sock in sockets] == ["127.0.0.1", "127.0.0.2"]
    assert len({sock.getsockname()[1] for sock in sockets}) == 1


def test_an_ipv6_socket_leaves_ipv4_alone(
    monkeypatch: pytest.MonkeyPatch, closing: ExitStack
) -> None:
    options: list[tuple[int, int, int]] = []

    class Recorded(socket.socket):
        """Keeps what is set before binding, so that the test needs no IPv6 on the machine."""

        def setsockopt(self, *option: Any) -> None:
            options.append(option)

        def bind(self, address: Any) -> None:
            super().bind(("127.0.0.1", 0))

    monkeypatch.setattr(socket, "socket", lambda *_: Recorded(socket.AF_INET, socket.SOCK_STREAM))

    closing.enter_context(listeners._bind_one(socket.AF_INET6, ("::1", 0, 0, 0)))

    assert (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1) in options


def test_another_free_port_is_tried_when_one_is_taken_on_the_second_address(
    monkeypatch: pytest.MonkeyPatch, closing: ExitStack
) -> None:
    resolve_to(monkeypatch, "127.0.0.1", "127.0.0.2")
    bound = fail_binding(monkeypatch, errno.EADDRINUSE, 2, "127.0.0.2")

    sockets = [closing.enter_context(sock) for sock in listeners.bind("two", 0)]

    assert len({sock.getsockname()[1] for sock in sockets}) == 1
    assert len(sockets) == 2
    assert all(sock.fileno() == -1 for sock in bound if sock not in sockets)


def test_trying_free_ports_comes_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, "127.0.0.1", "127.0.0.2")
    bound = fail_binding(monkeypatch, errno.EADDRINUSE, 1000, "127.0.0.2")

    with pytest.raises(ListenError, match="in use"):
        listeners.bind("two", 0)

    assert len(bound) == listeners.FREE_PORT_ATTEMPTS
    assert all(sock.fileno() == -1 for sock in bound)


def test_an_address_that_the_machine_cannot_use_does_not_spoil_the_others(
    monkeypatch: pytest.MonkeyPatch, closing: ExitStack
) -> None:
    resolve_to(monkeypatch, "::1", "127.0.0.1")
    fail_binding(monkeypatch, errno.EADDRNOTAVAIL, 1, "::1")

    [sock] = listeners.bind("localhost", 0)
    closing.enter_context(sock)

    assert sock.getsockname()[0] == "127.0.0.1"


def test_a_port_in_use_is_explained_and_marked(listener: socket.socket) -> None:
    port = listener.getsockname()[1]

    with pytest.raises(
        ListenError, match=rf"127\.0\.0\.1 port {port} is in use.*0 takes"
    ) as caught:
        listeners.bind("127.0.0.1", port)

    assert caught.value.in_use


def test_an_address_of_another_machine_is_explained() -> None:
    # 192.0.2.0/24 is for documentation (RFC 5737): nobody has it.
    with pytest.raises(ListenError, match=r"does not have the address 192\.0\.2\.1.*0\.0\.0\.0"):
        listeners.bind("192.0.2.1", 0)


@pytest.mark.parametrize(
    ("host", "fault"),
    [
        ("callboard.invalid", socket.gaierror(socket.EAI_NONAME, "Name or service not known")),
        ("x" * 64, UnicodeError("label too long")),
    ],
)
def test_an_unknown_name_is_explained(
    monkeypatch: pytest.MonkeyPatch, host: str, fault: Exception
) -> None:
    def getaddrinfo(*_: Any, **__: Any) -> Any:
        raise fault

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    with pytest.raises(ListenError, match=rf"Cannot find the host '{host}'.*127\.0\.0\.1"):
        listeners.bind(host, 0)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EADDRINUSE, "in use"),
        (errno.EACCES, "may not listen .* port 80.*higher port"),
        (errno.EPERM, "may not listen"),
        (errno.EADDRNOTAVAIL, "does not have the address"),
        (errno.EINVAL, "Cannot listen on 127.0.0.1 port 80: Invalid argument"),
    ],
)
def test_what_the_system_says_becomes_a_sentence(number: int, words: str) -> None:
    sentence = str(listeners.explain(OSError(number, os.strerror(number)), "127.0.0.1", 80))

    assert re.search(words, sentence)


def test_a_socket_that_was_handed_over_is_taken_as_it_is(listener: socket.socket) -> None:
    port = listener.getsockname()[1]

    [sock] = listeners.inherited(listener.detach(), {})

    with sock:
        assert sock.getsockname()[1] == port
        assert not sock.getblocking()
        assert not sock.get_inheritable()


def test_a_bound_socket_need_not_listen_yet(closing: ExitStack) -> None:
    bound = closing.enter_context(socket.socket())
    bound.bind(("127.0.0.1", 0))
    port = bound.getsockname()[1]

    [sock] = listeners.inherited(bound.detach(), {})

    with sock:
        assert sock.getsockname()[1] == port


def a_file(closing: ExitStack) -> int:
    return closing.enter_context(Path(__file__).open("rb")).fileno()


def a_datagram_socket(closing: ExitStack) -> int:
    sock = closing.enter_context(socket.socket(type=socket.SOCK_DGRAM))
    sock.bind(("127.0.0.1", 0))
    return sock.fileno()


def an_unbound_socket(closing: ExitStack) -> int:
    return closing.enter_context(socket.socket()).fileno()


def a_unix_socket(closing: ExitStack) -> int:
    return closing.enter_context(socket.socket(socket.AF_UNIX)).fileno()


def a_connection(closing: ExitStack) -> int:
    listener = closing.enter_context(socket.create_server(("127.0.0.1", 0)))
    client = closing.enter_context(socket.create_connection(listener.getsockname()))
    closing.enter_context(listener.accept()[0])
    return client.fileno()


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (a_file, "not a socket"),
        (a_datagram_socket, "not a stream socket"),
        (an_unbound_socket, "not bound to a port"),
        (a_unix_socket, "not an IPv4 or IPv6 socket"),
        (a_connection, "a connection, not a listener"),
    ],
)
def test_anything_else_that_was_handed_over_is_refused_and_left_open(
    make: Callable[[ExitStack], int], fault: str, closing: ExitStack
) -> None:
    fd = make(closing)

    with pytest.raises(ListenError, match=f"File descriptor {fd} is {fault}.*Expected"):
        listeners.inherited(fd, {})

    os.fstat(fd)


@pytest.mark.parametrize("fd", [-1, 2**20, 2**40])
def test_a_number_without_a_file_is_refused(fd: int) -> None:
    with pytest.raises(ListenError, match=f"File descriptor {fd} is not a socket"):
        listeners.inherited(fd, {})


def test_the_sockets_of_systemd_are_taken(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket
) -> None:
    port = listener.getsockname()[1]
    monkeypatch.setattr(listeners, "FIRST_SYSTEMD_FD", listener.detach())

    [sock] = listeners.inherited(None, {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())})

    with sock:
        assert sock.getsockname()[1] == port


def test_the_flag_wins_over_systemd(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    environment = {"LISTEN_FDS": "7", "LISTEN_PID": str(os.getpid())}

    [sock] = listeners.inherited(listener.detach(), environment)

    with sock:
        assert sock.getsockname()[1] == port


@pytest.mark.parametrize("owner", [{}, {"LISTEN_PID": ""}, {"LISTEN_PID": "1"}])
def test_sockets_for_another_process_are_not_taken(
    owner: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert listeners.inherited(None, {"LISTEN_FDS": "1", **owner}) == []

    assert "LISTEN_FDS is not used" in caplog.text


@pytest.mark.parametrize("environment", [{}, {"LISTEN_FDS": ""}, {"LISTEN_PID": "1"}])
def test_without_sockets_handed_over_there_are_none(environment: dict[str, str]) -> None:
    assert listeners.inherited(None, environment) == []


@pytest.mark.parametrize("count", ["many", "-1", "1.5"])
def test_a_wrong_number_of_sockets_is_refused(count: str) -> None:
    environment = {"LISTEN_FDS": count, "LISTEN_PID": str(os.getpid())}

    with pytest.raises(ListenError, match=r"LISTEN_FDS is .* expected the number"):
        listeners.inherited(None, environment)


def test_after_a_fault_the_first_sockets_of_systemd_are_still_open(
    monkeypatch: pytest.MonkeyPatch, closing: ExitStack
) -> None:
    first = closing.enter_context(socket.create_server(("127.0.0.1", 0)))
    beyond = 2**20
    monkeypatch.setattr(listeners, "_systemd_count", lambda _: 2)
    monkeypatch.setattr(listeners, "range", lambda *_: (first.fileno(), beyond), raising=False)

    with pytest.raises(ListenError, match=f"File descriptor {beyond}"):
        listeners.inherited(None, {})

    os.fstat(first.fileno())


class Named(socket.socket):
    """A socket that says it is bound to an address, whether or not this machine has it."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self.address = address

    def getsockname(self) -> Any:
        return (self.address, 6001)


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("fe80::1%eth0", False),
    ],
)
def test_loopback_is_told_by_the_address_of_the_socket(address: str, loopback: bool) -> None:
    with Named(address) as sock:
        assert listeners.is_loopback(sock) is loopback
