"""A scheduler on a loop whose time passes only when there is nothing else to do.

::

    @story
    async def test_…() -> None:
        async with stage() as scene:
            worker = scene.worker()
            task = await scene.submit()
            worker.succeeds(task)

Waiting costs nothing, so leases, retries and prunes take their real spans of virtual time. The
store is one whose disk does what a test says; what is sent and what is stored is noted in one
journal, in the order in which it happens.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, TypeVar

import msgspec

from callboard_scheduler import names, wire
from callboard_scheduler.engine import Scheduler
from callboard_scheduler.records import DEFAULT_NAMESPACE, OnConflict, Raw, Spec, Task
from callboard_scheduler.stores import (
    Change,
    Committed,
    StoreError,
    TaskFilter,
    TaskSaved,
    TermTaken,
    UnfitChange,
)
from callboard_scheduler.stores.faulty import FaultyStore
from callboard_scheduler.submission import Submission
from callboard_scheduler.transports import OWN, Cause, Listener, Profile, Sent

APP = "app"
SECRET = "secret"
#: 14 November 2023, 22:13:20 UTC.
BEGINNING = 1_700_000_000_000

Message = TypeVar("Message", bound=wire.DownMessage)
P = ParamSpec("P")


# Time


class _Selector(selectors.DefaultSelector):
    """Lets time pass instead of waiting."""

    passed = 1_000.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everybody waits, and nothing will ever happen"
            self.passed += max(0.0, timeout)
        return ready


class Loop(asyncio.SelectorEventLoop):
    """A loop in virtual time."""

    def __init__(self) -> None:
        self.selector = _Selector()
        super().__init__(self.selector)

    def time(self) -> float:
        return self.selector.passed


def story(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test in virtual time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(test(*args, **kwargs))

    return run


async def passes(seconds: float) -> None:
    """Let time pass, and all happen that is due meanwhile."""
    await asyncio.sleep(seconds)


async def settles() -> None:
    """Let all happen that waits for no time."""
    await asyncio.sleep(0.001)


class Clock:
    """The loop's time; its wall clock can be set."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        self._loop = loop
        self.wall = BEGINNING - self.mono_ms()

    def mono_ms(self) -> int:
        return round(self._loop.time() * 1000)

    def wall_ms(self) -> int:
        return self.wall + self.mono_ms()

    def stand_still(self, seconds: float) -> None:
        """Let time pass while the loop does nothing, as if a callback took so long."""
        self._loop.selector.passed += seconds


# What it works with


class _Told:
    """Tells whoever waits for a write what has become of it."""

    def __init__(self, committed: Committed, error: StoreError | None, journal: list[str]) -> None:
        self._committed = committed
        self._journal = journal
        self.error = error

    def __call__(self, error: StoreError | None) -> None:
        error = error or self.error
        if error is None:
            self._journal.append("stored")
        self._committed(error)


class Store(FaultyStore):
    """Notes what reaches it, and has values that it can never take."""

    def __init__(self, journal: list[str]) -> None:
        super().__init__()
        self.journal = journal
        self.writes: list[Sequence[Change]] = []
        self._odd: str | None = None
        #: The answer to the next write that is waited for, and to no other.
        self.next_failure: StoreError | None = None

    def finds_odd(self, name: str) -> None:
        """From now on take no record of a task of this name."""
        self._odd = name

    def write(self, changes: Sequence[Change], committed: Committed | None = None) -> None:
        self.writes.append(changes)
        tasks = [each.task for each in changes if isinstance(each, TaskSaved)]
        odd = any(task.spec.name == self._odd for task in tasks)
        if committed is None:
            if not odd:
                super().write(changes)
            return
        error, self.next_failure = self.next_failure, None
        if error is None and self.failure is not None:
            # It needs no disk to store nothing, unless something was kept.
            kept = any(told is None for _, told in self._behind)
            error = self.failure if changes or kept else None
        elif error is None and odd:
            error = UnfitChange("it is too odd")
        if error is None:
            self._image.apply(changes)
        self._behind.append((changes, _Told(committed, error, self.journal)))
        if not self._stalled:
            asyncio.get_running_loop().call_soon(self._sync)

    def _sync(self) -> None:
        """Answer all who wait, in their order; what nobody waits for comes with the next."""
        while not self._stalled:
            waiting = (i for i, (_, told) in enumerate(self._behind) if told is not None)
            place = next(waiting, None)
            if place is None:
                return
            told = self._behind[place][1]
            assert isinstance(told, _Told)
            if told.error is not None:
                del self._behind[place]
            else:
                for changes, _ in self._behind[: place + 1]:
                    self._disk.apply(changes)
                del self._behind[: place + 1]
            told(None)

    def resume_one(self) -> None:
        """Acknowledge the first that waits, and go on acknowledging nothing."""
        committed: Committed | None = None
        while committed is None:
            changes, committed = self._behind.pop(0)
            self._disk.apply(changes)
        committed(None)

    def fail_what_waits(self, error: StoreError) -> None:
        """Refuse everything that is not acknowledged."""
        behind, self._behind = self._behind, []
        for _, committed in behind:
            if committed is not None:
                committed(error)

    @property
    def terms(self) -> list[int]:
        """The terms that were written, in order."""
        return [
            each.term for changes in self.writes for each in changes if isinstance(each, TermTaken)
        ]


class Transport:
    """Implements :class:`~callboard_scheduler.transports.Transport`; keeps what was sent."""

    def __init__(self, journal: list[str], profile: Profile, hears_late: bool) -> None:
        self.profile = profile
        self.hears_late = hears_late
        self.journal = journal
        self.listener: Listener | None = None
        self.hands: dict[str, Hand] = {}
        #: Events on workers' channels, by worker: the envelope of each.
        self.events: dict[str, list[wire.DownEnvelope]] = defaultdict(list)
        self.sizes: list[int] = []
        #: Events on feeds: channel, event, data.
        self.shown: list[tuple[str, str, dict[str, Any]]] = []
        self.watchers: set[str] = set()
        self.published: list[Mapping[str, object]] = []
        #: What becomes of an ordinary event.
        self.takes = Sent.OK
        self.cut_off: list[str] = []

    async def start(self, listener: Listener) -> None:
        self.listener = listener

    async def stop(self) -> None:
        self.listener = None

    def send(self, channel: str, event: str, data: str) -> Sent:
        if len(data.encode()) > self.profile.limits.bytes:
            return Sent.REFUSED
        worker, found = _worker_of(channel), channel.startswith(_WORKERS)
        if not found:
            self.journal.append(f"{event} shown")
            self.shown.append((channel, event, msgspec.json.decode(data)))
            return Sent.OK
        hand = self.hands.get(worker)
        if hand is None:
            return Sent.ABSENT
        envelope = wire.decode_down(data)
        self.events[worker].append(envelope)
        self.sizes.append(len(data.encode()))
        for message in envelope.m:
            self.journal.append(f"{type(message).__name__} sent")
            hand.hears(message)
        return Sent.OK

    def publish(self, event: Mapping[str, object]) -> Sent:
        self.published.append(event)
        return self.takes

    def watched(self, channel: str) -> bool | None:
        return channel in self.watchers

    def disconnect(self, channel: str) -> None:
        self.cut_off.append(_worker_of(channel))


_WORKERS = names.worker_prefix(DEFAULT_NAMESPACE)


def _worker_of(channel: str) -> str:
    return channel.removeprefix(_WORKERS)


class Stage:
    """A scheduler that was started, its store, and its transport."""

    def __init__(
        self,
        store: Store | None = None,
        *,
        profile: Profile = OWN,
        hears_late: bool = False,
        **options: Any,
    ) -> None:
        self.clock = Clock()
        self.journal: list[str] = [] if store is None else store.journal
        self.store = store or Store(self.journal)
        self.transport = Transport(self.journal, profile, hears_late)
        self.scheduler = Scheduler(
            APP, self.store, self.transport, secret=SECRET, clock=self.clock, **options
        )
        self._sockets = 0

    @property
    def listener(self) -> Listener:
        assert self.transport.listener is not None
        return self.transport.listener

    # Tasks

    async def submit(self, **fields: Any) -> str:
        """Submit a task with these fields of its spec; return its id once it is given out."""
        return (await self.submit_all(fields))[0]

    async def submit_all(self, *specs: dict[str, Any]) -> list[str]:
        submitted = await self.scheduler.submit([_submission(**spec) for spec in specs])
        await settles()
        return [each.id for each in submitted]

    def begins(self, **fields: Any) -> asyncio.Task[str]:
        """Begin to submit a task; it is answered when it is."""
        return asyncio.get_running_loop().create_task(self.submit(**fields))

    async def task(self, task_id: str) -> Task:
        stored = await self.scheduler.task(task_id)
        assert stored is not None, f"there is no task {task_id}"
        return stored.task

    async def state(self, task_id: str) -> str:
        return (await self.task(task_id)).state.value

    def live(self) -> list[str]:
        """The states of the tasks that are not finished, in order of submission."""
        return [task.state.value for task in self.scheduler.core.tasks.values()]

    async def on_disk(self) -> list[str]:
        """The states of all tasks that would be there after a power cut, oldest first."""
        page = self.store._disk.tasks(APP, _EVERY, 1_000, None)
        return [task.state.value for task in reversed(page.tasks)]

    # Workers and watchers

    def stranger(self, worker_id: str = "w1", boot: str = "boot") -> Hand:
        """A worker's process whose connection has joined its channel."""
        self._sockets += 1
        hand = Hand(self, worker_id, boot, f"{self._sockets}.1")
        hand.joins()
        return hand

    def worker(self, worker_id: str = "w1", boot: str = "boot", **hello: Any) -> Hand:
        """A worker's process that has said hello; it never beats unless ``hb`` says otherwise."""
        hand = self.stranger(worker_id, boot)
        hand.says(wire.Hello(worker_id, **{"free": hello.get("cap", 1), **hello}))
        return hand

    def watches(self, task_id: str) -> None:
        """Somebody subscribes to a task's feed."""
        self.watch(names.task_channel(DEFAULT_NAMESPACE, task_id))

    def watch(self, channel: str) -> None:
        self.transport.watchers.add(channel)
        self.listener.watching(channel)

    def seen(self, task_id: str) -> list[str]:
        """What a task's feed has shown: states, and other events by their names."""
        channel = names.task_channel(DEFAULT_NAMESPACE, task_id)
        return [
            data.get("state", event)
            for where, event, data in self.transport.shown
            if where == channel
        ]


def _submission(**fields: Any) -> Submission:
    args = msgspec.json.encode(fields.pop("args", {}))
    on_conflict = fields.pop("on_conflict", OnConflict.KEEP)
    return Submission(Spec(**{"name": "work", "args": Raw(args), **fields}), on_conflict)


class Hand:
    """One process of a worker on one connection; it says what a test has it say."""

    def __init__(self, scene: Stage, worker_id: str, boot: str, socket_id: str) -> None:
        self.id = worker_id
        self.boot = boot
        self.socket_id = socket_id
        self.inbox: list[wire.DownMessage] = []
        self.given: dict[str, wire.Assign] = {}
        self._scene = scene
        self._n = 0

    @property
    def channel(self) -> str:
        return names.worker_channel(DEFAULT_NAMESPACE, self.id)

    def joins(self) -> None:
        self._scene.transport.hands[self.id] = self
        self._scene.listener.joined(self.channel, self.socket_id)

    def leaves(self, cause: Cause = Cause.DISCONNECTED) -> None:
        if self._scene.transport.hands.get(self.id) is self:
            del self._scene.transport.hands[self.id]
        self._scene.listener.left(self.channel, self.socket_id, cause)

    def says(self, *messages: wire.UpMessage) -> None:
        self._n += 1
        data = wire.encode_up(self.boot, self._n, messages)
        self._scene.listener.received(self.channel, self.socket_id, data)

    def hears(self, message: wire.DownMessage) -> None:
        self.inbox.append(message)
        if isinstance(message, wire.Assign):
            self.given[message.id] = message

    def took(self, kind: type[Message]) -> list[Message]:
        """Take the messages of a kind out of the inbox."""
        taken: list[Message] = [each for each in self.inbox if isinstance(each, kind)]
        self.inbox = [each for each in self.inbox if not isinstance(each, kind)]
        return taken

    def tasks(self) -> list[str]:
        """The tasks that it was given since it was asked last."""
        return [message.id for message in self.took(wire.Assign)]

    def done(self) -> list[str]:
        """What became of its results since it was asked last."""
        return [outcome for done in self.took(wire.Done) for _, _, outcome in done.r]

    def accepts(self, task: str) -> None:
        self.says(wire.Accept(task, self.given[task].f))

    def progresses(self, task: str, s: int = 0, **fields: Any) -> None:
        self.says(wire.ProgressReport(task, self.given[task].f, s, **fields))

    def succeeds(self, task: str, value: Any = None) -> None:
        raw = Raw(msgspec.json.encode(value))
        self.says(wire.Result(task, self.given[task].f, val=raw))

    def fails(self, task: str, **fields: Any) -> None:
        error = wire.ResultError("Oops", **fields)
        self.says(wire.Result(task, self.given[task].f, ok=False, err=error))

    def beats(self, *tasks: str, free: int = 0) -> None:
        self.says(wire.Heartbeat(self._n, free, [(task, self.given[task].f) for task in tasks]))


@asynccontextmanager
async def stage(store: Store | None = None, **options: Any) -> AsyncIterator[Stage]:
    """A scheduler, until the end of the block; nothing of it is left on the loop behind that."""
    scene = Stage(store, **options)
    await scene.scheduler.start()
    try:
        yield scene
    finally:
        await scene.scheduler.stop()


async def refusal(request: Awaitable[object]) -> str:
    """Return what a request is refused with."""
    try:
        answer = await request
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    raise AssertionError(f"it was not refused but answered {answer!r}")


_EVERY = TaskFilter()
