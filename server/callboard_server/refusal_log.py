"""One log line per refusal, and a bound on them: a flood of bad requests must not fill a disk."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

logger = logging.getLogger("callboard.server")

#: Lines in one second; what goes beyond is counted and said with the next line.
LINES_PER_SECOND: Final = 20
_REASON_LENGTH: Final = 300


class RefusalLog:
    """Logs refusals of connections, subscriptions and requests.

    ``time`` returns seconds of a clock that does not go back.
    """

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self._second = -1
        self._lines = 0
        self._silent = 0

    def note(self, what: str, reason: str, **facts: object) -> None:
        """Say that ``what`` (as in "a connection") was refused; facts are who and where.

        No fact and no reason may hold a secret.
        """
        second = int(self._time())
        if second != self._second:
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines > LINES_PER_SECOND:
            self._silent += 1
            return
        said = "".join(f" {name}={value}" for name, value in facts.items())
        if self._silent:
            said += f" refusals_not_logged={self._silent}"
            self._silent = 0
        logger.warning("refused %s%s reason=%r", what, said, reason.strip()[:_REASON_LENGTH])
