"""Benchmarks of the protocol: what is done for each frame, message and signature."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice
from typing import Final

from callboard_bench.micro.benchmark import Benchmark, calling
from callboard_protocol import frames, messages, rest_signature, signatures, webhooks
from callboard_protocol.rest_signature import SignedRequest

_KEY: Final = "bench-key"
_SECRET: Final = "bench-secret-of-32-characters-xx"
#: No clock is asked: the signature's time is the time at which it is checked.
_NOW: Final = 1_700_000_000
_CHANNEL: Final = "private-orders"
_SOCKET_ID: Final = "123456.7891011"
_DATA: Final = '{"id":4711,"state":"shipped","note":"' + "x" * 80 + '"}'
_SUBSCRIBE: Final = (
    '{"event":"pusher:subscribe","data":{"auth":"bench-key:' + "0123456789abcdef" * 4 + '",'
    f'"channel":"{_CHANNEL}"}}}}'
)
_LIMIT_BYTES: Final = 1 << 20


def benchmarks() -> Sequence[Benchmark]:
    """Return the benchmarks of :mod:`callboard_protocol`."""
    event = messages.channel_event("order-changed", _CHANNEL, _DATA)
    string = signatures.channel_string(_SOCKET_ID, _CHANNEL)
    hook = webhooks.body(_NOW * 1000, [webhooks.channel_occupied(_CHANNEL)])
    frame = _masked(_SUBSCRIBE.encode())
    return [
        calling(
            "event-encode",
            f"an event as JSON, {len(event)} bytes",
            messages.channel_event,
            "order-changed",
            _CHANNEL,
            _DATA,
        ),
        calling(
            "frame-encode",
            f"the text frame of a message of {len(event)} bytes",
            frames.text_frame,
            event,
        ),
        calling(
            "frame-cut",
            f"a client's masked text frame of {len(_SUBSCRIBE)} bytes cut and unmasked",
            frames.cut_text_frame,
            frame,
            0,
            _LIMIT_BYTES,
            gives=(_SUBSCRIBE.encode(), len(frame)),
        ),
        calling(
            "client-decode",
            f"a client's message of {len(_SUBSCRIBE)} bytes decoded",
            messages.decode_client_message,
            _SUBSCRIBE,
        ),
        calling(
            "rest-verify",
            "the signature of a trigger checked, body included",
            rest_signature.verify,
            _trigger(),
            _KEY,
            _SECRET,
            float(_NOW),
            gives={},
        ),
        calling(
            "channel-auth",
            "the signature of a private channel's subscription checked",
            signatures.matches,
            _SECRET,
            string,
            signatures.sign(_SECRET, string),
            gives=True,
        ),
        calling(
            "webhook-sign",
            f"the headers of a webhook of {len(hook)} bytes signed",
            webhooks.signed_headers,
            _KEY,
            _SECRET,
            hook,
        ),
    ]


def _masked(payload: bytes) -> bytes:
    """Return a client's frame; the mask is always the same, so that every run has the same work."""
    mask = b"\x37\xfa\x21\x3d"
    masked = bytes(a ^ b for a, b in zip(payload, islice(cycle(mask), len(payload)), strict=True))
    return b"\x81\xfe" + len(payload).to_bytes(2, "big") + mask + masked


def _trigger() -> SignedRequest:
    path = "/apps/bench/events"
    body = b'{"name":"order-changed","channels":["private-orders"],"data":"' + b"x" * 120 + b'"}'
    parameters = {
        "auth_key": _KEY,
        "auth_timestamp": str(_NOW),
        "auth_version": "1.0",
        "body_md5": rest_signature.body_md5(body),
    }
    parameters["auth_signature"] = rest_signature.sign(_SECRET, "POST", path, parameters)
    # In the order in which most SDKs write it, the signature last.
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    return SignedRequest("POST", path.encode(), query.encode(), body)
