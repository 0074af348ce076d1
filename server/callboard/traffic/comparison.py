"""What a service says, held against what it said in the recording, without a socket or a loop.

Connection by connection and channel by channel, since there is no order between two of them:

1. An event is the same if its name, its data and its sender are. What the protocol says, and what
   clients sent as JSON, is compared as JSON, for servers write it differently; what a backend
   sent is compared to the letter. Without data in the recording its length is compared.
2. Not compared are keep-alive, ids of sockets, the texts of errors (but their codes), and what
   confirms a subscription without presence.
3. Of those that are there on both sides, the fewest that must move are out of order.
4. What was on its way to a client that left came or not by chance. So the last events to come to
   it that are not in the recording are counted only, if they came less than :data:`ON_ITS_WAY_MS`
   before it left, in the recording's time. An answered ping shows that nothing was on its way.

It may be told of an event before or after the recording comes to it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from callboard.traffic.outcome import Difference
from callboard.traffic.rows import Expectation, Rows, Said
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
#: Longer than an event takes from a service to its client.
ON_ITS_WAY_MS: Final = 100.0

#: The channel of an event and its place in what has arrived there.
_Spot = tuple[str, int]


def said(frame: Mapping[str, Any]) -> Said | None:
    """Return what of a frame is compared, None if nothing is."""
    event: str = frame["event"]
    if event in _UNCOMPARED:
        return None
    user_id = frame.get("user_id")
    return Said(
        event,
        _data(event, frame),
        "" if user_id is None else str(user_id),
        _message(frame) if event == _ERROR else "",
    )


def _message(frame: Mapping[str, Any]) -> str:
    found = _json(frame.get("data"))
    message = found.get("message") if isinstance(found, dict) else found
    return message if isinstance(message, str) else ""


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


class Comparison:
    """All connections and channels."""

    def __init__(self) -> None:
        self._rows: dict[tuple[int, str], Rows] = {}
        #: Until when the recording has been played, in its milliseconds.
        self.now_ms = 0.0
        #: What the service has said.
        self.arrived = 0
        #: What of it may have been on its way, in the recording, to clients that left.
        self.late = 0
        #: By connection: the last events that came, if nothing has met them yet, and when.
        self._doubtful: defaultdict[int, dict[_Spot, tuple[Said, float]]] = defaultdict(dict)

    def expect(self, connection: int, frame: Mapping[str, Any]) -> Expectation | None:
        """Tell of an event of the recording, and return it if it is compared."""
        found = said(frame)
        if found is None:
            return None
        channel = _channel(frame)
        expectation, place = self._rows_of(connection, channel).expect(found)
        if place is not None:
            self._doubtful[connection].pop((channel, place), None)
        return expectation

    def arrive(self, connection: int, frame: Mapping[str, Any]) -> None:
        """Tell of an event that the service has said now."""
        found = said(frame)
        if found is None:
            return
        self.arrived += 1
        channel = _channel(frame)
        place, met = self._rows_of(connection, channel).arrive(found)
        if met:
            # What came before it was not on its way any more.
            self.confirm(connection)
        else:
            self._doubtful[connection][channel, place] = (found, self.now_ms)

    def confirm(self, connection: int) -> None:
        """Tell that nothing is on its way to a client, in the recording either."""
        self._doubtful[connection].clear()

    def leave(self, connection: int, ms: float) -> None:
        """Tell that a client has left at that time of the recording."""
        for (channel, place), (event, came_ms) in self._doubtful.pop(connection, {}).items():
            if came_ms > ms - ON_ITS_WAY_MS:
                self._rows_of(connection, channel).forget(event, place)
                self.late += 1

    def differences(self) -> Iterator[Difference]:
        """Yield what differs, by connection and channel."""
        for connection, channel in sorted(self._rows):
            for kind, what in self._rows[connection, channel].differences():
                yield Difference(kind, what, connection, channel)

    def _rows_of(self, connection: int, channel: str) -> Rows:
        rows = self._rows.get((connection, channel))
        if rows is None:
            rows = self._rows[connection, channel] = Rows()
        return rows


def _channel(frame: Mapping[str, Any]) -> str:
    channel = frame.get("channel")
    return channel if isinstance(channel, str) else ""
