"""Messages to workers: those of one loop turn leave together, in order, as one event each worker.

What is too large for the service goes by reference: arguments are fetched by the worker from a
signed path, and large results are put to one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from callboard_scheduler import blobs, names, wire
from callboard_scheduler.clock import Clock
from callboard_scheduler.core import Core, actions
from callboard_scheduler.transports import Sent, Transport
from callboard_scheduler.wire import Assign, DownMessage, Update

logger = logging.getLogger("callboard.scheduler")

#: How long a signed path is good for beyond the attempt itself.
_PATH_SECONDS: Final = 86_400


class Outgoing:
    """One app's messages to its workers."""

    def __init__(
        self,
        core: Core,
        transport: Transport,
        *,
        namespace: str,
        secret: str,
        address: str,
        clock: Clock,
        call_soon: Callable[[Callable[[], None]], object],
        internal: Callable[[DownMessage], None],
    ) -> None:
        """``address`` stands before the paths of large values, which expire by ``clock``.

        ``internal`` takes messages for the scheduler's own worker.
        """
        self._core = core
        self._transport = transport
        self._prefix = names.worker_prefix(namespace)
        self._secret = secret
        self._address = address
        self._clock = clock
        self._call_soon = call_soon
        self._internal = internal
        self._pending: dict[str, list[DownMessage]] = {}
        self._said: dict[str, int] = {}

    def tell(self, action: actions.Tell) -> None:
        """Send a message at the end of the loop's turn."""
        pending = self._pending
        if not pending:
            self._call_soon(self.flush)
        messages = pending.get(action.worker)
        if messages is None:
            pending[action.worker] = [action.message]
        else:
            messages.append(action.message)

    def forget(self, worker: str) -> None:
        """Count anew for a worker that comes back."""
        self._said.pop(worker, None)

    def flush(self) -> None:
        """Send everything that waits."""
        pending, self._pending = self._pending, {}
        for worker_id, messages in pending.items():
            worker = self._core.workers.get(worker_id)
            if worker is not None and worker.internal:
                for message in messages:
                    self._internal(message)
            else:
                self._send(worker_id, messages)

    def cut_off(self, worker: str) -> None:
        """Disconnect whoever is on the worker's channel."""
        self._transport.disconnect(self._prefix + worker)

    def _send(self, worker: str, messages: Sequence[DownMessage]) -> None:
        self._send_in_parts(worker, [self._addressed(message) for message in messages])

    def _send_in_parts(self, worker: str, messages: Sequence[DownMessage]) -> None:
        limit = self._transport.profile.limits.bytes
        n = self._said.get(worker, 0) + 1
        data = wire.encode_down(self._core.term, n, messages)
        if _bytes_of(data) > limit:
            if len(messages) > 1:
                middle = len(messages) // 2
                self._send_in_parts(worker, messages[:middle])
                self._send_in_parts(worker, messages[middle:])
                return
            smaller = self._smaller(messages[0])
            if smaller is not None:
                self._send_in_parts(worker, [smaller])
                return
        sent = self._transport.send(self._prefix + worker, names.DOWN_EVENT, data)
        if sent is Sent.OK:
            self._said[worker] = n
        elif sent is Sent.REFUSED:
            logger.warning("a message to a worker was refused worker=%s", worker)

    def _addressed(self, message: DownMessage) -> DownMessage:
        """Return the message with the paths for what does not go along."""
        if not isinstance(message, Assign | Update):
            return message
        args = message.args
        if args is not None and len(memoryview(args)) > self._transport.profile.inline_bytes:
            message = self._by_reference(message)
        if isinstance(message, Update):
            return message
        put_url = self._path(message.id, message.f, blobs.BlobKind.RESULT)
        return msgspec.structs.replace(message, put_url=put_url)

    def _by_reference(self, message: Assign | Update) -> Assign | Update:
        ref = self._path(message.id, message.f, blobs.BlobKind.ARGS)
        return msgspec.structs.replace(message, args=None, ref=ref)

    def _smaller(self, message: DownMessage) -> DownMessage | None:
        """Return the message with less in it, None if nothing can be left out."""
        if isinstance(message, Assign | Update) and message.args is not None:
            return self._by_reference(message)
        if isinstance(message, Assign) and message.ck is not None:
            # From the beginning is better than never.
            logger.warning("a checkpoint is too large to be sent along task=%s", message.id)
            return msgspec.structs.replace(message, ck=None)
        return None

    def _path(self, task_id: str, fence: int, kind: blobs.BlobKind) -> str:
        expires = self._clock.wall_ms() // 1000 + _PATH_SECONDS
        app = self._core.app
        return self._address + blobs.blob_path(self._secret, app, task_id, fence, kind, expires)


def _bytes_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
