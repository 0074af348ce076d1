"""One request, written as each server SDK writes it, and the two ways that verify it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pusher
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from callboard_protocol.rest_signature import SignedRequest, Unauthorized, sign, verify
from protocol.signed_requests import APP_KEY, NOW, SECRET, parameters, refusal, request, signature

Pairs = list[tuple[bytes, bytes]]
OWN: Pairs = [(name.encode(), value.encode()) for name, value in parameters().items()]


def accepted(signed: SignedRequest) -> dict[str, str]:
    return verify(signed, APP_KEY, SECRET, NOW)


def written(
    signed: Pairs, query: bytes, path: bytes = b"/apps/1/channels", sent_path: bytes | None = None
) -> SignedRequest:
    """Return a GET whose signature covers ``signed`` and ``path`` but which is sent otherwise."""
    own = b"&".join(b"=".join(pair) for pair in OWN)
    tail = b"&auth_signature=" + signature("GET", path, OWN + signed).encode()
    return SignedRequest("GET", sent_path or path, own + b"&" + query + tail, b"")


# The official Python SDK signs here with its own code.


@pytest.mark.parametrize(
    ("call", "arguments", "parameters_"),
    [
        ("channels_info", (), {}),
        ("channels_info", ("presence-", ["user_count"]), None),
        ("channel_info", ("presence-a", ["user_count", "subscription_count"]), None),
        ("channel_info", ("presence-a_=@,.;", []), {}),
        ("users_info", ("presence-a",), {}),
        ("trigger", ("a", "e", {"ä": "ß"}), {}),
        ("trigger", (["a", "b"], "e", "text", "1.1"), {}),
        ("trigger_batch", ([{"channel": "a", "name": "e", "data": "d"}],), {}),
    ],
)
def test_python(call: str, arguments: tuple[Any, ...], parameters_: dict[str, str] | None) -> None:
    client = pusher.Pusher(app_id="1", key=APP_KEY, secret=SECRET, host="h", ssl=False)
    made = getattr(client._pusher_client, call).make_request(*arguments)
    now = float(made.query_params["auth_timestamp"])
    signed = SignedRequest(
        made.method, made.path.encode(), made.query_string.encode(), bytes(made.body)
    )
    found = verify(signed, APP_KEY, SECRET, now)
    if parameters_ is None:
        names = ("filter_by_prefix", "info")
        parameters_ = {n: made.query_params[n] for n in names if n in made.query_params}
        assert parameters_
    assert found == parameters_


def test_python_signs_an_md5_on_requests_without_a_body() -> None:
    client = pusher.Pusher(app_id="1", key=APP_KEY, secret=SECRET, host="h", ssl=False)
    made = client._pusher_client.channels_info.make_request()
    assert made.query_params["body_md5"] == "d41d8cd98f00b204e9800998ecf8427e"


# The others, as their source writes it.


@pytest.mark.parametrize(
    "query", [b"channels[]=b&channels[]=a", b"channels%5B%5D=b&channels%5B%5D=a"]
)
def test_ruby_repeats_a_name_for_an_array(query: bytes) -> None:
    signed: Pairs = [(b"channels[]", b"b"), (b"channels[]", b"a")]
    assert accepted(written(signed, query)) == {"channels[]": "a"}
    backwards = [signed[1], signed[0]]
    assert refusal(written(backwards, query)).startswith("Invalid signature")


@pytest.mark.parametrize("query", [b"info=", b"info"])
def test_ruby_signs_nil_as_an_empty_value(query: bytes) -> None:
    assert accepted(written([(b"info", b"")], query)) == {"info": ""}


@pytest.mark.parametrize(
    "value",
    [b"user_count,subscription_count", b"presence-@=;", b"100%", b"a b", b"a+b", "ä".encode()],
)
def test_go_sends_values_unescaped(value: bytes) -> None:
    found = accepted(written([(b"info", value)], b"info=" + value))
    assert found.keys() == {"info"}


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("user_count,subscription_count", b"user_count%2Csubscription_count"),
        ("user_count,subscription_count", b"user_count%2csubscription_count"),
        ("presence-@=;&", b"presence-%40%3D%3B%26"),
        ("a b", b"a%20b"),
        ("a b", b"a+b"),
        ("a+b", b"a%2Bb"),
        ("100%", b"100%25"),
        ("ä", b"%C3%A4"),
    ],
)
def test_others_escape_what_they_signed_plain(value: str, sent: bytes) -> None:
    found = accepted(written([(b"info", value.encode())], b"info=" + sent))
    assert found == {"info": value}


@pytest.mark.parametrize("sent", [b"user_count%2Csubscription_count", b"%C3%A4", b"a%20b"])
def test_a_value_may_also_be_signed_as_it_was_escaped(sent: bytes) -> None:
    assert accepted(written([(b"info", sent)], b"info=" + sent)).keys() == {"info"}


def test_names_are_signed_in_lower_case() -> None:
    signed = accepted(written([(b"info", b"User_Count")], b"INFO=User_Count"))
    assert signed == {"info": "User_Count"}
    upper = {name.upper(): value for name, value in parameters().items()}
    plain = request(parameters())
    tail = plain.query.rpartition(b"auth_signature=")[2]
    pairs = [f"{name}={value}" for name, value in upper.items()]
    query = "&".join(pairs).encode() + b"&AUTH_SIGNATURE=" + tail
    assert accepted(replace(plain, query=query)) == {}


def test_dotnet_puts_the_signature_first() -> None:
    signed = request(parameters(info="user_count"))
    own, _, value = signed.query.rpartition(b"&auth_signature=")
    first = replace(signed, query=b"auth_signature=" + value + b"&" + own)
    assert accepted(first) == {"info": "user_count"}


def test_php_joins_an_array_with_commas() -> None:
    assert accepted(written([(b"channels", b"a,b")], b"channels=a%2Cb")) == {"channels": "a,b"}


@pytest.mark.parametrize(
    ("signed", "sent"),
    [
        (b"/apps/1/channels/presence-a@b", b"/apps/1/channels/presence-a%40b"),
        (b"/apps/1/channels/presence-a%40b", b"/apps/1/channels/presence-a%40b"),
        (b"/apps/1/channels/a;b", b"/apps/1/channels/a%3Bb"),
        (b"/apps/1/channels/a+b", b"/apps/1/channels/a+b"),
    ],
)
def test_a_path_is_signed_as_sent_or_decoded(signed: bytes, sent: bytes) -> None:
    assert accepted(written([], b"", signed, sent)) == {}
    assert accepted(written([(b"info", b"a,b")], b"info=a%2Cb", signed, sent)) == {"info": "a,b"}


def test_a_plus_in_a_path_is_no_space() -> None:
    sent = written([], b"", b"/apps/1/channels/a b", b"/apps/1/channels/a+b")
    assert refusal(sent).startswith("Invalid signature")


def test_order_in_the_query_does_not_matter() -> None:
    signed = request(parameters(info="user_count", filter_by_prefix="presence-"))
    backwards = b"&".join(reversed(signed.query.split(b"&")))
    assert accepted(replace(signed, query=backwards)) == {
        "filter_by_prefix": "presence-",
        "info": "user_count",
    }


def test_the_signature_itself_may_be_signed_by_callboards_own_function() -> None:
    values = parameters(info="a b,c")
    digest = sign(SECRET, "GET", "/apps/1/channels", values)
    query = "&".join(f"{n}={quote(v)}" for n, v in {**values, "auth_signature": digest}.items())
    signed = SignedRequest("GET", b"/apps/1/channels", query.encode(), b"")
    assert accepted(signed) == {"info": "a b,c"}


# Nearly all requests are verified on a short path. What it says must be what the general says.


def outcome(signed: SignedRequest, now: float) -> dict[str, str] | str:
    try:
        return verify(signed, APP_KEY, SECRET, now)
    except Unauthorized as refused:
        return str(refused)


PLAIN = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="%+&="))


@given(
    changes=st.dictionaries(
        st.sampled_from(["auth_key", "auth_timestamp", "auth_version", "info", "filter_by_prefix"]),
        st.none() | PLAIN,
        max_size=2,
    ),
    body=st.sampled_from([b"", b"{}", b'{"name":"e"}']),
    now=st.sampled_from([NOW, NOW + 599, NOW + 600, NOW - 600]),
    damage=st.sampled_from(["nothing", "signature", "body", "path", "method", "secret"]),
)
@example(changes={}, body=b"{}", now=NOW, damage="nothing")
@example(changes={}, body=b"{}", now=NOW + 600, damage="nothing")
@example(changes={}, body=b"{}", now=NOW, damage="signature")
@example(changes={}, body=b"{}", now=NOW, damage="body")
@example(changes={}, body=b"{}", now=NOW, damage="path")
@example(changes={}, body=b"{}", now=NOW, damage="method")
@example(changes={}, body=b"{}", now=NOW, damage="secret")
@example(changes={"auth_key": "another"}, body=b"{}", now=NOW, damage="nothing")
@example(changes={"auth_version": "2.0"}, body=b"{}", now=NOW, damage="nothing")
@example(changes={"info": "a=b"}, body=b"", now=NOW, damage="nothing")
def test_a_request_means_the_same_however_it_is_written(
    changes: dict[str, str | None], body: bytes, now: float, damage: str
) -> None:
    usual = request(parameters(**changes), body=body)
    usual = {
        "nothing": usual,
        "signature": replace(usual, query=usual.query[:-1] + b"x"),
        "body": replace(usual, body=usual.body + b" "),
        "path": replace(usual, path=b"/apps/2/events"),
        "method": replace(usual, method="PUT"),
        "secret": request(parameters(**changes), body=body, secret="another"),
    }[damage]
    expected = outcome(usual, now)
    right = damage == "nothing" and now in (NOW, NOW + 599)
    if right and not {"auth_key", "auth_timestamp", "auth_version"} & set(changes):
        assert expected == {name: value for name, value in changes.items() if value is not None}
    elif damage != "nothing":
        assert isinstance(expected, str)
    otherwise = (
        usual.query.replace(b"auth_", b"auth%5f"),
        b"&" + usual.query,
        b"&".join(reversed(usual.query.split(b"&"))),
    )
    for query in otherwise:
        assert outcome(replace(usual, query=query), now) == expected


@given(PLAIN, PLAIN)
def test_an_unknown_parameter_changes_nothing_but_itself(prefix: str, value: str) -> None:
    values = parameters(filter_by_prefix=prefix)
    known = accepted(request(values))
    assert known == {"filter_by_prefix": prefix}
    assert accepted(request({**values, "more": value})) == {**known, "more": value}
