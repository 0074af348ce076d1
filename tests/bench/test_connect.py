"""Connections that come and stay, and signed requests, tiny."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest

from callboard_bench.clients.connector import Crowd
from callboard_bench.clients.link import WS, XHR_POLLING, XHR_STREAMING, Wire
from callboard_bench.clients.refusals import PublishRefused
from callboard_bench.errors import in_words
from callboard_bench.generator import Counts, GeneratorFailed
from callboard_bench.rounds import Round, Unwatched
from callboard_bench.scenarios import connect, trigger
from callboard_bench.targets.server_process import ServerFailed
from callboard_bench.targets.started import callboard, floor
from callboard_bench.targets.target import Address, Target
from support.bench_target import opened
from support.faulty_service import FaultyService, faulty_service

STALL_SECONDS = 1.0
SHORT: dict[str, Any] = {"seconds": 0.3, "warm_up": 0.1}


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    yield from opened(callboard())


@pytest.fixture(scope="module")
def bare() -> Iterator[Target]:
    yield from opened(floor(connect.SCENARIO.floors[0].arguments))


@pytest.fixture(scope="module")
def verifier() -> Iterator[Target]:
    yield from opened(floor(trigger.SCENARIO.floors[0].arguments))


@pytest.fixture
async def service() -> AsyncIterator[FaultyService]:
    async with faulty_service() as service:
        yield service


@pytest.fixture(autouse=True)
def unsettled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let memory be read at once: the figures are not looked at here."""
    monkeypatch.setattr(connect, "_SETTLE_SECONDS", 0.0)


async def connected(target: Target, **load: Any) -> Round:
    given = {"connections": 20, **load}
    return await connect.run(target, connect.Load(**given), Unwatched())


@pytest.mark.parametrize(
    ("transport", "rate"), [(WS, math.inf), (WS, 200.0), (XHR_STREAMING, 200.0), (XHR_POLLING, 200)]
)
async def test_all_connect_stay_and_leave(target: Target, transport: str, rate: float) -> None:
    round_ = await connected(target, transport=transport, rate=rate, generators=2, hold=0.1)

    assert round_.fault is None
    assert round_.values["connections"] == 18
    assert len(round_.curves["connect to subscribed"]) == 18
    keys = {metric.key for metric in connect.SCENARIO.metrics(connect.Load(hold=1))}
    assert keys <= round_.values.keys()
    assert not any(math.isnan(round_.values[key]) for key in keys)


@pytest.mark.parametrize("load", [{"shared_channel": True}, {"no_subscribe": True}])
async def test_they_need_no_channel_of_their_own(target: Target, load: dict[str, bool]) -> None:
    assert (await connected(target, **load)).fault is None


async def test_the_bare_server_takes_them_too(bare: Target) -> None:
    round_ = await connected(bare)

    assert round_.fault is None
    assert round_.values["connections"] == 18


async def test_a_connection_that_does_not_stay_is_a_fault(service: FaultyService) -> None:
    running = asyncio.ensure_future(connected(service.target, hold=0.5))
    await service.until(lambda: sum(bool(each.channels) for each in service.clients) == 20)
    service.clients[7].end()
    round_ = await running

    assert round_.fault is not None
    assert round_.fault.startswith("1 connections ended that were to stay: the server closed")
    assert math.isnan(round_.values["bytes_per_connection"])


async def test_a_refused_connection_ends_the_round_with_the_servers_words(
    service: FaultyService,
) -> None:
    error = {"message": "Account over quota", "code": 4004}
    service.greeting = json.dumps({"event": "pusher:error", "data": error})

    with pytest.raises(GeneratorFailed) as raised:
        await connected(service.target)
    assert in_words(raised.value) == "the server said Account over quota (4004)"


async def test_where_a_server_lets_no_more_in_it_is_told_how_many_were_by_then(
    service: FaultyService,
) -> None:
    running = asyncio.ensure_future(connected(service.target))
    await service.until(lambda: sum(bool(each.channels) for each in service.clients) == 2)
    error = {"message": "Over capacity", "code": 4100}
    service.greeting = json.dumps({"event": "pusher:error", "data": error})

    with pytest.raises(GeneratorFailed) as raised:
        await running
    assert in_words(raised.value).endswith("(4100); 2 clients were connected by then")


async def test_on_a_schedule_a_client_sets_out_however_many_are_under_way(
    service: FaultyService,
) -> None:
    service.greeting = '{"event":"not:yet"}'
    crowd = Crowd(Wire.to(service.target), memoryview(bytearray(32)).cast("Q"))
    coming = asyncio.ensure_future(crowd.come(["bench"] * 10, rate=1000))
    await service.until(lambda: len(service.clients) == 10)
    for client in service.clients:
        client.end()

    with pytest.raises(ExceptionGroup):
        await coming


async def test_clients_leave_when_told(service: FaultyService) -> None:
    cells = memoryview(bytearray(8 * len(Counts._fields))).cast("Q")
    crowd = Crowd(Wire.to(service.target), cells)
    arrivals = await crowd.come(["bench", ""], rate=math.inf)

    assert len(arrivals.recorded.latencies) == Counts(*cells).connected == 2
    assert [client.channels for client in service.clients] == [["bench"], []]
    crowd.leave()
    assert (Counts(*cells).connected, crowd.lost) == (0, [])


def test_beyond_the_ports_of_one_address_connections_come_from_others() -> None:
    wire = Wire(Address("localhost", 6001, ip="127.0.0.1"), "/app/key", before=19_999)

    assert "local_addr" not in wire.endpoint(0)
    assert wire.endpoint(1)["local_addr"] == ("127.0.0.2", 0)
    assert wire.endpoint(20_001)["local_addr"] == ("127.0.0.3", 0)
    assert "local_addr" not in Wire(Address("::1", 6001), "/app/key", before=50_000).endpoint(1)
    assert "local_addr" not in Wire(Address("192.0.2.1", 1), "/app/key", before=50_000).endpoint(1)


async def test_memory_of_a_server_that_has_room_by_now_is_not_told(target: Target) -> None:
    round_ = await connected(replace(target, used=True), hold=0.001)

    assert math.isnan(round_.values["bytes_per_connection"])
    assert math.isnan(round_.values["bytes_per_connection_held"])
    assert round_.values["rss_after_mib"] > 0
    assert any("that of the first round" in warning for warning in round_.warnings)


class Killing(Unwatched):
    """Kills a server before its connections leave."""

    def __init__(self, target: Target) -> None:
        self._pid = target.pids[0]

    def phase(self, name: str, total: int | None = None) -> None:
        if name == "leaving":
            os.kill(self._pid, signal.SIGKILL)
            # It has lost its memory a moment before its parent can know that it has ended.
            os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT)


async def test_a_server_that_dies_meanwhile_has_no_memory() -> None:
    with pytest.raises(ServerFailed, match="callboard ended with status -9"):
        async with callboard().open() as target:
            load = connect.Load(connections=20)
            round_ = await connect.run(target, load, Killing(target))

    assert math.isnan(round_.values["rss_left_mib"])
    assert round_.values["rss_after_mib"] > 0


async def test_connections_are_never_more_a_second_than_were_due(target: Target) -> None:
    round_ = await connected(target, connections=4, rate=50.0, generators=2)

    assert round_.values["connections_per_second"] <= 50


def test_two_ways_to_subscribe_at_once_are_refused() -> None:
    with pytest.raises(ValueError, match="--shared-channel and --no-subscribe contradict"):
        connect.Load(shared_channel=True, no_subscribe=True)


async def triggered(target: Target, **load: Any) -> Round:
    given = {"connections": 3, "distinct": 10, **SHORT, **load}
    return await trigger.run(target, trigger.Load(**given), Unwatched())


@pytest.mark.parametrize(("rate", "batch", "generators"), [(math.inf, 1, 2), (100.0, 3, 2)])
async def test_signed_requests_are_answered(
    target: Target, rate: float, batch: int, generators: int
) -> None:
    round_ = await triggered(target, rate=rate, batch=batch, generators=generators)

    assert round_.fault is None
    assert round_.values["requests"] > 0
    assert round_.values["events_per_second"] == pytest.approx(
        batch * round_.values["requests_per_second"]
    )
    assert len(round_.curves["latency"]) > 0


async def test_the_verifying_floor_answers_them_too(verifier: Target) -> None:
    assert (await triggered(verifier)).values["requests"] > 0


async def test_fewer_requests_than_generators_are_sent_by_fewer(verifier: Target) -> None:
    round_ = await triggered(verifier, distinct=1, generators=2)
    assert round_.values["requests"] > 0


async def test_a_stall_at_the_end_of_the_window_shows_in_the_latencies(
    service: FaultyService,
) -> None:
    loop, answered, end = asyncio.get_running_loop(), 0, 0.0

    async def stall_at_last(body: bytes) -> tuple[int, bytes]:
        nonlocal answered, end
        answered += 1
        # From a third of the window on nobody is answered before its end.
        if answered == 30:
            end = loop.time() + STALL_SECONDS
        await asyncio.sleep(max(0.0, end - loop.time()))
        return 200, b"{}"

    service.answer = stall_at_last
    round_ = await triggered(service.target, rate=100, warm_up=0, seconds=0.9)

    assert len(round_.curves["latency"]) == pytest.approx(90, abs=1)
    assert round_.values["p99_ms"] >= 1000 * STALL_SECONDS * 0.9
    (warning,) = (each for each in round_.warnings if "in their time" in each)
    assert "lower --rate" in warning
    assert "never" not in warning


async def test_a_refused_request_ends_the_round_with_status_and_body(
    service: FaultyService,
) -> None:
    async def refuse(body: bytes) -> tuple[int, bytes]:
        return 401, b"Unknown auth_key"

    service.answer = refuse
    with pytest.raises(GeneratorFailed, match="answered with 401 b'Unknown auth_key': the key or"):
        await triggered(service.target)


async def test_a_refused_request_is_a_share_of_those_made(service: FaultyService) -> None:
    async def refuse_every_fifth(body: bytes) -> tuple[int, bytes]:
        return (503, b"busy") if len(service.requests) % 5 == 1 else (200, b"{}")

    service.answer = refuse_every_fifth
    round_ = await triggered(service.target, rate=200, warm_up=0, seconds=0.5)

    assert round_.requests is not None
    assert 15 < round_.requests.refused_percent < 25
    assert str(round_.fault_beyond()).endswith("the first with 503 b'busy'")
    assert round_.fault_beyond(0, 50) is None
    assert len(round_.curves["latency"]) == pytest.approx(80, abs=2)
    assert not [warning for warning in round_.warnings if "never" in warning]


async def test_few_requests_of_which_none_was_accepted_are_no_figures(
    service: FaultyService,
) -> None:
    async def refuse(body: bytes) -> tuple[int, bytes]:
        return 503, b"busy"

    service.answer = refuse
    with pytest.raises(PublishRefused, match="answered with 503 b'busy'"):
        await triggered(service.target, rate=10, warm_up=0, seconds=0.3)


def test_a_run_does_not_outlive_its_signatures() -> None:
    with pytest.raises(ValueError, match="a signature is valid for ten minutes"):
        trigger.Load(seconds=500, warm_up=1)
