"""Where a worker stands with its scheduler, as one table."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final


class Phase(enum.Enum):
    #: No subscription.
    AWAY = "away"
    #: Subscribed; ``hello`` is not answered yet.
    GREETING = "greeting"
    #: Welcomed.
    OPEN = "open"
    #: Said goodbye, or was refused.
    LEFT = "left"


class Signal(enum.Enum):
    SUBSCRIBED = "subscribed"
    LOST = "lost"
    WELCOMED = "welcomed"
    #: The scheduler may have forgotten this worker.
    FORGOTTEN = "forgotten"
    LEAVE = "leave"


#: What is not in a phase's row leaves the phase as it is.
PHASES: Final[Mapping[Phase, Mapping[Signal, Phase]]] = {
    Phase.AWAY: {Signal.SUBSCRIBED: Phase.GREETING, Signal.LEAVE: Phase.LEFT},
    Phase.GREETING: {
        Signal.LOST: Phase.AWAY,
        Signal.WELCOMED: Phase.OPEN,
        Signal.LEAVE: Phase.LEFT,
    },
    Phase.OPEN: {
        Signal.SUBSCRIBED: Phase.GREETING,
        Signal.LOST: Phase.AWAY,
        Signal.FORGOTTEN: Phase.GREETING,
        Signal.LEAVE: Phase.LEFT,
    },
    Phase.LEFT: {},
}


def step(phase: Phase, signal: Signal) -> Phase:
    """Return the phase after ``signal``; every phase answers every signal."""
    return PHASES[phase].get(signal, phase)
