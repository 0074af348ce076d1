"""The body of a schedule.

A schedule says when, by one of ``cron`` (with ``timezone``), ``every_ms`` and ``at``, and what, by
one of ``task`` (a submit body) and ``event`` (a trigger body). Both are validated as their own
calls would, so that a tick has nothing left to find fault with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

import msgspec
import orjson
from msgspec import UNSET, Meta, Raw, UnsetType

from callboard_protocol import rest
from callboard_protocol.rest import BadRequest, EventLimits
from callboard_scheduler import publishing
from callboard_scheduler.errors import BadField, TooLarge
from callboard_scheduler.fields import Body, Span, Time, json_value, shown, time_ms
from callboard_scheduler.records import Misfire, Overlap, Schedule
from callboard_scheduler.submission import parse_submit
from callboard_scheduler.triggers.check import check

_Text = Annotated[str, Meta(description="a string")]
_Every = Annotated[int, Meta(description="whole milliseconds")]
_Task = Annotated[Raw, Meta(description="an object as for POST tasks")]
_Event = Annotated[Raw, Meta(description="an object as for POST events")]


class _Schedule(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    cron: _Text | None = None
    timezone: _Text | None = None
    every_ms: _Every | None = None
    at: Time | None = None
    misfire: Misfire | None = None
    overlap: Overlap | None = None
    jitter_ms: Span | None = None
    paused: bool | None = None
    task: _Task | UnsetType = UNSET
    event: _Event | UnsetType = UNSET


_body = Body(_Schedule)
#: The ids of its tasks have the time of a tick besides.
_ID = re.compile(r"[A-Za-z0-9_\-=@,.;]{1,80}", re.ASCII)


def parse_schedule(schedule_id: str, body: bytes, limits: EventLimits, now_ms: int) -> Schedule:
    """Read the body of ``PUT schedules/{id}``; ``null`` is as good as leaving a field out.

    Raises:
        BadField: naming the field, those of the task as ``task.…``.
    """
    check_id(schedule_id)
    shape = _body.read(body)
    task, event = _given("task", shape.task), _given("event", shape.event)
    if (task is None) == (event is None):
        got = "neither" if task is None else "both"
        raise BadField("task", f"expected either task or event, got {got}")
    if task is not None:
        _check_task(task, now_ms)
    if event is not None:
        event = _event_body(event, limits)
    schedule = Schedule(
        id=schedule_id,
        cron=shape.cron,
        timezone=shape.timezone or "UTC",
        every_ms=shape.every_ms,
        at=None if shape.at is None else time_ms("at", shape.at),
        misfire=shape.misfire or Misfire.LATEST,
        overlap=shape.overlap or Overlap.ALLOW,
        jitter_ms=shape.jitter_ms or 0,
        paused=shape.paused or False,
        task=task,
        event=event,
    )
    check(schedule)
    return schedule


def check_id(schedule_id: str) -> None:
    """Hold a schedule's id to what it may be.

    Raises:
        BadField: it is not.
    """
    if _ID.fullmatch(schedule_id) is None:
        raise BadField(
            "id",
            "expected 1 to 80 ASCII letters, digits or _ - = @ , . ; as the schedule's id, "
            f"got {shown(schedule_id)}",
        )


def _given(field: str, raw: Raw | UnsetType) -> Raw | None:
    if raw is UNSET or bytes(raw) == b"null":
        return None
    return json_value(field, raw)


def _check_task(task: Raw, now_ms: int) -> None:
    try:
        parse_submit(task, now_ms)
        _refuse(task, ("run_at",), "the schedule says when, and delay_ms how long after that")
    except BadField as fault:
        raise fault.inside("task") from None


def _event_body(event: Raw, limits: EventLimits) -> Raw:
    """Return the event as its task publishes it."""
    try:
        trigger = rest.parse_events(bytes(event), limits)
        _refuse(event, ("deliver_at", "delay_ms"), "the schedule says when")
        _refuse(event, ("info",), "there is nobody to be told who was there")
    except BadRequest as error:
        kind = TooLarge if error.status == 413 else BadField
        raise kind("event", str(error)) from None
    except BadField as fault:
        raise fault.inside("event") from None
    return publishing.trigger_body(trigger)


def _refuse(body: Raw, names: Iterable[str], why: str) -> None:
    value = orjson.loads(bytes(body))
    for name in names:
        if value.get(name) is not None:
            raise BadField(name, f"expected none: {why}")
