"""``sched/1``: what scheduler and worker say to one another, as JSON in Pusher events.

Down, event ``sched``: ``{"v":1,"term":7,"n":1042,"m":[…]}``. Up, event ``client-sched``:
``{"v":1,"boot":"k3f…","n":88,"m":[…]}``. ``m`` is always a list, so batching needs no message of
its own. Rules that hold on any transport:

1. Any message may be lost, doubled or late: each carries its identity and can be repeated.
2. ``id`` is a task and ``f`` its fence: one integer for each assignment, growing, below 2^53.
3. Times are spans in milliseconds; no clock is compared between machines.
4. What is unknown is skipped: messages by their ``t``, and fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from callboard_scheduler.records import Failure, MaybeRaw, Raw

VERSION: Final = 1
#: Why a worker rejects a task whose name it does not know: it is given none of that name again.
UNKNOWN_NAME: Final = "unknown name"


class _Message(msgspec.Struct, tag_field="t", omit_defaults=True, gc=False):
    """One message; its class's tag is its ``t``."""


# Up: from a worker


class Hello(_Message, tag="hello"):
    """I exist, and these assignments are mine. Repeated until ``welcome``."""

    w: str
    cap: int = 1
    free: int = 1
    q: list[str] = msgspec.field(default_factory=lambda: ["default"])
    #: Task names it can run; all if None.
    names: list[str] | None = None
    labels: dict[str, Any] = {}
    sdk: str = ""
    host: str = ""
    #: Whether it comes back after a broken connection with its tasks still running.
    resume: bool = False
    run: list[tuple[str, int]] = []
    #: Whether it will send ``hb``; who never does keeps a task until it times out.
    hb: bool = False
    pool: str = "default"
    token: str | None = None


class Accept(_Message, tag="accept"):
    """It has started."""

    id: str
    f: int


class Reject(_Message, tag="reject"):
    """Not here: busy, draining, unknown name, bad arguments."""

    id: str
    f: int
    why: str = ""
    after_ms: int = 0


class ProgressReport(_Message, tag="progress"):
    """How far it is; the highest ``s`` of an assignment is the newest."""

    id: str
    f: int
    s: int = 0
    pct: float | None = None
    msg: str | None = None
    data: MaybeRaw = None


class Log(_Message, tag="log"):
    """A line of text, at best effort."""

    id: str
    f: int
    s: int = 0
    lvl: str = "info"
    txt: str = ""


class ResultError(msgspec.Struct, omit_defaults=True):
    """Why it failed; ``retry`` False means never again, ``after_ms`` replaces the back-off."""

    type: str = "Error"
    msg: str = ""
    retry: bool = True
    after_ms: int | None = None

    def failure(self) -> Failure:
        return Failure(self.type, self.msg)


class Result(_Message, tag="result"):
    """It has finished. Repeated until ``done`` for this ``f``.

    ``ref`` says that the value was stored at the assignment's ``put_url`` instead.
    """

    id: str
    f: int
    ok: bool = True
    val: MaybeRaw = None
    ref: bool = False
    err: ResultError | None = None
    ms: int | None = None


class Released(_Message, tag="released"):
    """It has stopped as asked; ``ck`` is a checkpoint for whoever carries on."""

    id: str
    f: int
    ck: MaybeRaw = None


class Checkpoint(_Message, tag="checkpoint"):
    """Where a later attempt may carry on if this one does not end well."""

    id: str
    f: int
    ck: MaybeRaw = None


class Heartbeat(_Message, tag="hb"):
    """I am alive and hold these; renews their leases."""

    n: int = 0
    free: int = 0
    run: list[tuple[str, int]] = []
    load: float | None = None
    #: Highest ``rev`` applied of each update received, by task id.
    rev: dict[str, int] = {}


class Capacity(_Message, tag="cap"):
    """My capacity has changed."""

    cap: int
    free: int
    q: list[str] | None = None


class Bye(_Message, tag="bye"):
    """I leave, and hold nothing that shall be waited for."""

    why: str = ""


UpMessage = (
    Hello
    | Accept
    | Reject
    | ProgressReport
    | Log
    | Result
    | Released
    | Checkpoint
    | Heartbeat
    | Capacity
    | Bye
)

# Down: to a worker


class Limits(msgspec.Struct):
    """What the service lets a worker send: bytes of one event's data, events a second."""

    bytes: int
    rate: int


class Welcome(_Message, tag="welcome"):
    """The session is open; ``run`` has a verdict, ``go`` or ``stop``, on each claim.

    ``boot`` is the process it is for: two of one id hear each other's messages.
    """

    sid: str
    boot: str
    hb_ms: int
    lease_ms: int
    grace_ms: int
    lim: Limits
    run: list[tuple[str, int, str]] = []
    now: int = 0


class Assign(_Message, tag="assign"):
    """Do this. Repeated until it is heard of; ``ref`` is where large arguments are."""

    id: str
    f: int
    att: int
    name: str
    args: MaybeRaw = None
    ref: str | None = None
    lease_ms: int = 0
    timeout_ms: int | None = None
    left_ms: int | None = None
    prio: int = 0
    prog_ms: int = 0
    put_url: str | None = None
    ck: MaybeRaw = None
    rev: int = 1


class Update(_Message, tag="update"):
    """The task changed under you."""

    id: str
    f: int
    rev: int
    left_ms: int | None = None
    timeout_ms: int | None = None
    args: MaybeRaw = None
    ref: str | None = None
    prio: int | None = None


class Revoke(_Message, tag="revoke"):
    """Stop, within ``within_ms``."""

    id: str
    f: int
    why: str
    within_ms: int


class Done(_Message, tag="done"):
    """What you reported is recorded: ``[id, f, outcome]`` each."""

    r: list[tuple[str, int, str]]


class HeartbeatAck(_Message, tag="hb_ack"):
    """I hear you; stop these; I believe you hold those: do you?"""

    n: int
    stop: list[tuple[str, int]] = []
    lost: list[tuple[str, int]] = []


class Drain(_Message, tag="drain"):
    """Finish what you have and leave."""

    within_ms: int


class Resync(_Message, tag="resync"):
    """I may have forgotten you: say hello again."""


class Refused(_Message, tag="refused"):
    """Your hello is not accepted; ``why`` says what to change. ``boot`` is as in ``welcome``."""

    why: str
    boot: str = ""


DownMessage = Welcome | Assign | Update | Revoke | Done | HeartbeatAck | Drain | Resync | Refused


class UpEnvelope(msgspec.Struct):
    """What a worker sent in one event."""

    boot: str
    n: int
    m: Sequence[UpMessage]


class DownEnvelope(msgspec.Struct):
    """What the scheduler sent in one event."""

    term: int
    n: int
    m: Sequence[DownMessage]


class BadEnvelope(ValueError):
    """The data of an event is not an envelope of a version that is understood."""


class _Loose(msgspec.Struct):
    m: list[Raw]
    v: int = VERSION
    boot: str = ""
    term: int = 0
    n: int = 0


class _Up(msgspec.Struct):
    m: list[UpMessage]
    v: int = VERSION
    boot: str = ""
    n: int = 0


class _Down(msgspec.Struct):
    m: list[DownMessage]
    v: int = VERSION
    term: int = 0
    n: int = 0


_up = msgspec.json.Decoder(_Up)
_down = msgspec.json.Decoder(_Down)
_loose = msgspec.json.Decoder(_Loose)
_up_message = msgspec.json.Decoder(UpMessage)
_down_message = msgspec.json.Decoder(DownMessage)
_encoder = msgspec.json.Encoder()


def decode_up(data: str | bytes) -> UpEnvelope:
    """Read what a worker sent; messages that are not understood are left out.

    Raises:
        BadEnvelope: not an envelope at all; the text says what was expected.
    """
    try:
        up = _up.decode(data)
    except msgspec.ValidationError:
        loose = _read_loose(data)
        return UpEnvelope(loose.boot, loose.n, _understood(_up_message, loose.m))
    except (msgspec.DecodeError, UnicodeError) as error:
        raise BadEnvelope(f"the data is not JSON: {error}") from None
    _check_version(up.v)
    return UpEnvelope(up.boot, up.n, up.m)


def decode_down(data: str | bytes) -> DownEnvelope:
    """Read what the scheduler sent; messages that are not understood are left out.

    Raises:
        BadEnvelope: not an envelope at all; the text says what was expected.
    """
    try:
        down = _down.decode(data)
    except msgspec.ValidationError:
        loose = _read_loose(data)
        return DownEnvelope(loose.term, loose.n, _understood(_down_message, loose.m))
    except (msgspec.DecodeError, UnicodeError) as error:
        raise BadEnvelope(f"the data is not JSON: {error}") from None
    _check_version(down.v)
    return DownEnvelope(down.term, down.n, down.m)


def encode_up(boot: str, n: int, messages: Iterable[UpMessage | Raw]) -> str:
    """Return the data of one ``client-sched`` event; messages may be encoded already."""
    return _encoder.encode({"v": VERSION, "boot": boot, "n": n, "m": list(messages)}).decode()


def encode_down(term: int, n: int, messages: Iterable[DownMessage]) -> str:
    """Return the data of one ``sched`` event."""
    return _encoder.encode({"v": VERSION, "term": term, "n": n, "m": list(messages)}).decode()


def _read_loose(data: str | bytes) -> _Loose:
    try:
        loose = _loose.decode(data)
    except msgspec.ValidationError as error:
        raise BadEnvelope(f'expected {{"v":1,"m":[…]}}: {error}') from None
    _check_version(loose.v)
    return loose


def _check_version(version: int) -> None:
    if version != VERSION:
        raise BadEnvelope(f"version {version} of sched is not understood; expected {VERSION}")


def _understood(decoder: msgspec.json.Decoder[Any], messages: Iterable[Raw]) -> list[Any]:
    understood = []
    for message in messages:
        try:
            understood.append(decoder.decode(message))
        except msgspec.ValidationError:
            continue
    return understood
