"""The queue of one webhook: order, batches, retries, bounds, and the end. No real time passes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
import pytest

from callboard_protocol import webhooks
from callboard_server.settings import AppSettings, WebhookSettings
from callboard_server.webhooks import Timing, deliveries
from callboard_server.webhooks.complaints import Complaints
from callboard_server.webhooks.deliveries import Counts, Deliveries, Means, Notice
from callboard_server.webhooks.posting import DELIVERED, Outcome

URL = "https://u:s3cret@backend.example.com:8443/hook?token=s3cret"
#: What the log calls it: no more of the URL.
NAME = "app=shop webhook=0 target=https://backend.example.com:8443"
DOWN = Outcome(delivered=False, reason="status 503")
REFUSED = Outcome(delivered=False, reason="10.0.0.1 is a private address", again=False)
#: Of the clock and of the day, in seconds.
BEGAN, TODAY = 5000.0, 1_700_000_000

Post = tuple[str, Mapping[str, str], bytes]


class Script:
    """The receiver, and time: it passes only while something sleeps, and then at once."""

    def __init__(self) -> None:
        self.now = BEGAN
        self.posts: list[Post] = []
        self.post_times: list[float] = []
        self.answer: Callable[[], Awaitable[Outcome]] = self.accept
        #: What happens while something sleeps.
        self.asleep: Callable[[], object] = lambda: None
        self.sleep: Callable[[float], Awaitable[None]] = self.pass_time
        self.counts = Counts()

    def webhook(self, timing: Timing | None = None, **changes: Any) -> Webhook:
        return Webhook(self, timing or Timing(), WebhookSettings(**{"url": URL, **changes}))

    def answers(self, *outcomes: Outcome) -> None:
        """Answer so, and the last one for ever."""
        left = list(outcomes)

        async def answer() -> Outcome:
            return left.pop(0) if len(left) > 1 else left[0]

        self.answer = answer

    async def accept(self) -> Outcome:
        return DELIVERED

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        self.posts.append((url, headers, body))
        self.post_times.append(self.now - BEGAN)
        return await self.answer()

    async def close(self) -> None:
        pass

    async def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.asleep()
        await asyncio.sleep(0)

    @property
    def told(self) -> list[list[str]]:
        """The channels of each request."""
        return [
            [event["channel"] for event in orjson.loads(body)["events"]]
            for _, _, body in self.posts
        ]


class Webhook:
    """A webhook's deliveries, with events named by a channel."""

    def __init__(self, script: Script, timing: Timing, settings: WebhookSettings) -> None:
        self.script = script
        self.settings = settings
        self.app = AppSettings(id="shop", key="key", secret="s3cret", webhooks=(settings,))
        means = Means(
            poster=script,
            timing=timing,
            time=lambda: script.now,
            sleep=lambda seconds: script.sleep(seconds),
            chance=lambda: 0.5,
            complaints=Complaints(logging.getLogger("callboard.webhooks"), lambda: script.now),
            counts=script.counts,
        )
        self.deliveries = Deliveries(means, self.app, settings, place=0)

    def happen(self, *channels: str) -> None:
        now = self.script.now
        for channel in channels:
            notice = Notice(webhooks.channel_occupied(channel), int((TODAY + now) * 1000), now)
            self.deliveries.put(self.app, self.settings, notice)

    async def idle(self) -> None:
        worker = self.deliveries.worker
        if worker is not None:
            await worker


@pytest.fixture
def script() -> Script:
    return Script()


class TestOneByOne:
    @pytest.mark.documented("Webhooks", "Each event is a request of its own")
    async def test_each_event_is_a_request_and_they_come_in_order(self, script: Script) -> None:
        webhook = script.webhook()

        webhook.happen("a", "b", "c")
        await webhook.idle()

        assert script.told == [["a"], ["b"], ["c"]]
        assert script.counts == Counts(delivered=3)
        assert webhook.deliveries.queued == 0

    async def test_a_request_is_signed_and_has_the_added_headers(self, script: Script) -> None:
        webhook = script.webhook(headers={"X-Tenant": "7"})

        webhook.happen("a")
        await webhook.idle()

        ((url, headers, body),) = script.posts
        assert url == URL
        assert headers["X-Tenant"] == "7"
        received = webhooks.receive(headers, body, key="key", secret="s3cret")
        assert received.time_ms == (TODAY + BEGAN) * 1000

    async def test_events_after_a_rest_are_delivered_too(self, script: Script) -> None:
        webhook = script.webhook()
        webhook.happen("a")
        await webhook.idle()
        assert webhook.deliveries.worker is None

        webhook.happen("b")
        await webhook.idle()

        assert script.told == [["a"], ["b"]]

    async def test_the_settings_are_those_of_the_last_event(self, script: Script) -> None:
        webhook = script.webhook()
        webhook.happen("a")
        await webhook.idle()

        webhook.app = AppSettings(id="shop", key="new-key", secret="new-secret")
        webhook.happen("b")
        await webhook.idle()

        _, headers, body = script.posts[1]
        webhooks.receive(headers, body, key="new-key", secret="new-secret")

    async def test_what_is_queued_goes_out_with_the_settings_of_then(self, script: Script) -> None:
        webhook = script.webhook(headers={"X-Tenant": "7"})
        webhook.happen("a", "b")

        webhook.app = AppSettings(id="shop", key="new-key", secret="new-secret")
        webhook.settings = WebhookSettings(url=URL, headers={"X-Tenant": "8"})
        webhook.happen("c")
        await webhook.idle()

        assert script.told == [["a"], ["b"], ["c"]]
        signers = [("key", "s3cret", "7"), ("key", "s3cret", "7"), ("new-key", "new-secret", "8")]
        for (_, headers, body), (key, secret, tenant) in zip(script.posts, signers, strict=True):
            webhooks.receive(headers, body, key=key, secret=secret)
            assert headers["X-Tenant"] == tenant


class TestBatches:
    async def test_what_happens_together_is_one_request(self, script: Script) -> None:
        webhook = script.webhook(batch=True)

        webhook.happen("a", "b", "c")
        await webhook.idle()

        assert script.told == [["a", "b", "c"]]
        assert script.post_times == pytest.approx([0.05])
        assert script.counts == Counts(delivered=3)

    async def test_what_happens_within_the_window_rides_along(self, script: Script) -> None:
        webhook = script.webhook(batch=True)

        def once() -> None:
            script.asleep = lambda: None
            webhook.happen("b")

        script.asleep = once

        webhook.happen("a")
        await webhook.idle()

        assert script.told == [["a", "b"]]
        time_ms = orjson.loads(script.posts[0][2])["time_ms"]
        assert time_ms == int((TODAY + BEGAN + 0.05) * 1000)

    async def test_what_happens_later_is_another_one(self, script: Script) -> None:
        webhook = script.webhook(batch=True)

        webhook.happen("a")
        await webhook.idle()
        webhook.happen("b")
        await webhook.idle()

        assert script.told == [["a"], ["b"]]

    async def test_what_has_waited_long_enough_does_not_wait_again(self, script: Script) -> None:
        webhook = script.webhook(batch=True)

        async def slow() -> Outcome:
            webhook.happen("b", "c")
            script.answer = script.accept
            script.now += 5
            return DELIVERED

        script.answer = slow

        webhook.happen("a")
        await webhook.idle()

        assert script.told == [["a"], ["b", "c"]]
        assert script.post_times == pytest.approx([0.05, 5.05])

    async def test_a_batch_is_bounded_by_number(
        self, script: Script, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(deliveries, "MAX_BATCH_EVENTS", 2)
        webhook = script.webhook(batch=True)

        webhook.happen("a", "b", "c", "d", "e")
        await webhook.idle()

        assert script.told == [["a", "b"], ["c", "d"], ["e"]]

    async def test_a_batch_is_bounded_by_bytes(self, script: Script) -> None:
        webhook = script.webhook(batch=True)
        long = "x" * (deliveries.MAX_BATCH_BYTES // 3)

        webhook.happen(*(f"{n}{long}" for n in range(5)))
        await webhook.idle()

        assert [len(channels) for channels in script.told] == [2, 2, 1]
        assert all(len(body) < deliveries.MAX_BATCH_BYTES + 100 for _, _, body in script.posts)

    async def test_one_event_larger_than_a_batch_is_sent_alone(self, script: Script) -> None:
        webhook = script.webhook(batch=True)
        huge = "x" * (2 * deliveries.MAX_BATCH_BYTES)

        webhook.happen("a", huge, "b")
        await webhook.idle()

        assert script.told == [["a"], [huge], ["b"]]

    @pytest.mark.parametrize(
        ("app", "settings"),
        [
            ({"secret": "new-secret"}, {}),
            ({"key": "new-key"}, {}),
            ({}, {"headers": {"X-Tenant": "8"}}),
        ],
    )
    async def test_a_batch_is_all_of_the_same_settings(
        self, app: dict[str, Any], settings: dict[str, Any], script: Script
    ) -> None:
        webhook = script.webhook(batch=True)
        webhook.happen("a", "b")

        webhook.app = AppSettings(**{"id": "shop", "key": "key", "secret": "s3cret", **app})
        webhook.settings = WebhookSettings(**{"url": URL, "batch": True, **settings})
        webhook.happen("c", "d")
        await webhook.idle()

        assert script.told == [["a", "b"], ["c", "d"]]
        (_, first, first_body), (_, second, second_body) = script.posts
        webhooks.receive(first, first_body, key="key", secret="s3cret")
        webhooks.receive(second, second_body, key=webhook.app.key, secret=webhook.app.secret)
        assert "X-Tenant" not in first
        assert second.get("X-Tenant") == webhook.settings.headers.get("X-Tenant")

    async def test_settings_read_again_without_a_change_split_no_batch(
        self, script: Script
    ) -> None:
        webhook = script.webhook(batch=True)
        webhook.happen("a")

        webhook.app = AppSettings(id="shop", key="key", secret="s3cret", max_connections=5)
        webhook.settings = WebhookSettings(url=URL, batch=True)
        webhook.happen("b")
        await webhook.idle()

        assert script.told == [["a", "b"]]

    async def test_batches_may_be_given_up_while_events_wait(self, script: Script) -> None:
        webhook = script.webhook(batch=True)
        webhook.happen("a", "b")

        webhook.settings = WebhookSettings(url=URL)
        webhook.happen("c", "d")
        await webhook.idle()

        assert script.told == [["a", "b"], ["c"], ["d"]]


class TestRetries:
    @pytest.mark.documented("Webhooks", "The same bytes are posted again")
    async def test_the_same_bytes_are_posted_again_until_they_are_taken(
        self, script: Script
    ) -> None:
        script.answers(DOWN, DOWN, DELIVERED)
        webhook = script.webhook()

        webhook.happen("a", "b")
        await webhook.idle()

        assert script.told == [["a"], ["a"], ["a"], ["b"]]
        assert script.posts[0] == script.posts[1] == script.posts[2]
        assert script.post_times == [0, 1, 3, 3]
        assert script.counts == Counts(delivered=2)

    @pytest.mark.documented("Webhooks", "It is tried again with growing pauses for 5 minutes")
    async def test_pauses_double_up_to_the_longest_for_five_minutes(self, script: Script) -> None:
        script.answers(DOWN)
        webhook = script.webhook()

        webhook.happen("a")
        await webhook.idle()

        assert script.post_times == [0, 1, 3, 7, 15, 31, 61, 91, 121, 151, 181, 211, 241, 271]
        assert script.counts == Counts(dropped=1)
        assert webhook.deliveries.queued == 0

    async def test_what_has_waited_behind_it_is_not_tried_when_it_is_too_old(
        self, script: Script
    ) -> None:
        script.answers(DOWN)
        webhook = script.webhook()

        webhook.happen("a", "b", "c")
        await webhook.idle()

        assert {tuple(channels) for channels in script.told} == {("a",)}
        assert script.counts == Counts(dropped=3)

    async def test_a_receiver_that_is_back_gets_the_rest_at_once(self, script: Script) -> None:
        script.answers(*[DOWN] * 7, DELIVERED)
        webhook = script.webhook()
        waiting = ["b", "c", "d"]

        def happens() -> None:
            if waiting:
                webhook.happen(waiting.pop(0))

        script.asleep = happens

        webhook.happen("a")
        await webhook.idle()

        assert script.told[7:] == [["a"], ["b"], ["c"], ["d"]]
        assert script.post_times[7:] == [91, 91, 91, 91]

    async def test_after_a_success_the_pauses_begin_anew(self, script: Script) -> None:
        script.answers(DOWN, DOWN, DELIVERED, DOWN, DELIVERED)
        webhook = script.webhook()

        webhook.happen("a", "b")
        await webhook.idle()

        assert script.post_times == [0, 1, 3, 3, 4]

    async def test_a_retried_batch_is_not_joined_by_what_happens_meanwhile(
        self, script: Script
    ) -> None:
        script.answers(DOWN, DELIVERED)
        webhook = script.webhook(batch=True)
        sleeps = 0

        def happens() -> None:
            nonlocal sleeps
            sleeps += 1
            if sleeps == 2:  # the pause before the retry
                webhook.happen("late")

        script.asleep = happens

        webhook.happen("a", "b")
        await webhook.idle()

        assert script.told == [["a", "b"], ["a", "b"], ["late"]]

    async def test_a_refused_target_is_not_asked_again(
        self, script: Script, caplog: pytest.LogCaptureFixture
    ) -> None:
        script.answers(REFUSED)
        webhook = script.webhook()

        webhook.happen(*"abcdef")
        await webhook.idle()

        assert script.told == [["a"], ["b"], ["c"], ["d"], ["e"], ["f"]]
        assert script.post_times == [0] * 6
        assert script.counts == Counts(dropped=6)
        assert len(caplog.records) == 1


class TestBounds:
    """A receiver that is down while events keep coming."""

    async def stuck(self, script: Script) -> tuple[Webhook, asyncio.Event]:
        """Return a webhook whose first request is not answered until the event is set."""
        release = asyncio.Event()

        async def wait() -> Outcome:
            await release.wait()
            return DELIVERED

        script.answer = wait
        webhook = script.webhook()
        webhook.happen("first")
        await asyncio.sleep(0)
        assert script.told == [["first"]]
        return webhook, release

    async def test_the_oldest_of_too_many_are_dropped_and_counted(
        self, script: Script, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(deliveries, "MAX_QUEUED_EVENTS", 3)
        webhook, release = await self.stuck(script)

        webhook.happen("a", "b", "c", "d", "e")

        assert webhook.deliveries.queued == 4  # with the one that is being posted
        release.set()
        await webhook.idle()
        assert script.told == [["first"], ["c"], ["d"], ["e"]]
        assert script.counts == Counts(delivered=4, dropped=2)

    async def test_the_oldest_of_too_many_bytes_are_dropped(
        self, script: Script, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(deliveries, "MAX_QUEUED_BYTES", 1000)
        webhook, release = await self.stuck(script)

        webhook.happen("a" * 400, "b" * 400, "c" * 400, "d" * 2000)
        release.set()
        await webhook.idle()

        assert script.told == [["first"], ["d" * 2000]]

    async def test_a_flood_is_one_line_in_the_log(
        self, script: Script, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(deliveries, "MAX_QUEUED_EVENTS", 3)
        webhook, release = await self.stuck(script)

        webhook.happen(*"abcdefghijklmnop")
        release.set()
        await webhook.idle()

        assert [record.getMessage() for record in caplog.records] == [
            f"webhook events lost {NAME} the queue is full, the oldest are dropped count=1"
        ]


class TestTheEnd:
    """The server is ending: there is time for what is quick."""

    async def test_a_pause_ends_at_once_and_one_more_try_is_made(self, script: Script) -> None:
        script.answers(DOWN, DELIVERED)
        asleep, for_ever = asyncio.Event(), asyncio.Event()

        async def sleep(seconds: float) -> None:
            asleep.set()
            await for_ever.wait()

        script.sleep = sleep
        webhook = script.webhook()
        webhook.happen("a", "b")
        await asleep.wait()

        webhook.deliveries.hurry()
        await webhook.idle()

        assert script.told == [["a"], ["a"], ["b"]]
        assert webhook.deliveries.queued == 0

    async def test_the_next_failure_is_the_last(self, script: Script) -> None:
        script.answers(DOWN)
        webhook = script.webhook()

        webhook.happen("a", "b")
        webhook.deliveries.hurry()
        await webhook.idle()

        assert script.told == [["a"]]
        assert webhook.deliveries.queued == 2


class TestTheLog:
    async def test_an_outage_is_one_line_at_its_beginning_and_one_at_its_end(
        self, script: Script, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "callboard.webhooks")
        script.answers(*[DOWN] * 5, DELIVERED)
        webhook = script.webhook()

        webhook.happen("a")
        await webhook.idle()

        assert [record.getMessage() for record in caplog.records] == [
            f"webhook failed {NAME} reason='status 503' queued=0 count=1",
            f"webhook delivered again {NAME} failures=5 count=1",
        ]

    async def test_what_is_given_up_is_said_without_any_secret(
        self, script: Script, caplog: pytest.LogCaptureFixture
    ) -> None:
        script.answers(DOWN)
        webhook = script.webhook(headers={"X-Auth": "s3cret"})

        webhook.happen("a", "b")
        await webhook.idle()

        text = caplog.text
        assert "not delivered for 300 s, dropped" in text
        assert "s3cret" not in text
