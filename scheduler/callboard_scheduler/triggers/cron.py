"""The ticks of a cron expression in a time zone.

Expressions are those of cronsim: five fields as in Debian's cron, or six with the seconds first.
cronsim walks the calendar as a clock without a zone shows it, and never sees a zone: in half-hour
shifts (Australia/Lord_Howe) it would miss ticks, with six fields it has another rule than with
five, and after a clock was set back it can return what is past. What a jump of the clocks means is
decided here, by the rule of Debian's cron for five fields and six:

1. *Fixed times*: neither the minutes nor the hours begin with ``*``. Such a job runs once a day
   for each of its times. What falls into a gap runs once, at the jump; what the clocks show twice
   runs the first time.
2. *Running clock*: everything else. It runs whenever the clocks show a match: not in a gap, and
   both times in what they show twice.

Between two jumps a zone's clocks are a fixed span ahead of UTC, so a match of the calendar is a
subtraction away from its instant; only near a jump is there more to do.
"""

from __future__ import annotations

import copy
import functools
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from callboard_scheduler.errors import BadField
from callboard_scheduler.triggers import zones

#: Every minute as a list has 169 characters; this leaves room for every hour and day besides.
MOST_CHARACTERS: Final = 500

_FIELDS: Final = (
    ("second", "0 to 59"),
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of month", "1 to 31, L (the last day) or LW (the last weekday)"),
    ("month", "1 to 12 or JAN to DEC"),
    ("day of week", "0 to 7 or SUN to SAT, 5L (the last Friday) or 5#2 (the second Friday)"),
)
_ANY: Final = ("0", "*", "*", "*", "*", "*")
#: cronsim looks 50 years ahead, and from here on no date of the calendar is further away.
_SEARCHED_FROM: Final = datetime(2000, 1, 1)
#: More than the clocks of any zone are ahead of those of another, or jump.
_MARGIN_S: Final = 2 * 86_400


class Cron:
    """A parsed expression in a zone; made by :func:`parse`, and never changed."""

    def __init__(self, parsed: CronSim, where: ZoneInfo) -> None:
        self._parsed = parsed
        self._zone = where
        self._fixed = not parsed.parts[1].startswith("*") and not parsed.parts[2].startswith("*")

    def next_after(self, after_ms: int) -> int | None:
        """Return the first tick behind ``after_ms``, None if the calendar ends before it."""
        after = after_ms // 1000
        try:
            second = self._next_fixed(after) if self._fixed else self._next_running(after)
        except (OverflowError, ValueError):  # the calendar of datetime has no year 10000
            return None
        return second * 1000

    def explain(self) -> str:
        """Return the expression in English."""
        return self._parsed.explain()

    def _walk(self, shown: datetime) -> datetime:
        """Return the calendar's first match behind ``shown``."""
        walker = copy.copy(self._parsed)
        walker.dt = shown
        return next(walker)

    def _next_fixed(self, after: int) -> int:
        shown = zones.wall(after + zones.offset(self._zone, after))
        while True:
            shown = self._walk(shown)
            instant = zones.first_instant(self._zone, shown)
            # Else the clocks have been set back, and ran through this time before.
            if instant > after:
                return instant

    def _next_running(self, after: int) -> int:
        start, ahead = after, zones.offset(self._zone, after)
        while True:
            found = zones.seconds(self._walk(zones.wall(start + ahead))) - ahead
            end = min(found, start + _MARGIN_S)
            jump = zones.seam(self._zone, start + 1, end, ahead)
            if jump is not None:
                # Nothing matches before it. Go on from what the new clocks would have shown.
                start, ahead = jump - 1, zones.offset(self._zone, jump)
            elif found == end:
                return found
            else:
                # The match is the calendar's next, so whatever the clocks do far from both ends,
                # they show none on the way.
                start = found - _MARGIN_S
                ahead = zones.offset(self._zone, start)


@functools.lru_cache(maxsize=4096)
def parse(expression: str, timezone: str) -> Cron:
    """Return the expression in the zone; the same object for the same text.

    Raises:
        BadField: ``cron`` or ``timezone`` is at fault; the text names the field of the expression
            and what it may be.
    """
    if len(expression) > MOST_CHARACTERS:
        raise BadField(
            "cron", f"expected at most {MOST_CHARACTERS} characters, got {len(expression)}"
        )
    fields = expression.split()
    if len(fields) not in (5, 6):
        raise BadField(
            "cron",
            "expected 5 fields (minute, hour, day of month, month, day of week), or 6 with the "
            f"second before them, got {len(fields)}: {_quoted(expression)}",
        )
    if len(fields) == 5:
        fields = ["0", *fields]
    try:
        parsed = CronSim(" ".join(fields), _SEARCHED_FROM)
        next(copy.copy(parsed))
    except (CronSimError, StopIteration):
        raise BadField("cron", _fault(expression, fields)) from None
    return Cron(parsed, zones.zone(timezone))


def _fault(expression: str, fields: list[str]) -> str:
    for at, (name, expected) in enumerate(_FIELDS):
        alone = [*_ANY[:at], fields[at], *_ANY[at + 1 :]]
        try:
            CronSim(" ".join(alone), _SEARCHED_FROM)
        except CronSimError:
            return (
                f"the {name} of {_quoted(expression)} is {_quoted(fields[at])}, expected "
                f"{expected}; * for any, lists (1,2), ranges (1-5) and steps (*/2)"
            )
    _, _, _, day, month, weekday = map(_quoted, fields)
    return (
        f"{_quoted(expression)} never fires: no date has day of month {day}, month {month} and "
        f"day of week {weekday}; expected a date that exists"
    )


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 100 else text[:99] + "…")
