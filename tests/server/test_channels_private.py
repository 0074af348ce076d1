"""Private channels: whose signature opens them, and what each wrong one is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.app_server import AppServer, Client, app, auth, hmac_hex

THEIRS = app(id="1002", key="key-2", secret="secret-2")
KINDS = ["private-a", "private-encrypted-a", "presence-a"]


@pytest.fixture
def server() -> Iterator[AppServer]:
    with AppServer(app(), THEIRS) as server:
        yield server


@pytest.fixture
def client(server: AppServer) -> Client:
    return server.client()


def refused(server: AppServer, client: Client, channel: str, **data: object) -> str:
    """Ask with this data; return the error once it is shown that nothing else has changed."""
    client.ask(channel, **data)
    text = client.error()
    assert server.get("channels").ok() == {"channels": {}}
    server.trigger(channel)
    client.quiet()
    return text


@pytest.mark.documented("Private channels", "The signature is over `SOCKET:CHANNEL`")
@pytest.mark.parametrize("channel", ["private-a", "private-", "private-encrypted-a"])
def test_the_right_signature_opens_a_private_channel(
    server: AppServer, client: Client, channel: str
) -> None:
    client.ask(channel, auth=client.sign(channel))
    assert client.receive_text() == (
        f'{{"event":"pusher_internal:subscription_succeeded","channel":"{channel}","data":"{{}}"}}'
    )
    server.trigger(channel)
    assert client.receive() == {"event": "e", "channel": channel, "data": "d"}


def test_a_signature_survives_what_an_sdk_sends_with_it(server: AppServer, client: Client) -> None:
    client.ask("private-a", auth=client.sign("private-a"), shared_secret="x", channel_data=None)
    assert client.receive()["data"] == "{}"


@pytest.mark.documented(
    "Private channels", "`channel_data` that was sent is signed too, on any kind of channel"
)
def test_channel_data_that_was_signed_on_a_private_channel_counts(
    server: AppServer, client: Client
) -> None:
    """The PHP SDK's ``authorizeChannel`` signs it on every kind of channel."""
    data = '{"user_id": "ann"}'
    client.ask("private-a", auth=client.sign("private-a", data), channel_data=data)
    assert client.receive()["data"] == "{}"
    client.quiet()


@pytest.mark.parametrize(
    ("signed", "sent"), [('{"user_id":"ann"}', None), (None, '{"user_id":"ann"}'), ("a", "b")]
)
def test_channel_data_other_than_was_signed_is_refused(
    server: AppServer, client: Client, signed: str | None, sent: str | None
) -> None:
    more = {} if sent is None else {"channel_data": sent}
    text = refused(server, client, "private-a", auth=client.sign("private-a", signed), **more)
    assert text.startswith("Invalid signature: Expected HMAC SHA256 hex digest of ")


@pytest.mark.documented("Private channels", "Missing auth is answered with hosted Pusher's text")
@pytest.mark.parametrize("channel", KINDS)
@pytest.mark.parametrize("missing", ["no key", None, ""])
def test_missing_auth(server: AppServer, client: Client, channel: str, missing: str | None) -> None:
    data = {} if missing == "no key" else {"auth": missing}
    text = refused(server, client, channel, **data)
    assert text == f"Auth info required to subscribe to {channel}"


@pytest.mark.documented("Private channels", "Malformed auth is answered with hosted Pusher's text")
@pytest.mark.parametrize("channel", KINDS)
@pytest.mark.parametrize("malformed", ["x", ":", "key-1", "key-1:", ":beef", "a b"])
def test_malformed_auth(server: AppServer, client: Client, channel: str, malformed: str) -> None:
    assert refused(server, client, channel, auth=malformed) == (
        f"Auth value for subscription to {channel} is invalid: should be of format 'key:signature'"
    )


@pytest.mark.parametrize("wrong", [1, ["key-1:beef"], {"auth": "key-1:beef"}, True])
def test_auth_that_is_no_string(server: AppServer, client: Client, wrong: object) -> None:
    text = refused(server, client, "private-a", auth=wrong)
    assert text.startswith("Expected parameter data.auth to be a string, got a")


@pytest.mark.documented(
    "Private channels", "Another app's key is answered with hosted Pusher's text"
)
@pytest.mark.parametrize("channel", KINDS)
def test_a_key_of_another_app(server: AppServer, client: Client, channel: str) -> None:
    theirs = auth(THEIRS, client.socket_id, channel)
    assert refused(server, client, channel, auth=theirs) == (
        "Invalid key in subscription auth data: 'key-2'"
    )


@pytest.mark.documented("Private channels", "A wrong signature is answered with the string to sign")
@pytest.mark.parametrize("channel", KINDS)
def test_a_wrong_signature_is_answered_with_the_string_to_sign(
    server: AppServer, client: Client, channel: str
) -> None:
    assert refused(server, client, channel, auth="key-1:beef") == (
        "Invalid signature: Expected HMAC SHA256 hex digest of "
        f"{client.socket_id}:{channel}, but got beef"
    )


def test_the_string_to_sign_includes_channel_data(server: AppServer, client: Client) -> None:
    data = '{"user_id": "ann"}'
    text = refused(server, client, "presence-a", auth="key-1:beef", channel_data=data)
    assert text == (
        "Invalid signature: Expected HMAC SHA256 hex digest of "
        f"{client.socket_id}:presence-a:{data}, but got beef"
    )


@pytest.mark.documented("Private channels", "A signature opens one channel for one connection")
def test_a_signature_opens_nothing_but_what_it_was_made_for(
    server: AppServer, client: Client
) -> None:
    other = server.client()
    right = client.sign("private-a")
    key, _, digest = right.partition(":")
    wrong = {
        "another connection's": other.sign("private-a"),
        "another channel's": client.sign("private-b"),
        "another app's secret": f"{key}:{hmac_hex('secret-2', f'{client.socket_id}:private-a')}",
        "upper case": f"{key}:{digest.upper()}",
        "cut short": right[:-1],
        "one too long": right + "0",
        "with a space": right + " ",
        "beyond ASCII": f"{key}:{'ä' * 64}",
        "endless": f"{key}:{'0' * 50_000}",
    }
    for whose, signature in wrong.items():
        text = refused(server, client, "private-a", auth=signature)
        assert text.startswith("Invalid signature"), whose
        assert len(text) < 500, whose
    client.ask("private-a", auth=right)
    assert client.receive()["data"] == "{}"


def test_a_refusal_does_not_show_the_secret(server: AppServer, client: Client) -> None:
    for signature in ("beef", hmac_hex("secret-2", "x")):
        text = refused(server, client, "private-a", auth=f"key-1:{signature}")
        assert "secret-1" not in text
        assert client.sign("private-a").partition(":")[2] not in text


def test_a_name_that_is_wrong_is_said_before_its_signature(
    server: AppServer, client: Client
) -> None:
    client.ask("private-a b", auth=client.sign("private-a b"))
    assert client.error().startswith("Invalid channel name 'private-a b'")
    client.quiet()


def test_a_second_subscription_is_a_mistake_and_the_first_one_stays(
    server: AppServer, client: Client
) -> None:
    client.subscribe("private-a")
    client.ask("private-a", auth="key-1:beef")
    assert client.error() == "Existing subscription to channel private-a"
    server.trigger("private-a")
    assert client.receive()["event"] == "e"
