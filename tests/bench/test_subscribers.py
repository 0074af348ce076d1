"""What subscribers notice, over every transport, of a service that does not do what it should."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator

import pytest

from callboard_bench.audit import Tally
from callboard_bench.clients.link import TRANSPORTS, WS, XHR_POLLING, XHR_STREAMING, Wire
from callboard_bench.clients.session import keep_alive
from callboard_bench.clients.subscribers import Subscribers
from callboard_bench.generator import Counts
from callboard_bench.recording import Recording
from callboard_bench.stamps import EVENT, stamped_data
from callboard_bench.websocket import Unexpected
from support.faulty_service import HEARTBEAT, FaultyService, faulty_service

CHANNEL = "bench"


@pytest.fixture
async def service() -> AsyncIterator[FaultyService]:
    async with faulty_service() as service:
        yield service


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def numbered(
    sequence: int, channel: str = CHANNEL, stream: int = 0, sent_ns: int = 0, size: int = 220
) -> str:
    data = stamped_data(sequence, sent_ns, channel, size, stream)
    return json.dumps({"event": EVENT, "channel": channel, "data": data})


class Group:
    """Subscribers of one channel, and the clients that the service has for them."""

    def __init__(self, service: FaultyService, transport: str, streams: int = 1) -> None:
        self.cells = memoryview(bytearray(8 * len(Counts._fields))).cast("Q")
        self.subscribers = Subscribers(Wire.to(service.target, transport), streams, self.cells)
        self.service = service

    async def subscribe(self, count: int) -> Group:
        await self.subscribers.subscribe([CHANNEL] * count)
        return self

    async def say(self, *messages: tuple[str, ...]) -> None:
        """Send each subscriber its own messages."""
        for client, sent in zip(self.service.clients, messages, strict=True):
            if sent:
                await client.say(*sent)

    async def heard(self, *published: int) -> Tally:
        """Return what was found of so many messages in each stream, once all is heard."""
        counts = {CHANNEL: published}
        await self.subscribers.arrived(counts, quiet_seconds=0.3, timeout_seconds=5)
        return self.subscribers.finish(counts)


GOOD = tuple(map(numbered, range(3)))


async def test_every_message_once_and_in_order_is_no_fault(
    service: FaultyService, transport: str
) -> None:
    group = await Group(service, transport).subscribe(2)
    await group.say(GOOD, GOOD)
    tally = await group.heard(3)

    assert (tally.faults(), tally.audited().fault()) == (None, None)
    assert (tally.expected, tally.received) == (6, 6)


@pytest.mark.parametrize(
    ("sequences", "fault"),
    [
        ((0, 2), "1 of 9 lost"),
        ((0, 1, 1, 2), "1 of 9 duplicated"),
        ((0, 2, 1), "1 of 9 out of order"),
        ((), "3 of 9 lost"),
    ],
)
async def test_the_fault_of_one_subscriber_is_not_hidden_by_the_others(
    service: FaultyService, transport: str, sequences: tuple[int, ...], fault: str
) -> None:
    group = await Group(service, transport).subscribe(3)
    await group.say(GOOD, tuple(map(numbered, sequences)), GOOD)

    assert (await group.heard(3)).audited().fault() == fault


async def test_a_message_of_another_channel_is_a_fault(
    service: FaultyService, transport: str
) -> None:
    group = await Group(service, transport).subscribe(1)
    await group.say((*GOOD, numbered(3, "bench-other")))
    tally = await group.heard(3)

    assert tally.audited().fault() is None
    assert tally.faults() == "1 messages of a channel that was not subscribed to"


async def test_streams_have_an_order_each_and_none_between_them(
    service: FaultyService, transport: str
) -> None:
    group = await Group(service, transport, streams=2).subscribe(2)
    mixed = tuple(numbered(number, stream=stream) for number, stream in ((0, 1), (0, 0), (1, 1)))
    swapped = tuple(numbered(number, stream=stream) for number, stream in ((0, 0), (1, 1), (0, 1)))
    await group.say(mixed, swapped)

    assert (await group.heard(1, 2)).audited().fault() == "1 of 6 out of order"


async def test_a_connection_that_ends_early_is_a_fault(
    service: FaultyService, transport: str
) -> None:
    group = await Group(service, transport).subscribe(1)
    service.clients[0].end()
    await group.subscribers.arrived({CHANNEL: [1]}, quiet_seconds=0.3, timeout_seconds=5)

    assert group.subscribers.finish({}).faults() == (
        "1 connections ended early: the server closed the connection without a word"
    )
    assert Counts(*group.cells).failed == 1


async def test_latency_runs_from_when_a_message_was_due_and_only_in_the_window(
    service: FaultyService, transport: str
) -> None:
    group = await Group(service, transport).subscribe(2)
    group.subscribers.record(Recording(1_000, sys.maxsize))
    messages = tuple(numbered(number, sent_ns=1_000 * number) for number in range(4))
    await group.say(messages, messages)
    await group.heard(4)

    recorded = group.subscribers.record(Recording()).result()
    assert len(recorded.latencies) == 2 * 3
    assert recorded.per_second() == [2 * 3 * 2]


async def test_a_number_that_nobody_sent_ends_the_audit(
    service: FaultyService, transport: str
) -> None:
    group = await Group(service, transport).subscribe(1)
    await group.say((numbered(9_999_999_999),))

    with pytest.raises(Unexpected, match="message 9999999999 was never sent"):
        await group.heard(1)


async def test_a_refused_subscriber_fails_with_the_servers_words(
    service: FaultyService, transport: str
) -> None:
    error = {"message": "App key key not in this cluster", "code": 4001}
    service.greeting = json.dumps({"event": "pusher:error", "data": error})

    with pytest.raises(ExceptionGroup) as raised:
        await Group(service, transport).subscribe(1)
    (refused,) = raised.value.exceptions
    assert isinstance(refused, Unexpected)
    assert str(refused) == "the server said App key key not in this cluster (4001)"


async def test_a_ping_of_the_server_is_answered(service: FaultyService, transport: str) -> None:
    await Group(service, transport).subscribe(1)
    (client,) = service.clients
    await client.say('{"event":"pusher:ping","data":{}}')

    await service.until(lambda: "pusher:pong" in [each["event"] for each in client.said])


async def test_a_silent_connection_is_asked_for_a_sign_of_life(
    service: FaultyService, transport: str
) -> None:
    service.activity_timeout = 1
    group = await Group(service, transport).subscribe(1)
    (client,) = service.clients
    beating = asyncio.ensure_future(keep_alive(group.subscribers.members))
    ping = "pusher:ping" if transport == WS else "heartbeat"
    client.said.clear()
    await service.until(lambda: ping in [each["event"] for each in client.said])
    beating.cancel()


async def test_a_stream_is_posted_again_where_pusher_js_gives_it_up(
    service: FaultyService,
) -> None:
    group = await Group(service, XHR_STREAMING).subscribe(1)
    (client,) = service.clients
    for first in range(0, 60, 20):
        await client.say(*(numbered(number, size=10_000) for number in range(first, first + 20)))
    tally = await group.heard(60)

    assert tally.audited().fault() is None
    assert (len(service.clients), client.receives) == (1, 3)


async def test_a_stream_answers_heartbeats_and_a_poll_does_not(service: FaultyService) -> None:
    await Group(service, XHR_STREAMING).subscribe(1)
    await Group(service, XHR_POLLING).subscribe(1)
    streaming, polling = service.clients
    polls = polling.receives
    await polling.say(HEARTBEAT)
    await service.until(lambda: polling.receives > polls)
    await streaming.say(HEARTBEAT)
    await service.until(lambda: streaming.said == [{"event": "heartbeat"}])

    assert polling.said == []


@pytest.mark.parametrize("transport", [XHR_STREAMING, XHR_POLLING])
async def test_a_server_without_the_fallback_is_told_with_the_path_that_was_asked_for(
    service: FaultyService, transport: str
) -> None:
    wire = Wire.to(service.target, transport, http_path="/elsewhere")

    with pytest.raises(ExceptionGroup) as raised:
        await Subscribers(wire, 1, memoryview(bytearray(32)).cast("Q")).subscribe([CHANNEL])
    (refused,) = raised.value.exceptions
    assert str(refused).startswith("/elsewhere/app/key/")
    assert "was answered with 404 b'404: Not Found': it may not speak" in str(refused)
