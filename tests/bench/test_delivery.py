"""Fan-out and many channels, tiny: against a real server, and against one that does it wrong."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson
import pytest

from callboard_bench import rounds
from callboard_bench.clients.link import TRANSPORTS
from callboard_bench.clients.refusals import PublishRefused
from callboard_bench.generator import GeneratorFailed
from callboard_bench.rounds import Round, Unwatched
from callboard_bench.scenarios import channels, fanout, publishing
from callboard_bench.targets.started import callboard, floor
from callboard_bench.targets.target import Target
from support.bench_target import opened
from support.faulty_service import FaultyService, faulty_service

SHORT: dict[str, Any] = {"seconds": 0.3, "warm_up": 0.1}
STALL_SECONDS = 0.2


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    yield from opened(callboard())


@pytest.fixture
async def service() -> AsyncIterator[FaultyService]:
    async with faulty_service() as service:
        service.answer = Deliveries(service).publish
        yield service


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is missing be given up soon."""
    monkeypatch.setattr(publishing, "_QUIET_SECONDS", 0.5)


class Deliveries:
    """What a service makes of publishes; a method is there to be done wrong."""

    def __init__(self, service: FaultyService) -> None:
        self.service = service
        self.count = 0

    async def publish(self, body: bytes) -> tuple[int, bytes]:
        # What has none is the probe's.
        if body:
            self.count += 1
            await self.deliver(orjson.loads(body))
        return 200, b"{}"

    async def deliver(self, event: dict[str, str]) -> None:
        message = {"event": event["name"], "channel": event["channel"], "data": event["data"]}
        for client in self.service.clients:
            if event["channel"] in client.channels:
                await client.say(json.dumps(message))


async def fanned_out(target: Target, **load: Any) -> Round:
    given = {"subscribers": 3, "rate": 50.0, **SHORT, **load}
    return await fanout.run(target, fanout.Load(**given), Unwatched())


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_all_is_heard_over_every_transport(target: Target, transport: str) -> None:
    round_ = await fanned_out(target, transport=transport, publishers=3)

    assert round_.fault_beyond() is None
    assert round_.audit is not None
    assert round_.audit.expected > round_.values["deliveries"] > 0
    assert len(round_.curves["latency"]) == round_.values["deliveries"]
    assert {metric.key for metric in fanout.SCENARIO.metrics(fanout.Load())} == round_.values.keys()


async def test_a_timeline_tells_when_messages_were_due_and_what_the_server_used(
    target: Target,
) -> None:
    round_ = await fanned_out(target, seconds=0.6, rate=20)

    assert round_.timeline is not None
    series = round_.timeline.series
    assert sum(series["deliveries_per_second"]) / 2 == round_.values["deliveries"]
    assert len(series["p99_ms"]) == len(series["deliveries_per_second"])
    assert all(mib > 0 for mib in series["server_rss_mib"])


async def test_without_a_rate_the_pace_is_the_servers_and_the_table_says_so(
    target: Target,
) -> None:
    load = fanout.Load(subscribers=2, rate=math.inf, probe=True, **SHORT)
    round_ = await fanout.run(target, load, Unwatched())

    assert "as fast as they are answered (closed loop)" in load.setting()
    assert round_.fault_beyond() is None
    assert len(round_.curves["loop lag"]) > 0


async def test_channels_take_turns_in_batches_and_are_divided_among_generators(
    target: Target,
) -> None:
    load = channels.Load(
        channels=6, subscribers=2, rate=100.0, batch=4, publishers=2, generators=2, **SHORT
    )
    round_ = await channels.run(target, load, Unwatched())

    assert round_.fault_beyond() is None
    assert round_.values["deliveries"] > 0


def test_the_floor_delivers_too() -> None:
    (arguments,) = (each.arguments for each in fanout.SCENARIO.floors)
    for target in opened(floor(arguments)):
        round_ = asyncio.run(fanned_out(target))
        assert round_.fault_beyond() is None
        assert round_.values["deliveries"] > 0


async def test_a_lost_delivery_is_counted_against_all_there_had_to_be(
    service: FaultyService,
) -> None:
    class Losing(Deliveries):
        async def deliver(self, event: dict[str, str]) -> None:
            if self.count != 2:
                await super().deliver(event)

    service.answer = Losing(service).publish
    round_ = await fanned_out(service.target)

    assert round_.audit is not None
    assert (round_.audit.lost, round_.audit.duplicated, round_.audit.reordered) == (3, 0, 0)
    assert round_.fault_beyond(allowed_percent=50) is None


async def test_a_message_of_another_channel_is_a_fault(service: FaultyService) -> None:
    class Misrouting(Deliveries):
        async def deliver(self, event: dict[str, str]) -> None:
            await super().deliver(event)
            if self.count == 1:
                message = {"event": event["name"], "channel": "bench-x", "data": event["data"]}
                await self.service.clients[0].say(json.dumps(message))

    service.answer = Misrouting(service).publish
    round_ = await fanned_out(service.target)

    assert round_.fault == "1 messages of a channel that was not subscribed to"


async def test_a_stall_of_the_server_shows_in_the_latencies(service: FaultyService) -> None:
    class Stalling(Deliveries):
        async def deliver(self, event: dict[str, str]) -> None:
            if self.count == 10:
                await asyncio.sleep(STALL_SECONDS)
            await super().deliver(event)

    service.answer = Stalling(service).publish
    round_ = await fanned_out(service.target, rate=100, seconds=0.5, warm_up=0)

    # The messages that were due meanwhile waited as well: a tenth of a second, most of them.
    assert round_.values["p99_ms"] >= 1000 * STALL_SECONDS * 0.9
    assert round_.curves["latency"].percentile(90) >= 1_000_000 * STALL_SECONDS / 4


async def test_a_server_that_cannot_keep_up_is_told_from_one_that_can(
    service: FaultyService,
) -> None:
    class Slow(Deliveries):
        async def deliver(self, event: dict[str, str]) -> None:
            await asyncio.sleep(0.01)
            await super().deliver(event)

    service.answer = Slow(service).publish
    round_ = await fanned_out(service.target, rate=200)

    assert any("of 60 messages in their time" in warning for warning in round_.warnings)
    assert round_.values["publishes_per_second"] <= 100
    assert round_.audit is not None
    assert round_.audit.lost == 0


async def test_a_server_that_refuses_every_publish_ends_the_round_with_status_and_body(
    service: FaultyService,
) -> None:
    async def refuse(body: bytes) -> tuple[int, bytes]:
        return 413, b"The data content of this event exceeds the allowed maximum"

    service.answer = refuse
    with pytest.raises(GeneratorFailed, match=r"answered with 413 b'The data .*--message-bytes"):
        await fanned_out(service.target, rate=math.inf)


async def test_few_publishes_of_which_none_was_accepted_are_no_figures(
    service: FaultyService,
) -> None:
    async def refuse(body: bytes) -> tuple[int, bytes]:
        return 503, b"busy"

    service.answer = refuse
    with pytest.raises(PublishRefused, match="answered with 503 b'busy'"):
        await fanned_out(service.target, rate=20)


async def test_a_refused_publish_is_a_share_and_no_loss(service: FaultyService) -> None:
    class Refusing(Deliveries):
        async def publish(self, body: bytes) -> tuple[int, bytes]:
            if len(self.service.requests) == 3:
                return 500, b"oh"
            return await super().publish(body)

    service.answer = Refusing(service).publish
    round_ = await fanned_out(service.target)

    assert round_.requests is not None
    assert round_.requests.refused == 1
    assert round_.audit is not None
    assert round_.audit.fault() is None
    assert "requests refused" in str(round_.fault_beyond())
    assert str(round_.fault_beyond()).endswith("the first with 500 b'oh'")
    assert round_.fault_beyond(0, 50) is None
    assert not any("in their time" in warning for warning in round_.warnings)


async def test_of_a_server_whose_processes_are_unknown_no_cost_is_told(
    service: FaultyService,
) -> None:
    round_ = await fanned_out(service.target)

    assert round_.fault_beyond() is None
    assert round_.values["deliveries"] > 0
    for key in ("cpu_us", "cpu_user_us", "server_core_percent"):
        assert math.isnan(round_.values[key])


async def test_a_busy_generator_is_named_as_what_may_have_been_the_limit(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "BUSY_SHARE", -1.0)
    round_ = await fanned_out(target)

    assert any(
        warning.startswith("the generator kept") and warning.endswith("have been the limit")
        for warning in round_.warnings
    )


@pytest.mark.parametrize(
    ("rate", "said"), [(1_000_000, "1,000,000 m"), (1234.5, "1,234.5 m"), (0.1, "0.1 m")]
)
def test_a_rate_is_told_in_digits(rate: float, said: str) -> None:
    assert said in fanout.Load(rate=rate).setting()


@pytest.mark.parametrize("load", [fanout.Load, channels.Load])
def test_a_message_without_room_for_its_number_is_refused(load: Any) -> None:
    with pytest.raises(ValueError, match="--message-bytes is at least"):
        load(message_bytes=20)
