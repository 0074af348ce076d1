"""The scheduler's decisions, as a pure function: ``step(core, event, now)`` returns what follows.

No I/O, no clock, no randomness: the same events at the same moments lead to the same changes and
actions. Whoever drives it stores ``changes``, carries out ``actions`` in order, and comes back
with a :class:`~callboard_scheduler.core.events.Tick` when :meth:`Timers.next_ms` has passed.

A step, read from the top: what is due by now, then the event, then everything that can be given
out. In reading order: :mod:`events` and :mod:`actions`, :mod:`model` (the state, and
:meth:`~model.Core.move`), :mod:`queues`, :mod:`workers`, :mod:`assigning`, :mod:`ending`,
:mod:`claims`, :mod:`attendance`, :mod:`hearing`, :mod:`requests`, :mod:`scheduling`, :mod:`due`,
:mod:`restoring`, :mod:`reasons`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from callboard_scheduler.core import (
    attendance,
    events,
    hearing,
    requests,
    restoring,
    scheduling,
)
from callboard_scheduler.core.actions import Turn
from callboard_scheduler.core.assigning import dispatch
from callboard_scheduler.core.due import advance
from callboard_scheduler.core.instant import Instant
from callboard_scheduler.core.model import Core
from callboard_scheduler.stores import Loaded, TermTaken
from callboard_scheduler.transports import Profile

__all__ = ["Core", "Instant", "Turn", "begin", "step"]


def begin(
    app: str, profile: Profile, loaded: Loaded, now: Instant, *, max_backlog: int
) -> tuple[Core, Turn]:
    """Return the core of an app that goes on with what is stored.

    The turn takes a new term; nothing may be sent to a worker before that is on the disk.
    """
    core = Core(app, profile, term=loaded.term + 1, max_backlog=max_backlog)
    core.begin(now)
    core.change(TermTaken(app, core.term))
    restoring.restore(core, loaded)
    advance(core)
    dispatch(core)
    return core, core.finish()


def step(core: Core, event: events.Event, now: Instant) -> Turn:
    """Let one thing happen to the core, which is changed in place."""
    # First, or what is due by the clock would be due though nobody could be heard.
    if isinstance(event, events.Hearing):
        core.timers.hear_again(now)
    elif isinstance(event, events.Deaf):
        core.timers.stop_hearing(event.since)
    core.begin(now)
    advance(core)
    _EVENTS[type(event)](core, event)
    dispatch(core)
    return core.finish()


def _nothing(core: Core, event: events.Event) -> None:
    """What matters was done before or follows."""


def _enlist(core: Core, event: events.Enlist) -> None:
    attendance.enlist(core, event.worker, event.queue, event.name, event.slots)


def _suspend(core: Core, event: events.Suspend) -> None:
    core.suspended = event.suspended


_EVENTS: Final[Mapping[type[events.Event], Callable[[Core, Any], None]]] = {
    events.Heard: hearing.heard,
    events.Left: attendance.leave,
    events.Deaf: _nothing,
    events.Enlist: _enlist,
    events.Suspend: _suspend,
    events.Hearing: _nothing,
    events.Tick: _nothing,
    events.Submit: requests.submit,
    events.Cancel: requests.cancel,
    events.Change: requests.change,
    events.Move: requests.move,
    events.Requeue: requests.requeue,
    events.Revoked: requests.revoked,
    events.Pause: requests.pause,
    events.DrainWorker: requests.drain_worker,
    events.PutSchedule: scheduling.put,
    events.DropSchedule: scheduling.drop,
}
