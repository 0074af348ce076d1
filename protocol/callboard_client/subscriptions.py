"""Where each channel stands between this side's wish and the service's answer, as one table.

Subscriptions are sent as they come, without waiting for one another's answers, because a client
with a thousand channels would need a thousand round trips to return. Success names its channel.
A refusal is a ``pusher:error`` that names it in its text at best, so :meth:`Subscriptions.blamed`
finds whose it is:

1. An error with a code is about the connection or about client events; only 4009 (Reverb's and
   laravel-websockets' refusal of a signature) may be a subscription's.
2. The awaited channel that the text names, the first one named if there are several.
3. If it names none (``Invalid key in subscription auth data``), the signed subscription that has
   waited longest, for services answer in order; else the longest waiting of all. A text about
   client events or about unsubscribing is nobody's.

A wrong guess heals: the success of a channel that nobody wants any more is answered with an
unsubscribe, which is also how a subscription is given up while it is under way (hosted Pusher
refuses to unsubscribe earlier, and pusher-js does the same).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import Final

from callboard_client.events import ServerError
from callboard_protocol.channels import kind_of


class Phase(enum.Enum):
    #: Nobody wants it and nothing is under way.
    ABSENT = "absent"
    #: Wanted, and the request is not sent on this connection.
    WANTED = "wanted"
    #: Sent, the answer is awaited.
    REQUESTED = "requested"
    #: Sent, but no longer wanted.
    CANCELLED = "cancelled"
    SUBSCRIBED = "subscribed"


class Change(enum.Enum):
    WANT = "want"
    SENT = "sent"
    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    UNWANT = "unwant"
    #: The connection is gone, and with it all that the service knew.
    LOST = "lost"


#: What is not in a phase's row leaves the phase as it is.
TRANSITIONS: Final[Mapping[Phase, Mapping[Change, Phase]]] = {
    Phase.ABSENT: {
        Change.WANT: Phase.WANTED,
    },
    Phase.WANTED: {
        Change.SENT: Phase.REQUESTED,
        Change.SUCCEEDED: Phase.SUBSCRIBED,
        Change.REFUSED: Phase.ABSENT,
        Change.UNWANT: Phase.ABSENT,
    },
    Phase.REQUESTED: {
        Change.SUCCEEDED: Phase.SUBSCRIBED,
        Change.REFUSED: Phase.ABSENT,
        Change.UNWANT: Phase.CANCELLED,
        Change.LOST: Phase.WANTED,
    },
    Phase.CANCELLED: {
        Change.WANT: Phase.REQUESTED,
        Change.SUCCEEDED: Phase.ABSENT,
        Change.REFUSED: Phase.ABSENT,
        Change.LOST: Phase.ABSENT,
    },
    Phase.SUBSCRIBED: {
        Change.UNWANT: Phase.ABSENT,
        Change.LOST: Phase.WANTED,
    },
}

#: Where the service holds a subscription that this side does not want.
_UNSUBSCRIBE: Final = frozenset(
    (
        (Phase.SUBSCRIBED, Change.UNWANT),
        (Phase.CANCELLED, Change.SUCCEEDED),
        (Phase.ABSENT, Change.SUCCEEDED),
    )
)

#: Codes of a ``pusher:error`` that may answer a subscription.
_SUBSCRIPTION_CODES: Final = (None, 4009)
_NOT_A_SUBSCRIPTION: Final = ("client event", "unsupported event", "no current subscription")
_NAME_CHARACTERS: Final = r"A-Za-z0-9_\-=@,.;#"


def step(phase: Phase, change: Change) -> Phase:
    """Return the phase after ``change``; every phase answers every change."""
    return TRANSITIONS[phase].get(change, phase)


class Subscriptions:
    """The phases of one client's channels."""

    def __init__(self) -> None:
        self._phases: dict[str, Phase] = {}
        # In the order they were sent, for those that wait for an answer.
        self._awaited: dict[str, None] = {}

    def phase(self, channel: str) -> Phase:
        return self._phases.get(channel, Phase.ABSENT)

    def change(self, channel: str, change: Change) -> bool:
        """Move a channel on; True when an unsubscribe must be sent for it."""
        before = self.phase(channel)
        after = step(before, change)
        if after is Phase.ABSENT:
            self._phases.pop(channel, None)
        else:
            self._phases[channel] = after
        if after not in (Phase.REQUESTED, Phase.CANCELLED):
            self._awaited.pop(channel, None)
        elif change is Change.SENT:
            self._awaited[channel] = None
        return (before, change) in _UNSUBSCRIBE

    def lost(self) -> None:
        """Move every channel on: whatever is still wanted has to be asked for again."""
        for channel in list(self._phases):
            self.change(channel, Change.LOST)

    def wanted(self) -> list[str]:
        """Return the channels to ask for, in the order they were wanted."""
        return [name for name, phase in self._phases.items() if phase is Phase.WANTED]

    def blamed(self, error: ServerError) -> str | None:
        """Return the channel whose subscription ``error`` refuses, None if it is no such error."""
        if error.code not in _SUBSCRIPTION_CODES or not self._awaited:
            return None
        text = error.message.lower()
        if any(words in text for words in _NOT_A_SUBSCRIPTION):
            return None
        named = [
            (place, -len(name), name)
            for name in self._awaited
            if (place := _place_of(name, error.message)) is not None
        ]
        if named:
            return min(named)[2]
        signed = (name for name in self._awaited if kind_of(name).private)
        return next(signed, next(iter(self._awaited)))


def _place_of(name: str, text: str) -> int | None:
    """Return where ``text`` has ``name`` as a whole; punctuation may follow that names allow."""
    if name not in text:
        return None
    whole = rf"(?<![{_NAME_CHARACTERS}]){re.escape(name)}(?=[,.;]*(?:$|[^{_NAME_CHARACTERS}]))"
    found = re.search(whole, text)
    return found and found.start()
