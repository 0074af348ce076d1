"""Tasks by the generic calls of the server SDKs that backends have already."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pusher
import pytest
from pusher.errors import PusherBadRequest, PusherBadStatus
from pusher.http import GET, POST, Request

from callboard.scheduling import Scheduling
from callboard_scheduler.stores.memory import MemoryStore
from callboard_server.background import BackgroundServer
from callboard_server.settings import Settings
from interop.apps import APP
from interop.conftest import StartScript, server_sdk
from interop.pysher_client import SUBSCRIBED, PysherClient

LATER: dict[str, Any] = {"delay_ms": 60_000}


@pytest.fixture(scope="module")
def server() -> Iterator[BackgroundServer]:
    settings = Settings(port=0, apps=(APP,))
    with BackgroundServer(settings, extensions=[Scheduling(MemoryStore)]) as server:
        yield server


class PythonSDK:
    """``pusher`` of PyPI; its generic call is a Request, whose path is the whole path."""

    def __init__(self, sdk: pusher.Pusher) -> None:
        self._sdk = sdk

    def get(self, path: str, **query: str) -> Any:
        return self._call(GET, path, query)

    def post(self, path: str, body: Any = None) -> Any:
        return self._call(POST, path, body)

    def _call(self, method: str, path: str, params: Any) -> Any:
        client = self._sdk._pusher_client
        return client.http.send_request(Request(client, method, f"/apps/{APP.id}{path}", params))


@pytest.fixture
def python(server: BackgroundServer) -> PythonSDK:
    return PythonSDK(server_sdk(APP, server.port))


def test_python_submits_and_changes_tasks(python: PythonSDK) -> None:
    submitted = python.post("/tasks", {"name": "report", "args": {"n": "größe"}, **LATER})
    assert submitted["state"] == "scheduled"
    task = f"/tasks/{submitted['id']}"
    assert python.get(task)["args"] == {"n": "größe"}
    listed = python.get("/tasks", state="ready,scheduled", name="report")["tasks"]
    assert [each["id"] for each in listed] == [submitted["id"]]
    assert python.post(f"{task}/update", {"priority": 5})["priority"] == 5
    # It sends {} where nothing is to be said.
    assert python.post(f"{task}/cancel")["state"] == "cancelled"
    with pytest.raises(PusherBadStatus, match=r"409: Task \w+ has finished \(cancelled\)"):
        python.post(f"{task}/cancel")
    with pytest.raises(PusherBadRequest, match="name: missing, expected a string of 1 to 200"):
        python.post("/tasks", {})


def test_python_keeps_schedules_without_put_and_delete(python: PythonSDK) -> None:
    event = {"name": "tick", "channel": "clock", "data": "{}"}
    put = python.post("/schedules/beat", {"every_ms": 3_600_000, "event": event})
    assert put["event"] == {"name": "tick", "channels": ["clock"], "data": "{}"}
    assert len(python.get("/schedules/beat/preview", n="3")["runs"]) == 3
    assert python.post("/schedules/beat/delete") == {"id": "beat"}
    assert python.get("/schedules")["schedules"] == []


def test_an_event_is_published_later(
    python: PythonSDK, server: BackgroundServer, name: str
) -> None:
    with PysherClient(APP, server.port, [name], ["news"]) as client:
        client.hear(SUBSCRIBED, name)
        body = {"name": "news", "channels": [name], "data": '"later"'}
        later = python.post("/events", {**body, "delay_ms": 3_600_000})
        assert python.get(f"/tasks/{later['id']}")["state"] == "scheduled"
        python.post("/events", {**body, "data": '"now"'})
        assert client.hear("news", name) == "now"
        python.post(f"/tasks/{later['id']}/update", {"delay_ms": 0})
        assert client.hear("news", name) == "later"


def test_node_submits_and_changes_tasks(node: StartScript, server: BackgroundServer) -> None:
    app = {"appId": APP.id, "key": APP.key, "secret": APP.secret}
    script = node("tasks.cjs", "tasks", port=server.port, **app)
    assert script.hear("submit") == "scheduled"
    assert script.hear("batch") == 2
    assert script.hear("show") == {"url": "größe.png"}
    assert script.hear("list") == [2, 1, None]
    assert script.hear("update") == 5
    assert script.hear("cancel") == "cancelled"
    assert script.hear("why") == ["it was cancelled"]
    assert script.hear("preview") == 2
    assert script.hear("delete") == {"id": "nightly"}
    assert script.hear("later") == "scheduled"
    assert script.hear("refused") == [
        400,
        "name: expected a string of 1 to 200 characters, got ''\n",
    ]
    script.finish()
