"""What a schedule's times may be, and how they read."""

from __future__ import annotations

import pytest

from callboard_scheduler.errors import BadField
from callboard_scheduler.publishing import DocumentedLimits
from callboard_scheduler.records import Schedule
from callboard_scheduler.schedule_body import parse_schedule
from callboard_scheduler.triggers.check import check, explain
from scheduler import schedules_page

NOON = 1_760_011_200_000
DAY = 86_400_000


@pytest.mark.parametrize(
    "fields",
    [
        {"cron": "* * * * *"},
        {"cron": "*/10 * * * * *", "timezone": "Asia/Kolkata", "jitter_ms": DAY},
        {"every_ms": 100, "jitter_ms": 99},
        {"every_ms": 3_653 * DAY, "jitter_ms": DAY},
        {"at": NOON, "jitter_ms": DAY},
        {"at": 253_402_300_799_999},
    ],
)
def test_what_makes_sense_passes(fields: dict[str, object]) -> None:
    check(Schedule(id="s", **fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({}, "cron", "expected exactly one of cron, every_ms and at, got none"),
        ({"cron": "* * * * *", "every_ms": 500}, "every_ms", "got cron and every_ms"),
        ({"every_ms": 500, "at": NOON}, "at", "got every_ms and at"),
        ({"cron": "* * * *"}, "cron", "expected 5 fields"),
        ({"cron": "* * * * *", "timezone": "Mars"}, "timezone", "there is no time zone 'Mars'"),
        ({"every_ms": 500, "timezone": "Mars"}, "timezone", "there is no time zone 'Mars'"),
        ({"every_ms": 500, "timezone": "Asia/Kolkata"}, "timezone", "expected it with cron only"),
        ({"at": NOON, "timezone": "Asia/Kolkata"}, "timezone", "expected it with cron only"),
        ({"every_ms": 99}, "every_ms", "expected 100 to 315619200000, got 99"),
        ({"every_ms": 0}, "every_ms", "got 0"),
        ({"every_ms": 3_653 * DAY + 1}, "every_ms", "got 315619200001"),
        ({"every_ms": 500, "anchor_at": -1}, "anchor_at", "got -1"),
        ({"at": NOON // 1000}, "at", "expected Unix time in milliseconds, 100000000000 to"),
        ({"at": 253_402_300_800_000}, "at", "to 253402300799999, got 253402300800000"),
        ({"cron": "* * * * *", "jitter_ms": -1}, "jitter_ms", "expected 0 to 86400000, got -1"),
        ({"cron": "* * * * *", "jitter_ms": DAY + 1}, "jitter_ms", "got 86400001"),
        ({"every_ms": 500, "jitter_ms": 500}, "jitter_ms", "expected 0 to 499, got 500"),
    ],
)
def test_what_makes_none_is_refused_with_the_field(
    fields: dict[str, object], field: str, says: str
) -> None:
    with pytest.raises(BadField) as caught:
        check(Schedule(id="s", **fields))  # type: ignore[arg-type]
    assert caught.value.field == field
    assert says in caught.value.text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"cron": "30 2 * * *"}, "At 02:30 every day, UTC"),
        (
            {"cron": "30 2 * * MON-FRI", "timezone": "Europe/Berlin", "jitter_ms": 90_000},
            "At 02:30 on Monday through Friday, Europe/Berlin, up to 1 min 30 s later",
        ),
        ({"cron": "15 */5 * * * *"}, "At second 15 every fifth minute past every hour, UTC"),
        ({"cron": "0 0 21,12 * *"}, "At 00:00 on the 21st and the 12th day of month, UTC"),
        ({"cron": "0 0 31 1 *"}, "At 00:00 on January 31, UTC"),
        ({"every_ms": 5_400_000}, "Every 1 h 30 min"),
        ({"every_ms": 100, "jitter_ms": 50}, "Every 100 ms, up to 50 ms later"),
        (
            {"every_ms": DAY, "anchor_at": NOON + 7},
            "Every 1 d, counted from 2025-10-09 12:00:00.007 UTC",
        ),
        ({"at": NOON}, "Once, at 2025-10-09 12:00:00 UTC"),
        ({}, "Never"),
    ],
)
def test_times_read_as_english(fields: dict[str, object], words: str) -> None:
    assert explain(Schedule(id="s", **fields)) == words  # type: ignore[arg-type]


def test_the_bodies_of_the_docs_are_good() -> None:
    bodies = schedules_page.bodies()
    assert len(bodies) == 2
    for body in bodies:
        parse_schedule("s", body.encode(), DocumentedLimits(), NOON)
