"""One test's workers and watchers around a deployment that it shares with others."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import AsyncExitStack
from typing import Any

from callboard_client import Authorizer, Channel, Client, Event, SecretAuthorizer
from callboard_scheduler import AsyncClient, Worker
from callboard_scheduler.client.async_task import AsyncTask
from support.task_processes import APP, PATIENCE_SECONDS, Deployment

_numbers = itertools.count(1)


class Stage:
    """Workers run on the test's loop, so that it can await what happens in their functions.

    Everything has the names of a queue of the test's own, and is gone after it.
    """

    def __init__(self, deployment: Deployment, client: AsyncClient) -> None:
        self.deployment = deployment
        self.client = client
        self.queue = f"q{next(_numbers)}"
        self._serving: dict[Worker, asyncio.Task[None]] = {}
        self._stack = AsyncExitStack()

    async def close(self) -> None:
        for worker in list(self._serving):
            await self.end(worker)
        await self._stack.aclose()

    # Workers

    def name(self, name: str) -> str:
        """Return a worker's id, which no other test's worker has."""
        return f"{self.queue}-{name}"

    def worker(self, name: str = "worker", **options: Any) -> Worker:
        return Worker(**{"id": self.name(name), "queues": [self.queue], **options})

    async def run(self, worker: Worker, url: str | None = None, **options: Any) -> None:
        """Let a worker serve until the end of the test; return once it is welcomed."""
        ready = asyncio.Event()
        serving = asyncio.create_task(
            worker.serve(
                url or self.deployment.service,
                foreign=self.deployment.remote,
                on_ready=lambda _: ready.set(),
                **options,
            )
        )
        self._serving[worker] = serving
        welcomed = asyncio.create_task(ready.wait())
        await asyncio.wait(
            (serving, welcomed), timeout=PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        if not ready.is_set():
            welcomed.cancel()
            del self._serving[worker]
            assert serving.done(), "nobody has welcomed the worker"
            await serving

    async def end(self, worker: Worker) -> None:
        """Let a worker leave; what it runs is handed back."""
        serving = self._serving.pop(worker)
        worker.drain(0.0)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await serving

    # Tasks

    async def submit(self, name: str, *args: Any, **options: Any) -> AsyncTask:
        return await self.client.submit(name, list(args), **{"queue": self.queue, **options})

    async def workers(self) -> dict[str, dict[str, Any]]:
        """Return this test's workers as the API has them, by name."""
        prefix = f"{self.queue}-"
        return {
            each["id"].removeprefix(prefix): each
            for each in await self.client.workers()
            if each["id"].startswith(prefix)
        }

    # Watchers

    async def connect(self, authorizer: Authorizer | None = None) -> Client:
        """Connect any Pusher client, which signs for itself unless somebody else does."""
        authorizer = authorizer or SecretAuthorizer(APP.key, APP.secret)
        client = Client(APP.key, "127.0.0.1", self.deployment.port, authorizer=authorizer)
        return await self._stack.enter_async_context(client)


async def hear(channel: Channel, *names: str) -> Event:
    """Return the channel's next event that has one of these names."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            event = await channel.get()
            if event.event in names:
                return event


async def happens(event: asyncio.Event) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await event.wait()
