"""A worker's connection, in a thread and on a loop of its own.

Whatever the user's functions do to their loop or their threads, heartbeats go out from here. Only
this thread touches the session; everything else talks to it by :meth:`Link.post`, which costs one
hop for a batch.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from typing import Any, Final

import msgspec
import uvloop

from callboard_scheduler import wire
from callboard_scheduler.records import Raw
from callboard_scheduler.worker.actions import (
    Action,
    Blocked,
    Change,
    Drain,
    Probe,
    Refuse,
    Start,
    Stop,
    Welcomed,
    Withdraw,
)
from callboard_scheduler.worker.conversation import Conversation
from callboard_scheduler.worker.errors import ValueUnavailable, WorkerRefused
from callboard_scheduler.worker.large_values import LargeValues
from callboard_scheduler.worker.running import Running, result_error
from callboard_scheduler.worker.service import Service
from callboard_scheduler.worker.session import CAUTIOUS, Session

logger = logging.getLogger("callboard_scheduler.worker")

#: A result above this share of an event takes the way by reference, if there is one.
_INLINE_SHARE: Final = 0.6
_NO_ARGUMENTS: Final = Raw(b"{}")


class Link:
    """The thread of one worker: ``start`` it once, then ``drain`` it or wait for ``ended``.

    ``channels`` are the worker's own, first, and those to be present in. ``jitter`` returns a
    number from 0 to 1, ``token`` what each greeting shows. ``welcomed`` is called in the thread
    with each new session. ``loop_needed`` says that a function may need the user's loop.
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
        loop_needed: bool,
        welcomed: Callable[[], object],
    ) -> None:
        self._welcomed = welcomed
        #: Set when the thread has nothing more to do; the exception is why, if there is one.
        self.ended: Future[None] = Future()
        #: What one event may hold, by the newest welcome.
        self.max_bytes = CAUTIOUS.bytes
        self._posted: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._hop_under_way = False
        self._put_urls: dict[int, str] = {}
        self._transfers: set[asyncio.Task[None]] = set()
        #: Those of them that fetch the arguments of an assignment, by its fence.
        self._fetches: dict[int, asyncio.Task[None]] = {}
        self._values = LargeValues(service.base)
        loop = self._loop = uvloop.new_event_loop()
        session = self._session = Session(
            hello, boot, loop.time(), jitter=jitter, token=token, loop_needed=loop_needed
        )
        self._work = session.work
        self._conversation = Conversation(
            session, service, channels, _member(hello), loop, jitter=jitter, act=self._act
        )
        self._running: Running

    # Called from any thread

    def start(self, running: Running) -> None:
        """Connect and let ``running`` run what is assigned."""
        self._running = running
        threading.Thread(target=self._live, name="callboard-worker", daemon=True).start()

    def drain(self, seconds: float) -> None:
        """Take nothing new, and end once what runs has ended, or after ``seconds``."""
        self.post(self._conversation.leave, seconds)

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
        self.post(self._work.progressed, fence, pct, msg, data)

    def logged(self, fence: int, level: str, text: str) -> None:
        self.post(self._work.logged, fence, level, text)

    def saved(self, fence: int, checkpoint: Raw) -> None:
        self.post(self._work.saved, fence, checkpoint)

    def begun(self, fence: int) -> None:
        self.post(self._begun, fence)

    def moved(self) -> None:
        self.post(self._moved)

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
        try:
            await self._conversation.run()
        finally:
            for transfer in self._transfers:
                transfer.cancel()
            await self._values.close()

    def _take(self) -> None:
        # First, or a step that is posted now would wait for a hop that nobody makes.
        self._hop_under_way = False
        while self._posted:
            step, arguments = self._posted.popleft()
            step(*arguments)
        self._conversation.wake()

    def _act(self, action: Action) -> None:
        match action:
            case Start(given):
                self._start(given)
            case Stop(fence, why):
                self._stop(fence, why)
            case Withdraw(fence):
                if self._take_back(fence):
                    self._put_urls.pop(fence, None)
                    self._work.withdrawn(fence)
            case Probe():
                self._running.probe()
            case Blocked():
                logger.warning(
                    "the loop of this worker's functions does not move (%s): until it does, no "
                    "new task is taken. What blocks belongs in a plain function, not a coroutine",
                    self._running.place,
                )
            case Change(update):
                if update.ref is None:
                    self._running.change(update)
                else:
                    self._transfer(self._fetch_change(update, update.ref))
            case Welcomed():
                self.max_bytes = self._work.max_bytes
                self._welcomed()
            case Drain(within_ms):
                self._conversation.leave(within_ms / 1000)
            case Refuse(why):
                self._conversation.finish(WorkerRefused(why))

    def _start(self, given: wire.Assign) -> None:
        if given.put_url is not None:
            self._put_urls[given.f] = given.put_url
        if given.ref is not None:
            self._fetches[given.f] = self._transfer(self._fetch(given, given.ref))
        elif not self._running.start(given, given.args or _NO_ARGUMENTS):
            return
        self._begun(given.f)

    def _stop(self, fence: int, why: str) -> None:
        if self._take_back(fence):
            self._failed(fence, wire.ResultError("CancelledError", why))
        else:
            self._running.stop(fence, why)

    def _take_back(self, fence: int) -> bool:
        """Keep what has not begun from ever beginning; False if it has begun."""
        fetch = self._fetches.pop(fence, None)
        if fetch is None:
            return self._running.withdraw(fence)
        fetch.cancel()
        return True

    def _begun(self, fence: int) -> None:
        self._work.begun(fence, self._loop.time())

    def _moved(self) -> None:
        if self._work.blocked:
            logger.info("the loop of this worker's functions moves again")
        self._session.moved(self._loop.time())

    def _succeeded(self, fence: int, value: Raw) -> None:
        put_url = self._put_urls.pop(fence, None)
        if put_url is not None and len(value) > self.max_bytes * _INLINE_SHARE:
            self._transfer(self._store(fence, put_url, value))
        else:
            self._work.succeeded(fence, value, False, self._loop.time())

    def _failed(self, fence: int, error: wire.ResultError) -> None:
        self._put_urls.pop(fence, None)
        self._work.failed(fence, error, self._loop.time())

    # Large values

    def _transfer(self, transfer: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(transfer)
        self._transfers.add(task)
        task.add_done_callback(self._transfers.discard)
        return task

    async def _fetch(self, given: wire.Assign, ref: str) -> None:
        try:
            args = Raw(await self._values.fetch(ref))
        except Exception as error:
            # Whatever it was, the task must end.
            self._fetches.pop(given.f, None)
            self._failed(given.f, result_error(error))
            self._conversation.wake()
        else:
            self._fetches.pop(given.f, None)
            self._running.start(given, args)

    async def _fetch_change(self, update: wire.Update, ref: str) -> None:
        try:
            args = Raw(await self._values.fetch(ref))
        except ValueUnavailable as error:
            logger.warning("changed arguments are not to be had: %s", error)
        else:
            self._running.change(msgspec.structs.replace(update, args=args))

    async def _store(self, fence: int, put_url: str, value: Raw) -> None:
        try:
            await self._values.store(put_url, bytes(value))
        except Exception as error:
            # Likewise.
            self._work.failed(fence, result_error(error), self._loop.time())
        else:
            self._work.succeeded(fence, None, True, self._loop.time())
        self._conversation.wake()


def _member(hello: wire.Hello) -> Mapping[str, object]:
    """Return who the worker is in its pool."""
    info = {
        "queues": hello.q,
        "slots": hello.cap,
        "labels": hello.labels,
        "host": hello.host,
        "sdk": hello.sdk,
    }
    return {"user_id": hello.w, "user_info": info}
