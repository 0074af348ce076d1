"""Names are looked up, and a lookup that does not return holds nothing up."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from queue import Queue
from time import perf_counter

import pytest
import uvloop
from aiohttp.abc import ResolveResult

from callboard_server.background import BackgroundServer
from callboard_server.server import Server
from callboard_server.settings import AppSettings, Settings, WebhookSettings
from callboard_server.webhooks.posting import HTTPPoster
from callboard_server.webhooks.resolving import DetachedResolver, look_up
from support.websocket import WebSocketPeer

PATIENCE_SECONDS = 10.0
LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


class NameServer:
    """Answers each lookup once it is released, and not before."""

    def __init__(self) -> None:
        #: The names asked for, in order.
        self.asked: Queue[str] = Queue()
        self.threads: list[threading.Thread] = []
        self._released: dict[str, threading.Event] = {}
        self._all_released = False

    def look_up(self, host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
        released = self._released.setdefault(host, threading.Event())
        self.threads.append(threading.current_thread())
        self.asked.put(host)
        if not self._all_released:
            released.wait()
        return [answer(host, port)]

    def release(self, host: str) -> None:
        self._released[host].set()

    def release_all(self) -> None:
        """Answer everything, and return when no thread is left."""
        self._all_released = True
        for released in list(self._released.values()):
            released.set()
        for thread in list(self.threads):
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()

    async def next(self) -> str:
        return await asyncio.to_thread(self.asked.get, timeout=PATIENCE_SECONDS)


def answer(host: str, port: int) -> ResolveResult:
    return ResolveResult(
        hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0
    )


@pytest.fixture
def names() -> Iterator[NameServer]:
    names = NameServer()
    yield names
    names.release_all()


class TestLookups:
    async def test_answer_with_addresses_that_can_be_connected_to(self) -> None:
        found = await DetachedResolver().resolve("localhost", 80)

        assert {each["host"] for each in found} <= {"127.0.0.1", "::1"}
        assert {(each["hostname"], each["port"]) for each in found} == {("localhost", 80)}

    def test_keep_the_scope_of_an_address_that_has_one(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1", 80, 0, 1))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [found])

        (result,) = look_up("printer.example.com", 80, socket.AF_UNSPEC)

        assert result["host"] == f"fe80::1%{socket.if_indextoname(1)}"

    async def test_that_fail_say_why(self) -> None:
        def fail(*_: object) -> list[ResolveResult]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        resolver = DetachedResolver(fail, at_once=1)

        for _ in range(2):
            with pytest.raises(socket.gaierror, match="Name or service not known"):
                await resolver.resolve("nowhere.example.com", 80)

    async def test_are_bounded_with_those_that_nobody_waits_for(self, names: NameServer) -> None:
        resolver = DetachedResolver(names.look_up, at_once=2)
        a, b, c = (asyncio.ensure_future(resolver.resolve(name, 80)) for name in "abc")
        assert {await names.next(), await names.next()} == {"a", "b"}

        a.cancel()
        await asyncio.wait([a])
        assert len(names.threads) == 2
        names.release("b")

        assert await b == [answer("b", 80)]
        assert await names.next() == "c"
        names.release("c")
        assert await c == [answer("c", 80)]

    async def test_give_their_turn_back_even_if_nobody_hears_the_answer(
        self, names: NameServer
    ) -> None:
        resolver = DetachedResolver(names.look_up, at_once=1)
        a = asyncio.ensure_future(resolver.resolve("a", 80))
        await names.next()
        a.cancel()
        await asyncio.wait([a])
        b = asyncio.ensure_future(resolver.resolve("b", 80))

        names.release("a")

        assert await names.next() == "b"
        names.release("b")
        await b

    async def test_without_a_thread_fail_and_give_their_turn_back(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        resolver = DetachedResolver(lambda host, port, _: [answer(host, port)], at_once=1)

        def none_left(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", none_left)
            with pytest.raises(OSError, match="no thread is left to look the name up"):
                await resolver.resolve("a", 80)

        assert await resolver.resolve("a", 80) == [answer("a", 80)]


class TestTheEnd:
    """A lookup is still waiting for its answer."""

    @pytest.mark.parametrize("new_loop", LOOPS)
    def test_the_loop_closes_at_once_and_the_late_answer_is_nobodys(
        self, new_loop: Callable[[], asyncio.AbstractEventLoop], names: NameServer
    ) -> None:
        async def give_up() -> set[asyncio.Task[None]]:
            lookup = asyncio.ensure_future(
                DetachedResolver(names.look_up).resolve("never.example.com", 80)
            )
            while names.asked.empty():
                await asyncio.sleep(0.001)
            lookup.cancel()
            await asyncio.wait([lookup])
            return asyncio.all_tasks() - {asyncio.current_task()}

        loop = new_loop()
        assert loop.run_until_complete(give_up()) == set()
        began = perf_counter()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

        assert perf_counter() - began < 2
        (thread,) = names.threads
        assert thread.is_alive()
        # What the thread raises now would fail the test.
        names.release_all()

    def test_a_server_stops_in_time(self, names: NameServer) -> None:
        resolving = partial(HTTPPoster, resolver=DetachedResolver(names.look_up))
        webhook = WebhookSettings(url="http://never.example.com/")
        app = AppSettings(id="1", key="app-key", secret="s3cret", webhooks=(webhook,))
        server = BackgroundServer(
            Settings(port=0, apps=(app,)), make_server=partial(Server, make_poster=resolving)
        )
        server.start()
        try:
            with WebSocketPeer(server.port, "/app/app-key?protocol=7") as peer:
                peer.established().subscribe("c")
                assert names.asked.get(timeout=PATIENCE_SECONDS) == "never.example.com"
        finally:
            began = perf_counter()
            server.stop()

        assert perf_counter() - began < 5
        (thread,) = names.threads
        assert thread.is_alive()

    def test_the_process_ends(self) -> None:
        script = """
import asyncio, threading
from callboard_server.webhooks.resolving import DetachedResolver

async def main():
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()

    def never(*name):
        loop.call_soon_threadsafe(asked.set)
        threading.Event().wait()

    lookup = asyncio.ensure_future(DetachedResolver(never).resolve("never.example.com"))
    await asked.wait()
    lookup.cancel()

asyncio.run(main())
print("ended")
"""
        ended = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False
        )

        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "ended\n", "")
