"""No secret that passes is kept, in whatever frame or request it stands; the rest is."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callboard.traffic.redaction import (
    SECRET,
    SECRET_NAMES,
    FrameRedaction,
    request_fields,
)

#: How long an example takes says something of the machine only.
untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

SIGNATURE = "58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4"
AUTH = f"key:{SIGNATURE}"

#: Of letters that are in no other part of a message.
secrets = st.text("QXZ", min_size=6, max_size=12)
texts = st.text(st.characters(codec="utf-8", exclude_characters="QXZ"), max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def client(frame: Any, *, keep_data: bool = True) -> Any:
    return FrameRedaction(keep_data=keep_data).client(orjson.dumps(frame))


def server(frame: Any, *, keep_data: bool = True) -> Any:
    return FrameRedaction(keep_data=keep_data).server(orjson.dumps(frame))


class TestClients:
    def test_a_subscription_loses_its_signature_alone(self) -> None:
        data = {"channel": "presence-a", "channel_data": '{"user_id": 10}'}
        said = {"event": "pusher:subscribe", "data": {**data, "auth": AUTH}}
        assert client(said) == {"event": "pusher:subscribe", "data": {**data, "auth": SECRET}}

    @pytest.mark.parametrize("auth", ["", None])
    def test_an_empty_signature_stays_for_there_was_none(self, auth: str | None) -> None:
        said = {"event": "pusher:subscribe", "data": {"channel": "a", "auth": auth}}
        assert client(said) == said

    def test_a_user_who_signs_in_loses_the_signature_alone(self) -> None:
        data = {"user_data": '{"id": "alice",  "user_info": {"name": "Alice"}}'}
        said = {"event": "pusher:signin", "data": {**data, "auth": AUTH}}
        assert client(said) == {"event": "pusher:signin", "data": {**data, "auth": SECRET}}

    def test_data_that_is_json_in_a_string_loses_it_too(self) -> None:
        said = {"event": "pusher:subscribe", "data": json.dumps({"channel": "a", "auth": AUTH})}
        assert json.loads(client(said)["data"]) == {"channel": "a", "auth": SECRET}

    @pytest.mark.parametrize("name", ["channel_data", "user_data"])
    @pytest.mark.parametrize("as_text", [False, True])
    def test_who_a_user_is_loses_the_secrets_that_the_service_would_say_of_it(
        self, name: str, as_text: bool
    ) -> None:
        def said(token: str) -> Any:
            data = {name: orjson.dumps({"id": "a", "user_info": {"token": token}}).decode()}
            text = orjson.dumps(data).decode() if as_text else data
            return {"event": "pusher:subscribe", "data": text}

        assert client(said("5ec")) == said(SECRET)

    def test_who_a_user_is_may_be_nested_as_deeply_as_can_be_written(self) -> None:
        lists = "[" * 240, "]" * 240
        user = orjson.dumps("{}1{}".format(*lists)).decode()
        said = "".join((lists[0], '{"channel_data":', user, "}", lists[1]))
        text = f'{{"event":"pusher:x","data":{said}}}'.encode()
        assert FrameRedaction(keep_data=True).client(text) == orjson.loads(text)

    def test_what_applications_say_is_kept_whole(self) -> None:
        said = {"event": "client-x", "channel": "private-a", "data": {"auth": "theirs", "n": [1]}}
        assert client(said) == said

    @pytest.mark.parametrize(
        "text", [b"", b"junk", b"[1]", b'{"data":1}', b'{"event":1}', b'{"event":"e"', b"\xff"]
    )
    def test_what_is_no_event_is_not_kept(self, text: bytes) -> None:
        assert FrameRedaction(keep_data=True).client(text) is None
        assert FrameRedaction(keep_data=True).server(text) is None

    @pytest.mark.parametrize("event", ["client-x", "pusher:x"])
    @pytest.mark.parametrize("levels", [300, 500, 1000])
    @pytest.mark.parametrize("keep_data", [True, False])
    def test_what_is_nested_too_deeply_to_be_written_is_not_kept(
        self, event: str, levels: int, keep_data: bool
    ) -> None:
        deep = "[" * levels + "]" * levels
        text = f'{{"event":"{event}","data":{deep}}}'.encode()
        assert FrameRedaction(keep_data=keep_data).client(text) is None
        assert FrameRedaction(keep_data=keep_data).server(text) is None
        body = f'{{"name":{deep}}}'.encode()
        assert "body" not in request_fields("/events", [], body, keep_data=keep_data)
        if event == "pusher:x":
            kept = client({"event": event, "data": deep}, keep_data=keep_data)
            assert kept == {"event": event, "data": SECRET}


class TestServices:
    def test_an_event_is_kept_to_the_letter(self) -> None:
        said = {"event": "news", "channel": "a", "data": '{"n" : 1,  "auth":"theirs"}'}
        assert server(said) == said

    def test_what_the_protocol_says_is_kept_to_the_letter_without_secrets(self) -> None:
        data = '{"presence": {"count": 1,  "ids": ["u"], "hash": {"u": null}}}'
        said = {"event": "pusher_internal:subscription_succeeded", "channel": "a", "data": data}
        assert server(said) == said

    def test_a_shared_secret_of_an_encrypted_channel_is_not_kept(self) -> None:
        data = json.dumps({"shared_secret": "VmIsNZtCSteh8kazd2toc", "n": 1})
        said = {"event": "pusher_internal:subscription_succeeded", "channel": "a", "data": data}
        assert json.loads(server(said)["data"]) == {"shared_secret": SECRET, "n": 1}

    def test_an_error_does_not_quote_the_signature_that_it_refuses(self) -> None:
        redaction = FrameRedaction(keep_data=True)
        said = {"event": "pusher:subscribe", "data": {"channel": "a", "auth": "key:not-hex"}}
        redaction.client(orjson.dumps(said))
        message = "Invalid signature: Expected HMAC SHA256 hex digest of 1.1:a, but got "
        for quoted in ("not-hex", SIGNATURE):
            error = {"code": None, "message": message + quoted}
            for data in (error, json.dumps(error)):
                frame = redaction.server(orjson.dumps({"event": "pusher:error", "data": data}))
                assert frame is not None
                kept = frame["data"] if isinstance(data, dict) else json.loads(frame["data"])
                assert kept == {"code": None, "message": message + SECRET}
        assert redaction.quoted(f"refused: {SIGNATURE}") == f"refused: {SECRET}"


QUERY = (
    ("auth_key", "key"),
    ("auth_timestamp", "1"),
    ("auth_version", "1.0"),
    ("body_md5", "ec36"),
    ("auth_signature", SIGNATURE),
    ("info", "user_count"),
)


def fields(path: str, body: Any, *, keep_data: bool = True) -> dict[str, Any]:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return request_fields(path, QUERY, content, keep_data=keep_data)


class TestRequests:
    def test_what_is_about_the_signature_is_not_kept(self) -> None:
        body = {"name": "e", "channels": ["a"], "data": '{"auth":"theirs"}', "socket_id": "1.1"}
        kept = fields("/events", body)
        assert kept == {"parameters": {"info": "user_count"}, "body": body}

    def test_secrets_in_a_body_are_not_kept_but_what_applications_say_is(self) -> None:
        body = {"token": "t", "worker": {"shared_secret": "s"}, "args": {"token": "theirs"}}
        assert fields("/tasks", body)["body"] == {
            "token": SECRET,
            "worker": {"shared_secret": SECRET},
            "args": {"token": "theirs"},
        }

    def test_a_body_that_is_data_itself_is_kept(self) -> None:
        kept = fields("/channels/a/events", b"plain text")
        assert (kept["text"], "body" in kept) == ("plain text", False)

    @pytest.mark.parametrize("body", [b"junk", b"[1]", b"\xff", b"[" * 300 + b"]" * 300])
    def test_any_other_body_is_not(self, body: bytes) -> None:
        assert fields("/events", body) == {
            "parameters": {"info": "user_count"},
            "body_bytes": len(body),
        }


class TestWithoutData:
    def test_events_keep_their_length_in_bytes(self) -> None:
        frame = {"event": "news", "channel": "a", "data": "žluť"}
        assert server(frame, keep_data=False) == {"event": "news", "channel": "a", "data_bytes": 6}
        frame = {"event": "client-x", "channel": "private-a", "data": {"n": 1}}  # type: ignore[dict-item]
        kept = {"event": "client-x", "channel": "private-a", "data_bytes": 7}
        assert client(frame, keep_data=False) == kept

    def test_users_keep_their_ids(self) -> None:
        member = '{"user_id": "u", "user_info": {"name": "Una"}}'
        data = {"channel": "presence-a", "auth": AUTH, "channel_data": member}
        kept = client({"event": "pusher:subscribe", "data": data}, keep_data=False)
        assert json.loads(kept["data"]["channel_data"]) == {"user_id": "u"}
        user = '{"id": "u", "user_info": {"name": "Una"}, "watchlist": ["v"]}'
        data = {"auth": AUTH, "user_data": user}
        kept = client({"event": "pusher:signin", "data": data}, keep_data=False)
        assert json.loads(kept["data"]["user_data"]) == {"id": "u", "watchlist": ["v"]}
        presence = {"presence": {"ids": ["u"], "hash": {"u": {"name": "Una"}}, "count": 1}}
        succeeded = "pusher_internal:subscription_succeeded"
        kept = server({"event": succeeded, "data": json.dumps(presence)}, keep_data=False)
        assert json.loads(kept["data"])["presence"]["hash"] == {"u": None}

    def test_requests_keep_whom_they_are_for(self) -> None:
        body = {"name": "e", "channels": ["a"], "data": "secret plans"}
        kept = fields("/events", body, keep_data=False)
        assert kept["body"] == {"name": "e", "channels": ["a"], "data_bytes": 12}
        batch = {"batch": [{"name": "e", "channel": "a", "data": "plans"}]}
        kept = fields("/batch_events", batch, keep_data=False)
        assert kept["body"] == {"batch": [{"name": "e", "channel": "a", "data_bytes": 5}]}
        kept = fields("/tasks", {"name": "t", "args": ["plans"]}, keep_data=False)
        assert "body" not in kept
        kept = fields("/channels/a/events", b"plans", keep_data=False)
        assert (kept["body_bytes"], "text" in kept) == (5, False)


def nested(secret: Any, names: list[str], places: list[Any]) -> Any:
    """Hide a secret under its name, below others of any names and lists."""
    value: Any = {names[0]: secret}
    for place in places:
        value = [value] if place is None else {place: value}
    return value


@untimed
@given(
    secret=secrets,
    name=st.sampled_from(sorted(SECRET_NAMES)).flatmap(
        lambda name: st.sampled_from([name, name.upper(), name.title()])
    ),
    places=st.lists(st.none() | st.text("abc", min_size=1, max_size=3), max_size=4),
    event=st.sampled_from(
        ["pusher:subscribe", "pusher:signin", "pusher:x", "pusher_internal:y", "subscribe", "e"]
    ),
    other=json_values,
    as_text=st.booleans(),
    keep_data=st.booleans(),
)
def test_no_secret_of_a_client_is_in_what_is_kept(
    secret: str,
    name: str,
    places: list[Any],
    event: str,
    other: Any,
    as_text: bool,
    keep_data: bool,
) -> None:
    data = nested(secret, [name], places)
    if isinstance(data, dict):
        data = {"other": other} | data
    redaction = FrameRedaction(keep_data=keep_data)
    said = {
        "event": event,
        name: secret,
        "channel": "a",
        "data": json.dumps(data) if as_text else data,
    }
    kept = redaction.client(orjson.dumps(said))
    assert kept is not None
    assert secret not in json.dumps(kept)
    # Nor in what the service says of it.
    for answer in (f"but got {secret}", {"code": None, "message": f"'{secret}' is wrong"}):
        for event in ("pusher:error", "pusher:subscription_error"):
            for form in (answer, json.dumps(answer)):
                frame = redaction.server(orjson.dumps({"event": event, "data": form}))
                assert secret not in json.dumps(frame)
    assert secret not in redaction.quoted(f"you said {secret}")


@untimed
@given(secret=secrets, cut=st.integers(1, 200), keep_data=st.booleans())
def test_no_secret_of_a_broken_frame_is_in_what_is_kept(
    secret: str, cut: int, keep_data: bool
) -> None:
    said = {"event": "pusher:subscribe", "data": {"channel": "a", "auth": f"key:{secret}"}}
    text = orjson.dumps(said)
    kept = FrameRedaction(keep_data=keep_data).client(text[: -min(cut, len(text) - 1)])
    assert secret not in json.dumps(kept)


@untimed
@given(
    secret=secrets,
    name=st.sampled_from(sorted(SECRET_NAMES)),
    body=st.dictionaries(st.text("abc", max_size=3), json_values, max_size=3),
    path=st.sampled_from(["/events", "/batch_events", "/tasks", "/channels/a/users"]),
    keep_data=st.booleans(),
)
def test_no_secret_of_a_request_is_in_what_is_kept(
    secret: str, name: str, body: dict[str, Any], path: str, keep_data: bool
) -> None:
    query = [("auth_key", "key"), ("auth_signature", secret), (name, secret), ("Auth_X", secret)]
    content = orjson.dumps({**body, name: secret, "batch": [{name: secret}]})
    kept = request_fields(path, query, content, keep_data=keep_data)
    assert secret not in json.dumps(kept)


@untimed
@given(data=json_values, channel=st.text(max_size=8))
def test_whatever_an_application_says_is_kept_as_it_is(data: Any, channel: str) -> None:
    said = {"event": "client-x", "channel": channel, "data": data}
    assert client(said) == said
    text = {"event": "news", "channel": channel, "data": json.dumps(data)}
    assert server(text) == text
