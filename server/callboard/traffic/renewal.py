"""What clients and backends say again: signed for this service, with the socket ids of now.

What was left out of a recording is filled with as many characters as it had bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from callboard.traffic.recording import ClientFrame, Request
from callboard.traffic.redaction import SECRET
from callboard_client.signed_request import Credentials, signed_query
from callboard_protocol import signatures


def client_frame(frame: Mapping[str, Any], socket_id: str, credentials: Credentials) -> bytes:
    """Return a client's frame as it is to be sent on this connection."""
    said = _filled(frame)
    if frame["event"] in ("pusher:subscribe", "pusher:signin"):
        said["data"] = _signed(frame["event"], said.get("data"), socket_id, credentials)
    return orjson.dumps(said)


def unread(record: ClientFrame) -> bytes:
    """Return something as long as what was said, which is no JSON either."""
    return b"x" * (record.unread_bytes or 0)


def _signed(event: str, data: Any, socket_id: str, credentials: Credentials) -> Any:
    found = _json(data) if isinstance(data, str) else data
    # Without a secret in it there was none: a refusal is played as well.
    if not isinstance(found, dict) or found.get("auth") != SECRET:
        return data
    if event == "pusher:signin":
        string = signatures.user_string(socket_id, str(found.get("user_data")))
    else:
        channel_data = found.get("channel_data")
        string = signatures.channel_string(
            socket_id,
            str(found.get("channel")),
            channel_data if isinstance(channel_data, str) else None,
        )
    renewed = {**found, "auth": signatures.auth(credentials.key, credentials.secret, string)}
    return orjson.dumps(renewed).decode() if isinstance(data, str) else renewed


def content(request: Request, socket_ids: Mapping[str, str]) -> bytes | None:
    """Return a request's body, None if the recording has too little of it.

    ``socket_ids`` maps those of the recording to those of now; others stay.
    """
    if request.body is not None:
        body = _filled(_here(request.body, socket_ids))
        if isinstance(batch := body.get("batch"), list):
            body["batch"] = [
                _filled(_here(each, socket_ids)) if isinstance(each, dict) else each
                for each in batch
            ]
        return orjson.dumps(body)
    if request.text is not None:
        return request.text.encode()
    if request.body_bytes is None:
        return b""
    is_data = request.path.startswith("/channels/") and request.path.endswith("/events")
    return b"x" * request.body_bytes if is_data else None


def path_and_query(
    request: Request,
    body: bytes,
    socket_ids: Mapping[str, str],
    credentials: Credentials,
    now: float,
) -> str:
    """Return what to ask the service for, signed at ``now``, which is Unix time in seconds."""
    path = request.path if request.app is None else f"/apps/{credentials.app_id}{request.path}"
    parameters = _here(request.parameters, socket_ids)
    query = signed_query(credentials, request.method, path, parameters, body, now)
    return f"{path}?{query}"


def _here(fields: Mapping[str, Any], socket_ids: Mapping[str, str]) -> dict[str, Any]:
    socket_id = fields.get("socket_id")
    if not isinstance(socket_id, str):
        return dict(fields)
    return {**fields, "socket_id": socket_ids.get(socket_id, socket_id)}


def _filled(event: Mapping[str, Any]) -> dict[str, Any]:
    filled = dict(event)
    length = filled.pop("data_bytes", None)
    if isinstance(length, int):
        filled["data"] = "x" * length
    return filled


def _json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
