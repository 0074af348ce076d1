"""The worker as its user sees it: functions, and one call that runs them."""

from __future__ import annotations

import asyncio
import os
import platform
import secrets
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Final, TypeVar, overload

import uvloop

from callboard_client.clock import unix_time
from callboard_protocol import __version__
from callboard_scheduler import names
from callboard_scheduler.records import DEFAULT_NAMESPACE, DEFAULT_QUEUE
from callboard_scheduler.wire import Hello
from callboard_scheduler.worker.app_check import check_app
from callboard_scheduler.worker.errors import NoTasks
from callboard_scheduler.worker.handlers import Handlers
from callboard_scheduler.worker.link import Link
from callboard_scheduler.worker.options import Options, default_id
from callboard_scheduler.worker.running import Running
from callboard_scheduler.worker.service import Service
from callboard_scheduler.worker.signals import draining_on_signals

#: How long running tasks may take to end once the worker is asked to.
DRAIN_SECONDS: Final = 30.0

SDK: Final = f"callboard-python/{__version__}"

_jitter = secrets.SystemRandom().random

Function = TypeVar("Function", bound=Callable[..., Any])


class Worker:
    """Runs functions for tasks that a scheduler gives it, ``slots`` of them at a time.

    ::

        worker = Worker(queues=["default"], slots=4)

        @worker.task("thumbnail")
        async def thumbnail(ctx: Context, url: str) -> dict: ...

        worker.run("http://KEY:SECRET@127.0.0.1:6001/apps/ID")

    ``id`` is made of host, process and chance unless given; two workers must not run with the
    same one. ``labels`` are what a task's ``target`` may ask for. With ``resume`` the scheduler
    waits a moment for a worker whose connection broke; without, its tasks run elsewhere at once.

    Raises:
        ValueError: an option that no scheduler would take.
    """

    def __init__(
        self,
        *,
        queues: Sequence[str] = (DEFAULT_QUEUE,),
        slots: int = 1,
        id: str | None = None,
        labels: Mapping[str, Any] | None = None,
        namespace: str = DEFAULT_NAMESPACE,
        pool: str = "default",
        resume: bool = False,
    ) -> None:
        self._options = Options(
            queues=queues,
            slots=slots,
            id=id,
            labels=dict(labels or {}),
            namespace=namespace,
            pool=pool,
            resume=resume,
        )
        self._handlers = Handlers()
        self._link: Link | None = None
        self._drain_seconds = DRAIN_SECONDS

    def __repr__(self) -> str:
        queues = ", ".join(self._options.queues)
        return f"<Worker {self._options.id or ''} of {queues}: {len(self._handlers)} tasks>"

    @property
    def options(self) -> Options:
        """What it was made with, or has been changed to."""
        return self._options

    @property
    def handlers(self) -> Handlers:
        """Its functions by the names of their tasks."""
        return self._handlers

    def change(self, **options: Any) -> None:
        """Replace options of the constructor before it runs; None leaves one as it is.

        Raises:
            ValueError: an option that no scheduler would take.
        """
        given = {name: value for name, value in options.items() if value is not None}
        self._options = replace(self._options, **given)

    # Functions

    @overload
    def task(self, name: str) -> Callable[[Function], Function]: ...
    @overload
    def task(self, name: Function) -> Function: ...

    def task(self, name: str | Function) -> Callable[[Function], Function] | Function:
        """Let a function run the tasks of that name, or of its own name without one.

        A coroutine function runs on the worker's loop, a plain one in a thread. If its first
        parameter is a :class:`Context` (or called ``ctx``) it gets that; the others are filled
        from the task's arguments, converted to their annotated types.

        Raises:
            ValueError: the name is taken, or none that a task can have.
            TypeError: the parameters cannot be filled from JSON.
        """
        if not isinstance(name, str):
            self._handlers.add(name.__name__, name)
            return name

        def decorate(function: Function) -> Function:
            self._handlers.add(name, function)
            return function

        return decorate

    # Running

    def run(
        self,
        url: str,
        *,
        key: str | None = None,
        token: str | None = None,
        auth_endpoint: str | None = None,
        foreign: bool = False,
        drain_seconds: float = DRAIN_SECONDS,
        on_ready: Callable[[str], object] | None = None,
    ) -> None:
        """Run on a loop of its own until SIGINT or SIGTERM, or until it is asked to leave.

        The parameters are those of :meth:`serve`. The first signal drains, a second one ends the
        process at once with 130 or 143. Without ``on_ready``, a line on stdout says that it works
        (:meth:`introduction`). Both are for a process that is the worker's: in any thread but the
        main one, no signal is minded and nothing is said.
        """
        in_main = threading.current_thread() is threading.main_thread()
        if on_ready is None and in_main:
            on_ready = self._introduce
        minding: AbstractContextManager[object] = (
            draining_on_signals(self.drain) if in_main else nullcontext()
        )
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, minding:
            runner.run(
                self.serve(
                    url,
                    key=key,
                    token=token,
                    auth_endpoint=auth_endpoint,
                    foreign=foreign,
                    drain_seconds=drain_seconds,
                    on_ready=on_ready,
                )
            )

    def introduction(self, worker_id: str) -> str:
        """Return a line for people: who it is, and what it takes."""
        options = self._options
        return (
            f"worker {worker_id}: {options.slots} at a time of queues {', '.join(options.queues)}, "
            f"tasks {', '.join(self._handlers.names)}"
        )

    def _introduce(self, worker_id: str) -> None:
        sys.stdout.write(f"{self.introduction(worker_id)}\n")
        # At once, for whoever reads it through a pipe.
        sys.stdout.flush()

    async def serve(
        self,
        url: str,
        *,
        key: str | None = None,
        token: str | None = None,
        auth_endpoint: str | None = None,
        foreign: bool = False,
        drain_seconds: float = DRAIN_SECONDS,
        on_ready: Callable[[str], object] | None = None,
    ) -> None:
        """Run until asked to leave; coroutine functions run on the loop that is running.

        ``url`` is ``http://KEY:SECRET@HOST:PORT/apps/ID``, or ``http://HOST:PORT`` for a worker
        without the secret, with a ``token`` (``callboard token``) or an ``auth_endpoint`` of your
        own and the app's ``key``. ``foreign`` says that the service is not Callboard's.
        ``drain_seconds`` is how long running tasks may take to end once :meth:`drain` is called.
        ``on_ready`` is called with the worker's id when a scheduler has first welcomed it.
        Cancelled, it hands its tasks back and takes up to four seconds for that.

        Raises:
            NoTasks: there is no function.
            ValueError: the URL is not as described.
            WorkerRefused: the service or the scheduler does not take this worker.
        """
        if not len(self._handlers):
            raise NoTasks
        if self._link is not None:
            raise RuntimeError("the worker runs already: make another Worker for a second one")
        service = Service.from_url(
            url, key=key, token=token, auth_endpoint=auth_endpoint, foreign=foreign
        )
        loop = asyncio.get_running_loop()
        link = self._make_link(service, loop, on_ready)
        running = Running(self._handlers, self._options.slots, link, link, loop)
        self._link, self._drain_seconds = link, drain_seconds
        link.start(running)
        ended = asyncio.wrap_future(link.ended)
        try:
            await asyncio.shield(ended)
        except asyncio.CancelledError:
            link.drain(0.0)
            await asyncio.wait((ended,))
            raise
        finally:
            self._link = None
            running.close()

    def drain(self, seconds: float | None = None) -> None:
        """Take no new tasks and leave when the running ones have ended, or after ``seconds``.

        Can be called from any thread; :meth:`serve` then returns. Does nothing while not running.
        """
        if self._link is not None:
            self._link.drain(self._drain_seconds if seconds is None else seconds)

    def _make_link(
        self,
        service: Service,
        loop: asyncio.AbstractEventLoop,
        on_ready: Callable[[str], object] | None,
    ) -> Link:
        options = self._options
        host = platform.node()
        # Made now and not with the worker: a forked process must have its own.
        worker_id = options.id or default_id(host, os.getpid(), secrets.token_hex(3))
        hello = Hello(
            w=worker_id,
            cap=options.slots,
            free=options.slots,
            q=list(options.queues),
            names=self._handlers.names,
            labels=dict(options.labels),
            sdk=SDK,
            host=host,
            resume=options.resume,
            hb=True,
            pool=options.pool,
        )
        channels = [options.channel(worker_id)]
        if service.foreign:
            channels.append(names.pool_channel(options.namespace, options.pool))

        def first_welcomed() -> None:
            if service.credentials is not None:
                check_app(service.credentials, channels[0], unix_time)
            if on_ready is not None:
                loop.call_soon_threadsafe(on_ready, worker_id)

        return Link(
            service,
            hello,
            secrets.token_hex(8),
            tuple(channels),
            jitter=_jitter,
            token=service.greeting_token(worker_id, options.namespace, unix_time),
            loop_needed=self._handlers.need_loop,
            welcomed=_Once(first_welcomed),
        )


class _Once:
    """Calls back the first time only."""

    def __init__(self, callback: Callable[[], object]) -> None:
        self._callback: Callable[[], object] | None = callback

    def __call__(self) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()
