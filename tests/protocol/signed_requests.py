"""API requests signed without ``callboard_protocol``, in bytes, as any SDK might write them."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from hashlib import md5

import pytest

from callboard_protocol.rest_signature import SignedRequest, Unauthorized, verify

APP_KEY, SECRET = "app-key", "app-secret-0"
NOW = 1_700_000_000.0


def parameters(**changes: str | None) -> dict[str, str]:
    """Return what is signed in every request; ``changes`` set a name, or remove it with None."""
    values: dict[str, str | None] = {
        "auth_key": APP_KEY,
        "auth_timestamp": f"{NOW:.0f}",
        "auth_version": "1.0",
        **changes,
    }
    return {name: value for name, value in values.items() if value is not None}


def signature(
    method: str, path: bytes, pairs: Iterable[tuple[bytes, bytes]], secret: str = SECRET
) -> str:
    """Return the HMAC over the documented string; names are sorted, equal ones keep their order."""
    query = b"&".join(b"=".join(pair) for pair in sorted(pairs, key=lambda pair: pair[0]))
    string = b"\n".join([method.encode(), path, query])
    return hmac.new(secret.encode(), string, "sha256").hexdigest()


def request(
    values: dict[str, str] | None = None,
    method: str = "POST",
    path: str = "/apps/1/events",
    body: bytes = b"",
    secret: str = SECRET,
) -> SignedRequest:
    """Return a request as the documentation writes it: nothing escaped, the signature last."""
    values = dict(parameters() if values is None else values)
    if body:
        values.setdefault("body_md5", md5(body, usedforsecurity=False).hexdigest())
    pairs = [(name.encode(), value.encode()) for name, value in values.items()]
    signed = signature(method, path.encode(), pairs, secret).encode()
    query = b"&".join(b"=".join(pair) for pair in [*pairs, (b"auth_signature", signed)])
    return SignedRequest(method, path.encode(), query, body)


def refusal(signed: SignedRequest, now: float = NOW) -> str:
    """Return why the request is refused."""
    with pytest.raises(Unauthorized) as refused:
        verify(signed, APP_KEY, SECRET, now)
    return str(refused.value)
