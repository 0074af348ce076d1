"""A scheduler that does what the test says, on a real server, for real workers.

Greetings, heartbeats and reports are answered as a scheduler answers them, unless the test says
otherwise; tasks are given, changed and taken away by the test alone. It lives on the test's loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from callboard.embedded_transport import EmbeddedTransport
from callboard_scheduler import names, wire
from callboard_scheduler.records import Raw
from callboard_scheduler.transports import Cause
from callboard_server import sockets
from callboard_server.extensions import Page
from callboard_server.server import Server
from callboard_server.settings import AppSettings, Settings
from support.recording_extension import RecordingExtension

APP: Final = AppSettings(id="1", key="key", secret="secret")
PATIENCE_SECONDS: Final = 10.0
LIMITS: Final = wire.Limits(bytes=100_000, rate=200)

Message = TypeVar("Message", bound=wire.UpMessage)


class ScriptedScheduler:
    """Speaks with the worker ``w1`` (or ``worker_id``); :func:`scripted_scheduler` makes it."""

    def __init__(self, server: Server, worker_id: str) -> None:
        self.worker_id = worker_id
        self.server = server
        self.port = server.addresses[0][1]
        self.url = f"http://{APP.key}:{APP.secret}@127.0.0.1:{self.port}/apps/{APP.id}"
        self.term = 1
        self.hb_ms, self.lease_ms = 3_000, 10_000
        self.limits = LIMITS
        #: What is not answered by itself.
        self.silent: set[type[wire.UpMessage]] = set()
        #: Verdict on each claim of a hello.
        self.verdict: Callable[[str, int], str] = lambda task, fence: "go"
        #: Everything that was heard, in order, and how many events that took.
        self.heard: list[wire.UpMessage] = []
        self.events = 0
        self.causes: list[Cause] = []
        self.sessions = 0
        self._read: dict[type[Any], int] = {}
        self._arrived = asyncio.Event()
        self._fence = 0
        self._said = 0
        self._channel = names.worker_channel("default", worker_id)
        self._transport = EmbeddedTransport(APP.id, server.apps, server.broker)

    async def start(self) -> None:
        await self._transport.start(self)

    async def stop(self) -> None:
        await self._transport.stop()

    # What the test says

    def say(self, *messages: wire.DownMessage, term: int | None = None) -> None:
        """Send messages in one event."""
        self._said += 1
        data = wire.encode_down(self.term if term is None else term, self._said, messages)
        self._transport.send(self._channel, names.DOWN_EVENT, data)

    def assign(self, name: str, args: str = "{}", **fields: Any) -> wire.Assign:
        """Give a task and return what was said; its id and fence are new unless given."""
        self._fence += 1
        given = wire.Assign(
            **{
                "id": f"t{self._fence}",
                "f": self._fence,
                "att": 1,
                "name": name,
                "args": Raw(args.encode()),
                "lease_ms": self.lease_ms,
                **fields,
            }
        )
        self.say(given)
        return given

    def revoke(self, given: wire.Assign, why: str = "cancelled", within_ms: int = 2_000) -> None:
        self.say(wire.Revoke(given.id, given.f, why, within_ms))

    def cut(self) -> None:
        """Close the worker's connection, as for one that was silent for too long."""
        self._transport.disconnect(self._channel)

    # What the test hears

    async def hear(self, kind: type[Message], **fields: object) -> Message:
        """Return the next message of a kind that no earlier call returned, with these fields."""

        def found() -> Message | None:
            for place in range(self._read.get(kind, 0), len(self.heard)):
                message = self.heard[place]
                if isinstance(message, kind) and all(
                    getattr(message, name) == value for name, value in fields.items()
                ):
                    self._read[kind] = place + 1
                    return message
            return None

        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while (message := found()) is None:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            wanted = f"{kind.__name__} {fields}"
            raise AssertionError(f"no {wanted} came; heard: {self.heard[-20:]}") from None
        return message

    def said_of(self, given: wire.Assign) -> list[wire.UpMessage]:
        """Return all that was heard of one assignment."""
        return [message for message in self.heard if getattr(message, "f", None) == given.f]

    async def gone(self) -> Cause:
        """Return how the next end of the worker's subscription was."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self.causes:
                self._arrived.clear()
                await self._arrived.wait()
        return self.causes.pop(0)

    # Listener

    def received(self, channel: str, socket_id: str, data: str) -> None:
        if channel != self._channel:
            return
        envelope = wire.decode_up(data)
        self.events += 1
        self.heard += envelope.m
        answers: list[wire.DownMessage] = []
        for message in envelope.m:
            if type(message) in self.silent:
                continue
            if isinstance(message, wire.Hello):
                answers.append(self._welcome(envelope.boot, message))
            elif isinstance(message, wire.Heartbeat):
                answers.append(wire.HeartbeatAck(message.n))
            elif isinstance(message, wire.Result | wire.Released):
                answers.append(wire.Done([(message.id, message.f, "recorded")]))
        if answers:
            self.say(*answers)
        self._arrived.set()

    def _welcome(self, boot: str, hello: wire.Hello) -> wire.Welcome:
        self.sessions += 1
        return wire.Welcome(
            sid=f"{self.term}.{self.sessions}",
            boot=boot,
            hb_ms=self.hb_ms,
            lease_ms=self.lease_ms,
            grace_ms=1_500,
            lim=self.limits,
            run=[(task, fence, self.verdict(task, fence)) for task, fence in hello.run],
        )

    def joined(self, channel: str, socket_id: str) -> None:
        """It says hello by itself."""

    def left(self, channel: str, socket_id: str, cause: Cause) -> None:
        if channel == self._channel:
            self.causes.append(cause)
            self._arrived.set()

    def watching(self, channel: str) -> None:
        """There are no feeds."""

    def deaf(self) -> None:
        """The server ends."""

    def hearing(self) -> None:
        """There is no remote service."""


@asynccontextmanager
async def scripted_scheduler(
    worker_id: str = "w1", *, pages: Sequence[Page] = ()
) -> AsyncIterator[ScriptedScheduler]:
    """A server on this loop whose scheduler is the test."""
    settings = Settings(port=0, apps=(APP,))
    bound = sockets.bind(settings)
    server = Server(settings, bound.plain, extensions=[RecordingExtension(*pages)])
    await server.start()
    scheduler = ScriptedScheduler(server, worker_id)
    try:
        await scheduler.start()
        yield scheduler
        await scheduler.stop()
    finally:
        await server.stop(0.0)
