"""What the API answers: a view as JSON, or a refusal as plain text.

Only this module knows which error is which status.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, Final

from callboard_protocol.rest import BadRequest
from callboard_scheduler import views
from callboard_scheduler.errors import (
    BacklogFull,
    BadBlob,
    BadField,
    BadToken,
    Conflict,
    NoSuchSchedule,
    NoSuchTask,
    SchedulerError,
    StoreUnavailable,
    TooLarge,
    TooManyResults,
)
from callboard_scheduler.stores import StoreError
from callboard_scheduler.views import View

#: Status, body, and headers besides those that every answer has.
Answer = tuple[int, bytes, dict[str, str]]

_STATUS: Final[Mapping[type[SchedulerError], int]] = {
    BadField: 400,
    TooLarge: 413,
    NoSuchTask: 404,
    NoSuchSchedule: 404,
    Conflict: 409,
    BacklogFull: 429,
    StoreUnavailable: 503,
    TooManyResults: 503,
    BadToken: 403,
    BadBlob: 403,
}


async def answered(view: Coroutine[Any, Any, View]) -> Answer:
    """Return what is awaited as an answer, whether it comes or is refused."""
    try:
        return 200, views.encode(await view), {}
    except (SchedulerError, BadRequest, StoreError) as error:
        return refusal(error)


async def refused(error: SchedulerError | BadRequest) -> Answer:
    """Return a refusal to whoever awaits an answer."""
    return refusal(error)


def refusal(error: SchedulerError | BadRequest | StoreError) -> Answer:
    """Return the answer that an error is."""
    if isinstance(error, BadRequest):
        return _text(error.status, error)
    if isinstance(error, StoreError):
        return _text(503, StoreUnavailable(str(error)))
    status = next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)
    if isinstance(error, BacklogFull):
        return _text(status, error, {"Retry-After": str(error.retry_after_s)})
    return _text(status, error)


def wrong_method(methods: Iterable[str]) -> Answer:
    """Return the refusal of a method that a path does not take."""
    allowed = ", ".join(sorted(methods))
    return _text(405, f"Method not allowed: use {allowed}", {"Allow": allowed})


def _text(status: int, text: object, headers: dict[str, str] | None = None) -> Answer:
    return status, f"{text}\n".encode(), headers or {}
