"""What can go wrong for whoever submits tasks and waits for them.

::

    TaskClientError
    +-- Unreachable          nothing answers at that URL, or no longer
    +-- Refused              the scheduler answered, and said no
    |   +-- Unauthorized     401: the key or the secret is not the app's, or the clock is wrong
    |   +-- NotFound         404: no such task or schedule
    |   +-- NoScheduler      nobody there knows of tasks, or not of this app
    |   +-- Conflict         409: the task is finished, or its unique key is taken
    |   +-- BacklogFull      429: come again in ``retry_after_seconds``
    |   +-- Unavailable      503: the scheduler cannot store anything at the moment
    +-- TaskError            a task ended without a result
        +-- TaskFailed       its last try failed, or its workers were lost too often
        +-- TaskCancelled
        +-- TaskExpired      nobody was free before its ``start_by``

Facts are attributes; the sentence is built in ``__str__``. No text ever holds the secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from callboard_client.errors import ApiError
from callboard_scheduler.errors import SchedulerError


class TaskClientError(SchedulerError):
    """Root of everything that the clients of a scheduler raise on purpose."""


class Unreachable(TaskClientError):
    """Nothing answers; the text names the URL and what happened."""


class Refused(TaskClientError):
    """The scheduler said no; ``text`` is its reason.

    ``status`` is the HTTP status, None where a feed or the WebSocket was refused.
    """

    def __init__(self, status: int | None, text: str) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text

    def __str__(self) -> str:
        if not self.text:
            return f"refused with HTTP status {self.status}, without a reason"
        if self.text.startswith("<"):
            return (
                f"refused with HTTP status {self.status} and a page instead of a reason: "
                "is that a scheduler?"
            )
        return self.text


class Unauthorized(Refused):
    """The key or the secret is not the app's, or this machine's clock is wrong."""

    def __str__(self) -> str:
        reason = super().__str__()
        for start, question in _DOUBTS.items():
            if self.text.startswith(start):
                # What was signed helps to find a proxy that changes paths, and nobody else.
                return f"is the {question} right? {reason}"
        return reason


class NotFound(Refused):
    """There is no such task or schedule."""


class NoScheduler(Refused):
    """Nobody at this URL knows of tasks, or not of this app's; ``at`` is the URL."""

    def __init__(self, status: int | None, text: str, at: str) -> None:
        super().__init__(status, text)
        self.at = at

    def __str__(self) -> str:
        return f"no scheduler at {self.at}: {super().__str__()}"


class Conflict(Refused):
    """It cannot be done to this task any more, or another task has its unique key."""


class BacklogFull(Refused):
    """Too many tasks wait already; ``retry_after_seconds`` is None if no time was named."""

    def __init__(
        self, status: int | None, text: str, retry_after_seconds: int | None = None
    ) -> None:
        super().__init__(status, text)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(Refused):
    """The scheduler cannot store anything at the moment; nothing was changed."""


class TaskError(TaskClientError):
    """A task ended without a result.

    ``record`` is the whole task as the API answers it; ``error`` is its ``{"type", "msg"}``.
    """

    how = "ended without a result"

    def __init__(self, record: Mapping[str, Any]) -> None:
        super().__init__(record)
        self.record = record

    @property
    def id(self) -> str:
        return str(self.record.get("id", ""))

    @property
    def error(self) -> Mapping[str, Any]:
        """Why: ``type`` is an exception's name or one of the scheduler's; empty if unknown."""
        return self.record.get("error") or {}

    def __str__(self) -> str:
        reason = ": ".join(
            str(self.error[part]) for part in ("type", "msg") if self.error.get(part)
        )
        name = self.record.get("name")
        return f"task {self.id}{f' ({name})' if name else ''} {self.how}" + (
            f": {reason}" if reason else ""
        )


class TaskFailed(TaskError):
    """The last try failed, or its workers were lost too often."""

    how = "failed"


class TaskCancelled(TaskError):
    """It was cancelled, or a task that it comes after ended badly."""

    how = "was cancelled"


class TaskExpired(TaskError):
    """It was not started before its ``start_by``."""

    how = "expired before it was started"


#: What a Callboard's 401 begins with, and what is wrong then.
_DOUBTS: Mapping[str, str] = {"Invalid signature": "secret", "Unknown auth_key": "key"}
#: What its 404 begins with if it is about what was asked for.
_MISSING = ("Unknown task: ", "Unknown schedule: ")
_REFUSALS: Mapping[int, type[Refused]] = {
    401: Unauthorized,
    404: NotFound,
    409: Conflict,
    503: Unavailable,
}
_ENDS: Mapping[str, type[TaskError]] = {
    "dead": TaskFailed,
    "cancelled": TaskCancelled,
    "expired": TaskExpired,
}


def from_api(error: ApiError, at: str) -> Unreachable | Refused:
    """Return what a failed call of the HTTP API at the URL ``at`` means to its caller."""
    if error.status is None:
        return Unreachable(error.text)
    if error.status == 429:
        return BacklogFull(429, error.text, error.retry_after_seconds)
    if _is_foreign(error.status, error.text):
        return NoScheduler(error.status, error.text, at)
    return _REFUSALS.get(error.status, Refused)(error.status, error.text)


def _is_foreign(status: int, text: str) -> bool:
    """Return whether no scheduler of this app would answer so."""
    if status == 404:
        return not text.startswith(_MISSING)
    # A page is a proxy's or another server's; behind a 503 the scheduler may be back soon.
    return status < 400 or (text.startswith("<") and status != 503)


def result_of(record: Mapping[str, Any]) -> Any:
    """Return the result of a finished task.

    Raises:
        TaskError: it has none, and why.
    """
    end = _ENDS.get(record["state"])
    if end is not None:
        raise end(record)
    return record.get("result")
