"""What is told when, and what becomes of everybody while the store fails."""

from __future__ import annotations

import asyncio
import logging

import pytest

from callboard_scheduler import wire
from callboard_scheduler.core.model import FENCES_PER_TERM
from callboard_scheduler.records import OnConflict, Raw
from callboard_scheduler.stores import StoreError, UnfitChange
from scheduler.engine_stage import APP, Stage, passes, refusal, settles, stage, story

FULL = StoreError("the disk is full")


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.ERROR, "callboard.scheduler")
    return caplog


async def warm(scene: Stage) -> None:
    """Have the term on the disk, by a task that is over."""
    await scene.scheduler.cancel(await scene.submit(queue="elsewhere"))
    scene.journal.clear()


# What waits for the disk, and what does not


@story
async def test_a_task_is_given_out_before_it_is_on_the_disk_and_acknowledged_behind_that() -> None:
    async with stage() as scene:
        await warm(scene)
        scene.worker()
        await settles()
        scene.journal.clear()
        scene.store.stall()
        submit = scene.begins()
        await settles()
        assert scene.journal == ["Assign sent"]
        assert not submit.done()
        scene.store.resume()
        await submit
        assert scene.journal == ["Assign sent", "stored"]


@story
async def test_nothing_is_sent_to_a_worker_before_the_term_of_its_fences_is_on_the_disk() -> None:
    async with stage() as scene:
        scene.worker()
        await settles()
        # Nothing was ever written, so nothing can be forgotten.
        assert scene.journal == ["Welcome sent"]
        scene.store.stall()
        submit = scene.begins()
        await settles()
        other = scene.worker("w2")
        await settles()
        assert scene.journal == ["Welcome sent"]
        assert other.inbox == []
        scene.store.resume()
        task = await submit
        await settles()
        assert scene.journal[1:] == ["stored", "stored", "Assign sent", "Welcome sent"]
        assert scene.store.terms == [1]
        assert scene.transport.hands["w1"].given[task].f == FENCES_PER_TERM + 1


@story
async def test_a_scheduler_that_comes_back_says_nothing_before_its_new_term_is_on_the_disk() -> (
    None
):
    async with stage() as scene:
        await warm(scene)
        store = scene.store
    store.stall()
    async with stage(store) as scene:
        worker = scene.worker()
        await settles()
        assert worker.inbox == []
        store.resume()
        await settles()
        [welcome] = worker.took(wire.Welcome)
        assert welcome.sid.startswith("2.")
        assert store.terms == [1, 2]


@story
async def test_a_result_is_told_to_nobody_before_it_is_on_the_disk() -> None:
    async with stage() as scene:
        worker = scene.worker()
        await settles()
        task = await scene.submit()
        scene.watches(task)
        await settles()
        worker.accepts(task)
        scene.store.stall()
        worker.succeeds(task, 7)
        await settles()
        assert scene.seen(task) == ["assigned", "running"]
        assert worker.done() == []
        scene.store.resume()
        await settles()
        assert scene.seen(task)[-1] == "succeeded"
        assert worker.done() == ["recorded"]


@pytest.mark.parametrize("request_name", ["cancel", "update", "move"])
def test_a_change_is_answered_behind_the_disk(request_name: str) -> None:
    @story
    async def tell() -> None:
        async with stage() as scene:
            task = await scene.submit()
            scheduler = scene.scheduler
            requests = {
                "cancel": lambda: scheduler.cancel(task),
                "update": lambda: scheduler.update(task, {"priority": 5}),
                "move": lambda: scheduler.move(task, None),
            }
            scene.store.stall()
            request = asyncio.ensure_future(requests[request_name]())
            await settles()
            assert not request.done()
            scene.store.cut_power()
            assert await scene.on_disk() == ["ready"]
            scene.store.resume()
            request.cancel()

    tell()


@story
async def test_what_nobody_waits_for_does_not_hold_up_anybody() -> None:
    async with stage() as scene:
        worker = scene.worker()
        await settles()
        task = await scene.submit()
        scene.store.stall()
        worker.accepts(task)
        await settles()
        assert await scene.state(task) == "running"
        scene.store.cut_power()
        # It is sent again and heard again: nothing is lost with it.
        assert await scene.on_disk() == ["assigned"]
        scene.store.resume()


@story
async def test_changes_are_written_in_the_order_in_which_they_were_decided() -> None:
    async with stage() as scene:
        task = await scene.submit()
        begun = len(scene.store.writes)
        worker = scene.worker()
        await settles()
        worker.accepts(task)
        worker.succeeds(task)
        await settles()
        states = [
            each.task.state.value
            for changes in scene.store.writes[begun:]
            for each in changes
            if hasattr(each, "task")
        ]
        assert states == ["assigned", "running", "succeeded"]


# A store that fails


@story
async def test_a_submit_that_cannot_be_stored_is_refused_with_the_reason_and_forgotten(
    errors: pytest.LogCaptureFixture,
) -> None:
    async with stage() as scene:
        await warm(scene)
        worker = scene.worker()
        await settles()
        scene.store.failure = FULL
        submit = scene.begins()
        refused = await refusal(submit)
        assert refused == "StoreUnavailable: The task store is not available: the disk is full"
        [task] = worker.tasks()
        await settles()
        [revoke] = worker.took(wire.Revoke)
        assert (revoke.id, revoke.why) == (task, "cancelled")
        assert scene.live() == []
        scene.store.failure = None
        await passes(1)
        assert await scene.scheduler.task(task) is None
        assert await scene.on_disk() == ["cancelled"]
        assert errors.messages == ["the store failed app=app: the disk is full"]


@story
async def test_while_it_fails_submits_are_refused_at_once_and_nothing_is_given_out(
    errors: pytest.LogCaptureFixture,
) -> None:
    async with stage() as scene:
        waiting = await scene.submit()
        scene.store.failure = FULL
        await refusal(scene.submit())
        written = len(scene.store.writes)
        assert "the disk is full" in await refusal(scene.submit())
        assert "the disk is full" in await refusal(scene.scheduler.cancel(waiting))
        assert len(scene.store.writes) == written
        worker = scene.worker()
        await passes(5)
        assert worker.tasks() == []
        scene.store.failure = None
        await passes(1)
        assert set(worker.tasks()) == {waiting}
        assert len(errors.messages) == 1


@story
async def test_a_store_that_fails_gives_no_task_to_anybody_to_find_out_whether_it_still_does() -> (
    None
):
    """Half a second after a refused submit it tries; what it tries with is no task."""
    async with stage() as scene:
        await warm(scene)
        worker = scene.worker()
        await settles()
        scene.store.failure = FULL
        await refusal(scene.submit())
        assert len(worker.tasks()) == 1
        worker.says(wire.Capacity(1, 1))
        for _ in range(4):
            await passes(0.6)
            await refusal(scene.submit())
        assert worker.tasks() == []
        assert set(scene.store.terms) == {1}


@story
async def test_no_lease_ends_while_it_fails() -> None:
    async with stage() as scene:
        worker = scene.worker(hb=True)
        await settles()
        task = await scene.submit()
        worker.accepts(task)
        scene.store.failure = FULL
        await refusal(scene.submit())
        await passes(60)
        assert scene.live() == ["running"]
        scene.store.failure = None
        await passes(9)
        assert scene.live() == ["running"]
        await passes(3)
        assert scene.live() == ["ready"]


@story
async def test_what_was_decided_meanwhile_is_written_and_told_once_that_is_possible() -> None:
    async with stage() as scene:
        first, second = scene.worker("w1"), scene.worker("w2")
        await settles()
        a, b = await scene.submit_all({}, {})
        scene.watches(a)
        for worker, task in ((first, a), (second, b)):
            worker.accepts(task)
        scene.store.failure = FULL
        first.succeeds(a, 1)
        await settles()
        second.succeeds(b, 2)
        await passes(3)
        assert first.done() == second.done() == []
        assert scene.seen(a)[-1] == "running"
        scene.store.failure = None
        await passes(1)
        assert scene.seen(a)[-1] == "succeeded"
        assert await scene.on_disk() == ["succeeded", "succeeded"]
        # They repeat what nobody has recorded, as far as they know.
        first.succeeds(a, 1)
        await settles()
        assert first.done() == ["stale"]


@story
async def test_a_repeated_result_is_not_called_recorded_while_its_first_is_not() -> None:
    """To say that it is stale changes nothing, so a store could take that though it fails."""
    async with stage() as scene:
        worker = scene.worker()
        await settles()
        task = await scene.submit()
        worker.accepts(task)
        await settles()
        scene.store.failure = FULL
        worker.succeeds(task)
        await passes(0.1)
        scene.store.stall()
        scene.store.failure = None
        # The next try is under way.
        await passes(0.6)
        worker.succeeds(task)
        await passes(2)
        assert worker.done() == []
        scene.store.resume()
        await settles()
        worker.succeeds(task)
        await settles()
        assert worker.done() == ["stale"]


@story
async def test_what_is_behind_a_failed_write_is_refused_though_it_could_be_stored() -> None:
    """The second is answered with the task of the first, which is forgotten."""
    async with stage() as scene:
        await warm(scene)
        scene.store.next_failure = FULL
        first = scene.begins(unique_key="k")
        second = scene.begins(unique_key="k", on_conflict=OnConflict.KEEP)
        assert "full" in await refusal(first)
        assert "full" in await refusal(second)
        await passes(1)
        again = await scene.submit(unique_key="k")
        assert scene.live() == ["ready"]
        assert await scene.state(again) == "ready"


@story
async def test_an_older_copy_is_not_put_over_a_newer_one_that_was_stored_meanwhile() -> None:
    """An update fails; the result behind it, written for itself, is on the disk."""
    async with stage() as scene:
        worker = scene.worker()
        await settles()
        task = await scene.submit()
        worker.accepts(task)
        await settles()
        scene.store.failure = FULL
        update = asyncio.ensure_future(scene.scheduler.update(task, {"priority": 5}))
        await asyncio.sleep(0)
        scene.store.failure = None
        worker.succeeds(task, "kept")
        assert "full" in await refusal(update)
        assert await scene.on_disk() == ["succeeded"]
        await passes(2)
        assert await scene.on_disk() == ["succeeded"]
        assert (await scene.task(task)).result == Raw(b'"kept"')
        store = scene.store
    store.cut_power()
    async with stage(store) as scene:
        assert scene.live() == []


@story
async def test_attempts_that_ended_meanwhile_stay_ended() -> None:
    async with stage() as scene:
        await warm(scene)
        worker = scene.worker(cap=1)
        await settles()
        first, second = await scene.submit_all({}, {})
        worker.accepts(first)
        await settles()
        scene.store.failure = FULL
        # One step: the first ends, the second is given out. It fails.
        worker.succeeds(first)
        scene.store.failure = None
        # What nobody waits for the store keeps: the second has started.
        fence = scene.scheduler.core.assignments[second].fence
        worker.says(wire.Accept(second, fence))
        await passes(2)
        stored = await scene.scheduler.task(second)
        assert stored is not None
        assert [each.started_at is not None for each in stored.attempts] == [True]


@story
async def test_a_task_that_was_refused_stays_away_though_it_got_to_the_disk_behind_its_submit() -> (
    None
):
    async with stage() as scene:
        await warm(scene)
        worker = scene.worker()
        await settles()
        scene.store.failure = FULL
        submit = scene.begins()
        await asyncio.sleep(0)
        scene.store.failure = None
        [task] = [each.id for each in scene.scheduler.core.tasks.values()]
        # A checkpoint saves all of a task.
        fence = scene.scheduler.core.assignments[task].fence
        worker.says(wire.Checkpoint(task, fence, Raw(b"1")))
        assert "full" in await refusal(submit)
        await passes(2)
        store = scene.store
    store.cut_power()
    async with stage(store) as scene:
        assert scene.live() == []


@story
async def test_what_comes_while_it_is_tried_again_is_written_behind_that() -> None:
    async with stage() as scene:
        first, second = scene.worker("w1"), scene.worker("w2")
        await settles()
        a, b = await scene.submit_all({}, {})
        for worker, task in ((first, a), (second, b)):
            worker.accepts(task)
        scene.store.failure = FULL
        first.succeeds(a)
        await settles()
        scene.store.failure = None
        scene.store.stall()
        await passes(0.6)
        second.succeeds(b)
        await settles()
        scene.store.resume()
        await settles()
        assert await scene.on_disk() == ["succeeded", "succeeded"]
        assert not scene.scheduler.core.suspended


@story
async def test_watchers_are_told_how_a_task_stands_and_not_how_it_stood_when_the_store_failed() -> (
    None
):
    async with stage() as scene:
        worker = scene.stranger()
        await warm(scene)
        task = await scene.submit(run_at=scene.clock.wall_ms() + 1_000)
        scene.watches(task)
        await settles()
        scene.store.failure = FULL
        await refusal(scene.scheduler.update(task, {"priority": 5}))
        await passes(5)
        assert scene.seen(task)[-1] == "ready"
        shown = len(scene.seen(task))
        scene.store.failure = None
        await passes(1)
        assert scene.seen(task)[shown:] == ["ready"]
        assert worker.tasks() == []


@story
async def test_an_end_of_the_scheduler_while_its_store_fails_is_an_end() -> None:
    async with stage() as scene:
        await warm(scene)
        scene.store.failure = FULL
        await refusal(scene.submit())
    written = len(scene.store.writes)
    await passes(5)
    assert len(scene.store.writes) == written


# Changes that can never be stored


@story
async def test_a_change_that_no_store_takes_is_refused_to_its_caller_alone(
    errors: pytest.LogCaptureFixture,
) -> None:
    async with stage() as scene:
        await warm(scene)
        worker = scene.worker(cap=3)
        await settles()
        scene.store.finds_odd("odd")
        odd, good = scene.begins(name="odd"), scene.begins()
        assert "it is too odd" in await refusal(odd)
        await good
        assert await scene.submit()
        assert scene.live() == ["assigned", "assigned"]
        await passes(1)
        assert len(worker.took(wire.Revoke)) == 1
        assert await scene.on_disk() == ["cancelled", "assigned", "assigned"]
        assert not scene.scheduler.core.suspended
        assert set(errors.messages) == {"a change cannot be stored app=app: it is too odd"}


@story
async def test_what_else_happened_in_its_step_is_stored() -> None:
    """A time had come in the step of the submit that is refused."""
    async with stage() as scene:
        worker = scene.worker()
        await settles()
        task = await scene.submit(run_at=scene.clock.wall_ms() + 5_000)
        scene.store.finds_odd("odd")
        # The time has come, and nobody has looked.
        scene.clock.wall += 6_000
        assert "too odd" in await refusal(scene.submit(name="odd"))
        await settles()
        store = scene.store
        assert task in worker.given
        await scene.submit(queue="elsewhere")
    store.cut_power()
    async with stage(store) as scene:
        assert scene.live() == ["assigned", "ready"]


@story
async def test_a_first_task_that_no_store_takes_leaves_the_term_on_the_disk() -> None:
    """Else the next scheduler of this app would give out the same fences again."""
    async with stage() as scene:
        scene.store.finds_odd("odd")
        scene.worker(cap=2)
        await settles()
        assert "too odd" in await refusal(scene.submit(name="odd"))
        task = await scene.submit()
        fence = scene.transport.hands["w1"].given[task].f
        assert fence > FENCES_PER_TERM
        store = scene.store
    store.cut_power()
    assert (await store.load(APP)).term == 1


@story
async def test_a_store_that_fails_recovers_though_one_of_the_changes_can_never_be_stored() -> None:
    async with stage() as scene:
        first, second = scene.worker("w1"), scene.worker("w2")
        await settles()
        odd, good = await scene.submit_all({"name": "odd"}, {})
        for worker, task in ((first, odd), (second, good)):
            worker.accepts(task)
        await settles()
        scene.store.failure = FULL
        first.succeeds(odd)
        second.succeeds(good)
        await settles()
        scene.store.finds_odd("odd")
        scene.store.failure = None
        await passes(2)
        assert not scene.scheduler.core.suspended
        assert await scene.on_disk() == ["running", "succeeded"]


@story
async def test_a_store_that_takes_nothing_at_all_is_asked_twice_a_second() -> None:
    async with stage() as scene:
        await warm(scene)
        scene.store.failure = FULL
        await refusal(scene.submit())
        scene.store.failure = UnfitChange("it is closed")
        written = len(scene.store.writes)
        await passes(5)
        assert len(scene.store.writes) - written <= 15
        assert "it is closed" in await refusal(scene.submit())
