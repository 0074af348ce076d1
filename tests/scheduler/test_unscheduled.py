"""A server without a scheduler: what is meant for later is refused, and not published at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from callboard.unscheduled import Unscheduled
from support.app_server import AppServer

EVENT: dict[str, Any] = {"name": "e", "channel": "c", "data": '{"delay_ms":5}'}


@pytest.fixture(scope="module")
def server() -> Iterator[AppServer]:
    with AppServer(extensions=[Unscheduled()]) as server:
        yield server


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("events", {**EVENT, "delay_ms": 1}, "delay_ms"),
        ("events", {**EVENT, "delay_ms": 0}, "delay_ms"),
        ("events", {**EVENT, "deliver_at": "2035-01-31T08:55:00Z"}, "deliver_at"),
        # What it would be if it were right does not matter.
        ("events", {**EVENT, "deliver_at": "tomorrow"}, "deliver_at"),
        ("events", {"delay_ms": 1}, "delay_ms"),
        ("batch_events", {"batch": [EVENT, {**EVENT, "delay_ms": 1}]}, "delay_ms"),
    ],
)
def test_an_event_for_later_is_refused_with_the_reason(
    server: AppServer, path: str, body: object, field: str
) -> None:
    client = server.client()
    client.subscribe("c")
    refusal = server.post(path, body).refusal(400)
    assert refusal.startswith(f"{field}: this server has no scheduler")
    assert "--no-scheduler" in refusal
    client.quiet()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("events", EVENT),
        ("events", {**EVENT, "delay_ms": None, "deliver_at": None}),
        ("events", {**EVENT, "name": "delay_ms"}),
        ("batch_events", {"batch": [EVENT]}),
    ],
)
def test_every_other_event_is_published(server: AppServer, path: str, body: object) -> None:
    client = server.client()
    client.subscribe("c")
    server.post(path, body).ok()
    assert client.receive()["data"] == EVENT["data"]


def test_what_is_no_event_is_refused_in_the_servers_own_words(server: AppServer) -> None:
    assert "scheduler" not in server.post("events", b'{"delay_ms"').refusal(400)


def test_there_are_no_calls_about_tasks(server: AppServer) -> None:
    assert server.post("tasks", {"name": "task"}).refusal(404)
