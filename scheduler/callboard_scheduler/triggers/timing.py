"""Which ticks of a schedule are due, which were missed, and when to look again.

A schedule carries its own place: ``next_at`` is the first tick that nothing was decided about.
:func:`due` decides about it and those behind it, once, so for any readings of the clock:

1. No tick fires twice. A clock that is set back finds ``next_at`` ahead and waits for it.
2. No tick is forgotten: each is fired, or counted as skipped by ``misfire``.
3. Ticks fire in order, and none before its time.

A tick fires at its nominal time plus its share of ``jitter_ms``, which is a hash of schedule and
tick: spread over schedules, yet the same after a restart. It never reaches the next tick.

A tick is *missed* when it is looked at more than :data:`GRACE_MS` too late: the scheduler was
down, or the clock was set forward. ``skip`` drops missed ticks; ``latest`` does too, but if none
is on time it fires the last missed one; ``all`` fires every one.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from typing import Final

import msgspec

from callboard_scheduler.records import Misfire, Schedule
from callboard_scheduler.triggers import cron

#: How late a tick may be and still be on time: a busy loop or a slow commit misses nothing.
GRACE_MS: Final = 1_000
#: The most ticks that one call of :func:`due` fires; the rest is due at the next call.
MOST_FIRED: Final = 1_000
#: How far skipped ticks are counted: a year of seconds would take minutes.
MOST_COUNTED: Final = 100


class Due(msgspec.Struct, frozen=True):
    """What is to be done with a schedule now.

    ``fire`` are nominal times, oldest first. ``next_at`` is the schedule's new ``next_at``, to be
    stored together with what fires. ``skipped`` is how many ticks are dropped, counted up to
    :data:`MOST_COUNTED`.
    """

    fire: tuple[int, ...]
    next_at: int | None
    skipped: int = 0


def next_after(schedule: Schedule, after_ms: int) -> int | None:
    """Return the first tick behind ``after_ms``, None if there is none.

    Raises:
        BadField: the schedule's ``cron`` or ``timezone`` cannot be understood.
    """
    if schedule.cron is not None:
        return cron.parse(schedule.cron, schedule.timezone).next_after(after_ms)
    if schedule.every_ms is not None:
        if after_ms < schedule.anchor_at:
            return schedule.anchor_at
        passed = (after_ms - schedule.anchor_at) // schedule.every_ms
        return schedule.anchor_at + (passed + 1) * schedule.every_ms
    if schedule.at is not None and schedule.at > after_ms:
        return schedule.at
    return None


def first(schedule: Schedule, now_ms: int, replaced: Schedule | None = None) -> int | None:
    """Return the ``next_at`` of a schedule that is put now, in the place of ``replaced`` if any.

    With the same times as before it keeps its place. Otherwise its ticks begin behind now, and
    behind the last that fired; an ``at`` that has passed is a missed tick. What passed while a
    schedule was paused is over, and was not missed.
    """
    fired = replaced.last_at if replaced is not None else None
    start = now_ms if fired is None else max(now_ms, fired)
    if replaced is None or _times(schedule) != _times(replaced):
        if schedule.at is not None:
            return schedule.at if fired is None or schedule.at > fired else None
    elif not replaced.paused:
        return replaced.next_at
    return next_after(schedule, start)


def preview(schedule: Schedule, now_ms: int, n: int) -> list[int]:
    """Return up to ``n`` ticks behind now and behind the last that fired."""
    start = now_ms if schedule.last_at is None else max(now_ms, schedule.last_at)
    ticks: list[int] = []
    while len(ticks) < n and (tick := next_after(schedule, start)) is not None:
        ticks.append(tick)
        start = tick
    return ticks


def fires_at(schedule: Schedule, tick: int) -> int:
    """Return when a tick fires: its nominal time, and its share of the jitter."""
    if not schedule.jitter_ms:
        return tick
    following = next_after(schedule, tick)
    most = schedule.jitter_ms
    if following is not None:
        most = min(most, following - tick - 1)
    digest = hashlib.blake2b(f"{schedule.id}\0{tick}".encode(), digest_size=8).digest()
    return tick + int.from_bytes(digest) % (most + 1)


def wake_at(schedule: Schedule) -> int | None:
    """Return when :func:`due` has something to do for this schedule, None for never."""
    if schedule.paused or schedule.next_at is None:
        return None
    return fires_at(schedule, schedule.next_at)


def due(schedule: Schedule, now_ms: int) -> Due:
    """Decide about every tick that is due by now; see the module for the rules."""
    tick = schedule.next_at
    if schedule.paused or tick is None:
        return Due((), tick)
    if schedule.misfire is Misfire.ALL:
        return _take(schedule, tick, now_ms)
    missed = _last_missed(schedule, tick, now_ms - GRACE_MS)
    if missed is None:
        return _take(schedule, tick, now_ms)
    following = next_after(schedule, missed)
    on_time = Due((), None) if following is None else _take(schedule, following, now_ms)
    if schedule.misfire is Misfire.LATEST and not on_time.fire:
        return Due((missed,), on_time.next_at, _count(schedule, tick, missed))
    return Due(on_time.fire, on_time.next_at, _count(schedule, tick, missed + 1))


def _take(schedule: Schedule, tick: int, now_ms: int) -> Due:
    """Return the ticks from ``tick`` on that fire by now."""
    fire: list[int] = []
    for each in _from(schedule, tick):
        if len(fire) == MOST_FIRED or fires_at(schedule, each) > now_ms:
            return Due(tuple(fire), each)
        fire.append(each)
    return Due(tuple(fire), None)


def _last_missed(schedule: Schedule, tick: int, edge: int) -> int | None:
    """Return the last tick from ``tick`` on that fired before ``edge``, None if none did."""

    def missed_after(after: int) -> int | None:
        each = next_after(schedule, after)
        return each if each is not None and fires_at(schedule, each) < edge else None

    if fires_at(schedule, tick) >= edge:
        return None
    # By halves: a schedule of every minute has half a million ticks in a year.
    last, end = tick, edge
    while (following := missed_after(last)) is not None:
        middle = (following + end) // 2
        ahead = missed_after(middle)
        if ahead is None:
            last, end = following, middle
        else:
            last = ahead
    return last


def _count(schedule: Schedule, tick: int, end: int) -> int:
    """Return how many ticks there are from ``tick`` on and before ``end``, up to the most."""
    before = itertools.takewhile(lambda each: each < end, _from(schedule, tick))
    return sum(1 for _ in itertools.islice(before, MOST_COUNTED))


def _from(schedule: Schedule, tick: int | None) -> Iterator[int]:
    while tick is not None:
        yield tick
        tick = next_after(schedule, tick)


def _times(schedule: Schedule) -> tuple[object, ...]:
    """Return what its ticks depend on."""
    return (
        schedule.cron,
        schedule.timezone,
        schedule.every_ms,
        schedule.anchor_at if schedule.every_ms is not None else None,
        schedule.at,
    )
