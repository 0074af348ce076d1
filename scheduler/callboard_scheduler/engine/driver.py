"""Steps of the core, and what they lead to, in the right order.

1. Changes go to the store in the order of the steps. What waits for them (an answer, a worker's
   ``done``, a result on a feed) happens when they are on the disk; an assignment does not wait.
2. Until the term itself is on the disk nothing is sent to a worker at all: a fence of a term that
   is forgotten with a crash could be given out again.
3. When the store fails, those who wait are told, submits are refused and forgotten, nothing new
   is given out and leases stand still. What was decided meanwhile is written as soon as it can be
   (:mod:`unstored`), and then whoever watches is told.
4. A change that can never be stored is refused to whoever asked for it, and nobody else.
5. A loop that was held up by more than a second, or a store that takes longer, counts as
   deafness (:mod:`deafness`): nobody's lease runs out because the scheduler could not listen.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from callboard_scheduler.clock import Clock
from callboard_scheduler.core import Core, Instant, Turn, actions, events, step
from callboard_scheduler.core.model import summary
from callboard_scheduler.engine.deafness import LOOK_SECONDS, PATIENCE_MS, Deafness, Why
from callboard_scheduler.engine.unstored import Unstored
from callboard_scheduler.errors import SchedulerError, StoreUnavailable
from callboard_scheduler.stores import (
    AttemptSaved,
    Change,
    Store,
    StoreError,
    TaskSaved,
    TermTaken,
    UnfitChange,
)

logger = logging.getLogger("callboard.scheduler")

#: How long after a failure the store is tried again.
_RETRY_SECONDS: Final = 0.5


class Effects(Protocol):
    """Where messages to workers and feeds go."""

    def tell(self, action: actions.Tell) -> None:
        """Send a message to a worker."""

    def announce(self, action: actions.Announce) -> None:
        """Publish on a task's feed."""

    def cut_off(self, worker: str) -> None:
        """Disconnect a worker."""


class Driver:
    """Carries an app's core through time."""

    def __init__(
        self,
        core: Core,
        store: Store,
        effects: Effects,
        clock: Clock,
        *,
        self_timed: bool = True,
    ) -> None:
        """``self_timed`` unless somebody moves the clock, and lets a Tick happen each time.

        Otherwise nobody wakes for what is due, and a leap of the clock is not deafness.
        """
        self.core = core
        self._store = store
        self._effects = effects
        self._clock = clock
        self._self_timed = self_timed
        self._loop = asyncio.get_running_loop()
        self._tickets = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._submitting: dict[int, Sequence[str]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._watch: asyncio.TimerHandle | None = None
        #: Whether the term is on the disk, and with which write it gets there.
        self._term_kept = False
        self._term_no = 0
        #: What is to be written with the first change.
        self._first: list[Change] = []
        self._unstored = Unstored()
        #: Why the store does not take changes, as it said last.
        self._fault = ""
        #: What watchers are to be told once it has.
        self._unsaid: list[actions.Announce] = []
        self._retry: asyncio.TimerHandle | None = None
        self._deafness = Deafness(self.happen, core.app, clock.mono_ms())
        self.stopped = False

    @property
    def failing(self) -> bool:
        """Whether the store has not taken yet what was decided."""
        return self.core.suspended

    def start(self, turn: Turn, *, lazily: bool) -> None:
        """Carry out the core's first turn; ``lazily`` if nothing is worth a file yet."""
        if self._self_timed:
            self._watch_on()
        if lazily:
            self._first = list(turn.changes)
            turn = Turn((), turn.actions)
        self._carry_out(turn)
        self._rearm()

    async def stop(self) -> None:
        """Take no more events; whoever still waits is told. Safe to call twice."""
        self.stopped = True
        for handle in (self._timer, self._watch, self._retry):
            if handle is not None:
                handle.cancel()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(StoreUnavailable("the scheduler is stopping"))
        self._waiting.clear()

    def instant(self) -> Instant:
        """Return the present moment."""
        return Instant(self._clock.mono_ms(), self._clock.wall_ms())

    # Steps

    def happen(self, event: events.Event) -> None:
        """Let something happen, unless this has ended."""
        if self.stopped:
            return
        now = self.instant()
        if self._self_timed:
            self._deafness.look(now)
        self._carry_out(step(self.core, event, now))
        self._rearm()

    async def ask(self, make: Callable[[int], events.Event], ids: Sequence[str] = ()) -> Any:
        """Let a request happen and return its answer, once what it changed is on the disk.

        ``ids`` are tasks to be forgotten if they cannot be stored.

        Raises:
            SchedulerError: as answered; StoreUnavailable if it could not be stored.
        """
        if self.stopped:
            raise StoreUnavailable("the scheduler is stopping")
        if self.failing:
            raise StoreUnavailable(self._fault)
        self._tickets += 1
        ticket = self._tickets
        future = self._waiting[ticket] = self._loop.create_future()
        if ids:
            self._submitting[ticket] = ids
        try:
            self.happen(make(ticket))
            value = await future
        finally:
            self._waiting.pop(ticket, None)
            self._submitting.pop(ticket, None)
        if isinstance(value, SchedulerError):
            raise value
        return value

    def _carry_out(self, turn: Turn) -> None:
        gated: list[actions.Action] = []
        for action in turn.actions:
            if getattr(action, "after_commit", False) or (
                not self._term_kept and isinstance(action, actions.Tell)
            ):
                gated.append(action)
            else:
                self._do(action)
        changes = turn.changes
        if changes and self._first:
            changes, self._first = [*self._first, *changes], []
        if self.core.suspended:
            self._unstored.add(changes)
            self._refuse(gated, self._fault)
        elif gated and not changes and self._first:
            # Nothing was ever written, so there is nothing to wait for.
            for action in gated:
                self._do(action)
        elif gated:
            self._write(changes, gated)
        elif changes:
            self._note_term(self._unstored.pass_by(changes), changes)
            self._store.write(changes)

    def _do(self, action: actions.Action) -> None:
        if isinstance(action, actions.Tell):
            self._effects.tell(action)
        elif isinstance(action, actions.Announce):
            self._effects.announce(action)
        elif isinstance(action, actions.Answer):
            future = self._waiting.get(action.ticket)
            if future is not None and not future.done():
                future.set_result(action.value)
        elif isinstance(action, actions.CutOff):
            self._effects.cut_off(action.worker)

    def _do_late(self, action: actions.Action) -> None:
        """Do what had to wait; a task's state is told as it is by now.

        Its later states may have been told already, and the last event is what a feed keeps.
        """
        if isinstance(action, actions.Announce) and action.event == "state":
            task = self.core.tasks.get(action.task)
            if task is None:
                return
            action.data.update(summary(task))
        self._do(action)

    # The store

    def _write(self, changes: Sequence[Change], gated: Sequence[actions.Action]) -> None:
        no = self._unstored.begin(changes, self._clock.mono_ms())
        self._note_term(no, changes)

        def committed(error: StoreError | None) -> None:
            self._unstored.end(no)
            if self.stopped:
                return
            if error is None and self.core.suspended:
                # What it was decided upon is not on the disk.
                error = StoreError(self._fault)
            if error is not None:
                self._not_stored(no, changes, gated, error)
            elif not self._term_kept:
                self._term_kept = no >= self._term_no
            now, oldest = self._clock.mono_ms(), self._unstored.oldest
            if oldest is None or now - oldest <= PATIENCE_MS:
                self._deafness.end(Why.STORE_SLOW, now)
            if error is None:
                for action in gated:
                    self._do_late(action)

        self._store.write(changes, committed)

    def _note_term(self, no: int, changes: Sequence[Change]) -> None:
        if not self._term_kept and any(isinstance(change, TermTaken) for change in changes):
            self._term_no = no

    def _not_stored(
        self,
        no: int,
        changes: Sequence[Change],
        gated: Sequence[actions.Action],
        error: StoreError,
    ) -> None:
        if isinstance(error, UnfitChange):
            self._never_stored(no, changes, gated, error)
            return
        self._fault = str(error)
        self._unstored.fail(no, changes)
        if not self.core.suspended:
            logger.error("the store failed app=%s: %s", self.core.app, error)
            self.happen(events.Suspend(True))
            self._deafness.begin(Why.STORE_FAILING, self._clock.mono_ms())
        self._refuse(gated, self._fault)
        if self._retry is None:
            self._retry = self._loop.call_later(_RETRY_SECONDS, self._store_again)

    def _never_stored(
        self,
        no: int,
        changes: Sequence[Change],
        gated: Sequence[actions.Action],
        error: StoreError,
    ) -> None:
        """Refuse what waits for changes that no store takes; write what else is among them."""
        logger.error("a change cannot be stored app=%s: %s", self.core.app, error)
        refused = self._refuse(gated, str(error))
        others = [change for change in changes if _task_of(change) not in refused]
        if self.core.suspended:
            self._unstored.fail(no, others)
        elif len(changes) > 1:
            for change in self._unstored.last_copies(no, others):
                self._write([change], ())

    def _refuse(self, gated: Sequence[actions.Action], reason: str) -> set[str]:
        """Tell those who wait, and forget the tasks that they were refused; return these."""
        forgotten: set[str] = set()
        for action in gated:
            if isinstance(action, actions.Answer):
                forgotten.update(self._submitting.get(action.ticket, ()))
                future = self._waiting.get(action.ticket)
                if future is not None and not future.done():
                    future.set_exception(StoreUnavailable(reason))
            elif isinstance(action, actions.Announce) and self.core.suspended:
                self._unsaid.append(action)
        if forgotten:
            self._unstored.forget(forgotten)
            self.happen(events.Revoked(tuple(forgotten)))
            self._unsaid = [each for each in self._unsaid if each.task not in forgotten]
        return forgotten

    def _store_again(self) -> None:
        self._retry = None
        changes = self._unstored.take()

        def committed(error: StoreError | None) -> None:
            if self.stopped:
                return
            if isinstance(error, UnfitChange) and changes:
                # One of them: each is tried for itself, and those that fail are left out.
                for change in changes:
                    self._store_alone(change)
                self._store_again()
            elif error is not None:
                self._fault = str(error)
                self._unstored.put_back(changes)
                self._retry = self._loop.call_later(_RETRY_SECONDS, self._store_again)
            elif self._unstored:
                self._store_again()
            else:
                self._recovered()

        # Whatever there is to write: to write nothing proves nothing.
        self._store.write([TermTaken(self.core.app, self.core.term), *changes], committed)

    def _store_alone(self, change: Change) -> None:
        def committed(error: StoreError | None) -> None:
            if isinstance(error, UnfitChange):
                logger.error("a change cannot be stored app=%s: %s", self.core.app, error)
            elif error is not None:
                self._unstored.put_back([change])

        self._store.write([change], committed)

    def _recovered(self) -> None:
        logger.info("the store takes changes again app=%s", self.core.app)
        self._term_kept = True
        self._unstored.recovered()
        unsaid, self._unsaid = self._unsaid, []
        for announcement in unsaid:
            self._do_late(announcement)
        self.happen(events.Suspend(False))
        self._deafness.end(Why.STORE_FAILING, self._clock.mono_ms())

    # Time

    def _rearm(self) -> None:
        """See to it that what is due next is not missed."""
        if not self._self_timed:
            return
        wait_ms = self.core.timers.next_ms(self.instant())
        if wait_ms is None:
            return
        at = self._loop.time() + wait_ms / 1000
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.happen(events.Tick())

    def _watch_on(self) -> None:
        now, oldest = self.instant(), self._unstored.oldest
        self._deafness.looked(now)
        if oldest is not None and now.mono - oldest > PATIENCE_MS:
            self._deafness.begin(Why.STORE_SLOW, oldest)
        # The wall clock may have been set, or the machine have slept.
        self._rearm()
        self._watch = self._loop.call_later(LOOK_SECONDS, self._watch_on)

    def be_deaf(self) -> None:
        """The transport hears nobody from now on."""
        self._deafness.begin(Why.TRANSPORT, self._clock.mono_ms())

    def hear(self) -> None:
        """The transport hears again."""
        self._deafness.end(Why.TRANSPORT, self._clock.mono_ms())


def _task_of(change: Change) -> str | None:
    if isinstance(change, TaskSaved):
        return change.task.id
    return change.attempt.task if isinstance(change, AttemptSaved) else None
