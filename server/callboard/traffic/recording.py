"""The form of a recording: lines of JSON, the first of which says the format.

1. A line is written whole and in order of time, so whatever ends the recorder leaves at most the
   last line broken; a reader leaves that one out and says so (:attr:`Recording.torn`).
2. ``ms`` is milliseconds since the recorder began, ``what`` is what happened. Connections have
   numbers from 1 and requests numbers of their own; neither is used twice.
3. A frame is the JSON object that passed, without its secrets. What is no such object is not
   kept, only how long it was: nobody can say what is secret in it.
4. ``data_bytes`` in place of ``data`` is the length in UTF-8 of data that was left out.
5. Readers skip fields that they do not know. A change that they cannot skip gets another number
   in :data:`FORMAT`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from callboard.traffic.errors import BadRecording
from callboard_protocol import __version__

FORMAT: Final = "traffic/1"

#: Codes for a close frame without one, and for no close frame at all (RFC 6455, 7.4.1).
NO_CODE: Final = 1005
NO_CLOSE_FRAME: Final = 1006

#: Who ended a connection; the recorder's own end is nobody's wish.
By = Literal["client", "server", "recorder"]
Transport = Literal["websocket", "fallback"]
#: Whatever is asked for stays behind the host and port of whom it is played into (RFC 9110, 9.1;
#: RFC 3986, 3.3).
Method = Annotated[str, Meta(pattern=r"\A[\w!#$%&'*+.^`|~-]+\Z")]
ApiPath = Annotated[str, Meta(pattern=r"\A(/|\Z)")]


#: A year and a day, and four times what passes at once, since numbers may be written longer than
#: they came. Whoever plays a recording waits so long, and sends so much.
MAX_MS: Final = 366 * 24 * 3600 * 1000
MAX_BYTES: Final = 64 * 1024 * 1024
Milliseconds = Annotated[float, Meta(ge=0, le=MAX_MS)]
Length = Annotated[int, Meta(ge=0, le=MAX_BYTES)]


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line."""

    callboard: str
    #: When the recorder began, in milliseconds of Unix time.
    started_ms: int
    #: Whether what applications say was left out.
    data: Literal["kept", "redacted"] = "kept"


class Record(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="what"):
    """Any other line."""

    ms: Milliseconds


class Connect(Record, frozen=True, kw_only=True, tag="connect"):
    """The service has let a client in; ``parameters`` are those of its query that are known."""

    connection: int
    transport: Transport
    key: str
    parameters: dict[str, str] = {}


class Refused(Record, frozen=True, kw_only=True, tag="refused"):
    """A client got no connection; ``status`` is HTTP's, None if the service did not answer."""

    key: str
    status: int | None = None


class Frame(Record, frozen=True, kw_only=True):
    """One of ``frame`` and ``unread_bytes`` is there; ``binary`` is one that was no text."""

    connection: int
    frame: dict[str, Any] | None = None
    unread_bytes: Length | None = None
    binary: bool = False

    def __post_init__(self) -> None:
        if self.frame is not None and not isinstance(self.frame.get("event"), str):
            raise ValueError("expected an event in the frame")


class ClientFrame(Frame, frozen=True, kw_only=True, tag="client"):
    """A client said something."""


class ServerFrame(Frame, frozen=True, kw_only=True, tag="server"):
    """The service said something."""


class Disconnect(Record, frozen=True, kw_only=True, tag="disconnect"):
    """A connection ended."""

    connection: int
    by: By
    code: int
    reason: str = ""


class Request(Record, frozen=True, kw_only=True, tag="request"):
    """A call of the HTTP API; what is about its signature is left out but for the key.

    ``path`` follows ``/apps/ID``, or is whole where there is no app in it. The body is ``body``
    if it is JSON, ``text`` if it is data itself, else it is not kept.
    """

    request: int
    method: Method
    path: ApiPath
    app: str | None = None
    key: str | None = None
    parameters: dict[str, str] = {}
    body: dict[str, Any] | None = None
    text: str | None = None
    body_bytes: Length | None = None


class Answer(Record, frozen=True, kw_only=True, tag="answer"):
    """What a request was answered; None if there was no answer."""

    request: int
    status: int | None = None


class Held(Record, frozen=True, kw_only=True, tag="held"):
    """All traffic has waited this long, because the disk took the recording too slowly."""

    for_ms: Milliseconds


AnyRecord = Connect | Refused | ClientFrame | ServerFrame | Disconnect | Request | Answer | Held

_encoder: Final = msgspec.json.Encoder()
_header: Final = msgspec.json.Decoder(Header)
_record: Final = msgspec.json.Decoder(AnyRecord)


def line(record: Header | Record) -> bytes:
    """Return a record as its line."""
    return _encoder.encode(record) + b"\n"


class Recording:
    """A recorded file; iterate over it for its records, as often as you like.

    Raises:
        BadRecording: it cannot be read, or its first line is not one that this version knows.
            Iterating raises it for any other line that is broken, but for the last.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        #: Whether the last line was broken, once it has been reached.
        self.torn = False
        try:
            with path.open("rb") as file:
                first = file.readline()
        except OSError as error:
            raise BadRecording(f"Cannot read {path}: {error.strerror}.") from None
        self.header = _read_header(path, first)

    def __iter__(self) -> Iterator[AnyRecord]:
        with self.path.open("rb") as file:
            file.readline()
            for number, text in enumerate(file, 2):
                try:
                    yield _checked(_record.decode(text))
                except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                    if text.endswith(b"\n"):
                        raise BadRecording(
                            f"Line {number} of {self.path} is no record: {error}. Only the last "
                            "line of a recording may be broken; take this one out to go on."
                        ) from None
                    self.torn = True


def _checked(record: AnyRecord) -> AnyRecord:
    """Return a record, and look at lengths within what passed.

    Raises:
        msgspec.ValidationError: no data is so long.
    """
    match record:
        case Frame(frame=dict() as passed) | Request(body=dict() as passed):
            batch = passed.get("batch")
            for each in (passed, *(batch if isinstance(batch, list) else ())):
                length = each.get("data_bytes", 0) if isinstance(each, dict) else 0
                if not isinstance(length, int) or not 0 <= length <= MAX_BYTES:
                    raise msgspec.ValidationError(f"Expected `data_bytes` from 0 to {MAX_BYTES}")
    return record


def _read_header(path: Path, first: bytes) -> Header:
    if not first:
        raise BadRecording(f"{path} is empty: nothing was recorded.")
    try:
        header = _header.decode(first)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        header = None
    name = _format_of(first) if header is None else header.callboard
    if name is not None and name != FORMAT:
        raise BadRecording(
            f"{path} has the format {name[:40]!r}, but Callboard {__version__} reads {FORMAT!r}. "
            "Use the version that has recorded it, or a later one."
        )
    if header is None:
        raise BadRecording(
            f"{path} is no recording: expected a first line that begins with "
            f'{{"callboard":"{FORMAT}". `callboard record` writes such files.'
        )
    return header


def _format_of(first: bytes) -> str | None:
    """Return the format of a first line that says no more than that in a way known here."""
    try:
        found = msgspec.json.decode(first)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    name = found.get("callboard") if isinstance(found, dict) else None
    return name if isinstance(name, str) else None
