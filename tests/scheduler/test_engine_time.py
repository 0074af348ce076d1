"""What is due is not missed, and nobody loses a lease because the scheduler could not listen."""

from __future__ import annotations

import asyncio

import pytest

from callboard_scheduler.records import Retry
from callboard_scheduler.stores import StoreError
from callboard_scheduler.transports import OWN
from scheduler.engine_stage import Hand, Stage, passes, settles, stage, story

FULL = StoreError("the disk is full")
LEASE = OWN.lease_ms / 1000


async def held(scene: Stage) -> tuple[Hand, str]:
    """A worker that beats, and a task that it runs."""
    worker = scene.worker(hb=True)
    await settles()
    task = await scene.submit()
    worker.accepts(task)
    await settles()
    return worker, task


# Timers


@story
async def test_a_task_runs_when_its_time_has_come() -> None:
    async with stage() as scene:
        worker = scene.worker()
        task = await scene.submit(run_at=scene.clock.wall_ms() + 10_000)
        await passes(9.5)
        assert worker.tasks() == []
        await passes(0.6)
        assert worker.tasks() == [task]


@story
async def test_what_is_due_sooner_than_what_was_awaited_is_not_late() -> None:
    async with stage() as scene:
        worker = scene.worker(cap=2)
        late = await scene.submit(run_at=scene.clock.wall_ms() + 60_000)
        soon = await scene.submit(run_at=scene.clock.wall_ms() + 2_000)
        await passes(2.1)
        assert worker.tasks() == [soon]
        worker.succeeds(soon)
        await passes(58)
        assert worker.tasks() == [late]


@story
async def test_an_assignment_that_nobody_answers_is_sent_three_times_and_given_back() -> None:
    async with stage() as scene:
        worker = scene.worker()
        await settles()
        task = await scene.submit()
        await passes(3 * OWN.accept_ms / 1000 + 0.1)
        assert worker.tasks() == [task] * OWN.sends
        assert len({message.f for message in [worker.given[task]]}) == 1
        assert scene.live() == ["ready"]


@story
async def test_a_failed_task_is_tried_again_when_its_wait_is_over() -> None:
    async with stage() as scene:
        worker = scene.worker()
        await settles()
        task = await scene.submit(retry=Retry(initial_ms=4_000, jitter=0.0))
        worker.fails(task)
        await passes(3.9)
        assert scene.live() == ["scheduled"]
        await passes(0.2)
        assert worker.given[task].att == 2


@story
async def test_a_wall_clock_that_is_set_forward_is_noticed_though_nothing_happens() -> None:
    """So is a machine that slept: its monotonic clock may have stood still."""
    async with stage() as scene:
        worker = scene.worker()
        task = await scene.submit(run_at=scene.clock.wall_ms() + 3_600_000)
        scene.clock.wall += 3_600_000
        await passes(0.6)
        assert worker.tasks() == [task]


# Leases


@story
async def test_a_worker_that_is_silent_for_a_lease_loses_its_task_and_is_cut_off() -> None:
    async with stage() as scene:
        await held(scene)
        await passes(LEASE - 0.5)
        assert scene.live() == ["running"]
        await passes(1)
        assert scene.live() == ["ready"]
        assert scene.transport.cut_off == ["w1"]


@story
async def test_no_lease_ends_while_the_loop_stands_still(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with stage() as scene:
        worker, task = await held(scene)
        await passes(LEASE / 2)
        scene.clock.stand_still(5 * LEASE)
        # What it said meanwhile is read behind the timers that are due.
        await asyncio.sleep(0)
        await settles()
        assert scene.live() == ["running"]
        worker.beats(task)
        await passes(LEASE - 1)
        assert scene.live() == ["running"]
        assert any("the loop was held up" in text for text in caplog.messages)


@story
async def test_what_a_loop_hears_first_after_it_stood_still_ends_no_lease_either() -> None:
    """Not the next look at the loop, but a message, comes first."""
    async with stage() as scene:
        await held(scene)
        scene.clock.stand_still(5 * LEASE)
        scene.worker("w2")
        assert scene.live() == ["running"]


@story
async def test_a_failure_that_is_heard_first_after_the_loop_stood_still_ends_no_lease() -> None:
    async with stage() as scene:
        _, task = await held(scene)
        scene.store.next_failure = FULL
        submit = asyncio.ensure_future(scene.scheduler.pause("default", True))
        await asyncio.sleep(0)
        scene.clock.stand_still(5 * LEASE)
        await asyncio.gather(submit, return_exceptions=True)
        assert scene.live() == ["running"]
        assert await scene.state(task) == "running"


@story
async def test_a_loop_that_is_late_by_less_than_a_second_costs_nobody_anything() -> None:
    async with stage() as scene:
        await held(scene)
        for _ in range(11):
            scene.clock.stand_still(0.9)
            await settles()
        await passes(0.6)
        assert scene.live() == ["ready"]


@story
async def test_no_lease_ends_while_the_store_takes_longer_than_a_second() -> None:
    async with stage() as scene:
        await held(scene)
        scene.store.stall()
        submit = scene.begins(queue="elsewhere")
        await passes(5 * LEASE)
        assert scene.live() == ["running", "ready"]
        scene.store.resume()
        await submit
        await passes(LEASE - 0.6)
        assert scene.live() == ["running", "ready"]
        await passes(0.7)
        assert scene.live() == ["ready", "ready"]


@story
async def test_a_store_that_was_slow_and_then_failed_lets_leases_end_once_it_is_back() -> None:
    async with stage() as scene:
        await held(scene)
        scene.store.stall()
        pause = asyncio.ensure_future(scene.scheduler.pause("other", True))
        await passes(3)
        scene.store.fail_what_waits(FULL)
        await asyncio.gather(pause, return_exceptions=True)
        scene.store.resume()
        await passes(1)
        assert not scene.scheduler.core.suspended
        await passes(LEASE + 1)
        assert scene.live() == ["ready"]


@story
async def test_time_in_which_two_writes_were_slow_is_counted_once() -> None:
    async with stage() as scene:
        await held(scene)
        scene.store.stall()
        first = scene.begins(queue="elsewhere")
        await passes(1.4)
        # Behind it another, which is stored with it or long after.
        second = scene.begins(queue="elsewhere")
        await passes(3)
        scene.store.resume_one()
        await passes(3)
        scene.store.resume()
        await asyncio.gather(first, second)
        # The worker was heard last before the first write, so its lease had hardly begun.
        await passes(LEASE - 1.0)
        assert "running" in scene.live()
        await passes(1.5)
        assert "running" not in scene.live()


@story
async def test_no_lease_ends_while_the_transport_hears_nobody() -> None:
    async with stage() as scene:
        worker, _ = await held(scene)
        scene.listener.deaf()
        await passes(5 * LEASE)
        assert scene.live() == ["running"]
        scene.listener.hearing()
        await passes(LEASE - 0.5)
        assert scene.live() == ["running"]
        await passes(1)
        assert scene.live() == ["ready"]
        assert worker.id == "w1"


@story
async def test_what_is_due_by_the_clock_is_done_while_nobody_is_heard() -> None:
    async with stage() as scene:
        scene.listener.deaf()
        task = await scene.submit(start_by=scene.clock.wall_ms() + 5_000)
        await passes(5.1)
        assert await scene.state(task) == "expired"
