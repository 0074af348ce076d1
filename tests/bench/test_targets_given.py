"""Targets as they are typed: which are understood, which are refused, and in which order."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from callboard_bench.api import App
from callboard_bench.scenario import Floor
from callboard_bench.targets.loopback import Refused, is_loopback, resolve
from callboard_bench.targets.program import program_of
from callboard_bench.targets.selection import Choice, Unfit, contenders
from callboard_bench.targets.target import Address
from callboard_bench.targets.urls import BadUrl, parse_url, without_secrets

FLOORS = (Floor(("-m", "floor")), Floor(("-m", "other"), "other", needs="no_such_module"))
URL = "http://key:secret@127.0.0.1:6001/apps/id"


def names(**choice: Any) -> list[str]:
    return [contender.name for contender in contenders(Choice(**choice), FLOORS)]


def test_a_url_names_an_app_and_where_it_is() -> None:
    url = parse_url("soketi=https://k%40:s%3A%2F@push.example/apps/7/")

    assert (url.name, url.named) == ("soketi", True)
    assert url.app == App("7", "k@", "s:/")
    assert (url.host, url.port, url.tls) == ("push.example", 443, True)


def test_a_url_without_a_name_goes_by_its_host() -> None:
    url = parse_url("http://k:s@[::1]:80/apps/a=b")

    assert (url.name, url.named, url.app.id) == ("[::1]:80", False, "a=b")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ws://k:hidden@h:1/apps/1", "begins with http"),
        ("http://k:hidden@/apps/1", "and a host"),
        ("http://h:1/apps/1", "key and secret"),
        ("http://k@h:1/apps/1", "key and secret"),
        ("http://k:hidden@h:1/", "/apps/ID"),
        ("http://k:hidden@h:1/apps/1/events", "/apps/ID"),
        ("http://k:hidden@h:1/apps/1?a=b", "/apps/ID"),
        ("http://k:hidden@h:port/apps/1", "port"),
        ("http://k:hidden@[h/apps/1", "not understood"),
    ],
)
def test_what_is_no_url_is_told_without_its_secret(text: str, expected: str) -> None:
    with pytest.raises(BadUrl, match=expected) as raised:
        parse_url(text)

    assert "http://KEY:SECRET@HOST:PORT/apps/ID" in str(raised.value)
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (
            ["serve --at http://k:a@h/apps/1 --and https://k:b@h/apps/2"],
            ["serve --at http://k:***@h/apps/1 --and https://k:***@h/apps/2"],
        ),
        (["http://k:half@half@h:1/apps/1"], ["http://k:***@h:1/apps/1"]),
        (
            ["--url", "http://k:a%2Fb@h:1/apps/1", "--server", "APP_SECRET=a/b serve --key k a/bc"],
            ["--url", "http://k:***@h:1/apps/1", "--server", "APP_SECRET=*** serve --key k a/bc"],
        ),
        (["--alone", "--rounds", "3"], ["--alone", "--rounds", "3"]),
    ],
)
def test_no_word_of_a_command_line_keeps_a_secret(words: list[str], kept: list[str]) -> None:
    assert without_secrets(words) == kept


@pytest.mark.parametrize(
    ("ip", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),
        ("::ffff:192.0.2.1", False),
        ("192.0.2.1", False),
        ("fe80::1%lo", False),
    ],
)
def test_loopback_is_what_never_leaves_this_machine(ip: str, expected: bool) -> None:
    assert is_loopback(ip) is expected


def resolving(monkeypatch: pytest.MonkeyPatch, *ips: str) -> None:
    """Let every name have these addresses."""

    def getaddrinfo(host: str, port: int, *, type: int) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, type, 6, "", (ip, port)) for ip in ips]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_a_name_of_loopback_is_connected_to_where_it_was_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolving(monkeypatch, "::1", "127.0.0.2")

    address = resolve("here.example", 443, tls=True, owned=False, insecure=False)

    assert address == Address("here.example", 443, True, "127.0.0.2")
    endpoint = address.endpoint()
    assert (endpoint["host"], endpoint["server_hostname"]) == ("127.0.0.2", "here.example")
    assert endpoint["ssl"].check_hostname


def test_one_address_beyond_loopback_is_enough_to_refuse_a_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolving(monkeypatch, "127.0.0.1", "192.0.2.1")

    with pytest.raises(Refused, match=r"both\.example \(192\.0\.2\.1\) is not a loopback address"):
        resolve("both.example", 80, tls=False, owned=False, insecure=False)
    assert resolve("both.example", 80, tls=False, owned=True, insecure=False).port == 80


def test_certificates_are_verified_beyond_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "192.0.2.1")

    with pytest.raises(Refused, match="--insecure is for loopback only"):
        resolve("192.0.2.1", 443, tls=True, owned=True, insecure=True)


def test_a_name_without_an_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    with pytest.raises(Refused, match=r"no\.example has no address: Name or service not known"):
        resolve("no.example", 80, tls=False, owned=False, insecure=False)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({}, ["floor", "callboard"]),
        ({"alone": True}, ["callboard"]),
        ({"url": URL}, ["127.0.0.1:6001"]),
        ({"url": f"mine={URL}"}, ["mine"]),
        ({"compare": ["floor"]}, ["floor", "callboard"]),
        ({"compare": [f"soketi={URL}", "floor"]}, ["soketi", "floor", "callboard"]),
        ({"url": URL, "compare": ["callboard"]}, ["callboard", "127.0.0.1:6001"]),
        ({"server": "A=1 /bin/soketi start", "url": URL}, ["soketi"]),
        ({"server": "exec env A=1 soketi start", "url": URL}, ["soketi"]),
        ({"server": "soketi start", "url": f"mine={URL}"}, ["mine"]),
        ({"server": "serve {port} {key} {secret} {app_id}"}, ["serve"]),
        (
            {"server": "callboard {port} {key} {secret} {app_id}", "compare": ["callboard"]},
            ["callboard", "callboard of --server"],
        ),
    ],
)
def test_compared_servers_come_first_and_the_main_one_last(
    choice: dict[str, Any], expected: list[str]
) -> None:
    assert names(**choice) == expected


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("soketi start --port={port}", "soketi"),
        ("A=1 /usr/bin/soketi start", "soketi"),
        ("exec env -i A=1 soketi start", "soketi"),
        ("cd app && node s.js", "node"),
        ("cd app; exec node s.js >log 2>&1", "node"),
        ("trap 'kill 0' TERM\nnode s.js & wait", "node"),
        ("rake db:migrate && puma -p {port}", "puma"),
        ("./serve {port} | tee log", "serve"),
        ("(cd app && php artisan reverb:start) || true", "php"),
        ("while true; do ./serve {port}; done", "serve"),
        ("'my server' --say \"a && b\"", "my server"),
        ("serve 'without an end", "serve"),
        ("cd app", "server"),
        ("", "server"),
    ],
)
def test_a_started_server_is_called_by_the_program_that_serves(command: str, name: str) -> None:
    assert program_of(command) == name


def test_a_scenario_without_a_floor_measures_ours_alone() -> None:
    assert [each.name for each in contenders(Choice(), ())] == ["callboard"]


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"compare": ["soketi"]}, "it takes callboard, floor, other, or a name and an address"),
        ({"compare": ["other"]}, "pip install no_such_module"),
        ({"compare": [URL], "url": URL}, "two of the servers are called 127.0.0.1:6001"),
        ({"compare": ["callboard"]}, "two of the servers are called callboard"),
        ({"alone": True, "compare": ["floor"]}, "contradict each other"),
        ({"ws_port": 6002}, "--ws-port says more about the server of --url"),
        ({"ws_host": "h"}, "--ws-host says more about the server of --url"),
        ({"pids": [1]}, "--pid says more about the server of --url"),
        ({"server": "x", "url": URL, "pids": [1]}, "those of --server are known"),
        ({"server": "soketi start"}, "write {port}"),
        ({"server": "serve {port}"}, "--server takes no {key}, {secret}, {app_id}, so the server"),
        ({"server": "serve {port} {key} {app_id}"}, "--server takes no {secret}, so"),
    ],
)
def test_flags_that_do_not_go_together_say_what_to_type(choice: dict[str, Any], said: str) -> None:
    with pytest.raises(Unfit) as raised:
        names(**choice)

    assert said in str(raised.value)


@pytest.mark.parametrize("flag", ["url", "compare"])
def test_every_server_named_has_to_be_on_loopback(flag: str) -> None:
    url = "http://key:secret@192.0.2.1:80/apps/id"

    with pytest.raises(Refused, match="--i-own-this-server"):
        names(**{flag: url if flag == "url" else [url]})


def test_a_websocket_elsewhere_has_to_be_on_loopback_too() -> None:
    with pytest.raises(Refused, match=r"192\.0\.2\.1 is not a loopback address"):
        names(url=URL, ws_host="192.0.2.1")
