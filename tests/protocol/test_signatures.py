"""Channel and user signatures, held to the documentation's and the SDKs' own vectors."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard_protocol import signatures
from callboard_protocol.signatures import channel_string, user_string

KEY, SECRET = "278d425bdf160c739803", "7ad3773142a6692b25b8"
MR_PUSHER = '{"user_id":10,"user_info":{"name":"Mr. Pusher"}}'
MR_CHANNELS = '{"user_id":10,"user_info":{"name":"Mr. Channels"}}'
MR_PUSHER_SIGNATURE = "afaed3695da2ffd16931f457e338e6c9f2921fa133ce7dac49f529792be6304c"
FRED = '{"user_id":"fred","user_info":{"key":"value"}}'

VECTORS = [
    pytest.param(
        SECRET,
        channel_string("1234.1234", "private-foobar"),
        "1234.1234:private-foobar",
        "58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4",
        id="private",
    ),
    pytest.param(
        SECRET,
        channel_string("1234.1234", "presence-foobar", MR_PUSHER),
        f"1234.1234:presence-foobar:{MR_PUSHER}",
        MR_PUSHER_SIGNATURE,
        id="presence",
    ),
    pytest.param(
        SECRET,
        user_string("1234.1234", '{"id":"12345"}'),
        '1234.1234::user::{"id":"12345"}',
        "4708d583dada6a56435fb8bc611c77c359a31eebde13337c16ab43aa6de336ba",
        id="user",
    ),
    pytest.param(
        "bar",
        channel_string("345.43245", "presence-channel", FRED),
        f"345.43245:presence-channel:{FRED}",
        "e80ba6439492c2113022c39297a87a948de14061cc67b5788e045645a68b8ccd",
        id="presence-fred",
    ),
    pytest.param(
        "bar",
        channel_string("345.23", "private-encrypted-channel"),
        "345.23:private-encrypted-channel",
        "fff0503dfe4929f5162efe4d1dacbce524b0d8e7e1331117a8651c0e74d369e3",
        id="encrypted-is-signed-as-private",
    ),
    pytest.param(
        "tofu",
        user_string("1.1", '{"id":"ą§¶™€łü€ß£"}'),
        '1.1::user::{"id":"ą§¶™€łü€ß£"}',
        "620494cee53d6c568b49598313194088afda37218f0d059af03c0c898ed61ff4",
        id="user-beyond-ascii",
    ),
]


@pytest.mark.parametrize(("secret", "string", "expected", "signature"), VECTORS)
def test_vectors(secret: str, string: str, expected: str, signature: str) -> None:
    assert string == expected
    assert signatures.sign(secret, string) == signature
    assert signatures.matches(secret, string, signature)


def test_the_documentation_prints_a_signature_beside_the_wrong_member() -> None:
    """Its example shows "Mr. Channels" with the signature that "Mr. Pusher" has."""
    string = channel_string("1234.1234", "presence-foobar", MR_CHANNELS)
    true_signature = "31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80"
    assert signatures.matches(SECRET, string, true_signature)
    assert not signatures.matches(SECRET, string, MR_PUSHER_SIGNATURE)


def test_auth_is_key_colon_signature() -> None:
    assert (
        signatures.auth(KEY, SECRET, "1234.1234:private-foobar")
        == f"{KEY}:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4"
    )


def test_channel_data_is_signed_on_every_kind_of_channel_and_to_the_letter() -> None:
    assert channel_string("1.2", "private-a", '{"user_id": 1}') == '1.2:private-a:{"user_id": 1}'
    assert channel_string("1.2", "private-a", "") == "1.2:private-a:"
    assert channel_string("1.2", "private-a", None) == "1.2:private-a"


@pytest.mark.parametrize(
    "given_signature",
    ["", "58df", MR_PUSHER_SIGNATURE.upper(), MR_PUSHER_SIGNATURE + "0", "ü", "\ud800", "\0" * 64],
)
def test_what_is_no_signature_matches_nothing(given_signature: str) -> None:
    string = channel_string("1234.1234", "presence-foobar", MR_PUSHER)
    assert not signatures.matches(SECRET, string, given_signature)


@given(secret=st.text(min_size=1), string=st.text(), position=st.integers(0, 63))
def test_one_wrong_digit_is_a_wrong_signature(secret: str, string: str, position: int) -> None:
    right = hmac.new(secret.encode(), string.encode(), "sha256").hexdigest()
    digit = "0" if right[position] != "0" else "1"
    wrong = right[:position] + digit + right[position + 1 :]
    assert signatures.matches(secret, string, right)
    assert not signatures.matches(secret, string, wrong)
