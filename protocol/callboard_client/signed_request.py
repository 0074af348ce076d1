"""A call of the HTTP API as the bytes to send, without sending them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

import orjson

from callboard_protocol import rest_signature

#: Left as they are in a query: what channel names and attribute lists are made of.
_PLAIN_IN_QUERY: Final = "-_.~@,:"
_PLAIN_IN_PATH: Final = "-_.~=@,;"


@dataclass(frozen=True, slots=True)
class Credentials:
    """An app and where its API is, as in ``http://KEY:SECRET@HOST:PORT/apps/ID``.

    ``base`` is the URL up to and without ``/apps/ID``; a path in it is a proxy's prefix.
    """

    base: str
    app_id: str
    key: str
    secret: str = field(repr=False)

    @classmethod
    def from_url(cls, url: str) -> Credentials:
        """Read the URL that Pusher's SDKs take.

        Raises:
            ValueError: a part is missing; the text says which, and never the secret.
        """
        expected = "expected http[s]://KEY:SECRET@HOST[:PORT]/apps/ID"
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise ValueError(f"API URL without http or https: {expected}")
        if not parts.username or not parts.password:
            raise ValueError(f"API URL without key and secret: {expected}")
        if not parts.hostname:
            raise ValueError(f"API URL without a host: {expected}")
        prefix, found, app_id = parts.path.rpartition("/apps/")
        app_id = app_id.rstrip("/")
        if not found or not app_id or "/" in app_id:
            raise ValueError(f"API URL without an app's id at its end: {expected}")
        host = parts.netloc.rpartition("@")[2]
        return cls(
            f"{parts.scheme}://{host}{prefix}",
            app_id,
            unquote(parts.username),
            unquote(parts.password),
        )


def signed_query(
    credentials: Credentials,
    method: str,
    path: str,
    parameters: Mapping[str, str],
    body: bytes,
    now: float,
) -> str:
    """Return the query of a signed call, ``auth_signature`` last.

    ``path`` is as it goes on the wire but without a proxy's prefix, ``now`` is Unix time in
    seconds. Source: the documentation's "Generating authentication signatures".
    """
    signed = {
        **parameters,
        "auth_key": credentials.key,
        "auth_timestamp": str(int(now)),
        "auth_version": "1.0",
    }
    if body:
        # Left out without a body: Reverb drops it from what it verifies.
        signed["body_md5"] = rest_signature.body_md5(body)
    signature = rest_signature.sign(credentials.secret, method, path, signed)
    pairs = [*sorted(signed.items()), ("auth_signature", signature)]
    return "&".join(f"{quote_query(name)}={quote_query(value)}" for name, value in pairs)


def quote_query(text: str) -> str:
    return quote(text, safe=_PLAIN_IN_QUERY)


def quote_segment(name: str) -> str:
    """Return a channel's name or a user's id as one segment of a path."""
    return quote(name, safe=_PLAIN_IN_PATH)


def data_text(data: object) -> str:
    """Return an event's data as the API wants it: a string as it is, anything else as JSON text.

    Raises:
        TypeError: neither a string nor JSON.
    """
    return data if isinstance(data, str) else orjson.dumps(data).decode()


def trigger_body(
    channels: str | Iterable[str],
    name: str,
    data: object,
    socket_id: str | None,
    info: Iterable[str],
) -> dict[str, Any]:
    """Return the body of ``POST events``."""
    names = [channels] if isinstance(channels, str) else list(channels)
    body: dict[str, Any] = {"name": name, "channels": names, "data": data_text(data)}
    if socket_id is not None:
        body["socket_id"] = socket_id
    if attributes := ",".join(info):
        body["info"] = attributes
    return body


def batch_body(events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the body of ``POST batch_events``; ``info`` of an event may be a list of names.

    Raises:
        ValueError: an event without ``name``, ``channel`` or ``data``.
    """
    batch = []
    for place, event in enumerate(events):
        if missing := [name for name in ("name", "channel", "data") if name not in event]:
            raise ValueError(f"event {place} of the batch has no {' and no '.join(missing)}")
        sent = {**event, "data": data_text(event["data"])}
        info = sent.get("info")
        if info is not None and not isinstance(info, str):
            sent["info"] = ",".join(info)
        batch.append(sent)
    return {"batch": batch}
