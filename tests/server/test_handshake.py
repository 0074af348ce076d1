"""The opening handshake: what is answered here is answered as the library does."""

from __future__ import annotations

import base64
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.datastructures import Headers
from websockets.http11 import Request
from websockets.server import ServerProtocol

from callboard_server import handshake as module
from callboard_server.handshake import handshake, library_logger

Fields = list[tuple[bytes, bytes]]

TARGET = b"/app/key?protocol=7"
#: The example of RFC 6455, 1.3.
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

CHROME: Fields = [
    (b"Host", b"localhost:6001"),
    (b"Connection", b"Upgrade"),
    (b"Pragma", b"no-cache"),
    (b"User-Agent", b"Mozilla/5.0"),
    (b"Upgrade", b"websocket"),
    (b"Origin", b"http://localhost"),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Sec-WebSocket-Key", KEY),
    (b"Sec-WebSocket-Extensions", b"permessage-deflate; client_max_window_bits"),
]
FIREFOX: Fields = [
    (b"Host", b"localhost:6001"),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Origin", b"null"),
    (b"Sec-WebSocket-Extensions", b"permessage-deflate"),
    (b"Sec-WebSocket-Key", KEY),
    (b"Connection", b"keep-alive, Upgrade"),
    (b"Upgrade", b"websocket"),
]


def by_the_library(target: bytes, fields: Fields) -> tuple[bool, bytes]:
    protocol = ServerProtocol(logger=library_logger)
    headers = Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields])
    response = protocol.accept(Request(target.decode("latin-1"), headers))
    protocol.send_response(response)
    return response.status_code == 101, undated(b"".join(protocol.data_to_send()))


def undated(response: bytes) -> bytes:
    return re.sub(rb"Date: [^\r]*\r\n", b"", response)


@pytest.mark.parametrize("fields", [CHROME, FIREFOX])
def test_browsers_are_answered_without_the_library(
    fields: Fields, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(module, "ServerProtocol")
    assert handshake(TARGET, fields) == (
        True,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % ACCEPT,
    )


KEYS = st.one_of(
    st.binary(min_size=15, max_size=17).map(base64.b64encode),
    st.sampled_from([b"", KEY[:-1], KEY[:-3] + b"R==", KEY + b" ", b"\xff" * 24]),
)
VALUES = {
    b"Upgrade": st.sampled_from([b"websocket", b"WebSocket"]),
    b"Connection": st.sampled_from(
        [b"Upgrade", b"upgrade", b"UPGRADE", b"keep-alive, Upgrade", b"keep-alive", b"", b"a b"]
    ),
    b"Sec-WebSocket-Version": st.sampled_from([b"13", b"13", b"13", b"8", b"", b" 13", b"13, 8"]),
    b"Sec-WebSocket-Key": st.one_of(st.just(KEY), KEYS),
    b"Sec-WebSocket-Extensions": st.sampled_from([b"permessage-deflate", b"=", b""]),
    b"Sec-WebSocket-Protocol": st.sampled_from([b"chat", b"a, b", b"", b"\xff"]),
    b"Origin": st.sampled_from([b"http://localhost", b"null", b""]),
}
#: Each once, so that most of what is drawn has what a handshake needs.
NEEDED = list(VALUES)[:4]


@st.composite
def requests(draw: st.DrawFn) -> Fields:
    """Draw the headers of a request to upgrade to a WebSocket."""
    names = [name for name in NEEDED if name == b"Upgrade" or draw(st.integers(0, 9))]
    names += draw(st.lists(st.sampled_from(list(VALUES)[1:]), max_size=2))
    lower = draw(st.booleans())
    return [
        (name.lower() if lower else name, draw(VALUES[name]))
        for name in draw(st.permutations(names))
    ]


@settings(max_examples=300, deadline=None)
@given(requests())
@example(CHROME)
@example(FIREFOX)
@example([*CHROME, (b"sec-websocket-key", KEY)])
@example([*CHROME, (b"Origin", b"http://elsewhere")])
def test_every_request_has_the_answer_of_the_library(fields: Fields) -> None:
    accepted, response = handshake(TARGET, fields)
    assert (accepted, undated(response)) == by_the_library(TARGET, fields)
