"""Messages into as few events as their size allows.

What must arrive goes first in the queue and is never dropped. Log lines fill what room is left in
the one event that is sent next, ahead of the results that may end their task; more of them than
:data:`MAX_LOG_LINES` wait for nobody: the oldest go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

MAX_LOG_LINES: Final = 500
#: The envelope around the messages, with a counter of any length.
ENVELOPE_BYTES: Final = 100


class Packer:
    """Encoded messages that wait for an event."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._logs: deque[bytes] = deque(maxlen=MAX_LOG_LINES)
        self.dropped_logs = 0

    def __bool__(self) -> bool:
        return bool(self._waiting or self._logs)

    @property
    def holds_messages(self) -> bool:
        """Whether anything but log lines waits."""
        return bool(self._waiting)

    def add(self, messages: Iterable[bytes]) -> None:
        self._waiting.extend(messages)

    def log(self, line: bytes) -> None:
        """Keep a log line if there is room; the oldest make it."""
        if len(self._logs) == MAX_LOG_LINES:
            self.dropped_logs += 1
        self._logs.append(line)

    def clear(self) -> None:
        """Forget what a connection should have carried; logs may still find their way."""
        self._waiting.clear()

    def take(self, max_bytes: int) -> list[bytes]:
        """Return the messages of one event of at most ``max_bytes``.

        One that is larger than that goes alone, for the service to refuse: callers check sizes.
        """
        room = max_bytes - ENVELOPE_BYTES
        messages: list[bytes] = []
        waiting = self._waiting
        while waiting and (len(waiting[0]) < room or not messages):
            message = waiting.popleft()
            room -= len(message) + 1
            messages.append(message)
        if waiting:
            return messages
        lines: list[bytes] = []
        while self._logs and len(self._logs[0]) < room:
            line = self._logs.popleft()
            room -= len(line) + 1
            lines.append(line)
        if not messages and not lines and self._logs:
            # Longer than an event may be: it would stop all behind it.
            self._logs.popleft()
            self.dropped_logs += 1
        return lines + messages
