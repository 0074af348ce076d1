"""Whether the loop of the user's functions moves.

It is asked to answer a few times a second while anything is held. What counts is how often the
answer was missing when this side looked, not for how long: a process that was frozen as a whole
has not looked meanwhile, so its loop is not taken for blocked. Times are seconds.
"""

from __future__ import annotations

import enum
import math
from typing import Final

#: Between two looks.
LOOK_SECONDS: Final = 0.25
#: So many without an answer, and the loop is taken for blocked.
MISSES: Final = 4


class Look(enum.Enum):
    #: Ask the loop to answer.
    ASK = "ask"
    WAIT = "wait"
    #: The loop is blocked, as of now.
    BLOCKED = "blocked"


class Pulse:
    """Looks begin at once, or never if the loop is not ``needed``."""

    def __init__(self, *, needed: bool) -> None:
        #: When :meth:`look` is due, while anything is held.
        self.due_at = -math.inf if needed else math.inf
        self._asked = False
        self._misses = 0

    def look(self, now: float) -> Look:
        """Look whether the answer is there, and say what follows."""
        self.due_at = now + LOOK_SECONDS
        if not self._asked:
            self._asked = True
            return Look.ASK
        self._misses += 1
        if self._misses < MISSES:
            return Look.WAIT
        # Only an answer changes that.
        self.due_at = math.inf
        return Look.BLOCKED

    def answered(self, now: float) -> None:
        """The loop moves."""
        self._asked = False
        self._misses = 0
        self.due_at = now + LOOK_SECONDS
