"""A scheduler's beginning and end, what it does by itself, and what it bears."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from callboard_scheduler import names, wire
from callboard_scheduler.engine import Scheduler
from callboard_scheduler.records import Raw, Retry
from callboard_scheduler.stores import StoreError
from callboard_scheduler.transports import Listener, Sent
from scheduler.engine_stage import Stage, passes, refusal, settles, stage, story

EVENT = {"name": "e", "channels": ["c"], "data": "d"}


async def publish(scene: Stage, **fields: object) -> str:
    """Submit an event that is to be published."""
    return await scene.submit(
        **{"name": names.PUBLISH, "queue": names.PUBLISH_QUEUE, "args": EVENT, **fields}
    )


# Events that are published later


@story
async def test_an_event_is_published_when_its_time_has_come() -> None:
    async with stage() as scene:
        task = await publish(scene, run_at=scene.clock.wall_ms() + 5_000)
        await passes(4.9)
        assert scene.transport.published == []
        await passes(0.2)
        assert scene.transport.published == [EVENT]
        assert await scene.state(task) == "succeeded"


@story
async def test_an_event_that_the_service_refuses_is_tried_again_and_then_dead() -> None:
    async with stage() as scene:
        scene.transport.takes = Sent.REFUSED
        task = await publish(scene, retry=Retry(max_attempts=2, initial_ms=1_000, jitter=0.0))
        assert await scene.state(task) == "scheduled"
        await passes(1.1)
        stored = await scene.task(task)
        assert stored.state.value == "dead"
        assert stored.error is not None
        assert stored.error.msg == "the service did not take the event"
        assert len(scene.transport.published) == 2


@story
async def test_no_worker_is_given_an_event_to_publish() -> None:
    async with stage() as scene:
        worker = scene.worker(q=[names.PUBLISH_QUEUE, "default"])
        await publish(scene)
        assert worker.tasks() == []
        assert [view.id for view in scene.scheduler.workers()] == ["w1"]
        assert [view.name for view in scene.scheduler.queues()] == ["default"]


@story
async def test_an_event_whose_time_comes_with_the_end_is_published_once() -> None:
    async with stage() as scene:
        await publish(scene, queue="elsewhere")
        submit = scene.begins(name=names.PUBLISH, queue=names.PUBLISH_QUEUE, args=EVENT)
        await asyncio.sleep(0)
        # It is given out, and would leave at the end of the loop's turn.
        await scene.scheduler.stop()
        await asyncio.gather(submit, return_exceptions=True)
        store, published = scene.store, len(scene.transport.published)
    async with stage(store) as scene:
        await settles()
        assert published + len(scene.transport.published) == 1


# The end


@story
async def test_whoever_waits_is_told_of_the_end_and_nothing_is_left_on_the_loop() -> None:
    before = asyncio.all_tasks()
    async with stage() as scene:
        scene.worker(hb=True)
        task = await scene.submit(run_at=scene.clock.wall_ms() + 60_000)
        scene.watches(task)
        scene.watch(names.fleet_channel("default"))
        scene.watches("none")
        scene.store.stall()
        submit = scene.begins()
        await settles()
        await scene.scheduler.stop()
        assert "the scheduler is stopping" in await refusal(submit)
        assert "the scheduler is stopping" in await refusal(scene.scheduler.pause("q", True))
    assert asyncio.all_tasks() == before
    # Cancelled timers are taken off when the loop comes to them.
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    left = [each for each in loop._scheduled if not each.cancelled()]  # type: ignore[attr-defined]
    assert left == []


@story
async def test_a_result_that_comes_behind_the_end_changes_nothing() -> None:
    async with stage() as scene:
        worker = scene.worker()
        await settles()
        task = await scene.submit()
        listener: Listener = scene.listener
        worker.accepts(task)
        await scene.scheduler.stop()
        written = len(scene.store.writes)
        data = wire.encode_up("boot", 9, [wire.Result(task, worker.given[task].f)])
        listener.received(worker.channel, worker.socket_id, data)
        await settles()
        assert len(scene.store.writes) == written
        await scene.scheduler.stop()


@story
async def test_a_start_that_fails_leaves_nothing_on_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = asyncio.all_tasks()
    scene = Stage()

    async def fail(listener: Listener) -> None:
        raise ConnectionError("nobody is there")

    monkeypatch.setattr(scene.transport, "start", fail)
    with pytest.raises(ConnectionError):
        await scene.scheduler.start()
    assert asyncio.all_tasks() == before
    loop = asyncio.get_running_loop()
    left = [each for each in loop._scheduled if not each.cancelled()]  # type: ignore[attr-defined]
    assert left == []


# What is kept


@story
async def test_finished_tasks_are_deleted_when_they_were_kept_long_enough() -> None:
    async with stage(keep_ms=600_000) as scene:
        old = await scene.submit()
        await scene.scheduler.cancel(old)
        await passes(500)
        young, live = await scene.submit(), await scene.submit()
        await scene.scheduler.cancel(young)
        await passes(200)
        assert await scene.scheduler.task(old) is None
        assert await scene.state(young) == "cancelled"
        assert await scene.state(live) == "ready"


@story
async def test_a_store_that_fails_once_is_pruned_the_next_time(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(keep_ms=0) as scene:
        task = await scene.submit()
        await scene.scheduler.cancel(task)

        async def fail(app: str, finished_before: int, limit: int) -> int:
            raise StoreError("the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(scene.store, "prune", fail)
            await passes(61)
        assert caplog.messages == ["finished tasks were not deleted app=app: the disk is full"]
        assert await scene.state(task) == "cancelled"
        await passes(61)
        assert await scene.scheduler.task(task) is None


# What it bears


@story
async def test_a_queue_takes_so_many_waiting_tasks_and_no_more() -> None:
    async with stage(max_backlog=2) as scene:
        await scene.submit()
        assert "2 tasks wait" in await refusal(scene.submit_all({}, {}))
        await scene.submit()
        assert (await refusal(scene.submit())).startswith("BacklogFull: The backlog is full")
        assert await scene.submit(queue="elsewhere")
        worker = scene.worker()
        await settles()
        # The one that it was given does not wait.
        assert len(worker.tasks()) == 1
        assert await scene.submit()


@story
async def test_a_task_is_looked_up_where_it_is_and_changed_only_while_it_lives() -> None:
    async with stage() as scene:
        scheduler: Scheduler = scene.scheduler
        task = await scene.submit(args={"a": 1})
        assert scheduler.why(task) == ["no worker serves queue default"]
        await scheduler.cancel(task)
        assert scheduler.why(task) is None
        assert "has finished (cancelled)" in await refusal(scheduler.cancel(task))
        assert (await refusal(scheduler.update("none", {}))).startswith("NoSuchTask")
        assert (await refusal(scheduler.requeue("none"))).startswith("NoSuchTask")
        assert (await scheduler.requeue(task)).gen == 2
        assert "is not finished" in await refusal(scheduler.requeue(task))
        assert (await scene.task(task)).spec.args == Raw(msgspec.json.encode({"a": 1}))
