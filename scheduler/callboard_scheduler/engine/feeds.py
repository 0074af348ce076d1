"""What any Pusher client can watch: the feed of a task, of a queue, of the fleet.

Nothing is published where nobody looks, if the service can tell. Whoever comes then is shown the
present state at once, and the feeds being cache channels, so is whoever comes later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from callboard_scheduler import names
from callboard_scheduler.core import Core, actions
from callboard_scheduler.core.model import summary
from callboard_scheduler.core.workers import WorkerState
from callboard_scheduler.states import TERMINAL
from callboard_scheduler.stores import StoredTask, StoreError
from callboard_scheduler.transports import Transport

logger = logging.getLogger("callboard.scheduler")

#: Shortest time between two publishes of numbers.
_NUMBERS_SECONDS: Final = 1.0

#: What users' code decides the size of.
_VALUES: Final = ("result", "progress", "data", "msg", "txt", "error")

_encoder = msgspec.json.Encoder()


class Feeds:
    """One app's feeds."""

    def __init__(
        self,
        core: Core,
        transport: Transport,
        *,
        namespace: str,
        find: Callable[[str], Awaitable[StoredTask | None]],
    ) -> None:
        """``find`` looks up a task that is not live any more."""
        self._core = core
        self._transport = transport
        self._task_prefix = names.task_channel(namespace, "")
        self._queue_prefix = names.queue_channel(namespace, "")
        self._fleet = names.fleet_channel(namespace)
        self._find = find
        self._shown: dict[str, bytes] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._lookups: set[asyncio.Task[None]] = set()
        self._stopped = False

    def announce(self, action: actions.Announce) -> None:
        """Publish an event on a task's feed, if anybody may be watching."""
        channel = self._task_prefix + action.task
        if self._transport.watched(channel) is not False:
            self._send(channel, action.event, action.data)

    def watching(self, channel: str) -> None:
        """Show somebody who has come what there is to see."""
        if self._stopped:
            return
        if channel.startswith(self._task_prefix):
            task_id = channel.removeprefix(self._task_prefix)
            lookup = asyncio.get_running_loop().create_task(self._show_task(channel, task_id))
            self._lookups.add(lookup)
            lookup.add_done_callback(self._lookups.discard)
        elif channel.startswith(self._queue_prefix) or channel == self._fleet:
            if channel in self._shown:
                # The service has kept them for whoever comes, if not for ever.
                self._shown[channel] = b""
            else:
                self._show_numbers(channel)
            self._again()

    async def stop(self) -> None:
        """Publish nothing more by itself. Safe to call twice."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for lookup in self._lookups:
            lookup.cancel()
        await asyncio.gather(*self._lookups, return_exceptions=True)

    async def _show_task(self, channel: str, task_id: str) -> None:
        task = self._core.tasks.get(task_id)
        if task is None:
            try:
                stored = await self._find(task_id)
            except StoreError as error:
                logger.warning("a task cannot be shown task=%r: %s", task_id[:100], error)
                return
            if stored is None:
                return
            task = self._core.tasks.get(task_id, stored.task)
        # One that has ended and is not stored so is told when it is.
        event = "result" if task.state in TERMINAL else "state"
        self._send(channel, event, {"id": task_id, **summary(task)})

    def _send(self, channel: str, event: str, data: dict[str, Any]) -> None:
        text = _encoder.encode(data)
        if len(text) > self._transport.profile.limits.bytes:
            # Too large for an event: whoever wants it reads the record.
            left_out = [name for name in _VALUES if data.get(name) is not None]
            small = {name: value for name, value in data.items() if name not in _VALUES}
            text = _encoder.encode({**small, "left_out": left_out})
        self._transport.send(channel, event, text.decode())

    # Numbers

    def _again(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_NUMBERS_SECONDS, self._renew)

    def _renew(self) -> None:
        self._timer = None
        for channel in list(self._shown):
            if self._transport.watched(channel) is False:
                del self._shown[channel]
            else:
                self._show_numbers(channel)
        if self._shown:
            self._again()

    def _show_numbers(self, channel: str) -> None:
        """Publish the numbers of a queue or the fleet, if they are not what they were."""
        fleet = channel == self._fleet
        data = (
            fleet_numbers(self._core)
            if fleet
            else queue_numbers(self._core, channel.removeprefix(self._queue_prefix))
        )
        text = _encoder.encode(data)
        if self._shown.get(channel) != text:
            self._shown[channel] = text
            self._transport.send(channel, "fleet" if fleet else "stats", text.decode())


def queue_numbers(core: Core, name: str) -> dict[str, Any]:
    """Return how much is in a queue, and who serves it."""
    queue = core.queues.get(name)
    serving = [worker for worker in core.workers.values() if name in worker.queues]
    counts = queue.counts if queue is not None else {}
    return {
        "name": name,
        "paused": queue is not None and queue.paused,
        **{state.value: n for state, n in counts.items()},
        "workers": len(serving),
        "free": sum(worker.free for worker in serving if worker.connected),
    }


def fleet_numbers(core: Core) -> dict[str, Any]:
    """Return how many workers there are in each state, and their slots."""
    workers = [worker for worker in core.workers.values() if not worker.internal]
    counts = dict.fromkeys((state.value for state in WorkerState), 0)
    for worker in workers:
        counts[worker.state.value] += 1
    return {
        **counts,
        "workers": len(workers),
        "slots": sum(worker.cap for worker in workers),
        "free": sum(worker.free for worker in workers if worker.connected),
        "running": sum(len(worker.held) for worker in workers),
    }
