"""What presence messages say of the members of a run, whichever server wrote them.

A member's ``user_info`` holds the number of its join, and its ``user_id`` the number of the user
among those of its channel. What does not fit the :class:`~.roster.Ledger` is from somebody else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import orjson

from callboard_bench.clients.roster import Ledger
from callboard_bench.clients.session import decoded

ADDED: Final = 0
REMOVED: Final = 1
OTHER: Final = 2


class MemberEvent(NamedTuple):
    """One message."""

    kind: int
    #: The number of the join that was added, or the user who was removed.
    number: int
    message: bytes


def read_event(message: bytes, ledger: Ledger) -> MemberEvent:
    """Read a message; what is no member event of this run is :data:`OTHER`."""
    try:
        parsed = orjson.loads(message)
        event, data = parsed["event"], decoded(parsed.get("data"))
        if event == "pusher_internal:member_added":
            number = int(data["user_info"]["join"])
            if ledger.joins[number][0] == int(data["user_id"]):
                return MemberEvent(ADDED, number, message)
        elif event == "pusher_internal:member_removed":
            user = int(data["user_id"])
            if ledger.started[user]:
                return MemberEvent(REMOVED, user, message)
    except (orjson.JSONDecodeError, LookupError, TypeError, ValueError):
        pass
    return MemberEvent(OTHER, 0, message)


def read_roster(data: str, ledger: Ledger) -> Mapping[int, int]:
    """Return the number of each user's join in the data of a presence subscription.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: it is not one of this run.
    """
    users = decoded(data)["presence"]["hash"]
    present = {int(user): int(info["join"]) for user, info in users.items()}
    for user, number in present.items():
        if ledger.joins[number][0] != user:
            raise ValueError(f"join {number} is not one of user {user}")
    return present
