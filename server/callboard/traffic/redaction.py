"""What of the traffic may be kept: everything but secrets, or less.

1. A signature is a secret: whoever has it and the connection's id may join in its place, and a
   signed request may be sent again for ten minutes. It becomes :data:`SECRET`, which also says
   that there was one. App keys are public and stay, as do the ids of users.
2. In what the protocol says (``pusher:…``, ``pusher_internal:…`` and bodies of the API) fields of
   the names in :data:`SECRET_NAMES` are secrets at any depth, also in JSON that stands in a
   string. Data of applications is theirs: it is kept whole, or with ``data`` not at all.
3. Refusals quote what they refuse. In errors, and in the reasons of close frames, whatever the
   connection has sent as a secret is taken out, and whatever looks like a signature.
4. Of a frame only the fields of the protocol are kept. Of what is no JSON object with an event
   nothing is kept: nobody can say what is secret in it. Headers are never looked at.

With ``keep_data`` false, events keep only the length of their data, and users only their ids.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

import orjson

#: Stands where a secret was.
SECRET: Final = "***"  # noqa: S105 - it stands for one
SECRET_NAMES: Final = frozenset(
    (
        "auth",
        "auth_signature",
        "authorization",
        "cookie",
        "password",
        "secret",
        "shared_secret",
        "signature",
        "token",
    )
)
_FRAME_FIELDS: Final = ("event", "channel", "data", "user_id")
#: What belongs to the application, in bodies of the API and of the scheduler.
_OF_APPLICATIONS: Final = ("data", "args")
#: JSON in a string, of which a client's backend has signed every letter.
_SIGNED_TEXTS: Final = ("channel_data", "user_data")
_OF_THE_PROTOCOL: Final = ("pusher:", "pusher_internal:")
_ERRORS: Final = ("pusher:error", "pusher:subscription_error", "pusher_internal:subscription_error")
_SIGNATURE: Final = re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{64}(?![0-9A-Za-z])")
_PUBLISHING: Final = ("/events", "/batch_events")
_CHANNEL_EVENTS: Final = re.compile(r"/channels/[^/]+/events")
_UNREADABLE: Final = (orjson.JSONDecodeError, orjson.JSONEncodeError)
#: So many secrets of one connection are looked for in its errors.
_REMEMBERED: Final = 256

Frame = dict[str, Any]


class FrameRedaction:
    """Takes the secrets out of one connection's frames."""

    def __init__(self, *, keep_data: bool) -> None:
        self._keep_data = keep_data
        self._sent: deque[str] = deque(maxlen=_REMEMBERED)

    def client(self, text: bytes) -> Frame | None:
        """Return what may be kept of a client's frame, None if nothing."""
        frame = _frame(text)
        if frame is None:
            return None
        if "data" in frame and not frame["event"].startswith("client-"):
            frame["data"] = self._protocol_data(frame["data"], _unreadable)
        return self._kept(frame)

    def server(self, text: bytes) -> Frame | None:
        """Return what may be kept of the service's frame, None if nothing."""
        frame = _frame(text)
        if frame is None:
            return None
        if "data" in frame and _is_protocol(frame):
            frame["data"] = self._protocol_data(frame["data"], self.quoted)
            if frame["event"] in _ERRORS:
                frame["data"] = _in_json_text(frame["data"], self._without_quotes, self.quoted)
        return self._kept(frame)

    def quoted(self, text: str) -> str:
        """Return a text of the service's without what it quotes of secrets."""
        if not self._keep_data and text:
            return SECRET  # it may quote data as well
        for secret in sorted(self._sent, key=len, reverse=True):
            text = text.replace(secret, SECRET)
        return _SIGNATURE.sub(SECRET, text)

    def _kept(self, frame: Frame) -> Frame:
        return frame if self._keep_data or _is_protocol(frame) else without_data(frame)

    def _protocol_data(self, data: Any, otherwise: Callable[[str], str]) -> Any:
        """Redact data; a string that is no JSON becomes what ``otherwise`` says."""
        data = _in_json_text(data, self._without_secrets, otherwise)
        return data if self._keep_data else _in_json_text(data, _without_infos, otherwise)

    def _without_secrets(self, value: Any) -> Any:
        return without_secrets(value, self._remember)

    def _remember(self, secret: Any) -> None:
        if isinstance(secret, str):
            self._sent.append(secret)
            signature = secret.rpartition(":")[2]
            if signature:
                self._sent.append(signature)

    def _without_quotes(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._without_quotes(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self._without_quotes(each) for each in value]
        return self.quoted(value) if isinstance(value, str) else value


def request_fields(
    path: str, parameters: Iterable[tuple[str, str]], content: bytes, *, keep_data: bool
) -> dict[str, Any]:
    """Return what may be kept of an API request, as fields of a record.

    ``path`` is without ``/apps/ID``. Of a parameter given twice the last one is kept.
    """
    fields: dict[str, Any] = {
        "parameters": {
            name: value
            for name, value in parameters
            if not name.lower().startswith("auth_")
            and name.lower() not in SECRET_NAMES
            and name.lower() != "body_md5"
            and (keep_data or name != "data")
        }
    }
    if not content:
        return fields
    if _CHANNEL_EVENTS.fullmatch(path):
        return fields | _raw_data(content, keep_data)
    try:
        body = _read(content)
        if isinstance(body, dict):
            body = without_secrets(body, spared=_OF_APPLICATIONS)
    except _UNREADABLE:
        body = None
    if not isinstance(body, dict):
        return fields | {"body_bytes": len(content)}
    if not keep_data and body:
        if path not in _PUBLISHING:
            return fields | {"body_bytes": len(content)}
        body = without_data(body)
        if isinstance(batch := body.get("batch"), list):
            body["batch"] = [without_data(each) for each in batch if isinstance(each, dict)]
    return fields | {"body": body}


def _raw_data(content: bytes, keep_data: bool) -> dict[str, Any]:
    try:
        return {"text": content.decode()} if keep_data else {"body_bytes": len(content)}
    except UnicodeDecodeError:
        return {"body_bytes": len(content)}


def without_secrets(
    value: Any,
    heard: Callable[[Any], None] = lambda secret: None,
    spared: tuple[str, ...] = (),
) -> Any:
    """Return a JSON value with its secrets replaced; ``heard`` is told of each.

    What stands under a name in ``spared`` stays as it is. An empty secret is none.
    """
    if isinstance(value, list):
        items: list[Any] = []
        for each in value:
            # A comprehension would be one more frame on a stack that may be deep already.
            items.append(without_secrets(each, heard, spared))  # noqa: PERF401
        return items
    if not isinstance(value, dict):
        return value
    kept: dict[str, Any] = {}
    for name, each in value.items():
        if name in spared:
            kept[name] = each
        elif name in _SIGNED_TEXTS and isinstance(each, str):
            # No user is described in a description of one.
            inside = partial(without_secrets, heard=heard, spared=(*spared, *_SIGNED_TEXTS))
            kept[name] = _in_json_text(each, inside, lambda text: text)
        elif name.lower() not in SECRET_NAMES:
            kept[name] = without_secrets(each, heard, spared)
        elif each is None or each == "":
            kept[name] = each
        else:
            heard(each)
            kept[name] = SECRET
    return kept


def without_data(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event with the length of its data in the place of it."""
    kept = {name: each for name, each in fields.items() if name != "data"}
    if "data" in fields:
        kept["data_bytes"] = data_bytes(fields["data"])
    return kept


def data_bytes(data: Any) -> int:
    """Return how long data is in UTF-8, as a string or as JSON text."""
    return len(data.encode()) if isinstance(data, str) else len(orjson.dumps(data))


def _without_infos(value: Any) -> Any:
    """Return what the protocol says, of users only their ids."""
    if isinstance(value, list):
        return [_without_infos(each) for each in value]
    if not isinstance(value, dict):
        return value
    kept: dict[str, Any] = {}
    for name, each in value.items():
        if name == "user_info":
            continue
        if name in _SIGNED_TEXTS and isinstance(each, str):
            kept[name] = _in_json_text(each, _ids, _unreadable)
        elif name == "hash" and isinstance(each, dict):
            kept[name] = dict.fromkeys(each)
        else:
            kept[name] = _without_infos(each)
    return kept


def _ids(user: Any) -> Any:
    if not isinstance(user, dict):
        return SECRET
    return {name: user[name] for name in ("user_id", "id", "watchlist") if name in user}


def _unreadable(text: str) -> str:
    return SECRET if text else text


def _in_json_text(value: Any, change: Callable[[Any], Any], otherwise: Callable[[str], str]) -> Any:
    """Change a value, or the one whose JSON text it is; a text without change stays to the letter.

    A string that is no JSON becomes what ``otherwise`` says.
    """
    if not isinstance(value, str):
        return change(value)
    try:
        found = _read(value)
    except _UNREADABLE:
        return otherwise(value)
    changed = change(found)
    return value if changed == found else orjson.dumps(changed).decode()


def _frame(text: bytes) -> Frame | None:
    try:
        found = _read(text)
    except _UNREADABLE:
        return None
    if not isinstance(found, dict) or not isinstance(found.get("event"), str):
        return None
    return {name: found[name] for name in _FRAME_FIELDS if name in found}


def _read(text: bytes | str) -> Any:
    """Return a JSON value that can be written again: it is read 1024 levels deep, and written 254.

    What can be written can be gone through as well.
    """
    found = orjson.loads(text)
    orjson.dumps(found)
    return found


def _is_protocol(frame: Frame) -> bool:
    event: str = frame["event"]
    return event.lower().startswith(_OF_THE_PROTOCOL)
