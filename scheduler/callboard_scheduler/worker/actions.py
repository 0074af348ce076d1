"""What a session asks of whoever runs it."""

from __future__ import annotations

import msgspec

from callboard_scheduler.wire import Assign, Update


class Start(msgspec.Struct, frozen=True):
    """Run this; its slot is taken until the end is reported."""

    given: Assign


class Stop(msgspec.Struct, frozen=True):
    """End what runs under this fence."""

    fence: int
    why: str


class Change(msgspec.Struct, frozen=True):
    """Tell the function that its task was changed."""

    update: Update


class Withdraw(msgspec.Struct, frozen=True):
    """Give this back unless its function has begun."""

    fence: int


class Probe(msgspec.Struct, frozen=True):
    """Ask the loop of the functions for a sign that it moves."""


class Blocked(msgspec.Struct, frozen=True):
    """The loop of the functions does not move."""


class Drain(msgspec.Struct, frozen=True):
    """The scheduler wants this worker to leave."""

    within_ms: int


class Refuse(msgspec.Struct, frozen=True):
    """The scheduler does not take this worker."""

    why: str


class Welcomed(msgspec.Struct, frozen=True):
    """The scheduler knows this worker."""


Action = Start | Stop | Withdraw | Change | Probe | Blocked | Drain | Refuse | Welcomed
