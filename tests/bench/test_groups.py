"""Groups that send client events, at servers that do as they should and at others."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from callboard_bench.api import App
from callboard_bench.clients import groups, pace
from callboard_bench.clients.groups import LATENCY, GroupsSpec
from callboard_bench.clients.link import Wire
from callboard_bench.clients.part import Findings
from callboard_bench.targets.target import Address
from callboard_bench.websocket import Unexpected
from support.bench_target import found_in_a_moment
from support.small_pusher import HangUp, SmallPusher, Tamper, refused, small_pusher

SOCKETS = 3
CLIENT_EVENT = "client-load"


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SmallPusher]:
    # Only what never comes is waited for so long.
    monkeypatch.setattr(pace, "_QUIET_NS", 300_000_000)
    monkeypatch.setattr(groups, "_TRIED_SECONDS", 0.3)
    async with small_pusher() as server:
        yield server


async def talk(server: SmallPusher, rate: float = 40) -> Findings:
    """Let two groups talk for a tenth of a second, all of which counts."""
    wire = Wire(Address("127.0.0.1", server.port), "/app/key")
    channels = ["private-0", "private-1"]
    spec = GroupsSpec(wire, App("1", "key", "secret"), channels, SOCKETS, rate, 220)
    part = spec.part(memoryview(bytearray(32)).cast("Q"))
    return await found_in_a_moment(part)


class Once:
    """Does something to the n-th client event that one socket is to hear."""

    def __init__(self, number: int, instead: Sequence[str]) -> None:
        self._countdown = number
        self._instead = instead
        self._held: dict[str, Any] | None = None

    def __call__(self, receiver: str, message: dict[str, Any]) -> Sequence[dict[str, Any]]:
        if message["event"] != CLIENT_EVENT or receiver != "0":
            return [message]
        if self._held is not None and sender(self._held) == sender(message):
            held, self._held = self._held, None
            return [message, held]
        self._countdown -= 1
        if self._countdown:
            return [message]
        if self._instead == ["later"]:
            self._held = message
            return []
        return [message] * len(self._instead)


def sender(message: dict[str, Any]) -> str:
    return str(message["data"]["load"].split(":")[1])


async def test_nothing_is_wrong_with_a_server_that_does_as_it_should(server: SmallPusher) -> None:
    found = await talk(server)

    assert found.tally.audited().fault() is None
    assert found.tally.faults() is None
    assert not found.refused


async def test_every_delivery_of_the_schedule_is_expected_and_timed(server: SmallPusher) -> None:
    found = await talk(server)
    sent = 2 * SOCKETS * 4

    assert len(found.times[LATENCY].latencies) == sent * (SOCKETS - 1)
    # One is sent beforehand, to see whether any are relayed.
    assert found.tally.expected == (sent + 1) * (SOCKETS - 1)


async def test_without_a_rate_the_next_is_sent_when_all_have_heard_the_last(
    server: SmallPusher,
) -> None:
    found = await talk(server, math.inf)

    assert found.tally.expected > 2 * SOCKETS * (SOCKETS - 1)
    assert found.tally.audited().fault() is None


@pytest.mark.parametrize(
    ("instead", "word"),
    [([], "lost"), (["now", "now"], "duplicated"), (["later"], "out of order")],
)
async def test_what_one_socket_does_not_hear_rightly_is_a_fault(
    server: SmallPusher, instead: list[str], word: str
) -> None:
    server.tamper = Once(2, instead)
    audited = (await talk(server)).tally.audited()

    assert audited.fault() == f"1 of {audited.expected} {word}"


async def test_the_last_event_lost_is_a_fault_too(server: SmallPusher) -> None:
    of_one_socket = 4 * (SOCKETS - 1)
    server.tamper = Once(of_one_socket, [])

    assert (await talk(server)).tally.lost == 1


async def test_who_hears_itself_hears_too_much(server: SmallPusher) -> None:
    def echo(receiver: str, message: dict[str, Any]) -> Sequence[dict[str, Any]]:
        if message["event"] != CLIENT_EVENT:
            return [message]
        return [message, {**message, "data": {"load": own(message, receiver)}}]

    server.tamper = echo
    found = await talk(server)
    assert found.tally.duplicates > 0


def own(message: dict[str, Any], receiver: str) -> str:
    mark, _, *rest = message["data"]["load"].split(":")
    return ":".join([mark, f"{int(receiver):06d}", *rest])


async def test_an_event_of_another_group_is_misrouted(server: SmallPusher) -> None:
    def stray(receiver: str, message: dict[str, Any]) -> Sequence[dict[str, Any]]:
        if message["event"] != CLIENT_EVENT:
            return [message]
        return [message, {**message, "data": {"load": own(message, "999")}}]

    server.tamper = stray
    assert "a channel that was not subscribed to" in str((await talk(server)).tally.faults())


async def test_a_server_that_relays_data_as_text_is_understood(server: SmallPusher) -> None:
    def as_text(receiver: str, message: dict[str, Any]) -> Sequence[dict[str, Any]]:
        if message["event"] != CLIENT_EVENT:
            return [message]
        return [{**message, "data": f'{{"load":"{message["data"]["load"]}"}}'}]

    server.tamper = as_text
    assert (await talk(server)).tally.audited().fault() is None


async def test_a_server_that_refuses_client_events_is_quoted_before_the_load(
    server: SmallPusher,
) -> None:
    server.refusal = refused(2 * SOCKETS, "Client events are not enabled")

    with pytest.raises(Unexpected, match="Client events are not enabled"):
        await talk(server)


async def test_a_server_that_drops_client_events_is_found_out_before_the_load(
    server: SmallPusher,
) -> None:
    server.deaf = True

    with pytest.raises(Unexpected, match="neither relayed nor refused"):
        await talk(server)


async def test_refusals_under_load_are_counted_and_what_was_refused_is_lost(
    server: SmallPusher,
) -> None:
    server.refusal = refused(2 * SOCKETS + 10, "Too many", 4301)
    found = await talk(server)

    ((words, count),) = found.refused.items()
    assert "Too many" in words and "4301" in words
    assert found.tally.lost == count * (SOCKETS - 1)


async def test_a_connection_that_the_server_ends_is_a_fault_and_the_others_talk_on(
    server: SmallPusher,
) -> None:
    server.tamper = after(SOCKETS - 1, HangUp(server, "1", CLIENT_EVENT))
    found = await talk(server)

    assert found.tally.faults() == (
        "1 connections ended early: the server closed the connection without a word"
    )
    assert not found.refused
    assert found.tally.received > 0


def after(count: int, tamper: Tamper) -> Tamper:
    """Leave the first few client events alone: with them it is tried whether any are relayed."""
    seen = 0

    def later(receiver: str, message: dict[str, Any]) -> Sequence[dict[str, Any]]:
        nonlocal seen
        seen += message["event"] == CLIENT_EVENT
        return [message] if seen <= count else tamper(receiver, message)

    return later
