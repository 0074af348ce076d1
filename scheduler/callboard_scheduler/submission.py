"""The bodies that are about tasks: submit, batch, update and move.

Rules on top of the :mod:`~callboard_scheduler.shapes`:

1. ``null`` is as good as leaving a field out; in an update it brings the default back. Only a
   name and arguments have to be what they are.
2. ``delay_ms`` and ``run_at`` exclude each other; a delay of 0, or null for either, means now.
3. ``callboard.`` begins the names and queues of what the scheduler itself runs.
4. An update replaces each field that it names as a whole, ``retry`` and ``target`` included.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw

from callboard_protocol.channels import json_type
from callboard_scheduler.errors import BODY, BadField
from callboard_scheduler.fields import Body, json_value, shown, time_ms
from callboard_scheduler.records import OnConflict, Retry, Spec, Target
from callboard_scheduler.shapes import (
    BatchBody,
    MoveBody,
    NothingBody,
    RetryBody,
    SubmitBody,
    TargetBody,
    UpdateBody,
)

#: Begins the names and the queues that tasks of the API cannot have.
RESERVED: Final = "callboard."


class Submission(msgspec.Struct, frozen=True, gc=False):
    """What was asked for, and what to do if a live task has its unique key."""

    spec: Spec
    on_conflict: OnConflict = OnConflict.KEEP


#: What an update replaces: fields of :class:`Spec` by name, each valid for itself.
Changes = Mapping[str, Any]

_submit = Body(SubmitBody)
_batch = Body(BatchBody)
_update = Body(UpdateBody)
_move = Body(MoveBody)
_nothing = Body(NothingBody)

#: Fields that need no second look, and are called in Spec what they are called in a body.
_AS_THEY_ARE: Final = (
    "priority",
    "timeout_ms",
    "unique_key",
    "limit_key",
    "limit",
    "on_disconnect",
    "max_losses",
)
_DEFAULTS: Final[Mapping[str, Any]] = {
    field.name: field.default for field in msgspec.structs.fields(Spec) if not field.required
}


# Readers


def parse_submit(body: bytes | Raw, now_ms: int) -> Submission:
    """Read the body of ``POST tasks``; delays count from ``now_ms``.

    Raises:
        BadField: naming the field; TooLarge for too many bytes of arguments.
    """
    return _submission(_submit.read(body), now_ms)


def parse_batch(body: bytes, now_ms: int) -> list[Submission]:
    """Read the body of ``POST batch_tasks``, 1 to MAX_BATCH tasks.

    Raises:
        BadField: as for :func:`parse_submit`, the path beginning with the task's place.
    """
    submissions = []
    for place, item in enumerate(_batch.read(body).batch):
        try:
            submissions.append(_submission(item, now_ms))
        except BadField as fault:
            raise fault.inside(f"batch[{place}]") from None
    return submissions


def parse_update(body: bytes, now_ms: int) -> Changes:
    """Read the body of ``POST tasks/{id}/update``, at least one field.

    Raises:
        BadField: as for :func:`parse_submit`.
    """
    shape = _update.read(body)
    if (shape.on_conflict or OnConflict.ERROR) is not OnConflict.ERROR:
        raise BadField("on_conflict", "expected 'error' in an update: no other task is touched")
    changes = _spec_fields(shape, now_ms)
    if not changes:
        raise BadField(BODY, "expected at least one field to change, got none")
    return changes


def parse_move(body: bytes) -> Target | None:
    """Read the body of ``POST tasks/{id}/move``: a target, bare or as a submit names it.

    None is whoever is free.

    Raises:
        BadField: naming the field, or that there is no target.
    """
    move = _move.read(body)
    bare = move.worker is not UNSET or move.labels is not UNSET
    if bare and move.target is not UNSET:
        raise BadField("target", "expected either target, or worker or labels, got both")
    if bare:
        return _target(TargetBody(move.worker or None, move.labels or None), "")
    if move.target is UNSET:
        raise BadField("target", "missing, expected an object with worker or labels, or null")
    return None if move.target is None else _target(move.target, "target.")


def parse_nothing(body: bytes) -> None:
    """Check the body of a call that takes none; the SDKs send ``{}`` for it.

    Raises:
        BadField: it has fields.
    """
    if body:
        _nothing.read(body)


def _submission(shape: SubmitBody, now_ms: int) -> Submission:
    spec = Spec(**_spec_fields(shape, now_ms))
    return Submission(spec, shape.on_conflict or OnConflict.KEEP)


def _spec_fields(shape: UpdateBody, now_ms: int) -> dict[str, Any]:
    """Return the fields of Spec that a body sets."""
    fields: dict[str, Any] = {}
    if shape.name is not UNSET:
        fields["name"] = _not_reserved("name", shape.name)
    if shape.args is not UNSET:
        fields["args"] = _arguments(shape.args)
    if shape.queue is not UNSET:
        fields["queue"] = _or_default("queue", shape.queue and _not_reserved("queue", shape.queue))
    if shape.delay_ms is not UNSET or shape.run_at is not UNSET:
        fields["run_at"] = _run_at(shape, now_ms)
    if shape.start_by is not UNSET:
        start_by = shape.start_by
        fields["start_by"] = None if start_by is None else time_ms("start_by", start_by)
    if shape.retry is not UNSET:
        fields["retry"] = _or_default("retry", shape.retry and _retry(shape.retry))
    if shape.target is not UNSET:
        fields["target"] = shape.target and _target(shape.target, "target.")
    if shape.after is not UNSET:
        fields["after"] = tuple(dict.fromkeys(shape.after or ()))
    for name in _AS_THEY_ARE:
        value = getattr(shape, name)
        if value is not UNSET:
            fields[name] = _or_default(name, value)
    return fields


def _or_default(name: str, value: Any) -> Any:
    return _DEFAULTS[name] if value is None else value


def _not_reserved(field: str, name: str) -> str:
    if name.startswith(RESERVED):
        raise BadField(field, f"expected one that does not begin with {RESERVED!r}, got {name!r}")
    return name


def _arguments(raw: Raw) -> Raw:
    args = json_value("args", raw)
    text = bytes(args)
    if text[:1] not in (b"{", b"["):
        got = shown(msgspec.json.decode(text))
        raise BadField("args", f"expected an object (keyword arguments) or an array, got {got}")
    return args


def _run_at(shape: UpdateBody, now_ms: int) -> int | None:
    delay_ms, run_at = shape.delay_ms, shape.run_at
    if isinstance(run_at, int | str):
        if isinstance(delay_ms, int):
            raise BadField("run_at", "expected either delay_ms or run_at, got both")
        return time_ms("run_at", run_at)
    return now_ms + delay_ms if isinstance(delay_ms, int) and delay_ms > 0 else None


def _retry(shape: RetryBody) -> Retry:
    return Retry(shape.max_attempts, shape.initial_ms, shape.factor, shape.max_ms, shape.jitter)


def _target(shape: TargetBody, path: str) -> Target:
    if (shape.worker is None) == (shape.labels is None):
        got = "neither" if shape.worker is None else "both"
        raise BadField(path.rstrip(".") or BODY, f"expected either worker or labels, got {got}")
    for label, wanted in (shape.labels or {}).items():
        if not 1 <= len(label) <= 100:
            raise BadField(
                f"{path}labels", f"expected names of 1 to 100 characters, got {len(label)}"
            )
        if fault := _label_fault(wanted):
            raise BadField(f"{path}labels.{label}", fault)
    return Target(shape.worker, shape.labels)


def _label_fault(wanted: object) -> str | None:
    values = wanted if isinstance(wanted, list) else [wanted]
    if not 1 <= len(values) <= 100:
        return f"expected a list of 1 to 100 values, got {len(values)}"
    for value in values:
        if not isinstance(value, str | int | float):
            return (
                f"expected a string, a number, a boolean, or a list of them, got {json_type(value)}"
            )
        if isinstance(value, str) and len(value) > 200:
            return f"expected a string of at most 200 characters, got {len(value)}"
    return None
