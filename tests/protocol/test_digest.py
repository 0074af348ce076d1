"""The prepared HMAC against the standard library's."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from callboard_protocol.digest import Signer, signer


@given(secret=st.text(max_size=200), message=st.binary(max_size=300))
@example(secret="", message=b"")
@example(secret="k" * 63, message=b"one less than a block")
@example(secret="k" * 64, message=b"exactly a block")
@example(secret="k" * 65, message=b"one more, so its hash is the key")
@example(secret="ü" * 33, message=b"66 bytes in 33 characters")
@example(secret="k" * 4096, message=b"x" * 10_000)
def test_agrees_with_hmac(secret: str, message: bytes) -> None:
    assert Signer(secret).sign(message) == hmac.new(secret.encode(), message, "sha256").hexdigest()


def test_signing_leaves_the_signer_as_it_was() -> None:
    prepared = Signer("secret")
    first = prepared.sign(b"one")
    assert prepared.sign(b"two") != first
    assert prepared.sign(b"one") == first


def test_the_signer_of_a_secret_is_prepared_once() -> None:
    assert signer("a secret of its own") is signer("a secret of its own")


@pytest.mark.parametrize("count", [1000])
def test_many_secrets_do_not_mix(count: int) -> None:
    """More than are kept: one that was dropped is prepared again, and right."""
    for _ in range(2):
        for number in range(0, count, 37):
            expected = hmac.new(f"s{number}".encode(), b"m", "sha256").hexdigest()
            assert signer(f"s{number}").sign(b"m") == expected
        for number in range(count):
            signer(f"s{number}")
