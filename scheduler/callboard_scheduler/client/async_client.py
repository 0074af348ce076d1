"""Submit tasks to a scheduler, wait for them, and change them, on the caller's own loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self, Unpack

from callboard_client.api import ApiClient
from callboard_client.clock import unix_time
from callboard_client.signed_request import Credentials
from callboard_scheduler import tokens
from callboard_scheduler.client.async_schedules import AsyncSchedules, Records
from callboard_scheduler.client.async_task import AsyncTask
from callboard_scheduler.client.bodies import (
    BATCH_SIZE,
    Submission,
    SubmitOptions,
    UpdateOptions,
    batch_bodies,
    submit_body,
)
from callboard_scheduler.client.calls import Calls
from callboard_scheduler.client.feeds import Feeds
from callboard_scheduler.client.watching import Patience
from callboard_scheduler.records import DEFAULT_NAMESPACE

Reasons = list[str]
DEFAULT_PATIENCE = Patience()


class AsyncClient:
    """A client of the scheduler of the app in ``http://KEY:SECRET@HOST:PORT/apps/ID``.

    ``async with`` it. One HTTP session serves all calls, and one WebSocket, made when somebody
    first waits, all waiting. ``service`` is where that goes, a URL of the same form, if the
    scheduler at ``url`` works over a service elsewhere (``callboard scheduler``).
    ``timeout_seconds`` is for each HTTP call, ``patience`` for waiting. ``clock`` returns Unix
    time in seconds.

    Calls raise :class:`~callboard_scheduler.client.errors.TaskClientError`: ``Unreachable``, or
    a ``Refused`` with the scheduler's reason.
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
        self._credentials = at = Credentials.from_url(url)
        self._url = f"{at.base}/apps/{at.app_id}"
        self._namespace = namespace
        self._patience = patience
        self._clock = clock
        api = ApiClient(url, timeout_seconds=timeout_seconds, clock=clock)
        self._calls = Calls(api, self._url)
        self._feeds = Feeds(
            Credentials.from_url(service or url),
            namespace=namespace,
            patience_seconds=patience.outage_seconds,
        )
        self._stack = AsyncExitStack()
        #: Tasks and events at times to come.
        self.schedules = AsyncSchedules(self._calls)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._url}>"

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._calls)
        self._stack.push_async_callback(self._feeds.close)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    # Tasks

    async def submit(
        self,
        name: str,
        args: Mapping[str, Any] | Sequence[Any] | None = None,
        **options: Unpack[SubmitOptions],
    ) -> AsyncTask:
        """Submit a task; it is stored, safe from a power cut, when this returns.

        ``args`` is a mapping (keyword arguments) or a list (positional ones). When the answer is
        lost (``Unreachable``), the task may have been taken: with a ``unique_key`` submitting it
        again is safe.

        Raises:
            BacklogFull, Conflict, Refused, Unreachable: nothing was submitted, but for the last.
            TypeError, ValueError: ``args`` is not JSON, or a datetime has no zone.
        """
        return self._task(await self._calls.post("tasks", body=submit_body(name, args, options)))

    async def submit_many(self, submissions: Iterable[Submission]) -> list[AsyncTask]:
        """Submit tasks, each a mapping of what :meth:`submit` takes, and return them in order.

        A thousand go in one call, which takes all of them or none. Raises as :meth:`submit`.
        """
        bodies = batch_bodies(submissions)
        tasks: list[AsyncTask] = []
        for start in range(0, len(bodies), BATCH_SIZE):
            batch = {"batch": bodies[start : start + BATCH_SIZE]}
            answer = await self._calls.post("batch_tasks", body=batch)
            tasks += [self._task(each) for each in answer["batch"]]
        return tasks

    async def get(self, task_id: str) -> AsyncTask:
        """Return a task with its record. Raises NotFound."""
        record = await self._calls.get("tasks", task_id)
        return self._task(record, whole=True)

    async def list(
        self,
        *,
        state: str | None = None,
        queue: str | None = None,
        name: str | None = None,
        schedule: str | None = None,
        page_size: int = 100,
    ) -> AsyncGenerator[AsyncTask, None]:
        """Iterate over the tasks that have all these properties, newest first, page by page.

        ``state`` may be several with commas between. Large values are left out of the records,
        whose ``left_out`` names them; ``refresh()`` reads all of one.
        """
        wanted = {"state": state, "queue": queue, "name": name, "schedule": schedule}
        query = {key: value for key, value in wanted.items() if value is not None}
        query["limit"] = str(page_size)
        while True:
            page = await self._calls.get("tasks", query=query)
            for record in page["tasks"]:
                yield self._task(record, whole=True)
            if not page.get("cursor"):
                return
            query["cursor"] = page["cursor"]

    async def cancel(self, task_id: str) -> AsyncTask:
        """Cancel a task. Raises NotFound, and Conflict if it has ended."""
        return await self._unread(task_id).cancel()

    async def update(self, task_id: str, **changes: Unpack[UpdateOptions]) -> AsyncTask:
        """Change a task as :meth:`AsyncTask.update` does."""
        return await self._unread(task_id).update(**changes)

    async def move(
        self,
        task_id: str,
        worker: str | None = None,
        *,
        labels: Mapping[str, Any] | None = None,
    ) -> AsyncTask:
        """Give a task to others as :meth:`AsyncTask.move` does."""
        return await self._unread(task_id).move(worker, labels=labels)

    async def requeue(self, task_id: str) -> AsyncTask:
        """Begin a task anew as :meth:`AsyncTask.requeue` does."""
        return await self._unread(task_id).requeue()

    async def why(self, task_id: str) -> Reasons:
        """Return in sentences why a task waits, or why it ran as often as it did."""
        return await self._unread(task_id).why()

    # Who does them

    async def workers(self) -> Records:
        """Return the workers as the API has them: ``id``, ``state``, ``slots``, ``free``, …"""
        return list((await self._calls.get("workers"))["workers"])

    async def queues(self) -> Records:
        """Return the queues as the API has them."""
        return list((await self._calls.get("queues"))["queues"])

    async def pause_queue(self, queue: str) -> None:
        """Give out no more tasks of a queue; those that run go on."""
        await self._calls.post("queues", queue, "pause")

    async def resume_queue(self, queue: str) -> None:
        """Give out the tasks of a queue again."""
        await self._calls.post("queues", queue, "resume")

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
        """Return a token for somebody without the secret, good for ``ttl`` seconds.

        With ``worker`` (an id, or the start of ids with ``*``) its holder may be that worker, for
        tasks of ``queues`` with ``names``, None for all. Otherwise its holder may watch: the
        tasks ``watch`` by id, the ``queues``, both ``"*"`` for all, and the ``fleet``. Made
        without asking anybody.

        Raises:
            ValueError: neither or both, or an id that no channel's name can have.
        """
        at, expires = self._credentials, int(self._clock() + ttl)
        watches = watch is not None or fleet
        if worker is not None and not watches:
            return tokens.worker_token(
                at.key,
                at.secret,
                worker=worker,
                queues=queues,
                names=names,
                expires=expires,
                namespace=self._namespace,
            )
        if worker is not None or names is not None or not (watches or queues is not None):
            raise ValueError(
                "a token is for a worker (worker=, perhaps queues= and names=) "
                "or for watching (watch=, queues=, fleet=)"
            )
        return tokens.watch_token(
            at.key,
            at.secret,
            tasks=watch or (),
            queues=queues or (),
            fleet=fleet,
            expires=expires,
            namespace=self._namespace,
        )

    def _task(self, answer: Mapping[str, Any], *, whole: bool = False) -> AsyncTask:
        return AsyncTask(self._calls, self._feeds, self._patience, answer, whole=whole)

    def _unread(self, task_id: str) -> AsyncTask:
        return self._task({"id": task_id, "state": ""})
