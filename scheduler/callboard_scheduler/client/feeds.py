"""The feeds of tasks over one WebSocket, for as many waiters as there are.

The connection is made when somebody first waits, and kept. What a waiter is told, in order:

1. ``Signal.SUBSCRIBED`` when the feed is heard from here on, and again after each reconnect.
2. The feed's events, as they come.
3. ``Signal.SUBSCRIBED`` once more in place of what did not fit: a waiter that is slow loses
   hints, never memory.

A lost connection is repaired behind the waiters' backs. Only when there is none for
``patience_seconds``, or the service refuses, do they get an error instead of waiting for ever;
whoever waits after that begins with a new connection.
"""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import orjson

from callboard_client import (
    ClientClosed,
    ClientError,
    ConnectionFailed,
    Event,
    SecretAuthorizer,
    State,
    Timings,
)
from callboard_client.signed_request import Credentials
from callboard_scheduler import names
from callboard_scheduler.client.errors import Refused, TaskClientError, Unreachable

if TYPE_CHECKING:
    from callboard_client import Client

#: Hints kept for a waiter that does not take them.
_MAX_HINTS: Final = 1_000
#: Somebody waits at the other end of this: come back sooner than a page in a browser would.
_TIMINGS: Final = Timings(first_retry_seconds=0.2, max_retry_seconds=5.0)


class Signal(enum.Enum):
    #: What was said before may have been missed.
    SUBSCRIBED = "subscribed"


Hint = Signal | Event


class Feed:
    """One waiter's view of one task's feed; :meth:`Feeds.follow` makes it."""

    def __init__(self) -> None:
        self._hints: deque[Hint] = deque()
        self._error: TaskClientError | None = None
        self._something = asyncio.Event()

    async def get(self, timeout: float | None = None) -> Hint:
        """Return the next hint; wait for it up to ``timeout`` seconds.

        Raises:
            TimeoutError: there was none.
            TaskClientError: there will be none, and why.
        """
        async with asyncio.timeout(timeout):
            await self._something.wait()
        if self._error is not None:
            raise self._error.with_traceback(None)
        return self._take()

    def rest(self) -> list[Hint]:
        """Return what has come already."""
        taken = []
        while self._hints:
            taken.append(self._take())
        return taken

    def put(self, hint: Hint) -> None:
        if len(self._hints) >= _MAX_HINTS:
            self._hints.clear()
            hint = Signal.SUBSCRIBED
        self._hints.append(hint)
        self._something.set()

    def fail(self, error: TaskClientError) -> None:
        self._error = error
        self._something.set()

    def _take(self) -> Hint:
        hint = self._hints.popleft()
        if not self._hints and self._error is None:
            self._something.clear()
        return hint


class Feeds:
    """The feeds of one namespace of an app; ``close()`` it in the end.

    ``patience_seconds`` is how long waiters bear to be without a connection.
    """

    def __init__(
        self, credentials: Credentials, *, namespace: str, patience_seconds: float
    ) -> None:
        self._credentials = credentials
        self._namespace = namespace
        self._patience_seconds = patience_seconds
        self._client: Client | None = None
        self._feeds: dict[str, list[Feed]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Close the connection; whoever still waits is told."""
        self._end(Unreachable("the client is closed: make a new one to wait for tasks again"))
        while self._tasks:
            await asyncio.wait(self._tasks)

    @asynccontextmanager
    async def follow(self, task_id: str) -> AsyncIterator[Feed]:
        """Hear the feed of a task within the block."""
        client = self._connected_or_connecting()
        name = names.task_channel(self._namespace, task_id)
        feed = Feed()
        feeds = self._feeds.setdefault(name, [])
        feeds.append(feed)
        channel = client.channel(name, max_queued_events=0)
        if len(feeds) == 1:
            channel.bind(None, lambda event: self._heard(name, event))
            self._spawn(_subscribe(client, name))
        elif channel.subscribed:
            feed.put(Signal.SUBSCRIBED)
        try:
            yield feed
        finally:
            feeds.remove(feed)
            # After an end the name may be followed anew, on another connection.
            if not feeds and self._feeds.get(name) is feeds:
                del self._feeds[name]
                await client.unsubscribe(name)

    def _connected_or_connecting(self) -> Client:
        if self._client is None:
            # Whoever only submits does not pay for a WebSocket library.
            from callboard_client import Client

            at = urlsplit(self._credentials.base)
            secure = at.scheme == "https"
            self._client = Client(
                self._credentials.key,
                at.hostname or "",
                at.port or (443 if secure else 80),
                tls=secure,
                path=at.path,
                authorizer=SecretAuthorizer(self._credentials.key, self._credentials.secret),
                timings=_TIMINGS,
                on_state=self._state_changed,
            )
            self._client.start()
        return self._client

    def _state_changed(self, state: State) -> None:
        # A refusal for good may also come while nobody expects a connection.
        if state in (State.CONNECTING, State.FAILED) and self._client is not None:
            self._spawn(self._expect_connection(self._client))

    async def _expect_connection(self, client: Client) -> None:
        try:
            await client.connected(self._patience_seconds)
            return
        except ConnectionFailed as failed:
            error: TaskClientError = Refused(None, f"{self._credentials.base}: {failed}")
        except TimeoutError as late:
            error = Unreachable(f"cannot hear {self._credentials.base}: {late}")
        except ClientClosed:
            return
        if client is self._client:
            self._end(error)

    def _heard(self, name: str, event: Event) -> None:
        feeds = self._feeds.get(name, [])
        if event.event == "pusher:subscription_succeeded":
            for feed in feeds:
                feed.put(Signal.SUBSCRIBED)
        elif event.event == "pusher:subscription_error":
            self._feeds.pop(name, None)
            for feed in feeds:
                feed.fail(_refusal(name, event.data))
        elif not event.event.startswith(("pusher:", "client-")):
            for feed in feeds:
                feed.put(event)

    def _end(self, error: TaskClientError) -> None:
        """Give the connection up; the next who waits makes another."""
        client, self._client = self._client, None
        ended, self._feeds = self._feeds, {}
        for feeds in ended.values():
            for feed in feeds:
                feed.fail(error)
        if client is not None:
            self._spawn(client.close())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _refusal(name: str, text: str) -> Refused:
    """Return what ``pusher:subscription_error`` means, from its JSON where it is that."""
    try:
        said = orjson.loads(text)
    except orjson.JSONDecodeError:
        said = None
    if not isinstance(said, dict):
        return Refused(None, f"cannot watch {name}: {text}")
    doubt = "is the secret of the service right? " if said.get("type") == "AuthError" else ""
    return Refused(None, f"{doubt}cannot watch {name}: {said.get('error') or text}")


async def _subscribe(client: Client, name: str) -> None:
    """Ask for a subscription; the channel's callback hears what becomes of it."""
    try:
        await client.subscribe(name)
    except ClientError:
        pass
