"""What can be configured as a webhook, and what is refused before anything is posted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from callboard.configuration import load
from callboard.errors import ConfigurationError
from callboard_server.settings import WebhookSettings

APP = """
[[apps]]
id = "shop"
key = "shop-key"
secret = "shop-secret"
"""


def configure(tmp_path: Path, text: str) -> tuple[WebhookSettings, ...]:
    file = tmp_path / "callboard.toml"
    file.write_text(APP + text)
    return load(file, {}, {}).apps[0].webhooks


def test_a_file_may_name_several_with_all_they_have(tmp_path: Path) -> None:
    text = """
    [[apps.webhooks]]
    url = "https://user:pass@example.com:8443/hook?token=1"
    events = ["member_added", "cache_miss"]
    channel_prefix = "presence-"
    channel_suffix = "-eu"
    headers = { X-Tenant = "7" }
    batch = true

    [[apps.webhooks]]
    url = "http://[::1]:8000"
    """

    first, second = configure(tmp_path, text)

    assert [event.value for event in first.events] == ["member_added", "cache_miss"]
    assert (first.channel_prefix, first.channel_suffix) == ("presence-", "-eu")
    assert (first.headers, first.batch) == ({"X-Tenant": "7"}, True)
    assert (second.events, second.headers, second.batch) == ((), {}, False)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "ftp://example.com",
        "http://",
        "http:///path",
        "http://a b",
        "http://a\nb",
    ],
)
def test_a_url_must_be_one_of_http(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"apps\[0\]\.webhooks\[0\]\.url: expected"):
        configure(tmp_path, f"[[apps.webhooks]]\nurl = {msgspec.json.encode(url).decode()}")


@pytest.mark.parametrize(
    "url",
    ["http://:80/", "http://a:0/", "http://a:65536/", "http://a:x/", "http://[::1", "http://u@/"],
)
def test_a_url_must_have_a_host_and_a_port_that_exists(url: str, tmp_path: Path) -> None:
    sentence = r"url: expected http:// or https:// with a host and a port up to 65535"

    with pytest.raises(ConfigurationError, match=sentence + r" \(at `apps\[0\]\.webhooks\[0\]`\)"):
        configure(tmp_path, f"[[apps.webhooks]]\nurl = '{url}'")


def test_an_unknown_event_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"webhooks\[0\]\.events: expected .*channel_occ"):
        configure(tmp_path, "[[apps.webhooks]]\nurl='http://a'\nevents=['channel_existence']")


@pytest.mark.parametrize(
    ("url", "headers", "reason"),
    [
        ("http://a", {"X-Pusher-Signature": "s3cret"}, "X-Pusher-Signature is set by the server"),
        ("http://a", {"content-type": "s3cret"}, "content-type is set by the server"),
        ("http://a", {"Host": "s3cret"}, "Host is set by the server"),
        ("http://a", {"X-A": "s3cret\r\nX-Pusher-Key: k"}, "the value of X-A has a control char"),
        ("http://a", {"X A": "s3cret"}, "'X A' is not the name of an HTTP header"),
        ("http://u:p@a", {"authorization": "s3cret"}, "Authorization is in the URL already"),
    ],
)
def test_headers_that_cannot_be_added_are_named_and_their_values_not(
    url: str, headers: dict[str, str], reason: str
) -> None:
    with pytest.raises(msgspec.ValidationError) as refusal:
        msgspec.convert({"url": url, "headers": headers}, WebhookSettings)

    assert f"headers: {reason}" in str(refusal.value)
    assert "s3cret" not in str(refusal.value)


def test_nothing_that_may_be_secret_is_in_its_representation() -> None:
    settings: Any = WebhookSettings(url="https://u:s3cret@a/s3cret", headers={"X-A": "s3cret"})

    assert "s3cret" not in repr(settings)
