"""Signed paths to large values: each is for one value of one assignment, until its time is over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard_scheduler import blobs
from callboard_scheduler.blobs import Blob, BlobKind
from callboard_scheduler.errors import BadBlob

SECRET = "app-secret"
NOW, LATER = 1_000, 2_000
PATH = blobs.blob_path(SECRET, "shop", "t1", 42, BlobKind.ARGS, LATER)


def refused(path: str, secret: str = SECRET, now: float = NOW) -> str:
    with pytest.raises(BadBlob) as refusal:
        blobs.verify_blob(path, secret, now)
    return str(refusal.value)


def test_a_path_says_what_it_is_for() -> None:
    assert PATH.startswith("/sched/blobs/shop/t1/42/args?exp=2000&sig=")
    assert blobs.app_of(PATH) == "shop"
    assert blobs.verify_blob(PATH, SECRET, NOW) == Blob("shop", "t1", 42, BlobKind.ARGS)


@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30))
def test_ids_of_any_characters_come_back_as_they_were(app_id: str, task_id: str) -> None:
    path = blobs.blob_path(SECRET, app_id, task_id, 2**53 - 1, BlobKind.RESULT, LATER)
    assert path.isascii()
    assert blobs.app_of(path) == app_id
    assert blobs.verify_blob(path, SECRET, NOW) == Blob(app_id, task_id, 2**53 - 1, BlobKind.RESULT)


def test_a_path_ends_with_the_second_it_names() -> None:
    assert blobs.verify_blob(PATH, SECRET, LATER - 0.001)
    assert "it ended 0 s ago" in refused(PATH, now=LATER)


def test_another_apps_secret_opens_nothing() -> None:
    assert "not made with this app's secret" in refused(PATH, secret="other")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("/shop/", "/mall/"),
        ("/t1/", "/t2/"),
        ("/42/", "/43/"),
        ("/args?", "/result?"),
        ("exp=2000", "exp=9999"),
    ],
)
def test_a_path_is_for_nothing_else(ours: str, theirs: str) -> None:
    assert "not made with this app's secret" in refused(PATH.replace(ours, theirs))


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/sched/blobs/",
        PATH.partition("?")[0],
        PATH.partition("&")[0],
        PATH + "0",
        PATH + "&sig=" + "0" * 64,
        PATH.replace("/42/", "/-1/"),
        PATH.replace("/args", "/secrets"),
        PATH.replace("/t1/", "/t1/../"),
    ],
)
def test_what_is_not_such_a_path_is_refused_before_any_secret_is_asked_for(path: str) -> None:
    assert "expected the path as it was given" in refused(path)
    with pytest.raises(BadBlob):
        blobs.app_of(path)
