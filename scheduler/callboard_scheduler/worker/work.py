"""What a worker holds: assignments from their arrival until their end is recorded.

1. An assignment is its fence. What was finished, refused or given up is never started again by a
   late repeat; the repeat is answered once more.
2. What is told to stop is reported as released after :data:`STOP_SECONDS` at most. If the
   function goes on nevertheless it is abandoned: the capacity is lowered by its slot until it ends.
3. An end is told behind the last that was said, and kept in the outbox until it is recorded.
4. A function that was told to stop and raises counts as stopped, with its newest checkpoint; one
   that returns has finished, for the truth wins over the intent.
5. What has not begun is neither accepted nor claimed, and takes no slot in what is said: the
   scheduler counts it by itself. While the loop of the functions is blocked nothing is taken, and
   what has not begun by then is given back.

Times are seconds of one monotonic clock.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

from callboard_scheduler import wire
from callboard_scheduler.records import Raw
from callboard_scheduler.worker.actions import Action, Change, Start, Stop, Withdraw
from callboard_scheduler.worker.assignments import Assignment, Stage, Step
from callboard_scheduler.worker.outbox import Outbox
from callboard_scheduler.worker.packing import ENVELOPE_BYTES, Packer
from callboard_scheduler.worker.settled import Settled

#: What is told to stop has this long until it is reported as released in any case.
STOP_SECONDS: Final = 1.5
#: How long ``accept`` may wait for a result that is expected at once.
ACCEPT_PATIENCE_SECONDS: Final = 0.002
BUSY: Final = "busy"

_encode: Final = msgspec.json.Encoder().encode


class Work:
    """Up to ``slots`` assignments at a time; what it says goes into ``packer``.

    ``names`` are the tasks it can run, None for all. ``actions`` gathers what is to be done.
    """

    def __init__(
        self, slots: int, names: list[str] | None, packer: Packer, actions: list[Action]
    ) -> None:
        self._slots = slots
        self._names = None if names is None else frozenset(names)
        self._packer = packer
        self._actions = actions
        self._held: dict[int, Assignment] = {}
        #: Those of them that may have something to say.
        self._talking: dict[int, Assignment] = {}
        #: Those that were told to stop, until they are over or abandoned.
        self._stopping: dict[int, Assignment] = {}
        self._abandoned = 0
        self._settled = Settled()
        #: Names whose last function was done before anybody would hear that it had begun.
        self._brief: set[str] = set()
        self.outbox = Outbox()
        self.draining = False
        #: Whether the loop of the functions does not move.
        self.blocked = False
        #: What one event may hold.
        self.max_bytes = 0

    # How it stands

    @property
    def idle(self) -> bool:
        """Whether nothing is held (what was abandoned aside) and everything is recorded."""
        return len(self._held) == self._abandoned and not self.outbox

    @property
    def runs_something(self) -> bool:
        """Whether a function runs that nobody has told to stop."""
        return len(self._held) > self._abandoned + len(self._stopping)

    @property
    def capacity(self) -> int:
        """How many assignments the scheduler may believe to be here at a time."""
        return 0 if self.draining or self.blocked else self._slots - self._abandoned

    @property
    def free(self) -> int:
        """How many more than :attr:`held` there may be now."""
        return max(0, self.capacity - len(self.held))

    @property
    def held(self) -> list[tuple[str, int]]:
        """Task and fence of all that runs and was not reported as released."""
        return [
            (held.task_id, fence)
            for fence, held in self._held.items()
            if held.stage is not Stage.GIVEN and held.stage is not Stage.ABANDONED
        ]

    @property
    def holds_something(self) -> bool:
        """Whether there is any function that runs or shall."""
        return bool(self._held)

    @property
    def revisions(self) -> dict[str, int]:
        """The newest revision that arrived, by task, where there was an update."""
        return {held.task_id: held.rev for held in self._held.values() if held.rev > 1}

    @property
    def speaks_at(self) -> float:
        """When :meth:`say` has something to say."""
        at = self.outbox.next_due
        for held in self._talking.values():
            if (due_at := held.due_at) is not None:
                at = min(at, due_at)
        return at

    @property
    def stops_at(self) -> float:
        """When :meth:`abandon_overdue` has something to do."""
        return min((held.stop_by or 0.0 for held in self._stopping.values()), default=math.inf)

    # What the scheduler says

    def assigned(self, given: wire.Assign, now: float) -> None:
        """Start it, or answer why not; a repeat is answered as before."""
        if given.f in self._held:
            self.confirm(given.id, given.f, now)
            return
        if self._settled.covers(given.id, given.f):
            self.outbox.hurry(given.f, now)
            if answer := self._settled.answer(given.id, given.f):
                self._packer.add([answer])
            return
        for older in [held for held in self._held.values() if held.task_id == given.id]:
            self._stop(older, "superseded", STOP_SECONDS, now)
        if why := self._refusal(given):
            self._reject(given.id, given.f, why)
            return
        self._held[given.f] = Assignment(given, now)
        self._actions.append(Start(given))

    def confirm(self, task_id: str, fence: int, now: float) -> None:
        """Say once more what has become of an assignment, or that it never came."""
        held = self._held.get(fence)
        if held is not None:
            if held.stage is Stage.RUNNING:
                held.accept_at = now
                self._talking[fence] = held
        elif fence in self.outbox:
            self.outbox.hurry(fence, now)
        elif not self._settled.covers(task_id, fence):
            self._reject(task_id, fence, "never arrived")

    def updated(self, update: wire.Update) -> bool:
        """Hand over a change; False when it is none for what runs here."""
        held = self._running(update.f)
        if held is None or update.rev <= held.rev:
            return False
        held.rev = update.rev
        self._actions.append(Change(update))
        return True

    def revoked(self, revoke: wire.Revoke, now: float) -> None:
        """Stop it within the time that is given."""
        held = self._held.get(revoke.f)
        if held is not None:
            self._stop(held, revoke.why, min(STOP_SECONDS, 0.75 * revoke.within_ms / 1000), now)
        elif revoke.f in self.outbox:
            self.outbox.hurry(revoke.f, now)
        elif not self._settled.covers(revoke.id, revoke.f):
            # It never arrived, and must not be started if it still does.
            self._settled.add(revoke.id, revoke.f)
            self.outbox.put(revoke.id, revoke.f, _encode(wire.Released(revoke.id, revoke.f)))

    def disowned(self, fence: int, now: float) -> None:
        """It is not ours any more."""
        if held := self._held.get(fence):
            self._stop(held, "lost", STOP_SECONDS, now)

    # What functions do

    def begun(self, fence: int, now: float) -> None:
        """A function begins, or what it needs is on its way."""
        held = self._held.get(fence)
        if held is not None and held.step(Step.BEGIN):
            patience = ACCEPT_PATIENCE_SECONDS if held.name in self._brief else 0.0
            held.accept_at = now + patience
            self._talking[fence] = held

    def withdrawn(self, fence: int) -> None:
        """A function has not begun and never will."""
        if held := self._end(fence):
            self._reject(held.task_id, fence, BUSY)

    def progressed(self, fence: int, pct: float | None, msg: str | None, data: Raw | None) -> None:
        """A function said how far it is."""
        if held := self._running(fence):
            held.report(pct, msg, data)
            self._talking[fence] = held

    def logged(self, fence: int, level: str, text: str) -> None:
        """A function wrote a line."""
        if held := self._running(fence):
            line = wire.Log(held.task_id, fence, held.number(), level, text)
            self._packer.log(_encode(line))

    def saved(self, fence: int, checkpoint: Raw) -> None:
        """A function left a checkpoint."""
        if held := self._running(fence):
            held.save(checkpoint)
            self._talking[fence] = held

    def succeeded(self, fence: int, value: Raw | None, ref: bool, now: float) -> None:
        """A function has returned; with ``ref`` its value is at the ``put_url``."""
        held = self._end(fence)
        if held is None:
            return
        spent = round((now - held.started_at) * 1000)
        message = _encode(wire.Result(held.task_id, fence, True, value, ref, None, spent))
        if len(message) > self.max_bytes - ENVELOPE_BYTES:
            error = wire.ResultError(
                "TooLarge",
                f"the result has {len(message)} bytes, but an event holds {self.max_bytes}: "
                "return less, or where it is stored",
                retry=False,
            )
            message = _encode(wire.Result(held.task_id, fence, False, err=error, ms=spent))
        self._settle(held, message, now)

    def failed(self, fence: int, error: wire.ResultError, now: float) -> None:
        """A function has raised."""
        held = self._end(fence)
        if held is None:
            return
        if held.stop_by is not None:
            self._settle(held, _released(held), now)
            return
        spent = round((now - held.started_at) * 1000)
        result = wire.Result(held.task_id, fence, False, err=error, ms=spent)
        self._settle(held, _encode(result), now)

    # What else happens

    def stop_all(self, why: str, now: float) -> None:
        """Stop whatever runs: it goes back to the scheduler."""
        for held in list(self._held.values()):
            self._stop(held, why, STOP_SECONDS, now)

    def abandon_overdue(self, now: float) -> None:
        """Report as released what does not stop in time."""
        for held in [held for held in self._stopping.values() if now >= (held.stop_by or 0.0)]:
            held.step(Step.OVERDUE)
            del self._stopping[held.fence]
            self._talking.pop(held.fence, None)
            self._abandoned += 1
            # Ahead of the release, or the slot would be given away.
            self._tell_capacity()
            self.outbox.put(held.task_id, held.fence, _released(held))
            self._settled.add(held.task_id, held.fence)

    def drain(self) -> None:
        """Take nothing new; what runs goes on."""
        if not self.draining:
            self.draining = True
            self._tell_capacity()

    def block(self) -> None:
        """The loop does not move: take nothing, and give back what has not begun."""
        self.blocked = True
        self._tell_capacity()
        running = [held for held in self._held.values() if held.stop_by is None]
        self._actions.extend(Withdraw(held.fence) for held in running)

    def unblock(self) -> None:
        """The loop moves again."""
        self.blocked = False
        self._tell_capacity()

    def unheard(self) -> None:
        """A connection was lost: what it should have carried may not have arrived."""
        for held in self._held.values():
            held.unheard()

    def repeat(self, now: float) -> None:
        """A new session knows nothing of what was said in an older one."""
        self.outbox.hurry_all(now)
        for fence, held in self._held.items():
            if held.stage is not Stage.ABANDONED:
                self._talking[fence] = held

    def listed(self) -> None:
        """All claims were sent, which says that they were accepted."""
        for held in self._held.values():
            held.accept_at = None

    def say(self, now: float) -> None:
        """Put all that is due into the packer."""
        for fence, held in list(self._talking.items()):
            self._packer.add(_encode(word) for word in held.words(now))
            if held.due_at is None:
                del self._talking[fence]
        self._packer.add(self.outbox.take_due(now))

    # Steps of it

    def _refusal(self, given: wire.Assign) -> str:
        """Return why an assignment cannot be taken; empty if it can."""
        if self.draining:
            return "draining"
        if self._names is not None and given.name not in self._names:
            return wire.UNKNOWN_NAME
        return BUSY if self.blocked or len(self._held) >= self._slots else ""

    def _running(self, fence: int) -> Assignment | None:
        held = self._held.get(fence)
        return None if held is None or held.stage is Stage.ABANDONED else held

    def _stop(self, held: Assignment, why: str, within_seconds: float, now: float) -> None:
        if held.step(Step.STOP):
            held.stop_by = now + within_seconds
            self._stopping[held.fence] = held
            self._actions.append(Stop(held.fence, why))

    def _end(self, fence: int) -> Assignment | None:
        """A function has ended; None if that is no news for the scheduler."""
        held = self._held.pop(fence, None)
        if held is None:
            return None
        self._talking.pop(fence, None)
        self._stopping.pop(fence, None)
        abandoned = held.stage is Stage.ABANDONED
        held.step(Step.END)
        if abandoned:
            self._abandoned -= 1
            self._tell_capacity()
            return None
        return held

    def _settle(self, held: Assignment, message: bytes, now: float) -> None:
        self._packer.add(_encode(word) for word in held.words(now, last=True))
        self.outbox.put(held.task_id, held.fence, message)
        self._settled.add(held.task_id, held.fence)
        if now - held.started_at < ACCEPT_PATIENCE_SECONDS:
            self._brief.add(held.name)
        else:
            self._brief.discard(held.name)

    def _reject(self, task_id: str, fence: int, why: str) -> None:
        answer = _encode(wire.Reject(task_id, fence, why))
        self._packer.add([answer])
        self._settled.add(task_id, fence, answer)

    def _tell_capacity(self) -> None:
        self._packer.add([_encode(wire.Capacity(self.capacity, self.free))])


def _released(held: Assignment) -> bytes:
    return _encode(wire.Released(held.task_id, held.fence, held.checkpoint))
