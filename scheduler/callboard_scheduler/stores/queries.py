"""What is read from the database, each in one transaction of the connection it is given."""
# ruff: noqa: S608 - what is put into the SQL is of this package; values are bound.

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from callboard_scheduler.records import Task
from callboard_scheduler.states import LIVE, TERMINAL, State
from callboard_scheduler.stores import Loaded, StoredTask, TaskFilter, rows

_LIVE: Final = ", ".join(f"'{state.value}'" for state in State if state in LIVE)
_TERMINAL: Final = ", ".join(f"'{state.value}'" for state in State if state in TERMINAL)

#: Values of one ``IN (…)``.
_AT_ONCE: Final = 500


def load(connection: sqlite3.Connection, app: str) -> Loaded:
    """Return what is not finished of an app."""
    term = connection.execute("SELECT term FROM term WHERE app = ?", (app,)).fetchone()
    # For each state the end of an index; the highest of all would be a scan.
    highest = [
        connection.execute(
            "SELECT max(seq) FROM task INDEXED BY task_by_state WHERE app = ? AND state = ?",
            (app, state.value),
        ).fetchone()[0]
        for state in State
    ]
    tasks = connection.execute(
        f"SELECT {rows.TASK_COLUMNS} FROM task JOIN body ON body.task = task.n "
        f"WHERE app = ? AND state IN ({_LIVE}) ORDER BY seq",
        (app,),
    )
    attempts = connection.execute(
        f"SELECT task.id, {rows.ATTEMPT_COLUMNS} FROM task JOIN attempt ON attempt.task = task.n "
        f"WHERE app = ? AND state IN ({_LIVE}) AND ended_at IS NULL ORDER BY attempt.fence",
        (app,),
    )
    schedules = connection.execute("SELECT record FROM schedule WHERE app = ?", (app,))
    queues = connection.execute("SELECT queue FROM paused_queue WHERE app = ?", (app,))
    return Loaded(
        term=term[0] if term else 0,
        seq=max((seq for seq in highest if seq is not None), default=0),
        tasks=[rows.task_from(row) for row in tasks],
        schedules=[rows.schedule_from(record) for (record,) in schedules],
        paused_queues={queue for (queue,) in queues},
        attempts=[rows.attempt_from(row[0], row[1:]) for row in attempts],
    )


def task(connection: sqlite3.Connection, app: str, task_id: str) -> StoredTask | None:
    """Return a task and its attempts, oldest first."""
    found = connection.execute(
        f"SELECT {rows.TASK_COLUMNS}, task.n FROM task JOIN body ON body.task = task.n "
        "WHERE app = ? AND id = ?",
        (app, task_id),
    ).fetchone()
    if found is None:
        return None
    attempts = connection.execute(
        f"SELECT {rows.ATTEMPT_COLUMNS} FROM attempt WHERE task = ? ORDER BY fence", (found[-1],)
    )
    return StoredTask(
        rows.task_from(found[:-1]), [rows.attempt_from(task_id, row) for row in attempts]
    )


def states(
    connection: sqlite3.Connection, app: str, task_ids: Collection[str]
) -> Mapping[str, State]:
    """Return the states of those tasks that there are."""
    found: dict[str, State] = {}
    for ids in _portions([*task_ids]):
        marks = ", ".join("?" * len(ids))
        for task_id, state in connection.execute(
            f"SELECT id, state FROM task WHERE app = ? AND id IN ({marks})", (app, *ids)
        ):
            found[task_id] = rows.state_from(state)
    return found


def tasks(
    connection: sqlite3.Connection, app: str, which: TaskFilter, limit: int, below: int
) -> Sequence[Task]:
    """Return up to ``limit`` tasks with a ``seq`` below that, newest first.

    Each way through an index gives its tasks in order, so that no more than a page of each is
    looked at, unless the filter has more than the index has.
    """
    conditions, values = _conditions(which)
    found: list[tuple[int, int]] = []
    for index, condition, value in _ways(which):
        found += connection.execute(
            f"SELECT -seq, n FROM task INDEXED BY {index} "
            f"WHERE app = ? AND {condition} = ? AND seq < ?{conditions} "
            "ORDER BY seq DESC LIMIT ?",
            (app, value, below, *values, limit),
        )
    numbers = [n for _, n in heapq.nsmallest(limit, found)]
    by_number: dict[int, Task] = {}
    for portion in _portions(numbers):
        marks = ", ".join("?" * len(portion))
        for row in connection.execute(
            f"SELECT {rows.TASK_COLUMNS}, task.n FROM task JOIN body ON body.task = task.n "
            f"WHERE task.n IN ({marks})",
            portion,
        ):
            by_number[row[-1]] = rows.task_from(row[:-1])
    return [by_number[n] for n in numbers]


def _ways(which: TaskFilter) -> Iterable[tuple[str, str, str]]:
    """The indexes to go through, each with its column and the value that it is to have.

    Most tasks have succeeded, so any other state narrows more than a queue or a name does.
    """
    wanted = {*(State if which.states is None else which.states)}
    if not wanted:
        return []
    if which.schedule is not None:
        return [("task_by_schedule", "schedule", which.schedule)]
    if State.SUCCEEDED in wanted:
        if which.name is not None:
            return [("task_by_name", "name", which.name)]
        if which.queue is not None:
            return [("task_by_queue", "queue", which.queue)]
    return [("task_by_state", "state", state.value) for state in wanted]


def _conditions(which: TaskFilter) -> tuple[str, Sequence[Any]]:
    """The whole filter; what the index has settled costs nothing to ask again."""
    conditions = ""
    values: list[Any] = []
    if which.states is not None:
        marks = ", ".join("?" * len(which.states))
        conditions += f" AND +state IN ({marks})"
        values += [state.value for state in which.states]
    for column in ("queue", "name", "schedule"):
        value = getattr(which, column)
        if value is not None:
            conditions += f" AND +{column} = ?"
            values.append(value)
    return conditions, values


def prune(connection: sqlite3.Connection, app: str, finished_before: int, limit: int) -> int:
    """Delete tasks that finished before that time, the oldest first; return how many."""
    return connection.execute(
        "DELETE FROM task WHERE n IN (SELECT n FROM task INDEXED BY task_by_end "
        f"WHERE app = ? AND finished_at < ? AND state IN ({_TERMINAL}) "
        "ORDER BY finished_at, seq LIMIT ?)",
        (app, finished_before, limit),
    ).rowcount


def _portions(values: Sequence[Any]) -> Iterable[Sequence[Any]]:
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]
