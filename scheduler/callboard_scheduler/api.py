"""The scheduler's HTTP API, without HTTP: a method, a path, a query and a body make an answer.

Whoever serves it has verified the request's signature already. Every success is 200 with a JSON
object, which the generic ``get`` and ``post`` of each server SDK return; those of PHP and Ruby
raise on any other. They can neither PUT nor DELETE, so POST does both for schedules. A refusal is
plain text that ends in a newline, like those of the rest of the API.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from callboard_protocol.rest import BadRequest, EventLimits
from callboard_scheduler import answers, publishing, queries, submission, views
from callboard_scheduler.answers import Answer
from callboard_scheduler.engine.scheduler import Scheduler, Submitted
from callboard_scheduler.errors import BadField, NoSuchSchedule, NoSuchTask
from callboard_scheduler.fields import identifier
from callboard_scheduler.history import history
from callboard_scheduler.names import PUBLISH
from callboard_scheduler.publishing import DocumentedLimits, ScheduledEvents
from callboard_scheduler.records import Schedule
from callboard_scheduler.schedule_body import parse_schedule
from callboard_scheduler.stores import BadCursor, StoredTask
from callboard_scheduler.submission import Changes
from callboard_scheduler.triggers import check, timing
from callboard_scheduler.views import View

#: How many ticks ahead a schedule shows without being asked.
_SHOWN_RUNS: Final = 3


@dataclass(frozen=True, slots=True)
class _Call:
    #: The part of the path that names a task, a schedule or a queue; empty if there is none.
    subject: str
    query: Mapping[str, str]
    body: bytes


_Handler = Callable[[_Call], Coroutine[Any, Any, View]]


class Routes:
    """Answers the calls about one app's tasks."""

    def __init__(self, scheduler: Scheduler, limits: EventLimits | None = None) -> None:
        self._scheduler = scheduler
        self._limits = DocumentedLimits() if limits is None else limits
        # None stands for any one segment, always the second.
        self._routes: Mapping[tuple[str | None, ...], Mapping[str, _Handler]] = {
            ("tasks",): {"GET": self._list, "POST": self._submit},
            ("batch_tasks",): {"POST": self._submit_batch},
            ("tasks", None): {"GET": self._show},
            ("tasks", None, "why"): {"GET": self._why},
            ("tasks", None, "cancel"): {"POST": self._cancel},
            ("tasks", None, "update"): {"POST": self._update},
            ("tasks", None, "move"): {"POST": self._move},
            ("tasks", None, "requeue"): {"POST": self._requeue},
            ("schedules",): {"GET": self._list_schedules},
            ("schedules", None): {
                "GET": self._show_schedule,
                "PUT": self._put_schedule,
                "POST": self._put_schedule,
                "DELETE": self._drop_schedule,
            },
            ("schedules", None, "preview"): {"GET": self._preview},
            ("schedules", None, "pause"): {"POST": self._pause_schedule},
            ("schedules", None, "resume"): {"POST": self._resume_schedule},
            ("schedules", None, "delete"): {"POST": self._drop_schedule},
            ("workers",): {"GET": self._list_workers},
            ("queues",): {"GET": self._list_queues},
            ("queues", None, "pause"): {"POST": self._pause_queue},
            ("queues", None, "resume"): {"POST": self._resume_queue},
        }

    async def handle(
        self, method: str, segments: Sequence[str], query: Mapping[str, str], body: bytes
    ) -> Answer | None:
        """Answer a call; ``segments`` are the decoded parts of the path behind the app's id.

        None is the answer to a path that is not one of these.
        """
        handlers = self._at(segments)
        handler = handlers.get(method)
        if handler is None:
            return answers.wrong_method(handlers) if handlers else None
        subject = segments[1] if len(segments) > 1 else ""
        return await answers.answered(handler(_Call(subject, query, body)))

    def scheduled(self, body: bytes) -> Coroutine[Any, Any, Answer] | None:
        """Return the answer to a trigger body that is to be published later, None to any other.

        Asked about every trigger, so no costs next to nothing.
        """
        if not publishing.may_be_scheduled(body):
            return None
        try:
            events = publishing.scheduled_events(body, self._limits, self._now_ms())
        except (BadField, BadRequest) as error:
            return answers.refused(error)
        return None if events is None else answers.answered(self._publish_later(events))

    def _at(self, segments: Sequence[str]) -> Mapping[str, _Handler]:
        pattern = (*segments[:1], *((None,) if len(segments) > 1 else ()), *segments[2:])
        return self._routes.get(pattern, {})

    # Tasks

    async def _submit(self, call: _Call) -> View:
        queries.parse_no_query(call.query)
        asked = submission.parse_submit(call.body, self._now_ms())
        return _submitted((await self._scheduler.submit([asked]))[0])

    async def _submit_batch(self, call: _Call) -> View:
        queries.parse_no_query(call.query)
        asked = submission.parse_batch(call.body, self._now_ms())
        return {"batch": [_submitted(each) for each in await self._scheduler.submit(asked)]}

    async def _publish_later(self, events: ScheduledEvents) -> View:
        submitted = [_submitted(each) for each in await self._scheduler.submit(events.submissions)]
        return {"batch": submitted} if events.batch else submitted[0]

    async def _list(self, call: _Call) -> View:
        which, limit, cursor = queries.parse_listing(call.query)
        try:
            page = await self._scheduler.tasks(which, limit, cursor)
        except BadCursor:
            raise BadField("cursor", "expected the cursor of an earlier answer") from None
        return {
            "tasks": [views.listed_task_view(task) for task in page.tasks],
            "cursor": page.cursor,
        }

    async def _show(self, call: _Call) -> View:
        queries.parse_no_query(call.query)
        return views.task_view(await self._stored(call.subject))

    async def _why(self, call: _Call) -> View:
        queries.parse_no_query(call.query)
        stored = await self._stored(call.subject)
        reasons = self._scheduler.why(call.subject) or []
        return {
            "id": call.subject,
            "state": stored.task.state.value,
            "why": [*reasons, *history(stored)],
        }

    async def _cancel(self, call: _Call) -> View:
        _check_bare(call)
        return views.listed_task_view(await self._scheduler.cancel(call.subject))

    async def _update(self, call: _Call) -> View:
        queries.parse_no_query(call.query)
        changes = submission.parse_update(call.body, self._now_ms())
        await self._check_event(call.subject, changes)
        return views.listed_task_view(await self._scheduler.update(call.subject, changes))

    async def _move(self, call: _Call) -> View:
        queries.parse_no_query(call.query)
        target = submission.parse_move(call.body)
        await self._check_event(call.subject, {"target": target})
        return views.listed_task_view(await self._scheduler.move(call.subject, target))

    async def _requeue(self, call: _Call) -> View:
        _check_bare(call)
        return views.listed_task_view(await self._scheduler.requeue(call.subject))

    def _now_ms(self) -> int:
        return self._scheduler.clock.wall_ms()

    async def _stored(self, task_id: str) -> StoredTask:
        stored = await self._scheduler.task(task_id)
        if stored is None:
            raise NoSuchTask(task_id)
        return stored

    async def _check_event(self, task_id: str, changes: Changes) -> None:
        fault = publishing.fault_of(changes)
        if fault is not None and (await self._stored(task_id)).task.spec.name == PUBLISH:
            raise fault

    # Schedules

    async def _list_schedules(self, call: _Call) -> View:
        queries.parse_no_query(call.query)
        return {"schedules": [self._schedule_view(each) for each in self._scheduler.schedules()]}

    async def _show_schedule(self, call: _Call) -> View:
        queries.parse_no_query(call.query)
        return self._schedule_view(self._schedule(call.subject))

    async def _put_schedule(self, call: _Call) -> View:
        queries.parse_no_query(call.query)
        schedule = parse_schedule(call.subject, call.body, self._limits, self._now_ms())
        return self._schedule_view(await self._scheduler.put_schedule(schedule))

    async def _drop_schedule(self, call: _Call) -> View:
        _check_bare(call)
        await self._scheduler.drop_schedule(call.subject)
        return {"id": call.subject}

    async def _preview(self, call: _Call) -> View:
        count = queries.parse_preview(call.query)
        schedule = self._schedule(call.subject)
        return {
            "id": schedule.id,
            "runs": timing.preview(schedule, self._now_ms(), count),
        }

    async def _pause_schedule(self, call: _Call) -> View:
        return await self._set_paused(call, True)

    async def _resume_schedule(self, call: _Call) -> View:
        return await self._set_paused(call, False)

    async def _set_paused(self, call: _Call, paused: bool) -> View:
        _check_bare(call)
        schedule = msgspec.structs.replace(self._schedule(call.subject), paused=paused)
        return self._schedule_view(await self._scheduler.put_schedule(schedule))

    def _schedule(self, schedule_id: str) -> Schedule:
        schedule = self._scheduler.schedule(schedule_id)
        if schedule is None:
            raise NoSuchSchedule(schedule_id)
        return schedule

    def _schedule_view(self, schedule: Schedule) -> View:
        runs = [] if schedule.paused else timing.preview(schedule, self._now_ms(), _SHOWN_RUNS)
        return views.schedule_view(schedule, check.explain(schedule), runs)

    # Workers and queues

    async def _list_workers(self, call: _Call) -> View:
        queries.parse_no_query(call.query)
        return {"workers": [views.worker_view(each) for each in self._scheduler.workers()]}

    async def _list_queues(self, call: _Call) -> View:
        queries.parse_no_query(call.query)
        return {"queues": [views.queue_view(each) for each in self._scheduler.queues()]}

    async def _pause_queue(self, call: _Call) -> View:
        return await self._set_queue_paused(call, True)

    async def _resume_queue(self, call: _Call) -> View:
        return await self._set_queue_paused(call, False)

    async def _set_queue_paused(self, call: _Call, paused: bool) -> View:
        _check_bare(call)
        queue = identifier("queue", call.subject)
        await self._scheduler.pause(queue, paused)
        return {"name": queue, "paused": paused}


def _check_bare(call: _Call) -> None:
    queries.parse_no_query(call.query)
    submission.parse_nothing(call.body)


def _submitted(submitted: Submitted) -> View:
    return {"id": submitted.id, "state": submitted.state.value}
