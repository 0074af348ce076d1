"""What a worker repeats until the scheduler says that it is recorded: results and releases.

The only copy of a result is here, so nothing is ever dropped: an entry leaves with ``done`` for
its fence. The first repeat comes after one second, and the pauses double up to thirty. A lost
connection makes all of it due again as soon as there is a session. Times are seconds.
"""

from __future__ import annotations

import math
from typing import Final

_FIRST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 30.0


class _Entry:
    __slots__ = ("due", "fence", "message", "pause", "task_id")

    def __init__(self, task_id: str, fence: int, message: bytes) -> None:
        self.task_id = task_id
        self.fence = fence
        self.message = message
        self.due = math.inf
        self.pause = _FIRST_PAUSE_SECONDS


class Outbox:
    """Encoded messages by fence, in the order they were put in."""

    def __init__(self) -> None:
        self._entries: dict[int, _Entry] = {}
        #: Not sent yet. Apart, so that a busy worker need not look through what is under way.
        self._fresh: list[_Entry] = []
        # Not after the earliest due time: looked up again only when it has come.
        self._next = math.inf

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, fence: int) -> bool:
        return fence in self._entries

    @property
    def claims(self) -> list[tuple[str, int]]:
        """Task and fence of everything that is not recorded yet."""
        return [(entry.task_id, entry.fence) for entry in self._entries.values()]

    @property
    def next_due(self) -> float:
        """When :meth:`take_due` is worth calling: at once (-inf), a time, or never (inf)."""
        return -math.inf if self._fresh else self._next

    def put(self, task_id: str, fence: int, message: bytes) -> None:
        """Keep a message; it is due at once."""
        entry = self._entries[fence] = _Entry(task_id, fence, message)
        self._fresh.append(entry)

    def recorded(self, fence: int) -> None:
        """The scheduler has it; fences that are unknown have been told before."""
        self._entries.pop(fence, None)
        if not self._entries:
            self._next = math.inf

    def hurry(self, fence: int, now: float) -> None:
        """The scheduler asks for this one."""
        if fence in self._entries:
            self._entries[fence].due = self._next = now

    def hurry_all(self, now: float) -> None:
        """A new session: nobody knows what of this arrived."""
        for entry in self._entries.values():
            entry.due = now
            entry.pause = _FIRST_PAUSE_SECONDS
        self._fresh.clear()
        self._next = now if self._entries else math.inf

    def take_due(self, now: float) -> list[bytes]:
        """Return what is to be sent now; it counts as sent."""
        due = self._fresh
        self._fresh = []
        if now >= self._next:
            due += [entry for entry in self._entries.values() if entry.due <= now]
            self._next = min(
                (e.due for e in self._entries.values() if e.due > now), default=math.inf
            )
        for entry in due:
            entry.due = now + entry.pause
            entry.pause = min(entry.pause * 2, _LONGEST_PAUSE_SECONDS)
            self._next = min(self._next, entry.due)
        return [entry.message for entry in due]
