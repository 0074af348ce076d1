"""Members that leave in turn and come back, at servers that do as they should and at others."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
import pytest

from callboard_bench.api import App
from callboard_bench.clients import pace
from callboard_bench.clients.link import Wire
from callboard_bench.clients.part import Findings
from callboard_bench.clients.presence import JOIN, SEEN, PresenceSpec
from callboard_bench.targets.target import Address
from callboard_bench.websocket import Unexpected
from support.bench_target import found_in_a_moment
from support.small_pusher import HangUp, SmallPusher, Stall, refused, small_pusher

MEMBERS = 4
ADDED, REMOVED = "pusher_internal:member_added", "pusher_internal:member_removed"
SUCCEEDED = "pusher_internal:subscription_succeeded"


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SmallPusher]:
    # Only what never comes is waited for so long.
    monkeypatch.setattr(pace, "_QUIET_NS", 300_000_000)
    async with small_pusher() as server:
        yield server


async def storm(server: SmallPusher, rate: float = 100, channels: int = 1) -> Findings:
    """Run a tenth of a second, all of which counts, and return what was found."""
    wire = Wire(Address("127.0.0.1", server.port), "/app/key")
    names = [f"presence-{number}" for number in range(channels)]
    part = PresenceSpec(wire, App("1", "key", "secret"), names, MEMBERS, rate).part(counters())
    return await found_in_a_moment(part)


def counters() -> memoryview:
    return memoryview(bytearray(32)).cast("Q")


class Once:
    """Lets one resident hear the first event of a kind in the storm so many times."""

    def __init__(self, event: str, times: int) -> None:
        self._event = event
        self._times = times
        self._left = False
        self._done = False

    def __call__(self, receiver: str, message: dict[str, Any]) -> Sequence[dict[str, Any]]:
        # Before the first has left, all of them are still coming.
        self._left |= message["event"] == REMOVED
        if self._done or receiver != "0" or not self._left or message["event"] != self._event:
            return [message]
        self._done = True
        return [message] * self._times


class TooLate:
    """Lets one resident hear that somebody has left only after it has come back."""

    def __init__(self) -> None:
        self._held: dict[str, Any] | None = None
        self._done = False

    def __call__(self, receiver: str, message: dict[str, Any]) -> Sequence[dict[str, Any]]:
        if receiver != "0" or self._done:
            return [message]
        if self._held is None:
            if message["event"] != REMOVED:
                return [message]
            self._held = message
            return []
        if user_of(message) != user_of(self._held):
            return [message]
        self._done = True
        return [message, self._held]


def user_of(message: dict[str, Any]) -> str:
    return str(orjson.loads(message["data"])["user_id"])


async def test_nothing_is_wrong_with_a_server_that_does_as_it_should(server: SmallPusher) -> None:
    found = await storm(server, channels=2)

    assert found.tally.audited().fault() is None
    assert not found.refused
    assert found.tally.received == found.tally.expected > 0


async def test_every_turn_of_the_schedule_is_timed(server: SmallPusher) -> None:
    found = await storm(server)

    assert len(found.times[JOIN].latencies) == 10
    assert len(found.times[SEEN].latencies) == 10


async def test_without_a_rate_each_turn_follows_the_answer_of_one_before(
    server: SmallPusher,
) -> None:
    found = await storm(server, math.inf)

    assert len(found.times[JOIN].latencies) > 2
    assert found.tally.audited().fault() is None


async def test_a_stall_makes_every_turn_late_that_was_due_meanwhile(server: SmallPusher) -> None:
    server.tamper = Stall(server, MEMBERS, 0.1)
    latencies = (await storm(server)).times[JOIN].latencies

    assert len(latencies) == 10
    # The second turn was due after a tenth of the stall, and there was nobody to take it.
    assert latencies.percentile(90) >= 80_000


@pytest.mark.parametrize("event", [ADDED, REMOVED])
@pytest.mark.parametrize(("times", "word"), [(0, "lost"), (2, "duplicated")])
async def test_what_one_resident_does_not_hear_once_is_a_fault(
    server: SmallPusher, event: str, times: int, word: str
) -> None:
    server.tamper = Once(event, times)
    audited = (await storm(server)).tally.audited()

    assert audited.fault() == f"1 of {audited.expected} {word}"


async def test_a_leave_heard_of_after_the_next_join_is_out_of_order(server: SmallPusher) -> None:
    server.tamper = TooLate()
    audited = (await storm(server)).tally.audited()

    assert audited.fault() == f"1 of {audited.expected} out of order"


async def test_a_roster_without_somebody_who_is_there_is_a_loss(server: SmallPusher) -> None:
    def forget_one(receiver: str, message: dict[str, Any]) -> Sequence[dict[str, Any]]:
        if receiver == "0" or message["event"] != SUCCEEDED:
            return [message]
        data = orjson.loads(message["data"])
        data["presence"]["hash"].pop("0", None)
        return [{**message, "data": orjson.dumps(data).decode()}]

    server.tamper = forget_one
    assert (await storm(server)).tally.lost > 0


async def test_a_refused_member_fails_the_opening_in_the_servers_words(
    server: SmallPusher,
) -> None:
    server.refusal = refused(2, "The channel is full")

    with pytest.raises(ExceptionGroup) as raised:
        await storm(server)
    assert raised.group_contains(Unexpected, match="The channel is full")


async def test_a_member_refused_in_the_storm_is_counted_with_its_words(
    server: SmallPusher,
) -> None:
    server.refusal = refused(MEMBERS + 3, "Not now", 4301)
    found = await storm(server)

    assert any("Not now" in words and "4301" in words for words in found.refused)
    assert any("never answered" in words for words in found.refused)


async def test_a_member_event_of_a_stranger_is_told(server: SmallPusher) -> None:
    def strange(receiver: str, message: dict[str, Any]) -> Sequence[dict[str, Any]]:
        if message["event"] != REMOVED:
            return [message]
        return [message, {**message, "data": '{"user_id":"nobody"}'}]

    server.tamper = strange
    assert any("nobody of this run" in words for words in (await storm(server)).refused)


@pytest.mark.parametrize("user", ["0", str(MEMBERS - 1)])
async def test_a_connection_that_the_server_ends_is_a_fault_and_the_storm_goes_on(
    server: SmallPusher, user: str
) -> None:
    server.tamper = HangUp(server, user, REMOVED)
    found = await storm(server)

    assert found.tally.faults() == (
        "1 connections ended early: the server closed the connection without a word"
    )
    assert not found.refused
    # Its end is seen by the others, as a leave.
    assert found.tally.audited().fault() is None
