"""What a service says, held against what it said in the recording, without a socket or a loop.

Connection by connection and channel by channel, since there is no order between two of them:

1. An event is the same if its name, its data and its sender are. What the protocol says, and what
   clients sent as JSON, is compared as JSON, for servers write it differently; what a backend
   sent is compared to the letter. Without data in the recording its length is compared.
2. Not compared are keep-alive, ids of sockets, the texts of errors (but their codes), and what
   confirms a subscription without presence.
3. Of those that are there on both sides, the fewest that must move are out of order.

It may be told of an event before or after the recording comes to it. Only what has no counterpart
yet is kept whole; of all else a number.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson

from callboard.traffic.outcome import ADDED, MISSING, OUT_OF_ORDER, Difference
from callboard_protocol.channels import kind_of

_UNCOMPARED: Final = ("pusher:connection_established", "pusher:ping", "pusher:pong")
_ERROR: Final = "pusher:error"
_SUCCEEDED: Final = "pusher_internal:subscription_succeeded"
#: Their data differs from server to server, and says nothing.
_NAME_ONLY: Final = (
    "pusher:cache_miss",
    "pusher:subscription_error",
    "pusher_internal:subscription_error",
)
_AS_JSON: Final = ("pusher:", "pusher_internal:", "client-")
_UNMATCHED: Final = -1


class Said(NamedTuple):
    """What of an event is compared."""

    event: str
    data: str
    user_id: str

    def __str__(self) -> str:
        sender = f" from {self.user_id}" if self.user_id else ""
        return f"{self.event!r} {self.data[:200]}{sender}".rstrip()


def said(frame: Mapping[str, Any]) -> Said | None:
    """Return what of a frame is compared, None if nothing is."""
    event: str = frame["event"]
    if event in _UNCOMPARED:
        return None
    user_id = frame.get("user_id")
    return Said(event, _data(event, frame), "" if user_id is None else str(user_id))


def _data(event: str, frame: Mapping[str, Any]) -> str:
    if "data_bytes" in frame:
        return f"({frame['data_bytes']} bytes)"
    data = frame.get("data")
    if event in _NAME_ONLY or (
        event == _SUCCEEDED and not kind_of(str(frame.get("channel"))).presence
    ):
        return ""
    if event == _ERROR:
        found = _json(data)
        code = found.get("code") if isinstance(found, dict) else None
        return "" if code is None else f"code {code}"
    if event.startswith(_AS_JSON):
        return orjson.dumps(_json(data), option=orjson.OPT_SORT_KEYS).decode()
    if isinstance(data, str):
        return data
    return "" if data is None else orjson.dumps(data).decode()


def _json(data: Any) -> Any:
    try:
        return orjson.loads(data) if isinstance(data, str) else data
    except orjson.JSONDecodeError:
        return data


@dataclass(slots=True)
class Expectation:
    """An event of the recording; ``met`` once the service has said it too."""

    said: Said
    place: int
    met: bool = False


class Comparison:
    """All connections and channels."""

    def __init__(self) -> None:
        self._streams: dict[tuple[int, str], _Stream] = {}
        #: Those of the recording that the service has not said yet.
        self.awaited = 0
        #: What the service has said.
        self.arrived = 0

    def expect(self, connection: int, frame: Mapping[str, Any]) -> Expectation | None:
        """Tell of an event of the recording, and return it if it is compared."""
        found = said(frame)
        if found is None:
            return None
        expectation = self._stream(connection, frame).expect(found)
        self.awaited += not expectation.met
        return expectation

    def arrive(self, connection: int, frame: Mapping[str, Any]) -> None:
        """Tell of an event that the service has said now."""
        found = said(frame)
        if found is not None:
            self.arrived += 1
            self.awaited -= self._stream(connection, frame).arrive(found)

    def differences(self) -> Iterator[Difference]:
        """Yield what differs, by connection and channel."""
        for connection, channel in sorted(self._streams):
            for kind, what in self._streams[connection, channel].differences():
                yield Difference(kind, what, connection, channel)

    def _stream(self, connection: int, frame: Mapping[str, Any]) -> _Stream:
        channel = frame.get("channel")
        name = (connection, channel if isinstance(channel, str) else "")
        stream = self._streams.get(name)
        if stream is None:
            stream = self._streams[name] = _Stream()
        return stream


class _Stream:
    """One channel of one connection."""

    def __init__(self) -> None:
        #: By place in the recording: the event's name, and its place in what has arrived.
        self._names: list[str] = []
        self._places: array[int] = array("q")
        self._arrived = 0
        self._awaited: defaultdict[Said, deque[Expectation]] = defaultdict(deque)
        self._early: defaultdict[Said, deque[int]] = defaultdict(deque)

    def expect(self, event: Said) -> Expectation:
        expectation = Expectation(event, len(self._names))
        self._names.append(event.event)
        if early := self._early.get(event):
            self._places.append(_take(self._early, event, early))
            expectation.met = True
        else:
            self._places.append(_UNMATCHED)
            self._awaited[event].append(expectation)
        return expectation

    def arrive(self, event: Said) -> bool:
        """Take an event, and return whether it was awaited."""
        place = self._arrived
        self._arrived += 1
        if awaited := self._awaited.get(event):
            expectation = _take(self._awaited, event, awaited)
            expectation.met = True
            self._places[expectation.place] = place
            return True
        self._early[event].append(place)
        return False

    def differences(self) -> Iterator[tuple[str, str]]:
        missing = sorted((each for queue in self._awaited.values() for each in queue), key=_place)
        for expectation in missing:
            yield MISSING, str(expectation.said)
        added = sorted((place, event) for event, places in self._early.items() for place in places)
        for _, event in added:
            yield ADDED, str(event)
        for place in _out_of_order(self._places):
            yield OUT_OF_ORDER, repr(self._names[place])


def _take(queues: dict[Said, deque[Any]], event: Said, queue: deque[Any]) -> Any:
    first = queue.popleft()
    if not queue:
        del queues[event]
    return first


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
