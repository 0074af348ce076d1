from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import cycle, islice

import orjson
import pytest

from callboard_bench.api import cut_answer, post
from callboard_bench.clients.hammer import Hammer
from callboard_bench.clients.pace import Turn
from callboard_bench.clients.publisher import OpenPublisher, Publisher
from callboard_bench.clients.refusals import PublishRefused
from callboard_bench.clock import monotonic_ns
from callboard_bench.generator import Counts
from callboard_bench.keepalive import KeepAlive
from callboard_bench.recording import Recording
from callboard_bench.stamps import read_stamp
from callboard_bench.targets.target import Address
from callboard_bench.websocket import Unexpected
from callboard_protocol.rest_signature import SignedRequest, verify
from support.faulty_service import APP, FaultyService, faulty_service

STALL_SECONDS = 0.2


@pytest.fixture
async def service() -> AsyncIterator[FaultyService]:
    async with faulty_service() as service:
        yield service


def cells() -> memoryview:
    return memoryview(bytearray(8 * len(Counts._fields))).cast("Q")


async def publisher(
    service: FaultyService, channels: Sequence[str] = ("bench",), lanes: int = 1, batch: int = 1
) -> Publisher:
    order = OpenPublisher(APP, service.target.api, channels, lanes, 220, batch)
    publisher = Publisher(order, cells())
    await publisher.open()
    return publisher


def stamps(service: FaultyService) -> list[tuple[int, int, int]]:
    return [stamp for body in service.requests if (stamp := read_stamp(body)) is not None]


async def test_every_message_is_numbered_and_sent_at_its_time(service: FaultyService) -> None:
    sender = await publisher(service)
    start = monotonic_ns()
    published = await sender.publish(rate=100, seconds=0.05)

    assert published.offered == 5
    assert published.counts == {"bench": (published.sent,)}
    # All five, unless this process was kept from its core until their time was up.
    assert [sequence for _, sequence, _ in stamps(service)] == list(range(published.sent))
    for number, (_, _, sent_ns) in enumerate(stamps(service)):
        assert sent_ns - start >= number * 10_000_000


async def test_numbers_go_on_in_the_next_window(service: FaultyService) -> None:
    sender = await publisher(service)
    first = await sender.publish(rate=100, seconds=0.02)
    second = await sender.publish(rate=100, seconds=0.02)

    assert second.counts == {"bench": (first.sent + second.sent,)}
    assert len(service.requests) == first.sent + second.sent


async def test_a_stall_of_the_server_counts_from_when_a_message_was_due(
    service: FaultyService,
) -> None:
    arrivals: list[int] = []

    async def stall(body: bytes) -> tuple[int, bytes]:
        arrivals.append(monotonic_ns())
        if len(arrivals) == 1:
            await asyncio.sleep(STALL_SECONDS)
        return 200, b"{}"

    service.answer = stall
    published = await (await publisher(service)).publish(rate=100, seconds=0.5)

    # The second was due 10 ms after the first, and left when the first was answered.
    (_, _, first), (_, _, second) = stamps(service)[:2]
    assert second - first <= 10_000_000
    assert arrivals[1] - second >= (STALL_SECONDS - 0.011) * 1e9
    # One stall was in the way of all that were due meanwhile.
    assert published.answers.percentile(70) >= 1000


async def test_a_server_that_cannot_keep_up_gets_fewer_when_the_time_is_up(
    service: FaultyService,
) -> None:
    async def slow(body: bytes) -> tuple[int, bytes]:
        await asyncio.sleep(0.02)
        return 200, b"{}"

    service.answer = slow
    published = await (await publisher(service)).publish(rate=1000, seconds=0.1)

    # One each 20 ms until 100 ms are over.
    assert 1 <= published.sent <= 6
    assert published.offered == 100


async def test_what_a_stall_keeps_until_the_window_is_over_leaves_then_and_counts(
    service: FaultyService,
) -> None:
    async def stall(body: bytes) -> tuple[int, bytes]:
        if len(service.requests) == 1:
            await asyncio.sleep(STALL_SECONDS)
        return 200, b"{}"

    service.answer = stall
    sender = await publisher(service)
    published = await sender.publish(rate=200, seconds=STALL_SECONDS / 2, patience_seconds=60)

    assert published.sent == published.offered == len(stamps(service)) == 20
    assert published.late >= 19
    assert published.seconds >= STALL_SECONDS
    # The one due last had been so for half of the stall.
    assert published.answers.percentile(0) >= 1_000_000 * STALL_SECONDS / 2


async def test_without_a_rate_each_answer_is_followed_by_the_next_message(
    service: FaultyService,
) -> None:
    published = await (await publisher(service)).publish(rate=math.inf, seconds=0.05)

    assert published.sent == published.offered == len(service.requests) >= 1


async def test_lanes_that_share_a_channel_number_their_own_streams(
    service: FaultyService,
) -> None:
    sender = await publisher(service, lanes=3)
    published = await sender.publish(rate=300, seconds=0.03)

    assert len(published.counts["bench"]) == 3
    for stream, count in enumerate(published.counts["bench"]):
        numbers = [number for each, number, _ in stamps(service) if each == stream]
        assert numbers == list(range(count))


async def test_channels_are_divided_among_lanes_and_take_turns(service: FaultyService) -> None:
    channels = [f"bench-{number}" for number in range(4)]
    sender = await publisher(service, channels, lanes=2)
    published = await sender.publish(rate=400, seconds=0.02)

    named = [orjson.loads(body)["channel"] for body in service.requests]
    assert published.counts == {channel: (named.count(channel),) for channel in channels}
    for lane in (0, 1):
        its_own = [name for name in named if name in channels[lane::2]]
        assert its_own == list(islice(cycle(channels[lane::2]), len(its_own)))


async def test_a_batch_is_one_request_on_several_channels(service: FaultyService) -> None:
    sender = await publisher(service, ["bench-a", "bench-b"], batch=2)
    published = await sender.publish(rate=200, seconds=0.02)

    assert published.offered == 4
    assert published.sent == 2 * len(service.requests)
    assert published.counts["bench-a"] == published.counts["bench-b"]
    events = orjson.loads(service.requests[0])["batch"]
    assert [event["channel"] for event in events] == ["bench-a", "bench-b"]


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, b"Unknown auth_key\n", r"answered with 401 b'Unknown auth_key\\n': the key or the"),
        (413, b"too large", "answered with 413 b'too large': lower --message-bytes"),
        (429, b"slow down", "answered with 429 b'slow down': lower --rate"),
        (500, b"", "answered with 500 b''$"),
    ],
)
async def test_a_refused_publish_says_why(
    service: FaultyService, status: int, body: bytes, words: str
) -> None:
    async def refuse(request: bytes) -> tuple[int, bytes]:
        return status, body

    service.answer = refuse
    with pytest.raises(ExceptionGroup) as raised:
        await (await publisher(service)).publish(rate=math.inf, seconds=60)

    with pytest.raises(PublishRefused, match=words):
        raise raised.value.exceptions[0]
    # What is about the credentials ends it at once, and the rest when it is no chance any more.
    assert len(service.requests) == (1 if status == 401 else 20)


@pytest.mark.parametrize("batch", [1, 4])
async def test_what_is_refused_of_some_was_not_published_and_its_number_is_the_nexts(
    service: FaultyService, batch: int
) -> None:
    async def refuse_every_third(body: bytes) -> tuple[int, bytes]:
        return (503, b"busy") if len(service.requests) % 3 == 1 else (200, b"{}")

    service.answer = refuse_every_third
    sender = await publisher(service, ("a", "b"), batch=batch)
    published = await sender.publish(rate=250, seconds=0.1, patience_seconds=60)

    made = published.requests
    assert (made.refused, made.first) == (math.ceil(made.asked / 3), "503 b'busy'")
    assert published.refused == made.refused * batch
    assert published.sent + published.refused == published.offered
    assert published.sent == sum(map(sum, published.counts.values()))
    assert len(published.answers) == made.asked - made.refused
    accepted: dict[str, list[int]] = {"a": [], "b": []}
    for number, body in enumerate(service.requests):
        for event in orjson.loads(body).get("batch", [orjson.loads(body)]) if number % 3 else ():
            stamp = read_stamp(orjson.dumps(event))
            assert stamp is not None
            accepted[event["channel"]].append(stamp[1])
    assert accepted == {
        channel: list(range(count)) for channel, (count,) in published.counts.items()
    }


async def test_credentials_that_were_taken_before_are_not_what_is_wrong(
    service: FaultyService,
) -> None:
    async def refuse_from_the_second(body: bytes) -> tuple[int, bytes]:
        return (403, b"over quota") if len(service.requests) > 1 else (200, b"{}")

    service.answer = refuse_from_the_second
    sender = await publisher(service)
    published = await sender.publish(rate=400, seconds=0.1, patience_seconds=60)

    assert published.requests.asked == 40
    assert published.requests.refused == 39


def test_requests_are_signed_as_a_server_checks_it() -> None:
    head, _, body = post(APP, "::1", 6001, "events", b'{"name":"load"}').partition(b"\r\n\r\n")
    path, _, query = head.split(b" ")[1].partition(b"?")
    now = int(query.partition(b"auth_timestamp=")[2].split(b"&")[0])

    assert verify(SignedRequest("POST", path, query, body), "key", "secret", now) == {}
    assert b"\r\nHost: [::1]:6001\r\n" in head


def request(service: FaultyService) -> bytes:
    where = service.target.api
    return post(APP, where.host, where.port, "events", b"{}")


async def test_requests_due_in_a_stall_count_from_when_they_were_due(
    service: FaultyService,
) -> None:
    stalled = False

    async def stall(body: bytes) -> tuple[int, bytes]:
        nonlocal stalled
        if not stalled:
            stalled = True
            await asyncio.sleep(STALL_SECONDS)
        return 200, b"{}"

    service.answer = stall
    hammer = Hammer([request(service)], 100, cells())
    hammer.recording = Recording(0, 2**62)
    await hammer.start(service.target.api, connections=1, turn=Turn())
    while hammer.answered < 25:
        await asyncio.sleep(0.001)

    # A closed loop would have seen one long answer; half of those due in the stall waited for
    # half of it.
    latencies = hammer.recording.result().latencies
    waited = sum(latencies.percentile(percent) >= 90_000 for percent in range(1, 101))
    assert waited / 100 * len(latencies) >= 8
    hammer.check()


async def test_a_free_connection_takes_what_is_due(service: FaultyService) -> None:
    held = asyncio.Event()

    async def hold_the_first(body: bytes) -> tuple[int, bytes]:
        if len(service.requests) == 1:
            await held.wait()
        return 200, b"{}"

    service.answer = hold_the_first
    hammer = Hammer([request(service)], 200, cells())
    await hammer.start(service.target.api, connections=2, turn=Turn())
    while hammer.answered < 5:
        await asyncio.sleep(0.001)
    held.set()

    assert len(service.requests) >= 6


@pytest.mark.parametrize("rate", [math.inf, 200.0])
async def test_a_refused_request_is_told_with_status_and_body(
    service: FaultyService, rate: float
) -> None:
    async def refuse(body: bytes) -> tuple[int, bytes]:
        return 429, b"slow down"

    service.answer = refuse
    counters = cells()
    hammer = Hammer([request(service)], rate, counters)
    await hammer.start(service.target.api, connections=1, turn=Turn())
    while not Counts(*counters).failed:
        await asyncio.sleep(0.001)

    with pytest.raises(Unexpected, match="answered with 429 b'slow down': lower --rate"):
        hammer.check()
    assert len(service.requests) == 20


@pytest.mark.parametrize("rate", [math.inf, 400.0])
async def test_refused_requests_are_counted_and_only_accepted_ones_timed(
    service: FaultyService, rate: float
) -> None:
    async def refuse_every_third(body: bytes) -> tuple[int, bytes]:
        return (503, b"busy") if len(service.requests) % 3 == 1 else (200, b"{}")

    service.answer = refuse_every_third
    hammer = Hammer([request(service)], rate, cells())
    hammer.recording = Recording(0, 2**62)
    await hammer.start(service.target.api, connections=1, turn=Turn())
    while hammer.answered < 30:
        await asyncio.sleep(0.001)

    made = hammer.refusals.requests(hammer.answered)
    hammer.check()
    assert (made.refused, made.first) == (math.ceil(made.asked / 3), "503 b'busy'")
    assert hammer.refused == made.refused
    assert len(hammer.recording.result().latencies) == hammer.answered


async def test_a_connection_that_the_server_closes_is_told(service: FaultyService) -> None:
    connection = await KeepAlive.to(service.target.api)
    assert await connection.request(request(service)) == (200, b"{}")
    connection.close()

    with pytest.raises(ConnectionError, match="closed the kept-alive connection"):
        await connection.request(request(service))


@asynccontextmanager
async def closing_behind_each_answer() -> AsyncIterator[tuple[Address, list[int]]]:
    """Serve as soketi does; the list has a number for each connection, its requests."""
    requests: list[int] = []
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        requests.append(0)
        place = len(requests) - 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
            requests[place] += 1
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Address(*server.sockets[0].getsockname()), requests
    await asyncio.gather(*serving)


async def test_a_connection_that_the_server_says_it_closes_is_followed_by_another() -> None:
    async with closing_behind_each_answer() as (address, requests):
        connection = await KeepAlive.to(address)
        posted = post(APP, address.host, address.port, "events", b"{}")
        for _ in range(3):
            assert await connection.request(posted) == (200, b"{}")
            assert connection.closed

    assert requests == [1, 1, 1]


@pytest.mark.parametrize("rate", [math.inf, 500.0])
async def test_requests_go_on_where_the_server_closes_behind_each_answer(rate: float) -> None:
    counters = cells()
    async with closing_behind_each_answer() as (address, requests):
        posted = post(APP, address.host, address.port, "events", b"{}")
        hammer = Hammer([posted], rate, counters)
        hammer.recording = Recording(0, 2**62)
        reconnecting = asyncio.ensure_future(hammer.reconnect())
        await hammer.start(address, connections=2, turn=Turn())
        while hammer.answered < 10:
            await asyncio.sleep(0.001)
        hammer.check()

    assert len(hammer.recording.result().latencies) >= 10
    assert max(requests) == 1
    # There is nobody any more whom the next connections could go to.
    while Counts(*counters).failed < 2:
        await asyncio.sleep(0.001)
    with pytest.raises(Unexpected, match="Connect"):
        hammer.check()
    reconnecting.cancel()
    await asyncio.wait([reconnecting])


def test_an_answer_is_cut_off_when_it_is_whole() -> None:
    answer = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\n\r\nno\n"

    assert cut_answer(answer + b"HTTP") == (401, b"no\n", b"HTTP")
    assert [cut_answer(answer[:end]) for end in range(len(answer))] == [None] * len(answer)
    assert cut_answer(b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\nHTTP") == (204, b"", b"HTTP")
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    assert cut_answer(chunked + b"HTTP") == (200, b"{}", b"HTTP")
    assert [cut_answer(chunked[:end]) for end in range(len(chunked))] == [None] * len(chunked)
    with pytest.raises(Unexpected):
        cut_answer(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
