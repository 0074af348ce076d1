"""What the core asks for: first the changes to store, then these, in order.

``after_commit`` holds an action back until the changes of its step survive a power cut. If they
do not, it does not happen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from callboard_scheduler.stores import Change
from callboard_scheduler.wire import DownMessage


class Action(msgspec.Struct, gc=False):
    """Something to be done."""


class Tell(Action):
    """Send a message to a worker."""

    worker: str
    message: DownMessage
    after_commit: bool = False


class Announce(Action):
    """Publish an event on a task's feed."""

    task: str
    event: str
    data: dict[str, Any]
    after_commit: bool = False


class Answer(Action):
    """Answer a request: a value, or a SchedulerError to be raised."""

    ticket: int
    value: Any
    after_commit: bool = False


class CutOff(Action):
    """Disconnect whoever is on a worker's channel."""

    worker: str


class Turn(msgspec.Struct, gc=False):
    """What one step leads to."""

    changes: Sequence[Change]
    actions: Sequence[Action]

    @property
    def gated(self) -> bool:
        """Whether an action waits for the commit."""
        return any(getattr(action, "after_commit", False) for action in self.actions)
