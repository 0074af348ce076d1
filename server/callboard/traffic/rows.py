"""Two rows of events, that of a recording and that of a service, matched as both grow.

Equal events are matched in their order. Only what has no counterpart yet is kept whole; of all
else a number, and the beginning of its text by which it can be found.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from callboard.traffic.outcome import ADDED, MISSING, OUT_OF_ORDER

_UNMATCHED: Final = -1
#: Characters of an event's data that are shown, and of an event's text where many are kept.
_SHOWN: Final = 200
_SHOWN_IN_ORDER: Final = 80


@dataclass(frozen=True, slots=True)
class Said:
    """What of an event is compared; ``message`` is only shown."""

    event: str
    data: str
    user_id: str
    message: str = field(default="", compare=False)

    def __str__(self) -> str:
        sender = f" from {self.user_id}" if self.user_id else ""
        parts = (repr(self.event), self.data[:_SHOWN], self.message[:_SHOWN])
        return " ".join(part for part in parts if part) + sender


@dataclass(slots=True)
class Expectation:
    """An event of the recording; ``met`` once the service has said it too."""

    said: Said
    place: int
    met: bool = False


class Rows:
    """What one client hears on one channel; places are counted from 0 in either row."""

    def __init__(self) -> None:
        #: By place in the recording: the event in short, and its place in what has arrived.
        self._texts: list[str] = []
        self._places: array[int] = array("q")
        self._arrived = 0
        self._awaited: defaultdict[Said, deque[Expectation]] = defaultdict(deque)
        #: With the event, for those that are equal may be shown otherwise.
        self._early: defaultdict[Said, deque[tuple[int, Said]]] = defaultdict(deque)

    def expect(self, event: Said) -> tuple[Expectation, int | None]:
        """Add to the recording's row; return it, and the place of what has met it already."""
        expectation = Expectation(event, len(self._texts))
        self._texts.append(_short(str(event)))
        early = self._early.get(event)
        if not early:
            self._places.append(_UNMATCHED)
            self._awaited[event].append(expectation)
            return expectation, None
        expectation.met = True
        place: int = _take(self._early, event, early)[0]
        self._places.append(place)
        return expectation, place

    def arrive(self, event: Said) -> tuple[int, bool]:
        """Add to the service's row; return its place, and whether it was awaited."""
        place = self._arrived
        self._arrived += 1
        awaited = self._awaited.get(event)
        if not awaited:
            self._early[event].append((place, event))
            return place, False
        expectation = _take(self._awaited, event, awaited)
        expectation.met = True
        self._places[expectation.place] = place
        return place, True

    def forget(self, event: Said, place: int) -> None:
        """Leave out what the service said at this place and nothing has met."""
        early = self._early[event]
        early.remove((place, event))
        if not early:
            del self._early[event]

    def differences(self) -> Iterator[tuple[str, str]]:
        """Yield kinds and events: what is missing, what is added, what has changed places."""
        missing = sorted((each for queue in self._awaited.values() for each in queue), key=_place)
        for expectation in missing:
            yield MISSING, str(expectation.said)
        added = dict(each for queue in self._early.values() for each in queue)
        for place in sorted(added):
            yield ADDED, str(added[place])
        for place in _out_of_order(self._places):
            yield OUT_OF_ORDER, self._texts[place]


def _take(queues: dict[Said, deque[Any]], event: Said, queue: deque[Any]) -> Any:
    first = queue.popleft()
    if not queue:
        del queues[event]
    return first


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_IN_ORDER else f"{text[: _SHOWN_IN_ORDER - 1]}…"


def _place(expectation: Expectation) -> int:
    return expectation.place


def _out_of_order(places: array[int]) -> list[int]:
    """Return the fewest places without which the rest rise: all but a longest rising part."""
    ends: list[int] = []  # the lowest end of a rising part of each length
    ends_at: list[int] = []
    before = array("q", bytes(8 * len(places)))
    for at, value in enumerate(places):
        if value == _UNMATCHED:
            continue
        length = bisect_left(ends, value)
        before[at] = ends_at[length - 1] if length else _UNMATCHED
        ends[length : length + 1] = [value]
        ends_at[length : length + 1] = [at]
    rising = set()
    at = ends_at[-1] if ends_at else _UNMATCHED
    while at != _UNMATCHED:
        rising.add(at)
        at = before[at]
    return [at for at, value in enumerate(places) if value != _UNMATCHED and at not in rising]
