"""Tasks from submit to result, between processes: a scheduler in its server, and one beside it.

What is tested is the same for both. The servers and the remote scheduler are processes; a test's
workers are the SDK's own, with connections and threads of theirs, on the test's loop.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from callboard_client import ApiClient, EndpointAuthorizer
from callboard_client.clock import unix_time
from callboard_client.errors import SubscriptionError
from callboard_scheduler import (
    AsyncClient,
    Conflict,
    Context,
    Progress,
    Refused,
    TaskCancelled,
    TaskExpired,
    TaskFailed,
    Worker,
    WorkerRefused,
)
from callboard_scheduler.client.async_task import AsyncTask
from callboard_scheduler.names import task_channel, worker_channel
from support.task_processes import PATIENCE_SECONDS, Deployment, Program
from support.task_stage import Stage, happens, hear

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: What a cancelled task may take until it is cancelled, whatever its function does.
CANCEL_MS = 2_000
AN_HOUR_MS = 3_600_000


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=[False, True], ids=["embedded", "remote"]
)
async def deployment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Deployment]:
    deployment = Deployment(tmp_path_factory.mktemp("scheduler"), remote=request.param)
    try:
        await deployment.start()
        yield deployment
    finally:
        deployment.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(deployment: Deployment) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(deployment.url, service=deployment.service) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def stage(deployment: Deployment, client: AsyncClient) -> AsyncIterator[Stage]:
    stage = Stage(deployment, client)
    yield stage
    await stage.close()


async def result(task: AsyncTask) -> Any:
    return await task.result(PATIENCE_SECONDS)


async def outcomes(task: AsyncTask) -> list[str]:
    """Return how a task's attempts have ended."""
    return [attempt["outcome"] for attempt in (await task.refresh()).record["attempts"]]


def echoing(worker: Worker) -> Worker:
    @worker.task("echo")
    async def echo(value: object = None) -> object:
        return value

    return worker


@dataclass
class Held:
    """A function that says when it begins, and ends when it is let."""

    begun: asyncio.Event
    let_go: asyncio.Event

    @classmethod
    def by(cls, worker: Worker, name: str = "hold") -> Held:
        held = cls(asyncio.Event(), asyncio.Event())

        @worker.task(name)
        async def hold() -> str:
            held.begun.set()
            await held.let_go.wait()
            return "let go"

        return held


# From submit to result


async def test_a_watcher_sees_every_step_of_a_task_and_a_late_one_how_it_stands(
    stage: Stage,
) -> None:
    worker = stage.worker()
    watched, seen_late = asyncio.Event(), asyncio.Event()

    @worker.task("count")
    async def count(ctx: Context, to: int) -> dict[str, int]:
        await watched.wait()
        await ctx.log("nearly there")
        await ctx.progress(50, "half", data={"n": 1})
        await seen_late.wait()
        return {"counted": to}

    await stage.run(worker)
    task = await stage.submit("count", 3)
    feed = task_channel("default", task.id)
    watcher = await (await stage.connect()).subscribe(feed)
    watched.set()
    assert json.loads((await hear(watcher, "log")).data)["txt"] == "nearly there"
    async with asyncio.timeout(PATIENCE_SECONDS), aclosing(task.progress()) as reports:
        assert await anext(reports) == Progress(50, "half", {"n": 1})
    late = await (await stage.connect()).subscribe(feed)
    told = json.loads((await hear(late, "state", "progress")).data)
    assert told.get("progress", told)["msg"] == "half"
    seen_late.set()
    assert json.loads((await hear(watcher, "result")).data)["result"] == {"counted": 3}
    assert await result(task) == {"counted": 3}
    record = (await task.refresh()).record
    assert record["worker"] == stage.name("worker")
    assert record["created_at"] <= record["started_at"] <= record["finished_at"]


async def test_a_task_goes_to_the_worker_that_is_idle(stage: Stage) -> None:
    busy, idle = stage.worker("busy", slots=2), stage.worker("idle")
    held = Held.by(busy)
    for worker in (busy, idle):
        await stage.run(echoing(worker))
    await stage.submit("hold")
    await happens(held.begun)
    for number in range(5):
        task = await stage.submit("echo", number)
        assert await result(task) == number
        assert (await task.refresh()).record["worker"] == stage.name("idle")


async def test_a_task_that_fails_is_tried_again_until_it_succeeds(stage: Stage) -> None:
    worker = stage.worker()

    @worker.task("flaky")
    async def flaky(ctx: Context) -> int:
        if ctx.attempt < 3:
            raise ValueError(f"not at attempt {ctx.attempt}")
        return ctx.attempt

    await stage.run(worker)
    task = await stage.submit("flaky", retry={"initial_ms": 1})
    assert await result(task) == 3
    assert await outcomes(task) == ["failed", "failed", "succeeded"]
    assert (await task.refresh()).record["attempts"][1]["error"] == {
        "type": "ValueError",
        "msg": "not at attempt 2",
    }


async def test_a_dead_task_says_why_and_can_be_begun_anew(stage: Stage) -> None:
    worker = stage.worker()
    mended = asyncio.Event()

    @worker.task("broken")
    async def broken() -> str:
        if not mended.is_set():
            raise KeyError("the picture")
        return "mended"

    await stage.run(worker)
    task = await stage.submit("broken", retry={"max_attempts": 1})
    with pytest.raises(TaskFailed, match="KeyError: 'the picture'"):
        await result(task)
    assert [each.id async for each in stage.client.list(state="dead", queue=stage.queue)] == [
        task.id
    ]
    mended.set()
    await task.requeue()
    assert await result(task) == "mended"
    assert "it was begun anew after its end once" in await task.why()


async def test_an_attempt_that_takes_too_long_has_failed(stage: Stage) -> None:
    worker = stage.worker()
    Held.by(worker)
    await stage.run(worker)
    task = await stage.submit("hold", timeout_ms=50, retry={"max_attempts": 1})
    with pytest.raises(TaskFailed, match="Timeout: it ran longer than its timeout_ms of 50"):
        await result(task)


async def test_wrong_arguments_end_a_task_at_its_first_try(stage: Stage) -> None:
    worker = stage.worker()

    @worker.task("resize")
    def resize(width: int) -> None: ...

    await stage.run(worker)
    task = await stage.submit("resize", "wide")
    with pytest.raises(TaskFailed, match="argument 'width': expected int, got str"):
        await result(task)
    assert await outcomes(task) == ["failed"]


async def test_large_arguments_and_results_take_the_way_over_http(stage: Stage) -> None:
    worker = stage.worker()

    @worker.task("double")
    async def double(text: str) -> str:
        return text + text

    await stage.run(worker)
    for size in (10, 10_000, 200_000):
        task = await stage.submit("double", "ä" * size)
        assert await result(task) == "ä" * 2 * size
    task = await stage.submit("double", "ä" * 400_000)
    with pytest.raises(TaskFailed, match="BadResult: the result of 1600002 bytes is not taken"):
        await result(task)
    assert await outcomes(task) == ["failed"]


async def test_a_batch_is_taken_in_as_one_and_run_in_its_order(stage: Stage) -> None:
    ran: list[int] = []
    worker = stage.worker()

    @worker.task("note")
    async def note(number: int) -> int:
        ran.append(number)
        return number

    batch: list[Any] = [{"name": "note", "args": [n], "queue": stage.queue} for n in range(12)]
    wrong: Any = {"name": "note", "priority": "high"}
    with pytest.raises(Refused, match=r"batch\[12\].priority: expected"):
        await stage.client.submit_many([*batch, wrong])
    batch[9]["priority"] = 1
    tasks = await stage.client.submit_many(batch)
    await stage.run(worker)
    assert await asyncio.gather(*map(result, tasks)) == list(range(12))
    assert ran == [9, *range(9), 10, 11]


# Cancelling


async def test_a_waiting_task_that_is_cancelled_never_runs(stage: Stage) -> None:
    cancelled, other = await stage.submit("echo", 1), await stage.submit("echo", 2)
    assert (await cancelled.cancel()).state == "cancelled"
    await stage.run(echoing(stage.worker()))
    await result(other)
    with pytest.raises(TaskCancelled):
        await result(cancelled)
    assert await outcomes(cancelled) == []
    with pytest.raises(Conflict, match="has finished"):
        await cancelled.cancel()


@pytest.mark.parametrize("kind", ["coroutine", "thread", "stubborn thread"])
async def test_a_running_task_that_is_cancelled_is_stopped(stage: Stage, kind: str) -> None:
    worker = stage.worker()
    begun, stopped, let_go = asyncio.Event(), asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    @worker.task("coroutine")
    async def coroutine() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            stopped.set()
            raise

    @worker.task("thread")
    def thread(ctx: Context) -> None:
        loop.call_soon_threadsafe(begun.set)
        if ctx.wait_cancelled(PATIENCE_SECONDS) and ctx.cancel_reason == "cancelled":
            loop.call_soon_threadsafe(stopped.set)
        ctx.raise_if_cancelled()

    @worker.task("stubborn thread")
    def stubborn(ctx: Context) -> None:
        loop.call_soon_threadsafe(begun.set)
        let_go.wait(PATIENCE_SECONDS)
        if ctx.cancelled:
            loop.call_soon_threadsafe(stopped.set)

    await stage.run(worker)
    task = await stage.submit(kind)
    await happens(begun)
    asked_at = unix_time() * 1000
    await task.cancel()
    with pytest.raises(TaskCancelled):
        await result(task)
    assert (await task.refresh()).record["finished_at"] - asked_at < CANCEL_MS
    let_go.set()
    await happens(stopped)
    assert await outcomes(task) == ["cancelled"]


# Changing


async def test_a_waiting_task_is_moved_to_another_worker(stage: Stage) -> None:
    await stage.run(echoing(stage.worker("here")))
    task = await stage.submit("echo", 1, target={"worker": stage.name("away")})
    assert await task.why() == [f"its target, worker {stage.name('away')}, is not there"]
    await task.move(stage.name("here"))
    assert await result(task) == 1


async def test_a_running_task_is_moved_and_goes_on_from_its_checkpoint(stage: Stage) -> None:
    begun = asyncio.Event()
    for name in ("from", "to"):
        worker = stage.worker(name)

        @worker.task("pages")
        async def pages(ctx: Context) -> Any:
            if ctx.last_checkpoint is not None:
                return ctx.last_checkpoint
            try:
                begun.set()
                await asyncio.Event().wait()
            finally:
                ctx.checkpoint({"page": 7, "reason": ctx.cancel_reason})

        await stage.run(worker)
    task = await stage.submit("pages", target={"worker": stage.name("from")})
    await happens(begun)
    await task.move(stage.name("to"))
    assert await result(task) == {"page": 7, "reason": "moved"}
    record = (await task.refresh()).record
    assert [each["worker"] for each in record["attempts"]] == [stage.name("from"), stage.name("to")]
    assert await outcomes(task) == ["moved", "succeeded"]
    assert (record["failures"], record["losses"]) == (0, 0)


async def test_the_priority_time_and_arguments_of_a_waiting_task_are_changed(stage: Stage) -> None:
    ran: list[str] = []
    worker = stage.worker()

    @worker.task("note")
    async def note(text: str) -> None:
        ran.append(text)

    first, second = await stage.submit("note", "first"), await stage.submit("note", "second")
    later = await stage.submit("note", "later", delay_ms=AN_HOUR_MS)
    third = await stage.submit("note", "third")
    await second.update(priority=5)
    await third.update(args=["other words"], delay_ms=AN_HOUR_MS)
    assert (await later.update(delay_ms=0, priority=9)).state == "ready"
    await stage.run(worker)
    await asyncio.gather(*map(result, (first, second, later)))
    assert ran == ["later", "second", "first"]
    assert (await third.refresh()).state == "scheduled"
    await third.update(delay_ms=0)
    await result(third)
    assert ran[-1] == "other words"


async def test_a_running_task_learns_that_its_arguments_were_changed(stage: Stage) -> None:
    worker = stage.worker()
    begun = asyncio.Event()

    @worker.task("follow")
    async def follow(ctx: Context, where: str) -> Any:
        begun.set()
        # Nothing can be awaited for this one.
        while ctx.changed_args is None:
            await asyncio.sleep(0.005)
        return [where, ctx.changed_args]

    await stage.run(worker)
    task = await stage.submit("follow", "north")
    await happens(begun)
    await task.update(args=["south"])
    assert await result(task) == ["north", ["south"]]
    assert await outcomes(task) == ["succeeded"]


# When, and in what order


async def test_a_task_with_a_delay_runs_when_it_is_over(stage: Stage) -> None:
    await stage.run(echoing(stage.worker()))
    asked_at = int(unix_time() * 1000)
    task = await stage.submit("echo", delay_ms=100)
    assert task.state == "scheduled"
    await result(task)
    record = (await task.refresh()).record
    assert asked_at + 100 <= record["run_at"] <= record["started_at"]


async def test_a_task_that_nobody_starts_in_time_expires(stage: Stage) -> None:
    task = await stage.submit("echo", start_by=int(unix_time() * 1000) + 50)
    with pytest.raises(TaskExpired):
        await result(task)


async def test_two_live_tasks_have_no_unique_key_in_common(stage: Stage) -> None:
    key = {"unique_key": stage.queue}
    first = await stage.submit("echo", 1, **key)
    assert (await stage.submit("echo", 2, **key)).id == first.id
    with pytest.raises(Conflict, match="unique_key"):
        await stage.submit("echo", 3, **key, on_conflict="error")
    assert (await stage.submit("echo", 4, **key, on_conflict="replace")).id == first.id
    await stage.run(echoing(stage.worker()))
    assert await result(first) == 4
    again = await stage.submit("echo", 5, **key)
    assert again.id != first.id
    assert await result(again) == 5


async def test_a_task_waits_for_those_it_comes_after_and_goes_with_one_that_fails(
    stage: Stage,
) -> None:
    worker = echoing(stage.worker())
    held = Held.by(worker)

    @worker.task("fail")
    async def fail() -> None:
        raise ValueError("no")

    await stage.run(worker)
    first = await stage.submit("hold")
    second = await stage.submit("echo", "second", after=[first])
    await happens(held.begun)
    assert second.state == "blocked"
    assert await second.why() == [f"it waits for {first.id} to finish"]
    held.let_go.set()
    assert await result(second) == "second"
    failing = await stage.submit("fail", retry={"max_attempts": 1}, delay_ms=AN_HOUR_MS)
    never = await stage.submit("echo", "never", after=[failing])
    await failing.update(delay_ms=0)
    with pytest.raises(TaskCancelled, match=f"task {failing.id}, named in after, is dead"):
        await result(never)


async def test_a_limit_holds_tasks_back_though_slots_are_free(stage: Stage) -> None:
    worker = echoing(stage.worker(slots=4))
    held = Held.by(worker)
    await stage.run(worker)
    limit = {"limit_key": stage.queue, "limit": 1}
    await stage.submit("hold", **limit)
    await happens(held.begun)
    second = await stage.submit("echo", "second", **limit)
    assert await result(await stage.submit("echo", "free of it")) == "free of it"
    assert await second.why() == [f"1 tasks of limit_key {stage.queue} run, the limit"]
    held.let_go.set()
    assert await result(second) == "second"


async def test_labels_say_which_workers_fit(stage: Stage) -> None:
    await stage.run(echoing(stage.worker("plain", labels={"zone": "a"})))
    task = await stage.submit("echo", 1, target={"labels": {"gpu": True, "zone": ["a", "b"]}})
    (reason,) = await task.why()
    assert reason.startswith(f"no worker of queue {stage.queue} has the labels")
    await stage.run(echoing(stage.worker("fast", labels={"zone": "b", "gpu": True})))
    assert await result(task) == 1
    assert (await task.refresh()).record["worker"] == stage.name("fast")


async def test_a_paused_queue_gives_out_nothing_until_it_is_resumed(stage: Stage) -> None:
    await stage.run(echoing(stage.worker()))
    await stage.client.pause_queue(stage.queue)
    task = await stage.submit("echo", 1)
    assert await task.why() == [f"queue {stage.queue} is paused"]
    await stage.client.resume_queue(stage.queue)
    assert await result(task) == 1


async def test_a_schedule_submits_at_its_times_until_it_is_paused_or_removed(stage: Stage) -> None:
    worker = stage.worker()
    ticks: asyncio.Queue[str] = asyncio.Queue()

    @worker.task("tick")
    async def tick(ctx: Context) -> None:
        ticks.put_nowait(ctx.task_id)

    await stage.run(worker)
    schedules, name = stage.client.schedules, stage.queue
    await schedules.put(name, every_ms=100, task={"name": "tick", "queue": stage.queue})
    async with asyncio.timeout(PATIENCE_SECONDS):
        first, second = await ticks.get(), await ticks.get()
    (schedule, at), (_, then) = first.rsplit(".", 1), second.rsplit(".", 1)
    assert schedule == name
    assert (int(then) - int(at)) % 100 == 0
    assert first != second
    assert (await schedules.pause(name))["next_runs"] == []
    assert len(await schedules.preview(name, 3)) == 3
    assert (await schedules.resume(name))["next_runs"] != []
    await schedules.delete(name)
    assert name not in [each["id"] for each in await schedules.list()]


async def test_an_event_is_published_when_its_time_has_come_unless_it_is_cancelled(
    stage: Stage,
) -> None:
    channel = await (await stage.connect()).subscribe(f"news-{stage.queue}")
    event = {"name": "news", "channels": [channel.name]}
    async with ApiClient(stage.deployment.url) as api:
        unsaid = await api.post("/events", {**event, "data": '"never"', "delay_ms": 50})
        await stage.client.cancel(unsaid["id"])
        asked_at = int(unix_time() * 1000)
        said = await api.post("/events", {**event, "data": '"later"', "delay_ms": 100})
    assert said["state"] == "scheduled"
    assert (await hear(channel, "news")).data == '"later"'
    task = await stage.client.get(said["id"])
    await result(task)
    assert (await task.refresh()).record["finished_at"] >= asked_at + 100


# Who


async def test_a_token_makes_a_worker_of_its_id_and_queues_and_of_no_other(stage: Stage) -> None:
    guest = stage.worker("guest", queues=[stage.queue, "closed"])
    token = stage.client.token(worker=stage.name("guest"), queues=[stage.queue])
    base = f"http://127.0.0.1:{stage.deployment.port}"
    by_token = {"token": token, "auth_endpoint": f"{stage.deployment.base}/sched/auth"}
    await stage.run(echoing(guest), base, **by_token)
    assert (await stage.workers())["guest"]["queues"] == [stage.queue]
    assert await result(await stage.submit("echo", 1)) == 1
    large = await stage.submit("echo", "x" * 100_000)
    assert len(await result(large)) == 100_000
    with pytest.raises(WorkerRefused, match="does not open"):
        await stage.run(echoing(stage.worker("somebody-else")), base, **by_token)


async def test_a_watchers_token_shows_its_tasks_and_nothing_else(stage: Stage) -> None:
    own, other = await stage.submit("echo"), await stage.submit("echo")
    token = stage.client.token(watch=[own.id])
    authorizer = EndpointAuthorizer(
        f"{stage.deployment.base}/sched/auth", {"Authorization": f"Bearer {token}"}
    )
    watcher = await stage.connect(authorizer)
    channel = await watcher.subscribe(task_channel("default", own.id))
    for closed in (task_channel("default", other.id), worker_channel("default", "any")):
        with pytest.raises(SubscriptionError, match="does not open"):
            await watcher.subscribe(closed)
    await own.cancel()
    assert json.loads((await hear(channel, "result")).data)["state"] == "cancelled"


async def test_of_two_workers_with_one_id_the_second_is_refused(stage: Stage) -> None:
    first, second = echoing(stage.worker("twin")), echoing(stage.worker("twin"))
    held = Held.by(first)
    await stage.run(first)
    task = await stage.submit("hold")
    await happens(held.begun)
    with pytest.raises(WorkerRefused, match=r"another process is worker .* an id of its own"):
        await stage.run(second)
    held.let_go.set()
    assert await result(task) == "let go"
    assert await outcomes(task) == ["succeeded"]
    # Who takes its place when it has left is welcome.
    await stage.end(first)
    await stage.run(echoing(stage.worker("twin")))
    assert await result(await stage.submit("echo", 2)) == 2


async def test_a_task_that_waits_says_what_for(stage: Stage) -> None:
    task = await stage.submit("other")
    assert await task.why() == [f"no worker serves queue {stage.queue}"]
    worker = stage.worker()
    held = Held.by(worker)
    await stage.run(worker)
    (reason,) = await task.why()
    assert reason.startswith(f"no worker of queue {stage.queue} knows a task named other")
    running = await stage.submit("hold")
    await happens(held.begun)
    waiting = await stage.submit("hold")
    assert await waiting.why() == [f"the workers that fit it are full: {stage.name('worker')}"]
    # The worker's word for it may still be on its way.
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for update in running.updates():
            if getattr(update, "state", "") == "running":
                break
    assert await running.why() == [f"worker {stage.name('worker')} runs it"]
    held.let_go.set()
    await result(waiting)


async def test_the_commands_run_a_worker_and_wait_for_a_result(
    stage: Stage, deployment: Deployment
) -> None:
    (deployment.folder / "module.py").write_text(
        "from callboard_scheduler import Worker\n"
        "worker = Worker()\n"
        "@worker.task\n"
        "def add(a: int, b: int) -> int:\n"
        "    return a + b\n"
    )
    foreign = ("--foreign",) if deployment.remote else ()
    worker = Program(
        "worker",
        deployment.folder,
        *("-m", "callboard", "worker", "module:worker", "--url", deployment.service),
        *("--queue", stage.queue, *foreign),
    )
    submit = Program(
        "submit",
        deployment.folder,
        *("-m", "callboard", "tasks", "submit", "add", "--args", "[1, 2]", "--wait"),
        *("--queue", stage.queue, "--url", deployment.url, "--service", deployment.service),
    )
    try:
        ready, answer = await asyncio.gather(worker.start(), submit.start())
        assert ready.endswith("tasks add\n")
        assert (answer, await submit.ended()) == ("3\n", 0)
        assert await worker.end() == 0
    finally:
        worker.close()
        submit.close()
