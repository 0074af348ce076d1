"""What came of a replay, for people and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

#: How a service can differ: in what it says, …
MISSING: Final = "missing"
ADDED: Final = "added"
OUT_OF_ORDER: Final = "out of order"
#: … in what it answers to a request, and in whom it lets in and sends away.
ANSWERED: Final = "answered"
CLOSED: Final = "closed"

#: So many differences are kept whole; of more there is only their number.
MAX_DIFFERENCES: Final = 10_000
_SHOWN: Final = 20


def counted(number: int, noun: str) -> str:
    """Return a number of things in words."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _times(count: int) -> str:
    return f" ({count} times)" if count > 1 else ""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that the service did otherwise; ``connection`` is None for requests."""

    kind: str
    what: str
    connection: int | None = None
    channel: str = ""

    @property
    def where(self) -> str:
        """The connection and the channel, in words."""
        if self.connection is None:
            return "API"
        channel = f", {self.channel}" if self.channel else ""
        return f"connection {self.connection}{channel}"


@dataclass(slots=True)
class Outcome:
    """What was played, and how the service differs from the recording."""

    connections: int = 0
    frames: int = 0
    requests: int = 0
    #: Events that the service said.
    events: int = 0
    #: Events that may have been on their way, in the recording, to clients that left.
    late: int = 0
    #: What could not be played, and how often.
    skipped: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    #: How many there are, also beyond those that are kept.
    difference_count: int = 0
    #: Whether the recording's last line is broken.
    torn: bool = False

    @property
    def same(self) -> bool:
        """Whether the service did what is in the recording."""
        return self.difference_count == 0

    def add(self, differences: Iterable[Difference]) -> None:
        """Take differences in."""
        for difference in differences:
            self.difference_count += 1
            if len(self.differences) < MAX_DIFFERENCES:
                self.differences.append(difference)

    def leave_out(self, what: str) -> None:
        """Count something that is not played."""
        self.skipped[what] += 1

    @property
    def summary(self) -> str:
        """What was played, in lines for people."""
        played = (
            f"Played {counted(self.connections, 'connection')} with "
            f"{counted(self.frames, 'frame')}, and {counted(self.requests, 'API request')}; "
            f"heard {counted(self.events, 'event')}."
        )
        lines = [played]
        lines += [f"Left out {count}: {reason}." for reason, count in self.skipped.items()]
        if self.late:
            lines.append(f"Not compared {self.late}: events on their way to clients that left.")
        if self.torn:
            lines.append("The recording's last line is broken and was left out.")
        return "\n".join(lines)

    def __str__(self) -> str:
        """Return how the service differs, in lines for people; at most some of each place."""
        if self.same:
            return "As recorded: nothing missing, added or out of order."
        lines = [f"{counted(self.difference_count, 'difference')}:"]
        by_place = sorted(self.differences, key=lambda each: (each.connection or 0, each.channel))
        for where, group in groupby(by_place, key=lambda each: each.where):
            found = list(group)
            counts = Counter(each.kind for each in found)
            told = ", ".join(f"{count} {kind}" for kind, count in counts.items())
            lines.append(f"{where}: {told}")
            alike = Counter((each.kind, each.what) for each in found)
            shown = list(alike.items())[:_SHOWN]
            lines += [f"  {kind}: {what}{_times(count)}" for (kind, what), count in shown]
            if more := len(found) - sum(count for _, count in shown):
                lines.append(f"  and {more} more")
        if self.difference_count > len(self.differences):
            lines.append(f"and {self.difference_count - len(self.differences)} more elsewhere")
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Return all of it for programs."""
        return {
            "same": self.same,
            "connections": self.connections,
            "frames": self.frames,
            "requests": self.requests,
            "events": self.events,
            "late": self.late,
            "skipped": dict(self.skipped),
            "torn": self.torn,
            "difference_count": self.difference_count,
            "differences": [
                {
                    "kind": each.kind,
                    "what": each.what,
                    "connection": each.connection,
                    "channel": each.channel or None,
                }
                for each in self.differences
            ],
        }
