"""What the API shows of tasks, schedules, workers and queues."""

from __future__ import annotations

import json
from typing import Any

from callboard_scheduler import views
from callboard_scheduler.core.workers import WorkerState
from callboard_scheduler.records import (
    Attempt,
    Failure,
    Outcome,
    Progress,
    Raw,
    Schedule,
    Spec,
    Target,
    Task,
)
from callboard_scheduler.states import State
from callboard_scheduler.stores import StoredTask
from callboard_scheduler.submission import parse_submit, parse_update
from callboard_scheduler.views import QueueView, View, WorkerView

SPEC = Spec("thumbnail", Raw(b'{"url": "a"}'), "fast", target=Target(None, {"gpu": [1, 2]}))


def shown(view: View) -> Any:
    return json.loads(views.encode(view))


def task(**fields: Any) -> Task:
    return Task("t1", fields.pop("spec", SPEC), State.READY, seq=1, created_at=5, **fields)


def test_every_field_is_there_also_when_there_is_nothing() -> None:
    view = shown(views.task_view(StoredTask(task(), ())))
    assert view == {
        "id": "t1",
        "name": "thumbnail",
        "queue": "fast",
        "state": "ready",
        "priority": 0,
        "args": {"url": "a"},
        "progress": None,
        "result": None,
        "error": None,
        "worker": None,
        "attempt": 0,
        "failures": 0,
        "losses": 0,
        "stop_reason": None,
        "checkpoint": None,
        "created_at": 5,
        "run_at": None,
        "start_by": None,
        "started_at": None,
        "finished_at": None,
        "timeout_ms": None,
        "retry": {
            "max_attempts": 3,
            "initial_ms": 1000,
            "factor": 2.0,
            "max_ms": 300000,
            "jitter": 1.0,
        },
        "unique_key": None,
        "target": {"worker": None, "labels": {"gpu": [1, 2]}},
        "after": [],
        "limit_key": None,
        "limit": 1,
        "on_disconnect": "auto",
        "max_losses": 3,
        "schedule": None,
        "fire_at": None,
        "rev": 1,
        "gen": 1,
        "attempts": [],
    }


def test_what_users_sent_comes_back_as_the_text_that_it_was() -> None:
    number = b"123456789012345678901234567890.10"
    view = views.task_view(StoredTask(task(result=Raw(number)), ()))
    assert b'"result":' + number + b"," in views.encode(view)


def test_a_task_shows_its_progress_its_error_and_its_attempts() -> None:
    failed = Attempt("t1", 7, 1, "w1", 10, 11, 12, Outcome.FAILED, Failure("ValueError", "no file"))
    current = Attempt("t1", 8, 2, "w2", 20)
    running = task(progress=Progress(50.0, "half", Raw(b"[1]")), error=Failure("ValueError"))
    view = shown(views.task_view(StoredTask(running, (failed, current))))
    assert view["progress"] == {"pct": 50.0, "msg": "half", "data": [1]}
    assert view["error"] == {"type": "ValueError", "msg": ""}
    assert view["attempts"] == [
        {
            "n": 1,
            "fence": 7,
            "worker": "w1",
            "outcome": "failed",
            "error": {"type": "ValueError", "msg": "no file"},
            "assigned_at": 10,
            "started_at": 11,
            "ended_at": 12,
        },
        {
            "n": 2,
            "fence": 8,
            "worker": "w2",
            "outcome": None,
            "error": None,
            "assigned_at": 20,
            "started_at": None,
            "ended_at": None,
        },
    ]


def test_the_time_of_a_task_is_that_of_its_next_try() -> None:
    asked = Spec("thumbnail", run_at=100)
    assert views.task_view(StoredTask(task(spec=asked, run_at=900), ()))["run_at"] == 900
    assert views.task_view(StoredTask(task(spec=asked, run_at=100), ()))["run_at"] == 100


def test_what_is_shown_of_a_task_can_be_asked_for_again() -> None:
    view = shown(views.task_view(StoredTask(task(spec=SPEC), ())))
    fields = ("name", "args", "queue", "priority", "retry", "target", "after", "limit", "run_at")
    again = json.dumps({field: view[field] for field in fields}).encode()
    asked = parse_submit(again, 0).spec
    assert bytes(asked.args) == bytes(SPEC.args)
    assert {**parse_update(again, 0), "args": None} == {
        **{field: getattr(SPEC, field) for field in fields},
        "args": None,
    }


def test_a_list_leaves_out_what_is_large_and_says_so() -> None:
    large = Raw(b'["' + b"x" * views.MAX_LISTED_BYTES + b'"]')
    small = views.listed_task_view(task())
    assert small["left_out"] == [] and "attempts" not in small
    view = shown(
        views.listed_task_view(
            task(
                spec=Spec("thumbnail", large),
                result=large,
                checkpoint=large,
                progress=Progress(50.0, None, large),
            )
        )
    )
    assert view["left_out"] == ["args", "result", "checkpoint", "progress.data"]
    assert view["args"] is view["result"] is view["checkpoint"] is None
    assert view["progress"] == {"pct": 50.0, "msg": None, "data": None}


def test_a_worker_is_shown_with_what_it_can_do_and_does() -> None:
    worker = WorkerView(
        id="w1",
        state=WorkerState.BUSY,
        slots=4,
        free=3,
        queues=("default", "fast"),
        labels={"gpu": True},
        tasks=("t1",),
        joined_at=5,
    )
    assert shown(views.worker_view(worker)) == {
        "id": "w1",
        "state": "busy",
        "slots": 4,
        "free": 3,
        "queues": ["default", "fast"],
        "names": None,
        "labels": {"gpu": True},
        "pool": "",
        "sdk": "",
        "host": "",
        "tasks": ["t1"],
        "joined_at": 5,
        "silent_ms": 0,
    }


def test_a_queue_is_shown_with_how_many_are_in_each_state() -> None:
    queue = QueueView(name="fast", paused=True, counts={State.READY: 3, State.RUNNING: 1})
    assert shown(views.queue_view(queue)) == {
        "name": "fast",
        "paused": True,
        "blocked": 0,
        "scheduled": 0,
        "ready": 3,
        "assigned": 0,
        "running": 1,
        "stopping": 0,
        "workers": 0,
        "free": 0,
    }


def test_a_schedule_is_shown_with_what_it_does_and_when() -> None:
    schedule = Schedule("nightly", cron="0 2 * * *", task=Raw(b'{"name": "report"}'), created_at=5)
    assert shown(views.schedule_view(schedule, "At 02:00", [7, 8])) == {
        "id": "nightly",
        "cron": "0 2 * * *",
        "timezone": "UTC",
        "every_ms": None,
        "at": None,
        "text": "At 02:00",
        "misfire": "latest",
        "overlap": "allow",
        "jitter_ms": 0,
        "paused": False,
        "task": {"name": "report"},
        "event": None,
        "rev": 1,
        "created_at": 5,
        "next_at": None,
        "next_runs": [7, 8],
        "last_at": None,
        "last_task": None,
    }
