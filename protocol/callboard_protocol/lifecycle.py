"""The life of a connection on the server, as one table.

The server asks of a connection only that it speaks now and then and that it goes when told.
Whatever has a deadline (``QUIET``) has it here, so one sweep over deadlines serves all.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final


class State(enum.Enum):
    #: Established and heard of lately.
    OPEN = "open"
    #: Silent for the activity timeout, and asked for a sign of life.
    PINGED = "pinged"
    #: Told to go: no longer in any channel, its close not yet answered.
    CLOSING = "closing"
    #: The transport is gone.
    CLOSED = "closed"


class Event(enum.Enum):
    #: Any frame from the client, whatever it says.
    HEARD = "heard"
    #: The deadline of the state passed without a frame.
    QUIET = "quiet"
    #: The server refuses or ends the connection, or the client sent a close frame.
    ENDED = "ended"
    #: The transport is gone.
    LOST = "lost"


TRANSITIONS: Final[Mapping[State, Mapping[Event, State]]] = {
    State.OPEN: {
        Event.HEARD: State.OPEN,
        Event.QUIET: State.PINGED,
        Event.ENDED: State.CLOSING,
        Event.LOST: State.CLOSED,
    },
    State.PINGED: {
        Event.HEARD: State.OPEN,
        Event.QUIET: State.CLOSING,
        Event.ENDED: State.CLOSING,
        Event.LOST: State.CLOSED,
    },
    State.CLOSING: {
        Event.HEARD: State.CLOSING,
        Event.QUIET: State.CLOSED,
        Event.ENDED: State.CLOSING,
        Event.LOST: State.CLOSED,
    },
    State.CLOSED: dict.fromkeys(Event, State.CLOSED),
}


def step(state: State, event: Event) -> State:
    """Return the state after ``event``; every state answers every event."""
    return TRANSITIONS[state][event]
