"""Signatures of API requests: the vectors of the SDKs, and a text for each refusal."""

from __future__ import annotations

from dataclasses import replace
from hashlib import md5

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from callboard_protocol.rest_signature import (
    SignedRequest,
    Unauthorized,
    body_md5,
    sign,
    verify,
)
from protocol.signed_requests import APP_KEY, NOW, SECRET, parameters, refusal, request, signature

EVENT = b'{"name":"foo","channels":["project-3"],"data":"{\\"some\\":\\"data\\"}"}'
EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"

VECTORS = [
    pytest.param(
        "278d425bdf160c739803",
        "7ad3773142a6692b25b8",
        SignedRequest(
            "POST",
            b"/apps/3/events",
            b"auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0"
            b"&body_md5=ec365a775a4cd0599faeb73354201b6f",
            EVENT,
        ),
        "da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c",
        {},
        id="documentation",
    ),
    pytest.param(
        "key",
        "secret",
        SignedRequest(
            "POST",
            b"/some/path",
            b"auth_key=key&auth_timestamp=1234&auth_version=1.0&go=here&query=params",
            b"",
        ),
        "3b237953a5ba6619875cbb2a2d43e8da9ef5824e8a2c689f6284ac85bc1ea0db",
        {"go": "here", "query": "params"},
        id="gem",
    ),
    pytest.param(
        "key",
        "secret",
        SignedRequest(
            "GET",
            b"/some/obscure/api",
            b"auth_key=key&auth_timestamp=1000&auth_version=1.0"
            b"&body_md5=d41d8cd98f00b204e9800998ecf8427e&foo=bar",
            b"",
        ),
        "5c49f04a95eedc9028b1e0e8de7c2c7ad63504a0e3b5c145d2accaef6c14dbac",
        {"foo": "bar"},
        id="python-signs-the-md5-of-nothing",
    ),
    pytest.param(
        "d41a439c438a100756f5",
        "4bf35003e819bb138249",
        SignedRequest(
            "GET",
            b"/apps/102015/channels",
            b"auth_key=d41a439c438a100756f5&auth_timestamp=1427034994&auth_version=1.0"
            b"&filter_by_prefix=presence-&info=user_count",
            b"",
        ),
        "4d8a02edcc8a758b0162cd6da690a9a45fb8ae326a276dca1e06a0bc42796c11",
        {"filter_by_prefix": "presence-", "info": "user_count"},
        id="go",
    ),
]


@pytest.mark.parametrize(("key", "secret", "unsigned", "expected", "rest"), VECTORS)
def test_vectors(
    key: str, secret: str, unsigned: SignedRequest, expected: str, rest: dict[str, str]
) -> None:
    pairs = dict(part.split("=") for part in unsigned.query.decode().split("&"))
    signed = replace(unsigned, query=unsigned.query + b"&auth_signature=" + expected.encode())
    assert sign(secret, unsigned.method, unsigned.path.decode(), pairs) == expected
    assert verify(signed, key, secret, float(pairs["auth_timestamp"])) == rest


def test_body_md5() -> None:
    assert body_md5(EVENT) == "ec365a775a4cd0599faeb73354201b6f"
    assert body_md5(b"") == EMPTY_MD5


# The window


@pytest.mark.parametrize("age", [0.0, 599.0, -599.0, 599.9, -599.9])
def test_a_timestamp_within_ten_minutes_is_accepted(age: float) -> None:
    assert verify(request(), APP_KEY, SECRET, NOW + age) == {}


@pytest.mark.parametrize("age", [600.0, -600.0, 601.0, -601.0, 1e9])
def test_a_timestamp_ten_minutes_off_is_refused_in_both_directions(age: float) -> None:
    assert refusal(request(), NOW + age).startswith("Timestamp expired: ")


def test_an_expired_timestamp_is_shown_with_the_servers_own() -> None:
    old = parameters(auth_timestamp="1380444393")
    assert refusal(request(old), 1_380_445_000.0) == (
        "Timestamp expired: Given timestamp (2013-09-29T08:46:33Z) not within 600s "
        "of server time (2013-09-29T08:56:40Z)"
    )


def test_a_timestamp_beyond_the_calendar_is_expired_like_any_other() -> None:
    text = refusal(request(parameters(auth_timestamp="9" * 12)))
    assert text.startswith("Timestamp expired: Given timestamp (999999999999)")


# Refusals


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"auth_key": None}, "Missing parameter: auth_key"),
        ({"auth_key": ""}, "Unknown auth_key"),
        ({"auth_key": "another"}, "Unknown auth_key"),
        ({"auth_key": APP_KEY.upper()}, "Unknown auth_key"),
        ({"auth_version": None}, "Version required"),
        ({"auth_version": "1.1"}, "Version not supported"),
        ({"auth_version": ""}, "Version not supported"),
        ({"auth_timestamp": None}, "Timestamp required"),
        ({"auth_timestamp": ""}, "Timestamp required: '' is not a Unix time in seconds"),
        ({"auth_timestamp": "now"}, "Timestamp required: 'now' is not a Unix time in seconds"),
        ({"auth_timestamp": "-5"}, "Timestamp required: '-5' is not a Unix time in seconds"),
        ({"auth_timestamp": "1e9"}, "Timestamp required: '1e9' is not a Unix time in seconds"),
        (
            {"auth_timestamp": "1" * 5000},
            f"Timestamp required: '{'1' * 40}' is not a Unix time in seconds",
        ),
    ],
)
def test_each_part_that_is_missing_or_wrong_is_named(
    changes: dict[str, str | None], text: str
) -> None:
    assert refusal(request(parameters(**changes))) == text


def test_a_missing_signature_is_named() -> None:
    signed = request()
    query, _, _ = signed.query.partition(b"&auth_signature=")
    assert refusal(replace(signed, query=query)) == "Missing parameter: auth_signature"


def test_no_query_at_all_misses_the_key_first() -> None:
    assert refusal(SignedRequest("GET", b"/apps/1/channels", b"", b"")) == (
        "Missing parameter: auth_key"
    )


def test_a_wrong_signature_is_answered_with_the_string_to_sign() -> None:
    signed = request(parameters(info="user_count"), "GET", "/apps/1/channels")
    query, _, _ = signed.query.partition(b"auth_signature=")
    assert refusal(replace(signed, query=query + b"auth_signature=beef")) == (
        'Invalid signature: you should have sent HmacSHA256Hex("GET\\n/apps/1/channels\\n'
        f"auth_key={APP_KEY}&auth_timestamp={NOW:.0f}&auth_version=1.0&info=user_count"
        '", your_secret_key), but you sent "beef"'
    )


@pytest.mark.parametrize("part", ["method", "path", "query", "secret"])
def test_the_signature_covers_method_path_and_query(part: str) -> None:
    signed = request(parameters(info="user_count"), "GET", "/apps/1/channels")
    changed = {
        "method": replace(signed, method="POST"),
        "path": replace(signed, path=b"/apps/2/channels"),
        "query": replace(signed, query=signed.query.replace(b"user_count", b"user_counts")),
        "secret": signed,
    }[part]
    secret = "another secret" if part == "secret" else SECRET
    with pytest.raises(Unauthorized, match="Invalid signature") as refused:
        verify(changed, APP_KEY, secret, NOW)
    assert SECRET not in str(refused.value)
    assert secret not in str(refused.value)


def test_the_method_is_signed_in_upper_case() -> None:
    assert verify(replace(request(method="POST"), method="post"), APP_KEY, SECRET, NOW) == {}


# The body


def test_a_body_is_covered_by_its_md5() -> None:
    assert verify(request(body=EVENT), APP_KEY, SECRET, NOW) == {}


def test_another_body_than_was_signed_is_refused() -> None:
    signed = replace(request(body=EVENT), body=b"{}")
    assert refusal(signed) == (
        "Invalid body_md5: the MD5 of the body received is 99914b932bd37a50b983c5e7c90ae93b, "
        'but you sent "ec365a775a4cd0599faeb73354201b6f"'
    )


def test_a_body_without_an_md5_is_refused() -> None:
    signed = replace(request(), body=EVENT)
    assert refusal(signed) == ("Missing parameter: body_md5 is required for a request with a body")


def test_an_md5_of_another_body_is_refused_where_there_is_none() -> None:
    signed = request(parameters(body_md5=md5(EVENT, usedforsecurity=False).hexdigest()))
    assert refusal(signed).startswith("Invalid body_md5: ")


@pytest.mark.parametrize("value", [EMPTY_MD5, EMPTY_MD5.upper(), ""])
def test_no_body_may_have_the_md5_of_nothing(value: str) -> None:
    assert verify(request(parameters(body_md5=value)), APP_KEY, SECRET, NOW) == {}


def test_an_empty_md5_does_not_pass_for_a_body() -> None:
    assert refusal(request(parameters(body_md5=""), body=EVENT)).startswith("Invalid body_md5: ")


# Whatever comes

SIGNATURE_NAMES = [b"auth_key", b"auth_timestamp", b"auth_version", b"auth_signature", b"body_md5"]

QUERIES = st.one_of(
    st.binary(max_size=120),
    st.lists(
        st.tuples(
            st.sampled_from(SIGNATURE_NAMES) | st.binary(max_size=5),
            st.sampled_from([APP_KEY.encode(), f"{NOW:.0f}".encode(), b"1.0", b"%", b"%zz", b"+"])
            | st.binary(max_size=10),
        ).map(b"=".join),
        max_size=8,
    ).map(b"&".join),
)


@given(method=st.text(max_size=5), path=st.binary(max_size=40), query=QUERIES, body=st.binary())
@example(method="GET", path=b"", query=b"&&==&=", body=b"")
@example(method="GET", path=b"%", query=b"%=%&%C3=+", body=b"")
def test_any_bytes_are_unauthorized_and_nothing_worse(
    method: str, path: bytes, query: bytes, body: bytes
) -> None:
    assert refusal(SignedRequest(method, path, query, body))


@given(
    method=st.sampled_from(["GET", "POST"]),
    path=st.binary(max_size=40),
    extra=QUERIES,
    body=st.binary(),
)
@example(method="GET", path=b"/", extra=b"auth_version=1.0", body=b"")
@example(method="GET", path=b"/", extra=b"auth_key=another", body=b"")
def test_any_bytes_that_were_signed_are_parameters_or_unauthorized(
    method: str, path: bytes, extra: bytes, body: bytes
) -> None:
    """With a right signature over whatever else the query holds, the way leads further in."""
    own = [f"{name}={value}".encode() for name, value in parameters().items()]
    parts = [*own, b"body_md5=" + body_md5(body).encode(), *extra.split(b"&")]
    pairs = [(name.lower(), value) for name, _, value in (p.partition(b"=") for p in parts if p)]
    signed = signature(method, path, [pair for pair in pairs if pair[0] != b"auth_signature"])
    query = b"&".join([*parts, b"auth_signature=" + signed.encode()])
    names = [name for name, _ in pairs]
    overridden = any(names.count(name) > 1 for name in SIGNATURE_NAMES)
    try:
        found = verify(SignedRequest(method, path, query, body), APP_KEY, SECRET, NOW)
    except Unauthorized:
        assert overridden
    else:
        assert not {name.encode() for name in found} & set(SIGNATURE_NAMES)
        assert all(isinstance(value, str) for value in found.values())
