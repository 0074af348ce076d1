"""What a schedule's times must be, and how they read in words."""

from __future__ import annotations

import re
from typing import Final

from callboard_scheduler.errors import BadField
from callboard_scheduler.records import Schedule
from callboard_scheduler.triggers import cron, zones

#: A tick is a task: stored, power-safe, handed out and recorded. What repeats faster is one task
#: that loops.
MIN_EVERY_MS: Final = 100
#: Ten years; beyond it is a slip of units.
MAX_EVERY_MS: Final = 3_653 * 86_400_000
#: One day, for schedules that have no shorter bound of their own.
MAX_JITTER_MS: Final = 86_400_000
#: In March 1973. Before it are times that were given in seconds.
MIN_AT_MS: Final = 100_000_000_000
#: The end of the year 9999.
MAX_AT_MS: Final = 253_402_300_799_999

#: cronsim says 21th, 22th and 23th.
_ORDINAL: Final = re.compile(r"\b([2-5])([123])th\b")
_SUFFIX: Final = {"1": "st", "2": "nd", "3": "rd"}
_UNITS: Final = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"), (1, "ms"))


def check(schedule: Schedule) -> None:
    """Hold the times of a schedule to what they may be.

    Raises:
        BadField: names the field, what it was and what was expected.
    """
    given = [
        name
        for name, value in (
            ("cron", schedule.cron),
            ("every_ms", schedule.every_ms),
            ("at", schedule.at),
        )
        if value is not None
    ]
    if len(given) != 1:
        raise BadField(
            given[-1] if given else "cron",
            "expected exactly one of cron, every_ms and at, "
            + (f"got {' and '.join(given)}" if given else "got none"),
        )
    if schedule.cron is not None:
        cron.parse(schedule.cron, schedule.timezone)
    elif schedule.timezone != "UTC":
        zones.zone(schedule.timezone)
        raise BadField(
            "timezone",
            f"{schedule.timezone} is given with {given[0]}, expected it with cron only: "
            "every_ms counts milliseconds and at is an instant",
        )
    most_jitter = MAX_JITTER_MS
    if schedule.every_ms is not None:
        _within("every_ms", schedule.every_ms, MIN_EVERY_MS, MAX_EVERY_MS)
        _within("anchor_at", schedule.anchor_at, 0, MAX_AT_MS)
        most_jitter = min(most_jitter, schedule.every_ms - 1)
    if schedule.at is not None:
        _within("at", schedule.at, MIN_AT_MS, MAX_AT_MS, "Unix time in milliseconds, ")
    _within("jitter_ms", schedule.jitter_ms, 0, most_jitter)


def explain(schedule: Schedule) -> str:
    """Return the times of a schedule in a few English words.

    Raises:
        BadField: its ``cron`` or ``timezone`` cannot be understood.
    """
    if schedule.cron is not None:
        words = cron.parse(schedule.cron, schedule.timezone).explain()
        words = _ORDINAL.sub(lambda found: found[1] + found[2] + _SUFFIX[found[2]], words)
        text = f"{words}, {schedule.timezone}"
    elif schedule.every_ms is not None:
        text = f"Every {_span(schedule.every_ms)}"
        if schedule.anchor_at:
            text += f", counted from {_instant(schedule.anchor_at)}"
    elif schedule.at is not None:
        text = f"Once, at {_instant(schedule.at)}"
    else:
        return "Never"
    if schedule.jitter_ms:
        text += f", up to {_span(schedule.jitter_ms)} later"
    return text


def _within(field: str, value: int, least: int, most: int, what: str = "") -> None:
    if not least <= value <= most:
        raise BadField(field, f"expected {what}{least} to {most}, got {value}")


def _span(ms: int) -> str:
    """Return a span in the units it needs, like ``1 h 30 min``."""
    parts = []
    for size, unit in _UNITS:
        n, ms = divmod(ms, size)
        if n:
            parts.append(f"{n} {unit}")
    return " ".join(parts)


def _instant(ms: int) -> str:
    shown = zones.wall(ms // 1000).isoformat(" ")
    return f"{shown}.{ms % 1000:03} UTC" if ms % 1000 else f"{shown} UTC"
