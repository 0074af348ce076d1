"""A core whose clocks a test moves, whose store it can lose, and workers that speak line by line.

::

    world = World()
    worker = world.worker("w1")
    task = world.submit()
    worker.accepts(task)
    worker.succeeds(task)
    assert world.state(task) == "succeeded"

Time passes from timer to timer, so what is due happens at its moment. After every step the books
are checked, and every change that is stored is held to the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from callboard_scheduler import wire
from callboard_scheduler.core import Instant, Turn, actions, begin, events, step
from callboard_scheduler.errors import SchedulerError
from callboard_scheduler.records import (
    Attempt,
    OnConflict,
    Raw,
    Schedule,
    Spec,
    Target,
    Task,
)
from callboard_scheduler.states import State
from callboard_scheduler.stores import TaskFilter, TermTaken
from callboard_scheduler.stores.memory import Image
from callboard_scheduler.transports import OWN, Profile
from scheduler.core_books import check_books, check_nothing_waits_in_vain

APP = "app"
#: 14 November 2023, 22:13:20 UTC.
BEGINNING = 1_700_000_000_000

Message = TypeVar("Message", bound=wire.DownMessage)


class World:
    """An app's core, what it has stored and said, and the workers of the test."""

    def __init__(self, *, profile: Profile = OWN, max_backlog: int = 1_000_000) -> None:
        self.profile = profile
        self.max_backlog = max_backlog
        self.mono = 1_000
        self.wall = BEGINNING
        self.image = Image()
        self.workers: dict[str, Hand] = {}
        self.announced: list[actions.Announce] = []
        self.cut_off: list[str] = []
        self.turn = Turn((), ())
        self._answers: dict[int, Any] = {}
        self._ids = 0
        self._tickets = 0
        self.restart()

    # Time

    @property
    def now(self) -> Instant:
        return Instant(self.mono, self.wall)

    def restart(self) -> None:
        """End the scheduler as if by a crash, and begin another with what is stored."""
        loaded = self.image.load(APP)
        self.core, turn = begin(APP, self.profile, loaded, self.now, max_backlog=self.max_backlog)
        self._take(turn)

    def happen(self, event: events.Event) -> Turn:
        """Let something happen now."""
        turn = step(self.core, event, self.now)
        self._take(turn)
        return turn

    def passes(self, ms: int) -> None:
        """Let time pass, by both clocks; what is due happens when it is."""
        left = ms
        while left:
            wait = self.core.timers.next_ms(self.now)
            span = left if wait is None else min(left, max(1, wait))
            self.mono += span
            self.wall += span
            left -= span
            self.happen(events.Tick())

    def jumps(self, ms: int) -> None:
        """Set the wall clock, forward or back."""
        self.wall += ms
        self.happen(events.Tick())

    def _take(self, turn: Turn) -> None:
        self.turn = turn
        self.image.apply(turn.changes)
        for action in turn.actions:
            if isinstance(action, actions.Tell):
                hand = self.workers.get(action.worker)
                if hand is not None:
                    hand.hears(action.message)
            elif isinstance(action, actions.Announce):
                self.announced.append(action)
            elif isinstance(action, actions.Answer):
                assert action.ticket not in self._answers, "answered twice"
                self._answers[action.ticket] = action.value
            elif isinstance(action, actions.CutOff):
                self.cut_off.append(action.worker)
        assert not any(isinstance(change, TermTaken) for change in turn.changes[1:])
        check_books(self.core)
        check_nothing_waits_in_vain(self.core)

    # Requests

    def ask(self, make: Any, **fields: Any) -> Any:
        """Let a request of this class happen; return its answer or raise it."""
        self._tickets += 1
        self.happen(make(ticket=self._tickets, **fields))
        answer = self._answers.pop(self._tickets)
        if isinstance(answer, SchedulerError):
            raise answer
        return answer

    def new(self, on_conflict: OnConflict = OnConflict.KEEP, **fields: Any) -> events.NewTask:
        """A task to be submitted, under the next id: t1, t2, …"""
        self._ids += 1
        fields = {"name": "work", **fields}
        return events.NewTask(f"t{self._ids}", Spec(**fields), on_conflict)

    def submit(self, on_conflict: OnConflict = OnConflict.KEEP, **fields: Any) -> str:
        """Submit a task with these fields of its spec; return the id that is answered."""
        return self.submit_all([self.new(on_conflict, **fields)])[0]

    def submit_all(
        self, tasks: list[events.NewTask], known: Mapping[str, State] | None = None
    ) -> list[str]:
        answer = self.ask(events.Submit, tasks=tasks, known=known or {})
        return [task_id for task_id, _ in answer]

    def cancel(self, task: str) -> Task:
        answer: Task = self.ask(events.Cancel, task=task)
        return answer

    def update(self, task: str, **fields: Any) -> Task:
        answer: Task = self.ask(events.Change, task=task, fields=fields)
        return answer

    def move(self, task: str, worker: str | None) -> Task:
        target = Target(worker=worker) if worker is not None else None
        answer: Task = self.ask(events.Move, task=task, target=target)
        return answer

    def requeue(self, task: str) -> Task:
        answer: Task = self.ask(events.Requeue, stored=self.stored(task))
        return answer

    def pause(self, queue: str = "default") -> None:
        self.ask(events.Pause, queue=queue, paused=True)

    def resume(self, queue: str = "default") -> None:
        self.ask(events.Pause, queue=queue, paused=False)

    def put(self, schedule_id: str = "s", **fields: Any) -> Schedule:
        """Put a schedule; its task is a plain one unless ``task`` or ``event`` says otherwise."""
        if "task" not in fields and "event" not in fields:
            fields["task"] = {"name": "tick"}
        for name in ("task", "event"):
            if name in fields:
                fields[name] = Raw(msgspec.json.encode(fields[name]))
        answer: Schedule = self.ask(events.PutSchedule, schedule=Schedule(schedule_id, **fields))
        return answer

    def drop(self, schedule_id: str = "s") -> None:
        self.ask(events.DropSchedule, id=schedule_id)

    # Looking

    def task(self, task_id: str) -> Task:
        """A live task as it is, a finished one as it is stored."""
        return self.core.tasks.get(task_id) or self.stored(task_id)

    def state(self, task_id: str) -> str:
        return self.task(task_id).state.value

    def states(self, *task_ids: str) -> list[str]:
        return [self.state(task_id) for task_id in task_ids]

    def stored(self, task_id: str) -> Task:
        stored = self.image.task(APP, task_id)
        assert stored is not None, f"{task_id} is not stored"
        return stored.task

    def attempts(self, task_id: str) -> list[Attempt]:
        stored = self.image.task(APP, task_id)
        return list(stored.attempts) if stored is not None else []

    def outcomes(self, task_id: str) -> list[str | None]:
        """How each attempt ended, None for one that has not."""
        return [each.outcome and each.outcome.value for each in self.attempts(task_id)]

    def ticks(self) -> list[int]:
        """The nominal times of the ticks that became tasks, as spans since the beginning."""
        page = self.image.tasks(APP, TaskFilter(), 1_000, None)
        fired = [task.spec.fire_at for task in page.tasks if task.spec.fire_at is not None]
        return sorted(each - BEGINNING for each in fired)

    def heard_of(self, task_id: str) -> list[str]:
        """The states that were announced on a task's feed, and other events by their names."""
        return [
            action.data["state"] if action.event in ("state", "result") else action.event
            for action in self.announced
            if action.task == task_id
        ]

    # Workers

    def worker(self, worker_id: str = "w1", boot: str = "", **hello: Any) -> Hand:
        """A worker's process that says hello; with a heartbeat unless ``hb`` says otherwise."""
        hand = self.stranger(worker_id, boot)
        hand.hello(**hello)
        return hand

    def stranger(self, worker_id: str = "w1", boot: str = "") -> Hand:
        """A worker's process that has said nothing yet."""
        hand = self.workers[worker_id] = Hand(self, worker_id, boot or f"boot of {worker_id}")
        return hand


class Hand:
    """One process of a worker: it says what the test has it say, and nothing by itself."""

    def __init__(self, world: World, worker_id: str, boot: str) -> None:
        self.world = world
        self.id = worker_id
        self.boot = boot
        self.inbox: list[wire.DownMessage] = []
        self._given: dict[str, wire.Assign] = {}
        self._hello: dict[str, Any] = {}
        self._beats = 0

    # What it was told

    def hears(self, message: wire.DownMessage) -> None:
        self.inbox.append(message)
        if isinstance(message, wire.Assign):
            self._given[message.id] = message

    def took(self, kind: type[Message]) -> list[Message]:
        """Take the messages of a kind out of the inbox."""
        taken: list[Message] = [each for each in self.inbox if isinstance(each, kind)]
        self.inbox = [message for message in self.inbox if not isinstance(message, kind)]
        return taken

    def tasks(self) -> list[str]:
        """The tasks that it was given since it was asked last, in order."""
        return [message.id for message in self.took(wire.Assign)]

    def fence(self, task: str) -> int:
        """The fence of the last assignment of a task that it was given."""
        return self._given[task].f

    def given(self, task: str) -> wire.Assign:
        """The last assignment of a task that it was given."""
        return self._given[task]

    def verdicts(self) -> list[str]:
        """What the last welcome said of each claim."""
        return [verdict for _, _, verdict in self.took(wire.Welcome)[-1].run]

    def done(self) -> list[str]:
        """What became of its results and releases, in order."""
        return [outcome for done in self.took(wire.Done) for _, _, outcome in done.r]

    def revoked(self) -> list[str]:
        """Why it was told to stop, each time."""
        return [message.why for message in self.took(wire.Revoke)]

    def acknowledged(self) -> wire.HeartbeatAck:
        """The answer to its last heartbeat."""
        return self.took(wire.HeartbeatAck)[-1]

    # What it says

    def says(self, message: wire.UpMessage) -> None:
        self.world.happen(events.Heard(self.id, self.boot, message))

    def hello(self, **fields: Any) -> None:
        """Say hello: as the last time, but for what is named, and without its claims."""
        said = {"w": self.id, "hb": True, **self._hello, **fields}
        said.setdefault("free", said.get("cap", 1))
        self._hello = {name: value for name, value in said.items() if name not in ("run", "free")}
        self.says(wire.Hello(**said))

    def beats(self, *tasks: str, free: int | None = None, **fields: Any) -> None:
        """Send a heartbeat that lists these of the tasks it was given."""
        self._beats += 1
        run = [(task, self.fence(task)) for task in tasks]
        if free is None:
            free = max(0, self._hello.get("cap", 1) - len(run))
        self.says(wire.Heartbeat(self._beats, free, run, **fields))

    def accepts(self, task: str) -> None:
        self.says(wire.Accept(task, self.fence(task)))

    def rejects(self, task: str, why: str = "busy", after_ms: int = 0) -> None:
        self.says(wire.Reject(task, self.fence(task), why, after_ms))

    def progresses(self, task: str, s: int = 0, pct: float | None = None, **fields: Any) -> None:
        self.says(wire.ProgressReport(task, self.fence(task), s, pct, **fields))

    def succeeds(self, task: str, value: Any = None, fence: int | None = None) -> None:
        raw = Raw(msgspec.json.encode(value))
        self.says(wire.Result(task, fence or self.fence(task), val=raw))

    def fails(self, task: str, error: str = "Oops", **fields: Any) -> None:
        fault = wire.ResultError(error, **fields)
        self.says(wire.Result(task, self.fence(task), ok=False, err=fault))

    def releases(self, task: str, checkpoint: Any = None) -> None:
        ck = None if checkpoint is None else Raw(msgspec.json.encode(checkpoint))
        self.says(wire.Released(task, self.fence(task), ck))

    def leaves(self, *, lost: bool = True) -> None:
        """Its connection ends."""
        self.world.happen(events.Left(self.id, self.boot, lost))
