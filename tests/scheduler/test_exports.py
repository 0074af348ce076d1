"""What the package offers, and what asking for it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import callboard_scheduler


def test_every_name_offered_is_there() -> None:
    for name in callboard_scheduler.__all__:
        assert getattr(callboard_scheduler, name) is not None
    assert dir(callboard_scheduler) == sorted(callboard_scheduler.__all__)


def test_a_name_that_is_not_offered_is_an_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Missing'"):
        _ = callboard_scheduler.Missing  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import callboard_scheduler", ["aiohttp", "asyncio", "msgspec", "orjson", "websockets"]),
        ("from callboard_scheduler import TaskFailed", ["aiohttp", "asyncio", "websockets"]),
        ("from callboard_scheduler import Client", ["websockets", "sqlite3", "cronsim"]),
        ("from callboard_scheduler import Client", ["callboard_scheduler.worker", "rich", "click"]),
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
