"""Whoever waits for a task that nobody runs is told why, and may stop waiting."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from click.testing import CliRunner, Result

from callboard.cli import main
from callboard.commands import waiting
from callboard_scheduler.client.loop_thread import LoopThread
from support.fake_scheduler import FakeScheduler, Refusal

Scheduler = LoopThread[FakeScheduler]
WHY = "tasks/t1/why"


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scheduler]:
    """A scheduler on a thread of its own, which the environment names, for people in a hurry."""
    for name in [name for name in os.environ if name.startswith(("CALLBOARD_", "PUSHER_"))]:
        monkeypatch.delenv(name)
    thread = LoopThread("fake-scheduler", FakeScheduler)
    monkeypatch.setenv("CALLBOARD_URL", at(thread).url)
    monkeypatch.setattr(waiting, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(waiting, "AGAIN_SECONDS", 0.005)
    yield thread
    thread.close()


def at(scheduler: Scheduler) -> FakeScheduler:
    async def itself(fake: FakeScheduler) -> FakeScheduler:
        return fake

    return scheduler.run(itself)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, prog_name="callboard")


async def asked(fake: FakeScheduler, times: int) -> None:
    """Return when the answer to one of the last questions was surely read."""
    seen = fake.requests("GET", WHY)
    await fake.until(lambda: fake.requests("GET", WHY) >= seen + times)


@pytest.mark.parametrize(
    ("options", "written"),
    [
        (("--wait",), "7\n"),
        (("--watch",), "t1 ready\nt1 succeeded: 7\n"),
    ],
)
def test_who_waits_is_told_why_once_and_again_when_it_changes(
    scheduler: Scheduler, options: tuple[str, ...], written: str
) -> None:
    async def work(fake: FakeScheduler) -> None:
        await fake.until(lambda: fake.requests("GET", "tasks/t1") >= 1)
        fake.reasons = ["no worker serves queue default", "the queue is paused"]
        await asked(fake, 3)
        fake.reasons = ["the workers that fit it are full: w1", "the queue is paused"]
        await asked(fake, 3)
        await fake.finish("t1", result=7)

    with ThreadPoolExecutor() as others:
        working = others.submit(scheduler.run, work)
        result = run("tasks", "submit", "thumbnail", *options)
        working.result()
    assert (result.exit_code, result.stdout) == (0, written)
    assert [line for line in result.stderr.splitlines() if "It waits for a worker" not in line] == [
        "t1 is ready: no worker serves queue default",
        "t1 is ready: the queue is paused",
        "t1 is ready: the workers that fit it are full: w1",
    ]


def test_a_time_that_comes_nearer_is_no_news(scheduler: Scheduler) -> None:
    at(scheduler).task(state="scheduled")
    at(scheduler).reasons = ["it is to run in 3599.4 s"]

    async def work(fake: FakeScheduler) -> None:
        await asked(fake, 2)
        fake.reasons = ["it is to run in 3598.9 s"]
        await asked(fake, 3)
        await fake.finish("t1")

    with ThreadPoolExecutor() as others:
        working = others.submit(scheduler.run, work)
        result = run("tasks", "watch", "t1")
        working.result()
    assert result.stderr == "t1 is scheduled: it is to run in 3599.4 s\n"


def test_nobody_asks_why_a_task_runs(scheduler: Scheduler) -> None:
    at(scheduler).task(state="running", worker="w1", attempt=1)
    at(scheduler).task()

    async def work(fake: FakeScheduler) -> None:
        await fake.until(lambda: fake.requests("GET", "tasks/t2/why") >= 3)
        await fake.finish("t1")
        await fake.finish("t2")

    with ThreadPoolExecutor() as others:
        working = others.submit(scheduler.run, work)
        result = run("tasks", "watch", "t1", "t2")
        working.result()
    assert result.exit_code == 0
    assert at(scheduler).requests("GET", WHY) == 0


def test_a_question_that_fails_does_not_end_the_waiting(scheduler: Scheduler) -> None:
    at(scheduler).task()

    async def work(fake: FakeScheduler) -> None:
        await fake.watched("t1")
        await fake.until(lambda: fake.requests("GET", "tasks/t1") >= 3)
        fake.refusal = Refusal(503, "The task store is not available")
        await asked(fake, 3)
        fake.refusal = None
        await fake.finish("t1")

    with ThreadPoolExecutor() as others:
        working = others.submit(scheduler.run, work)
        result = run("tasks", "watch", "t1")
        working.result()
    assert (result.exit_code, result.stdout) == (0, "t1 ready\nt1 succeeded\n")


class TestAnEndOfTheWaiting:
    def test_is_a_status_of_its_own_and_says_why(
        self, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Nothing was said before.
        monkeypatch.setattr(waiting, "FIRST_SECONDS", 3600.0)
        result = run("tasks", "submit", "thumbnail", "--wait", "--wait-timeout", "50ms")
        assert (result.exit_code, result.stdout) == (5, "")
        assert result.stderr.splitlines() == [
            f"t1 is ready: {at(scheduler).reasons[0]}",
            "Error: not ended within 50ms, and not given up: t1 is ready",
        ]
        assert at(scheduler).records["t1"]["state"] == "ready"

    def test_leaves_a_program_the_record(self, scheduler: Scheduler) -> None:
        command = ("tasks", "submit", "thumbnail", "--wait", "--wait-timeout", "0", "--json")
        result = run(*command)
        assert result.exit_code == 5
        assert json.loads(result.stdout) == at(scheduler).records["t1"]

    def test_names_those_that_are_left(self, scheduler: Scheduler) -> None:
        at(scheduler).task(state="succeeded")
        at(scheduler).task(state="running", worker="w1")
        result = run("tasks", "watch", "t1", "t2", "--wait-timeout", "50ms")
        assert result.exit_code == 5
        assert result.stderr == ("Error: not ended within 50ms, and not given up: t2 is running\n")

    def test_is_nothing_for_who_does_not_wait(self, scheduler: Scheduler) -> None:
        result = run("tasks", "submit", "thumbnail", "--wait-timeout", "1s")
        assert result.exit_code == 2
        assert "--wait-timeout belongs to --wait or --watch." in result.stderr
        assert not at(scheduler).seen
