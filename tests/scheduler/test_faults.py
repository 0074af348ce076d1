"""Workers, servers and schedulers that are killed, frozen and cut off, and what becomes of tasks.

All of them are processes. Workers write down what their functions do, in a file that outlives
them: in the end nothing is lost, and nothing has finished twice.
"""

from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from callboard.scheduling import Scheduling
from callboard_scheduler import AsyncClient, StateChanged, TaskFailed, Unavailable, Unreachable
from callboard_scheduler.client.async_task import AsyncTask
from callboard_scheduler.stores.memory import MemoryStore
from callboard_scheduler.transports import OWN
from callboard_server.background import BackgroundServer
from callboard_server.settings import Settings
from support.crew import Crew, Hand
from support.cutting_proxy import CuttingProxy
from support.task_processes import APP, PATIENCE_SECONDS, Deployment, Program

pytestmark = pytest.mark.asyncio(loop_scope="module")
KILLS = pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])


@asynccontextmanager
async def deployed(folder: Path, *, remote: bool) -> AsyncIterator[Deployment]:
    deployment = Deployment(folder, remote=remote)
    try:
        await deployment.start()
        yield deployment
    finally:
        deployment.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def embedded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """``callboard serve``; a test that ends it starts it again."""
    async with deployed(tmp_path_factory.mktemp("embedded"), remote=False) as deployment:
        yield deployment


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def remote(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """``callboard scheduler`` beside ``callboard serve``; likewise."""
    async with deployed(tmp_path_factory.mktemp("remote"), remote=True) as deployment:
        yield deployment


@pytest_asyncio.fixture(loop_scope="module")
async def crew(tmp_path: Path) -> AsyncIterator[Crew]:
    crew = Crew(tmp_path)
    yield crew
    crew.close()


@asynccontextmanager
async def client_of(deployment: Deployment) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(deployment.url, service=deployment.service) as client:
        yield client


async def result(task: AsyncTask) -> Any:
    return await task.result(PATIENCE_SECONDS)


async def outcomes(task: AsyncTask) -> list[tuple[str, str]]:
    """Return where a task's attempts were made, and how they have ended."""
    attempts = (await task.refresh()).record["attempts"]
    return [(attempt["worker"], attempt["outcome"]) for attempt in attempts]


async def begun_by(hand: Hand, client: AsyncClient, function: str, **args: str) -> AsyncTask:
    """Return a task that a worker is known to run, and that anyone may have from now on."""
    task = await client.submit(function, args, target={"worker": hand.name})
    await runs(task, hand)
    return await task.move()


async def runs(task: AsyncTask, hand: Hand) -> None:
    """Wait until a worker has begun a task, and the scheduler has heard of it."""
    await hand.does("begin", task.id)
    async with asyncio.timeout(PATIENCE_SECONDS), aclosing(task.updates()) as updates:
        async for update in updates:
            if isinstance(update, StateChanged) and update.state == "running":
                break


def at(port: int) -> str:
    return f"http://{APP.key}:{APP.secret}@127.0.0.1:{port}/apps/{APP.id}"


async def two(crew: Crew, first: str, second: str, url: str, *options: str) -> list[Hand]:
    """Hire two workers at once."""
    return await asyncio.gather(*(crew.hire(each, url, *options) for each in (first, second)))


# Workers that are killed, frozen, and cut off


@pytest.mark.parametrize("function", ["wait_once", "fork_and_wait", "start_and_wait"])
async def test_a_killed_workers_task_runs_elsewhere_whatever_the_worker_leaves_behind(
    embedded: Deployment, crew: Crew, function: str
) -> None:
    killed, _ = await two(crew, "killed", "other", embedded.service)
    async with client_of(embedded) as client:
        task = await begun_by(killed, client, function)
        if function != "wait_once":
            await killed.does("left", task.id)
        await killed.kill()
        assert await result(task) == 2
        assert await outcomes(task) == [("killed", "lost"), ("other", "succeeded")]
        assert task.record["losses"] == 1
        assert (await task.why())[1].startswith("attempt 1, on worker killed, was lost with it")


async def test_a_task_that_loses_all_its_workers_is_dead_after_as_many_as_it_may_lose(
    embedded: Deployment, crew: Crew
) -> None:
    first, second = await two(crew, "first", "second", embedded.service)
    async with client_of(embedded) as client:
        task = await client.submit("wait", target={"worker": "first"}, max_losses=1)
        await runs(task, first)
        await task.move()
        await first.kill()
        await runs(task, second)
        await second.kill()
        with pytest.raises(TaskFailed, match="WorkerLost: 2 workers were lost while they ran it"):
            await result(task)


@pytest.fixture
def hasty() -> Iterator[int]:
    """The port of a server that gives a silent worker up after a second, which would take ten."""
    profile = msgspec.structs.replace(OWN, hb_ms=250, lease_ms=1_000, grace_ms=5_000)
    extension = Scheduling(MemoryStore, profile=profile)
    with BackgroundServer(Settings(port=0, apps=(APP,)), extensions=[extension]) as server:
        yield server.port


async def test_a_frozen_workers_task_runs_elsewhere_and_what_it_says_later_does_not_count(
    hasty: int, crew: Crew
) -> None:
    frozen, _ = await two(crew, "frozen", "other", at(hasty))
    gate = crew.gate()
    async with AsyncClient(at(hasty)) as client:
        task = await begun_by(frozen, client, "gated", gate=str(gate))
        frozen.send(signal.SIGSTOP)
        assert await result(task) == 2
        frozen.send(signal.SIGCONT)
        await crew.open(gate)
        await frozen.does("end", task.id)
        # Who is given another one has been told that the first is not its any more.
        assert await result(await client.submit("quick", target={"worker": "frozen"})) == 1
        assert await outcomes(task) == [("frozen", "lost"), ("other", "succeeded")]
        assert task.record["result"] == 2
        crew.audit([task.record])


async def test_a_worker_that_is_cut_off_loses_its_task_and_comes_back(
    hasty: int, crew: Crew
) -> None:
    async with CuttingProxy(hasty) as proxy, AsyncClient(at(hasty)) as client:
        cut, _ = await asyncio.gather(
            crew.hire("cut", at(proxy.port)), crew.hire("other", at(hasty))
        )
        task = await begun_by(cut, client, "wait_once")
        proxy.cut()
        assert await result(task) == 2
        assert await outcomes(task) == [("cut", "lost"), ("other", "succeeded")]
        proxy.heal()
        await cut.does("stopped", task.id)
        assert await result(await client.submit("quick", target={"worker": "cut"})) == 1


async def test_a_worker_that_hears_nobody_stops_before_its_task_runs_elsewhere(
    hasty: int, crew: Crew
) -> None:
    async with CuttingProxy(hasty) as proxy, AsyncClient(at(hasty)) as client:
        deaf, _ = await asyncio.gather(
            crew.hire("deaf", at(proxy.port)), crew.hire("other", at(hasty))
        )
        task = await begun_by(deaf, client, "wait_once")
        proxy.block()
        assert await result(task) == 2
        assert await outcomes(task) == [("deaf", "lost"), ("other", "succeeded")]
        assert crew.did(task.id) == ["begin", "stopped", "begin", "end"]
        proxy.heal()
        assert await result(await client.submit("quick", target={"worker": "deaf"})) == 1


async def test_a_worker_that_resumes_keeps_its_task_while_its_connection_is_away(
    hasty: int, crew: Crew
) -> None:
    gate = crew.gate()
    async with CuttingProxy(hasty) as proxy, AsyncClient(at(hasty)) as client:
        away, _ = await asyncio.gather(
            crew.hire("away", at(proxy.port), worker="patient"), crew.hire("other", at(hasty))
        )
        task = await begun_by(away, client, "gated", gate=str(gate))
        proxy.cut()
        # Its result waits for the connection.
        await crew.open(gate)
        await away.does("end", task.id)
        proxy.heal()
        assert await result(task) == 1
        assert await outcomes(task) == [("away", "succeeded")]


# Schedulers and servers that are killed, and come back


@KILLS
async def test_a_server_that_comes_back_goes_on_with_what_it_was_told(
    embedded: Deployment, crew: Crew, number: signal.Signals
) -> None:
    """What runs goes on, what ended meanwhile counts, and what waits runs at once."""
    hand = await crew.hire("hand", embedded.service)
    first, second = crew.gate(), crew.gate()
    async with client_of(embedded) as client:
        ending = await begun_by(hand, client, "gated", gate=str(first))
        running = await begun_by(hand, client, "gated", gate=str(second))
        waiting = await client.submit("quick")
        later = await client.submit("quick", delay_ms=3_600_000)
        status = await embedded.server.end(number)
        assert status == (0 if number is signal.SIGTERM else -number)
        await crew.open(first)
        await hand.does("end", ending.id)
        await embedded.start_server()
        assert await result(ending) == 1
        # It has the slot that has become free, so the second gate is still shut.
        assert await result(waiting) == 1
        assert (await running.refresh()).state == "running"
        assert (await later.refresh()).state == "scheduled"
        await crew.open(second)
        assert await result(running) == 1
        await later.update(delay_ms=0)
        await result(later)
        tasks = (ending, running, waiting, later)
        assert [await outcomes(task) for task in tasks] == [[("hand", "succeeded")]] * 4
        crew.audit([task.record for task in tasks])


@KILLS
async def test_a_scheduler_that_comes_back_finds_its_workers_where_they_were(
    remote: Deployment, crew: Crew, number: signal.Signals
) -> None:
    hand = await crew.hire("hand", remote.service, "--foreign")
    first, second = crew.gate(), crew.gate()
    async with client_of(remote) as client:
        ending = await begun_by(hand, client, "gated", gate=str(first))
        running = await begun_by(hand, client, "gated", gate=str(second))
        waiting = await client.submit("quick")
        await remote.scheduler.end(number)
        await crew.open(first)
        await hand.does("end", ending.id)
        await remote.start_scheduler()
        assert await result(ending) == 1
        assert await result(waiting) == 1
        await crew.open(second)
        assert await result(running) == 1
        tasks = (ending, running, waiting)
        assert [await outcomes(task) for task in tasks] == [[("hand", "succeeded")]] * 3
        crew.audit([task.record for task in tasks])


@KILLS
async def test_a_scheduler_that_cannot_hear_while_its_service_is_away_gives_nothing_up(
    remote: Deployment, crew: Crew, number: signal.Signals
) -> None:
    """Also not if it is back before its workers are."""
    async with CuttingProxy(remote.port) as proxy, client_of(remote) as client:
        hand, _ = await asyncio.gather(
            crew.hire("hand", at(proxy.port), "--foreign"),
            crew.hire("other", remote.service, "--foreign"),
        )
        first, second = crew.gate(), crew.gate()
        ending = await begun_by(hand, client, "gated", gate=str(first))
        running = await begun_by(hand, client, "gated", gate=str(second))
        await remote.server.end(number)
        proxy.cut()
        await crew.open(first)
        await hand.does("end", ending.id)
        while_away = await client.submit("quick")
        await remote.start_server()
        assert await result(while_away) == 1
        proxy.heal()
        assert await result(ending) == 1
        await crew.open(second)
        assert await result(running) == 1
        assert await outcomes(ending) == await outcomes(running) == [("hand", "succeeded")]
        crew.audit([task.record for task in (ending, running, await while_away.refresh())])


async def test_two_schedulers_of_one_data_directory_do_not_run_at_once(
    remote: Deployment,
) -> None:
    async with client_of(remote) as client:
        await (await client.submit("quick")).cancel()
    second = Program("second", remote.folder, *remote.scheduling(port=0))
    try:
        second.launch()
        assert await second.ended() == 1
        said = second.log.read_text()
        assert f"{remote.data} is in use by process {remote.scheduler.pid}" in said
        assert "Traceback" not in said
    finally:
        second.close()


# A disk that is full


@contextmanager
def full_disk(deployment: Deployment) -> Iterator[None]:
    """Let no file of the server grow beyond the largest that it has."""
    limit = max(each.stat().st_size for each in deployment.data.iterdir())
    pid = deployment.server.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_refuses_what_it_cannot_keep_and_is_used_again_when_it_has_room(
    tmp_path: Path, crew: Crew
) -> None:
    async with deployed(tmp_path / "full", remote=False) as full, client_of(full) as client:
        hand, gate = await crew.hire("hand", full.service), crew.gate()
        running = await begun_by(hand, client, "gated", gate=str(gate))
        # More than the process writes to its log.
        kept = await client.submit("quick", {"padding": "x" * 500_000}, queue="nobody")
        with full_disk(full):
            for _ in range(2):
                with pytest.raises(Unavailable, match=r"full|I/O"):
                    await client.submit("quick")
            await crew.open(gate)
            # Nobody tells when a result has been heard that cannot be kept.
            while [each["tasks"] for each in await client.workers()] != [[]]:
                await asyncio.sleep(0.01)
        assert await result(running) == 1
        assert (await kept.refresh()).state == "ready"
        assert await result(await client.submit("quick")) == 1
        assert await outcomes(running) == [("hand", "succeeded")]


# Everything at once


async def test_nothing_is_lost_and_nothing_finishes_twice_whoever_is_killed(
    embedded: Deployment, crew: Crew
) -> None:
    """Tasks are submitted all the while, again if it is not known whether one was taken."""
    await two(crew, "first", "second", embedded.service, "--slots", "4")

    async def replace(name: str) -> None:
        await crew.hands[name].kill()
        await crew.hire(f"{name}-again", embedded.service, "--slots", "4")

    faults = {
        20: replace("first"),
        50: restart(embedded.server, embedded.start_server),
        80: replace("second"),
        100: restart(embedded.server, embedded.start_server),
    }
    async with client_of(embedded) as client:
        await storm(client, crew, 120, faults)


async def test_the_same_holds_for_a_scheduler_beside_its_service(
    remote: Deployment, crew: Crew
) -> None:
    """With fewer tasks: a service that is not ours takes less of a worker in a second."""
    await two(crew, "first", "second", remote.service, "--slots", "4", "--foreign")

    async def replace(name: str) -> None:
        await crew.hands[name].kill()
        await crew.hire(f"{name}-again", remote.service, "--slots", "4", "--foreign")

    faults = {
        10: replace("first"),
        20: restart(remote.scheduler, remote.start_scheduler),
        30: restart(remote.server, remote.start_server),
    }
    async with client_of(remote) as client:
        await storm(client, crew, 40, faults)


async def restart(program: Program, start: Callable[[], Awaitable[None]]) -> None:
    await program.kill()
    await start()


async def storm(
    client: AsyncClient, crew: Crew, count: int, faults: Mapping[int, Coroutine[Any, Any, None]]
) -> None:
    """Submit so many tasks, let a fault begin before each that is named, and audit the end."""
    happening, tasks = [], []
    for number in range(count):
        if number in faults:
            happening.append(asyncio.create_task(faults[number]))
        tasks.append(await submit_surely(client, f"storm {number}"))
    await asyncio.gather(*happening, *map(result, tasks))
    records = [(await task.refresh()).record for task in tasks]
    assert len({record["id"] for record in records}) == len(records)
    crew.audit(records)


async def submit_surely(client: AsyncClient, key: str) -> AsyncTask:
    while True:
        try:
            return await client.submit("nap", unique_key=key)
        except Unreachable:
            # Nobody tells when the server is back.
            await asyncio.sleep(0.02)
