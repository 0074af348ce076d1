"""What a task's function may raise on purpose, and why a worker ends.

::

    SchedulerError
    +-- Retry                 this try has failed, and another one makes sense
    |                         (the same as any other exception, but it can say when)
    +-- Fatal                 this task has failed, and no other try makes sense
    |   +-- BadArguments      the arguments do not suit the function
    |   +-- BadResult         what was returned cannot be sent
    +-- ValueUnavailable      large arguments or a large result could not be fetched or stored
    +-- WorkerRefused         the service or the scheduler does not take this worker
    +-- NoTasks               a worker without a single function

Any other exception is a failure that is retried as the task's ``retry`` says.
"""

from __future__ import annotations

from callboard_scheduler.errors import SchedulerError


class Retry(SchedulerError):
    """Raise it to fail this try; ``after_ms`` replaces the back-off of the task's ``retry``."""

    def __init__(self, message: str = "", *, after_ms: int | None = None) -> None:
        if after_ms is not None and after_ms < 0:
            raise ValueError(f"after_ms must be 0 or more, got {after_ms}")
        super().__init__(message)
        self.after_ms = after_ms


class Fatal(SchedulerError):
    """Raise it (or a subclass) to fail the task for good, however many tries are left."""


class BadArguments(Fatal):
    """``argument`` is the parameter's name, empty when all of them are meant."""

    def __init__(self, argument: str, text: str) -> None:
        super().__init__(argument, text)
        self.argument = argument
        self.text = text

    def __str__(self) -> str:
        return f"argument {self.argument!r}: {self.text}" if self.argument else self.text


class BadResult(Fatal):
    """The result is no JSON value, or too large for any way to the scheduler."""


class ValueUnavailable(SchedulerError):
    """The scheduler's address for large values did not give or take one."""


class WorkerRefused(SchedulerError):
    """Nothing that this worker could try again would help; ``reason`` says what to change."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the worker is refused: {self.reason}"


class NoTasks(SchedulerError):
    """A worker needs at least one function under ``@worker.task``."""

    def __str__(self) -> str:
        return "the worker has no tasks: put @worker.task(NAME) on a function before it runs"
