"""Whether a member of a presence channel heard of every join and leave, once and in order.

A user's joins and leaves alternate, so they have numbers: its join ``g`` is ``2 * g`` and the
leave that ends it ``2 * g + 1``. What a member must hear of a user is the run of these numbers
from where the roster in its ``subscription_succeeded`` has the user, whatever the order of
different users. ``member_added`` says which join it is, in the ``user_info`` that the joining
client has signed; ``member_removed`` names the user alone, and is the leave that is due.

The :class:`Ledger` is the truth to compare with: what the clients of this process have sent. A
subscription is answered and an unsubscription is not, so at some moments a user may rightly be
in a roster or not. Then, and only then, the first that is heard of it is believed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from callboard_bench.audit import Tally

#: Whether the next is heard of a user's join or leave, and of which, nobody can know.
_UNKNOWN: Final = -1


class Ledger:
    """The joins and leaves that the users of one channel have asked for; users count from 0."""

    __slots__ = ("answered", "joins", "left", "started")

    def __init__(self, users: int) -> None:
        #: Joins asked for, by user; and those of them that were answered; and leaves asked for.
        self.started = [0] * users
        self.answered = [0] * users
        self.left = [0] * users
        #: User and number among its joins, by the number of the join in this channel.
        self.joins: list[tuple[int, int]] = []

    def start(self, user: int) -> int:
        """Record that a user asks to join; return the number of the join in this channel."""
        self.joins.append((user, self.started[user]))
        self.started[user] += 1
        return len(self.joins) - 1

    def answer(self, user: int) -> None:
        """Record that a user's last join was answered."""
        self.answered[user] = self.started[user]

    def leave(self, user: int) -> None:
        """Record that a user asks to leave."""
        self.left[user] += 1


class Roster:
    """What one user has heard of the others, from its own join to its own leave."""

    __slots__ = (
        "_early",
        "_ledger",
        "_missing",
        "_next",
        "_user",
        "duplicates",
        "lost",
        "received",
        "reordered",
    )

    def __init__(
        self, ledger: Ledger, user: int, answered: list[int], present: Mapping[int, int]
    ) -> None:
        """Begin with the users ``present`` by the roster received, each with its join's number.

        ``answered`` is a copy of the ledger's as it was when the user asked to join.
        """
        self._ledger = ledger
        self._user = user
        self._missing: set[tuple[int, int]] = set()
        #: Leaves heard of before the user's own client knew, which a server ends at any time.
        self._early: list[tuple[int, int]] = []
        self.received = 0
        self.lost = 0
        self.duplicates = 0
        self.reordered = 0
        self._next = [self._first(each, answered[each], present) for each in range(len(answered))]

    def _first(self, user: int, answered: int, present: Mapping[int, int]) -> int:
        number = present.get(user)
        if number is not None:
            return 2 * self._ledger.joins[number][1] + 1
        started, left = self._ledger.started[user], self._ledger.left[user]
        if user == self._user:
            # It belongs into its own roster, and hears nothing of itself.
            self.lost += 1
            return 2 * started - 1
        if left == started:
            return 2 * started if answered == started else _UNKNOWN
        if answered == started:
            # It had joined before this user asked, and has not asked to leave.
            self.lost += 1
            return 2 * started - 1
        return 2 * started - 2

    def added(self, number: int) -> None:
        """Record ``member_added`` for the join of this number in the channel."""
        self.received += 1
        user, join = self._ledger.joins[number]
        due, heard = self._next[user], 2 * join
        if heard < due or user == self._user:
            self._late(user, heard)
            return
        if heard > due != _UNKNOWN:
            self._missing.update((user, missed) for missed in range(due, heard))
        self._next[user] = heard + 1

    def removed(self, user: int) -> None:
        """Record ``member_removed`` for a user."""
        self.received += 1
        due, left = self._next[user], self._ledger.left[user]
        if due == _UNKNOWN:
            self.lost += 1
            self._next[user] = 2 * left
        elif (user, due - 2) in self._missing and left <= due // 2:
            self._late(user, due - 2)
        elif due % 2:
            self._next[user] = due + 1
            if left <= due // 2:
                self._early.append((user, due // 2))
        elif left > due // 2:
            self._missing.add((user, due))
            self._next[user] = due + 2
        else:
            self.duplicates += 1

    def _late(self, user: int, heard: int) -> None:
        if (user, heard) in self._missing:
            self._missing.remove((user, heard))
            self.reordered += 1
        else:
            self.duplicates += 1

    @property
    def outstanding(self) -> int:
        """How much of what the others have asked for was not heard yet."""
        started, left = self._ledger.started, self._ledger.left
        count = 0
        for user, due in enumerate(self._next):
            asked = started[user] + left[user]
            if user == self._user or due == asked:
                continue
            count += max(0, asked - due) if due != _UNKNOWN else started[user] - left[user]
        return count

    def end(self, *, settled: bool) -> None:
        """Count as lost what was skipped; and if all is ``settled``, what was not heard yet."""
        self.lost += len(self._missing)
        self._missing.clear()
        left = self._ledger.left
        self.duplicates += sum(left[user] <= join for user, join in self._early)
        self._early.clear()
        if settled:
            self.lost += self.outstanding

    def add_to(self, tally: Tally) -> None:
        """Add what was found to a tally."""
        tally.expected += self.received - self.duplicates + self.lost
        tally.received += self.received
        tally.lost += self.lost
        tally.duplicates += self.duplicates
        tally.reordered += self.reordered
