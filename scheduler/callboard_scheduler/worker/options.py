"""What a worker says of itself, checked before anything connects."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from callboard_protocol.channels import channel_name_fault
from callboard_scheduler import names
from callboard_scheduler.errors import BadField
from callboard_scheduler.fields import identifier
from callboard_scheduler.records import DEFAULT_NAMESPACE, DEFAULT_QUEUE

#: Names a default id may be made of; anything else in a host's name becomes a dash.
_UNUSUAL: Final = re.compile(r"[^A-Za-z0-9_\-]+")
_HOST_CHARACTERS: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A worker's identity and capacity.

    Raises:
        ValueError: a value that no scheduler would take; the text says what was expected.
    """

    #: Names of the queues it takes tasks from.
    queues: Sequence[str] = (DEFAULT_QUEUE,)
    #: How many tasks it runs at a time.
    slots: int = 1
    #: What it is called, unique among running workers; None: host, process and chance.
    id: str | None = None
    #: What a task's ``target`` may ask for: strings, numbers, booleans.
    labels: Mapping[str, Any] = field(default_factory=dict)
    namespace: str = DEFAULT_NAMESPACE
    pool: str = "default"
    #: Whether its tasks stay its own while it reconnects. If not, they run elsewhere at once.
    resume: bool = False

    def __post_init__(self) -> None:
        # A bare string would be taken for a queue per letter.
        if isinstance(self.queues, str) or not self.queues:
            raise ValueError(f"queues must be a list of at least one name, got {self.queues!r}")
        if not all(isinstance(queue, str) for queue in self.queues):
            raise ValueError(f"queues must be a list of names, got {self.queues!r}")
        try:
            # Any other may be asked for, but nobody could submit to it.
            for queue in self.queues:
                identifier("queues", queue)
        except BadField as error:
            raise ValueError(f"queues must be a list of names: {error.text}") from None
        if isinstance(self.slots, bool) or not isinstance(self.slots, int) or self.slots < 1:
            raise ValueError(f"slots must be a whole number of 1 or more, got {self.slots!r}")
        if "." in self.namespace or not self.namespace:
            raise ValueError(f"namespace must be a name without dots, got {self.namespace!r}")
        if not self.pool:
            raise ValueError("pool must be a name, got an empty one")
        if fault := channel_name_fault(names.pool_channel(self.namespace, self.pool)):
            raise ValueError(f"pool {self.pool!r} cannot be part of a channel's name: {fault}")
        try:
            msgspec.json.encode(self.labels)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"labels must be JSON values: {error}") from None
        if self.id is not None:
            self.channel(self.id)

    def channel(self, worker_id: str) -> str:
        """Return the channel of a worker with this id.

        Raises:
            ValueError: no channel can be called so.
        """
        channel = names.worker_channel(self.namespace, worker_id)
        if fault := channel_name_fault(channel) or ("" if worker_id else "it is empty"):
            raise ValueError(f"id {worker_id!r} cannot be part of a channel's name: {fault}")
        return channel


def default_id(host: str, pid: int, chance: str) -> str:
    """Return an id that tells people where the worker runs."""
    return f"{_UNUSUAL.sub('-', host)[:_HOST_CHARACTERS] or 'worker'}-{pid}-{chance}"
