"""What people write in Python, as the bodies of the scheduler's HTTP API.

Nothing is validated here that the scheduler validates: its refusals name the field, and there is
one place that knows the rules. What is Python's own is turned into JSON:

1. ``args`` is a mapping for keyword arguments or a list for positional ones. Dataclasses, msgspec
   structs, pydantic models (whatever has ``model_dump_json``), UUIDs and datetimes may be inside.
2. Times are Unix milliseconds, ISO 8601 with a zone, or datetimes that know their zone.
3. Tasks to come after are ids, or what ``submit`` has returned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, Protocol, TypedDict

import msgspec
import orjson

When = int | str | datetime


class Identified(Protocol):
    """Something with a task's id, as the handles that clients return."""

    @property
    def id(self) -> str: ...


class RetryOptions(TypedDict, total=False):
    """How often and when a failed task runs again; ``jitter`` is the share left to chance."""

    max_attempts: int
    initial_ms: int
    factor: float
    max_ms: int
    jitter: float


class TargetOptions(TypedDict, total=False):
    """Which workers may run it: one by id, or all with these labels."""

    worker: str
    labels: Mapping[str, Any]


class SubmitOptions(TypedDict, total=False):
    """Everything of a task but its name and arguments; None is as good as not given."""

    queue: str | None
    priority: int | None
    #: From now, in milliseconds; or a time of day, but not both.
    delay_ms: int | None
    run_at: When | None
    #: It expires if nobody has started it by then.
    start_by: When | None
    #: For each attempt.
    timeout_ms: int | None
    retry: RetryOptions | None
    #: A second submit while a task with this key is not finished: see ``on_conflict``.
    unique_key: str | None
    on_conflict: Literal["keep", "replace", "error"] | None
    target: TargetOptions | None
    #: Tasks that must have succeeded before.
    after: Iterable[str | Identified] | None
    #: At most ``limit`` tasks with this key run at once.
    limit_key: str | None
    limit: int | None
    on_disconnect: Literal["auto", "now", "grace", "lease"] | None
    max_losses: int | None


class Submission(SubmitOptions, total=False):
    """One task of ``submit_many``; ``name`` is required."""

    name: str
    args: Mapping[str, Any] | Sequence[Any] | None


class UpdateOptions(SubmitOptions, total=False):
    """What is changed of a task; what is not given stays, and None takes a value away."""

    name: str
    args: Mapping[str, Any] | Sequence[Any]


class ScheduleOptions(TypedDict, total=False):
    """When: one of ``cron``, ``every_ms``, ``at``; and what: one of ``task`` and ``event``."""

    cron: str | None
    timezone: str | None
    every_ms: int | None
    at: When | None
    misfire: Literal["skip", "latest", "all"] | None
    overlap: Literal["allow", "skip", "queue", "cancel"] | None
    jitter_ms: int | None
    paused: bool | None
    #: As a :class:`Submission`.
    task: Submission | None
    #: As the body of ``POST events``: ``name``, ``channels`` or ``channel``, ``data``.
    event: Mapping[str, Any] | None


#: Tasks that one call of ``batch_tasks`` takes.
BATCH_SIZE: Final = 1_000

_TIMES: Final = ("run_at", "start_by", "at")


def submit_body(
    name: str, args: Mapping[str, Any] | Sequence[Any] | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the body of ``POST tasks``.

    Raises:
        TypeError: ``args`` is neither a mapping nor a list, or something in it is not JSON.
        ValueError: a datetime without a zone.
    """
    body = {"name": name, **_plain({k: v for k, v in options.items() if v is not None})}
    if args is not None:
        body["args"] = arguments(args)
    return body


def batch_bodies(submissions: Iterable[Submission]) -> list[dict[str, Any]]:
    """Return the items of ``POST batch_tasks``; raises as :func:`submit_body`."""
    bodies = []
    for place, submission in enumerate(submissions):
        if not isinstance(submission, Mapping) or "name" not in submission:
            raise TypeError(
                f"submission {place}: expected a mapping with name and perhaps args, queue, …, "
                f"got {submission!r:.80}"
            )
        bodies.append(task_body(submission))
    return bodies


def task_body(submission: Submission) -> dict[str, Any]:
    """Return one task as a body; raises as :func:`submit_body`."""
    options = {k: v for k, v in submission.items() if k not in ("name", "args")}
    return submit_body(submission["name"], submission.get("args"), options)


def update_body(options: UpdateOptions) -> dict[str, Any]:
    """Return the body of ``POST tasks/{id}/update``; raises as :func:`submit_body`."""
    body = _plain(options)
    if "args" in body:
        body["args"] = arguments(body["args"])
    return body


def move_body(worker: str | None, labels: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the body of ``POST tasks/{id}/move``; without either it goes to any worker."""
    target = {"worker": worker, "labels": labels}
    return {"target": {k: v for k, v in target.items() if v is not None} or None}


def schedule_body(options: ScheduleOptions) -> dict[str, Any]:
    """Return the body of ``PUT schedules/{id}``; raises as :func:`submit_body`."""
    body = _plain({k: v for k, v in options.items() if v is not None})
    if "task" in body:
        body["task"] = task_body(body["task"])
    event = body.get("event")
    if event is not None and not isinstance(event.get("data", ""), str):
        body["event"] = {**event, "data": orjson.dumps(event["data"]).decode()}
    return body


def arguments(args: Mapping[str, Any] | Sequence[Any]) -> orjson.Fragment:
    """Return arguments as JSON text for a body."""
    if not isinstance(args, Mapping | list | tuple):
        raise TypeError(
            "args must be a mapping (keyword arguments) or a list (positional arguments), "
            f"got {type(args).__name__}"
        )
    try:
        text = orjson.dumps(args, default=_jsonable)
    except orjson.JSONEncodeError as error:
        raise TypeError(f"args cannot be JSON: {error}") from None
    return orjson.Fragment(text)


def time_of(field: str, when: When) -> int | str:
    """Return a time as the API takes it."""
    if not isinstance(when, datetime):
        return when
    if when.tzinfo is None:
        raise ValueError(
            f"{field} has no time zone: use datetime.now(UTC) or another datetime with tzinfo"
        )
    return int(when.timestamp() * 1000)


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    body = dict(options)
    for field in _TIMES:
        if body.get(field) is not None:
            body[field] = time_of(field, body[field])
    if body.get("after") is not None:
        body["after"] = ids_of(body["after"])
    return body


def ids_of(after: Iterable[str | Identified]) -> list[str]:
    """Return the ids of tasks to come after."""
    # A single id is a string, and a string is a sequence of letters.
    tasks = (after,) if isinstance(after, str) else after
    return [task if isinstance(task, str) else task.id for task in tasks]


def _jsonable(value: Any) -> Any:
    dump = getattr(value, "model_dump_json", None)
    if callable(dump):
        return orjson.Fragment(dump())
    if isinstance(value, msgspec.Struct):
        return orjson.Fragment(msgspec.json.encode(value))
    raise TypeError
