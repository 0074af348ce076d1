"""Schedules: which ticks become tasks, and what a tick does that finds an earlier one unfinished.

A tick's task has the schedule's id and the tick's time as its id, so the same tick can never be
two tasks, whatever the clock does (``{schedule}.{Unix milliseconds}``). A tick that finds the
backlog full is skipped, as a submit would be refused.
"""

from __future__ import annotations

import copy

import msgspec

from callboard_scheduler import submission
from callboard_scheduler.core.events import DropSchedule, PutSchedule
from callboard_scheduler.core.model import Core
from callboard_scheduler.core.requests import admit, end
from callboard_scheduler.core.timers import Due
from callboard_scheduler.errors import NoSuchSchedule
from callboard_scheduler.names import PUBLISH, PUBLISH_QUEUE
from callboard_scheduler.records import Overlap, Raw, Schedule, Spec, Task
from callboard_scheduler.states import State
from callboard_scheduler.stores import ScheduleDropped, ScheduleSaved
from callboard_scheduler.triggers import timing


def put(core: Core, event: PutSchedule) -> None:
    """Add a schedule, or replace the one of this id."""
    schedule = event.schedule
    replaced = core.schedules.get(schedule.id)
    if replaced is None:
        schedule.created_at = core.now.wall
        schedule.rev = 1
    else:
        schedule.created_at = replaced.created_at
        schedule.rev = replaced.rev + 1
        schedule.last_at = replaced.last_at
        schedule.last_task = replaced.last_task
    if schedule.every_ms is not None and not schedule.anchor_at:
        same = replaced is not None and replaced.every_ms == schedule.every_ms
        schedule.anchor_at = replaced.anchor_at if same and replaced else core.now.wall
    schedule.next_at = timing.first(schedule, core.now.wall, replaced)
    core.schedules[schedule.id] = schedule
    _save(core, schedule)
    _watch(core, schedule)
    core.answer(event.ticket, copy.copy(schedule), after_commit=True)


def drop(core: Core, event: DropSchedule) -> None:
    """Remove a schedule; its tasks stay."""
    if core.schedules.pop(event.id, None) is None:
        core.answer(event.ticket, NoSuchSchedule(event.id))
        return
    core.change(ScheduleDropped(core.app, event.id))
    core.answer(event.ticket, None, after_commit=True)


def restore(core: Core, schedule: Schedule) -> None:
    """Take in a stored schedule."""
    core.schedules[schedule.id] = schedule
    _watch(core, schedule)


def look(core: Core, schedule_id: str, rev: int) -> None:
    """A schedule may have ticks that are due."""
    schedule = core.schedules.get(schedule_id)
    if schedule is None or schedule.rev != rev:
        return
    due = timing.due(schedule, core.now.wall)
    for tick in due.fire:
        _fire(core, schedule, tick)
    if due.fire or due.next_at != schedule.next_at:
        schedule.next_at = due.next_at
        _save(core, schedule)
    _watch(core, schedule)


def spec_of(schedule: Schedule, tick: int, now_ms: int) -> Spec:
    """Return what a tick asks for."""
    if schedule.task is not None:
        spec = submission.parse_submit(schedule.task, now_ms).spec
    else:
        spec = Spec(PUBLISH, schedule.event or Raw(b"{}"), PUBLISH_QUEUE)
    return msgspec.structs.replace(spec, schedule=schedule.id, fire_at=tick)


def _fire(core: Core, schedule: Schedule, tick: int) -> None:
    task_id = f"{schedule.id}.{tick}"
    if task_id in core.tasks or (schedule.last_at is not None and tick <= schedule.last_at):
        return
    if task_id in core.finished:
        # Of a schedule of this id that was dropped since.
        return
    schedule.last_at = tick
    spec = spec_of(schedule, tick, core.now.wall)
    key_holder = core.unique.get(spec.unique_key) if spec.unique_key is not None else None
    earlier = list(core.ticks.get(schedule.id, {}).values())
    if key_holder is not None or (earlier and schedule.overlap is Overlap.SKIP):
        return
    queue = core.queues.get(spec.queue)
    if queue is not None and queue.waiting >= core.max_backlog:
        return
    blockers = {other for other in spec.after if other in core.tasks}
    if earlier and schedule.overlap is Overlap.QUEUE:
        if any(task.state is State.BLOCKED for task in earlier):
            return
        blockers.update(task.id for task in earlier)
    elif earlier and schedule.overlap is Overlap.CANCEL:
        for task in earlier:
            end(core, task)
    core.seq += 1
    task = Task(task_id, spec, State.READY, core.seq, core.now.wall, run_at=spec.run_at or 0)
    schedule.last_task = task_id
    admit(core, task, blockers)


def _save(core: Core, schedule: Schedule) -> None:
    core.change(ScheduleSaved(core.app, copy.copy(schedule)))


def _watch(core: Core, schedule: Schedule) -> None:
    wake_at = timing.wake_at(schedule)
    if wake_at is not None:
        core.timers.at(wake_at, Due.SCHEDULE, schedule.id, schedule.rev)
