"""Ready tasks in the order in which they are given out.

A queue has a lane for each kind of task that only the same workers can run: same name, same
target. A worker that asks is given the best head of the lanes that fit it, so a task nobody can
run never stands in another's way, and a choice costs the number of lanes, not of tasks.

Entries are never searched for: one that is not ready any more, or that was put in anew, is void.
It is thrown away when it comes to the head, or with all others when they are most of a heap.

A task whose limit is reached is set aside, so that it stands in nobody's way. When there is room
again the first of each kind is put back, and the next once that one is out of the way or comes
behind it: whoever waits for a limit costs nothing while it is full.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import Final, NamedTuple

import msgspec

from callboard_scheduler.core.workers import Worker
from callboard_scheduler.records import Spec, Task
from callboard_scheduler.states import LIVE, WAITING, State

#: ``(-priority, seq, task id, stamp)``: the order of a heap is the order of assignment.
Entry = tuple[int, int, str, int]

#: From how many entries or lanes on the void ones among them are looked for.
_SWEPT_FROM: Final = 64
#: How many kinds of task a worker's fitness for is remembered.
_FITTING_KEPT: Final = 1_024


class LaneKey(NamedTuple):
    """What decides which workers can run a task."""

    name: str
    worker: str | None
    #: JSON text of the labels demanded, empty for none.
    labels: bytes


class Ready:
    """Which entry is a task's current one."""

    __slots__ = ("_last", "stamps")

    def __init__(self) -> None:
        self._last = 0
        self.stamps: dict[str, int] = {}

    def renew(self, task: Task) -> Entry:
        """Return a new entry of a task: every earlier one is void."""
        self._last += 1
        self.stamps[task.id] = self._last
        return -task.spec.priority, task.seq, task.id, self._last

    def entry(self, task: Task) -> Entry:
        """Return a ready task's current entry."""
        return -task.spec.priority, task.seq, task.id, self.stamps[task.id]

    def is_current(self, entry: Entry) -> bool:
        """Whether an entry is not void."""
        return self.stamps.get(entry[2]) == entry[3]

    def void(self, task_id: str) -> None:
        """Void the task's entry, if it has one."""
        self.stamps.pop(task_id, None)


class Entries:
    """Tasks of one kind, best first."""

    __slots__ = ("_bound", "_heap", "_ready")

    def __init__(self, ready: Ready) -> None:
        self._ready = ready
        self._heap: list[Entry] = []
        self._bound = _SWEPT_FROM

    def put(self, task: Task) -> None:
        """Take in a task; any other entry of it is void from now on."""
        heappush(self._heap, self._ready.renew(task))
        if len(self._heap) > self._bound:
            stamps = self._ready.stamps
            self._heap = [entry for entry in self._heap if stamps.get(entry[2]) == entry[3]]
            heapify(self._heap)
            self._bound = 2 * len(self._heap) + _SWEPT_FROM

    def head(self) -> Entry | None:
        """Return the first entry that is not void, None if there is none."""
        heap, stamps = self._heap, self._ready.stamps
        while heap:
            entry = heap[0]
            if stamps.get(entry[2]) == entry[3]:
                return entry
            heappop(heap)
        return None


class Lane:
    """Ready tasks that only the same workers can run, best first."""

    __slots__ = ("entries", "key", "spec")

    def __init__(self, key: LaneKey, spec: Spec, ready: Ready) -> None:
        self.key = key
        #: Of any task in it: what fits one fits all.
        self.spec = spec
        self.entries = Entries(ready)

    def fits(self, worker: Worker) -> bool:
        """Whether the worker can run what is in the lane."""
        fits = worker.fitting.get(self.key)
        if fits is None:
            if len(worker.fitting) >= _FITTING_KEPT:
                worker.fitting.clear()
            fits = worker.fitting[self.key] = worker.fits(self.spec)
        return fits


class Queue:
    """One queue: its lanes, who serves it, and how much waits in it."""

    __slots__ = ("_bound", "_lanes", "_own", "_shared", "busy", "counts", "idle", "name", "paused")

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
        self._lanes = 0
        self._bound = _SWEPT_FROM

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

    def put(self, task: Task, ready: Ready) -> None:
        """Take in a ready task; any other entry of it is void from now on."""
        key = lane_key(task.spec)
        lanes = self._shared if key.worker is None else self._own.get(key.worker, {})
        lane = lanes.get(key)
        if lane is None:
            lane = self._open(Lane(key, task.spec, ready))
        lane.entries.put(task)

    def _open(self, lane: Lane) -> Lane:
        if self._lanes >= self._bound:
            own = (lane for lanes in self._own.values() for lane in lanes.values())
            for each in (*self._shared.values(), *own):
                if each.entries.head() is None:
                    self.discard(each)
            self._bound = 2 * self._lanes + _SWEPT_FROM
        key = lane.key
        lanes = self._shared if key.worker is None else self._own.setdefault(key.worker, {})
        lanes[key] = lane
        self._lanes += 1
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
        lanes = self._shared if worker is None else self._own[worker]
        del lanes[lane.key]
        self._lanes -= 1
        if worker is not None and not lanes:
            del self._own[worker]


class _Group:
    """Set aside tasks of one lane and one limit, and the one of them that was let go."""

    __slots__ = ("entries", "let_go", "limit")

    def __init__(self, ready: Ready, limit: int) -> None:
        self.limit = limit
        self.entries = Entries(ready)
        self.let_go: Entry | None = None


class Limit:
    """Tasks of one limit key: how many are held, and who waits for them to be fewer."""

    __slots__ = ("_groups", "_ready", "held")

    def __init__(self, ready: Ready) -> None:
        self._ready = ready
        self.held = 0
        #: By queue, lane, and the limit that they were submitted with, which may differ.
        self._groups: dict[tuple[str, LaneKey, int], _Group] = {}

    @property
    def vacant(self) -> bool:
        """Whether nothing is lost by forgetting it."""
        return not self.held and not self._groups

    def wait(self, task: Task) -> None:
        """Set a ready task aside until fewer are held."""
        spec = task.spec
        key = (spec.queue, lane_key(spec), spec.limit)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(self._ready, spec.limit)
        group.entries.put(task)

    def release(self) -> list[str]:
        """Return whom to put back into their lanes, of each group one at a time."""
        free: list[str] = []
        for key, group in list(self._groups.items()):
            head, gone = group.entries.head(), group.let_go
            if head is None:
                del self._groups[key]
            elif self.held < group.limit and not (
                gone is not None and self._ready.is_current(gone) and gone < head
            ):
                free.append(head[2])
        return free

    def let_go(self, task: Task) -> None:
        """Note that a task which waited is in its lane again."""
        spec = task.spec
        group = self._groups[spec.queue, lane_key(spec), spec.limit]
        group.let_go = self._ready.entry(task)


_NO_LABELS: Final = b""


def lane_key(spec: Spec) -> LaneKey:
    """Return the lane that tasks of this spec are in."""
    target = spec.target
    if target is None:
        return LaneKey(spec.name, None, _NO_LABELS)
    labels = msgspec.json.encode(target.labels, order="deterministic") if target.labels else b""
    return LaneKey(spec.name, target.worker, labels)
