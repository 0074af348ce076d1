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
from callboard_scheduler.core import Core, actions
from callboard_scheduler.transports import Sent, Transport
from callboard_scheduler.wire import Assign, DownMessage, Update

logger = logging.getLogger("callboard.scheduler")

#: What an envelope and a message need beside arguments.
_HEAD_BYTES: Final = 700
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
        call_soon: Callable[[Callable[[], None]], object],
        internal: Callable[[DownMessage], None],
    ) -> None:
        """``address`` stands before the paths of large values.

        ``internal`` takes messages for the scheduler's own worker.
        """
        self._core = core
        self._transport = transport
        self._prefix = names.worker_prefix(namespace)
        self._secret = secret
        self._address = address
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
        limit = self._transport.profile.limits.bytes
        inline = self._transport.profile.inline_bytes
        for i, message in enumerate(messages):
            if isinstance(message, Assign):
                messages[i] = self._addressed(message, inline)  # type: ignore[index]
            elif isinstance(message, Update):
                messages[i] = self._shortened(message, inline)  # type: ignore[index]
        data = self._encode(worker, messages)
        if len(data) <= limit or len(messages) == 1:
            self._hand_over(worker, data)
            return
        middle = len(messages) // 2
        self._send(worker, messages[:middle])
        self._send(worker, messages[middle:])

    def _encode(self, worker: str, messages: Sequence[DownMessage]) -> str:
        n = self._said[worker] = self._said.get(worker, 0) + 1
        return wire.encode_down(self._core.term, n, messages)

    def _hand_over(self, worker: str, data: str) -> None:
        sent = self._transport.send(self._prefix + worker, names.DOWN_EVENT, data)
        if sent is Sent.REFUSED:
            logger.warning("a message to a worker was refused worker=%s", worker)

    def _addressed(self, message: Assign, inline: int) -> Assign:
        """Return the assignment with the paths for what does not go along."""
        args = message.args
        ref = None
        if args is not None and len(memoryview(args)) > inline:
            args, ref = None, self._path(message.id, message.f, blobs.BlobKind.ARGS)
        put_url = self._path(message.id, message.f, blobs.BlobKind.RESULT)
        return msgspec.structs.replace(message, args=args, ref=ref, put_url=put_url)

    def _shortened(self, message: Update, inline: int) -> Update:
        if message.args is None or len(memoryview(message.args)) <= inline:
            return message
        ref = self._path(message.id, message.f, blobs.BlobKind.ARGS)
        return msgspec.structs.replace(message, args=None, ref=ref)

    def _path(self, task_id: str, fence: int, kind: blobs.BlobKind) -> str:
        expires = self._core.now.wall // 1000 + _PATH_SECONDS
        app = self._core.app
        return self._address + blobs.blob_path(self._secret, app, task_id, fence, kind, expires)
