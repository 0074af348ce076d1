"""What the transport tells of workers, made into events of the core.

A worker's channel is its identity; its process is told by ``boot``. Two connections may be on one
channel for a moment, when a process is restarted: the end of a connection counts for the process
that was last heard on it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, MutableMapping
from typing import Final

import msgspec

from callboard_scheduler import names, wire
from callboard_scheduler.clock import Clock
from callboard_scheduler.core import actions, events
from callboard_scheduler.engine.driver import Driver
from callboard_scheduler.engine.outgoing import Outgoing
from callboard_scheduler.errors import BadToken
from callboard_scheduler.tokens import WorkerGrant, verify
from callboard_scheduler.transports import Cause

logger = logging.getLogger("callboard.scheduler")

#: Faults of workers that are logged, until so many others were.
_LOGGED_FAULTS: Final = 100
#: Grants kept of connections that are not on their channel; a token may be for any number of
#: workers that never come.
_MOST_GRANTS: Final = 20_000


class _Forbidden(Exception):
    """A worker may not have what it asks for."""


class Incoming:
    """Implements :class:`~callboard_scheduler.transports.Listener`."""

    def __init__(
        self,
        driver: Driver,
        outgoing: Outgoing,
        clock: Clock,
        *,
        namespace: str,
        secret: str,
        watching: Callable[[str], None],
        values: MutableMapping[tuple[str, int], msgspec.Raw],
        hears_late: bool,
    ) -> None:
        """``values`` are large results that were put, by task and fence.

        ``hears_late`` as the transport says.
        """
        self._driver = driver
        self._outgoing = outgoing
        self._clock = clock
        self._prefix = names.worker_prefix(namespace)
        self._namespace = namespace
        self._secret = secret
        self._watching = watching
        self._values = values
        self._hears_late = hears_late
        #: Worker to the process last heard on each of its connections.
        self._boots: dict[str, dict[str, str]] = {}
        #: Worker and connection to what it may be given, for as long as it is on its channel.
        self._grants: dict[tuple[str, str], WorkerGrant] = {}
        #: The same of connections that may come: a signature is good as long as its connection.
        self._offered: dict[tuple[str, str], WorkerGrant] = {}
        #: Worker and process to the grant that its last hello was held to.
        self._held: dict[tuple[str, str], WorkerGrant] = {}
        #: Whether one had to be forgotten that may still be used.
        self._forgetful = False
        self._faults = 0

    def granted(self, worker_id: str, socket_id: str, grant: WorkerGrant) -> None:
        """Hold a connection to a grant from its next hello on: its channel is opened with it."""
        connection = self._connection(worker_id, socket_id)
        if connection in self._grants:
            self._grants[connection] = grant
        else:
            self._offer(connection, grant)

    def _offer(self, connection: tuple[str, str], grant: WorkerGrant) -> None:
        # The newest are those whose hello is still to come.
        self._offered.pop(connection, None)
        while len(self._offered) >= _MOST_GRANTS:
            del self._offered[next(iter(self._offered))]
            self._forgetful = True
        self._offered[connection] = grant

    def _connection(self, worker_id: str, socket_id: str) -> tuple[str, str]:
        # A service elsewhere does not say on which connection a worker is.
        return worker_id, "" if self._hears_late else socket_id

    def received(self, channel: str, socket_id: str, data: str) -> None:
        """A worker sent an event on its channel."""
        worker_id = channel.removeprefix(self._prefix)
        try:
            envelope = wire.decode_up(data)
        except wire.BadEnvelope as error:
            self._note(worker_id, str(error))
            return
        boots = self._boots.setdefault(worker_id, {})
        if boots.get(socket_id) != envelope.boot:
            # A process has one connection: the one that it was heard on last.
            for other in [each for each, boot in boots.items() if boot == envelope.boot]:
                del boots[other]
            self._held.pop((worker_id, boots.get(socket_id, "")), None)
            boots[socket_id] = envelope.boot
        for message in envelope.m:
            taken: wire.UpMessage | None = message
            if isinstance(message, wire.Hello):
                taken = self._held_to_grant(worker_id, socket_id, envelope.boot, message)
            elif isinstance(message, wire.Capacity) and message.q is not None:
                taken = self._within_grant(worker_id, envelope.boot, message)
            elif isinstance(message, wire.Result) and message.ref:
                taken = self._with_value(message)
            if taken is not None:
                self._driver.happen(events.Heard(worker_id, envelope.boot, taken))

    def joined(self, channel: str, socket_id: str) -> None:
        """Somebody subscribed to a worker's channel, and will say hello, or has."""
        worker_id = channel.removeprefix(self._prefix)
        connection = self._connection(worker_id, socket_id)
        if (grant := self._offered.pop(connection, None)) is not None:
            self._grants[connection] = grant
        heard = self._boots.setdefault(worker_id, {}).setdefault(socket_id, "")
        if self._hears_late and not heard:
            self._outgoing.tell(actions.Tell(worker_id, wire.Resync()))

    def left(self, channel: str, socket_id: str, cause: Cause) -> None:
        """A connection has left a worker's channel."""
        worker_id = channel.removeprefix(self._prefix)
        connection = self._connection(worker_id, socket_id)
        grant = self._grants.pop(connection, None)
        # Who has only left may come back with the same signature; elsewhere nobody can tell.
        if grant is not None and (self._hears_late or cause is Cause.UNSUBSCRIBED):
            self._offer(connection, grant)
        boots = self._boots.get(worker_id, {})
        boot = boots.pop(socket_id, "")
        if not boots:
            self._boots.pop(worker_id, None)
            self._outgoing.forget(worker_id)
        if boot:
            self._held.pop((worker_id, boot), None)
            lost = cause is Cause.DISCONNECTED
            self._driver.happen(events.Left(worker_id, boot, lost))

    def watching(self, channel: str) -> None:
        """Somebody subscribed to a feed."""
        self._watching(channel)

    def deaf(self) -> None:
        """Nothing is heard any more."""
        self._driver.be_deaf()

    def hearing(self) -> None:
        """What happens is heard again."""
        self._driver.hear()

    def _with_value(self, result: wire.Result) -> wire.Result | None:
        """Return the result with the value that was put for it; until then it is not one."""
        value = self._values.pop((result.id, result.f), None)
        if value is not None:
            return msgspec.structs.replace(result, val=value, ref=False)
        assignment = self._driver.core.assignments.get(result.id)
        if assignment is not None and assignment.fence == result.f:
            return None
        # Without its value it is no late success either, and the worker hears that it is over.
        return msgspec.structs.replace(result, ok=False, ref=False)

    def _held_to_grant(
        self, worker_id: str, socket_id: str, boot: str, hello: wire.Hello
    ) -> wire.Hello | None:
        """Return the hello with what its token leaves of it, having said no to one it forbids."""
        try:
            return self._granted_part(worker_id, socket_id, boot, hello)
        except _Forbidden as error:
            self._note(worker_id, str(error))
            self._outgoing.tell(actions.Tell(worker_id, wire.Refused(str(error), boot)))
            return None

    def _within_grant(self, worker_id: str, boot: str, capacity: wire.Capacity) -> wire.Capacity:
        """Return the new capacity with the queues that its hello could have named."""
        grant = self._held.get((worker_id, boot))
        if grant is None or grant.queues is None:
            return capacity
        queues = [name for name in capacity.q or () if name in grant.queues]
        return msgspec.structs.replace(capacity, q=queues)

    def _granted_part(
        self, worker_id: str, socket_id: str, boot: str, hello: wire.Hello
    ) -> wire.Hello:
        connection = self._connection(worker_id, socket_id)
        grant = self._grants.get(connection) or self._offered.get(connection)
        if hello.token is not None:
            try:
                shown = verify(hello.token, self._secret, self._clock.wall_ms() / 1000)
            except BadToken as error:
                raise _Forbidden(str(error)) from None
            if not isinstance(shown, WorkerGrant) or not shown.allows_channel(
                names.worker_channel(self._namespace, worker_id)
            ):
                raise _Forbidden(f"the token in hello is not one of worker {worker_id}")
            grant = grant or shown
        if grant is None:
            if self._forgetful:
                raise _Forbidden(
                    "what it was authorised for is not known any more: "
                    "subscribe anew, or show a token in hello"
                )
            self._held.pop((worker_id, boot), None)
            return hello
        self._held[worker_id, boot] = grant
        queues, known = hello.q, hello.names
        if grant.queues is not None:
            queues = [name for name in queues if name in grant.queues]
            if not queues:
                raise _Forbidden(
                    f"the token allows the queues {', '.join(grant.queues)}, "
                    f"and hello names {', '.join(hello.q)}"
                )
        if grant.task_names is not None:
            known = [name for name in (known or grant.task_names) if name in grant.task_names]
        return msgspec.structs.replace(hello, q=queues, names=known, token=None)

    def _note(self, worker_id: str, fault: str) -> None:
        self._faults += 1
        if self._faults <= _LOGGED_FAULTS:
            logger.warning(
                "a worker's message was not taken worker=%r: %r", worker_id[:100], fault[:500]
            )
