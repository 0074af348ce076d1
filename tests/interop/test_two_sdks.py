"""A Python program and a browser on the same channel."""

from __future__ import annotations

import pytest

from callboard_server.background import BackgroundServer
from interop.apps import APP
from interop.conftest import StartScript
from interop.pysher_client import MEMBER_ADDED, MEMBER_REMOVED, SUBSCRIBED, PysherClient, signing
from support.backend import Backend


@pytest.mark.parametrize(
    ("prefix", "metadata"), [("private-", {}), ("presence-", {"user_id": "program"})]
)
def test_pysher_and_pusher_js_talk_by_client_events(
    prefix: str,
    metadata: dict[str, str],
    node: StartScript,
    server: BackgroundServer,
    backend: Backend,
    name: str,
) -> None:
    channel = prefix + name
    options = signing(APP, "program")
    config = {"port": server.port, "key": APP.key, "endpoint": backend.endpoint}
    with PysherClient(APP, server.port, [channel], ["client-answer"], **options) as program:
        program.hear(SUBSCRIBED, channel)
        script = node("pusher-js.cjs", "conversation", **config, channel=channel)
        script.hear("subscribed")
        for data in ({"text": "hello", "to": ["you"]}, "a string", 3):
            program.trigger(channel, "client-question", data)
            assert script.hear("question") == [data, metadata]
            # pusher-js sends the question back as it understood it.
            assert program.hear("client-answer", channel) == data


def test_pysher_and_pusher_js_see_each_other_come_and_go(
    node: StartScript, server: BackgroundServer, backend: Backend, name: str
) -> None:
    channel = "presence-" + name
    options = signing(APP, "program")
    config = {"port": server.port, "key": APP.key, "endpoint": backend.endpoint}
    with PysherClient(APP, server.port, [channel], **options) as program:
        program.hear(SUBSCRIBED, channel)
        script = node("pusher-js.cjs", "presence", **config, channel=channel)
        assert script.hear("bob alone")["everyone"] == {
            "bob": {"name": "Bob"},
            "program": {"name": "Program"},
        }
        assert program.hear(MEMBER_ADDED, channel) == Backend.member("bob")
        assert program.hear(MEMBER_ADDED, channel) == Backend.member("alice")
        for _tab in range(2):
            script.cue("close a tab")
        assert program.hear(MEMBER_REMOVED, channel) == {"user_id": "alice"}
        script.cue("end")
        script.finish()
        assert program.hear(MEMBER_REMOVED, channel) == {"user_id": "bob"}
