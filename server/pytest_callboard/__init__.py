"""A Pusher server for tests: the ``pusher_server`` fixture.

This module is imported in every pytest run of every project that has Callboard installed, so
it imports nothing of the server before a test asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from callboard_server.background import BackgroundServer


class PusherServer:
    """Where a running server is, and how an SDK reaches it."""

    host = "127.0.0.1"
    #: Digits, because the official Python SDK takes no other app id.
    app_id = "1"
    key = "test-key"
    secret = "test-secret"  # noqa: S105 - of a server that lives for one test on loopback

    def __init__(self, server: BackgroundServer) -> None:
        self._server = server

    @property
    def port(self) -> int:
        """The free port that was taken."""
        return self._server.port

    @property
    def url(self) -> str:
        """What server SDKs take as a URL (the Python one does not take a port in it)."""
        return f"http://{self.key}:{self.secret}@{self.host}:{self.port}/apps/{self.app_id}"

    def pusher_options(self) -> dict[str, Any]:
        """Return the arguments of ``pusher.Pusher(**options)``."""
        return {
            "app_id": self.app_id,
            "key": self.key,
            "secret": self.secret,
            "host": self.host,
            "port": self.port,
            "ssl": False,
        }


@pytest.fixture
def pusher_server() -> Iterator[PusherServer]:
    """A Pusher server of this test's own, in a thread, on a free port of 127.0.0.1."""
    from callboard_server.background import BackgroundServer
    from callboard_server.settings import AppSettings, Settings

    app = AppSettings(
        id=PusherServer.app_id,
        key=PusherServer.key,
        secret=PusherServer.secret,
        client_events=True,
    )
    with BackgroundServer(Settings(port=0, apps=(app,))) as server:
        yield PusherServer(server)
