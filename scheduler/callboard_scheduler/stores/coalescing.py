"""What is left to write of several writes together: the last copy of each record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

import msgspec

from callboard_scheduler.records import Task
from callboard_scheduler.stores import AttemptSaved, Change, TaskSaved


def coalesce(writes: Iterable[Sequence[Change]]) -> list[Change]:
    """Return changes that lead where these lead one after the other.

    Tasks come before attempts, so that an attempt finds its task.
    """
    tasks: dict[tuple[str, str], TaskSaved] = {}
    attempts: dict[tuple[str, str, int], AttemptSaved] = {}
    others: list[Change] = []
    for change in chain.from_iterable(writes):
        if isinstance(change, TaskSaved):
            key = (change.app, change.task.id)
            earlier = tasks.get(key)
            if earlier is not None and earlier.whole and not change.whole:
                change = TaskSaved(change.app, merged(change.task, earlier.task), True)
            tasks[key] = change
        elif isinstance(change, AttemptSaved):
            attempt = change.attempt
            attempts[change.app, attempt.task, attempt.fence] = change
        else:
            others.append(change)
    return [*others, *tasks.values(), *attempts.values()]


def merged(task: Task, stored: Task) -> Task:
    """Return the task as it is once a copy that is not whole was saved over a stored one."""
    return msgspec.structs.replace(
        task,
        spec=stored.spec,
        result=stored.result,
        checkpoint=stored.checkpoint,
        seq=stored.seq,
        created_at=stored.created_at,
    )
