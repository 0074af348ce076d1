"""Pages from elsewhere may be kept out, by the ``Origin`` that browsers send."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import msgspec
import pytest

from callboard_server.background import BackgroundServer
from callboard_server.origins import allows
from callboard_server.settings import Settings
from support.entrance import SHOP, Answer, Entrance

documented = pytest.mark.documented
OURS = msgspec.structs.replace(
    SHOP,
    id="2",
    key="ours",
    allowed_origins=("https://shop.example", "https://*.example.com", "http://localhost:3000"),
)


@pytest.mark.parametrize(
    ("allowed", "origin"),
    [
        ("https://shop.example", "https://shop.example"),
        ("https://shop.example", "HTTPS://Shop.EXAMPLE"),
        ("https://Shop.Example", "https://shop.example"),
        ("https://shop.example:443", "https://shop.example"),
        ("http://shop.example", "http://shop.example:80"),
        ("https://shop.example:8443", "https://shop.example:8443"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ("file://", "file://"),
        ("null", "null"),
        ("https://*.example.com", "https://a.example.com"),
        ("https://*.example.com", "https://a.b.example.com"),
        ("https://*.Example.com:443", "https://A.example.com"),
        ("https://*.example.com:8443", "https://a.example.com:8443"),
    ],
)
def test_these_are_allowed(allowed: str, origin: str) -> None:
    assert allows((allowed,), origin)
    assert allows(("https://first.example", allowed), origin)


@pytest.mark.parametrize(
    ("allowed", "origin"),
    [
        ("https://shop.example", "http://shop.example"),
        ("https://shop.example", "https://shop.example:8443"),
        ("https://shop.example:8443", "https://shop.example"),
        ("https://shop.example", "https://shop.example.evil.example"),
        ("https://shop.example", "https://evil.example/https://shop.example"),
        ("https://shop.example", "https://a.shop.example"),
        ("https://shop.example", "shop.example"),
        ("https://shop.example", "null"),
        ("https://shop.example", ""),
        ("https://shop.example", "https://shop.example, https://evil.example"),
        ("https://*.example.com", "https://example.com"),
        ("https://*.example.com", "https://.example.com"),
        ("https://*.example.com", "https://evilexample.com"),
        ("https://*.example.com", "https://a.example.com.evil"),
        ("https://*.example.com", "https://a.example.com:8443"),
        ("https://*.example.com", "http://a.example.com"),
        ("https://*.example.com", "null"),
        ("http://a.example", "http://a.example:443"),
    ],
)
def test_these_are_not(allowed: str, origin: str) -> None:
    assert not allows((allowed,), origin)


@pytest.mark.parametrize("origin", ["https://anything.example", "null", "", None])
def test_without_a_list_all_are(origin: str | None) -> None:
    assert allows((), origin)


@pytest.mark.documented("TLS and origins", "Who is no browser is not asked for an origin")
def test_whoever_is_no_browser_is() -> None:
    assert allows(("https://shop.example",), None)


@pytest.fixture
def way() -> Iterator[Entrance]:
    with (
        BackgroundServer(Settings(port=0, apps=(SHOP, OURS))) as background,
        ExitStack() as stack,
    ):
        yield Entrance(stack, port=background.port)


@pytest.mark.documented(
    "TLS and origins", "A page of another origin than the app allows is closed with 4009"
)
@documented("TLS and origins", "Pages of an allowed origin connect, and whoever sends none")
@pytest.mark.parametrize(
    "origin", ["https://shop.example", "https://www.example.com", "http://localhost:3000", None]
)
def test_an_allowed_page_connects(origin: str | None, way: Entrance) -> None:
    way.client(OURS, {"Origin": origin} if origin else {}).quiet()


@pytest.mark.documented(
    "TLS and origins", "A page of another origin than the app allows is closed with 4009"
)
@documented("TLS and origins", "A page of another origin is closed with 4009")
@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost:3001", "null"])
def test_another_one_is_refused_and_told_why(
    origin: str, way: Entrance, caplog: pytest.LogCaptureFixture
) -> None:
    refused = way.refused(OURS, {"Origin": origin})

    assert refused == (4009, f"Origin not allowed: {origin}")
    assert refused[1] in caplog.text


def test_the_list_is_the_apps_own(way: Entrance) -> None:
    way.client(SHOP, {"Origin": "https://evil.example"}).quiet()


def test_a_backend_is_not_asked(way: Entrance) -> None:
    answer = way.trigger("news", app=OURS, headers={"Origin": "https://evil.example"})

    assert answer == Answer(200, "{}")


def test_an_endless_origin_is_not_repeated_in_full(way: Entrance) -> None:
    code, message = way.refused(OURS, {"Origin": "https://" + "a" * 5000})

    assert code == 4009
    assert len(message) < 200
