"""`pusher:subscription_count` in pusher-js, where the app has it turned on."""

from __future__ import annotations

import pusher
import pytest

from callboard_server.background import BackgroundServer
from callboard_server.settings import AppSettings
from interop.apps import APP, COUNTING, MASTER_KEY
from interop.conftest import StartScript, server_sdk
from interop.inbox import eventually
from interop.node_script import NodeScript
from interop.sdks import backend_in


class Room:
    """alice on a channel, told of bob's coming and going."""

    def __init__(
        self,
        node: StartScript,
        server: BackgroundServer,
        app: AppSettings,
        backend: str,
        channel: str,
    ) -> None:
        config = {"port": server.port, "key": app.key, "backend": backend, "channel": channel}
        self.script: NodeScript = node("pusher-js.cjs", "subscriptionCount", **config)
        self._api: pusher.Pusher = server_sdk(
            app, server.port, encryption_master_key_base64=MASTER_KEY
        )
        self._channel = channel
        self.script.hear("subscribed")

    def bob_comes(self) -> None:
        self.script.cue("bob comes")
        self.script.hear("subscribed")

    def bob_leaves(self) -> None:
        self.script.cue("bob leaves")
        left = {"occupied": True, "subscription_count": 1}
        counts = ["subscription_count"]
        eventually(lambda: self._api.channel_info(self._channel, counts) == left)

    def alice_hears(self) -> list[object]:
        """Return the counts that alice has heard of since the last time."""
        self._api.trigger(self._channel, "news", "now")
        heard: list[object] = []
        while (report := self.script.hear("alice hears")) != ["news", "now"]:
            event, count, remembered = report
            assert event == "count"
            assert remembered == count
            heard.append(count)
        return heard


@pytest.mark.parametrize("prefix", ["", "private-", "cache-", "private-encrypted-"])
def test_each_change_is_told(
    prefix: str, node: StartScript, server: BackgroundServer, name: str
) -> None:
    with backend_in("python", app=COUNTING) as url:
        room = Room(node, server, COUNTING, url, prefix + name)
        assert room.alice_hears() == [1]
        for _way_to_leave in range(2):
            room.bob_comes()
            assert room.alice_hears() == [2]
            room.bob_leaves()
            assert room.alice_hears() == [1]
        room.script.cue("end")
        room.script.finish()


@pytest.mark.parametrize(("app", "prefix"), [(COUNTING, "presence-"), (APP, "")])
def test_none_is_told_on_presence_channels_or_where_it_is_off(
    app: AppSettings, prefix: str, node: StartScript, server: BackgroundServer, name: str
) -> None:
    with backend_in("python", app=app) as url:
        room = Room(node, server, app, url, prefix + name)
        room.bob_comes()
        room.bob_leaves()
        assert room.alice_hears() == []
