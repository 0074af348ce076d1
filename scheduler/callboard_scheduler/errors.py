"""What can go wrong when tasks and schedules are asked for, changed or looked up.

::

    SchedulerError
    +-- BadField              what was sent has a field that it may not have, or not so
    |   +-- TooLarge          a field's value has more bytes than are kept
    +-- NoSuchTask            no task has this id
    +-- NoSuchSchedule        no schedule has this id
    +-- Conflict              the state of a task forbids it; ``existing`` is that task's id
    +-- BacklogFull           as many tasks wait as may
    +-- StoreUnavailable      nothing can be kept at the moment
    +-- BadToken              a token opens nothing, or not this
    +-- BadBlob               a signed path to a value opens nothing, or not any more

Facts are attributes; the sentence is built in ``__str__``. Which HTTP status they become is known
to :mod:`callboard_scheduler.api` alone.
"""

from __future__ import annotations

import enum


class SchedulerError(Exception):
    """Root of everything this package raises on purpose."""


class BadField(SchedulerError):
    """A field is unknown, missing, of the wrong type or out of range.

    ``field`` is its path from the body's root, like ``retry.factor`` or ``batch[3].priority``;
    ``text`` says what was expected and what was there.
    """

    def __init__(self, field: str, text: str) -> None:
        super().__init__(field, text)
        self.field = field
        self.text = text

    def __str__(self) -> str:
        return f"{self.field}: {self.text}"

    def inside(self, outer: str) -> BadField:
        """Return the same fault as seen from a body that has this one in its field ``outer``."""
        path = outer if self.field == BODY else f"{outer}.{self.field}"
        return type(self)(path, self.text)


#: The ``field`` of a fault that is about a body as a whole.
BODY = "body"


class TooLarge(BadField):
    """A value has more bytes than are kept with a task."""


class NoSuchTask(SchedulerError):
    """No task has this id, or it was deleted some time after its end."""

    def __init__(self, task_id: str) -> None:
        super().__init__(task_id)
        self.task_id = task_id

    def __str__(self) -> str:
        return f"Unknown task: {self.task_id[:100]!r}"


class NoSuchSchedule(SchedulerError):
    """No schedule has this id."""

    def __init__(self, schedule_id: str) -> None:
        super().__init__(schedule_id)
        self.schedule_id = schedule_id

    def __str__(self) -> str:
        return f"Unknown schedule: {self.schedule_id[:100]!r}"


class Conflict(SchedulerError):
    """The state of a task forbids what was asked for.

    ``existing`` is the task's id; ``reason`` goes on behind it: «has finished (succeeded)».
    """

    def __init__(self, existing: str, reason: str) -> None:
        super().__init__(existing, reason)
        self.existing = existing
        self.reason = reason

    def __str__(self) -> str:
        return f"Task {self.existing} {self.reason}"


class BacklogFull(SchedulerError):
    """As many tasks wait as may; ``limit`` is how many that is."""

    def __init__(self, limit: int, retry_after_s: int = 1) -> None:
        super().__init__(limit, retry_after_s)
        self.limit = limit
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return (
            f"The backlog is full: {self.limit} tasks wait; "
            f"submit again in {self.retry_after_s} s, or add workers"
        )


class StoreUnavailable(SchedulerError):
    """The store did not keep what was asked for."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"The task store is not available: {self.reason}"


class TooManyResults(SchedulerError):
    """``most`` large results wait to be reported, and no more are kept; that passes."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.most = most

    def __str__(self) -> str:
        return f"{self.most} large results wait to be reported already: put it again in a moment"


class TokenFault(enum.Enum):
    """Why a token is refused."""

    MALFORMED = "malformed"
    WRONG_SIGNATURE = "wrong signature"
    EXPIRED = "expired"
    NOT_FOR_THIS = "not for this"


class BadToken(SchedulerError):
    """A token is refused; ``text`` says what to do about it, and never what the token is."""

    def __init__(self, why: TokenFault, text: str) -> None:
        super().__init__(why, text)
        self.why = why
        self.text = text

    def __str__(self) -> str:
        return f"Token refused, {self.why.value}: {self.text}"


class BadBlob(SchedulerError):
    """A path to a value is not one of ours, or is over; ``text`` says which."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"Path refused: {self.text}"
