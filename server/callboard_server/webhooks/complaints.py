"""Log lines that a flood cannot turn into a flood of log lines."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable

#: At most one line of a kind in this time, in seconds.
INTERVAL_SECONDS = 60.0


class Complaints:
    """Logs the first of a kind at once, and then one line a minute that has the sum.

    ``time`` returns seconds of a clock that does not go back.
    """

    def __init__(self, logger: logging.Logger, time: Callable[[], float]) -> None:
        self._logger = logger
        self._time = time
        self._kinds: dict[Hashable, _Kind] = {}

    def __len__(self) -> int:
        """The number of kinds that are remembered."""
        return len(self._kinds)

    def say(
        self, kind: Hashable, text: str, count: int = 1, *, level: int = logging.WARNING
    ) -> None:
        """Say that something has happened ``count`` times; ``text`` says what, to whom, and why."""
        now = self._time()
        said = self._kinds.setdefault(kind, _Kind(now - INTERVAL_SECONDS))
        said.count += count
        if now - said.at < INTERVAL_SECONDS:
            return
        self._logger.log(level, "%s count=%d", text, said.count)
        said.at, said.count = now, 0
        self._forget(now)

    def _forget(self, now: float) -> None:
        for kind, said in list(self._kinds.items()):
            if not said.count and now - said.at >= INTERVAL_SECONDS:
                del self._kinds[kind]


class _Kind:
    """When a kind was last said, and how often it has happened since."""

    __slots__ = ("at", "count")

    def __init__(self, at: float) -> None:
        self.at = at
        self.count = 0
