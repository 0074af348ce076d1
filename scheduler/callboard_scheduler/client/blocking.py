"""The client for programs without a loop: the same calls, each of which returns when it is done.

Everything is done by an :class:`AsyncClient` on a background thread; nothing here decides
anything. What a call does and raises is said there, and ``help()`` says it here too.
"""

from __future__ import annotations

import weakref
from collections.abc import (
    AsyncGenerator,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from callboard_client.clock import unix_time
from callboard_scheduler.client.async_client import DEFAULT_PATIENCE, AsyncClient, Reasons
from callboard_scheduler.client.async_schedules import AsyncSchedules, Record, Records, Times
from callboard_scheduler.client.async_task import AsyncTask
from callboard_scheduler.client.bodies import (
    ScheduleOptions,
    Submission,
    SubmitOptions,
    UpdateOptions,
)
from callboard_scheduler.client.loop_thread import LoopThread
from callboard_scheduler.client.updates import Progress, Update
from callboard_scheduler.client.watching import Patience
from callboard_scheduler.records import DEFAULT_NAMESPACE

Class = TypeVar("Class", bound=type)
T = TypeVar("T")


def _twin_of(twin: type) -> Callable[[Class], Class]:
    """Document a class's methods as those of ``twin`` that have their names."""

    def decorate(cls: Class) -> Class:
        for name, member in vars(cls).items():
            if not name.startswith("_") and callable(member) and member.__doc__ is None:
                member.__doc__ = getattr(twin, name).__doc__
        return cls

    return decorate


class _Thread:
    """The thread, for as long as anybody has the client or something that it has given."""

    def __init__(self, make: Callable[[], AsyncClient]) -> None:
        self._loop = LoopThread("callboard-client", make)
        self.close = weakref.finalize(self, self._loop.close)

    def run(self, work: Callable[[AsyncClient], Coroutine[Any, Any, T]]) -> T:
        return self._loop.run(work)

    def iterate(self, over: Callable[[AsyncClient], AsyncGenerator[T, None]]) -> Iterator[T]:
        yield from self._loop.iterate(over)


@_twin_of(AsyncTask)
class Task:
    """A task of a :class:`Client`, which makes it: an :class:`AsyncTask` that blocks."""

    def __init__(self, thread: _Thread, task: AsyncTask) -> None:
        self._thread = thread
        self._task = task

    def __repr__(self) -> str:
        return f"<Task {self.id} {self.state}>"

    @property
    def id(self) -> str:
        return self._task.id

    @property
    def state(self) -> str:
        """The state that was last heard; :meth:`refresh` asks."""
        return self._task.state

    @property
    def record(self) -> Mapping[str, Any]:
        """The task as the API last answered it, empty before the first question."""
        return self._task.record

    def refresh(self) -> Self:
        self._thread.run(lambda _: self._task.refresh())
        return self

    def result(self, timeout: float | None = None) -> Any:
        return self._thread.run(lambda _: self._task.result(timeout))

    def progress(self) -> Iterator[Progress]:
        return self._thread.iterate(lambda _: self._task.progress())

    def updates(self) -> Iterator[Update]:
        return self._thread.iterate(lambda _: self._task.updates())

    def cancel(self) -> Self:
        self._thread.run(lambda _: self._task.cancel())
        return self

    def update(self, **changes: Unpack[UpdateOptions]) -> Self:
        self._thread.run(lambda _: self._task.update(**changes))
        return self

    def move(self, worker: str | None = None, *, labels: Mapping[str, Any] | None = None) -> Self:
        self._thread.run(lambda _: self._task.move(worker, labels=labels))
        return self

    def requeue(self) -> Self:
        self._thread.run(lambda _: self._task.requeue())
        return self

    def why(self) -> list[str]:
        return self._thread.run(lambda _: self._task.why())


@_twin_of(AsyncSchedules)
class Schedules:
    """``client.schedules``: an :class:`AsyncSchedules` that blocks."""

    def __init__(self, thread: _Thread) -> None:
        self._thread = thread

    def put(self, schedule_id: str, **options: Unpack[ScheduleOptions]) -> Record:
        return self._thread.run(lambda client: client.schedules.put(schedule_id, **options))

    def get(self, schedule_id: str) -> Record:
        return self._thread.run(lambda client: client.schedules.get(schedule_id))

    def list(self) -> Records:
        return self._thread.run(lambda client: client.schedules.list())

    def delete(self, schedule_id: str) -> None:
        self._thread.run(lambda client: client.schedules.delete(schedule_id))

    def pause(self, schedule_id: str) -> Record:
        return self._thread.run(lambda client: client.schedules.pause(schedule_id))

    def resume(self, schedule_id: str) -> Record:
        return self._thread.run(lambda client: client.schedules.resume(schedule_id))

    def preview(self, schedule_id: str, count: int = 5) -> Times:
        return self._thread.run(lambda client: client.schedules.preview(schedule_id, count))


@_twin_of(AsyncClient)
class Client:
    """An :class:`AsyncClient` that blocks, for any number of threads.

    It needs no ``with``: its thread begins with the first call, and ends with ``close()``, with
    the program, or with the last object of it and its tasks.
    """

    def __init__(
        self,
        url: str,
        *,
        service: str | None = None,
        namespace: str = DEFAULT_NAMESPACE,
        timeout_seconds: float = 10.0,
        patience: Patience = DEFAULT_PATIENCE,
        clock: Callable[[], float] = unix_time,
    ) -> None:
        def make() -> AsyncClient:
            return AsyncClient(
                url,
                service=service,
                namespace=namespace,
                timeout_seconds=timeout_seconds,
                patience=patience,
                clock=clock,
            )

        # Here, because a wrong URL is an error of this line; and for what needs no loop.
        self._unopened = make()
        self._thread = _Thread(make)
        self.schedules = Schedules(self._thread)

    def __repr__(self) -> str:
        return repr(self._unopened).replace("AsyncClient", "Client", 1)

    def close(self) -> None:
        """Close the connections and end the thread; does nothing the second time."""
        self._thread.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # Tasks

    def submit(
        self,
        name: str,
        args: Mapping[str, Any] | Sequence[Any] | None = None,
        **options: Unpack[SubmitOptions],
    ) -> Task:
        return self._task(lambda client: client.submit(name, args, **options))

    def submit_many(self, submissions: Iterable[Submission]) -> list[Task]:
        tasks = self._thread.run(lambda client: client.submit_many(submissions))
        return [Task(self._thread, task) for task in tasks]

    def get(self, task_id: str) -> Task:
        return self._task(lambda client: client.get(task_id))

    def list(
        self,
        *,
        state: str | None = None,
        queue: str | None = None,
        name: str | None = None,
        schedule: str | None = None,
        page_size: int = 100,
    ) -> Iterator[Task]:
        found = self._thread.iterate(
            lambda client: client.list(
                state=state, queue=queue, name=name, schedule=schedule, page_size=page_size
            )
        )
        return (Task(self._thread, task) for task in found)

    def cancel(self, task_id: str) -> Task:
        return self._task(lambda client: client.cancel(task_id))

    def update(self, task_id: str, **changes: Unpack[UpdateOptions]) -> Task:
        return self._task(lambda client: client.update(task_id, **changes))

    def move(
        self,
        task_id: str,
        worker: str | None = None,
        *,
        labels: Mapping[str, Any] | None = None,
    ) -> Task:
        return self._task(lambda client: client.move(task_id, worker, labels=labels))

    def requeue(self, task_id: str) -> Task:
        return self._task(lambda client: client.requeue(task_id))

    def why(self, task_id: str) -> Reasons:
        return self._thread.run(lambda client: client.why(task_id))

    # Who does them

    def workers(self) -> Records:
        return self._thread.run(lambda client: client.workers())

    def queues(self) -> Records:
        return self._thread.run(lambda client: client.queues())

    def pause_queue(self, queue: str) -> None:
        self._thread.run(lambda client: client.pause_queue(queue))

    def resume_queue(self, queue: str) -> None:
        self._thread.run(lambda client: client.resume_queue(queue))

    def token(
        self,
        *,
        worker: str | None = None,
        names: Iterable[str] | None = None,
        watch: Iterable[str] | None = None,
        queues: Iterable[str] | None = None,
        fleet: bool = False,
        ttl: float = 3600.0,
    ) -> str:
        return self._unopened.token(
            worker=worker, names=names, watch=watch, queues=queues, fleet=fleet, ttl=ttl
        )

    def _task(self, work: Callable[[AsyncClient], Any]) -> Task:
        return Task(self._thread, self._thread.run(work))
