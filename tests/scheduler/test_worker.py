"""A worker with real functions, threads and sockets; the scheduler is the test."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from callboard_scheduler import Context, Fatal, Retry, Worker, WorkerRefused, wire
from callboard_scheduler.records import Raw
from callboard_scheduler.transports import Cause
from callboard_scheduler.worker.errors import NoTasks
from callboard_scheduler.worker.session import CAUTIOUS
from support.scripted_scheduler import PATIENCE_SECONDS, ScriptedScheduler, scripted_scheduler


@pytest.fixture
async def scheduler() -> AsyncIterator[ScriptedScheduler]:
    async with scripted_scheduler() as scheduler:
        yield scheduler


class Running:
    """A worker that is made by the test and serves until the test is over."""

    def __init__(self, scheduler: ScriptedScheduler, **options: Any) -> None:
        self.scheduler = scheduler
        self.worker = Worker(id=scheduler.worker_id, **{"slots": 4, **options})
        self.serving: asyncio.Task[None] | None = None

    async def begin(self, **options: Any) -> None:
        """Connect, and return once the scheduler has heard hello."""
        self.serving = asyncio.create_task(self.worker.serve(self.scheduler.url, **options))
        await self.scheduler.hear(wire.Hello)

    async def end(self) -> None:
        if self.serving is not None and not self.serving.done():
            self.worker.drain(0.0)
            await asyncio.wait_for(self.serving, PATIENCE_SECONDS)

    async def result(self, name: str, args: str = "{}", **fields: Any) -> wire.Result:
        """Give a task and return how it ended."""
        given = self.scheduler.assign(name, args, **fields)
        return await self.scheduler.hear(wire.Result, f=given.f)

    async def value(self, name: str, args: str = "{}", **fields: Any) -> Any:
        result = await self.result(name, args, **fields)
        assert result.ok, result
        return msgspec.json.decode(result.val or b"")


@pytest.fixture
async def running(scheduler: ScriptedScheduler) -> AsyncIterator[Running]:
    running = Running(scheduler)
    yield running
    await running.end()


def error_of(result: wire.Result) -> wire.ResultError:
    assert not result.ok
    assert result.err is not None
    return result.err


# Functions


async def test_coroutines_run_on_the_users_loop_and_plain_functions_in_threads(
    running: Running,
) -> None:
    own = threading.get_ident()

    @running.worker.task("coroutine")
    async def coroutine(a: int, b: int) -> list[int]:
        return [a + b, threading.get_ident() == own]

    @running.worker.task
    def plain(ctx: Context, a: int) -> list[Any]:
        return [a, threading.get_ident() == own, ctx.task_id, ctx.attempt]

    await running.begin()
    assert await running.value("coroutine", '{"a":1,"b":2}') == [3, True]
    assert await running.value("plain", "[5]", id="t77", att=2) == [5, False, "t77", 2]


async def test_everything_that_a_function_says_arrives_ahead_of_its_result(
    running: Running,
) -> None:
    @running.worker.task("coroutine")
    async def coroutine(ctx: Context) -> None:
        await ctx.progress(50, "half", data={"n": 1})
        await ctx.log("a line", level="warning")
        await ctx.checkpoint({"page": 2})

    @running.worker.task("plain")
    def plain(ctx: Context) -> None:
        ctx.progress(50, "half", data={"n": 1})
        ctx.log("a line", level="warning")
        ctx.checkpoint({"page": 2})

    await running.begin()
    for name in ("coroutine", "plain"):
        given = running.scheduler.assign(name)
        await running.scheduler.hear(wire.Result, f=given.f)
        said = running.scheduler.said_of(given)
        progress = next(each for each in said if isinstance(each, wire.ProgressReport))
        assert (progress.pct, progress.msg) == (50, "half")
        assert msgspec.json.decode(progress.data or b"") == {"n": 1}
        log = next(each for each in said if isinstance(each, wire.Log))
        assert (log.lvl, log.txt) == ("warning", "a line")
        checkpoint = next(each for each in said if isinstance(each, wire.Checkpoint))
        assert msgspec.json.decode(checkpoint.ck or b"") == {"page": 2}
        assert isinstance(said[-1], wire.Result)


async def test_a_function_knows_its_fence_and_what_an_earlier_attempt_left(
    running: Running,
) -> None:
    @running.worker.task("work")
    async def work(ctx: Context) -> list[Any]:
        return [ctx.fence, ctx.last_checkpoint, ctx.cancelled, ctx.cancel_reason]

    await running.begin()
    assert await running.value("work", f=7) == [7, None, False, ""]
    assert await running.value("work", f=8, ck=Raw(b'{"page":2}')) == [8, {"page": 2}, False, ""]


class Cat(msgspec.Struct):
    name: str


class Dumped:
    def model_dump_json(self) -> str:
        return '{"dumped":true}'


async def test_results_are_what_msgspec_encodes_and_what_dumps_itself(running: Running) -> None:
    values: list[object] = [None, Cat("Tom"), {"x": [Dumped()]}]

    @running.worker.task("work")
    async def work(place: int) -> object:
        return values[place]

    await running.begin()
    found = [await running.value("work", f"[{place}]") for place in range(len(values))]
    assert found == [None, {"name": "Tom"}, {"x": [{"dumped": True}]}]


# Failures


async def test_an_exception_fails_the_try_with_its_type_and_text(running: Running) -> None:
    @running.worker.task("work")
    async def work(kind: str) -> object:
        match kind:
            case "plain":
                raise KeyError("missing")
            case "later":
                raise Retry("busy", after_ms=1_500)
            case "never":
                raise Fatal("no such picture")
            case "exit":
                raise SystemExit(3)
            case _:
                return object()

    await running.begin()
    assert error_of(await running.result("work", '["plain"]')) == wire.ResultError(
        "KeyError", "'missing'"
    )
    assert error_of(await running.result("work", '["later"]')) == wire.ResultError(
        "Retry", "busy", after_ms=1_500
    )
    assert error_of(await running.result("work", '["never"]')) == wire.ResultError(
        "Fatal", "no such picture", retry=False
    )
    assert error_of(await running.result("work", '["exit"]')).type == "SystemExit"
    unsuitable = error_of(await running.result("work", '["object"]'))
    assert (unsuitable.type, unsuitable.retry) == ("BadResult", False)
    assert "the result of 'work' must be a JSON value" in unsuitable.msg


async def test_what_is_long_only_as_json_still_fits_an_event(running: Running) -> None:
    long = "\0" * 90_000

    @running.worker.task("progress")
    async def progress(ctx: Context) -> None:
        await ctx.progress(50, long)

    @running.worker.task("raise")
    async def raise_(ctx: Context) -> None:
        raise ValueError(long)

    await running.begin()
    for name, said in (("progress", "a progress report has 540002 bytes"), ("raise", "\0" * 500)):
        given = running.scheduler.assign(name)
        result = await running.scheduler.hear(wire.Result, f=given.f)
        assert error_of(result).msg.startswith(said)
        assert len(msgspec.json.encode(result)) < CAUTIOUS.bytes


async def test_wrong_arguments_fail_the_task_for_good(running: Running) -> None:
    @running.worker.task("work")
    def work(size: int) -> None:
        raise AssertionError("not to be run")

    await running.begin()
    error = error_of(await running.result("work", '{"size":"big"}'))
    assert error == wire.ResultError(
        "BadArguments", "argument 'size': expected int, got str", retry=False
    )


async def test_a_failure_is_logged_with_its_trace_and_a_stop_is_not(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    @running.worker.task("fail")
    async def fail() -> None:
        raise ValueError("of no use")

    @running.worker.task("hang")
    async def hang() -> None:
        await asyncio.Event().wait()

    await running.begin()
    with caplog.at_level(logging.WARNING, "callboard_scheduler.worker"):
        await running.result("fail")
        given = running.scheduler.assign("hang")
        await running.scheduler.hear(wire.Accept, f=given.f)
        running.scheduler.revoke(given)
        await running.scheduler.hear(wire.Released, f=given.f)
    (record,) = caplog.records
    assert "'fail' t1 attempt 1> failed: of no use" in record.getMessage()
    assert record.exc_info is not None


# Being stopped


async def test_a_cancelled_coroutine_is_cancelled_and_may_leave_a_checkpoint(
    running: Running,
) -> None:
    seen = []

    @running.worker.task("work")
    async def work(ctx: Context) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append((ctx.cancelled, ctx.cancel_reason))
            ctx.checkpoint("where it was")
            raise

    await running.begin()
    given = running.scheduler.assign("work")
    await running.scheduler.hear(wire.Accept, f=given.f)
    running.scheduler.revoke(given, why="moved")
    released = await running.scheduler.hear(wire.Released, f=given.f)
    assert msgspec.json.decode(released.ck or b"") == "where it was"
    assert seen == [(True, "moved")]


async def test_a_coroutine_that_is_cancelled_before_it_began_ends_as_well(
    running: Running,
) -> None:
    @running.worker.task("work")
    async def work() -> None:
        raise AssertionError("not to be run")

    await running.begin()
    scheduler = running.scheduler
    given = wire.Assign(id="t9", f=9, att=1, name="work")
    scheduler.say(given, wire.Revoke("t9", 9, "cancelled", 2_000))
    await scheduler.hear(wire.Released, f=9)


async def test_a_cancelled_thread_sees_it(running: Running) -> None:
    @running.worker.task("looks")
    def looks(ctx: Context) -> None:
        while True:
            ctx.wait_cancelled(0.01)
            ctx.raise_if_cancelled()

    @running.worker.task("returns")
    def returns(ctx: Context) -> str:
        ctx.wait_cancelled()
        return ctx.cancel_reason

    await running.begin()
    first, second = running.scheduler.assign("looks"), running.scheduler.assign("returns")
    await running.scheduler.hear(wire.Accept, f=second.f)
    running.scheduler.revoke(first)
    running.scheduler.revoke(second, why="timeout")
    await running.scheduler.hear(wire.Released, f=first.f)
    result = await running.scheduler.hear(wire.Result, f=second.f)
    assert msgspec.json.decode(result.val or b"") == "timeout"


async def test_a_thread_that_ignores_it_is_released_and_keeps_its_slot(
    scheduler: ScriptedScheduler,
) -> None:
    running = Running(scheduler, slots=1)
    let_go = threading.Event()

    @running.worker.task("stubborn")
    def stubborn() -> None:
        let_go.wait()

    @running.worker.task("other")
    def other() -> str:
        return "ran"

    await running.begin()
    given = scheduler.assign("stubborn")
    await scheduler.hear(wire.Accept, f=given.f)
    scheduler.revoke(given, within_ms=200)
    await scheduler.hear(wire.Capacity, cap=0, free=0)
    await scheduler.hear(wire.Released, f=given.f)
    refused = scheduler.assign("other")
    assert (await scheduler.hear(wire.Reject, f=refused.f)).why == "busy"
    let_go.set()
    await scheduler.hear(wire.Capacity, cap=1, free=1)
    assert await running.value("other") == "ran"
    await running.end()


# What must not hold up the connection


def serve_in_thread(worker: Worker, url: str) -> threading.Thread:
    thread = threading.Thread(target=worker.run, args=(url,))
    thread.start()
    return thread


async def test_a_blocked_loop_stops_neither_heartbeats_nor_a_release(
    scheduler: ScriptedScheduler,
) -> None:
    scheduler.hb_ms = 30
    worker = Worker(id=scheduler.worker_id)
    let_go = threading.Event()

    @worker.task("block")
    async def block() -> None:
        let_go.wait()

    thread = serve_in_thread(worker, scheduler.url)
    try:
        await scheduler.hear(wire.Hello)
        given = scheduler.assign("block")
        # What a heartbeat lists has begun, and is not accepted as well.
        for _ in range(3):
            await scheduler.hear(wire.Heartbeat, run=[(given.id, given.f)])
        scheduler.revoke(given, within_ms=100)
        await scheduler.hear(wire.Released, f=given.f)
        await scheduler.hear(wire.Heartbeat, run=[])
    finally:
        let_go.set()
        worker.drain(0.0)
        await asyncio.to_thread(thread.join)


async def test_a_blocked_loop_gives_what_it_has_not_begun_to_others_and_says_where_it_is(
    scheduler: ScriptedScheduler, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(id=scheduler.worker_id, slots=4)
    let_go = threading.Event()
    ran = []

    @worker.task("block")
    async def block() -> None:
        let_go.wait()

    @worker.task("quick")
    async def quick(number: int) -> None:
        ran.append(number)

    thread = serve_in_thread(worker, scheduler.url)
    try:
        await scheduler.hear(wire.Hello)
        blocks, first = scheduler.assign("block"), scheduler.assign("quick", "[1]")
        await scheduler.hear(wire.Accept, f=blocks.f)
        await scheduler.hear(wire.Capacity, cap=0, free=0)
        assert (await scheduler.hear(wire.Reject, f=first.f)).why == "busy"
        (record,) = caplog.records
        assert "does not move" in record.getMessage()
        assert re.search(r"test_worker\.py:\d+ in .*\.block\)", record.getMessage())
        let_go.set()
        await scheduler.hear(wire.Result, f=blocks.f)
        await scheduler.hear(wire.Capacity, cap=4, free=4)
        second = scheduler.assign("quick", "[2]")
        await scheduler.hear(wire.Result, f=second.f)
        assert ran == [2]
        assert [type(said) for said in scheduler.said_of(first)] == [wire.Reject]
    finally:
        let_go.set()
        worker.drain(0.0)
        await asyncio.to_thread(thread.join)


async def test_what_waits_for_a_blocked_loop_is_cancelled_at_once(
    scheduler: ScriptedScheduler,
) -> None:
    worker = Worker(id=scheduler.worker_id, slots=2)
    let_go = threading.Event()

    @worker.task("block")
    async def block() -> None:
        let_go.wait()

    thread = serve_in_thread(worker, scheduler.url)
    try:
        await scheduler.hear(wire.Hello)
        blocks = scheduler.assign("block")
        await scheduler.hear(wire.Accept, f=blocks.f)
        waits = wire.Assign(id="t9", f=9, att=1, name="block")
        scheduler.say(waits, wire.Revoke(waits.id, waits.f, "cancelled", 2_000))
        await scheduler.hear(wire.Released, f=waits.f)
        # Before the loop was taken for blocked: nothing was abandoned.
        assert not any(isinstance(said, wire.Capacity) for said in scheduler.heard)
    finally:
        let_go.set()
        worker.drain(0.0)
        await asyncio.to_thread(thread.join)


async def test_a_busy_thread_does_not_stop_heartbeats(scheduler: ScriptedScheduler) -> None:
    scheduler.hb_ms = 30
    running = Running(scheduler)

    @running.worker.task("busy")
    def busy(ctx: Context) -> int:
        count = 0
        while not ctx.cancelled:
            count += 1
        return count

    await running.begin()
    given = scheduler.assign("busy")
    for _ in range(3):
        await scheduler.hear(wire.Heartbeat, run=[(given.id, given.f)])
    scheduler.revoke(given)
    await scheduler.hear(wire.Result, f=given.f)
    await running.end()


# Connections


async def test_a_worker_comes_back_with_what_it_runs_and_what_is_not_recorded(
    running: Running,
) -> None:
    go_on = asyncio.Event()

    @running.worker.task("wait")
    async def wait() -> str:
        await go_on.wait()
        return "finished"

    @running.worker.task("quick")
    async def quick() -> None: ...

    await running.begin()
    scheduler = running.scheduler
    scheduler.silent = {wire.Result}
    runs, finished = scheduler.assign("wait"), scheduler.assign("quick")
    await scheduler.hear(wire.Result, f=finished.f)
    scheduler.cut()
    hello = await scheduler.hear(wire.Hello)
    assert sorted(hello.run) == [(runs.id, runs.f), (finished.id, finished.f)]
    scheduler.silent = set()
    await scheduler.hear(wire.Result, f=finished.f)
    go_on.set()
    result = await scheduler.hear(wire.Result, f=runs.f)
    assert msgspec.json.decode(result.val or b"") == "finished"


async def test_what_was_given_to_others_meanwhile_is_cancelled_when_it_comes_back(
    running: Running,
) -> None:
    cancelled = asyncio.Event()

    @running.worker.task("wait")
    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    await running.begin()
    scheduler = running.scheduler
    given = scheduler.assign("wait")
    await scheduler.hear(wire.Accept, f=given.f)
    scheduler.verdict = lambda task, fence: "stop"
    scheduler.cut()
    await asyncio.wait_for(cancelled.wait(), PATIENCE_SECONDS)


async def test_the_default_is_not_to_resume_and_an_option_is(scheduler: ScriptedScheduler) -> None:
    for resume in (False, True):
        running = Running(scheduler, resume=resume)
        running.worker.task("work")(lambda: None)
        running.serving = asyncio.create_task(running.worker.serve(scheduler.url))
        hello = await scheduler.hear(wire.Hello)
        assert hello.resume is resume
        await running.end()


async def test_a_task_that_was_changed_is_told_to_its_function(running: Running) -> None:
    changed = asyncio.Event()

    @running.worker.task("wait")
    async def wait(ctx: Context, size: int) -> list[Any]:
        await changed.wait()
        return [size, ctx.changed_args]

    await running.begin()
    given = running.scheduler.assign("wait", '{"size":1}')
    await running.scheduler.hear(wire.Accept, f=given.f)
    running.scheduler.say(wire.Update(given.id, given.f, 2, args=Raw(b'{"size":2}')))
    await running.scheduler.hear(wire.Heartbeat, rev={given.id: 2})
    changed.set()
    result = await running.scheduler.hear(wire.Result, f=given.f)
    assert msgspec.json.decode(result.val or b"") == [1, {"size": 2}]


async def test_a_hello_that_is_refused_ends_the_worker_with_the_reason(
    scheduler: ScriptedScheduler,
) -> None:
    scheduler.silent = {wire.Hello}
    running = Running(scheduler)
    running.worker.task("work")(lambda: None)
    await running.begin()
    scheduler.say(wire.Refused("another process is worker w1; give this one an id of its own"))
    assert running.serving is not None
    with pytest.raises(WorkerRefused, match="another process is worker w1"):
        await asyncio.wait_for(running.serving, PATIENCE_SECONDS)


async def test_a_worker_that_is_refused_when_it_comes_back_leaves_nothing_running(
    running: Running,
) -> None:
    cancelled: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @running.worker.task("wait")
    async def wait(ctx: Context) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set_result(ctx.cancel_reason)

    await running.begin()
    scheduler = running.scheduler
    given = scheduler.assign("wait")
    await scheduler.hear(wire.Accept, f=given.f)
    scheduler.silent = {wire.Hello}
    scheduler.cut()
    await scheduler.hear(wire.Hello)
    scheduler.say(wire.Refused("the token has expired"))
    assert running.serving is not None
    with pytest.raises(WorkerRefused, match="the token has expired"):
        await asyncio.wait_for(running.serving, PATIENCE_SECONDS)
    assert await asyncio.wait_for(cancelled, PATIENCE_SECONDS) == "lost"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda url: url.replace("secret", "wrong"),
            "^the worker is refused: is the secret of app key 'key' right",
        ),
        (
            lambda url: url.replace("//key", "//nobody"),
            "refused the connection for good, code 4001",
        ),
    ],
)
async def test_wrong_credentials_end_the_worker_with_what_to_look_at(
    scheduler: ScriptedScheduler, change: Callable[[str], str], expected: str
) -> None:
    worker = Worker()
    worker.task("work")(lambda: None)
    with pytest.raises(WorkerRefused, match=expected) as caught:
        await asyncio.wait_for(worker.serve(change(scheduler.url)), PATIENCE_SECONDS)
    assert "wrong" not in str(caught.value)


async def test_a_worker_without_functions_is_told_to_have_some() -> None:
    with pytest.raises(NoTasks, match=r"put @worker\.task\(NAME\) on a function"):
        await Worker().serve("http://key:secret@127.0.0.1:1/apps/1")


# Leaving


async def test_a_draining_worker_lets_tasks_end_says_goodbye_and_leaves(running: Running) -> None:
    go_on = asyncio.Event()

    @running.worker.task("wait")
    async def wait() -> None:
        await go_on.wait()

    await running.begin()
    scheduler = running.scheduler
    given = scheduler.assign("wait")
    await scheduler.hear(wire.Accept, f=given.f)
    running.worker.drain()
    await scheduler.hear(wire.Capacity, cap=0)
    surplus = scheduler.assign("wait")
    assert (await scheduler.hear(wire.Reject, f=surplus.f)).why == "draining"
    go_on.set()
    await scheduler.hear(wire.Result, f=given.f)
    await scheduler.hear(wire.Bye)
    assert running.serving is not None
    await asyncio.wait_for(running.serving, PATIENCE_SECONDS)


async def test_what_does_not_end_within_the_drain_is_handed_back(running: Running) -> None:
    @running.worker.task("wait")
    async def wait(ctx: Context) -> None:
        await ctx.checkpoint(7)
        await asyncio.Event().wait()

    await running.begin()
    scheduler = running.scheduler
    given = scheduler.assign("wait")
    await scheduler.hear(wire.Checkpoint, f=given.f)
    scheduler.say(wire.Drain(50))
    released = await scheduler.hear(wire.Released, f=given.f)
    assert msgspec.json.decode(released.ck or b"") == 7
    await scheduler.hear(wire.Bye)
    assert running.serving is not None
    await asyncio.wait_for(running.serving, PATIENCE_SECONDS)


async def test_a_worker_whose_serving_is_cancelled_hands_its_tasks_back(running: Running) -> None:
    @running.worker.task("wait")
    async def wait() -> None:
        await asyncio.Event().wait()

    await running.begin()
    scheduler = running.scheduler
    given = scheduler.assign("wait")
    await scheduler.hear(wire.Accept, f=given.f)
    assert running.serving is not None
    running.serving.cancel()
    await scheduler.hear(wire.Released, f=given.f)
    await scheduler.hear(wire.Bye)
    with pytest.raises(asyncio.CancelledError):
        await running.serving
    assert await scheduler.gone() is Cause.DISCONNECTED


async def test_a_worker_can_serve_again_and_not_twice_at_a_time(running: Running) -> None:
    running.worker.task("work")(lambda: None)
    await running.begin()
    with pytest.raises(RuntimeError, match="runs already"):
        await running.worker.serve(running.scheduler.url)
    await running.end()
    await running.begin()


async def test_whoever_waits_for_the_first_welcome_hears_of_it_with_the_id(
    scheduler: ScriptedScheduler,
) -> None:
    running = Running(scheduler)
    running.worker.task("work")(lambda: None)
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    await running.begin(on_ready=ready.set_result)
    assert await asyncio.wait_for(ready, PATIENCE_SECONDS) == "w1"
    await running.end()
