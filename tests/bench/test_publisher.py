from __future__ import annotations

import asyncio
from collections.abc import Callable

import orjson
import pytest

from callboard_bench.api import App, cut_answer
from callboard_bench.clock import monotonic_ns
from callboard_bench.keepalive import KeepAlive
from callboard_bench.publisher import Publisher, PublishRefused
from callboard_bench.stamps import read_stamp
from callboard_bench.websocket import Unexpected
from callboard_protocol.rest_signature import SignedRequest, verify

APP = App("app", "key", "secret")


class Recorder(KeepAlive):
    """Answers requests itself, after ``answer`` has had its say, and keeps them."""

    def __init__(self, answer: Callable[[], tuple[int, bytes]] = lambda: (200, b"{}")) -> None:
        super().__init__()
        self.requests: list[bytes] = []
        self.times: list[int] = []
        self._reply = answer

    async def request(self, request: bytes) -> tuple[int, bytes]:
        self.times.append(monotonic_ns())
        self.requests.append(request)
        await asyncio.sleep(0)
        return self._reply()

    @property
    def stamps(self) -> list[tuple[int, int]]:
        stamps = (read_stamp(request) for request in self.requests)
        return [stamp[1:] for stamp in stamps if stamp is not None]


def publisher(connection: KeepAlive) -> Publisher:
    return Publisher(connection, APP, ("127.0.0.1", 80), "bench")


async def test_every_message_is_numbered_signed_and_sent_at_its_time() -> None:
    connection = Recorder()
    sender = publisher(connection)
    start = monotonic_ns()
    await sender.publish(5, rate=100, message_bytes=220)

    assert sender.published == 5
    assert [sequence for sequence, _ in connection.stamps] == [0, 1, 2, 3, 4]
    assert connection.times[-1] - start >= 4 / 100 * 1e9 * 0.9
    head, _, body = connection.requests[0].partition(b"\r\n\r\n")
    path, _, query = head.split(b" ")[1].partition(b"?")
    now = int(query.partition(b"auth_timestamp=")[2].split(b"&")[0])
    assert verify(SignedRequest("POST", path, query, body), "key", "secret", now) == {}
    assert orjson.loads(body)["channel"] == "bench"


async def test_a_stall_of_the_server_is_counted_as_latency() -> None:
    def stall() -> tuple[int, bytes]:
        if len(connection.requests) == 1:
            until = monotonic_ns() + 30_000_000
            while monotonic_ns() < until:
                pass
        return 200, b"{}"

    connection = Recorder(stall)
    await publisher(connection).publish(10, rate=100, message_bytes=220)

    # The second was due 10 ms after the first and left 30 ms after it, when the answer came.
    (_, first), (_, second) = connection.stamps[:2]
    assert second - first <= 10_000_000
    assert connection.times[1] - second >= 20_000_000


async def test_a_server_that_cannot_keep_up_gets_fewer_when_the_time_is_up() -> None:
    def slow() -> tuple[int, bytes]:
        until = monotonic_ns() + 20_000_000
        while monotonic_ns() < until:
            pass
        return 200, b"{}"

    sender = publisher(Recorder(slow))
    await sender.publish(100, rate=1000, message_bytes=220)

    # One each 20 ms until 100 ms are over.
    assert 1 <= sender.published <= 6


async def test_a_refused_publish_says_why() -> None:
    sender = publisher(Recorder(lambda: (401, b"Unknown auth_key\n")))

    with pytest.raises(PublishRefused, match="401 b'Unknown auth_key"):
        await sender.publish(1, rate=10, message_bytes=220)


def test_an_answer_is_cut_off_when_it_is_whole() -> None:
    answer = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\n\r\nno\n"

    assert cut_answer(answer + b"HTTP") == (401, b"no\n", b"HTTP")
    assert [cut_answer(answer[:end]) for end in range(len(answer))] == [None] * len(answer)
    with pytest.raises(Unexpected):
        cut_answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
