"""The shapes of the bodies about tasks: which fields there are, and what each may be for itself.

A ``description`` is what a refusal says was expected. What needs more than one field to be judged
is judged in :mod:`callboard_scheduler.submission`.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from callboard_scheduler.fields import Identifier, Key, PositiveSpan, Span, Time
from callboard_scheduler.records import DEFAULT_RETRY, OnConflict, OnDisconnect

MAX_BATCH: Final = 1_000

_Count = Annotated[int, Meta(ge=1, le=1_000_000, description="a whole number from 1 to 1000000")]
_Losses = Annotated[int, Meta(ge=0, le=10_000, description="a whole number from 0 to 10000")]
_Priority = Annotated[
    int,
    Meta(ge=-(2**31), le=2**31 - 1, description="a whole number from -2147483648 to 2147483647"),
]
_Args = Annotated[Raw, Meta(description="an object (keyword arguments) or an array")]
_Ids = Annotated[
    list[Identifier], Meta(max_length=1_000, description="an array of at most 1000 ids of tasks")
]
_Labels = Annotated[
    dict[str, Any],
    Meta(min_length=1, max_length=50, description="an object with 1 to 50 labels"),
]


class RetryBody(msgspec.Struct, forbid_unknown_fields=True):
    """``retry`` of a task: what is not given has the default, not what the task had before."""

    max_attempts: Annotated[
        int, Meta(ge=1, le=10_000, description="a whole number from 1 to 10000")
    ] = DEFAULT_RETRY.max_attempts
    initial_ms: Span = DEFAULT_RETRY.initial_ms
    factor: Annotated[float, Meta(ge=1, le=100, description="a number from 1 to 100")] = (
        DEFAULT_RETRY.factor
    )
    max_ms: Span = DEFAULT_RETRY.max_ms
    jitter: Annotated[float, Meta(ge=0, le=1, description="a number from 0 to 1")] = (
        DEFAULT_RETRY.jitter
    )


class TargetBody(msgspec.Struct, forbid_unknown_fields=True):
    """``target`` of a task, one of both."""

    worker: Identifier | None = None
    labels: _Labels | None = None


class UpdateBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of ``POST tasks/{id}/update``: every field of a task."""

    name: Key | UnsetType = UNSET
    args: _Args | UnsetType = UNSET
    queue: Identifier | UnsetType | None = UNSET
    priority: _Priority | UnsetType | None = UNSET
    delay_ms: Span | UnsetType | None = UNSET
    run_at: Time | UnsetType | None = UNSET
    start_by: Time | UnsetType | None = UNSET
    timeout_ms: PositiveSpan | UnsetType | None = UNSET
    retry: RetryBody | UnsetType | None = UNSET
    unique_key: Key | UnsetType | None = UNSET
    on_conflict: OnConflict | UnsetType | None = UNSET
    target: TargetBody | UnsetType | None = UNSET
    after: _Ids | UnsetType | None = UNSET
    limit_key: Key | UnsetType | None = UNSET
    limit: _Count | UnsetType | None = UNSET
    on_disconnect: OnDisconnect | UnsetType | None = UNSET
    max_losses: _Losses | UnsetType | None = UNSET


class SubmitBody(UpdateBody, kw_only=True, forbid_unknown_fields=True):
    """Of ``POST tasks``."""

    name: Key


class BatchBody(msgspec.Struct, forbid_unknown_fields=True):
    """Of ``POST batch_tasks``."""

    batch: Annotated[
        list[SubmitBody],
        Meta(min_length=1, max_length=MAX_BATCH, description=f"an array of 1 to {MAX_BATCH} tasks"),
    ]


class MoveBody(msgspec.Struct, forbid_unknown_fields=True):
    """Of ``POST tasks/{id}/move``: a target, bare or named."""

    target: TargetBody | UnsetType | None = UNSET
    worker: Identifier | UnsetType = UNSET
    labels: _Labels | UnsetType = UNSET


class NothingBody(msgspec.Struct, forbid_unknown_fields=True):
    """Of a call that takes none."""
