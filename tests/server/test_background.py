"""The server's own thread: started and stopped from anywhere, and gone whatever happened."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
import uvloop

from callboard_server.background import BackgroundServer
from callboard_server.listeners import ListenError
from callboard_server.server import Server
from callboard_server.settings import Settings
from support.forking import in_a_fork
from support.serving import nothing_left, open_files
from support.sockets import Peer, request

PLAIN = request("GET", "/apps/none/channels")


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    with nothing_left():
        yield


def assert_serves(port: int) -> None:
    with Peer(port) as peer:
        peer.send(PLAIN)
        assert peer.read_answer().status == 404


def refuse(*_: object) -> NoReturn:
    raise RuntimeError("not today")


class TestInsideARunningLoop:
    async def test_it_starts_and_stops(self) -> None:
        background = BackgroundServer(Settings(port=0))
        background.start()
        assert_serves(background.port)
        background.stop()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    async def test_a_with_block_serves_the_loop_it_is_in(self) -> None:
        with BackgroundServer(Settings(port=0)) as background:
            reader, writer = await asyncio.open_connection("127.0.0.1", background.port)
            writer.write(PLAIN)
            assert (await reader.readline()).startswith(b"HTTP/1.1 404")
            background.reload(Settings(port=0))
            background.call(lambda server: server.addresses)
            writer.close()
            await writer.wait_closed()

    async def test_a_hundred_cycles_leave_nothing(self) -> None:
        with BackgroundServer(Settings(port=0)):
            pass  # The first loop of a process opens two descriptors that stay for good.
        files = open_files()
        for _ in range(100):
            with BackgroundServer(Settings(port=0)) as background:
                assert background.port
        assert not open_files() - files

    async def test_a_start_that_fails_leaves_nothing(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            background = BackgroundServer(Settings(port=taken.getsockname()[1]))
            with nothing_left(), pytest.raises(ListenError, match="in use"):
                background.start()
            background.stop()


class TestAStartThatFails:
    def test_it_can_be_tried_again(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            background = BackgroundServer(Settings(port=taken.getsockname()[1]))
            with pytest.raises(ListenError, match="in use"):
                background.start()
        with background:
            assert_serves(background.port)

    def test_a_certificate_that_cannot_be_used_leaves_nothing(self, tmp_path: Path) -> None:
        missing = str(tmp_path / "missing.pem")
        settings = Settings(port=0, tls_port=0, tls_certificate=missing, tls_key=missing)
        with pytest.raises(ListenError, match=r"Cannot read .*missing\.pem"):
            BackgroundServer(settings).start()

    @pytest.mark.parametrize("step", ["_assemble", "_sweep", "_load_certificate"])
    def test_an_error_nobody_expects_is_told_and_leaves_nothing(
        self, step: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Server, step, refuse)
        with pytest.raises(RuntimeError, match="not today"):
            BackgroundServer(Settings(port=0)).start()

    def test_a_listener_that_is_up_already_goes_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        listen = Server._listen
        ports = []

        async def listen_and_fail(server: Server, sock: socket.socket) -> None:
            await listen(server, sock)
            ports.append(sock.getsockname()[1])
            refuse()

        monkeypatch.setattr(Server, "_listen", listen_and_fail)
        with pytest.raises(RuntimeError, match="not today"):
            BackgroundServer(Settings(port=0)).start()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", ports[0]))

    def test_a_process_out_of_descriptors_cannot_listen(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def exhausted() -> NoReturn:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        monkeypatch.setattr(uvloop, "new_event_loop", exhausted)
        with pytest.raises(ListenError, match="Too many open files"):
            BackgroundServer(Settings(port=0)).start()

    def test_ctrl_c_while_it_starts_leaves_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        start, heard, main = Server.start, threading.Event(), threading.get_ident()

        async def start_interrupted(server: Server) -> None:
            await start(server)
            signal.pthread_kill(main, signal.SIGINT)
            assert heard.wait(10), "it is not ready before the main thread has heard of it"

        def hear(*_: object) -> NoReturn:
            heard.set()
            raise KeyboardInterrupt

        monkeypatch.setattr(Server, "start", start_interrupted)
        before = signal.signal(signal.SIGINT, hear)
        try:
            with pytest.raises(KeyboardInterrupt):
                BackgroundServer(Settings(port=0)).start()
        finally:
            signal.signal(signal.SIGINT, before)


def test_what_goes_wrong_at_the_end_is_told_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stop = Server.stop

    async def stop_and_fail(server: Server, drain_seconds: float | None = None) -> None:
        await stop(server, drain_seconds)
        refuse()

    monkeypatch.setattr(Server, "stop", stop_and_fail)
    background = BackgroundServer(Settings(port=0))
    background.start()
    with pytest.raises(RuntimeError, match="not today"):
        background.stop()
    background.stop()


def test_a_forked_process_is_told_that_the_server_is_not_its_own() -> None:
    def ask_and_stop() -> None:
        with pytest.raises(RuntimeError, match="forked from"):
            background.call(lambda server: server.addresses)
        background.stop()

    with BackgroundServer(Settings(port=0)) as background:
        assert in_a_fork(ask_and_stop)
        assert_serves(background.port)
