"""A worker's connection, in a thread and on a loop of its own.

Whatever the user's functions do to their loop or their threads, heartbeats go out from here. The
thread runs the client and the session; everything else talks to it by :meth:`Link.post`, which
costs one hop for a batch. Rules:

1. Only the thread touches the session. What is due is said once a turn of its loop, so what
   happens in one turn travels in one event.
2. A definite refusal, of the subscription or of the worker, ends the link. What may pass (a
   service that is not reached, an endpoint that fails) is tried again.
3. Leaving is draining first: what runs may end within the given time, then it is stopped and
   handed back, then the scheduler is told, and the connection closed.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Final

import msgspec
import orjson
import uvloop

from callboard_client.channel import Channel
from callboard_client.connection import Client
from callboard_client.errors import ClientError
from callboard_client.events import Event
from callboard_client.states import State
from callboard_scheduler import names, wire
from callboard_scheduler.records import Raw
from callboard_scheduler.worker import forking
from callboard_scheduler.worker.actions import Action, Change, Drain, Refuse, Start, Stop, Welcomed
from callboard_scheduler.worker.errors import ValueUnavailable, WorkerRefused
from callboard_scheduler.worker.large_values import LargeValues
from callboard_scheduler.worker.running import Running, result_error
from callboard_scheduler.worker.service import Service
from callboard_scheduler.worker.session import CAUTIOUS, Session
from callboard_scheduler.worker.subscribing import TIMINGS, keep_subscribed
from callboard_scheduler.worker.work import STOP_SECONDS

logger = logging.getLogger("callboard_scheduler.worker")

#: Time for the last reports to be recorded once everything has ended.
_RECORD_SECONDS: Final = 2.0
#: A result above this share of an event takes the way by reference, if there is one.
_INLINE_SHARE: Final = 0.6
_NO_ARGUMENTS: Final = Raw(b"{}")


class Link:
    """The thread of one worker; ``start`` it once, then ``drain`` it or wait for ``ended``.

    ``channels`` are the worker's own, first, and those to be present in. ``jitter`` returns a
    number from 0 to 1. ``welcomed`` is called in the thread with each new session.
    """

    def __init__(
        self,
        service: Service,
        hello: wire.Hello,
        boot: str,
        channels: tuple[str, ...],
        *,
        jitter: Callable[[], float],
        token: Callable[[], str | None],
        drain_seconds: float,
        welcomed: Callable[[], object],
    ) -> None:
        self._service = service
        self._hello = hello
        self._boot = boot
        self._channels = channels
        self._jitter = jitter
        self._token = token
        self._drain_seconds = drain_seconds
        self._on_welcomed = welcomed
        #: Set when the thread has nothing more to do; the exception is why, if there is one.
        self.ended: Future[None] = Future()
        #: What one event may hold, by the newest welcome.
        self.max_bytes = CAUTIOUS.bytes
        self._posted: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._hop_under_way = False
        self._put_urls: dict[int, str] = {}
        self._transfers: set[asyncio.Task[None]] = set()
        self._fd: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._leaving: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop
        self._running: Running
        self._session: Session
        self._client: Client
        self._channel: Channel
        self._values: LargeValues
        self._woken: asyncio.Event
        self._quiet: asyncio.Event
        self._end: asyncio.Future[None]

    # Called from any thread

    def start(self, running: Running) -> None:
        """Connect and let ``running`` run what is assigned."""
        self._running = running
        self._loop = uvloop.new_event_loop()
        threading.Thread(target=self._live, name="callboard-worker", daemon=True).start()

    def drain(self, seconds: float | None = None) -> None:
        """Take nothing new, and end once what runs has ended, or after ``seconds``."""
        self.post(self._begin_leaving, self._drain_seconds if seconds is None else seconds)

    def post(self, step: Callable[..., None], *arguments: Any) -> None:
        """Let the thread call ``step``; nothing happens once it has ended."""
        self._posted.append((step, arguments))
        if not self._hop_under_way:
            self._hop_under_way = True
            try:
                self._loop.call_soon_threadsafe(self._take)
            except RuntimeError:
                pass  # it has ended

    def progressed(self, fence: int, pct: float | None, msg: str | None, data: Raw | None) -> None:
        self.post(self._progressed, fence, pct, msg, data)

    def logged(self, fence: int, level: str, text: str) -> None:
        self.post(self._logged, fence, level, text)

    def saved(self, fence: int, checkpoint: Raw) -> None:
        self.post(self._saved, fence, checkpoint)

    def succeeded(self, fence: int, value: Raw) -> None:
        self.post(self._succeeded, fence, value)

    def failed(self, fence: int, error: wire.ResultError) -> None:
        self.post(self._failed, fence, error)

    # The thread

    def _live(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._main())
        except BaseException as error:
            self.ended.set_exception(error)
        else:
            self.ended.set_result(None)

    async def _main(self) -> None:
        service, loop = self._service, self._loop
        self._session = Session(
            self._hello, self._boot, loop.time(), jitter=self._jitter, token=self._token
        )
        self._woken, self._quiet = asyncio.Event(), asyncio.Event()
        self._end = loop.create_future()
        self._values = LargeValues(service.base)
        member = {
            "user_id": self._hello.w,
            "user_info": {
                "queues": self._hello.q,
                "slots": self._hello.cap,
                "labels": self._hello.labels,
                "host": self._hello.host,
                "sdk": self._hello.sdk,
            },
        }
        self._client = Client(
            service.key,
            service.host,
            service.port,
            tls=service.tls,
            path=service.path,
            authorizer=service.authorizer(member),
            timings=TIMINGS,
            max_queued_events=0,
            on_state=self._state_changed,
            jitter=self._jitter,
        )
        try:
            async with self._client:
                attending = [self._speak(), *map(self._keep_subscribed, self._channels)]
                tasks = [asyncio.create_task(self._attend(each)) for each in attending]
                try:
                    await self._end
                finally:
                    tasks += self._transfers
                    for task in tasks:
                        task.cancel()
                    await asyncio.wait(tasks)
        finally:
            self._release_socket()
            await self._values.close()

    async def _attend(self, endless: Coroutine[Any, Any, None]) -> None:
        """Let the link end with what should not have ended."""
        try:
            await endless
        except Exception as error:
            self._finish(error)

    def _finish(self, error: BaseException | None) -> None:
        if self._end.done():
            return
        if error is None:
            self._end.set_result(None)
        else:
            self._end.set_exception(error)

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
        self._session.lost()
        self._woken.set()

    def _release_socket(self) -> None:
        if self._fd is not None:
            forking.release(self._fd)
            self._fd = None

    async def _keep_subscribed(self, name: str) -> None:
        own = name == self._channels[0]
        await keep_subscribed(
            self._client,
            name,
            self._bind if own else lambda channel: None,
            jitter=self._jitter,
            hint=self._hint(own),
        )

    def _bind(self, own: Channel) -> None:
        self._channel = own
        own.bind("pusher:subscription_succeeded", self._subscribed)
        own.bind(names.DOWN_EVENT, self._heard)

    def _hint(self, own: bool) -> str:
        if self._service.secret is None:
            return f"{self._service.auth_endpoint} decides: is the token for this worker and valid?"
        if own and not self._service.foreign:
            return (
                "are key and secret right, and does a scheduler run there? "
                "On a service that is not Callboard's, say that it is foreign"
            )
        return "are key and secret right?"

    # What is heard

    def _subscribed(self, event: Event) -> None:
        self._session.subscribed(self._loop.time())
        self._woken.set()

    def _heard(self, event: Event) -> None:
        try:
            self._session.received(event.data, self._loop.time())
        except wire.BadEnvelope as error:
            logger.warning("an event of the scheduler is not understood: %s", error)
            return
        self._act()
        self._woken.set()

    def _act(self) -> None:
        for action in self._session.take_actions():
            self._do(action)

    def _do(self, action: Action) -> None:
        match action:
            case Start(given):
                self._start(given)
            case Stop(fence, why):
                self._running.stop(fence, why)
            case Change(update):
                if update.ref is None:
                    self._running.change(update)
                else:
                    self._transfer(self._fetch_change(update, update.ref))
            case Welcomed():
                self.max_bytes = self._session.limits.bytes
                self._on_welcomed()
            case Drain(within_ms):
                self._begin_leaving(within_ms / 1000)
            case Refuse(why):
                self._finish(WorkerRefused(why))

    def _start(self, given: wire.Assign) -> None:
        if given.put_url is not None:
            self._put_urls[given.f] = given.put_url
        if given.ref is None:
            self._running.start(given, given.args or _NO_ARGUMENTS)
        else:
            self._transfer(self._fetch(given, given.ref))

    # What is said

    async def _speak(self) -> None:
        """Once a turn, do and say what is due."""
        session, loop = self._session, self._loop
        while True:
            await self._woken.wait()
            self._woken.clear()
            now = loop.time()
            session.tick(now)
            self._act()
            for data in session.outgoing(now):
                await self._send(data)
            if session.work.idle:
                self._quiet.set()
            self._wake_at(session.deadline)

    async def _send(self, data: str) -> None:
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
        if deadline < float("inf"):
            self._timer = self._loop.call_at(deadline, self._woken.set)

    # What functions do, on the thread

    def _take(self) -> None:
        # First, or a step that is posted now would wait for a hop that nobody makes.
        self._hop_under_way = False
        while self._posted:
            step, arguments = self._posted.popleft()
            step(*arguments)
        self._woken.set()

    def _progressed(self, *report: Any) -> None:
        self._session.work.progressed(*report)

    def _logged(self, fence: int, level: str, text: str) -> None:
        self._session.work.logged(fence, level, text)

    def _saved(self, fence: int, checkpoint: Raw) -> None:
        self._session.work.saved(fence, checkpoint)

    def _succeeded(self, fence: int, value: Raw) -> None:
        put_url = self._put_urls.pop(fence, None)
        if put_url is not None and len(value) > self.max_bytes * _INLINE_SHARE:
            self._transfer(self._store(fence, put_url, value))
        else:
            self._session.work.succeeded(fence, value, False, self._loop.time())

    def _failed(self, fence: int, error: wire.ResultError) -> None:
        self._put_urls.pop(fence, None)
        self._session.work.failed(fence, error, self._loop.time())

    # Large values

    def _transfer(self, transfer: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(transfer)
        self._transfers.add(task)
        task.add_done_callback(self._transfers.discard)

    async def _fetch(self, given: wire.Assign, ref: str) -> None:
        try:
            args = Raw(await self._values.fetch(ref))
        except ValueUnavailable as error:
            self._failed(given.f, result_error(error))
            self._woken.set()
        else:
            self._running.start(given, args)

    async def _fetch_change(self, update: wire.Update, ref: str) -> None:
        try:
            args = Raw(await self._values.fetch(ref))
        except ValueUnavailable as error:
            logger.warning("changed arguments are not to be had: %s", error)
        else:
            self._running.change(msgspec.structs.replace(update, args=args))

    async def _store(self, fence: int, put_url: str, value: Raw) -> None:
        now = self._loop.time
        try:
            await self._values.store(put_url, bytes(value))
        except ValueUnavailable as error:
            self._session.work.failed(fence, result_error(error), now())
        else:
            self._session.work.succeeded(fence, None, True, now())
        self._woken.set()

    # Leaving

    def _begin_leaving(self, seconds: float) -> None:
        if self._leaving is None:
            self._leaving = asyncio.create_task(self._attend(self._leave(seconds)))

    async def _leave(self, seconds: float) -> None:
        work = self._session.work
        work.drain()
        if not await self._becomes_idle(seconds):
            work.stop_all("draining", self._loop.time())
            await self._becomes_idle(STOP_SECONDS + _RECORD_SECONDS)
        for data in self._session.leave("drained"):
            await self._send(data)
        self._finish(None)

    async def _becomes_idle(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                while not self._session.work.idle:
                    self._quiet.clear()
                    self._woken.set()
                    await self._quiet.wait()
        except TimeoutError:
            return False
        return True
