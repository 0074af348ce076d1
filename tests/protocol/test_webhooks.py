"""What a backend is told, to the byte, and how it tells a genuine webhook from another."""

from __future__ import annotations

import hmac
import json

import pytest
from pusher import Pusher

from callboard_protocol import webhooks
from callboard_protocol.webhooks import BadWebhook, header_fault, receive
from callboard_server.clock import SystemClock

KEY = "278d425bdf160c739803"
SECRET = "7ad3773142a6692b25b8"


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (webhooks.channel_occupied("c"), '{"name":"channel_occupied","channel":"c"}'),
        (webhooks.channel_vacated("c"), '{"name":"channel_vacated","channel":"c"}'),
        (
            webhooks.member_added("presence-c", "7"),
            '{"name":"member_added","channel":"presence-c","user_id":"7"}',
        ),
        (
            webhooks.member_removed("presence-c", "7"),
            '{"name":"member_removed","channel":"presence-c","user_id":"7"}',
        ),
        (
            webhooks.client_event("private-c", "client-e", '{"a":1}', "1.2"),
            (
                '{"name":"client_event","channel":"private-c","event":"client-e",'
                r'"data":"{\"a\":1}","socket_id":"1.2"}'
            ),
        ),
        (
            webhooks.client_event("presence-c", "client-e", "täxt", "1.2", "ü"),
            (
                '{"name":"client_event","channel":"presence-c","event":"client-e",'
                '"data":"täxt","socket_id":"1.2","user_id":"ü"}'
            ),
        ),
        (webhooks.cache_miss("cache-c"), '{"name":"cache_miss","channel":"cache-c"}'),
        (
            webhooks.subscription_count("c", 3),
            '{"name":"subscription_count","channel":"c","subscription_count":3}',
        ),
    ],
)
def test_each_event_has_the_documented_fields(event: bytes, text: str) -> None:
    assert event.decode() == text


def test_a_body_has_its_time_in_milliseconds_and_its_events_in_order() -> None:
    events = [webhooks.channel_occupied("a"), webhooks.channel_vacated("b")]

    assert webhooks.body(1327078148132, events) == (
        b'{"time_ms":1327078148132,"events":['
        b'{"name":"channel_occupied","channel":"a"},{"name":"channel_vacated","channel":"b"}]}'
    )


def test_a_request_is_signed_over_its_exact_bytes() -> None:
    body = webhooks.body(1, [webhooks.channel_occupied("ä")])

    assert webhooks.signed_headers(KEY, SECRET, body) == {
        "Content-Type": "application/json",
        "X-Pusher-Key": KEY,
        "X-Pusher-Signature": hmac.new(SECRET.encode(), body, "sha256").hexdigest(),
    }


class TestTheOfficialPythonSDK:
    SDK = Pusher(app_id="1", key=KEY, secret=SECRET, host="localhost")

    def body(self) -> bytes:
        event = webhooks.client_event("presence-ä", "client-e", '{"a":"ü"}', "1.2", "7")
        return webhooks.body(int(SystemClock().now() * 1000), [event])

    def test_accepts_it(self) -> None:
        body = self.body()
        headers = webhooks.signed_headers(KEY, SECRET, body)

        read = self.SDK.validate_webhook(
            headers["X-Pusher-Key"], headers["X-Pusher-Signature"], body.decode()
        )

        assert read == json.loads(body)

    def test_refuses_one_that_was_changed(self) -> None:
        body = self.body()
        signature = webhooks.signed_headers(KEY, SECRET, body)["X-Pusher-Signature"]

        assert self.SDK.validate_webhook(KEY, signature, body.decode() + " ") is None


class TestReceiving:
    BODY = webhooks.body(5, [webhooks.cache_miss("cache-a"), webhooks.channel_occupied("b")])

    def test_a_genuine_request_is_read(self) -> None:
        headers = webhooks.signed_headers(KEY, SECRET, self.BODY)

        webhook = receive(headers, self.BODY, key=KEY, secret=SECRET)

        assert webhook.time_ms == 5
        assert webhook.events == (
            {"name": "cache_miss", "channel": "cache-a"},
            {"name": "channel_occupied", "channel": "b"},
        )

    def test_header_names_may_be_in_any_case(self) -> None:
        signed = webhooks.signed_headers(KEY, SECRET, self.BODY)
        headers = {name.upper(): value for name, value in signed.items()}

        assert receive(headers, self.BODY, key=KEY, secret=SECRET).time_ms == 5

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"X-Pusher-Key": "other"}, "signed for the key 'other'"),
            ({"X-Pusher-Signature": "0" * 64}, "not the HMAC-SHA256 of the body"),
            ({"X-Pusher-Signature": "ünfug\ud800"}, "not the HMAC-SHA256 of the body"),
        ],
    )
    def test_a_forged_one_is_refused(self, changes: dict[str, str], reason: str) -> None:
        headers = {**webhooks.signed_headers(KEY, SECRET, self.BODY), **changes}

        with pytest.raises(BadWebhook, match=reason) as refusal:
            receive(headers, self.BODY, key=KEY, secret=SECRET)
        assert SECRET not in str(refusal.value)

    @pytest.mark.parametrize("missing", ["X-Pusher-Key", "X-Pusher-Signature"])
    def test_an_unsigned_one_is_refused(self, missing: str) -> None:
        headers = webhooks.signed_headers(KEY, SECRET, self.BODY)
        del headers[missing]

        with pytest.raises(BadWebhook, match="expected the headers X-Pusher-Key"):
            receive(headers, self.BODY, key=KEY, secret=SECRET)

    @pytest.mark.parametrize(
        "body",
        [b"", b"[]", b"{}", b'{"time_ms":"5","events":[]}', b'{"time_ms":5,"events":["x"]}'],
    )
    def test_a_signed_body_that_is_no_webhook_is_refused(self, body: bytes) -> None:
        headers = webhooks.signed_headers(KEY, SECRET, body)

        with pytest.raises(BadWebhook, match="body"):
            receive(headers, body, key=KEY, secret=SECRET)


class TestAddedHeaders:
    @pytest.mark.parametrize(
        ("name", "value"),
        [("Authorization", "Bearer x"), ("X-Tenant", "ä b\t"), ("User-Agent", "mine")],
    )
    def test_most_may_be_added(self, name: str, value: str) -> None:
        assert header_fault(name, value) is None

    @pytest.mark.parametrize(
        "name",
        ["X-Pusher-Key", "x-pusher-signature", "X-PUSHER-other", "Content-Type", "content-length",
         "Content-Encoding", "Host", "Transfer-Encoding", "Connection", "Proxy-Authorization"],
    )  # fmt: skip
    def test_the_servers_own_may_not(self, name: str) -> None:
        assert header_fault(name, "v") == f"{name} is set by the server; leave it out"

    @pytest.mark.parametrize("name", ["", "two words", "colon:", "Ümlaut", "line\r\nbreak"])
    def test_a_name_must_be_one(self, name: str) -> None:
        assert "is not the name of an HTTP header" in (header_fault(name, "v") or "")

    @pytest.mark.parametrize("value", ["a\r\nX-Pusher-Key: forged", "a\nb", "a\0b", "\x7f"])
    def test_a_value_must_be_one_line(self, value: str) -> None:
        assert header_fault("X-A", value) == (
            "the value of X-A has a control character, which no HTTP header may"
        )
