"""``pusher:signin``: a connection says whose it is, and the app's signature vouches for it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from support.pusher_client import Client, app, hmac_hex, other_app, user_json
from support.pusher_service import Service

documented = pytest.mark.documented


@pytest.fixture
def service() -> Iterator[Service]:
    with Service(app(), other_app()) as service:
        yield service


@pytest.fixture
def client(service: Service) -> Client:
    return service.client()


ANN = user_json("ann")


def refuse(client: Client, text: str, user_data: str = ANN, **changes: object) -> None:
    """Sign in but for these changes; it is refused so, and nobody is signed in."""
    client.ask_to_sign_in(user_data, **changes)
    assert client.error().startswith(text)
    client.ask("#server-to-user-ann")
    assert "sign in as that user first" in client.error()
    client.quiet()


# Good


@documented(
    "User authentication", "`pusher:signin` is answered with the `user_data` that was signed"
)
@pytest.mark.parametrize(
    "user_data",
    [
        '{"id":"ann"}',
        '{ "id" : "ann",\n "name": "Ann" }',
        '{"user_info":{"name":"ą§¶™€łü 漢 😀"},"id":"ann"}',
        '{"id":"ann","user_info":null,"watchlist":null}',
        '{"id":"ann","watchlist":[]}',
    ],
)
def test_the_answer_repeats_what_was_signed(client: Client, user_data: str) -> None:
    client.ask_to_sign_in(user_data)
    answer = client.receive()
    # No channel: some SDKs would look for it.
    assert answer.keys() == {"event", "data"}
    assert answer["event"] == "pusher:signin_success"
    assert json.loads(answer["data"]) == {"user_data": user_data}
    client.quiet()


@documented("User authentication", "The signature is over `SOCKET::user::USER_DATA`")
def test_the_string_that_is_signed_is_the_documented_one(service: Service, client: Client) -> None:
    user_data = '{"id":"12345"}'
    signature = hmac_hex(service.app.secret, f"{client.socket_id}::user::{user_data}")
    client.ask_to_sign_in(user_data, auth=f"key-1:{signature}")
    assert client.data_of("pusher:signin_success") == {"user_data": user_data}


@documented("User authentication", "A user id may have letters, digits and `_-=@,.;`")
@pytest.mark.parametrize("user_id", ["foo-bar_1234@=,.;", "1", "u" * 128])
def test_ids_that_a_user_may_have(client: Client, user_id: str) -> None:
    client.sign_in(user_id)
    client.subscribe(f"#server-to-user-{user_id}")


@documented("User authentication", "Signing in again as the same user succeeds again")
def test_the_same_user_may_sign_in_again(service: Service, client: Client) -> None:
    client.sign_in("ann")
    client.sign_in("ann", user_info={"name": "Ann"})
    # It is still one sign-in: leaving once is leaving.
    watcher = service.client()
    watcher.sign_in("eve", watchlist=["ann"])
    assert online_of(watcher) == ["ann"]
    client.close()
    assert online_of(watcher) == []


def online_of(watcher: Client) -> list[str]:
    events = watcher.data_of("pusher_internal:watchlist_events")["events"]
    return [user for event in events if event["name"] == "online" for user in event["user_ids"]]


@documented("User authentication", "One user may be signed in on many connections")
def test_one_user_may_have_many_connections(service: Service) -> None:
    clients = [service.client() for _ in range(3)]
    for client in clients:
        client.sign_in("ann")
        client.subscribe("#server-to-user-ann")
    service.trigger("#server-to-user-ann")
    for client in clients:
        client.hears("e", "#server-to-user-ann")


# Bad


@documented("User authentication", "A connection cannot become another user")
def test_a_connection_cannot_become_another_user(service: Service, client: Client) -> None:
    client.sign_in("ann")
    client.ask_to_sign_in(user_json("bob"))
    assert client.error() == "Connection is already signed in as another user (ann)"
    client.ask("#server-to-user-bob")
    assert client.error() == "Cannot subscribe to #server-to-user-bob: sign in as that user first"
    client.subscribe("#server-to-user-ann")


@documented("User authentication", "A signature that is missing or malformed is refused by name")
@pytest.mark.parametrize(
    ("auth", "text"),
    [
        (None, "Expected parameter data.auth to be a string, got null"),
        (7, "Expected parameter data.auth to be a string, got a number"),
        (["key-1:beef"], "Expected parameter data.auth to be a string, got an array"),
        ("", "Auth value for signin is invalid: should be of format 'key:signature'"),
        ("key-1", "Auth value for signin is invalid: should be of format 'key:signature'"),
        ("key-1:", "Auth value for signin is invalid: should be of format 'key:signature'"),
        (":beef", "Auth value for signin is invalid: should be of format 'key:signature'"),
        ("key-2:beef", "Invalid key in subscription auth data: 'key-2'"),
    ],
)
def test_auth_that_is_malformed(client: Client, auth: object, text: str) -> None:
    refuse(client, text, auth=auth)


@documented("User authentication", "A wrong signature is answered with the string to sign")
def test_a_wrong_signature_is_answered_with_the_string_to_sign(client: Client) -> None:
    string = f"{client.socket_id}::user::{ANN}"
    text = f"Invalid signature: Expected HMAC SHA256 hex digest of {string}, but got beef"
    refuse(client, text, auth="key-1:beef")


@pytest.mark.parametrize("what", ["other socket", "other user", "other app", "a channel"])
def test_a_signature_for_anything_else_is_refused(
    service: Service, client: Client, what: str
) -> None:
    auth = {
        "other socket": service.client().sign_user(ANN),
        "other user": client.sign_user(user_json("bob")),
        "other app": "key-1:" + hmac_hex("secret-2", f"{client.socket_id}::user::{ANN}"),
        "a channel": client.sign("#server-to-user-ann"),
    }[what]
    refuse(client, "Invalid signature: Expected HMAC SHA256 hex digest of ", auth=auth)


def test_missing_parts_are_named(client: Client) -> None:
    client.send(event="pusher:signin", data={})
    assert client.error() == "Missing parameter: data.auth"
    client.send(event="pusher:signin", data={"auth": "key-1:beef"})
    assert client.error() == "Missing parameter: data.user_data"
    client.send(event="pusher:signin")
    assert client.error() == "Expected parameter data to be a hash"
    client.quiet()


@documented("User authentication", "`user_data` must be an object whose `id` is a non-empty string")
@pytest.mark.parametrize(
    ("user_data", "text"),
    [
        ("ann", "Invalid user_data: not JSON"),
        ('"ann"', "Invalid user_data: expected an object, got a string"),
        ("[]", "Invalid user_data: expected an object, got an array"),
        ("{}", "Invalid user_data: id must be a non-empty string, got nothing"),
        ('{"id":null}', "Invalid user_data: id must be a non-empty string, got null"),
        ('{"id":""}', "Invalid user_data: id must be a non-empty string, got an empty string"),
        ('{"id":7}', "Invalid user_data: id must be a non-empty string, got a number"),
        ('{"id":true}', "Invalid user_data: id must be a non-empty string, got a boolean"),
        ('{"id":["ann"]}', "Invalid user_data: id must be a non-empty string, got an array"),
        ('{"user_id":"ann"}', "Invalid user_data: id must be a non-empty string, got nothing"),
        (user_json("a b"), "Invalid user_data: id 'a b' may have only ASCII letters"),
        (user_json("#a"), "Invalid user_data: id '#a' may have only ASCII letters"),
        (user_json("ä"), "Invalid user_data: id 'ä' may have only ASCII letters"),
        (user_json("u" * 129), "Invalid user_data: id has 129 characters, but at most 128"),
    ],
)
def test_user_data_that_is_signed_and_wrong(client: Client, user_data: str, text: str) -> None:
    refuse(client, text, user_data)


@documented("Watchlist", "A watchlist must be an array of user ids, which are strings")
@pytest.mark.parametrize("watchlist", ["bob", 7, {"bob": 1}, [7], ["bob", None], [["bob"]]])
def test_a_watchlist_that_is_none(client: Client, watchlist: object) -> None:
    user_data = user_json("ann", watchlist=watchlist)
    text = "Invalid user_data: watchlist must be an array of user ids (strings)"
    refuse(client, text, user_data)


@pytest.mark.parametrize("depth", [300, 1000, 50_000])
def test_deep_nesting_is_a_mistake_like_any_other(client: Client, depth: int) -> None:
    user_data = f'{{"id":"ann","user_info":{"[" * depth}{"]" * depth}}}'
    refuse(client, "Invalid user_data", user_data)
