"""What the clocks of a time zone show, and where they jump.

Instants are Unix seconds; what a clock shows is a naive datetime. Aware datetimes are never
compared or subtracted: within one zone Python goes by what the clocks show, and is wrong across a
jump.

The names are those of the ``tzdata`` package, so that a schedule is good on every machine or on
none. The machine's own files hold more (``localtime``, ``posixrules``, and ``right/…``, which
counts leap seconds and is 27 s off).
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping
from datetime import datetime, timedelta
from importlib import resources
from typing import Final
from zoneinfo import ZoneInfo

from callboard_scheduler.errors import BadField

_UNIX_EPOCH: Final = datetime(1970, 1, 1)
#: Two jumps within it might be taken for none. Since 1970 no zone had two within six days.
_STRIDE_S: Final = 12 * 3600


@functools.lru_cache(maxsize=1)
def _names() -> Mapping[str, str]:
    """Return every zone's name by what it is in lower case."""
    listed = resources.files("tzdata").joinpath("zones").read_text("utf-8")
    return {name.lower(): name for name in listed.split()}


def zone(name: str) -> ZoneInfo:
    """Return the zone of an IANA name, like ``Europe/Berlin``.

    Raises:
        BadField: there is none; the text has names that look like it.
    """
    if _names().get(name.lower()) == name:
        return ZoneInfo(name)
    near = _near(name)
    meant = f"; did you mean {' or '.join(near)}?" if near else ","
    raise BadField(
        "timezone",
        f"there is no time zone {name[:100]!r}{meant} expected an IANA name, like Europe/Berlin",
    )


def _near(name: str) -> list[str]:
    """Return up to three zones: those of the city of this name, else the most similar ones."""
    names = _names()
    wanted = name[:100].lower().replace(" ", "_")
    of_city = [names[known] for known in names if known.rpartition("/")[2] == wanted]
    return of_city[:3] or [names[known] for known in difflib.get_close_matches(wanted, names)]


def wall(second: int) -> datetime:
    """Return what a clock without a zone shows that many seconds after 1970 began.

    Raises:
        OverflowError: beyond the year 9999, which no clock shows.
    """
    return _UNIX_EPOCH + timedelta(seconds=second)


def seconds(shown: datetime) -> int:
    """Return what :func:`wall` was given."""
    return (shown - _UNIX_EPOCH) // timedelta(seconds=1)


def offset(where: ZoneInfo, second: int) -> int:
    """Return how many seconds the zone's clocks are ahead of UTC at that instant.

    Raises:
        ValueError: beyond the year 9999.
    """
    return _ahead(datetime.fromtimestamp(second, where))


def seam(where: ZoneInfo, start: int, end: int, before: int) -> int | None:
    """Return the first instant of ``start`` to ``end`` whose offset is not ``before``, if any."""
    last = start - 1
    while last < end:
        stop = min(last + _STRIDE_S, end)
        if offset(where, stop) != before:
            while stop - last > 1:
                middle = (last + stop) // 2
                if offset(where, middle) == before:
                    last = middle
                else:
                    stop = middle
            return stop
        last = stop
    return None


def first_instant(where: ZoneInfo, shown: datetime) -> int:
    """Return when the zone's clocks first show that, or else when they jump over it."""
    # PEP 495: of a time that is shown twice, fold tells which; of one that is never shown, fold=0
    # has the offset from before the jump and fold=1 the one from after it.
    before = _ahead(shown.replace(tzinfo=where, fold=0))
    after = _ahead(shown.replace(tzinfo=where, fold=1))
    plain = seconds(shown)
    if after > before:
        jump = seam(where, plain - after, plain - before, before)
        if jump is not None:
            return jump
    return plain - before


def _ahead(moment: datetime) -> int:
    return (moment.utcoffset() or timedelta(0)) // timedelta(seconds=1)
