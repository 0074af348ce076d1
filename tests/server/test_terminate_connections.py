"""Terminating a user: its signed-in connections end, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator

import pusher
import pytest

from support.pusher_client import app, other_app
from support.pusher_service import Service, signed_query

documented = pytest.mark.documented

#: With the app's id as documented, and as the official Python library really sends it.
PATHS = ["/apps/1001/users/{}/terminate_connections", "/users/{}/terminate_connections"]


@pytest.fixture
def service() -> Iterator[Service]:
    with Service(app(), other_app(), other_app(id="3", key="key-3", enabled=False)) as service:
        yield service


@documented("Terminating connections", "All connections signed in as the user end, with close 4009")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("body", [b"{}", b""])
def test_all_connections_of_the_user_end(service: Service, path: str, body: bytes) -> None:
    connections = [service.client() for _ in range(3)]
    for client in connections:
        client.sign_in("ann")
        client.subscribe("c")
    assert service.call("POST", path.format("ann"), body).ok() == {}
    for client in connections:
        assert client.ended(4009) == (
            "Connection terminated: the app ended this user's connections"
        )
    assert service.get("channels").ok() == {"channels": {}}


@documented(
    "Terminating connections", "Everybody else stays, also who only has the id in a channel"
)
@pytest.mark.parametrize("path", PATHS)
def test_nobody_else_ends(service: Service, path: str) -> None:
    ann, bob, member, stranger = (
        *(service.client() for _ in range(3)),
        service.client(service.apps[1]),
    )
    ann.sign_in("ann")
    bob.sign_in("bob")
    member.enter("presence-c", "ann")
    stranger.sign_in("ann")
    assert service.call("POST", path.format("ann")).ok() == {}
    ann.ended(4009)
    for client in (bob, member, stranger):
        client.quiet()


@documented("Terminating connections", "A terminated user may come back")
def test_the_user_may_come_back(service: Service) -> None:
    for _ in range(2):
        client = service.client()
        client.sign_in("ann")
        client.subscribe("#server-to-user-ann")
        assert service.post("users/ann/terminate_connections", {}).ok() == {}
        client.ended(4009)


@documented("Terminating connections", "A user without connections is no mistake")
@pytest.mark.parametrize("path", PATHS)
def test_a_user_without_connections_is_no_mistake(service: Service, path: str) -> None:
    assert service.call("POST", path.format("nobody")).ok() == {}


def test_an_id_in_a_path_is_decoded(service: Service) -> None:
    client = service.client()
    client.sign_in("foo-bar_1234@=,.;")
    path = "users/foo-bar_1234%40%3D%2C.%3B/terminate_connections"
    app = service.app
    query = signed_query(
        app, "POST", f"/apps/{app.id}/users/foo-bar_1234@=,.;/terminate_connections"
    )
    answer = service.send("POST", f"/apps/{app.id}/{path}", query, quoted=True)
    assert answer.ok() == {}
    client.ended(4009)


@documented("Terminating connections", "The Python SDK's path without an app id goes by the key")
def test_the_official_python_library_terminates(service: Service) -> None:
    mine, others = service.client(), service.client(service.apps[1])
    for client in (mine, others):
        client.sign_in("ann")
    sdk = pusher.Pusher("1001", "key-1", "secret-1", host="127.0.0.1", port=service.port, ssl=False)
    assert sdk.terminate_user_connections("ann") == {}
    mine.ended(4009)
    others.quiet()


# Refused


@documented("Terminating connections", "An id that no user can have is refused with 400")
@pytest.mark.parametrize("user_id", ["a b", "ä", "a:b", "#a", "u" * 129])
@pytest.mark.parametrize("path", PATHS)
def test_an_id_that_no_user_can_have_is_refused(service: Service, path: str, user_id: str) -> None:
    text = service.call("POST", path.format(user_id)).refusal(400)
    assert text.startswith("Invalid user id: ")


@documented("Terminating connections", "Parameters are refused: there are none")
@pytest.mark.parametrize("path", PATHS)
def test_parameters_are_refused(service: Service, path: str) -> None:
    client = service.client()
    client.sign_in("ann")
    text = service.call("POST", path.format("ann"), socket_id="1.1").refusal(400)
    assert text == "The following query string parameters are extraneous: socket_id"
    client.quiet()


@documented("Terminating connections", "Both paths need the app's signature: else 401")
@pytest.mark.parametrize("path", PATHS)
def test_both_paths_need_a_signature(service: Service, path: str) -> None:
    client = service.client()
    client.sign_in("ann")
    path = path.format("ann")
    query = signed_query(service.app, "POST", path)
    refusals = {
        "Missing parameter: auth_key": "",
        "Unknown auth_key": query.replace("key-1", "key-9"),
        "Invalid signature: ": query[:-1] + ("0" if query[-1] != "0" else "1"),
        "Invalid body_md5: ": None,
    }
    for text, wrong in refusals.items():
        if wrong is None:
            wrong = signed_query(service.app, "POST", path, body=b"[]")
            answer = service.send("POST", path, wrong, b"{}")
        else:
            answer = service.send("POST", path, wrong)
        assert answer.refusal(401).startswith(text)
    other = signed_query(app(secret="secret-2"), "POST", path)
    assert service.send("POST", path, other).refusal(401).startswith("Invalid signature")
    client.quiet()


def test_a_disabled_app_terminates_nobody(service: Service) -> None:
    for path in ("/apps/3/users/ann/terminate_connections", PATHS[1].format("ann")):
        assert service.call("POST", path, b"", service.apps[2]).refusal(403) == "App is disabled"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/users/ann/terminate_connections", 405),
        ("GET", "/apps/1001/users/ann/terminate_connections", 405),
        ("POST", "/users/ann", 404),
        ("POST", "/users/ann/events", 404),
        ("POST", "/users//terminate_connections", 400),
        ("POST", "/users/", 404),
    ],
)
def test_nothing_else_lies_there(service: Service, method: str, path: str, status: int) -> None:
    assert service.call(method, path).refusal(status)
