"""What is over here, to know a late repeat of its assignment by."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

#: Tasks that are remembered; a repeat comes within seconds or not at all.
REMEMBERED: Final = 4096


class Settled:
    """The highest fence that is over, by task, and what was answered if that is not kept."""

    def __init__(self) -> None:
        self._fences: OrderedDict[str, tuple[int, bytes | None]] = OrderedDict()

    def add(self, task_id: str, fence: int, answer: bytes | None = None) -> None:
        """Remember an end; ``answer`` is repeated when the assignment is."""
        if self.covers(task_id, fence):
            return
        self._fences[task_id] = (fence, answer)
        self._fences.move_to_end(task_id)
        if len(self._fences) > REMEMBERED:
            self._fences.popitem(last=False)

    def covers(self, task_id: str, fence: int) -> bool:
        """Whether this assignment, or a later one of the task, is over."""
        found = self._fences.get(task_id)
        return found is not None and fence <= found[0]

    def answer(self, task_id: str, fence: int) -> bytes | None:
        """Return what this very assignment was answered with, if that was remembered."""
        found = self._fences.get(task_id)
        return found[1] if found is not None and found[0] == fence else None
