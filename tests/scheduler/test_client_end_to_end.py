"""The clients and the commands against a real server, its scheduler and real workers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from callboard.cli import main
from callboard_client import ApiClient, EndpointAuthorizer, SubscriptionError
from callboard_client import Client as ChannelClient
from callboard_client.signed_request import Credentials
from callboard_scheduler import (
    AsyncClient,
    AsyncTask,
    Client,
    Conflict,
    Ended,
    LogLine,
    Moved,
    Progress,
    Refused,
    StateChanged,
    TaskCancelled,
    TaskExpired,
    TaskFailed,
    Update,
)
from support.task_server import PATIENCE_SECONDS, TaskServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TaskServer]:
    """A server with one worker, for all tests that leave both as they are."""
    with TaskServer(tmp_path_factory.mktemp("tasks")) as server:
        server.start_worker("w1")
        yield server


@pytest.fixture
def fresh_server(tmp_path: Path) -> Iterator[TaskServer]:
    """A server of this test's own, without workers."""
    with TaskServer(tmp_path) as server:
        yield server


@pytest.fixture
async def client(server: TaskServer) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server.url) as client:
        yield client


async def until(task: AsyncTask, wanted: Update) -> None:
    """Return when that has happened to a task."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for update in task.updates():
            if update == wanted:
                return
    raise AssertionError(f"{task} never was {wanted}")


async def test_a_result_comes_back(client: AsyncClient) -> None:
    task = await client.submit("echo", {"value": {"ä": [1, None]}})
    assert await task.result(PATIENCE_SECONDS) == {"ä": [1, None]}
    assert task.record["attempts"][0]["worker"] == "w1"


async def test_positional_arguments_are_arguments_too(client: AsyncClient) -> None:
    assert await (await client.submit("echo", [7])).result(PATIENCE_SECONDS) == 7


async def test_what_happens_is_told_in_order(client: AsyncClient) -> None:
    task = await client.submit("steps", {"count": 3})
    async with asyncio.timeout(PATIENCE_SECONDS):
        updates = [update async for update in task.updates()]
    progress = [update for update in updates if isinstance(update, Progress)]
    assert progress == sorted(progress, key=lambda each: each.pct or 0)
    assert progress[-1] == Progress(100, "step 3", {"step": 3})
    assert LogLine("info", "all steps done") in updates
    assert StateChanged("running", 1, "w1") in updates
    assert isinstance(updates[-1], Ended)


async def test_a_late_joiner_sees_how_far_it_is(client: AsyncClient, tmp_path: Path) -> None:
    task = await client.submit("hold", {"until": str(tmp_path / "go")})
    await until(task, StateChanged("running", 1, "w1"))
    late = await client.get(task.id)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await anext(late.updates()) == StateChanged("running", 1, "w1")
    (tmp_path / "go").touch()
    assert await late.result(PATIENCE_SECONDS) == "attempt 1"


async def test_a_failure_has_the_workers_exception_inside(client: AsyncClient) -> None:
    task = await client.submit("fail", retry={"max_attempts": 1})
    with pytest.raises(TaskFailed, match="ValueError: no such picture") as caught:
        await task.result(PATIENCE_SECONDS)
    assert caught.value.error == {"type": "ValueError", "msg": "no such picture"}


async def test_a_running_task_is_cancelled(client: AsyncClient) -> None:
    task = await client.submit("hold")
    await until(task, StateChanged("running", 1, "w1"))
    waiting = asyncio.create_task(task.result(PATIENCE_SECONDS))
    await task.cancel()
    with pytest.raises(TaskCancelled):
        await waiting
    with pytest.raises(Conflict, match=r"has finished \(cancelled\)"):
        await task.cancel()
    again = await task.requeue()
    assert await again.result(PATIENCE_SECONDS) == "attempt 2"


async def test_a_task_that_nobody_starts_in_time_has_expired(client: AsyncClient) -> None:
    task = await client.submit("echo", [1], queue="nobody", start_by="2001-01-01T00:00Z")
    with pytest.raises(TaskExpired):
        await task.result(PATIENCE_SECONDS)


async def test_a_time_to_come_is_changed_to_now(client: AsyncClient) -> None:
    task = await client.submit("echo", [1], delay_ms=3_600_000)
    assert task.state == "scheduled"
    assert "it is to run in" in (await task.why())[0]
    await task.update(args=[2], delay_ms=0)
    assert await task.result(PATIENCE_SECONDS) == 2


async def test_a_unique_key_makes_submitting_again_safe(client: AsyncClient) -> None:
    first = await client.submit("echo", [1], unique_key="once", delay_ms=3_600_000)
    assert (await client.submit("echo", [2], unique_key="once")).id == first.id
    with pytest.raises(Conflict, match=first.id):
        await client.submit("echo", [3], unique_key="once", on_conflict="error")
    await first.cancel()


async def test_one_comes_after_the_other(client: AsyncClient) -> None:
    first = await client.submit("echo", [1], delay_ms=3_600_000)
    second = await client.submit("echo", [2], after=[first])
    assert second.state == "blocked"
    await first.update(delay_ms=0)
    assert await second.result(PATIENCE_SECONDS) == 2


async def test_a_refusal_names_the_field(client: AsyncClient) -> None:
    with pytest.raises(Refused, match=r"^retry\.factor: expected a number from 1 to 100, got 0"):
        await client.submit("echo", retry={"factor": 0.5})


async def test_many_are_listed_page_by_page(client: AsyncClient) -> None:
    tasks = await client.submit_many(
        {"name": "listed", "queue": "nobody", "priority": n} for n in range(250)
    )
    listed = [task.id async for task in client.list(name="listed", state="ready")]
    assert listed == [task.id for task in reversed(tasks)]
    queues = {queue["name"]: queue for queue in await client.queues()}
    assert queues["nobody"]["ready"] == 250
    await asyncio.gather(*(task.cancel() for task in tasks))
    assert [task async for task in client.list(name="listed", state="ready")] == []


async def test_a_paused_queue_gives_out_nothing(client: AsyncClient) -> None:
    await client.pause_queue("default")
    task = await client.submit("echo", [1])
    assert "queue default is paused" in await task.why()
    await client.resume_queue("default")
    assert await task.result(PATIENCE_SECONDS) == 1


async def test_a_schedule_submits_and_is_altered_and_removed(client: AsyncClient) -> None:
    await client.schedules.put("tick", every_ms=3_600_000, task={"name": "echo", "args": [1]})
    changed = await client.schedules.put("tick", every_ms=100, task={"name": "echo", "args": [2]})
    assert changed["every_ms"] == 100
    assert len(await client.schedules.preview("tick", 4)) == 4
    async with asyncio.timeout(PATIENCE_SECONDS):
        # No feed tells of tasks whose ids nobody knows yet.
        while not (fired := [each async for each in client.list(schedule="tick")]):
            await asyncio.sleep(0.02)
    await client.schedules.delete("tick")
    assert await fired[0].result(PATIENCE_SECONDS) == 2
    assert await client.schedules.list() == []


async def test_a_token_opens_the_feed_of_its_task_and_no_other(
    server: TaskServer, client: AsyncClient
) -> None:
    task = await client.submit("echo", [1])
    at = Credentials.from_url(server.url)
    token = client.token(watch=[task.id], ttl=60)
    authorizer = EndpointAuthorizer(
        f"{at.base}/sched/auth", headers={"Authorization": f"Bearer {token}"}
    )
    port = int(at.base.rpartition(":")[2])
    async with ChannelClient(at.key, "127.0.0.1", port, authorizer=authorizer) as watcher:
        async with asyncio.timeout(PATIENCE_SECONDS):
            channel = await watcher.subscribe(f"private-cache-sched.default.t.{task.id}")
            # The last event, also for whoever comes when it is over.
            while json.loads((event := await channel.get()).data)["state"] != "succeeded":
                pass
            assert event.event == "result"
            with pytest.raises(SubscriptionError, match="Token refused, not for this"):
                await watcher.subscribe("private-cache-sched.default.t.another")


def test_the_blocking_client_does_the_same(server: TaskServer) -> None:
    with Client(server.url) as client:
        tasks = client.submit_many({"name": "echo", "args": [n]} for n in range(50))
        assert [task.result(PATIENCE_SECONDS) for task in tasks] == list(range(50))
        task = client.submit("steps", {"count": 3})
        assert list(task.progress())[-1].pct == 100
        assert [worker["id"] for worker in client.workers()] == ["w1"]


def test_json_is_what_the_api_answers(server: TaskServer) -> None:
    def run(*arguments: str) -> Any:
        ended = CliRunner().invoke(
            main, [*arguments, "--json"], env={"CALLBOARD_URL": server.url}, catch_exceptions=False
        )
        assert ended.exit_code == 0, ended.output
        return json.loads(ended.stdout)

    def get(path: str) -> Any:
        async def ask() -> Any:
            async with ApiClient(server.url) as api:
                return await api.get(path, {"queue": "json"} if path == "/tasks" else {})

        return asyncio.run(ask())

    assert run("queues", "pause", "json") == {"name": "json", "paused": True}
    submitted = run("tasks", "submit", "echo", "--args", "[3]", "--queue", "json")
    path = f"/tasks/{submitted['id']}"
    assert submitted == {"id": submitted["id"], "state": "ready"}
    assert run("tasks", "show", submitted["id"]) == get(path)
    assert run("tasks", "why", submitted["id"]) == get(f"{path}/why")
    for change in (("update", "--priority", "3"), ("move", "--worker", "w2"), ("cancel",)):
        answer = run("tasks", change[0], submitted["id"], *change[1:])
        assert get("/tasks") == {"tasks": [answer], "cursor": None}
    assert run("tasks", "list", "--queue", "json") == {"tasks": get("/tasks")["tasks"]}
    assert run("queues") == get("/queues")
    assert run("queues", "resume", "json") == {"name": "json", "paused": False}
    (worker,) = run("workers")["workers"]
    (known,) = get("/workers")["workers"]
    assert {**worker, "silent_ms": 0} == {**known, "silent_ms": 0}
    put = run("schedules", "put", "yearly", "--cron", "0 3 1 1 *", "--task", "echo")
    assert put == run("schedules", "show", "yearly") == get("/schedules/yearly")
    assert run("schedules", "list") == get("/schedules")
    assert run("schedules", "preview", "yearly") == get("/schedules/yearly/preview")
    assert run("schedules", "delete", "yearly") == {"id": "yearly"}


def test_the_commands_do_the_same(server: TaskServer) -> None:
    def run(*arguments: str, status: int = 0) -> str:
        ended = CliRunner().invoke(main, arguments, env={"CALLBOARD_URL": server.url})
        assert ended.exit_code == status, ended.output
        return ended.output

    assert json.loads(run("tasks", "submit", "echo", "--args", "[3]", "--wait")) == 3
    task_id = run("tasks", "submit", "steps", "--args", '{"count": 2}').strip()
    lines = run("tasks", "watch", task_id).splitlines()
    assert lines[-1] == f"{task_id} succeeded: 2"
    assert "succeeded" in run("tasks", "show", task_id)
    assert "attempt 1, on worker w1, succeeded" in run("tasks", "why", task_id)
    assert task_id in run("tasks", "list", "--state", "succeeded")
    assert f"Task {task_id} has finished" in run("tasks", "cancel", task_id, status=1)
    assert "no such picture" in run(
        *("tasks", "submit", "fail", "--max-attempts", "1", "--wait"), status=1
    )
    assert "w1" in run("workers")
    put = ("schedules", "put", "nightly", "--cron", "0 3 * * *", "--timezone", "Europe/Berlin")
    assert "nightly" in run(*put, "--task", "echo")
    assert len(run("schedules", "preview", "nightly", "--count", "3").splitlines()) == 3
    assert "task echo" in run("schedules", "list")
    run("schedules", "delete", "nightly")
    assert "Unknown schedule" in run("schedules", "show", "nightly", status=3)


# What may go wrong


async def test_a_killed_workers_task_is_seen_to_move(fresh_server: TaskServer) -> None:
    async with AsyncClient(fresh_server.url) as client:
        task = await client.submit("hold")
        updates: list[Update] = []
        fresh_server.start_worker("first")
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for update in task.updates():
                updates.append(update)
                if update == StateChanged("running", 1, "first"):
                    fresh_server.start_worker("second")
                    there = await client.submit("echo", [1], target={"worker": "second"})
                    await there.result(PATIENCE_SECONDS)
                    fresh_server.kill_worker("first")
        moved = next(update for update in updates if isinstance(update, Moved))
        assert (moved.worker, moved.to, moved.why) == ("first", "second", "lost")
        assert moved.ms is not None
        assert await task.result() == "attempt 2"
        assert any("was lost with it" in reason for reason in await task.why())


async def test_who_waits_gets_the_result_although_the_server_was_killed(
    fresh_server: TaskServer, tmp_path: Path
) -> None:
    async with AsyncClient(fresh_server.url) as client:
        fresh_server.start_worker("w1")
        task = await client.submit("hold", {"until": str(tmp_path / "go")})
        async with asyncio.timeout(2 * PATIENCE_SECONDS):
            async for update in task.updates():
                if update == StateChanged("running", 1, "w1"):
                    fresh_server.kill()
                    # Nobody hears that it goes on.
                    (tmp_path / "go").touch()
                    fresh_server.start()
        assert await task.result() in ("attempt 1", "attempt 2")
