"""A worker's session whose time, connection and scheduler are the test's."""

from __future__ import annotations

import itertools
from typing import Any, Final, TypeVar

from callboard_scheduler import wire
from callboard_scheduler.records import Raw
from callboard_scheduler.worker.actions import Action, Probe, Start, Stop, Withdraw
from callboard_scheduler.worker.phases import Phase
from callboard_scheduler.worker.session import Session
from callboard_scheduler.worker.work import Work

BOOT: Final = "boot"
LIMITS: Final = wire.Limits(bytes=2_000, rate=50)

Message = TypeVar("Message", bound=wire.UpMessage)


class Harness:
    """A session of worker ``w`` with ``slots`` slots; nothing is said before :meth:`speak`.

    Its functions begin at once, and its loop answers, until it is ``blocked``. Whether the loop
    moves is only looked at if it is ``watched``.
    """

    def __init__(
        self, slots: int = 2, names: list[str] | None = None, *, watched: bool = False
    ) -> None:
        hello = wire.Hello(w="w", cap=slots, free=slots, names=names, hb=True)
        self.now = 100.0
        self.session = Session(
            hello, BOOT, self.now, jitter=lambda: 0.5, token=lambda: "token", loop_needed=watched
        )
        self.blocked = False
        #: The fences of those that wait for the loop.
        self.waiting: list[int] = []
        #: Those of them that never began.
        self.dropped: list[int] = []
        self.term = 1
        self.fence = 0
        self.sessions = 0
        self.actions: list[Action] = []
        #: The size of each event's data that was sent, and when.
        self.sent: list[tuple[float, int]] = []
        #: Every message that was said, and when.
        self.said: list[tuple[float, wire.UpMessage]] = []

    @property
    def work(self) -> Work:
        return self.session.work

    # The worker's side

    def speak(self) -> list[wire.UpMessage]:
        """Return what the session says now, having noted what it wants to be done."""
        self.session.tick(self.now)
        self.speak_actions()
        said: list[wire.UpMessage] = []
        for data in self.session.outgoing(self.now):
            self.sent.append((self.now, len(data.encode())))
            said += wire.decode_up(data).m
        self.said += [(self.now, message) for message in said]
        return said

    def pauses(self, kind: type[Any]) -> list[float]:
        """Return the seconds between messages of a kind that follow one another."""
        times = [at for at, message in self.said if isinstance(message, kind)]
        return [round(later - earlier, 3) for earlier, later in itertools.pairwise(times)]

    def skip(self, seconds: float) -> list[wire.UpMessage]:
        """Let time pass, deadline by deadline, and return what is said meanwhile."""
        end = self.now + seconds
        said = self.speak()
        while (deadline := self.session.deadline) <= end:
            self.now = max(self.now, deadline)
            said += self.speak()
            assert self.session.deadline > self.now, "it does not come to rest"
        self.now = end
        return said + self.speak()

    def took(self, kind: type[Any]) -> list[Any]:
        """Return the actions of a kind since the last call."""
        self.speak_actions()
        taken = [action for action in self.actions if isinstance(action, kind)]
        self.actions = [action for action in self.actions if not isinstance(action, kind)]
        return taken

    def speak_actions(self) -> None:
        """Note what the session wants to be done, and do what functions and their loop do."""
        actions = self.session.take_actions()
        self.actions += actions
        for action in actions:
            match action:
                case Start(given) if self.blocked:
                    self.waiting.append(given.f)
                case Start(given):
                    self.work.begun(given.f, self.now)
                case Stop(fence) if fence in self.waiting:
                    self._drop(fence)
                    self.work.failed(fence, wire.ResultError("CancelledError"), self.now)
                case Withdraw(fence) if fence in self.waiting:
                    self._drop(fence)
                    self.work.withdrawn(fence)
                case Probe() if not self.blocked:
                    self.session.moved(self.now)

    def _drop(self, fence: int) -> None:
        self.waiting.remove(fence)
        self.dropped.append(fence)

    def move(self) -> None:
        """Let the loop move again, and come to what waits for it."""
        self.blocked = False
        self.session.moved(self.now)
        while self.waiting:
            self.work.begun(self.waiting.pop(0), self.now)

    @property
    def started(self) -> list[int]:
        """The fences that were to be started since the last call."""
        return [action.given.f for action in self.took(Start)]

    @property
    def stopped(self) -> list[tuple[int, str]]:
        """The fences that were to be stopped since the last call, and why."""
        return [(action.fence, action.why) for action in self.took(Stop)]

    # The scheduler's side

    def hear(self, *messages: wire.DownMessage, term: int | None = None) -> None:
        self.session.received(
            wire.encode_down(self.term if term is None else term, 0, messages), self.now
        )

    def welcome(self, **changes: Any) -> wire.Welcome:
        self.sessions += 1
        fields = {
            "sid": f"s{self.sessions}",
            "boot": BOOT,
            "hb_ms": 3_000,
            "lease_ms": 10_000,
            "grace_ms": 1_500,
            "lim": LIMITS,
        }
        return wire.Welcome(**{**fields, **changes})

    def open(self, **changes: Any) -> None:
        """Subscribe, be greeted, and be welcomed."""
        self.session.subscribed(self.now)
        assert any(isinstance(message, wire.Hello) for message in self.skip(1))
        self.hear(self.welcome(**changes))
        assert self.session.phase is Phase.OPEN

    def assign(self, name: str = "work", **fields: Any) -> wire.Assign:
        """Hear of a new task."""
        self.fence += 1
        given = wire.Assign(
            **{"id": f"t{self.fence}", "f": self.fence, "att": 1, "name": name, **fields}
        )
        self.hear(given)
        self.speak_actions()
        return given

    def finish(self, given: wire.Assign, value: str = "null") -> None:
        self.work.succeeded(given.f, Raw(value.encode()), False, self.now)

    def record(self, given: wire.Assign) -> None:
        self.hear(wire.Done([(given.id, given.f, "recorded")]))


def only(kind: type[Message], said: list[wire.UpMessage]) -> list[Message]:
    """Return what is of one kind."""
    return [message for message in said if isinstance(message, kind)]
