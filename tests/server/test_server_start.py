"""Starting: again and again, on a port just left, and when it fails; nothing is ever left."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from time import perf_counter

import pytest

from callboard_server import listeners
from callboard_server.background import BackgroundServer
from callboard_server.server import Server
from callboard_server.settings import Settings
from support.serving import nothing_left, open_files, serving
from support.sockets import Peer, request

PLAIN = request("GET", "/apps/none/channels")


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    with nothing_left():
        yield


def test_a_hundred_cycles_leave_nothing_and_take_milliseconds() -> None:
    with BackgroundServer(Settings(port=0)):
        pass  # The first loop of a process opens two descriptors for signals that stay for good.
    files = open_files()
    began = perf_counter()
    for cycle in range(100):
        with BackgroundServer(Settings(port=0)) as background:
            if cycle % 10 == 0:
                with Peer(background.port) as peer:
                    peer.send(PLAIN)
                    assert peer.read_answer().status == 404
    assert perf_counter() - began < 5
    assert not open_files() - files


def test_the_same_port_can_be_listened_on_at_once_again() -> None:
    with serving() as server:
        client = server.client()
        port = server.port
        client.close()
    with serving(port=port) as server:
        server.client()


def test_a_second_stop_does_nothing() -> None:
    background = BackgroundServer(Settings(port=0))
    background.stop()
    background.start()
    background.stop()
    background.stop()
    background.start()
    with pytest.raises(RuntimeError, match="already running"):
        background.start()
    background.stop()
    with pytest.raises(RuntimeError, match=r"call start\(\) first"):
        assert background.port


async def test_no_task_is_left_and_stops_wait_for_the_first() -> None:
    server = Server(Settings(port=0), listeners.bind("127.0.0.1", 0))
    await server.start()
    port = server.addresses[0][1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(PLAIN)
    assert (await reader.readline()).startswith(b"HTTP/1.1 404")
    await asyncio.gather(server.stop(), server.stop())
    await server.stop()
    await reader.read()
    writer.close()
    await writer.wait_closed()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert (len(server.hub.connections), len(server.hub.transient)) == (0, 0)
    assert (len(server.deadlines), len(server.hub.flusher)) == (0, 0)


# A start that fails


def test_a_port_in_use_leaves_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        background = BackgroundServer(Settings(port=taken.getsockname()[1]))
        with pytest.raises(listeners.ListenError, match="in use"):
            background.start()
        background.stop()


def test_a_port_taken_between_binding_and_listening_leaves_nothing() -> None:
    """Two sockets may be bound to it, only one of them may listen."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        background = BackgroundServer(Settings(port=other.getsockname()[1]))
        bind = listeners.bind

        def bind_and_lose(host: str, port: int) -> list[socket.socket]:
            sockets = bind(host, port)
            other.listen()
            return sockets

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(listeners, "bind", bind_and_lose)
            with pytest.raises(listeners.ListenError):
                background.start()
        background.stop()
    with serving() as server:
        server.client()


async def test_a_socket_that_cannot_listen_leaves_no_task() -> None:
    sockets = listeners.bind("127.0.0.1", 0)
    sockets.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    server = Server(Settings(port=0), sockets)
    with pytest.raises((OSError, ValueError)):
        await server.start()
    await server.stop()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert [sock.fileno() for sock in sockets] == [-1, -1]
