"""The life of a task: every state, everything that can happen to it, and where that leads.

1. What is not in :data:`TRANSITIONS` does not happen; :func:`check` holds the core to it.
2. A trigger with several ends is decided by the core: the table says which ends are legal.
3. Terminal states are left by ``REQUEUE`` alone, which begins a new generation of the task.

``None`` is a task that does not exist yet. The numbers are those of docs/scheduler.md.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final


class State(enum.Enum):
    """Where a task is; the value is what the API, the feeds and the store say."""

    # A member is itself and nothing else; Enum's own hash is that of its name, in Python.
    __hash__ = object.__hash__

    BLOCKED = "blocked"
    SCHEDULED = "scheduled"
    READY = "ready"
    #: Sent to a worker that has not been heard about it.
    ASSIGNED = "assigned"
    RUNNING = "running"
    #: The worker was told to stop.
    STOPPING = "stopping"
    SUCCEEDED = "succeeded"
    DEAD = "dead"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Trigger(enum.Enum):
    """What moves a task."""

    __hash__ = object.__hash__

    SUBMIT = "submit"
    DEPENDENCIES_MET = "dependencies met"
    DEPENDENCY_FAILED = "a dependency ended badly"
    DUE = "due"
    ASSIGN = "assign"
    HEARD = "heard of"
    #: Rejected, never answered, or its worker was lost before it was heard of.
    HANDED_BACK = "handed back"
    SUCCEED = "succeed"
    FAIL = "fail"
    LOSE_WORKER = "lose worker"
    CANCEL = "cancel"
    STOP = "stop"
    #: What was being stopped has stopped, or its time to do so is over.
    STOPPED = "stopped"
    EXPIRE = "expire"
    UPDATE = "update"
    #: A result by the last lost assignment, while nobody else has been heard.
    LATE_RESULT = "late result"
    #: A worker still holds an assignment whose record was lost with a crash.
    REMEMBER = "remember"
    REQUEUE = "requeue"


#: Not finished.
LIVE: Final = frozenset(
    {
        State.BLOCKED,
        State.SCHEDULED,
        State.READY,
        State.ASSIGNED,
        State.RUNNING,
        State.STOPPING,
    }
)
#: Waiting, in nobody's hands.
WAITING: Final = frozenset({State.BLOCKED, State.SCHEDULED, State.READY})
#: In a worker's hands; these count against a limit.
HELD: Final = frozenset({State.ASSIGNED, State.RUNNING, State.STOPPING})
TERMINAL: Final = frozenset(State) - LIVE
#: Ends that a dependent task must not wait for.
BAD: Final = TERMINAL - {State.SUCCEEDED}

_BEGIN: Final = frozenset({State.BLOCKED, State.SCHEDULED, State.READY})
_AGAIN: Final = frozenset({State.SCHEDULED, State.READY})


def _to(*states: State) -> frozenset[State]:
    return frozenset(states)


TRANSITIONS: Final[Mapping[State | None, Mapping[Trigger, frozenset[State]]]] = {
    None: {Trigger.SUBMIT: _BEGIN},  # 1
    State.BLOCKED: {
        Trigger.DEPENDENCIES_MET: _AGAIN,  # 2
        Trigger.DEPENDENCY_FAILED: _to(State.CANCELLED),  # 3
        Trigger.CANCEL: _to(State.CANCELLED),  # 13
        Trigger.EXPIRE: _to(State.EXPIRED),  # 19
        Trigger.UPDATE: _BEGIN,  # 20
    },
    State.SCHEDULED: {
        Trigger.DUE: _to(State.READY),  # 4
        Trigger.CANCEL: _to(State.CANCELLED),  # 13
        Trigger.EXPIRE: _to(State.EXPIRED),  # 19
        Trigger.UPDATE: _BEGIN,  # 20
        Trigger.LATE_RESULT: _to(State.SUCCEEDED),  # 21
    },
    State.READY: {
        Trigger.ASSIGN: _to(State.ASSIGNED),  # 5
        Trigger.CANCEL: _to(State.CANCELLED),  # 13
        Trigger.EXPIRE: _to(State.EXPIRED),  # 19
        Trigger.UPDATE: _BEGIN,  # 20
        Trigger.LATE_RESULT: _to(State.SUCCEEDED),  # 21
        Trigger.REMEMBER: _to(State.RUNNING),  # 23
    },
    State.ASSIGNED: {
        Trigger.HEARD: _to(State.RUNNING),  # 6
        Trigger.HANDED_BACK: _AGAIN,  # 7
        Trigger.LOSE_WORKER: _to(State.DEAD),  # 12, too often in a row
        Trigger.STOP: _to(State.STOPPING),  # 14
        Trigger.LATE_RESULT: _to(State.SUCCEEDED),  # 21
    },
    State.RUNNING: {
        Trigger.SUCCEED: _to(State.SUCCEEDED),  # 8
        Trigger.FAIL: _to(State.SCHEDULED, State.READY, State.DEAD),  # 9, 10
        Trigger.LOSE_WORKER: _to(State.READY, State.DEAD),  # 11, 12
        Trigger.HANDED_BACK: _AGAIN,  # 7
        Trigger.STOP: _to(State.STOPPING),  # 14
    },
    State.STOPPING: {
        Trigger.STOPPED: _to(  # 15, 16, 17
            State.CANCELLED, State.READY, State.SCHEDULED, State.DEAD
        ),
        Trigger.SUCCEED: _to(State.SUCCEEDED),  # 18
        Trigger.STOP: _to(State.STOPPING),
    },
    **{state: {Trigger.REQUEUE: _to(State.READY)} for state in State if state in TERMINAL},  # 22
}


class IllegalMove(AssertionError):
    """The core tried what the table does not have: a defect, never a user's mistake."""


def check(before: State | None, trigger: Trigger, after: State) -> None:
    """Raise IllegalMove unless ``trigger`` may lead from ``before`` to ``after``."""
    if after not in TRANSITIONS[before].get(trigger, ()):
        name = before.value if before else "nothing"
        raise IllegalMove(f"{trigger.value!r} does not lead from {name} to {after.value}")
