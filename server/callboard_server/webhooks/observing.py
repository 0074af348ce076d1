"""The observer: what happens on an app's channels goes into the queues of its webhooks."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

from callboard_protocol import webhooks
from callboard_protocol.reserved import is_reserved
from callboard_server.brokers import Occurrence, Transition
from callboard_server.clock import Clock
from callboard_server.deadlines import Deadlines
from callboard_server.reservations import Reservations
from callboard_server.settings import AppSettings, WebhookEventType, WebhookSettings
from callboard_server.webhooks.complaints import Complaints
from callboard_server.webhooks.deliveries import Counts, Deliveries, Means, Notice
from callboard_server.webhooks.posting import Poster
from callboard_server.webhooks.settling import Settle, Settling
from callboard_server.webhooks.timing import Timing

logger = logging.getLogger("callboard.webhooks")

#: Channels whose last ``cache_miss`` is remembered; beyond it one may be told again early.
MAX_CACHE_MISSES: Final = 10_000

_EVENT_TYPES: Final = {occurrence: WebhookEventType(occurrence.value) for occurrence in Occurrence}


class Webhooks:
    """Implements :class:`~callboard_server.observer.Observer`.

    Calls of the observer's methods only append to queues. The app's settings come with each
    event, so webhooks may change at any time; what is queued already goes out as it was meant.
    """

    def __init__(
        self,
        *,
        settle: Settle,
        deadlines: Deadlines,
        clock: Clock,
        time: Callable[[], float],
        poster: Poster,
        reservations: Reservations | None = None,
        timing: Timing | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        chance: Callable[[], float] | None = None,
    ) -> None:
        timing = timing or Timing()
        self._timing = timing
        self._clock = clock
        self._time = time
        self._reservations = Reservations() if reservations is None else reservations
        self._settling = Settling(settle, self._tell_transition, deadlines, timing.settle)
        self._poster = poster
        self.counts = Counts()
        self._means = Means(
            poster=poster,
            timing=timing,
            time=time,
            sleep=sleep,
            chance=chance or secrets.SystemRandom().random,
            complaints=Complaints(logger, time),
            counts=self.counts,
        )
        #: By app id, place in the app's list, and URL.
        self._deliveries: dict[tuple[str, int, str], Deliveries] = {}
        #: When a channel's ``cache_miss`` was last told, the oldest first.
        self._cache_misses: dict[tuple[str, str], float] = {}
        self._stopped = False

    @property
    def queued(self) -> int:
        """The number of events that are not delivered yet."""
        return sum(deliveries.queued for deliveries in self._deliveries.values())

    # Observer

    def wants_transitions(self, app: AppSettings) -> bool:
        return bool(app.webhooks) and not self._stopped and self._timing.settle > 0

    def transition(self, app: AppSettings, transition: Transition) -> None:
        if self._stopped:
            return
        if transition.provisional:
            self._settling.add(app, transition)
        else:
            self._tell_transition(app, transition)

    def client_event(
        self,
        app: AppSettings,
        channel: str,
        event: str,
        data: str,
        socket_id: str,
        user_id: str | None,
    ) -> None:
        wanting = self._wanting(app, WebhookEventType.CLIENT_EVENT, channel)
        if wanting:
            payload = webhooks.client_event(channel, event, data, socket_id, user_id)
            self._queue(app, wanting, payload)

    def cache_miss(self, app: AppSettings, channel: str) -> None:
        wanting = self._wanting(app, WebhookEventType.CACHE_MISS, channel)
        if wanting and self._is_news(app, channel):
            self._queue(app, wanting, webhooks.cache_miss(channel))

    def subscription_count(self, app: AppSettings, channel: str, count: int) -> None:
        wanting = self._wanting(app, WebhookEventType.SUBSCRIPTION_COUNT, channel)
        if wanting:
            self._queue(app, wanting, webhooks.subscription_count(channel, count))

    # The end

    def forget(self) -> None:
        """Drop what waits, also what is being posted, and go on with what comes."""
        self._settling.forget()
        self._cache_misses.clear()
        deliveries, self._deliveries = self._deliveries, {}
        for each in deliveries.values():
            if each.worker is not None:
                each.worker.cancel()

    async def stop(self) -> None:
        """Deliver what can be delivered in ``timing.farewell`` seconds, and drop the rest.

        Nothing is taken from then on. Safe to call twice.
        """
        if self._stopped:
            return
        deadline = self._time() + self._timing.farewell
        try:
            await asyncio.wait_for(self._settling.finish(), self._timing.farewell)
        except TimeoutError:
            pass
        self._stopped = True
        await self._finish(max(0.0, deadline - self._time()))
        await self._poster.close()
        undelivered = self.queued + len(self._settling)
        self.counts.dropped += undelivered
        if self.counts.dropped:
            logger.warning(
                "webhook events lost undelivered_at_the_end=%d in_all=%d delivered=%d",
                undelivered,
                self.counts.dropped,
                self.counts.delivered,
            )

    async def _finish(self, seconds: float) -> None:
        """Let the workers work for ``seconds``; one whose receiver is down has one more try."""
        workers = []
        for deliveries in self._deliveries.values():
            if deliveries.worker is not None:
                workers.append(deliveries.worker)
                deliveries.hurry()
        if workers:
            _, late = await asyncio.wait(workers, timeout=seconds)
            for worker in late:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    # Within

    def _tell_transition(self, app: AppSettings, transition: Transition) -> None:
        kind = _EVENT_TYPES[transition.occurrence]
        wanting = self._wanting(app, kind, transition.channel)
        if wanting:
            self._queue(app, wanting, _payload(transition))

    def _wanting(
        self, app: AppSettings, kind: WebhookEventType, channel: str
    ) -> list[tuple[int, WebhookSettings]]:
        """Return the app's webhooks, by place, that are told of ``kind`` on ``channel``."""
        if not app.webhooks or self._stopped or channel.startswith("#"):
            return []
        reserved = self._reservations.holds(app.id, channel)
        return [
            (place, webhook)
            for place, webhook in enumerate(app.webhooks)
            if (not webhook.events or kind in webhook.events)
            and channel.startswith(webhook.channel_prefix)
            and channel.endswith(webhook.channel_suffix)
            and (not reserved or is_reserved(webhook.channel_prefix))
        ]

    def _queue(
        self, app: AppSettings, wanting: list[tuple[int, WebhookSettings]], payload: bytes
    ) -> None:
        notice = Notice(payload, int(self._clock.now() * 1000), self._time())
        for place, webhook in wanting:
            key = (app.id, place, webhook.url)
            deliveries = self._deliveries.get(key)
            if deliveries is None:
                self._forget_idle()
                deliveries = self._deliveries[key] = Deliveries(self._means, app, webhook, place)
            deliveries.put(app, webhook, notice)

    def _forget_idle(self) -> None:
        """Webhooks come and go with the configuration; only those with work are kept."""
        for key, deliveries in list(self._deliveries.items()):
            if deliveries.worker is None:
                del self._deliveries[key]

    def _is_news(self, app: AppSettings, channel: str) -> bool:
        """Whether the channel's ``cache_miss`` was not told a moment ago, by anybody's."""
        now = self._time()
        told = self._cache_misses
        while told and (
            len(told) >= MAX_CACHE_MISSES
            or next(iter(told.values())) + self._timing.cache_miss <= now
        ):
            del told[next(iter(told))]
        key = (app.id, channel)
        if key in told:
            return False
        told[key] = now
        return True


def _payload(transition: Transition) -> bytes:
    channel, user_id = transition.channel, transition.user_id or ""
    match transition.occurrence:
        case Occurrence.CHANNEL_OCCUPIED:
            return webhooks.channel_occupied(channel)
        case Occurrence.CHANNEL_VACATED:
            return webhooks.channel_vacated(channel)
        case Occurrence.MEMBER_ADDED:
            return webhooks.member_added(channel, user_id)
        case Occurrence.MEMBER_REMOVED:
            return webhooks.member_removed(channel, user_id)
