"""A running server, the app's backend, and the SDKs that meet them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pusher
import pytest

from callboard_server.background import BackgroundServer
from callboard_server.settings import AppSettings, Settings
from interop.apps import APP, APPS
from interop.node_script import FOLDER, NodeScript
from support import node as nodejs
from support.backend import Backend

#: Starts a scenario: ``node("pusher-js.cjs", "presence", channel=…)``.
StartScript = Callable[..., NodeScript]


def server_sdk(app: AppSettings, port: int, **options: Any) -> pusher.Pusher:
    """The official Python library, pointed at the server as its documentation shows."""
    return pusher.Pusher(
        app_id=app.id,
        key=app.key,
        secret=options.pop("secret", app.secret),
        ssl=False,
        host="127.0.0.1",
        port=port,
        **options,
    )


@pytest.fixture(scope="module")
def server() -> Iterator[BackgroundServer]:
    with BackgroundServer(Settings(port=0, apps=APPS)) as server:
        yield server


@pytest.fixture(scope="module")
def api(server: BackgroundServer) -> pusher.Pusher:
    """The Python library for ``APP``."""
    return server_sdk(APP, server.port)


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    """The backend of ``APP``; it only signs, so no server needs to run."""
    with Backend(server_sdk(APP, port=1)) as backend:
        yield backend


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name for this test's channels, so that tests can share a server."""
    return re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")


@pytest.fixture(scope="session")
def node_program() -> str:
    """The path of Node, with the SDKs installed for it."""
    program = nodejs.find("node")
    nodejs.install(FOLDER)
    return program


@pytest.fixture
def node(node_program: str) -> Iterator[StartScript]:
    """Start scenarios in Node; each is ended with the test, and shown if the test failed."""
    scripts: list[NodeScript] = []

    def start(file: str, scenario: str, **config: Any) -> NodeScript:
        script = NodeScript(node_program, file, scenario, {"host": "127.0.0.1", **config})
        scripts.append(script)
        return script

    yield start
    for script in scripts:
        script.kill()
        print(f"--- {script.name}\n{script.transcript}")
