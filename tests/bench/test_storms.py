"""Presence, client events, churn, and all at once, tiny, against a real server."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import AsyncMock

import pytest

from callboard_bench.api import App
from callboard_bench.command import scenario_command
from callboard_bench.errors import in_words
from callboard_bench.generator import Counts, GeneratorFailed
from callboard_bench.process import Cpu, Use
from callboard_bench.rounds import Unwatched
from callboard_bench.scenario import Floor
from callboard_bench.scenarios import churn, client_events, mixed, presence
from callboard_bench.scenarios.parts import Window, off_pace
from callboard_bench.targets.started import callboard, floor
from callboard_bench.targets.target import Address, Target
from callboard_bench.websocket import Unexpected
from support.bench_target import opened

SHORT: dict[str, Any] = {"seconds": 0.2, "warm_up": 0.05}
LOADS: dict[str, Any] = {
    "presence": (presence, presence.Load(2, 6, 50, **SHORT)),
    "presence max": (presence, presence.Load(1, 8, math.inf, **SHORT)),
    "client-events": (
        client_events,
        client_events.Load(4, 3, 5, False, 220, generators=2, **SHORT),
    ),
    "client-events max": (client_events, client_events.Load(2, 2, math.inf, True, 220, **SHORT)),
    "churn": (churn, churn.Load(6, 8, 100, generators=2, **SHORT)),
    "churn max": (churn, churn.Load(6, 8, math.inf, **SHORT)),
    "mixed": (mixed, mixed.Load("chat", 4, 4, 20, 8, 20, 4, **SHORT)),
}
COUNTED = {
    "presence": "joins",
    "client-events": "deliveries",
    "churn": "changes",
    "mixed": "triggers_per_second",
}


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    yield from opened(callboard())


@pytest.fixture(scope="module")
def relay() -> Iterator[Target]:
    (arguments,) = (each.arguments for each in client_events.SCENARIO.floors)
    yield from opened(floor(arguments))


@pytest.mark.parametrize("name", LOADS)
async def test_a_storm_finds_nothing_wrong_with_the_server(name: str, target: Target) -> None:
    module, load = LOADS[name]
    round_ = await module.run(target, load, Unwatched())

    assert round_.fault_beyond() is None
    assert round_.audit.expected > 0
    assert round_.values[COUNTED[name.removesuffix(" max")]] > 0
    assert {metric.key for metric in module.SCENARIO.metrics(load)} <= set(round_.values)
    assert "p99_ms" in round_.timeline.series
    assert round_.curves


async def test_the_relay_has_the_same_load(relay: Target) -> None:
    _, load = LOADS["client-events"]
    round_ = await client_events.run(relay, load, Unwatched())

    assert round_.fault_beyond() is None
    assert round_.values["deliveries"] > 0


async def test_a_storm_goes_over_another_transport_too(target: Target) -> None:
    load = presence.Load(1, 6, 20, transport="xhr_polling", **SHORT)
    round_ = await presence.run(target, load, Unwatched())

    assert round_.fault_beyond() is None
    assert round_.values["joins"] > 0


async def test_a_server_that_is_not_of_this_machine_has_no_costs(target: Target) -> None:
    module, load = LOADS["churn"]
    round_ = await module.run(replace(target, pids=()), load, Unwatched())

    assert round_.fault_beyond() is None
    costs = ("cpu_us", "rss_before_mib", "rss_after_mib", "server_core_percent")
    assert all(math.isnan(round_.values[key]) for key in costs)


async def test_a_server_that_is_silent_after_the_storm_is_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(churn, "_ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(churn, "ask_all", AsyncMock(return_value=[{"bench": 1}]))
    given_up = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        given_up.set()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        where = Address("127.0.0.1", server.sockets[0].getsockname()[1])
        silent = Target("silent", App("1", "key", "secret"), where, where)
        with pytest.raises(Unexpected, match=r"did not answer its API within 0\.05 s"):
            await churn.afterwards(silent, [], "bench")
        await given_up.wait()


@pytest.mark.parametrize(("transport", "floors"), [("ws", 1), ("xhr_polling", 0)])
def test_the_floor_takes_part_where_it_speaks_the_transport(
    transport: str, floors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Sequence[Floor]] = []

    def contenders(choice: object, floors: Sequence[Floor]) -> None:
        found.append(floors)
        raise ValueError("enough")

    monkeypatch.setattr("callboard_bench.command.contenders", contenders)
    command = scenario_command(client_events.SCENARIO, "")
    with pytest.raises(SystemExit):
        command.main(["--transport", transport], prog_name="client-events")
    assert [len(each) for each in found] == [floors]


@pytest.mark.parametrize("name", LOADS)
def test_a_setting_tells_a_closed_loop_and_another_transport(name: str) -> None:
    _, load = LOADS[name]

    assert ("(closed loop)" in load.setting()) == name.endswith(" max")
    assert "over" not in load.setting()
    assert " over xhr_polling" in replace(load, transport="xhr_polling").setting()


def window(server_share: float) -> Window:
    use = Use(1.0, Cpu(server_share, 0.0), server_share, 0.1, 0.1, 0.0)
    return Window(use, Counts(0, 0, 0, 0), [], {}, [])


@pytest.mark.parametrize(
    ("done", "offered", "said"),
    [
        (99, 100.0, []),
        (90, 100.0, ["the server did 90 in the window of the 100 that were offered"]),
        (90, math.inf, ["the server was busy for 50% of the time only: add --clients"]),
    ],
)
def test_a_pace_that_was_not_kept_is_told(done: int, offered: float, said: list[str]) -> None:
    assert off_pace(window(0.5), done, offered, "add --clients") == said
    assert off_pace(window(0.95), 90, math.inf, "add --clients") == []


def test_a_profile_says_what_is_not_given() -> None:
    load = mixed.Load("dashboard", fanout=7, channels=0)

    assert load.sizes == {"fanout": 7, "triggers": 100, "churn": 100}
    assert load.connections == 107
    assert "7 fan-out" in load.setting()


def test_the_table_has_the_lines_of_the_parts_that_there_are() -> None:
    load = mixed.Load("chat", channels=0, client_events=0, presence=0, churn=0)
    keys = [metric.key for metric in mixed.metrics(load)]

    assert keys[:4] == [
        "fanout_per_second",
        "fanout_p99_ms",
        "triggers_per_second",
        "triggers_p99_ms",
    ]
    assert not any(key.startswith(("churn", "presence")) for key in keys)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"presence": 19}, "--presence is 0, or at least 20"),
        ({"client_events": 4, "generators": 2}, "--client-events is 0, or at least 4 for each"),
        (dict.fromkeys(mixed.KINDS, 0), "nobody does anything"),
    ],
)
def test_numbers_that_do_not_fit_are_refused_by_their_flag(
    given: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        mixed.Load(**given)


def test_more_client_events_than_the_protocol_allows_must_be_asked_for() -> None:
    with pytest.raises(ValueError, match="--over-limit"):
        client_events.Load(1, 2, 11, over_limit=False, message_bytes=220)


def test_a_client_event_needs_room_for_its_stamp() -> None:
    with pytest.raises(ValueError, match="--message-bytes is at least"):
        client_events.Load(1, 2, 5, over_limit=False, message_bytes=50)


async def test_a_server_that_refuses_members_is_told_with_what_to_set(target: Target) -> None:
    load = presence.Load(1, 101, 20, **SHORT)

    with pytest.raises(GeneratorFailed) as raised:
        await presence.run(target, load, Unwatched())
    assert "100" in str(raised.value)
    assert "max_presence_members" in in_words(raised.value)
