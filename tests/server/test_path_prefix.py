"""A path prefix, as proxies put it before every path: with it and without it, all is the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from callboard_server.background import BackgroundServer
from callboard_server.settings import Settings
from support.entrance import SHOP, Entrance, refusal, signed

PREFIX = "/real/time"
EVENTS = f"/apps/{SHOP.id}/events"
CHANNELS = f"/apps/{SHOP.id}/channels"
BODY = json.dumps({"name": "e", "channel": "news", "data": "d"}).encode()


def entrance(path_prefix: str) -> Iterator[Entrance]:
    settings = Settings(port=0, apps=(SHOP,), path_prefix=path_prefix)
    with BackgroundServer(settings) as background, ExitStack() as stack:
        yield Entrance(stack, port=background.port)


@pytest.fixture
def way() -> Iterator[Entrance]:
    yield from entrance(PREFIX)


@pytest.fixture
def without() -> Iterator[Entrance]:
    yield from entrance("")


@pytest.mark.parametrize("prefix", [PREFIX, ""], ids=["with", "without"])
class TestWithAndWithoutIt:
    def test_clients_connect(self, prefix: str, way: Entrance) -> None:
        client = way.client(prefix=prefix)
        client.subscribe("news")

        assert way.trigger("news").status == 200

        client.hears("news")

    def test_refusals_are_the_same(self, prefix: str, way: Entrance) -> None:
        assert refusal(way.websocket(f"{prefix}/app/none"))[0] == 4001
        code, message = refusal(way.websocket(f"{prefix}/other/shop-key"))
        assert (code, message) == (4005, "Path not found: /other/shop-key (expected /app/{key})")

    @pytest.mark.parametrize("seen", [PREFIX, ""], ids=["signed with", "signed without"])
    def test_the_api_takes_a_signature_of_either_path(
        self, seen: str, prefix: str, way: Entrance
    ) -> None:
        post = f"{prefix}{EVENTS}?{signed(SHOP, seen + EVENTS, BODY)}"
        get = f"{prefix}{CHANNELS}?{signed(SHOP, seen + CHANNELS, method='GET')}"

        assert way.request("POST", post, BODY).status == 200
        assert way.request("GET", get).text == '{"channels":{}}'

    def test_the_api_tells_which_path_is_to_be_signed(self, prefix: str, way: Entrance) -> None:
        query = signed(SHOP, "/pusher" + EVENTS, BODY)

        answer = way.request("POST", f"{prefix}{EVENTS}?{query}", BODY)

        assert answer.status == 401
        assert f'HmacSHA256Hex("POST\\n{EVENTS}\\n' in answer.text

    def test_the_path_of_the_python_sdk_without_an_app_is_found(
        self, prefix: str, way: Entrance
    ) -> None:
        path = "/users/u/terminate_connections"

        answer = way.request("POST", f"{prefix}{path}?{signed(SHOP, path, b'{}')}", b"{}")

        assert answer.status == 200

    @pytest.mark.parametrize("path", ["/", "", "/?x=/app/y", "?x", "/ready"])
    def test_pages_are_found(self, path: str, prefix: str, way: Entrance) -> None:
        target = prefix + path
        if target.startswith("/"):
            assert way.request("GET", target).status == 200


@pytest.mark.parametrize(
    "lookalike", ["/real/timeless", "/real", "/real/time/real/time", "/Real/Time"]
)
def test_what_only_looks_like_it_is_another_path(lookalike: str, way: Entrance) -> None:
    code, message = refusal(way.websocket(f"{lookalike}/app/shop-key"))

    assert code == 4005
    assert message.startswith("Path not found: /")
    assert way.request("GET", f"{lookalike}/ready").status == 404


def test_without_a_setting_there_is_none(without: Entrance) -> None:
    assert refusal(without.websocket(f"{PREFIX}/app/shop-key"))[0] == 4005
    query = signed(SHOP, PREFIX + EVENTS, BODY)
    assert without.request("POST", f"{EVENTS}?{query}", BODY).status == 401
    without.client().quiet()
