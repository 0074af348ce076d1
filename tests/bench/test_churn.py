"""Clients that change channels, and what is asked of the server afterwards."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
import pytest

from callboard_bench.api import App
from callboard_bench.clients import pace
from callboard_bench.clients.churn import SUBSCRIBE, Churn, ChurnSpec, HeardOf, Held
from callboard_bench.clients.link import Wire
from callboard_bench.clients.part import Parts, Schedule
from callboard_bench.clock import monotonic_ns
from callboard_bench.generator import Desk
from callboard_bench.stamps import EVENT, stamped_data
from callboard_bench.targets.target import Address
from support.small_pusher import HangUp, SmallPusher, Stall, refused, small_pusher

CLIENTS = 5


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SmallPusher]:
    # Only what never comes is waited for so long.
    monkeypatch.setattr(pace, "_QUIET_NS", 300_000_000)
    async with small_pusher() as server:
        yield server


def counters() -> memoryview:
    return memoryview(bytearray(32)).cast("Q")


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk(counters())
    yield desk
    for part in desk.kept(Parts).all:
        part.close()


async def storm(server: SmallPusher, desk: Desk, rate: float = 100) -> Churn:
    """Let five clients go through four channels for a tenth of a second."""
    wire = Wire(Address("127.0.0.1", server.port), "/app/key")
    spec = ChurnSpec(wire, App("1", "key", "secret"), "bench", 4, CLIENTS, 0, rate)
    part = spec.part(desk.counters)
    desk.keep(Parts([part]))
    await part.open()
    start = monotonic_ns()
    await part.run(Schedule(start, start, start + 100_000_000))
    return part


def publish(server: SmallPusher, channel: str, number: int, to: str | None = None) -> None:
    """Send a message to who is on a channel, under the name of another one if told so."""
    data = stamped_data(number, 0, "", 220)
    message = orjson.dumps({"event": EVENT, "channel": to or channel, "data": data})
    for client in server.clients:
        if channel in client.channels:
            client.send(message)


async def test_every_change_of_the_schedule_is_answered_and_timed(
    server: SmallPusher, desk: Desk
) -> None:
    found = (await storm(server, desk)).findings()

    assert len(found.times[SUBSCRIBE].latencies) == 10
    assert not found.refused


async def test_without_a_rate_a_client_changes_again_when_it_was_answered(
    server: SmallPusher, desk: Desk
) -> None:
    found = (await storm(server, desk, math.inf)).findings()

    assert len(found.times[SUBSCRIBE].latencies) > CLIENTS
    assert not found.refused


async def test_a_stall_makes_every_change_late_that_was_due_meanwhile(
    server: SmallPusher, desk: Desk
) -> None:
    server.tamper = Stall(server, CLIENTS, 0.1)
    latencies = (await storm(server, desk)).findings().times[SUBSCRIBE].latencies

    assert len(latencies) == 10
    # The sixth was due in the middle of the stall, and its client was still waiting.
    assert latencies.percentile(50) >= 40_000


async def test_public_and_private_channels_take_turns(server: SmallPusher, desk: Desk) -> None:
    part = await storm(server, desk)

    names = [part.spec.channel(number) for number in range(4)]
    assert names == ["bench-0", "private-bench-1", "bench-2", "private-bench-3"]


async def test_the_server_and_the_clients_agree_on_who_is_where(
    server: SmallPusher, desk: Desk
) -> None:
    await storm(server, desk)
    held = await Held().answer(desk)

    there: dict[str, int] = {}
    for client in server.clients:
        (channel,) = client.channels
        there[channel] = there.get(channel, 0) + 1
    assert held == there


async def test_a_change_that_is_never_answered_is_told(server: SmallPusher, desk: Desk) -> None:
    def swallow(receiver: str, message: dict[str, Any]) -> Sequence[dict[str, Any]]:
        return [] if server.asked > CLIENTS else [message]

    server.tamper = swallow
    found = (await storm(server, desk)).findings()
    assert found.refused["a subscription was never answered"] == CLIENTS


async def test_a_refused_change_is_counted_with_the_servers_words(
    server: SmallPusher, desk: Desk
) -> None:
    server.refusal = refused(CLIENTS + 2, "No more channels")
    found = (await storm(server, desk)).findings()

    assert any("No more channels" in words for words in found.refused)


async def test_what_is_published_afterwards_reaches_everybody(
    server: SmallPusher, desk: Desk
) -> None:
    await storm(server, desk)
    for channel in await Held().answer(desk):
        publish(server, channel, 0)
        publish(server, channel, 1)
    tally = await HeardOf(2).answer(desk)

    assert tally.audited().fault() is None
    assert tally.expected == 2 * CLIENTS


async def test_a_client_that_the_server_forgot_has_lost_what_is_published(
    server: SmallPusher, desk: Desk
) -> None:
    await storm(server, desk)
    server.clients[0].channels.clear()
    for channel in await Held().answer(desk):
        publish(server, channel, 0)

    assert (await HeardOf(1).answer(desk)).audited().fault() == f"1 of {CLIENTS} lost"


async def test_a_message_of_a_channel_that_was_left_is_misrouted(
    server: SmallPusher, desk: Desk
) -> None:
    await storm(server, desk)
    held = await Held().answer(desk)
    channel = next(iter(held))
    publish(server, channel, 0, to="bench-left")
    for each in held:
        publish(server, each, 0)

    assert (await HeardOf(1).answer(desk)).misrouted == held[channel]


async def test_a_connection_that_the_server_ends_is_a_fault_and_the_others_change_on(
    server: SmallPusher, desk: Desk
) -> None:
    hang_up = HangUp(server, "0", "pusher_internal:subscription_succeeded")

    def later(receiver: str, message: dict[str, Any]) -> Sequence[dict[str, Any]]:
        return hang_up(receiver, message) if server.asked > CLIENTS else [message]

    server.tamper = later
    found = (await storm(server, desk)).findings()

    assert found.tally.faults() == (
        "1 connections ended early: the server closed the connection without a word"
    )
    assert not found.refused
    assert len(found.times[SUBSCRIBE].latencies) == 8
