"""Records as rows and back.

A change is a row of the view ``change`` (saving.sql): its kind, and what that kind needs of the
columns of a task; an attempt's number, times and outcome take a task's of the same sort. Values
of users stay the bytes that they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from callboard_scheduler.records import (
    Attempt,
    Failure,
    Outcome,
    Progress,
    Raw,
    Schedule,
    Spec,
    StopReason,
    Task,
)
from callboard_scheduler.states import State
from callboard_scheduler.stores import (
    AttemptSaved,
    Change,
    QueuePaused,
    ScheduleDropped,
    ScheduleSaved,
    TaskSaved,
)

Row = Sequence[Any]

#: How many columns the view has.
WIDTH: Final = 26
#: Where a row has spec, result and checkpoint.
BODY: Final = slice(23, 26)
#: The columns between ``seq`` and those.
_NO_RUNNING: Final = (None,) * 16

_TASK_WHOLE, _TASK_RUNNING, _ATTEMPT, _SCHEDULE, _NO_SCHEDULE, _PAUSED, _RESUMED, _TERM = range(
    1, 9
)

_encode = msgspec.json.Encoder().encode
_decode_spec = msgspec.json.Decoder(Spec).decode
_decode_progress = msgspec.json.Decoder(Progress).decode
_decode_failure = msgspec.json.Decoder(Failure).decode
_decode_schedule = msgspec.json.Decoder(Schedule).decode

# A plain lookup: calling an enumeration takes several times as long.
_STATES: Final[Mapping[str, State]] = {state.value: state for state in State}
_REASONS: Final[Mapping[str, StopReason]] = {reason.value: reason for reason in StopReason}
_OUTCOMES: Final[Mapping[str, Outcome]] = {outcome.value: outcome for outcome in Outcome}

#: What :func:`task_from` takes, of a task joined with its body.
TASK_COLUMNS: Final = (
    "task.id, spec, task.state, task.seq, task.created_at, task.rev, task.gen, task.run_at, "
    "task.attempt, task.failures, task.losses, task.fence, task.lost_fence, task.worker, "
    "task.stop_reason, task.progress, checkpoint, result, task.error, task.started_at, "
    "task.finished_at"
)
#: What :func:`attempt_from` takes behind the task's id.
ATTEMPT_COLUMNS: Final = (
    "attempt.fence, attempt.n, attempt.worker, attempt.assigned_at, attempt.started_at, "
    "attempt.ended_at, attempt.outcome, attempt.error"
)


def row_of(change: Change) -> Row:
    """Return a change as a row of the view."""
    if isinstance(change, TaskSaved):
        return _task_row(change)
    if isinstance(change, AttemptSaved):
        return _attempt_row(change.app, change.attempt)
    if isinstance(change, ScheduleSaved):
        record = _encode(change.schedule)
        return _row(_SCHEDULE, change.app, id=change.schedule.id, spec=record)
    if isinstance(change, ScheduleDropped):
        return _row(_NO_SCHEDULE, change.app, id=change.id)
    if isinstance(change, QueuePaused):
        return _row(_PAUSED if change.paused else _RESUMED, change.app, queue=change.queue)
    return _row(_TERM, change.app, seq=change.term)


def _row(
    kind: int,
    app: str,
    *,
    id: str | None = None,
    queue: str | None = None,
    seq: int | None = None,
    spec: bytes | None = None,
) -> Row:
    return (kind, app, id, queue, None, None, seq, *_NO_RUNNING, spec, None, None)


def _task_row(change: TaskSaved) -> Row:
    task = change.task
    reason, progress, error = task.stop_reason, task.progress, task.error
    running = (
        task.state._value_,
        task.rev,
        task.gen,
        task.run_at,
        task.attempt,
        task.failures,
        task.losses,
        task.fence,
        task.lost_fence,
        task.worker,
        None if reason is None else reason._value_,
        None if progress is None else _encode(progress),
        None if error is None else _encode(error),
        task.started_at,
        task.finished_at,
    )
    if not change.whole:
        return (
            *(_TASK_RUNNING, change.app, task.id, None, None, None, None, None),
            *running,
            *(None, None, None),
        )
    spec = task.spec
    return (
        *(_TASK_WHOLE, change.app, task.id, spec.queue, spec.name, spec.schedule),
        *(task.seq, task.created_at),
        *running,
        *(_encode(spec), _bytes(task.result), _bytes(task.checkpoint)),
    )


def _attempt_row(app: str, attempt: Attempt) -> Row:
    outcome, error = attempt.outcome, attempt.error
    return (
        *(_ATTEMPT, app, attempt.task, None, None, None, None, attempt.assigned_at),
        *(None if outcome is None else outcome._value_, None, None, None, attempt.n, None, None),
        *(attempt.fence, None, attempt.worker, None, None),
        *(None if error is None else _encode(error), attempt.started_at, attempt.ended_at),
        *(None, None, None),
    )


def _bytes(value: Raw | None) -> bytes | None:
    return None if value is None else bytes(value)


def task_from(row: Row) -> Task:
    """Return the task of a row of TASK_COLUMNS."""
    (
        id,
        spec,
        state,
        seq,
        created_at,
        rev,
        gen,
        run_at,
        attempt,
        failures,
        losses,
        fence,
        lost_fence,
        worker,
        reason,
        progress,
        checkpoint,
        result,
        error,
        started_at,
        finished_at,
    ) = row
    return Task(
        id,
        _decode_spec(spec),
        _STATES[state],
        seq,
        created_at,
        rev,
        gen,
        run_at,
        attempt,
        failures,
        losses,
        fence,
        lost_fence,
        worker,
        None if reason is None else _REASONS[reason],
        None if progress is None else _decode_progress(progress),
        None if checkpoint is None else Raw(checkpoint),
        None if result is None else Raw(result),
        None if error is None else _decode_failure(error),
        started_at,
        finished_at,
    )


def attempt_from(task_id: str, row: Row) -> Attempt:
    """Return the attempt of a task, and of a row of ATTEMPT_COLUMNS."""
    fence, n, worker, assigned_at, started_at, ended_at, outcome, error = row
    return Attempt(
        task_id,
        fence,
        n,
        worker,
        assigned_at,
        started_at,
        ended_at,
        None if outcome is None else _OUTCOMES[outcome],
        None if error is None else _decode_failure(error),
    )


def state_from(text: str) -> State:
    """Return the state that a row's text is."""
    return _STATES[text]


def schedule_from(record: bytes) -> Schedule:
    """Return the schedule of a record."""
    return _decode_schedule(record)
