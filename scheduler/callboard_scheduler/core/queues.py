"""Ready tasks in the order in which they are given out.

A queue has a lane for each kind of task that only the same workers can run: same name, same
target. A worker that asks is given the best head of the lanes that fit it, so a task nobody can
run never stands in another's way, and a choice costs the number of lanes, not of tasks.

Entries are never searched for: one that is not ready any more, or that was put in anew, is
skipped when it comes to the head of its lane.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Final, NamedTuple

import msgspec

from callboard_scheduler.core.workers import Worker
from callboard_scheduler.records import Spec, Task
from callboard_scheduler.states import LIVE, WAITING, State

#: ``(-priority, seq, task id, stamp)``: the order of a heap is the order of assignment.
Entry = tuple[int, int, str, int]

#: The task of this id if it exists.
Tasks = dict[str, Task]


class LaneKey(NamedTuple):
    """What decides which workers can run a task."""

    name: str
    worker: str | None
    #: JSON text of the labels demanded, empty for none.
    labels: bytes


class Lane:
    """Ready tasks that only the same workers can run, best first."""

    __slots__ = ("entries", "key", "spec")

    def __init__(self, key: LaneKey, spec: Spec) -> None:
        self.key = key
        #: Of any task in it: what fits one fits all.
        self.spec = spec
        self.entries: list[Entry] = []

    def fits(self, worker: Worker) -> bool:
        """Whether the worker can run what is in the lane."""
        fits = worker.fitting.get(self.key)
        if fits is None:
            fits = worker.fitting[self.key] = worker.fits(self.spec)
        return fits


class Queue:
    """One queue: its lanes, who serves it, and how much waits in it."""

    __slots__ = ("_own", "_shared", "busy", "counts", "idle", "name", "paused")

    def __init__(self, name: str) -> None:
        self.name = name
        self.paused = False
        #: How many tasks are in each live state.
        self.counts: dict[State, int] = dict.fromkeys(LIVE, 0)
        #: Workers with a free slot: those with nothing to do, longest idle first, and the others.
        self.idle: dict[str, Worker] = {}
        self.busy: dict[str, Worker] = {}
        self._shared: dict[LaneKey, Lane] = {}
        #: Lanes for one named worker: none of the others needs to look at them.
        self._own: dict[str, dict[LaneKey, Lane]] = {}

    @property
    def waiting(self) -> int:
        """Tasks blocked, scheduled or ready."""
        return sum(self.counts[state] for state in WAITING)

    @property
    def vacant(self) -> bool:
        """Whether nothing is lost by forgetting it."""
        return not (self.idle or self.busy or self.paused or any(self.counts.values()))

    def count(self, before: State | None, after: State | None) -> None:
        """Note that a task of the queue has changed its state, None for not being one of it."""
        counts = self.counts
        if before in counts:
            counts[before] -= 1
        if after in counts:
            counts[after] += 1

    def put(self, task: Task, stamp: int) -> Lane:
        """Take in a ready task; an entry with an older stamp of it is void from now on."""
        key = lane_key(task.spec)
        lanes = self._shared if key.worker is None else self._own.setdefault(key.worker, {})
        lane = lanes.get(key)
        if lane is None:
            lane = lanes[key] = Lane(key, task.spec)
        heappush(lane.entries, (-task.spec.priority, task.seq, task.id, stamp))
        return lane

    def lanes_for(self, worker: Worker) -> Iterator[Lane]:
        """Return the lanes that a worker can be given tasks of."""
        for lane in self._shared.values():
            if lane.fits(worker):
                yield lane
        for lane in self._own.get(worker.id, {}).values():
            if lane.fits(worker):
                yield lane

    def discard(self, lane: Lane) -> None:
        """Forget an empty lane."""
        worker = lane.key.worker
        if worker is None:
            self._shared.pop(lane.key, None)
            return
        lanes = self._own.get(worker, {})
        lanes.pop(lane.key, None)
        if not lanes:
            self._own.pop(worker, None)


class Ready:
    """Which entry of a lane is a task's current one."""

    __slots__ = ("_last", "stamps")

    def __init__(self) -> None:
        self._last = 0
        self.stamps: dict[str, int] = {}

    def stamp(self, task_id: str) -> int:
        """Return a new stamp: every earlier entry of the task is void."""
        self._last += 1
        self.stamps[task_id] = self._last
        return self._last

    def void(self, task_id: str) -> None:
        """Void the task's entry, if it has one."""
        self.stamps.pop(task_id, None)

    def head(self, lane: Lane, tasks: Tasks) -> Task | None:
        """Return the first task of the lane, having thrown away what is void before it."""
        entries, stamps = lane.entries, self.stamps
        while entries:
            _, _, task_id, stamp = entries[0]
            if stamps.get(task_id) == stamp:
                return tasks[task_id]
            heappop(entries)
        return None


class Limit:
    """Tasks of one limit key: how many are held, and who waits for them to be fewer."""

    __slots__ = ("held", "waiting")

    def __init__(self) -> None:
        self.held = 0
        #: By the limit that they were submitted with, which need not be the same for all.
        self.waiting: dict[int, list[Entry]] = {}

    def wait(self, task: Task, stamp: int) -> None:
        """Set a ready task aside until fewer are held."""
        entry = (-task.spec.priority, task.seq, task.id, stamp)
        heappush(self.waiting.setdefault(task.spec.limit, []), entry)

    def release(self, ready: Ready) -> str | None:
        """Take off the best task that may run now, None if there is none."""
        best: int | None = None
        for limit in list(self.waiting):
            entries = self.waiting[limit]
            while entries and ready.stamps.get(entries[0][2]) != entries[0][3]:
                heappop(entries)
            if not entries:
                del self.waiting[limit]
            elif self.held < limit and (best is None or entries[0] < self.waiting[best][0]):
                best = limit
        return heappop(self.waiting[best])[2] if best is not None else None


_NO_LABELS: Final = b""


def lane_key(spec: Spec) -> LaneKey:
    """Return the lane that tasks of this spec are in."""
    target = spec.target
    if target is None:
        return LaneKey(spec.name, None, _NO_LABELS)
    labels = msgspec.json.encode(target.labels, order="deterministic") if target.labels else b""
    return LaneKey(spec.name, target.worker, labels)
