"""Whether a subscriber heard every message, once and in order."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Final

from callboard_bench.rounds import Audited

#: A jump further than this is not a gap but a number that this run never sent.
_MOST_MISSING: Final = 1_000_000


class Audit:
    """What one subscriber received of the messages numbered from 0.

    A number that comes after a higher one counts as reordered, one that comes again as a
    duplicate. A missing one counts as lost once :meth:`lost` is asked for.
    """

    __slots__ = ("_missing", "_next", "duplicates", "received", "reordered")

    def __init__(self) -> None:
        self._next = 0
        self._missing: set[int] | None = None
        self.received = 0
        self.duplicates = 0
        self.reordered = 0

    def take_run(self, first: int, last: int) -> None:
        """Record the messages ``first`` to ``last``, both included, received in this order.

        Raises:
            ValueError: as :meth:`take` does.
        """
        if first == self._next:
            self._next = last + 1
            self.received += last + 1 - first
            return
        for sequence in range(first, last + 1):
            self.take(sequence)

    def take(self, sequence: int) -> None:
        """Record one message.

        Raises:
            ValueError: a number so far ahead that this run cannot have sent it.
        """
        self.received += 1
        if sequence == self._next:
            self._next += 1
        elif sequence > self._next:
            self._skip_to(sequence)
        elif self._missing and sequence in self._missing:
            self._missing.remove(sequence)
            self.reordered += 1
        else:
            self.duplicates += 1

    def lost(self, published: int) -> int:
        """Return how many of the first ``published`` messages never came."""
        unseen = max(0, published - self._next)
        return unseen + len(self._missing or ())

    def _skip_to(self, sequence: int) -> None:
        if sequence - self._next > _MOST_MISSING:
            raise ValueError(f"message {sequence} was never sent, {self._next} was expected")
        if self._missing is None:
            self._missing = set()
        self._missing.update(range(self._next, sequence))
        self._next = sequence + 1


@dataclass(slots=True)
class Tally:
    """Many audits, summed."""

    expected: int = 0
    received: int = 0
    lost: int = 0
    duplicates: int = 0
    reordered: int = 0
    #: Messages of a channel that the connection was not subscribed to.
    misrouted: int = 0
    #: Connections that ended early, by why.
    closed: Counter[str] = field(default_factory=Counter)

    def add(self, audit: Audit, published: int) -> None:
        """Add one audit, of ``published`` messages."""
        self.expected += published
        self.received += audit.received
        self.lost += audit.lost(published)
        self.duplicates += audit.duplicates
        self.reordered += audit.reordered

    def merge(self, other: Tally) -> None:
        """Add the tally of another generator."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

    def audited(self) -> Audited:
        """Return what the report makes a share of."""
        return Audited(self.expected, self.lost, self.duplicates, self.reordered)

    def faults(self) -> str | None:
        """Return what went wrong besides, in words; None if nothing did."""
        parts = []
        if self.misrouted:
            parts.append(f"{self.misrouted:,} messages of a channel that was not subscribed to")
        if self.closed:
            parts.append(f"{self.closed.total():,} connections ended early: {most_of(self.closed)}")
        return ", ".join(parts) or None


def most_of(counted: Counter[str]) -> str:
    """Return the text that is counted most often, and how many times there was another one."""
    (words, count), *_ = counted.most_common(1)
    others = counted.total() - count
    return f"{words}, and {others:,} times something else" if others else words
