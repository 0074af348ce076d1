"""Targets as they are typed: ``[NAME=]http[s]://KEY:SECRET@HOST[:PORT]/apps/ID``.

That is the form in which Pusher's libraries take an app from ``PUSHER_URL``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from callboard_bench.api import App
from callboard_bench.targets.target import Address

FORM: Final = "http://KEY:SECRET@HOST:PORT/apps/ID"

_NAMED: Final = re.compile(r"([\w.-]+)=(.*)", re.DOTALL)
_PATH: Final = re.compile(r"/apps/([^/]+)/?")
#: A secret may hold an @, as a host cannot.
_SECRET: Final = re.compile(r"(://[^:/@\s]*:)([^/\s]*)@")
_STRUCK: Final = "***"
_PORTS: Final = {"http": 80, "https": 443}


class BadUrl(ValueError):
    """It is no such URL; the text says what was expected, and holds no secret."""


@dataclass(frozen=True, slots=True)
class Url:
    """What a URL says; ``name`` is host and port where none was given (``named``)."""

    name: str
    named: bool
    app: App
    host: str
    port: int
    tls: bool


def parse_url(text: str) -> Url:
    """Parse one, with its name if it has one.

    Raises:
        BadUrl: the text says what was expected.
    """
    named = _NAMED.fullmatch(text)
    name, address = named.groups() if named is not None else ("", text)
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        raise BadUrl(f"the host or port of a target is not understood; write {FORM}") from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise BadUrl(f"a target begins with http:// or https:// and a host; write {FORM}")
    if not parts.username or not parts.password:
        raise BadUrl(f"a target needs the app's key and secret before its host; write {FORM}")
    path = _PATH.fullmatch(parts.path)
    if path is None or parts.query or parts.fragment:
        raise BadUrl(f"a target ends with the app's path, /apps/ID; write {FORM}")
    app = App(unquote(path[1]), unquote(parts.username), unquote(parts.password))
    port = _PORTS[parts.scheme] if port is None else port
    host = parts.hostname
    tls = parts.scheme == "https"
    return Url(name or Address(host, port).authority, bool(name), app, host, port, tls)


def without_secrets(words: Sequence[str]) -> list[str]:
    """Return a command line's words with the secrets of all URLs in them struck out.

    They are struck out wherever they stand: what starts a server is told the same secret.
    """
    found = {secret for word in words for _, secret in _SECRET.findall(word)}
    secrets = {form for secret in found for form in (secret, unquote(secret)) if form}
    alone = "|".join(map(re.escape, secrets)) or "(?!)"
    return [
        re.sub(rf"(?<![\w-])({alone})(?![\w-])", _STRUCK, _SECRET.sub(rf"\1{_STRUCK}@", word))
        for word in words
    ]
