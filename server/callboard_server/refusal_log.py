"""One log line per refusal, and a bound on them: a flood of bad requests must not fill a disk."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from callboard_server.witness import Witness

logger = logging.getLogger("callboard.server")

#: Lines in one second; what goes beyond is counted and said with the next line.
LINES_PER_SECOND: Final = 20
_REASON_LENGTH: Final = 300


class RefusalLog:
    """Logs refusals of connections, subscriptions and requests, and tells them to a witness.

    ``time`` returns seconds of a clock that does not go back.
    """

    def __init__(self, time: Callable[[], float], witness: Witness | None = None) -> None:
        self._time = time
        self._witness = witness
        self._second = -1
        self._lines = 0
        self._silent = 0

    def note(self, what: str, reason: str, **facts: object) -> None:
        """Say that ``what`` (as in "a connection") was refused; facts are who and where.

        No fact and no reason may hold a secret.
        """
        self.tell(what, reason, **facts)
        self.log(what, reason, **facts)

    def tell(self, what: str, reason: str, **facts: object) -> None:
        """Say so to the witness alone: of what is too much, or too much of a secret, for a log."""
        if self._witness is not None:
            self._witness.refused(what, reason.strip(), facts)

    def log(self, what: str, reason: str, **facts: object) -> None:
        """Say so in the log alone."""
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
