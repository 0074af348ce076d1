"""What clients and backends say again: signed for another service, for the socket ids of now."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from callboard.traffic import renewal
from callboard.traffic.recording import ClientFrame, Request
from callboard.traffic.redaction import SECRET
from callboard_client.signed_request import Credentials
from callboard_protocol.rest_signature import SignedRequest, verify
from support.pusher_client import hmac_hex

CREDENTIALS = Credentials.from_url("http://key:secret@127.0.0.1:6001/apps/7")
SOCKET_ID = "1.1"


def renewed(event: str, data: Any) -> Any:
    frame = {"event": event, "data": data}
    return json.loads(renewal.client_frame(frame, SOCKET_ID, CREDENTIALS))["data"]


def auth(string: str) -> str:
    return f"key:{hmac_hex('secret', string)}"


def request(path: str, **fields: Any) -> Request:
    return Request(ms=0, request=1, method="POST", path=path, app="old", key="old-key", **fields)


class TestClients:
    @pytest.mark.parametrize("as_text", [False, True])
    def test_a_subscription_is_signed_for_this_connection(self, as_text: bool) -> None:
        data: Any = {"channel": "private-a", "auth": SECRET}
        found = renewed("pusher:subscribe", json.dumps(data) if as_text else data)
        assert isinstance(found, str) is as_text
        found = json.loads(found) if as_text else found
        assert found == {"channel": "private-a", "auth": auth("1.1:private-a")}

    def test_what_is_said_of_a_member_is_signed_to_the_letter(self) -> None:
        member = '{"user_id" : 10}'
        data = {"channel": "presence-a", "auth": SECRET, "channel_data": member}
        signed = auth(f"1.1:presence-a:{member}")
        assert renewed("pusher:subscribe", data) == {**data, "auth": signed}

    def test_a_user_is_signed_too(self) -> None:
        data = {"auth": SECRET, "user_data": '{"id": "u"}'}
        signed = auth('1.1::user::{"id": "u"}')
        assert renewed("pusher:signin", data) == {**data, "auth": signed}

    @pytest.mark.parametrize(
        "data",
        [
            {"channel": "private-a"},
            {"channel": "private-a", "auth": ""},
            {"channel": "private-a", "auth": None},
            "no JSON",
            None,
            [],
        ],
    )
    def test_what_was_not_signed_is_not_signed_now(self, data: Any) -> None:
        assert renewed("pusher:subscribe", data) == data

    def test_data_that_was_left_out_is_as_long_as_it_was(self) -> None:
        frame = {"event": "client-x", "channel": "private-a", "data_bytes": 12}
        said = json.loads(renewal.client_frame(frame, SOCKET_ID, CREDENTIALS))
        assert said == {"event": "client-x", "channel": "private-a", "data": "x" * 12}
        unread = ClientFrame(ms=0, connection=1, unread_bytes=5)
        assert renewal.unread(unread) == b"xxxxx"


class TestBackends:
    def test_socket_ids_become_those_of_now_and_unknown_ones_stay(self) -> None:
        batch = [{"channel": "a", "socket_id": "5.5"}, {"channel": "b", "socket_id": "9.9"}, "junk"]
        body = {"name": "e", "socket_id": "5.5", "batch": batch}
        found = json.loads(renewal.content(request("/x", body=body), {"5.5": "1.1"}) or b"")
        assert found == {
            "name": "e",
            "socket_id": "1.1",
            "batch": [{"channel": "a", "socket_id": "1.1"}, batch[1], "junk"],
        }

    @pytest.mark.parametrize(
        ("path", "fields", "body"),
        [
            ("/events", {"body": {"data_bytes": 3}}, b'{"data":"xxx"}'),
            ("/channels/a/events", {"text": "plain"}, b"plain"),
            ("/channels/a/events", {"body_bytes": 4}, b"xxxx"),
            ("/channels", {}, b""),
            ("/tasks", {"body_bytes": 4}, None),
        ],
    )
    def test_a_body_is_what_the_recording_has_of_it(
        self, path: str, fields: dict[str, Any], body: bytes | None
    ) -> None:
        assert renewal.content(request(path, **fields), {}) == body

    @pytest.mark.parametrize(
        ("app", "path", "asked"),
        [
            ("old", "/channels/a%2db", "/apps/7/channels/a%2db"),
            (None, "/users/u/terminate_connections", "/users/u/terminate_connections"),
        ],
    )
    def test_a_request_is_signed_for_the_app_it_is_played_into(
        self, app: str | None, path: str, asked: str
    ) -> None:
        parameters = {"info": "a,b", "socket_id": "5.5"}
        record = Request(
            ms=0,
            request=1,
            method="POST",
            path=path,
            app=app,
            key="old-key",
            parameters=parameters,
        )
        found = renewal.path_and_query(record, b"{}", {"5.5": "1.1"}, CREDENTIALS, 1000.0)
        where, _, query = found.partition("?")
        assert where == asked
        assert parse_qs(query)["auth_key"] == ["key"]
        signed = SignedRequest("POST", where.encode(), query.encode(), b"{}")
        assert verify(signed, "key", "secret", 1000.0) == {"info": "a,b", "socket_id": "1.1"}
