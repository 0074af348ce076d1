"""The session on a connection: what is heard goes in, what is due goes out, on one loop.

1. What is due is said once a turn of the loop, so what happens in one turn travels in one event.
2. A definite refusal, of the subscription or of the worker, ends the conversation. What may pass
   (a service that is not reached, an endpoint that fails) is tried again.
3. Leaving is draining first: what runs may end within the given time, then it is stopped and
   handed back, then the scheduler is told, and the connection closed.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

import orjson

from callboard_client.channel import Channel
from callboard_client.connection import Client
from callboard_client.errors import ClientError
from callboard_client.events import Event
from callboard_client.states import State
from callboard_scheduler import names, wire
from callboard_scheduler.worker import forking
from callboard_scheduler.worker.actions import Action
from callboard_scheduler.worker.service import Service
from callboard_scheduler.worker.session import Session
from callboard_scheduler.worker.subscribing import TIMINGS, keep_subscribed
from callboard_scheduler.worker.work import STOP_SECONDS

logger = logging.getLogger("callboard_scheduler.worker")

#: Time for the last reports to be recorded once everything has ended.
_RECORD_SECONDS: Final = 2.0


class Conversation:
    """One session over all its connections; made and used on ``loop``.

    ``channels`` are the worker's own, first, and those to be present in, as ``member``. ``act``
    is called with each action of the session.
    """

    def __init__(
        self,
        session: Session,
        service: Service,
        channels: tuple[str, ...],
        member: Mapping[str, object],
        loop: asyncio.AbstractEventLoop,
        *,
        jitter: Callable[[], float],
        act: Callable[[Action], None],
    ) -> None:
        self.session = session
        self._service = service
        self._channels = channels
        self._member = member
        self._loop = loop
        self._jitter = jitter
        self._act = act
        self._woken = asyncio.Event()
        #: Set whenever nothing is held and everything is recorded.
        self._quiet = asyncio.Event()
        self._end: asyncio.Future[None] = loop.create_future()
        self._channel: Channel | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._leaving: asyncio.Task[None] | None = None
        self._fd: int | None = None

    async def run(self) -> None:
        """Connect and stay connected until left or refused.

        Raises:
            WorkerRefused: nothing that could be tried again would help.
        """
        service = self._service
        client = self._client = Client(
            service.key,
            service.host,
            service.port,
            tls=service.tls,
            path=service.path,
            authorizer=service.authorizer(self._member),
            timings=TIMINGS,
            max_queued_events=0,
            on_state=self._state_changed,
            jitter=self._jitter,
        )
        try:
            async with client:
                endless = [self._speak(), *map(self._keep_subscribed, self._channels)]
                tasks = [asyncio.create_task(self._attend(each)) for each in endless]
                try:
                    await self._end
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.wait(tasks)
        finally:
            self._release_socket()
            if self._timer is not None:
                self._timer.cancel()

    def wake(self) -> None:
        """Something happened: look in this turn what there is to say."""
        self._woken.set()

    def leave(self, seconds: float) -> None:
        """Take nothing new, and end once what runs has ended, or after ``seconds``."""
        if self._leaving is None:
            self._leaving = self._loop.create_task(self._attend(self._leave(seconds)))

    def finish(self, error: Exception | None = None) -> None:
        """Let :meth:`run` end, by raising ``error`` if there is one."""
        if self._end.done():
            return
        if error is None:
            self._end.set_result(None)
        else:
            self._end.set_exception(error)

    async def _attend(self, endless: Coroutine[Any, Any, None]) -> None:
        """End with what should not have ended."""
        try:
            await endless
        except Exception as error:
            self.finish(error)

    # The connection

    def _state_changed(self, state: State) -> None:
        if state is State.CONNECTED:
            self._fd = self._client.fileno()
            if self._fd is not None:
                forking.guard(self._fd)
            return
        self._release_socket()
        if state is State.UNAVAILABLE:
            logger.warning("%s is not reached; trying on", self._service.base)
        self.session.lost()
        self.wake()

    def _release_socket(self) -> None:
        if self._fd is not None:
            forking.release(self._fd)
            self._fd = None

    async def _keep_subscribed(self, name: str) -> None:
        own = name == self._channels[0]
        bind = self._bind if own else _bind_nothing
        hint = self._service.hint(own)
        await keep_subscribed(self._client, name, bind, jitter=self._jitter, hint=hint)

    def _bind(self, channel: Channel) -> None:
        self._channel = channel
        channel.bind("pusher:subscription_succeeded", self._subscribed)
        channel.bind(names.DOWN_EVENT, self._heard)

    # What is heard

    def _subscribed(self, event: Event) -> None:
        self.session.subscribed(self._loop.time())
        self.wake()

    def _heard(self, event: Event) -> None:
        try:
            self.session.received(event.data, self._loop.time())
        except wire.BadEnvelope as error:
            logger.warning("an event of the scheduler is not understood: %s", error)
            return
        self._take_actions()
        self.wake()

    def _take_actions(self) -> None:
        for action in self.session.take_actions():
            self._act(action)

    # What is said

    async def _speak(self) -> None:
        """Once a turn, do and say what is due."""
        session, loop = self.session, self._loop
        while True:
            await self._woken.wait()
            self._woken.clear()
            now = loop.time()
            session.tick(now)
            self._take_actions()
            for data in session.outgoing(now):
                await self._send(data)
            if session.work.idle:
                self._quiet.set()
            self._wake_at(session.deadline)

    async def _send(self, data: str) -> None:
        if self._channel is None:
            return
        try:
            # Encoded once, and sent as the JSON value that it is.
            await self._channel.trigger(names.UP_EVENT, orjson.Fragment(data))
        except ClientError:
            # The connection is gone: what matters is said again in the next session.
            pass

    def _wake_at(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline < math.inf:
            self._timer = self._loop.call_at(deadline, self.wake)

    # Leaving

    async def _leave(self, seconds: float) -> None:
        work = self.session.work
        work.drain()
        if not await self._becomes_idle(seconds):
            work.stop_all("draining", self._loop.time())
            await self._becomes_idle(STOP_SECONDS + _RECORD_SECONDS)
        for data in self.session.leave("drained"):
            await self._send(data)
        self.finish()

    async def _becomes_idle(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                while not self.session.work.idle:
                    self._quiet.clear()
                    self.wake()
                    await self._quiet.wait()
        except TimeoutError:
            return False
        return True


def _bind_nothing(channel: Channel) -> None:
    """Being present is all."""
