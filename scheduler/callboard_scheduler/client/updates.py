"""What happens to one task, put together from its record and its feed, without any IO.

The feed is a hint, and the record behind ``GET tasks/{id}`` is the truth. Rules:

1. The record is read when the feed is subscribed to, also again after a lost connection, and when
   the feed says that the task has ended. So no update is built on what may have been missed.
2. What was heard before a reading began is in that record. Only log lines and moves are not, and
   count still.
3. What is known already is no update: a late joiner gets the feed's last event once more.
4. Events whose name starts with ``client-`` are not the scheduler's, and what cannot be understood
   is left out: a newer scheduler may say more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import orjson

from callboard_scheduler.states import TERMINAL, State

#: The states that a task does not leave by itself, as the API writes them.
ENDED: Final = frozenset(state.value for state in TERMINAL)


class StateChanged(msgspec.Struct, frozen=True):
    """It is in another state, or in another worker's hands.

    ``state`` as the API writes it; ``attempt`` counts from 1, 0 before the first.
    """

    state: str
    attempt: int = 0
    worker: str | None = None


class Progress(msgspec.Struct, frozen=True):
    """How far it is: ``pct`` from 0 to 100, a line for people, and any JSON value."""

    pct: float | None = None
    message: str | None = None
    data: Any = None


class LogLine(msgspec.Struct, frozen=True):
    """A line that its handler has logged; lines may be missing."""

    level: str
    text: str


class Moved(msgspec.Struct, frozen=True):
    """It goes from one worker to another.

    ``ms`` is what it took, in milliseconds, where the scheduler says so.
    """

    worker: str | None
    to: str | None
    why: str
    ms: float | None = None


class Ended(msgspec.Struct, frozen=True):
    """It has ended; ``record`` is the whole task as the API answers it. Nothing follows."""

    record: Mapping[str, Any]

    @property
    def state(self) -> str:
        return str(self.record["state"])


Update = StateChanged | Progress | LogLine | Moved | Ended


class Following:
    """What is known of one task."""

    def __init__(self) -> None:
        self._state: StateChanged | None = None
        self._progress: Progress | None = None
        #: Whether the record must be read before anything else is believed.
        self.stale = True
        self.ended = False

    def read(self, record: Mapping[str, Any]) -> list[Update]:
        """Take the record, and return what is new in it."""
        self.stale = False
        updates: list[Update] = []
        if record["state"] in ENDED:
            self.ended = True
        else:
            updates += self._changed(_state(record))
        updates += self._progressed(record.get("progress"))
        return [*updates, Ended(record)] if self.ended else updates

    def missed(self) -> None:
        """Something may have been said that was not heard."""
        self.stale = True

    def heard(self, event: str, text: str) -> list[Update]:
        """Take an event of the feed, and return what is new in it."""
        data = _object(text)
        match event:
            case "state" | "result" if data.get("state") in ENDED:
                self.stale = True
            case "state" if isinstance(data.get("state"), str) and not self.stale:
                return [*self._changed(_state(data)), *self._progressed(data.get("progress"))]
            case "progress" if not self.stale:
                return self._progressed(data)
            case "log":
                return [LogLine(str(data.get("lvl", "info")), str(data.get("txt", "")))]
            case "moved":
                ms = data.get("ms")
                return [
                    Moved(
                        _text(data.get("from")),
                        _text(data.get("to")),
                        str(data.get("why", "")),
                        ms if isinstance(ms, int | float) else None,
                    )
                ]
        return []

    def _changed(self, state: StateChanged) -> list[Update]:
        if state == self._state:
            return []
        self._state = state
        return [state]

    def _progressed(self, said: object) -> list[Update]:
        if not isinstance(said, Mapping):
            return []
        pct = said.get("pct")
        usable = isinstance(pct, int | float) and not isinstance(pct, bool)
        progress = Progress(pct if usable else None, _text(said.get("msg")), said.get("data"))
        if progress in (self._progress, Progress()):
            return []
        self._progress = progress
        return [progress]


def _state(said: Mapping[str, Any]) -> StateChanged:
    attempt = said.get("attempt")
    held = said["state"] in _HELD
    return StateChanged(
        said["state"],
        attempt if isinstance(attempt, int) else 0,
        # The last worker of a task that waits is history.
        _text(said.get("worker")) if held else None,
    )


_HELD: Final = (State.ASSIGNED.value, State.RUNNING.value, State.STOPPING.value)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _object(text: str) -> Mapping[str, Any]:
    try:
        data = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return data if isinstance(data, dict) else {}
