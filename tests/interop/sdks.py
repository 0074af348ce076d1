"""The two official server libraries behind one face each: as the app's backend, and as callers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from callboard_server.settings import AppSettings
from interop.apps import APP, MASTER_KEY
from interop.conftest import StartScript, server_sdk
from support.backend import Backend

#: For tests that are to hold with both.
LANGUAGES = ("python", "node")


class ServerSDK(Protocol):
    """What a test asks of a server library; each call returns the server's answer."""

    def trigger(self, channel: str, event: str, data: Any) -> Any: ...

    def trigger_batch(self, channel: str, event: str, batch: Sequence[Any]) -> Any: ...

    def send_to_user(self, user: str, event: str, data: Any) -> Any: ...

    def terminate_user_connections(self, user: str) -> Any: ...


class PythonSDK:
    """``pusher`` of PyPI."""

    def __init__(self, app: AppSettings, port: int) -> None:
        self._sdk = server_sdk(app, port, encryption_master_key_base64=MASTER_KEY)

    def trigger(self, channel: str, event: str, data: Any) -> Any:
        return self._sdk.trigger(channel, event, data)

    def trigger_batch(self, channel: str, event: str, batch: Sequence[Any]) -> Any:
        events = [{"channel": channel, "name": event, "data": data} for data in batch]
        return self._sdk.trigger_batch(events)

    def send_to_user(self, user: str, event: str, data: Any) -> Any:
        return self._sdk.send_to_user(user, event, data)

    def terminate_user_connections(self, user: str) -> Any:
        return self._sdk.terminate_user_connections(user)


class NodeSDK:
    """``pusher`` of npm, in a process that ends with the test."""

    def __init__(self, node: StartScript, app: AppSettings, port: int) -> None:
        self._script = node("pusher-server.cjs", "calls", port=port, **credentials(app))

    def trigger(self, channel: str, event: str, data: Any) -> Any:
        return self._call("trigger", channel, event, data)

    def trigger_batch(self, channel: str, event: str, batch: Sequence[Any]) -> Any:
        events = [{"channel": channel, "name": event, "data": data} for data in batch]
        return self._call("triggerBatch", events)

    def send_to_user(self, user: str, event: str, data: Any) -> Any:
        return self._call("sendToUser", user, event, data)

    def terminate_user_connections(self, user: str) -> Any:
        return self._call("terminateUserConnections", user)

    def _call(self, method: str, *arguments: Any) -> Any:
        self._script.cue("call", [method, *arguments])
        return self._script.hear("answer")


def credentials(app: AppSettings) -> dict[str, str]:
    """Return an app as the scenarios in Node take it."""
    return {"appId": app.id, "key": app.key, "secret": app.secret, "masterKey": MASTER_KEY}


def sdk_in(language: str, node: StartScript, port: int, app: AppSettings = APP) -> ServerSDK:
    """Return the server library of ``language``, pointed at the server."""
    return NodeSDK(node, app, port) if language == "node" else PythonSDK(app, port)


@contextmanager
def backend_in(
    language: str,
    node: StartScript | None = None,
    app: AppSettings = APP,
    *,
    friends: Mapping[str, Sequence[str]] | None = None,
    channel_data: bool = True,
) -> Iterator[str]:
    """Run a backend whose answers are the library's of ``language``; gives its address.

    ``friends`` and ``channel_data`` are those of :class:`~support.backend.Backend`; ``node`` is
    needed only for Node's.
    """
    if language == "node":
        assert node is not None
        config = {"friends": friends or {}, "channelData": channel_data}
        script = node("backend.cjs", "serve", **credentials(app), **config)
        yield script.hear("url")
        return
    sdk = server_sdk(app, port=1, encryption_master_key_base64=MASTER_KEY)
    with Backend(sdk, friends=friends, channel_data=channel_data) as backend:
        yield backend.url
