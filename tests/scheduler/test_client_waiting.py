"""Waiting for a task: nothing is polled, nothing is missed, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from callboard_scheduler import (
    AsyncClient,
    AsyncTask,
    Ended,
    LogLine,
    Moved,
    Patience,
    Progress,
    Refused,
    StateChanged,
    TaskCancelled,
    TaskExpired,
    TaskFailed,
    Unreachable,
    Update,
)
from callboard_scheduler.client import feeds, watching
from support.fake_scheduler import SECRET, FakeScheduler, Refusal


@pytest.fixture
async def scheduler() -> AsyncIterator[FakeScheduler]:
    async with FakeScheduler() as scheduler:
        yield scheduler


@pytest.fixture
async def client(scheduler: FakeScheduler) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(scheduler.url) as client:
        yield client


async def collect(task: AsyncTask) -> list[Update]:
    return [update async for update in task.updates()]


async def settled(scheduler: FakeScheduler, readings: int, task_id: str = "t1") -> None:
    """Return when a task's record was read so often: once before and once behind its feed.

    What is announced earlier is believed to be in the record.
    """
    await scheduler.until(lambda: scheduler.requests("GET", f"tasks/{task_id}") >= readings)


async def test_the_result_is_there_as_soon_as_the_feed_says_so(
    scheduler: FakeScheduler, client: AsyncClient
) -> None:
    task = await client.submit("thumbnail", {"url": "a"})
    waiting = asyncio.create_task(task.result(timeout=30))
    await settled(scheduler, 2)
    await scheduler.finish(task.id, result={"width": 64})
    assert await waiting == {"width": 64}
    assert task.state == "succeeded"
    assert task.record["args"] == {"url": "a"}
    # At the end.
    assert scheduler.requests("GET", f"tasks/{task.id}") == 3


async def test_a_task_that_has_ended_already_needs_no_feed(
    scheduler: FakeScheduler, client: AsyncClient
) -> None:
    scheduler.task(id="t1", state="succeeded", result=[1, 2])
    assert await (await client.get("t1")).result() == [1, 2]
    assert not scheduler.subscriptions


async def test_a_task_that_ends_while_its_feed_is_subscribed_is_not_missed(
    scheduler: FakeScheduler, client: AsyncClient
) -> None:
    task = await client.submit("quick")

    def end_behind_the_first_reading(method: str, path: str) -> None:
        if (method, path) == ("GET", f"tasks/{task.id}"):
            scheduler.records[task.id].update(state="succeeded", result="done")

    # Nobody is on the feed yet, so nothing is announced.
    scheduler.on_request = end_behind_the_first_reading
    assert await task.result(timeout=30) == "done"


@pytest.mark.parametrize(
    ("state", "error", "text"),
    [
        ("dead", TaskFailed, r"task t1 \(thumbnail\) failed: ValueError: no such picture"),
        ("cancelled", TaskCancelled, r"task t1 \(thumbnail\) was cancelled: ValueError"),
        ("expired", TaskExpired, r"task t1 \(thumbnail\) expired before it was started"),
    ],
)
async def test_an_end_without_a_result_is_an_error_with_the_reason_inside(
    scheduler: FakeScheduler, client: AsyncClient, state: str, error: type[Exception], text: str
) -> None:
    task = await client.submit("thumbnail")
    waiting = asyncio.create_task(task.result())
    await scheduler.watched(task.id)
    failure = {"type": "ValueError", "msg": "no such picture"}
    await scheduler.finish(task.id, state, error=failure)
    with pytest.raises(error, match=text) as caught:
        await waiting
    assert isinstance(caught.value, TaskFailed | TaskCancelled | TaskExpired)
    assert caught.value.error == failure
    assert caught.value.id == task.id


async def test_a_wait_that_is_too_long_says_how_far_the_task_is(
    scheduler: FakeScheduler, client: AsyncClient
) -> None:
    task = await client.submit("thumbnail")
    with pytest.raises(TimeoutError, match=r"task t1 is ready after 0\.05 s"):
        await task.result(timeout=0.05)
    await scheduler.until(lambda: not scheduler.watching)
    assert scheduler.records[task.id]["state"] == "ready"


async def test_a_task_is_in_the_state_that_its_feed_said_last(
    scheduler: FakeScheduler, client: AsyncClient
) -> None:
    task = await client.submit("thumbnail")

    async def follow() -> str:
        async for update in task.updates():
            if update == StateChanged("running", 1, "w1"):
                return task.state
        raise AssertionError("it never ran")

    following = asyncio.create_task(follow())
    await settled(scheduler, 2)
    # By the feed alone: the record is not read again.
    running = {"id": task.id, "state": "running", "attempt": 1, "worker": "w1"}
    await scheduler.announce(task.id, "state", running)
    assert await following == "running"


async def test_a_failed_try_is_no_end(scheduler: FakeScheduler, client: AsyncClient) -> None:
    task = await client.submit("thumbnail")
    waiting = asyncio.create_task(task.result(timeout=30))
    await scheduler.watched(task.id)
    await scheduler.state(task.id, "running", attempt=1, worker="w1")
    await scheduler.state(task.id, "scheduled", attempt=1)
    await scheduler.finish(task.id, result="second try")
    assert await waiting == "second try"


# Everything that happens


async def test_progress_is_iterated_over_from_the_last_known_to_the_end(
    scheduler: FakeScheduler, client: AsyncClient
) -> None:
    scheduler.task(
        id="t1", state="running", progress={"pct": 10, "msg": "read", "data": {"page": 1}}
    )
    task = await client.get("t1")

    async def collect_progress() -> list[Progress]:
        return [progress async for progress in task.progress()]

    collecting = asyncio.create_task(collect_progress())
    await settled(scheduler, 3)
    await scheduler.announce("t1", "progress", {"id": "t1", "pct": 50, "msg": "scale", "s": 2})
    await scheduler.announce("t1", "log", {"lvl": "info", "txt": "not progress"})
    await scheduler.announce("t1", "progress", {"id": "t1", "pct": 50, "msg": "scale", "s": 3})
    await scheduler.announce("t1", "progress", {"id": "t1", "pct": 99.5, "s": 4})
    await scheduler.finish("t1", result=None, progress={"pct": 99.5, "msg": None, "data": None})
    assert await collecting == [
        Progress(10, "read", {"page": 1}),
        Progress(50, "scale"),
        Progress(99.5),
    ]


async def test_updates_tell_what_happens_in_order(
    scheduler: FakeScheduler, client: AsyncClient
) -> None:
    task = await client.submit("thumbnail")
    collecting = asyncio.create_task(collect(task))
    await settled(scheduler, 2)
    await scheduler.state("t1", "running", attempt=1, worker="w1")
    await scheduler.announce("t1", "log", {"id": "t1", "lvl": "warning", "txt": "slow"})
    moved = {"from": "w1", "to": "w2", "why": "lost", "ms": 12}
    await scheduler.announce("t1", "moved", {"id": "t1", **moved})
    await scheduler.state("t1", "running", attempt=2, worker="w2")
    await scheduler.announce("t1", "client-state", {"state": "succeeded"})
    await scheduler.announce("t1", "news", {"of": "a newer scheduler"})
    await scheduler.finish("t1", result=7)
    updates = await collecting
    assert updates[:-1] == [
        StateChanged("ready"),
        StateChanged("running", 1, "w1"),
        LogLine("warning", "slow"),
        Moved("w1", "w2", "lost", 12),
        StateChanged("running", 2, "w2"),
    ]
    assert isinstance(updates[-1], Ended)
    assert updates[-1].state == "succeeded"
    assert updates[-1].record["result"] == 7


async def test_a_late_joiner_is_not_told_the_last_event_twice(
    scheduler: FakeScheduler, client: AsyncClient
) -> None:
    scheduler.task(id="t1", state="running", attempt=1, worker="w1")
    await scheduler.state("t1", "running", attempt=1, worker="w1")
    task = await client.get("t1")
    collecting = asyncio.create_task(collect(task))
    await scheduler.watched("t1")
    await scheduler.finish("t1", result=None)
    assert (await collecting)[:-1] == [StateChanged("running", 1, "w1")]


async def test_many_who_wait_share_one_connection_and_leave_it_clean(
    scheduler: FakeScheduler, client: AsyncClient
) -> None:
    tasks = await client.submit_many([{"name": "a"}, {"name": "b"}])
    waiting = [asyncio.create_task(task.result(30)) for task in (*tasks, *tasks, *tasks)]
    for task in tasks:
        await scheduler.watched(task.id)
    await settled(scheduler, 6)
    for task in tasks:
        await scheduler.finish(task.id, result=task.id)
    assert await asyncio.gather(*waiting) == ["t1", "t2"] * 3
    assert set(scheduler.subscriptions.values()) == {1}
    await scheduler.until(lambda: not scheduler.watching)


async def test_who_stops_iterating_leaves_the_feed(
    scheduler: FakeScheduler, client: AsyncClient
) -> None:
    task = await client.submit("thumbnail")
    updates = task.updates()
    assert await anext(updates) == StateChanged("ready")
    reading = asyncio.ensure_future(anext(updates))
    await scheduler.watched(task.id)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await scheduler.until(lambda: not scheduler.watching)


# When the connection is lost


async def test_what_was_missed_is_read_after_a_reconnect(
    scheduler: FakeScheduler, client: AsyncClient
) -> None:
    task = await client.submit("thumbnail")
    waiting = asyncio.create_task(task.result(timeout=30))
    await scheduler.watched(task.id)
    await scheduler.cut()
    # Nobody hears this.
    await scheduler.finish(task.id, result="made in the dark")
    assert await waiting == "made in the dark"


async def test_a_task_goes_on_after_several_losses(
    scheduler: FakeScheduler, client: AsyncClient
) -> None:
    task = await client.submit("thumbnail")
    collecting = asyncio.create_task(collect(task))
    for readings in (2, 3):
        await settled(scheduler, readings)
        await scheduler.cut()
    await settled(scheduler, 4)
    await scheduler.state(task.id, "running", attempt=1, worker="w1")
    await scheduler.finish(task.id, result=None)
    assert [type(update) for update in await collecting] == [StateChanged, StateChanged, Ended]


async def test_a_service_that_is_back_before_its_scheduler_is_asked_again(
    scheduler: FakeScheduler, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_READ_AGAIN_SECONDS", 0.01)
    task = await client.submit("thumbnail")
    waiting = asyncio.create_task(task.result(timeout=30))
    await scheduler.watched(task.id)
    await settled(scheduler, 2)
    scheduler.refusal = Refusal(503, "The task store is not available: starting")
    await scheduler.cut()
    await settled(scheduler, 5)
    scheduler.refusal = None
    await scheduler.finish(task.id, result="late")
    assert await waiting == "late"


async def test_a_service_that_stays_away_ends_the_waiting(scheduler: FakeScheduler) -> None:
    async with AsyncClient(scheduler.url, patience=Patience(outage_seconds=1.0)) as client:
        task = await client.submit("thumbnail")
        waiting = asyncio.create_task(task.result(timeout=30))
        await scheduler.watched(task.id)
        await scheduler.stop_listening()
        await scheduler.cut()
        with pytest.raises(Unreachable, match=r"cannot hear http://127\.0\.0\.1:") as caught:
            await waiting
        assert SECRET not in str(caught.value)


async def test_an_event_that_a_service_has_lost_is_made_up_for(scheduler: FakeScheduler) -> None:
    async with AsyncClient(scheduler.url, patience=Patience(silence_seconds=0.05)) as client:
        task = await client.submit("thumbnail")
        waiting = asyncio.create_task(task.result(timeout=30))
        await scheduler.watched(task.id)
        await settled(scheduler, 2)
        scheduler.records[task.id].update(state="succeeded", result="unheard of")
        assert await waiting == "unheard of"


async def test_a_feed_that_is_refused_is_an_error(
    scheduler: FakeScheduler, client: AsyncClient
) -> None:
    scheduler.refuse_subscriptions = True
    task = await client.submit("thumbnail")
    with pytest.raises(Refused, match=r"cannot watch private-cache-sched\.default\.t\.t1: .*not y"):
        await task.result(timeout=30)
    scheduler.refuse_subscriptions = False
    waiting = asyncio.create_task(task.result(timeout=30))
    await scheduler.watched(task.id)
    await scheduler.finish(task.id, result="allowed by now")
    assert await waiting == "allowed by now"


async def test_closing_the_client_ends_the_waiting(scheduler: FakeScheduler) -> None:
    async with AsyncClient(scheduler.url) as client:
        task = await client.submit("thumbnail")
        waiting = asyncio.create_task(task.result(timeout=30))
        await scheduler.watched(task.id)
        await settled(scheduler, 2)
    with pytest.raises(Unreachable, match="the client is closed"):
        await waiting


async def test_a_slow_reader_loses_hints_but_not_the_end(
    scheduler: FakeScheduler, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "_MAX_HINTS", 5)
    scheduler.task(id="t1", state="running")
    task = await client.get("t1")
    updates = task.updates()
    seen: list[Any] = [await anext(updates)]
    reading = asyncio.ensure_future(anext(updates))
    await settled(scheduler, 3)
    await scheduler.announce("t1", "progress", {"pct": 0})
    seen.append(await reading)
    # Not read while these come in.
    for pct in range(1, 20):
        await scheduler.announce("t1", "progress", {"pct": pct})
    await scheduler.finish("t1", progress={"pct": 100}, result="all")
    seen += [update async for update in updates]
    assert seen[-1].record["result"] == "all"
    assert seen[-2] == Progress(100)
    assert len(seen) < 20
