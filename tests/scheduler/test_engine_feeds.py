"""What watchers are shown, when, and what of it."""

from __future__ import annotations

from typing import Any

import pytest

from callboard_scheduler import names, wire
from callboard_scheduler.records import DEFAULT_NAMESPACE, Raw
from callboard_scheduler.stores import StoredTask, StoreError
from scheduler.engine_stage import APP, Stage, passes, settles, stage, story

QUEUE = names.queue_channel(DEFAULT_NAMESPACE, "default")
FLEET = names.fleet_channel(DEFAULT_NAMESPACE)


def numbers(scene: Stage, channel: str) -> list[dict[str, Any]]:
    return [data for where, _, data in scene.transport.shown if where == channel]


# Of a task


@story
async def test_nothing_is_published_where_nobody_watches() -> None:
    async with stage() as scene:
        worker = scene.worker()
        await settles()
        task = await scene.submit()
        worker.progresses(task, pct=50.0)
        worker.succeeds(task)
        await passes(5)
        assert scene.transport.shown == []


@story
async def test_every_step_is_published_where_somebody_may_watch() -> None:
    async with stage() as scene:
        worker = scene.worker()
        await settles()
        task = await scene.submit(queue="elsewhere")
        scene.watches(task)
        await settles()
        await scene.scheduler.update(task, {"queue": "default"})
        await settles()
        worker.accepts(task)
        worker.progresses(task, pct=50.0, msg="half")
        worker.says(wire.Log(task, worker.given[task].f, lvl="info", txt="a line"))
        worker.succeeds(task, 7)
        await settles()
        seen = scene.seen(task)
        assert seen[0] == "ready"
        # The update is told once it is on the disk, and as it stands by then.
        assert "ready" not in seen[1:]
        assert seen[-5:] == ["assigned", "running", "progress", "log", "succeeded"]
        _, event, result = scene.transport.shown[-1]
        assert (event, result["result"], result["worker"]) == ("result", 7, "w1")
        order = [data["s"] for _, _, data in scene.transport.shown if "s" in data]
        assert len(set(order)) == len(order)


@story
async def test_a_task_that_changes_hands_says_from_whom_to_whom_and_why() -> None:
    async with stage() as scene:
        first, _ = scene.worker(), scene.worker("w2")
        await settles()
        task = await scene.submit()
        first.accepts(task)
        scene.watches(task)
        first.leaves()
        await settles()
        [moved] = [data for _, event, data in scene.transport.shown if event == "moved"]
        assert (moved["from"], moved["to"], moved["why"]) == ("w1", "w2", "lost")
        assert moved["ms"] >= 0


@story
async def test_whoever_comes_is_shown_how_a_live_task_stands() -> None:
    async with stage() as scene:
        worker = scene.worker()
        await settles()
        task = await scene.submit()
        worker.accepts(task)
        worker.progresses(task, pct=30.0)
        await settles()
        scene.watches(task)
        await settles()
        [(_, event, data)] = scene.transport.shown
        assert (event, data["state"], data["progress"]) == ("state", "running", {"pct": 30.0})


@story
async def test_whoever_comes_late_is_shown_how_a_task_has_ended() -> None:
    async with stage() as scene:
        worker = scene.worker()
        await settles()
        task = await scene.submit()
        worker.fails(task, retry=False)
        await settles()
        scene.watches(task)
        await settles()
        [(_, event, data)] = scene.transport.shown
        assert (event, data["state"], data["error"]["type"]) == ("result", "dead", "Oops")


@story
async def test_there_is_nothing_to_show_of_a_task_that_is_not_there() -> None:
    async with stage() as scene:
        scene.watches("none")
        await settles()
        assert scene.transport.shown == []


@story
async def test_an_end_that_is_not_stored_yet_is_not_shown_as_one() -> None:
    """The record says that it runs; it is no result."""
    async with stage() as scene:
        worker = scene.worker()
        await settles()
        task = await scene.submit()
        worker.accepts(task)
        await settles()
        scene.store.failure = StoreError("the disk is full")
        worker.succeeds(task)
        await settles()
        scene.watches(task)
        await settles()
        assert [(event, data["state"]) for _, event, data in scene.transport.shown] == [
            ("state", "running")
        ]
        scene.store.failure = None
        await passes(1)
        assert scene.seen(task)[-1] == "succeeded"


@story
async def test_a_store_that_cannot_be_read_shows_nothing_and_says_so(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage() as scene:

        async def unreadable(app: str, task_id: str) -> StoredTask | None:
            raise StoreError("the disk is gone")

        monkeypatch.setattr(scene.store, "task", unreadable)
        scene.watches("t")
        await settles()
        assert scene.transport.shown == []
        assert caplog.messages == ["a task cannot be shown task='t': the disk is gone"]


@story
async def test_values_that_are_too_large_for_an_event_are_left_out_by_name() -> None:
    async with stage() as scene:
        worker = scene.worker()
        await settles()
        task = await scene.submit()
        scene.watches(task)
        assign = worker.given[task]
        worker.progresses(task, pct=10.0, data=Raw(b'"' + b"x" * 100_000 + b'"'))
        scene.scheduler.put_result(task, assign.f, Raw(b'"' + b"x" * 200_000 + b'"'))
        worker.says(wire.Result(task, assign.f, ref=True))
        await settles()
        progress = next(data for _, event, data in scene.transport.shown if event == "progress")
        assert (progress["pct"], progress["left_out"]) == (10.0, ["data"])
        _, event, result = scene.transport.shown[-1]
        assert (event, result["state"]) == ("result", "succeeded")
        assert result["left_out"] == ["result", "progress"]
        assert (await scene.task(task)).result is not None


# Numbers


@story
async def test_numbers_are_shown_at_once_and_then_when_they_have_changed() -> None:
    async with stage() as scene:
        scene.watch(QUEUE)
        assert [each["ready"] for each in numbers(scene, QUEUE) if "ready" in each] == []
        assert len(numbers(scene, QUEUE)) == 1
        await passes(5)
        assert len(numbers(scene, QUEUE)) == 1
        await scene.submit()
        await passes(1.1)
        assert numbers(scene, QUEUE)[-1]["ready"] == 1
        assert len(numbers(scene, QUEUE)) == 2


@story
async def test_numbers_are_shown_at_most_once_a_second_whatever_happens() -> None:
    async with stage() as scene:
        scene.watch(QUEUE)
        for _ in range(100):
            await scene.submit()
            # Others come meanwhile; the service has kept for them what was shown last.
            scene.watch(QUEUE)
            await passes(0.05)
        assert 5 <= len(numbers(scene, QUEUE)) <= 7
        assert numbers(scene, QUEUE)[-1]["ready"] >= 80


@story
async def test_numbers_are_shown_again_to_whoever_comes_though_they_have_not_changed() -> None:
    """The service may not keep them for as long as they stay the same."""
    async with stage() as scene:
        scene.watch(QUEUE)
        await passes(3_600)
        assert len(numbers(scene, QUEUE)) == 1
        scene.watch(QUEUE)
        await passes(1.1)
        assert len(numbers(scene, QUEUE)) == 2


@story
async def test_the_fleet_is_shown_in_numbers_without_the_scheduler_itself() -> None:
    async with stage() as scene:
        worker = scene.worker(cap=2)
        await settles()
        task = await scene.submit()
        worker.accepts(task)
        scene.watch(FLEET)
        [data] = numbers(scene, FLEET)
        assert (data["workers"], data["slots"], data["free"], data["running"]) == (1, 2, 1, 1)
        assert (data["idle"], data["busy"]) == (0, 1)


@story
async def test_numbers_end_when_nobody_watches_any_more() -> None:
    async with stage() as scene:
        scene.watch(QUEUE)
        scene.transport.watchers.clear()
        await scene.submit()
        await passes(5)
        assert len(numbers(scene, QUEUE)) == 1


@story
async def test_nothing_is_shown_after_the_end() -> None:
    async with stage() as scene:
        task = await scene.submit()
        listener = scene.listener
        scene.watch(QUEUE)
    shown = len(scene.transport.shown)
    scene.transport.watchers |= {QUEUE, names.task_channel(DEFAULT_NAMESPACE, task)}
    listener.watching(QUEUE)
    listener.watching(names.task_channel(DEFAULT_NAMESPACE, task))
    await passes(5)
    assert len(scene.transport.shown) == shown
    assert scene.scheduler.app_id == APP
