"""What a server's list of channels has wrong, and what it makes of what is published to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest

from callboard_bench.api import App, cut_answer
from callboard_bench.scenarios import occupancy
from callboard_bench.scenarios.occupancy import publish_to, wrongly_occupied
from callboard_bench.targets.target import Address, Target
from callboard_bench.websocket import Unexpected


class Api(asyncio.Protocol):
    """Answers every request with what the test says."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._answers.transports.append(transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        request = self._data
        if request.startswith(b"POST"):
            # To the parser a request is an answer but for its first line.
            cut = cut_answer(b"HTTP/1.1 200 OK" + request[request.index(b"\r\n") :])
            if cut is None:
                return
            self._answers.published.append(orjson.loads(cut[1]))
        self._data = b""
        status, body = self._answers.next()
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)


class Answers:
    def __init__(self, *answers: tuple[int, bytes]) -> None:
        self._answers = list(answers)
        self.published: list[dict[str, object]] = []
        self.transports: list[asyncio.Transport] = []

    def next(self) -> tuple[int, bytes]:
        """Return the next answer; the last one for ever."""
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


@asynccontextmanager
async def target_of(answers: Answers) -> AsyncIterator[Target]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Api(answers), "127.0.0.1", 0)
    where = Address("127.0.0.1", server.sockets[0].getsockname()[1])
    try:
        yield Target("api", App("1", "key", "secret"), where, where)
    finally:
        server.close()
        for transport in answers.transports:
            transport.close()
        await server.wait_closed()


def listing(*channels: str) -> tuple[int, bytes]:
    return 200, orjson.dumps({"channels": {name: {} for name in channels}})


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(occupancy, "_SETTLE_SECONDS", 0.05)
    monkeypatch.setattr(occupancy, "_ASK_AGAIN_SECONDS", 0.01)


async def wrong(answers: Answers, *occupied: str) -> list[str]:
    async with target_of(answers) as target:
        return await wrongly_occupied(target, ["bench"], set(occupied))


async def test_a_list_of_the_channels_that_somebody_is_on_is_right() -> None:
    assert await wrong(Answers(listing("bench-1", "bench-2")), "bench-1", "bench-2") == []


async def test_channels_of_others_are_no_concern_of_this_run() -> None:
    assert await wrong(Answers(listing("bench-1", "news")), "bench-1") == []


async def test_a_channel_may_take_a_moment_to_be_vacated() -> None:
    answers = Answers(listing("bench-1", "bench-2"), listing("bench-1"))

    assert await wrong(answers, "bench-1") == []


async def test_a_channel_that_is_never_vacated_is_named() -> None:
    assert await wrong(Answers(listing("bench-1", "bench-2")), "bench-1") == [
        "1 channels that nobody is on it calls occupied, such as 'bench-2'"
    ]


async def test_a_channel_that_is_not_listed_is_named() -> None:
    assert await wrong(Answers(listing()), "bench-1") == [
        "1 channels with subscribers it does not list, such as 'bench-1'"
    ]


async def test_an_empty_list_for_no_channels_is_understood() -> None:
    assert await wrong(Answers((200, b'{"channels":[]}'))) == []


@pytest.mark.parametrize("answer", [(500, b"oh"), (200, b"[]"), (200, b"oh")])
async def test_an_answer_without_channels_is_quoted(answer: tuple[int, bytes]) -> None:
    with pytest.raises(Unexpected, match=f"answered with {answer[0]}"):
        await wrong(Answers(answer), "bench-1")


async def test_a_trigger_names_a_hundred_channels_at_most() -> None:
    answers = Answers((200, b"{}"))
    async with target_of(answers) as target:
        await publish_to(target, [f"bench-{number}" for number in range(250)], 1)

    named = [request["channels"] for request in answers.published]
    assert [len(each) for each in named if isinstance(each, list)] == [100, 100, 50]


async def test_a_publish_that_is_refused_is_quoted() -> None:
    async with target_of(Answers((413, b"too large"))) as target:
        with pytest.raises(Unexpected, match="413 b'too large'"):
            await publish_to(target, ["bench-1"], 1)
