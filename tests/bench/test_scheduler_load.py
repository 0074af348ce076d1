from __future__ import annotations

import asyncio
import itertools
import math
import statistics
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from callboard_bench.api import App
from callboard_bench.keepalive import KeepAlive
from callboard_bench.scheduler import pace, volley
from callboard_bench.scheduler.caller import Caller, CallRefused
from callboard_bench.scheduler.chance import arrivals
from callboard_bench.scheduler.pace import paced
from callboard_bench.scheduler.server import Server
from callboard_bench.scheduler.tcp_bytes import carried_bytes
from callboard_bench.scheduler.timings import Timings
from callboard_bench.scheduler.volley import fire

MS = 1_000_000


class HeldTime:
    """A monotonic clock that moves when somebody sleeps, or is told to."""

    def __init__(self) -> None:
        self.ns = 0

    async def sleep(self, seconds: float) -> None:
        self.ns += round(seconds * 1e9)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> HeldTime:
    held = HeldTime()
    monkeypatch.setattr(pace, "monotonic_ns", lambda: held.ns)
    monkeypatch.setattr(asyncio, "sleep", held.sleep)
    return held


async def test_submits_come_at_their_times(time: HeldTime) -> None:
    assert [number async for number in paced(3, 0.02)] == [0, 20 * MS, 40 * MS]


async def test_a_stall_counts_from_when_a_submit_was_due(time: HeldTime) -> None:
    numbers = []
    async for number in paced(5, 0.02):
        numbers.append(number)
        if len(numbers) == 2:
            # The answer to the second takes until after the fourth was due.
            time.ns += 50 * MS
    assert numbers == [0, 20 * MS, 40 * MS, 60 * MS, 80 * MS]
    assert time.ns == 80 * MS


async def test_the_first_submit_cannot_be_late(time: HeldTime) -> None:
    async for number in paced(1, 0.02):
        assert number == time.ns == 0


def test_percentiles_of_timings_are_milliseconds() -> None:
    timings = Timings((0, n * MS) for n in range(1, 101))
    timings.add(0, 500 * MS)

    assert len(timings) == 101
    assert timings.values("start") == {
        "start_p50": 51.0,
        "start_p90": 91.0,
        "start_p99": 100.0,
        "start_p99.9": 500.0,
        "start_max": 500.0,
    }
    assert timings.last(1).values("start")["start_p50"] == 500.0


@asynccontextmanager
async def answering(answer: Callable[[bytes], bytes]) -> AsyncIterator[tuple[str, int]]:
    """Serve lines: the answer to one is what ``answer`` returns, empty to close."""

    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        while line := await reader.readline():
            reply = answer(line.strip())
            if not reply:
                break
            writer.write(reply)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()
    await asyncio.gather(*serving)


def ok(line: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(line), line)


async def test_a_volley_sends_each_request_once_and_keeps_their_order() -> None:
    taken: list[bytes] = []

    def answer(line: bytes) -> bytes:
        taken.append(line)
        return ok(line)

    requests = [b"request %d\n" % n for n in range(20)]
    async with answering(answer) as address:
        fired = await fire(*address, requests, connections=3)

    assert fired.answers == [request.strip() for request in requests]
    assert sorted(taken) == sorted(fired.answers)
    assert fired.began_ns < fired.ended_ns


async def test_a_refused_request_ends_the_volley() -> None:
    def answer(line: bytes) -> bytes:
        if line == b"2":
            return b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 5\r\n\r\nfull\n"
        return ok(line)

    async with answering(answer) as address:
        with pytest.raises(CallRefused, match="answered with 429 b'full"):
            await fire(*address, [b"1\n", b"2\n", b"3\n"], connections=1)


async def test_a_server_that_closes_ends_the_volley() -> None:
    async with answering(lambda line: b"") as address:
        with pytest.raises(ConnectionError, match="closed a kept-alive connection"):
            await fire(*address, [b"1\n"], connections=1)


async def test_calls_go_on_after_the_server_has_closed_an_idle_connection() -> None:
    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ok(b"{}"))
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        connection = await KeepAlive.open(host, port)
        caller = Caller(Server(host, port, 1, App("app", "key", "secret")), connection)
        assert await caller.get("queues") == {}
        while not connection.closed:
            await asyncio.sleep(0)

        assert await caller.get("queues") == {}
        caller.close()


async def test_a_stall_of_a_volley_counts_from_when_a_request_was_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = HeldTime()
    monkeypatch.setattr(volley, "monotonic_ns", lambda: held.ns)

    def answer(line: bytes) -> bytes:
        # While this connection waits for its first answer, its second request becomes due.
        held.ns += 50 * MS
        return ok(line)

    async with answering(answer) as address:
        fired = await fire(*address, [b"1\n", b"2\n"], 1, schedule=[0.0, 0.02])

    assert fired.since_ns == [0, 20 * MS]
    assert fired.answered_ns == [50 * MS, 100 * MS]


async def test_a_request_is_not_sent_before_it_is_due() -> None:
    taken: list[bytes] = []

    def answer(line: bytes) -> bytes:
        taken.append(line)
        return ok(line)

    async with answering(answer) as address:
        fired = await fire(*address, [b"1\n", b"2\n"], 2, schedule=[0.0, 0.05])

    assert taken == [b"1", b"2"]
    # Counted from when it was sent: a late timer is not the server's.
    assert fired.since_ns[1] >= fired.began_ns + 49 * MS


def test_arrivals_are_independent_and_come_again() -> None:
    times = arrivals(rate=1000, seconds=50, seed=7)
    gaps = [after - before for before, after in itertools.pairwise(times)]

    assert times == arrivals(rate=1000, seconds=50, seed=7)
    assert times != arrivals(rate=1000, seconds=50, seed=8)
    assert times == sorted(times)
    assert 0 < times[0] <= times[-1] < 50
    assert len(times) == pytest.approx(50_000, rel=0.03)
    # Of exponentially distributed gaps, the deviation is the mean, and 1/e are above it.
    assert statistics.pstdev(gaps) == pytest.approx(0.001, rel=0.05)
    assert sum(gap > 0.001 for gap in gaps) / len(gaps) == pytest.approx(1 / math.e, rel=0.05)


async def test_the_kernel_counts_what_connections_carry() -> None:
    async with answering(ok) as (host, port):
        assert carried_bytes(port) == 0
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"12345\n")
        answer = ok(b"12345")
        assert await reader.readexactly(len(answer)) == answer

        assert carried_bytes(port) == len(b"12345\n") + len(answer)

        writer.close()
        await writer.wait_closed()
