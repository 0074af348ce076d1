"""What the package offers, and what asking for it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import callboard_client


def test_every_name_offered_is_there() -> None:
    for name in callboard_client.__all__:
        assert getattr(callboard_client, name).__module__.startswith(
            ("callboard_client.", "collections.abc", "typing")
        )
    assert dir(callboard_client) == sorted(callboard_client.__all__)


def test_a_name_that_is_not_offered_is_an_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Missing'"):
        _ = callboard_client.Missing  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import callboard_client", ["aiohttp", "websockets", "asyncio", "orjson"]),
        ("from callboard_client import Client", ["aiohttp"]),
        ("from callboard_client import SecretAuthorizer", ["aiohttp", "websockets"]),
        ("from callboard_client import ApiClient", ["websockets"]),
    ],
)
def test_nothing_is_imported_before_it_is_used(statement: str, unwanted: list[str]) -> None:
    script = (
        f"import sys; sys.path[:] = {sys.path!r}; {statement}; "
        f"print([name for name in {unwanted!r} if name in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30
    )
    assert answer.stdout.strip() == "[]"
