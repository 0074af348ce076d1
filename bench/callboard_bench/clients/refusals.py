"""Requests that a server refuses: counted, unless it refuses all of them.

One refusal among many ends nothing: the load goes on, and the share of the refused is told with
the words of the first. Where nothing has been accepted there is nothing to measure, so the round
ends at once when a status is about the credentials, and else after so many refusals in a row.
"""

from __future__ import annotations

from typing import Final

from callboard_bench.rounds import Requests
from callboard_bench.websocket import Unexpected

#: About the credentials, by the API's reference: another request will not fare better.
_HOPELESS: Final = {401, 403, 404}
#: So many at the beginning of a round, and nothing accepted, are no chance.
_IN_A_ROW: Final = 20
_QUOTED_BYTES: Final = 200
_ADVICE: Final = {
    401: "the key or the secret is wrong, or the clocks differ",
    403: "the app is disabled or over its quota",
    404: "there is no such app",
    413: "lower --message-bytes or --batch, or raise the server's limit",
    429: "lower --rate, or raise the server's limit of it",
}


class PublishRefused(Unexpected):
    """The server answered a publish with something else than 200."""


def refusal(status: int, body: bytes) -> PublishRefused:
    """Return the error for an answer that is no 200."""
    return _error(_in_words(status, body))


def some_accepted(requests: Requests) -> None:
    """Check that there is something to measure.

    Raises:
        PublishRefused: all were refused, with the words of the first.
    """
    if requests.refused and requests.refused == requests.asked:
        raise _error(requests.first)


class Refusals:
    """How many requests of a round were refused in one process."""

    def __init__(self) -> None:
        self._count = 0
        self._first = ""

    def refuse(self, status: int, body: bytes, accepted: int) -> None:
        """Count one more; ``accepted`` is how many of the round were answered with 200.

        Raises:
            PublishRefused: the server refuses whatever comes.
        """
        self._count += 1
        self._first = self._first or _in_words(status, body)
        if not accepted and (status in _HOPELESS or self._count >= _IN_A_ROW):
            raise refusal(status, body)

    def requests(self, accepted: int) -> Requests:
        """Return what became of all requests, of which so many were accepted."""
        return Requests(accepted + self._count, self._count, self._first)


def _in_words(status: int, body: bytes) -> str:
    advice = f": {_ADVICE[status]}" if status in _ADVICE else ""
    return f"{status} {body[:_QUOTED_BYTES]!r}{advice}"


def _error(first: str) -> PublishRefused:
    return PublishRefused(f"a request was answered with {first}")
