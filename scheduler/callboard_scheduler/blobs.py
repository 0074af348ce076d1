"""Signed paths to values that are too large for an event: arguments to get, results to put.

``/sched/blobs/{app}/{task}/{fence}/{args|result}?exp={Unix seconds}&sig={hex}``: the signature is
the HMAC-SHA256 of ``sched/1 blob:`` and everything before ``&sig=`` with the app's secret. A path
belongs to one assignment, so a worker that has lost a task cannot put its result by it, and it is
all that a worker needs to have: the secret stays where it is.
"""

from __future__ import annotations

import enum
import re
from typing import Final
from urllib.parse import quote, unquote

import msgspec

from callboard_protocol import signatures
from callboard_scheduler.errors import BadBlob
from callboard_scheduler.fields import MAX_VALUE_BYTES

PREFIX: Final = "/sched/blobs/"
#: Bytes of JSON text that may be put or got by one path.
MAX_BLOB_BYTES: Final = MAX_VALUE_BYTES

_PATH = re.compile(
    r"(?P<signed>/sched/blobs/(?P<app>[^/?]+)/(?P<task>[^/?]+)/(?P<fence>[0-9]{1,16})"
    r"/(?P<kind>args|result)\?exp=(?P<exp>[0-9]{1,12}))&sig=(?P<sig>[0-9a-f]{64})",
    re.ASCII,
)


class BlobKind(enum.Enum):
    """Which value of an assignment, and so what may be done with it."""

    #: To get.
    ARGS = "args"
    #: To put.
    RESULT = "result"


class Blob(msgspec.Struct, frozen=True):
    """What a path is for."""

    app_id: str
    task_id: str
    fence: int
    kind: BlobKind


def blob_path(
    secret: str, app_id: str, task_id: str, fence: int, kind: BlobKind, expires: int
) -> str:
    """Return the path to a value of an assignment; ``expires`` is Unix time in seconds."""
    where = f"{quote(app_id, safe='')}/{quote(task_id, safe='')}/{fence}/{kind.value}"
    signed = f"{PREFIX}{where}?exp={expires}"
    return f"{signed}&sig={signatures.sign(secret, _string(signed))}"


def app_of(path: str) -> str:
    """Return the id of the app that a path says it is of; nothing is verified by that.

    Raises:
        BadBlob: not of a path's form.
    """
    return unquote(_match(path)["app"])


def verify_blob(path: str, secret: str, now: float) -> Blob:
    """Return what a path is for; ``now`` is Unix time in seconds.

    Raises:
        BadBlob: not one of ours, not signed with this secret, or expired.
    """
    match = _match(path)
    if not signatures.matches(secret, _string(match["signed"]), match["sig"]):
        raise BadBlob("it was not made with this app's secret")
    if now >= int(match["exp"]):
        raise BadBlob(f"it ended {int(now) - int(match['exp'])} s ago")
    kind = BlobKind(match["kind"])
    return Blob(unquote(match["app"]), unquote(match["task"]), int(match["fence"]), kind)


def _match(path: str) -> re.Match[str]:
    match = _PATH.fullmatch(path)
    if match is None:
        raise BadBlob("expected the path as it was given, with exp and sig")
    return match


def _string(signed: str) -> str:
    return f"sched/1 blob:{signed}"
