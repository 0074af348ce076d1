"""The kit for tests of applications: behaves as the scheduler does, without waiting."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from callboard_scheduler import Context, Fatal, Retry, Worker
from callboard_scheduler.errors import BadField, Conflict
from callboard_scheduler.testing import VirtualClock, VirtualScheduler

HOUR = 3600


def make_worker(**options: int) -> Worker:
    worker = Worker(slots=2, **options)  # type: ignore[arg-type]

    @worker.task("add")
    def add(a: int, b: int) -> int:
        return a + b

    @worker.task("greet")
    async def greet(ctx: Context, name: str) -> str:
        await ctx.progress(50, "half")
        await ctx.log("greeting")
        await asyncio.sleep(0)
        return f"hello {name}"

    @worker.task("flaky")
    def flaky(ctx: Context, fail: int) -> int:
        if ctx.attempt <= fail:
            raise Retry("not yet", after_ms=10_000)
        return ctx.attempt

    @worker.task("broken")
    def broken() -> None:
        raise Fatal("never")

    return worker


@pytest.fixture
def scheduler() -> VirtualScheduler:
    return VirtualScheduler(make_worker())


def test_a_task_runs_when_the_test_says_so(scheduler: VirtualScheduler) -> None:
    task = scheduler.submit("add", {"a": 1, "b": 2})
    assert task.state == "assigned"
    assert scheduler.run_due() == [task]
    assert (task.state, task.result) == ("succeeded", 3)


def test_a_delayed_task_waits_for_virtual_time_only(scheduler: VirtualScheduler) -> None:
    task = scheduler.submit("greet", ["ada"], delay_ms=HOUR * 1000)
    assert scheduler.run_due() == []
    assert "is to run in 3600.0 s" in task.why()[0]
    assert scheduler.advance(HOUR) == [task]
    assert task.result == "hello ada"
    assert task.progress == [50]
    assert scheduler.logged[task.id] == ["greeting"]


def test_what_was_submitted_can_be_asserted(scheduler: VirtualScheduler) -> None:
    scheduler.submit("add", {"a": 1, "b": 2}, queue="sums", priority=3)
    task = scheduler.assert_submitted("add", args={"a": 1, "b": 2}, queue="sums", priority=3)
    assert task.args == {"a": 1, "b": 2}
    scheduler.assert_submitted("greet", times=0)


def test_a_failed_assertion_shows_what_was_submitted(scheduler: VirtualScheduler) -> None:
    scheduler.submit("add", {"a": 1, "b": 2})
    with pytest.raises(AssertionError, match=r"expected at least one of add, args=.*\n.*\"b\":2"):
        scheduler.assert_submitted("add", args={"a": 1})
    with pytest.raises(AssertionError, match="expected 2 of add, got 1"):
        scheduler.assert_submitted("add", times=2)


def test_an_option_that_no_task_has_is_never_taken_for_one_that_was_not_submitted(
    scheduler: VirtualScheduler,
) -> None:
    with pytest.raises(TypeError, match="a task has no 'prioriti': expected args, queue, priority"):
        scheduler.assert_submitted("add", times=0, prioriti=1)


def test_tasks_to_come_after_are_asserted_as_they_were_submitted(
    scheduler: VirtualScheduler,
) -> None:
    first = scheduler.submit("add", [1, 2], delay_ms=1)
    second = scheduler.submit("add", [3, 4], after=[first])
    assert scheduler.assert_submitted("add", after=[first]) == second
    assert scheduler.assert_submitted("add", after=first.id) == second


def test_a_result_that_is_not_there_says_why(scheduler: VirtualScheduler) -> None:
    task = scheduler.submit("flaky", {"fail": 2})
    scheduler.run_due()
    with pytest.raises(AssertionError, match=r"scheduled> has no result: Retry: not yet$"):
        _ = task.result


def test_retries_run_at_their_time_and_count(scheduler: VirtualScheduler) -> None:
    task = scheduler.submit("flaky", {"fail": 2})
    assert scheduler.run_due() == [task]
    assert (task.state, task.error) == ("scheduled", "Retry: not yet")
    assert scheduler.advance(9) == []
    assert scheduler.advance(60) == [task, task]
    assert task.result == 3


def test_a_failure_for_good_is_dead_and_has_no_result(scheduler: VirtualScheduler) -> None:
    task = scheduler.submit("broken")
    scheduler.run_due()
    assert (task.state, task.error) == ("dead", "Fatal: never")
    with pytest.raises(AssertionError, match="has no result"):
        _ = task.result


def test_why_tells_how_a_task_has_ended_and_of_each_attempt(scheduler: VirtualScheduler) -> None:
    task = scheduler.submit("flaky", {"fail": 1})
    scheduler.run_due()
    assert task.why() == [
        "it is to run in 10.0 s, after 1 failed tries",
        "attempt 1, on worker worker-1, failed after 0.0 s: Retry: not yet",
        "1 of 3 tries have failed",
    ]
    scheduler.advance(10)
    assert task.why()[0] == "it has succeeded"
    dead = scheduler.submit("broken")
    scheduler.run_due()
    assert dead.why() == [
        "it is dead: it is not tried again: Fatal: never",
        "attempt 1, on worker worker-1, failed after 0.0 s: Fatal: never",
        "1 of 3 tries have failed",
    ]


def test_wrong_arguments_fail_as_they_would_there(scheduler: VirtualScheduler) -> None:
    task = scheduler.submit("add", {"a": "one", "b": 2})
    scheduler.run_due()
    assert task.state == "dead"
    assert task.error is not None
    assert "'a'" in task.error


def test_a_body_is_checked_as_the_server_checks_it(scheduler: VirtualScheduler) -> None:
    with pytest.raises(BadField, match="priority"):
        scheduler.submit("add", priority="high")  # type: ignore[arg-type]


def test_unique_keys_and_dependencies_hold(scheduler: VirtualScheduler) -> None:
    first = scheduler.submit("add", [1, 1], unique_key="k", delay_ms=1000)
    assert scheduler.submit("add", [9, 9], unique_key="k") == first
    with pytest.raises(Conflict):
        scheduler.submit("add", [9, 9], unique_key="k", on_conflict="error")
    second = scheduler.submit("add", [2, 2], after=[first])
    assert second.state == "blocked"
    assert scheduler.advance(1) == [first, second]


def test_a_waiting_task_can_be_cancelled(scheduler: VirtualScheduler) -> None:
    task = scheduler.submit("add", [1, 1], delay_ms=1000)
    task.cancel()
    assert scheduler.advance(5) == []
    assert task.state == "cancelled"


def test_schedules_fire_as_time_goes_by(scheduler: VirtualScheduler) -> None:
    scheduler.put_schedule("sums", cron="*/10 * * * *", task={"name": "add", "args": [1, 2]})
    ran = scheduler.advance(HOUR)
    assert [task.result for task in ran] == [3] * 6
    assert len(scheduler.tasks) == 6


def test_an_event_on_a_schedule_is_published(scheduler: VirtualScheduler) -> None:
    event = {"name": "tick", "channel": "news", "data": {"n": 1}}
    scheduler.put_schedule("tick", every_ms=60_000, event=event)
    scheduler.advance(120)
    assert [each["name"] for each in scheduler.published] == ["tick", "tick"]
    assert scheduler.published[0]["data"] == '{"n":1}'


def test_without_a_worker_tasks_wait_and_say_why() -> None:
    scheduler = VirtualScheduler(clock=VirtualClock(datetime(2030, 1, 1, tzinfo=UTC)))
    task = scheduler.submit("add", [1, 2])
    assert scheduler.run_due() == []
    assert task.why() == ["no worker serves queue default"]
    assert scheduler.clock.now() == datetime(2030, 1, 1, tzinfo=UTC)


async def test_tests_that_are_coroutines_await_it() -> None:
    scheduler = VirtualScheduler(make_worker())
    task = scheduler.submit("greet", {"name": "bo"})
    with pytest.raises(RuntimeError, match=r"await scheduler\.advance_async"):
        scheduler.run_due()
    assert await scheduler.advance_async() == [task]
    assert task.result == "hello bo"


def test_time_does_not_go_back(scheduler: VirtualScheduler) -> None:
    with pytest.raises(ValueError, match="time does not go back"):
        scheduler.advance(-1)


def test_a_function_that_gives_up_or_exits_has_failed_as_in_a_worker() -> None:
    worker = Worker()

    @worker.task("exit")
    def exit_() -> None:
        raise SystemExit(3)

    @worker.task("cancel")
    async def cancel() -> None:
        raise asyncio.CancelledError

    scheduler = VirtualScheduler(worker)
    tasks = [scheduler.submit(name, retry={"max_attempts": 1}) for name in ("exit", "cancel")]
    scheduler.run_due()
    assert [task.error for task in tasks] == ["SystemExit: 3", "CancelledError: "]


async def test_a_test_that_is_cancelled_is_no_failure_of_its_task() -> None:
    worker, began = Worker(), asyncio.Event()

    @worker.task
    async def work() -> None:
        began.set()
        await asyncio.Event().wait()

    scheduler = VirtualScheduler(worker)
    task = scheduler.submit("work")
    running = asyncio.create_task(scheduler.advance_async())
    await began.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (task.state, task.error) == ("running", None)


def test_a_time_is_asserted_as_it_was_submitted(scheduler: VirtualScheduler) -> None:
    at = datetime(2030, 1, 1, tzinfo=UTC)
    task = scheduler.submit("add", [1, 2], run_at=at)
    assert scheduler.assert_submitted("add", run_at=at) == task


@pytest.mark.parametrize(("what", "ends"), [("cancel", "cancelled"), ("move", "succeeded")])
def test_a_function_stops_a_task_that_has_not_begun(what: str, ends: str) -> None:
    first, second = Worker(id="first", slots=2), Worker(id="second")
    ran: list[str] = []

    @first.task
    def stop() -> None:
        if what == "cancel":
            scheduler.cancel(other.id)
        else:
            scheduler.move(other, "second")

    @first.task("work")
    def work_first() -> None:
        ran.append("first")

    @second.task("work")
    def work_second() -> None:
        ran.append("second")

    scheduler = VirtualScheduler(first, second)
    stopping = scheduler.submit("stop")
    other = scheduler.submit("work", target={"worker": "first"})
    scheduler.run_due()
    assert (stopping.state, other.state) == ("succeeded", ends)
    assert ran == ([] if what == "cancel" else ["second"])
