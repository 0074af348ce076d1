"""What happens on the channels, and which webhooks are told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from callboard_server.brokers import Occurrence, Transition
from callboard_server.clock import Clock
from callboard_server.deadlines import TICK_SECONDS, Deadlines
from callboard_server.reservations import Reservations
from callboard_server.settings import AppSettings, WebhookEventType, WebhookSettings
from callboard_server.webhooks import Timing, Webhooks, observing
from callboard_server.webhooks.posting import DELIVERED, Outcome

LOST_SEVEN = "webhook events lost undelivered_at_the_end=7 in_all=7 delivered=0"
DOWN = Outcome(delivered=False, reason="status 503")


class Stage:
    """Webhooks with a receiver that notes what it is told, and time that a test moves on."""

    def __init__(self, timing: Timing | None = None) -> None:
        self.now = 100.0
        self.deadlines = Deadlines(self.now)
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.outcome = DELIVERED
        #: Provisional transitions that nobody has undone.
        self.provisional: set[int] = set()
        self.closed = False
        self.reservations = Reservations()
        self.webhooks = Webhooks(
            settle=self._settle,
            deadlines=self.deadlines,
            clock=TheDay(),
            time=lambda: self.now,
            poster=self,
            reservations=self.reservations,
            timing=timing,
        )

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        if self.outcome.delivered:
            self.told += [(url, event) for event in orjson.loads(body)["events"]]
        return self.outcome

    async def close(self) -> None:
        self.closed = True

    def pass_time(self, seconds: float) -> None:
        """Move on as the server's sweep does."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + TICK_SECONDS)
            self.deadlines.advance(self.now)

    async def names(self) -> list[str]:
        """Return the names of the events told so far."""
        return [event["name"] for event in await self.events()]

    async def events(self) -> list[dict[str, Any]]:
        while self.webhooks.queued:
            await asyncio.sleep(0)
        return [event for _, event in self.told]

    def leaves(self, app: AppSettings, *, n: int = 1) -> None:
        """The only member of a presence channel is cut off."""
        for occurrence, user_id in (
            (Occurrence.MEMBER_REMOVED, "7"),
            (Occurrence.CHANNEL_VACATED, None),
        ):
            self.provisional.add(n)
            self.webhooks.transition(
                app, Transition(app.id, occurrence, "presence-c", user_id, n, provisional=True)
            )
            n += 1

    async def _settle(self, transition: Transition) -> bool:
        if transition.n in self.provisional:
            self.provisional.remove(transition.n)
            return True
        return False


class TheDay(Clock):
    def now(self) -> float:
        return 1_700_000_000.25


def app(*webhooks: WebhookSettings, **changes: Any) -> AppSettings:
    return AppSettings(
        **{"id": "shop", "key": "key", "secret": "secret", "webhooks": webhooks, **changes}
    )


def webhook(**changes: Any) -> WebhookSettings:
    return WebhookSettings(**{"url": "https://a.example.com/", **changes})


def everything(stage: Stage, app: AppSettings, channel: str = "presence-c") -> None:
    """One of each event."""
    observer = stage.webhooks
    for n, occurrence in enumerate(Occurrence):
        user_id = "7" if occurrence.value.startswith("member") else None
        observer.transition(app, Transition(app.id, occurrence, channel, user_id, n))
    observer.client_event(app, channel, "client-e", '{"a":1}', "1.2", "7")
    observer.cache_miss(app, channel)
    observer.subscription_count(app, channel, 3)


@pytest.mark.parametrize(
    "channel", ["private-sched.default.w.1", "private-cache-sched.t.1", "presence-sched.pool"]
)
async def test_channels_of_a_scheduler_are_told_to_who_names_them(channel: str) -> None:
    stage = Stage()
    named = webhook(channel_prefix=channel[: channel.index(".") + 1])
    prefixes = ("", channel.partition("-")[0])
    shop = app(named, *(webhook(channel_prefix=prefix) for prefix in prefixes))

    stage.reservations.add("shop")
    everything(stage, shop, channel)
    everything(stage, app(id="other"), channel)
    assert await stage.names() == ALL_SEVEN

    stage.reservations.discard("shop")
    stage.pass_time(60)  # or the misses would be no news
    everything(stage, shop, channel)
    assert sorted(await stage.names()) == sorted(ALL_SEVEN * 4)


ALL_SEVEN = [
    "channel_occupied", "channel_vacated", "member_added", "member_removed", "client_event",
    "cache_miss", "subscription_count",
]  # fmt: skip


@pytest.mark.documented("Webhooks", "A webhook without a choice of events is told all seven")
async def test_a_webhook_without_a_choice_is_told_all_seven_events() -> None:
    stage = Stage()

    everything(stage, app(webhook()))

    assert await stage.events() == [
        {"name": "channel_occupied", "channel": "presence-c"},
        {"name": "channel_vacated", "channel": "presence-c"},
        {"name": "member_added", "channel": "presence-c", "user_id": "7"},
        {"name": "member_removed", "channel": "presence-c", "user_id": "7"},
        {
            "name": "client_event",
            "channel": "presence-c",
            "event": "client-e",
            "data": '{"a":1}',
            "socket_id": "1.2",
            "user_id": "7",
        },
        {"name": "cache_miss", "channel": "presence-c"},
        {"name": "subscription_count", "channel": "presence-c", "subscription_count": 3},
    ]


class TestFilters:
    @pytest.mark.documented(
        "Webhooks", "Events are selected by kind and by the beginning or end of the channel's name"
    )
    @pytest.mark.parametrize("kind", WebhookEventType)
    async def test_one_kind_of_event(self, kind: WebhookEventType) -> None:
        stage = Stage()

        everything(stage, app(webhook(events=(kind,))))

        assert await stage.names() == [kind.value]

    async def test_several_kinds(self) -> None:
        stage = Stage()
        kinds = (WebhookEventType.MEMBER_REMOVED, WebhookEventType.MEMBER_ADDED)

        everything(stage, app(webhook(events=kinds)))

        assert await stage.names() == ["member_added", "member_removed"]

    @pytest.mark.documented(
        "Webhooks", "Events are selected by kind and by the beginning or end of the channel's name"
    )
    @pytest.mark.parametrize(
        ("changes", "channel", "count"),
        [
            ({"channel_prefix": "private-"}, "private-a", 7),
            ({"channel_prefix": "private-"}, "presence-a", 0),
            ({"channel_prefix": "private-"}, "a-private-", 0),
            ({"channel_suffix": "-orders"}, "private-eu-orders", 7),
            ({"channel_suffix": "-orders"}, "private-orders-eu", 0),
            ({"channel_prefix": "private-", "channel_suffix": "-a"}, "private-a", 7),
            ({"channel_prefix": "private-", "channel_suffix": "-a"}, "private-b", 0),
            ({"channel_prefix": "private-", "channel_suffix": "-a"}, "presence-a", 0),
        ],
    )
    async def test_channels_by_the_ends_of_their_names(
        self, changes: dict[str, str], channel: str, count: int
    ) -> None:
        stage = Stage()

        everything(stage, app(webhook(**changes)), channel)

        assert len(await stage.events()) == count

    async def test_each_webhook_has_its_own(self) -> None:
        stage = Stage()
        shop = app(
            webhook(url="https://a.example.com/", events=(WebhookEventType.CACHE_MISS,)),
            webhook(url="https://b.example.com/", channel_prefix="private-"),
            webhook(url="https://c.example.com/", events=(WebhookEventType.CLIENT_EVENT,)),
        )

        everything(stage, shop)
        await stage.events()

        assert {(url, event["name"]) for url, event in stage.told} == {
            ("https://a.example.com/", "cache_miss"),
            ("https://c.example.com/", "client_event"),
        }

    async def test_the_servers_own_channels_are_never_told(self) -> None:
        stage = Stage()

        everything(stage, app(webhook()), "#server-to-user-7")

        assert stage.webhooks.queued == 0
        assert await stage.events() == []


class TestApps:
    async def test_share_nothing_even_if_they_share_a_url(self) -> None:
        stage = Stage()
        one = app(webhook(batch=True), id="one")
        two = app(webhook(batch=True), id="two", key="key-2", secret="secret-2")
        bodies: list[tuple[str, list[str]]] = []

        async def post(url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
            events = orjson.loads(body)["events"]
            bodies.append((headers["X-Pusher-Key"], [event["channel"] for event in events]))
            return DELIVERED

        stage.post = post  # type: ignore[method-assign]

        for channel in ("a", "b"):
            stage.webhooks.subscription_count(one, f"one-{channel}", 1)
            stage.webhooks.subscription_count(two, f"two-{channel}", 1)
        await stage.events()

        assert sorted(bodies) == [("key", ["one-a", "one-b"]), ("key-2", ["two-a", "two-b"])]

    async def test_without_webhooks_are_not_to_be_asked_about_transitions(self) -> None:
        stage = Stage()

        everything(stage, app())

        assert not stage.webhooks.wants_transitions(app())
        assert stage.webhooks.wants_transitions(app(webhook()))
        assert stage.webhooks.queued == 0

    async def test_may_change_at_any_time(self) -> None:
        stage = Stage()
        stage.webhooks.subscription_count(app(webhook()), "a", 1)
        await stage.events()

        other = webhook(url="https://b.example.com/")
        stage.webhooks.subscription_count(app(other), "b", 1)
        stage.webhooks.subscription_count(app(), "c", 1)
        await stage.events()

        assert [(url, event["channel"]) for url, event in stage.told] == [
            ("https://a.example.com/", "a"),
            ("https://b.example.com/", "b"),
        ]

    async def test_that_are_gone_leave_nothing_behind(self) -> None:
        stage = Stage()
        for n in range(50):
            stage.webhooks.subscription_count(app(webhook(), id=f"app-{n}"), "a", 1)
            await stage.events()
            await asyncio.sleep(0)

        assert len(stage.webhooks._deliveries) == 1


class TestCutOff:
    """Three seconds in which a client may come back without anybody being told."""

    @pytest.mark.documented(
        "Webhooks", "`channel_vacated` and `member_removed` wait 3 seconds after a disconnect"
    )
    async def test_whoever_does_not_come_back_is_told_of_after_three_seconds(self) -> None:
        stage = Stage()

        stage.leaves(app(webhook()))
        stage.pass_time(2.99)
        assert await stage.names() == []
        stage.pass_time(0.51)

        assert await stage.names() == ["member_removed", "channel_vacated"]

    async def test_whoever_comes_back_is_not(self) -> None:
        stage = Stage()

        stage.leaves(app(webhook()))
        stage.pass_time(2)
        stage.provisional.clear()
        stage.pass_time(10)

        assert await stage.names() == []

    async def test_each_waits_for_itself(self) -> None:
        stage = Stage()
        shop = app(webhook())

        stage.leaves(shop, n=1)
        stage.pass_time(0.5)
        stage.leaves(shop, n=11)
        stage.pass_time(2.75)
        assert len(await stage.names()) == 2
        stage.pass_time(0.5)

        assert len(await stage.names()) == 4

    async def test_a_leave_on_purpose_is_told_at_once(self) -> None:
        stage = Stage()
        stage.webhooks.transition(
            app(webhook()), Transition("shop", Occurrence.CHANNEL_VACATED, "c", None, 1)
        )

        assert await stage.names() == ["channel_vacated"]

    async def test_hundreds_are_told_in_the_order_in_which_they_left(self) -> None:
        stage = Stage()
        shop = app(webhook())
        for n in range(300):
            stage.provisional.add(n)
            stage.webhooks.transition(
                shop,
                Transition("shop", Occurrence.CHANNEL_VACATED, f"c-{n}", None, n, provisional=True),
            )

        stage.pass_time(4)

        told = [event["channel"] for event in await stage.events()]
        assert told == [f"c-{n}" for n in range(300)]


class TestCacheMisses:
    @pytest.mark.documented("Webhooks", "`cache_miss` is told once, however many clients miss")
    async def test_of_one_channel_are_told_once_however_many_clients_miss(self) -> None:
        stage = Stage()
        shop = app(webhook())

        for _ in range(100):
            stage.webhooks.cache_miss(shop, "cache-a")
            stage.webhooks.cache_miss(shop, "cache-b")

        assert [event["channel"] for event in await stage.events()] == ["cache-a", "cache-b"]

    async def test_are_told_again_after_ten_seconds(self) -> None:
        stage = Stage()
        shop = app(webhook())

        stage.webhooks.cache_miss(shop, "cache-a")
        stage.now += 9.9
        stage.webhooks.cache_miss(shop, "cache-a")
        stage.now += 0.1
        stage.webhooks.cache_miss(shop, "cache-a")

        assert len(await stage.events()) == 2

    async def test_of_another_app_are_another_matter(self) -> None:
        stage = Stage()

        stage.webhooks.cache_miss(app(webhook(), id="one"), "cache-a")
        stage.webhooks.cache_miss(app(webhook(), id="two"), "cache-a")

        assert len(await stage.events()) == 2

    async def test_are_remembered_for_a_bounded_number_of_channels(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(observing, "MAX_CACHE_MISSES", 2)
        stage = Stage()
        shop = app(webhook())

        for channel in ("cache-a", "cache-b", "cache-b", "cache-c", "cache-a"):
            stage.webhooks.cache_miss(shop, channel)

        told = [event["channel"] for event in await stage.events()]
        assert told == ["cache-a", "cache-b", "cache-c", "cache-a"]


class TestTheEnd:
    async def test_what_is_queued_is_delivered(self) -> None:
        stage = Stage()
        everything(stage, app(webhook()))

        await stage.webhooks.stop()

        assert len(stage.told) == 7
        assert stage.closed

    async def test_whoever_was_cut_off_is_told_of_without_the_wait(self) -> None:
        stage = Stage()
        stage.leaves(app(webhook()))

        await stage.webhooks.stop()

        assert [event["name"] for _, event in stage.told] == ["member_removed", "channel_vacated"]
        assert len(stage.deadlines) == 0

    async def test_nothing_is_taken_afterwards(self) -> None:
        stage = Stage()
        await stage.webhooks.stop()

        everything(stage, app(webhook()))
        stage.leaves(app(webhook()))

        assert stage.webhooks.queued == 0
        assert not stage.webhooks.wants_transitions(app(webhook()))
        assert len(stage.deadlines) == 0

    async def test_a_receiver_that_is_down_does_not_hold_it_up(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        stage = Stage(Timing(farewell=60))
        stage.outcome = DOWN
        everything(stage, app(webhook()))

        await asyncio.wait_for(stage.webhooks.stop(), 10)

        assert caplog.records[-1].getMessage() == LOST_SEVEN
        assert stage.webhooks.counts.dropped == 7

    async def test_a_receiver_that_does_not_answer_is_waited_for_a_moment_only(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        stage = Stage(Timing(farewell=0.01))
        asked = asyncio.Event()

        async def never(url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
            asked.set()
            await asyncio.Event().wait()
            return DELIVERED

        stage.post = never  # type: ignore[method-assign]
        everything(stage, app(webhook()))
        await asked.wait()

        await asyncio.wait_for(stage.webhooks.stop(), 10)

        assert caplog.records[-1].getMessage() == LOST_SEVEN
        assert asyncio.all_tasks() == {asyncio.current_task()}

    async def test_twice_is_the_same_as_once(self) -> None:
        stage = Stage()

        await stage.webhooks.stop()
        await stage.webhooks.stop()
