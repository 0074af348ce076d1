"""The API over a scheduler: each call's answer, and the status of each refusal."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from callboard_scheduler import wire
from callboard_scheduler.api import Routes
from callboard_scheduler.engine import Scheduler
from callboard_scheduler.records import Raw
from callboard_scheduler.stores import Page, StoreError, TaskFilter
from callboard_scheduler.stores.faulty import FaultyStore
from support.quiet_transport import QuietTransport

NOW = 1_700_000_000_000
TASK: dict[str, Any] = {"name": "thumbnail", "args": {"url": "a.png"}}
EVENT: dict[str, Any] = {"name": "created", "channel": "orders", "data": "{}"}


class Clock:
    """Stands still."""

    def wall_ms(self) -> int:
        return NOW

    def mono_ms(self) -> int:
        return 0


class Store(FaultyStore):
    """Tells nothing either while it fails."""

    async def tasks(
        self, app: str, which: TaskFilter, limit: int, cursor: str | None = None
    ) -> Page:
        if self.failure is not None:
            raise self.failure
        return await super().tasks(app, which, limit, cursor)


class Api:
    """Calls the routes as a server does: body and query of a signed request."""

    def __init__(self, scheduler: Scheduler, store: Store, transport: QuietTransport) -> None:
        self.routes = Routes(scheduler)
        self.store = store
        self.transport = transport

    async def answer(
        self, method: str, path: str, body: object = b"", **query: str
    ) -> tuple[int, str, dict[str, str]]:
        """Return status, text and headers."""
        encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = await self.routes.handle(method, path.split("/"), query, encoded)
        assert answer is not None, f"{path} is not a path of the scheduler"
        status, text, headers = answer
        return status, text.decode(), headers

    async def call(self, method: str, path: str, body: object = b"", **query: str) -> Any:
        """Return what a call answers that is granted."""
        status, text, headers = await self.answer(method, path, body, **query)
        assert (status, headers) == (200, {}), text
        value = json.loads(text)
        assert isinstance(value, dict)
        return value

    async def refused(
        self, method: str, path: str, body: object = b"", **query: str
    ) -> tuple[int, str]:
        """Return status and text of a refusal."""
        status, text, _ = await self.answer(method, path, body, **query)
        assert status != 200 and text.endswith("\n")
        return status, text.removesuffix("\n")

    async def submit(self, **fields: Any) -> str:
        """Submit a task and return its id."""
        answer = await self.call("POST", "tasks", {**TASK, **fields})
        task_id = answer["id"]
        assert isinstance(task_id, str)
        return task_id

    async def trigger(self, body: Mapping[str, Any]) -> tuple[int, str] | None:
        """Do what a server does with a trigger: None if it is to be published now."""
        taken = self.routes.scheduled(json.dumps(body).encode())
        if taken is None:
            return None
        status, text, _ = await taken
        return status, text.decode()


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    store, transport = Store(), QuietTransport()
    await store.start()
    scheduler = Scheduler("app", store, transport, secret="secret", clock=Clock(), max_backlog=5)
    await scheduler.start()
    yield Api(scheduler, store, transport)
    await scheduler.stop()
    await store.stop()


# Submitting


async def test_a_task_is_submitted_and_can_be_looked_up(api: Api) -> None:
    answer = await api.call("POST", "tasks", TASK)
    assert answer == {"id": answer["id"], "state": "ready"}
    task = await api.call("GET", f"tasks/{answer['id']}")
    assert (task["name"], task["args"], task["state"]) == ("thumbnail", {"url": "a.png"}, "ready")
    assert task["attempts"] == [] and task["created_at"] == NOW


async def test_a_delayed_task_is_scheduled(api: Api) -> None:
    answer = await api.call("POST", "tasks", {**TASK, "delay_ms": 5_000})
    assert answer["state"] == "scheduled"
    assert (await api.call("GET", f"tasks/{answer['id']}"))["run_at"] == NOW + 5_000


async def test_a_batch_is_answered_in_order(api: Api) -> None:
    first = await api.submit(unique_key="one")
    batch = [{**TASK, "delay_ms": 5}, {**TASK, "unique_key": "one"}, TASK]
    answer = await api.call("POST", "batch_tasks", {"batch": batch})
    assert [task["state"] for task in answer["batch"]] == ["scheduled", "ready", "ready"]
    assert answer["batch"][1]["id"] == first


async def test_the_key_of_a_live_task_is_kept_replaced_or_in_the_way(api: Api) -> None:
    first = await api.submit(unique_key="one", priority=1)
    assert await api.submit(unique_key="one", priority=2) == first
    assert (await api.call("GET", f"tasks/{first}"))["priority"] == 1
    assert await api.submit(unique_key="one", priority=3, on_conflict="replace") == first
    assert (await api.call("GET", f"tasks/{first}"))["priority"] == 3
    body = {**TASK, "unique_key": "one", "on_conflict": "error"}
    status, text = await api.refused("POST", "tasks", body)
    assert status == 409
    assert text == f"Task {first} has the unique_key 'one' already"


async def test_a_full_backlog_says_when_to_come_again(api: Api) -> None:
    await api.call("POST", "batch_tasks", {"batch": [TASK] * 5})
    status, text, headers = await api.answer("POST", "tasks", TASK)
    assert (status, headers) == (429, {"Retry-After": "1"})
    assert text.startswith("The backlog is full: 5 tasks wait")
    # All of a batch or none of it.
    assert (await api.refused("POST", "batch_tasks", {"batch": [TASK] * 2}))[0] == 429
    assert len((await api.call("GET", "tasks"))["tasks"]) == 5


async def test_a_task_cannot_come_after_one_that_there_is_not(api: Api) -> None:
    first = await api.submit()
    after = await api.call("POST", "tasks", {**TASK, "after": [first]})
    assert after["state"] == "blocked"
    status, text = await api.refused("POST", "tasks", {**TASK, "after": ["nobody"]})
    assert status == 400 and text.startswith("after: ") and "'nobody'" in text


async def test_a_fault_of_a_body_is_a_400_that_names_the_field(api: Api) -> None:
    body = {**TASK, "retry": {"factor": "twice"}}
    told = "retry.factor: expected a number from 1 to 100, got 'twice'"
    assert await api.refused("POST", "tasks", body) == (400, told)
    assert await api.refused("POST", "batch_tasks", {"batch": [TASK, body]}) == (
        400,
        f"batch[1].{told}",
    )
    assert (await api.call("GET", "tasks"))["tasks"] == []


async def test_arguments_that_are_too_large_are_a_413(api: Api) -> None:
    status, text = await api.refused("POST", "tasks", {**TASK, "args": ["x" * 1_048_576]})
    assert status == 413 and text.startswith("args: expected at most 1048576 bytes")


async def test_what_cannot_be_stored_is_not_acknowledged(api: Api) -> None:
    task_id = await api.submit()
    api.store.failure = StoreError("the disk is full")
    told = "The task store is not available: the disk is full"
    assert await api.refused("POST", "tasks", TASK) == (503, told)
    assert await api.refused("GET", "tasks") == (503, told)
    # From now on it is known without trying.
    assert (await api.refused("POST", f"tasks/{task_id}/cancel"))[0] == 503
    api.store.failure = None
    assert [task["id"] for task in (await api.call("GET", "tasks"))["tasks"]] == [task_id]


# Listing


async def test_tasks_are_listed_newest_first_and_by_pages(api: Api) -> None:
    ids = [await api.submit() for _ in range(5)]
    page = await api.call("GET", "tasks", limit="2")
    assert [task["id"] for task in page["tasks"]] == ids[:2:-1]
    assert page["tasks"][0]["left_out"] == [] and "attempts" not in page["tasks"][0]
    page = await api.call("GET", "tasks", limit="2", cursor=page["cursor"])
    assert [task["id"] for task in page["tasks"]] == ids[2:0:-1]
    page = await api.call("GET", "tasks", limit="2", cursor=page["cursor"])
    assert [task["id"] for task in page["tasks"]] == ids[:1]
    assert page["cursor"] is None


async def test_tasks_are_listed_by_state_queue_and_name(api: Api) -> None:
    fast = await api.submit(queue="fast")
    later = await api.submit(delay_ms=5_000)
    other = await api.submit(name="report")

    async def listed(**query: str) -> set[str]:
        return {task["id"] for task in (await api.call("GET", "tasks", **query))["tasks"]}

    assert await listed(queue="fast") == {fast}
    assert await listed(state="scheduled") == {later}
    assert await listed(state="ready,scheduled") == {fast, later, other}
    assert await listed(name="report") == {other}
    assert await listed(name="report", queue="fast") == set()


async def test_a_question_that_is_not_understood_is_a_400(api: Api) -> None:
    assert (await api.refused("GET", "tasks", state="done"))[0] == 400
    assert await api.refused("GET", "tasks", cursor="?") == (
        400,
        "cursor: expected the cursor of an earlier answer",
    )
    told = "page: unknown parameter, expected none"
    for path in ("workers", "queues", "schedules", "tasks/t1"):
        assert await api.refused("GET", path, page="2") == (400, told)


# Changing


async def test_a_task_is_cancelled_once(api: Api) -> None:
    task_id = await api.submit()
    answer = await api.call("POST", f"tasks/{task_id}/cancel", {})
    assert (answer["id"], answer["state"]) == (task_id, "cancelled")
    assert await api.refused("POST", f"tasks/{task_id}/cancel") == (
        409,
        f"Task {task_id} has finished (cancelled)",
    )


async def test_a_task_is_changed_in_place(api: Api) -> None:
    task_id = await api.submit(delay_ms=60_000)
    changes = {"priority": 7, "args": ["b.png"], "queue": "fast", "delay_ms": 0}
    answer = await api.call("POST", f"tasks/{task_id}/update", changes)
    assert (answer["state"], answer["priority"], answer["rev"]) == ("ready", 7, 2)
    task = await api.call("GET", f"tasks/{task_id}")
    assert (task["args"], task["queue"]) == (["b.png"], "fast")


async def test_a_task_is_moved_and_may_go_to_anybody_again(api: Api) -> None:
    task_id = await api.submit()
    moved = await api.call("POST", f"tasks/{task_id}/move", {"target": {"worker": "w2"}})
    assert moved["target"] == {"worker": "w2", "labels": None}
    freed = await api.call("POST", f"tasks/{task_id}/move", {"target": None})
    assert freed["target"] is None


async def test_a_finished_task_is_begun_anew_and_not_moved(api: Api) -> None:
    task_id = await api.submit()
    told = (409, f"Task {task_id} is not finished")
    assert await api.refused("POST", f"tasks/{task_id}/requeue") == told
    await api.call("POST", f"tasks/{task_id}/cancel")
    told = (409, f"Task {task_id} has finished (cancelled)")
    assert await api.refused("POST", f"tasks/{task_id}/move", {"worker": "w2"}) == told
    assert await api.refused("POST", f"tasks/{task_id}/update", {"priority": 1}) == told
    again = await api.call("POST", f"tasks/{task_id}/requeue")
    assert (again["id"], again["state"], again["gen"]) == (task_id, "ready", 2)


@pytest.mark.parametrize(
    ("method", "verb", "body"),
    [
        ("GET", "", b""),
        ("GET", "/why", b""),
        ("POST", "/cancel", b""),
        ("POST", "/update", {"priority": 1}),
        ("POST", "/update", {"args": []}),
        ("POST", "/move", {"worker": "w2"}),
        ("POST", "/requeue", b""),
    ],
)
async def test_a_task_that_there_is_not_is_a_404(
    api: Api, method: str, verb: str, body: object
) -> None:
    assert await api.refused(method, f"tasks/nobody{verb}", body) == (
        404,
        "Unknown task: 'nobody'",
    )


async def test_why_a_task_waits_and_what_became_of_it(api: Api) -> None:
    task_id = await api.submit()
    answer = await api.call("GET", f"tasks/{task_id}/why")
    assert (answer["id"], answer["state"]) == (task_id, "ready")
    assert answer["why"] == ["no worker serves queue default"]
    await api.call("POST", f"tasks/{task_id}/cancel")
    answer = await api.call("GET", f"tasks/{task_id}/why")
    assert answer["why"] == ["it was cancelled"]


# Workers and queues


async def test_workers_and_queues_are_shown_as_they_are(api: Api) -> None:
    await api.submit(queue="slow")
    api.transport.join(wire.Hello("w1", cap=4, free=4, q=["fast"], labels={"gpu": True}))
    [worker] = (await api.call("GET", "workers"))["workers"]
    assert (worker["id"], worker["state"], worker["slots"], worker["free"]) == ("w1", "idle", 4, 4)
    assert (worker["queues"], worker["labels"]) == (["fast"], {"gpu": True})
    queues = {queue["name"]: queue for queue in (await api.call("GET", "queues"))["queues"]}
    assert (queues["slow"]["ready"], queues["slow"]["workers"]) == (1, 0)
    assert (queues["fast"]["ready"], queues["fast"]["workers"]) == (0, 1)


async def test_a_task_in_a_workers_hands_shows_whose_and_how_far(api: Api) -> None:
    api.transport.join(wire.Hello("w1"))
    task_id = await api.submit()
    task = await api.call("GET", f"tasks/{task_id}")
    fence = task["attempts"][0]["fence"]
    report = wire.ProgressReport(task_id, fence, 1, 50.0, "half")
    api.transport.say("w1", wire.Accept(task_id, fence), report)
    task = await api.call("GET", f"tasks/{task_id}")
    assert (task["state"], task["worker"]) == ("running", "w1")
    assert task["progress"] == {"pct": 50.0, "msg": "half", "data": None}
    api.transport.say("w1", wire.Result(task_id, fence, val=Raw(b'{"size": 3}')))
    task = await api.call("GET", f"tasks/{task_id}")
    assert (task["state"], task["result"]) == ("succeeded", {"size": 3})
    assert [attempt["outcome"] for attempt in task["attempts"]] == ["succeeded"]


async def test_a_queue_is_paused_and_resumed(api: Api) -> None:
    assert await api.call("POST", "queues/fast/pause", {}) == {"name": "fast", "paused": True}
    [queue] = (await api.call("GET", "queues"))["queues"]
    assert (queue["name"], queue["paused"]) == ("fast", True)
    assert await api.call("POST", "queues/fast/resume") == {"name": "fast", "paused": False}
    status, text = await api.refused("POST", "queues/fast lane/pause")
    assert status == 400 and text.startswith("queue: expected 1 to 100 ASCII letters")


# Schedules


async def test_a_schedule_is_put_shown_and_removed(api: Api) -> None:
    put = await api.call("PUT", "schedules/nightly", {"cron": "0 2 * * *", "task": TASK})
    assert (put["id"], put["cron"], put["task"]) == ("nightly", "0 2 * * *", TASK)
    assert put["text"] == "At 02:00 every day, UTC"
    assert put["next_runs"][0] == put["next_at"] == 1_700_013_600_000
    assert await api.call("GET", "schedules/nightly") == put
    assert (await api.call("GET", "schedules"))["schedules"] == [put]
    assert await api.call("DELETE", "schedules/nightly") == {"id": "nightly"}
    assert (await api.call("GET", "schedules"))["schedules"] == []
    for method, path in (
        ("GET", "schedules/nightly"),
        ("GET", "schedules/nightly/preview"),
        ("DELETE", "schedules/nightly"),
        ("POST", "schedules/nightly/delete"),
        ("POST", "schedules/nightly/pause"),
    ):
        assert await api.refused(method, path) == (404, "Unknown schedule: 'nightly'")


async def test_sdks_that_can_only_get_and_post_do_all_of_that(api: Api) -> None:
    body = {"every_ms": 60_000, "event": EVENT}
    first = await api.call("POST", "schedules/beat", body)
    second = await api.call("POST", "schedules/beat", {**body, "jitter_ms": 5})
    assert (first["rev"], second["rev"], second["jitter_ms"]) == (1, 2, 5)
    assert await api.call("POST", "schedules/beat/delete", {}) == {"id": "beat"}


async def test_the_next_runs_are_previewed(api: Api) -> None:
    await api.call("PUT", "schedules/beat", {"every_ms": 60_000, "task": TASK})
    answer = await api.call("GET", "schedules/beat/preview", n="3")
    assert answer == {"id": "beat", "runs": [NOW + 60_000 * n for n in (1, 2, 3)]}
    assert len((await api.call("GET", "schedules/beat/preview"))["runs"]) == 10


async def test_a_schedule_is_paused_and_resumed(api: Api) -> None:
    await api.call("PUT", "schedules/beat", {"every_ms": 60_000, "task": TASK})
    paused = await api.call("POST", "schedules/beat/pause")
    assert (paused["paused"], paused["next_runs"]) == (True, [])
    resumed = await api.call("POST", "schedules/beat/resume")
    assert (resumed["paused"], resumed["next_runs"][0]) == (False, NOW + 60_000)


async def test_a_fault_of_a_schedule_names_the_field(api: Api) -> None:
    body = {"cron": "0 2 * * *", "task": {"name": ""}}
    told = "task.name: expected a string of 1 to 200 characters, got ''"
    assert await api.refused("PUT", "schedules/nightly", body) == (400, told)
    status, text = await api.refused("PUT", "schedules/at night", body)
    assert status == 400 and text.startswith("id: ")


# Events that are published later


async def test_an_event_with_a_time_is_published_then(api: Api) -> None:
    answer = await api.trigger({**EVENT, "delay_ms": 5_000})
    assert answer is not None and answer[0] == 200
    submitted = json.loads(answer[1])
    assert submitted == {"id": submitted["id"], "state": "scheduled"}
    [task] = (await api.call("GET", "tasks", name="callboard.publish"))["tasks"]
    assert task["id"] == submitted["id"] and task["args"]["channels"] == ["orders"]
    assert api.transport.published == []
    await api.call("POST", f"tasks/{submitted['id']}/update", {"delay_ms": 0})
    assert api.transport.published == [{"name": "created", "channels": ["orders"], "data": "{}"}]
    assert (await api.call("GET", f"tasks/{submitted['id']}"))["state"] == "succeeded"


async def test_an_event_that_is_not_wanted_any_more_is_cancelled(api: Api) -> None:
    answer = await api.trigger({**EVENT, "deliver_at": NOW + 60_000})
    assert answer is not None
    task_id = json.loads(answer[1])["id"]
    assert (await api.call("POST", f"tasks/{task_id}/cancel"))["state"] == "cancelled"


async def test_a_batch_of_events_is_answered_like_a_batch_of_tasks(api: Api) -> None:
    answer = await api.trigger({"batch": [{**EVENT, "delay_ms": 5_000}, {**EVENT, "delay_ms": 9}]})
    assert answer is not None and answer[0] == 200
    assert [task["state"] for task in json.loads(answer[1])["batch"]] == ["scheduled"] * 2


async def test_other_triggers_are_left_to_the_server(api: Api) -> None:
    assert await api.trigger(EVENT) is None
    assert await api.trigger({"batch": [EVENT]}) is None


async def test_a_trigger_that_is_refused_is_refused_as_ever(api: Api) -> None:
    assert await api.trigger({"name": "e", "channel": "c", "delay_ms": 1}) == (
        400,
        "Missing required parameter: data\n",
    )
    assert await api.trigger({**EVENT, "delay_ms": -1}) == (
        400,
        "delay_ms: expected whole milliseconds from 0 to 315360000000, got -1\n",
    )


async def test_of_such_a_task_only_the_time_and_the_priority_can_be_changed(api: Api) -> None:
    answer = await api.trigger({**EVENT, "delay_ms": 60_000})
    assert answer is not None
    task = f"tasks/{json.loads(answer[1])['id']}"
    assert (await api.call("POST", f"{task}/update", {"priority": 3}))["priority"] == 3
    status, text = await api.refused("POST", f"{task}/update", {"args": {"name": "x"}})
    assert status == 400 and text.startswith("args: expected run_at, delay_ms, start_by or prio")
    status, text = await api.refused("POST", f"{task}/move", {"worker": "w1"})
    assert status == 400 and text.startswith("target: ")


async def test_nobody_can_submit_such_a_task_by_hand(api: Api) -> None:
    for field in ("name", "queue"):
        status, text = await api.refused("POST", "tasks", {**TASK, field: "callboard.publish"})
        assert status == 400 and text.startswith(f"{field}: ")


# Paths


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "tasks", "GET, POST"),
        ("POST", "tasks/t1", "GET"),
        ("GET", "tasks/t1/cancel", "POST"),
        ("PATCH", "schedules/s1", "DELETE, GET, POST, PUT"),
        ("POST", "workers", "GET"),
    ],
)
async def test_another_method_is_told_which_there_are(
    api: Api, method: str, path: str, allowed: str
) -> None:
    assert await api.answer(method, path) == (
        405,
        f"Method not allowed: use {allowed}\n",
        {"Allow": allowed},
    )


@pytest.mark.parametrize(
    "segments", [[], [""], ["task"], ["tasks", "t1", "explode"], ["tasks", "t1", "why", "not"]]
)
async def test_other_paths_are_left_to_the_server(api: Api, segments: Sequence[str]) -> None:
    assert await api.routes.handle("GET", segments, {}, b"") is None
