"""Ordinary events that are published later: tasks that the scheduler runs itself.

A trigger body with ``deliver_at`` or ``delay_ms`` is checked as any trigger and becomes a task
named ``callboard.publish``, so it is durable, listed, cancelled and moved in time as tasks are.
Only its time and its priority can be changed; whoever wants another event cancels and triggers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec
import orjson
from msgspec import UNSET, Raw, UnsetType

from callboard_protocol import rest
from callboard_protocol.channels import MAX_CHANNEL_NAME_LENGTH, MAX_EVENT_NAME_LENGTH
from callboard_protocol.rest import MAX_EVENT_PAYLOAD_BYTES, EventLimits, Trigger
from callboard_scheduler.errors import BODY, BadField
from callboard_scheduler.fields import Body, Span, Time, time_ms
from callboard_scheduler.names import PUBLISH, PUBLISH_QUEUE
from callboard_scheduler.records import Spec
from callboard_scheduler.submission import Changes, Submission

_CHANGEABLE: Final = frozenset({"run_at", "start_by", "priority"})
_WHEN: Final = ("deliver_at", "delay_ms")


class _When(msgspec.Struct, kw_only=True):
    deliver_at: Time | UnsetType | None = UNSET
    delay_ms: Span | UnsetType | None = UNSET


_when = Body(_When)


@dataclass(frozen=True, slots=True)
class DocumentedLimits:
    """Hosted Pusher's bounds of events, for services that have no others."""

    max_event_payload_bytes: int = MAX_EVENT_PAYLOAD_BYTES
    max_event_name_length: int = MAX_EVENT_NAME_LENGTH
    max_channel_name_length: int = MAX_CHANNEL_NAME_LENGTH


class ScheduledEvents(NamedTuple):
    """Events to be published later, in order; ``batch`` whether they came as a batch."""

    submissions: list[Submission]
    batch: bool


def may_be_scheduled(body: bytes) -> bool:
    """Whether a trigger body is worth a closer look; next to none is."""
    # How the names of both times begin.
    return body.find(b'"de') >= 0


def scheduled_events(body: bytes, limits: EventLimits, now_ms: int) -> ScheduledEvents | None:
    """Return the tasks of a trigger body that is to be published later, None of any other.

    The body is one event's or a batch's. None also of what is neither: the ordinary way refuses
    it in its own words.

    Raises:
        BadField: when is not a time, or not said of every event of a batch.
        callboard_protocol.rest.BadRequest: not a trigger that may be published.
    """
    if not may_be_scheduled(body):
        return None
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(value, dict):
        return None
    if _is_timed(value):
        trigger = rest.parse_events(body, limits)
        return ScheduledEvents([_submission(value, trigger, now_ms)], batch=False)
    batch = value.get("batch")
    if not isinstance(batch, list) or not any(_is_timed(event) for event in batch):
        return None
    submissions = []
    triggers = rest.parse_batch_events(body, limits)
    for place, (event, trigger) in enumerate(zip(batch, triggers, strict=True)):
        try:
            submissions.append(_submission(event, trigger, now_ms))
        except BadField as fault:
            raise fault.inside(f"batch[{place}]") from None
    return ScheduledEvents(submissions, batch=True)


def trigger_body(trigger: Trigger) -> Raw:
    """Return the body of ``POST events`` for a trigger: what its task has as arguments."""
    body: dict[str, Any] = {
        "name": trigger.name,
        "channels": trigger.channels,
        "data": trigger.data,
    }
    if trigger.socket_id is not None:
        body["socket_id"] = trigger.socket_id
    return Raw(orjson.dumps(body))


def fault_of(changes: Changes) -> BadField | None:
    """Return what is wrong with changes for a task that publishes an event; None if nothing is."""
    others = sorted(set(changes) - _CHANGEABLE)
    if not others:
        return None
    return BadField(
        others[0],
        "expected run_at, delay_ms, start_by or priority, as this task publishes an event: "
        "to publish another, cancel it and trigger that one",
    )


def _is_timed(event: object) -> bool:
    return isinstance(event, dict) and any(event.get(name) is not None for name in _WHEN)


def _submission(event: dict[str, Any], trigger: Trigger, now_ms: int) -> Submission:
    if trigger.info:
        raise BadField("info", "expected none: who is there is not known before the time")
    run_at = _run_at(event, now_ms)
    return Submission(Spec(PUBLISH, trigger_body(trigger), PUBLISH_QUEUE, run_at=run_at))


def _run_at(event: dict[str, Any], now_ms: int) -> int | None:
    try:
        text = orjson.dumps({name: event[name] for name in _WHEN if name in event})
    except orjson.JSONEncodeError:
        # It reads deeper than it writes.
        raise BadField(BODY, "it is nested too deeply") from None
    when = _when.read(text)
    deliver_at, delay_ms = when.deliver_at, when.delay_ms
    if isinstance(deliver_at, int | str):
        if isinstance(delay_ms, int):
            raise BadField("deliver_at", "expected either delay_ms or deliver_at, got both")
        return time_ms("deliver_at", deliver_at)
    if not isinstance(delay_ms, int):
        raise BadField("deliver_at", "missing, expected deliver_at or delay_ms of every event")
    return now_ms + delay_ms if delay_ms else None
