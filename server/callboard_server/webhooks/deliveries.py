"""What waits to be posted to one webhook, and the worker that posts it.

A body is made when its turn comes and stays the same bytes, with the same signature and time,
however often it is posted. The next one waits until it is delivered or given up, so what a
receiver hears is in order. What is dropped is dropped from the old end.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from callboard_protocol import webhooks
from callboard_server.settings import AppSettings, WebhookSettings
from callboard_server.webhooks.backoff import pause
from callboard_server.webhooks.complaints import Complaints
from callboard_server.webhooks.posting import Outcome, Poster
from callboard_server.webhooks.timing import Timing

#: What may wait for one webhook.
MAX_QUEUED_EVENTS: Final = 10_000
MAX_QUEUED_BYTES: Final = 16 * 1024 * 1024
#: What one request may hold; body parsers of web frameworks often stop at 100 KB.
MAX_BATCH_EVENTS: Final = 500
MAX_BATCH_BYTES: Final = 64 * 1024


class Notice(NamedTuple):
    """One event as JSON, when it occurred, and the same moment on the loop's clock."""

    payload: bytes
    time_ms: int
    at: float


class _Queued(NamedTuple):
    """A notice and the settings of its moment, with which it is posted whenever that is."""

    notice: Notice
    app: AppSettings
    webhook: WebhookSettings

    def goes_with(self, other: _Queued) -> bool:
        """Whether one request can hold both."""
        app, its = self.app, other.app
        same_signature = (app.key, app.secret) == (its.key, its.secret)
        return same_signature and self.webhook == other.webhook


@dataclass(slots=True)
class Counts:
    """Events since the start, over all webhooks."""

    delivered: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Means:
    """What the deliveries of all webhooks share; time and chance come in here."""

    poster: Poster
    timing: Timing
    #: Seconds of a clock that does not go back.
    time: Callable[[], float]
    sleep: Callable[[float], Awaitable[object]]
    #: A number from 0 to 1, another one each time.
    chance: Callable[[], float]
    complaints: Complaints
    counts: Counts


class _Request(NamedTuple):
    url: str
    headers: Mapping[str, str]
    body: bytes
    events: int
    #: When it is too old to be tried again.
    expires: float


class Deliveries:
    """The events of one webhook: a bounded queue and, while it holds any, one worker.

    ``place`` is the webhook's number among the app's, for the log.
    """

    def __init__(
        self, means: Means, app: AppSettings, webhook: WebhookSettings, place: int
    ) -> None:
        self._means = means
        # The rest of a URL is often a secret.
        parts = urlsplit(webhook.url)
        origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._name = f"app={app.id} webhook={place} target={origin}"
        self._queue: deque[_Queued] = deque()
        self._queued_bytes = 0
        self._in_flight = 0
        self._failures = 0
        self._hurried = False
        self._rest: asyncio.Future[object] | None = None
        self._worker: asyncio.Task[None] | None = None

    @property
    def queued(self) -> int:
        """The number of events that are not delivered yet."""
        return len(self._queue) + self._in_flight

    @property
    def worker(self) -> asyncio.Task[None] | None:
        """The task that is posting; None when nothing waits."""
        return None if self._worker is None or self._worker.done() else self._worker

    def put(self, app: AppSettings, webhook: WebhookSettings, notice: Notice) -> None:
        """Queue an event, and drop the oldest ones if there are too many.

        It is posted with these settings, whatever they are for later events.
        """
        self._queue.append(_Queued(notice, app, webhook))
        self._queued_bytes += len(notice.payload)
        overfull = 0
        while len(self._queue) > MAX_QUEUED_EVENTS or (
            self._queued_bytes > MAX_QUEUED_BYTES and len(self._queue) > 1
        ):
            self._take()
            overfull += 1
        if overfull:
            self._lost("overfull", overfull, "the queue is full, the oldest are dropped")
        if self.worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._work())

    def hurry(self) -> None:
        """Go on at once, and end at the first failure: there is no time for another try."""
        self._hurried = True
        if self._rest is not None:
            self._rest.cancel()

    def _take(self) -> _Queued:
        taken = self._queue.popleft()
        self._queued_bytes -= len(taken.notice.payload)
        return taken

    # The worker

    async def _work(self) -> None:
        while self._queue and not (self._hurried and self._failures):
            if self._queue[0].webhook.batch:
                await self._gather()
            self._drop_expired()
            if self._queue:
                await self._deliver(self._request())

    async def _gather(self) -> None:
        """Let what happens together come together; what has waited need not wait more."""
        wait = self._queue[0].notice.at + self._means.timing.batch_window - self._means.time()
        if wait > 0:
            await self._pause(wait)

    async def _pause(self, seconds: float) -> None:
        """Sleep, until hurried."""
        if self._hurried:
            return
        self._rest = asyncio.ensure_future(self._means.sleep(seconds))
        try:
            await asyncio.wait([self._rest])
        finally:
            self._rest.cancel()
            self._rest = None

    def _drop_expired(self) -> None:
        oldest = self._means.time() - self._means.timing.retry_for
        expired = 0
        while self._queue and self._queue[0].notice.at < oldest:
            self._take()
            expired += 1
        if expired:
            self._expired(expired)

    def _request(self) -> _Request:
        """Make a request of what is oldest, and sign it."""
        first = self._take()
        notices = [first.notice]
        if first.webhook.batch:
            size = len(first.notice.payload)
            while self._queue and len(notices) < MAX_BATCH_EVENTS:
                size += len(self._queue[0].notice.payload) + 1
                if size > MAX_BATCH_BYTES or not self._queue[0].goes_with(first):
                    break
                notices.append(self._take().notice)
        body = webhooks.body(notices[-1].time_ms, [notice.payload for notice in notices])
        app, webhook = first.app, first.webhook
        return _Request(
            url=webhook.url,
            headers={**webhook.headers, **webhooks.signed_headers(app.key, app.secret, body)},
            body=body,
            events=len(notices),
            expires=notices[0].at + self._means.timing.retry_for,
        )

    async def _deliver(self, request: _Request) -> None:
        """Post until it is delivered, refused for good, or too old."""
        self._in_flight = request.events
        while self._in_flight:
            last_try = self._hurried
            outcome = await self._means.poster.post(request.url, request.headers, request.body)
            if outcome.delivered:
                self._delivered(request)
            elif not outcome.again:
                self._lost("refused", request.events, f"refused: {outcome.reason}")
                self._in_flight = 0
            else:
                wait = self._failed(outcome)
                if last_try:
                    return
                if self._means.time() + wait > request.expires:
                    self._expired(request.events)
                    self._in_flight = 0
                # Also before the next request: the receiver is no better for it.
                await self._pause(wait)

    def _delivered(self, request: _Request) -> None:
        self._in_flight = 0
        self._means.counts.delivered += request.events
        if self._failures:
            text = f"webhook delivered again {self._name} failures={self._failures}"
            self._means.complaints.say((self._name, "again"), text, level=logging.INFO)
            self._failures = 0

    def _failed(self, outcome: Outcome) -> float:
        """Count a failure, and return how long to wait."""
        self._failures += 1
        means = self._means
        timing = means.timing
        wait = pause(self._failures, timing.first_retry, timing.longest_pause, means.chance())
        text = f"webhook failed {self._name} reason={outcome.reason!r} queued={len(self._queue)}"
        means.complaints.say((self._name, "failed"), text)
        return wait

    def _expired(self, events: int) -> None:
        seconds = self._means.timing.retry_for
        self._lost("expired", events, f"not delivered for {seconds:g} s, dropped")

    def _lost(self, kind: str, events: int, why: str) -> None:
        self._means.counts.dropped += events
        text = f"webhook events lost {self._name} {why}"
        self._means.complaints.say((self._name, kind), text, events)
