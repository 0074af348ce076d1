"""The signature of a request to the HTTP API.

``METHOD\\nPATH\\nQUERY``, where QUERY is every query parameter but ``auth_signature``, keys in
lower case and sorted, values not percent-encoded, joined as ``k=v`` with ``&``. A body is
covered through ``body_md5``. Source: the documentation's "Generating authentication
signatures" and the ``pusher-signature`` gem, whose error texts hosted Pusher answers with.

SDKs differ in how they write the same request, so the signature may hold over the values as
sent (Go sends them unescaped) or decoded, and over the path as sent or decoded. Working in
bytes makes every form exact.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import md5
from hmac import compare_digest
from typing import Final
from urllib.parse import unquote_to_bytes

from callboard_protocol.digest import signer

#: How far a request's clock may be off, in seconds; a request exactly this old is refused.
TIMESTAMP_WINDOW_SECONDS: Final = 600


class Unauthorized(Exception):
    """A request is not signed as it should be; ``str()`` is the body of the 401."""


@dataclass(slots=True)
class SignedRequest:
    """The parts of a request that its signature covers, as received.

    ``path`` is without query and without any prefix a proxy added, ``query`` without ``?``.
    """

    method: str
    path: bytes
    query: bytes
    body: bytes


def sign(secret: str, method: str, path: str, parameters: dict[str, str]) -> str:
    """Return ``auth_signature`` for a request with these decoded query parameters."""
    pairs = [(name.lower().encode(), value.encode()) for name, value in parameters.items()]
    string = _string(method, path.encode(), pairs)
    return signer(secret).sign(string)


def body_md5(body: bytes) -> str:
    """Return the value of ``body_md5``: a checksum demanded by the API, not a safeguard."""
    return md5(body, usedforsecurity=False).hexdigest()


def verify(request: SignedRequest, key: str, secret: str, now: float) -> dict[str, str]:
    """Check a request against the key and secret of the app that its path names.

    ``now`` is Unix time in seconds. Returns the decoded query parameters that are not about
    the signature.

    Raises:
        Unauthorized: with the reason, as hosted Pusher words it.
    """
    if _is_usual_and_right(request, key, secret, now):
        return {}
    parameters = {_decode(name).lower(): _decode(value) for name, value in _pairs(request)}
    given_key = parameters.get(b"auth_key")
    if given_key is None:
        raise Unauthorized("Missing parameter: auth_key")
    if not compare_digest(given_key, key.encode()):
        raise Unauthorized("Unknown auth_key")
    _check_version(parameters)
    _check_timestamp(parameters, now)
    _check_signature(_candidates(request), secret, parameters)
    _check_body(request.body, parameters)
    return {
        name.decode("utf-8", "replace"): value.decode("utf-8", "replace")
        for name, value in parameters.items()
        if name not in _SIGNATURE_PARAMETERS
    }


#: How most SDKs write the query of a request with a body: in the order it is signed in. Whether
#: the digests are digests need not be asked, since they are compared with some.
_USUAL_QUERY: Final = re.compile(
    rb"auth_key=([^&%+]+)&auth_timestamp=([0-9]{1,12})&auth_version=1\.0"
    rb"&body_md5=(.{32})&auth_signature=(.{64})",
    re.DOTALL,
)
#: A number, since bytes are taken for one at first, at eight times the cost.
_PERCENT: Final = ord("%")
_SIGNATURE_BYTES: Final = len(b"&auth_signature=") + 64


def _is_usual_and_right(request: SignedRequest, key: str, secret: str, now: float) -> bool:
    """Accept a request of the usual form in a third of the time; any other goes the long way.

    It only ever accepts what the long way would: a refusal is explained there.
    """
    usual = _USUAL_QUERY.fullmatch(request.query)
    if usual is None or _PERCENT in request.path:
        return False
    given_key, timestamp, given_md5, signature = usual.groups()
    if given_key != key.encode() or abs(now - int(timestamp)) >= TIMESTAMP_WINDOW_SECONDS:
        return False
    # Everything before the signature is what was signed.
    signed = request.query[:-_SIGNATURE_BYTES]
    string = b"\n".join((request.method.encode(), request.path, signed))
    if not compare_digest(signer(secret).sign(string).encode(), signature):
        return False
    return md5(request.body, usedforsecurity=False).hexdigest().encode() == given_md5


_SIGNATURE_PARAMETERS: Final = frozenset(
    (b"auth_key", b"auth_timestamp", b"auth_version", b"auth_signature", b"body_md5")
)


def _check_version(parameters: dict[bytes, bytes]) -> None:
    version = parameters.get(b"auth_version")
    if version is None:
        raise Unauthorized("Version required")
    if version != b"1.0":
        raise Unauthorized("Version not supported")


def _check_timestamp(parameters: dict[bytes, bytes], now: float) -> None:
    text = parameters.get(b"auth_timestamp")
    if text is None:
        raise Unauthorized("Timestamp required")
    # isdigit() on bytes is ASCII only, and the length keeps int() away from endless digits.
    if not text.isdigit() or len(text) > 12:
        shown = text[:40].decode("utf-8", "replace")
        raise Unauthorized(f"Timestamp required: {shown!r} is not a Unix time in seconds")
    timestamp = int(text)
    if abs(now - timestamp) >= TIMESTAMP_WINDOW_SECONDS:
        raise Unauthorized(
            f"Timestamp expired: Given timestamp ({_iso(timestamp)}) not within "
            f"{TIMESTAMP_WINDOW_SECONDS}s of server time ({_iso(now)})"
        )


def _check_signature(strings: Iterable[bytes], secret: str, parameters: dict[bytes, bytes]) -> None:
    given = parameters.get(b"auth_signature")
    if given is None:
        raise Unauthorized("Missing parameter: auth_signature")
    sign_with = signer(secret).sign
    shown = b""
    for string in strings:
        if compare_digest(sign_with(string).encode(), given):
            return
        shown = string
    text = shown.decode("utf-8", "replace").replace("\n", "\\n")
    raise Unauthorized(
        f'Invalid signature: you should have sent HmacSHA256Hex("{text}", your_secret_key), '
        f'but you sent "{given[:128].decode("utf-8", "replace")}"'
    )


def _check_body(body: bytes, parameters: dict[bytes, bytes]) -> None:
    given = parameters.get(b"body_md5")
    if given is None:
        if body:
            raise Unauthorized("Missing parameter: body_md5 is required for a request with a body")
        return
    expected = body_md5(body)
    if not compare_digest(expected.encode(), given.lower()):
        # Some SDKs sign GET requests with an empty body_md5.
        if not body and not given:
            return
        raise Unauthorized(
            f"Invalid body_md5: the MD5 of the body received is {expected}, "
            f'but you sent "{given[:128].decode("utf-8", "replace")}"'
        )


def _candidates(request: SignedRequest) -> Iterator[bytes]:
    """Yield every string this request may have been signed as, the documented one last."""
    raw = _pairs(request)
    queries = (
        [(name.lower(), value) for name, value in raw],
        [(unquote_to_bytes(name).lower(), unquote_to_bytes(value)) for name, value in raw],
        [(_decode(name).lower(), _decode(value)) for name, value in raw],
    )
    for path in dict.fromkeys((unquote_to_bytes(request.path), request.path)):
        for query in queries:
            yield _string(request.method, path, query)


def _string(method: str, path: bytes, pairs: list[tuple[bytes, bytes]]) -> bytes:
    # The sort is stable, so repeated names (Ruby's k[]) keep their order.
    query = b"&".join(
        name + b"=" + value
        for name, value in sorted(pairs, key=_name_of)
        if name != b"auth_signature"
    )
    return b"%s\n%s\n%s" % (method.upper().encode(), path, query)


def _name_of(pair: tuple[bytes, bytes]) -> bytes:
    return pair[0]


def _pairs(request: SignedRequest) -> list[tuple[bytes, bytes]]:
    found = (part.partition(b"=") for part in request.query.split(b"&") if part)
    return [(name, value) for name, _, value in found]


def _decode(value: bytes) -> bytes:
    """Decode a query value as a form does: ``+`` is a space."""
    if b"%" not in value and b"+" not in value:
        return value
    return unquote_to_bytes(value.replace(b"+", b" "))


def _iso(timestamp: float) -> str:
    try:
        return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, OSError, ValueError):
        return str(int(timestamp))
