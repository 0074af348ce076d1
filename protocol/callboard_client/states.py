"""The life of the client's connection, as one table.

The states and their names are pusher-js's, so what its documentation says of them holds here.
Between two connections the client is ``CONNECTING`` at first and ``UNAVAILABLE`` once that took
long; the difference matters to people only, it tries on in both. ``FAILED`` and ``DISCONNECTED``
are final.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final


class State(enum.Enum):
    #: Made, not started.
    INITIALIZED = "initialized"
    #: On the way to a connection, or waiting to try again.
    CONNECTING = "connecting"
    #: The service has sent ``pusher:connection_established``.
    CONNECTED = "connected"
    #: Without a connection for long, and still trying.
    UNAVAILABLE = "unavailable"
    #: Refused for good.
    FAILED = "failed"
    #: Closed by this side.
    DISCONNECTED = "disconnected"


class Input(enum.Enum):
    #: The client was started.
    OPENED = "opened"
    #: ``pusher:connection_established`` arrived.
    ESTABLISHED = "established"
    #: The connection, or the attempt at one, is over and another is worth trying.
    LOST = "lost"
    #: No connection for as long as people wait patiently.
    OVERDUE = "overdue"
    #: The service asks not to be tried again.
    REFUSED = "refused"
    #: This side wants no more.
    CLOSED = "closed"


#: What is not in a state's row leaves the state as it is.
TRANSITIONS: Final[Mapping[State, Mapping[Input, State]]] = {
    State.INITIALIZED: {
        Input.OPENED: State.CONNECTING,
        Input.CLOSED: State.DISCONNECTED,
    },
    State.CONNECTING: {
        Input.ESTABLISHED: State.CONNECTED,
        Input.OVERDUE: State.UNAVAILABLE,
        Input.REFUSED: State.FAILED,
        Input.CLOSED: State.DISCONNECTED,
    },
    State.CONNECTED: {
        Input.LOST: State.CONNECTING,
        Input.REFUSED: State.FAILED,
        Input.CLOSED: State.DISCONNECTED,
    },
    State.UNAVAILABLE: {
        Input.ESTABLISHED: State.CONNECTED,
        Input.REFUSED: State.FAILED,
        Input.CLOSED: State.DISCONNECTED,
    },
    State.FAILED: {},
    State.DISCONNECTED: {},
}


def step(state: State, given: Input) -> State:
    """Return the state after ``given``; every state answers every input."""
    return TRANSITIONS[state].get(given, state)
