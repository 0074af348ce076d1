"""What the store did not take, and the order in which everything was decided.

Several writes are under way at once, and one may fail while one behind it does not. Writing what
has failed again must not put an older copy over a newer one. So writes are numbered, those that
came since the oldest under way are remembered, and of each record that has failed the last copy
is what is written again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from callboard_scheduler.stores import (
    AttemptSaved,
    Change,
    QueuePaused,
    ScheduleDropped,
    ScheduleSaved,
    TaskSaved,
)
from callboard_scheduler.stores.coalescing import coalesce

#: Before every number of a write.
_FIRST: Final = 0


class Unstored:
    """One app's writes; those that nobody waits for are the store's own to keep."""

    def __init__(self) -> None:
        self._last = _FIRST
        #: Number to when the write began, oldest first.
        self._under_way: dict[int, int] = {}
        self._recent: deque[tuple[int, Sequence[Change]]] = deque()
        self._failed: list[tuple[int, Change]] = []
        self._forgotten: set[str] = set()

    def __bool__(self) -> bool:
        """Whether anything is to be written again."""
        return bool(self._failed)

    @property
    def oldest(self) -> int | None:
        """When the oldest write that is under way began, None if none is."""
        return next(iter(self._under_way.values()), None)

    def begin(self, changes: Sequence[Change], now: int) -> int:
        """Number a write that is waited for."""
        self._last += 1
        oldest = next(iter(self._under_way), self._last)
        while self._recent and self._recent[0][0] < oldest:
            self._recent.popleft()
        self._under_way[self._last] = now
        self._recent.append((self._last, changes))
        return self._last

    def pass_by(self, changes: Sequence[Change]) -> int:
        """Number a write that nobody waits for."""
        self._last += 1
        if self._under_way:
            self._recent.append((self._last, changes))
        return self._last

    def end(self, no: int) -> None:
        """A write is not under way any more."""
        del self._under_way[no]

    def fail(self, no: int, changes: Sequence[Change]) -> None:
        """A write did not succeed: it is to be written again."""
        self._failed += [(no, change) for change in changes]
        self._failed += self._since(no, changes)

    def add(self, changes: Sequence[Change]) -> None:
        """These were decided while earlier ones are to be written again."""
        self._last += 1
        self._failed += [(self._last, change) for change in changes]

    def take(self) -> list[Change]:
        """Return all that is to be written again, in order, the last copy of each record."""
        failed, self._failed = self._failed, []
        return coalesce([self._left_of(change)] for _, change in sorted(failed, key=_number))

    def put_back(self, changes: Sequence[Change]) -> None:
        """What was taken did not succeed either."""
        self._failed = [*((_FIRST, change) for change in changes), *self._failed]

    def forget(self, tasks: Collection[str]) -> None:
        """The submits of these tasks were refused."""
        self._forgotten.update(tasks)

    def recovered(self) -> None:
        """Everything is stored."""
        self._forgotten.clear()

    def last_copies(self, no: int, changes: Iterable[Change]) -> list[Change]:
        """Return what of a write's changes is to be written now, each as it was decided last."""
        changes = list(changes)
        return coalesce([changes, *([change] for _, change in self._since(no, changes))])

    def _since(self, no: int, changes: Iterable[Change]) -> list[tuple[int, Change]]:
        records = {_record(change) for change in changes}
        return [
            (later, change)
            for later, changes in self._recent
            if later > no
            for change in changes
            if _record(change) in records
        ]

    def _left_of(self, change: Change) -> Change:
        """Return a change as it is to be written: of a task that is forgotten not as a new one."""
        if isinstance(change, TaskSaved) and change.task.id in self._forgotten:
            # A write behind that of the submit may have brought it to the disk all the same.
            return TaskSaved(change.app, change.task, False)
        return change


def _number(failed: tuple[int, Change]) -> int:
    return failed[0]


def _record(change: Change) -> tuple[object, ...]:
    """Return which record a change is about."""
    if isinstance(change, TaskSaved):
        return "task", change.task.id
    if isinstance(change, AttemptSaved):
        return "attempt", change.attempt.task, change.attempt.fence
    if isinstance(change, ScheduleSaved):
        return "schedule", change.schedule.id
    if isinstance(change, ScheduleDropped):
        return "schedule", change.id
    return ("queue", change.queue) if isinstance(change, QueuePaused) else ("term",)
