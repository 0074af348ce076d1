"""Encrypted channels: pusher-js reads what the official server libraries write, the server cannot.

The build of pusher-js for Node is the one with encryption; for browsers it is a build of its own.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pusher.errors
import pytest

from callboard_server.background import BackgroundServer
from interop.apps import APP
from interop.conftest import StartScript, server_sdk
from interop.node_script import NodeScript
from interop.pysher_client import SUBSCRIBED, PysherClient
from interop.sdks import LANGUAGES, ServerSDK, backend_in, sdk_in

FILE = "pusher-js.cjs"


@pytest.fixture(params=LANGUAGES)
def sdk(request: pytest.FixtureRequest, node: StartScript, server: BackgroundServer) -> ServerSDK:
    return sdk_in(request.param, node, server.port)


@pytest.fixture(params=LANGUAGES)
def backend_url(request: pytest.FixtureRequest, node: StartScript) -> Iterator[str]:
    with backend_in(request.param, node) as url:
        yield url


@pytest.fixture
def channel(name: str) -> str:
    return "private-encrypted-" + name


def listen(node: StartScript, server: BackgroundServer, backend: str, channel: str) -> NodeScript:
    config = {"port": server.port, "key": APP.key, "backend": backend}
    script = node(FILE, "listen", channels=[channel], event="news", **config)
    script.hear("subscribed")
    return script


def test_it_arrives_as_it_was_sent(
    node: StartScript, server: BackgroundServer, backend_url: str, sdk: ServerSDK, channel: str
) -> None:
    script = listen(node, server, backend_url, channel)
    data: list[Any] = [{"text": "žluťoučký 🐴"}, "a string", [1, None, True]]
    for each in data:
        assert sdk.trigger(channel, "news", each) == {}
    assert sdk.trigger_batch(channel, "news", data) == {}
    assert [script.hear(channel) for _ in range(6)] == data + data
    script.cue("end")
    script.finish()


def test_who_lacks_the_key_sees_no_more_than_the_server(
    server: BackgroundServer, sdk: ServerSDK, channel: str
) -> None:
    with PysherClient(APP, server.port, [channel], ["news"], secret=APP.secret) as outsider:
        outsider.hear(SUBSCRIBED, channel)
        assert sdk.trigger(channel, "news", {"text": "between us"}) == {}
        heard = outsider.hear("news", channel)
    assert set(heard) == {"nonce", "ciphertext"}
    assert len(base64.b64decode(heard["nonce"])) == 24
    assert b"between us" not in base64.b64decode(heard["ciphertext"])


def test_what_another_key_encrypted_is_not_heard(
    node: StartScript, server: BackgroundServer, channel: str
) -> None:
    other_key = base64.b64encode(bytes(32)).decode()
    stranger = server_sdk(APP, server.port, encryption_master_key_base64=other_key)
    with backend_in("python") as url:
        script = listen(node, server, url, channel)
        stranger.trigger(channel, "news", "with another key")
        sdk_in("python", node, server.port).trigger(channel, "news", "with ours")
        assert script.hear(channel) == "with ours"
        script.cue("end")
        script.finish()


def test_the_limit_counts_what_is_sent(
    server: BackgroundServer, node: StartScript, channel: str
) -> None:
    """A text within 10,240 bytes is refused if its encrypted form is not."""
    sdk = sdk_in("python", node, server.port)
    assert sdk.trigger(channel, "news", "x" * 7_500) == {}
    with pytest.raises(pusher.errors.PusherBadStatus, match=r"413: .*10240 bytes"):
        sdk.trigger(channel, "news", "x" * 7_700)
