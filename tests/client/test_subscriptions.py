"""Where each channel stands, and whose fault a ``pusher:error`` is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard_client.events import ServerError
from callboard_client.subscriptions import TRANSITIONS, Change, Phase, Subscriptions
from callboard_protocol import refusals


def _after(*changes: Change, channel: str = "c") -> tuple[Subscriptions, list[bool]]:
    subscriptions = Subscriptions()
    return subscriptions, [subscriptions.change(channel, change) for change in changes]


def _asking(*channels: str) -> Subscriptions:
    subscriptions = Subscriptions()
    for channel in channels:
        subscriptions.change(channel, Change.WANT)
        subscriptions.change(channel, Change.SENT)
    return subscriptions


def test_every_phase_has_a_row() -> None:
    assert set(TRANSITIONS) == set(Phase)


def test_a_subscription_from_wish_to_end() -> None:
    subscriptions, leave = _after(Change.WANT, Change.SENT, Change.SUCCEEDED)
    assert subscriptions.phase("c") is Phase.SUBSCRIBED
    assert leave == [False, False, False]
    assert subscriptions.change("c", Change.UNWANT) is True
    assert subscriptions.phase("c") is Phase.ABSENT


def test_what_is_not_sent_needs_no_unsubscribe() -> None:
    subscriptions, leave = _after(Change.WANT, Change.UNWANT)
    assert subscriptions.phase("c") is Phase.ABSENT
    assert not any(leave)


def test_what_is_under_way_is_unsubscribed_when_it_succeeds() -> None:
    _, leave = _after(Change.WANT, Change.SENT, Change.UNWANT, Change.SUCCEEDED)
    assert leave == [False, False, False, True]


def test_what_is_wanted_again_while_under_way_is_not_sent_twice() -> None:
    subscriptions, leave = _after(
        Change.WANT, Change.SENT, Change.UNWANT, Change.WANT, Change.SUCCEEDED
    )
    assert subscriptions.phase("c") is Phase.SUBSCRIBED
    assert not any(leave)


def test_the_success_of_what_nobody_wants_is_answered_with_an_unsubscribe() -> None:
    _, leave = _after(Change.WANT, Change.SENT, Change.REFUSED, Change.SUCCEEDED)
    assert leave[-1] is True


def test_a_lost_connection_leaves_the_wishes_in_their_order() -> None:
    subscriptions = _asking("a", "b", "c", "d")
    subscriptions.change("a", Change.SUCCEEDED)
    subscriptions.change("b", Change.UNWANT)
    subscriptions.change("d", Change.REFUSED)
    subscriptions.lost()
    assert subscriptions.wanted() == ["a", "c"]


@given(st.lists(st.sampled_from(Change)))
def test_after_all_is_unwanted_and_lost_nothing_is_kept(changes: list[Change]) -> None:
    subscriptions, _ = _after(*changes)
    subscriptions.change("c", Change.UNWANT)
    subscriptions.lost()
    assert subscriptions.phase("c") is Phase.ABSENT
    assert subscriptions.wanted() == []
    assert subscriptions.blamed(ServerError(None, "c")) is None


@pytest.mark.parametrize(
    "text",
    [
        refusals.existing_subscription("private-b"),
        refusals.auth_required("private-b"),
        refusals.malformed_auth("private-b"),
        refusals.wrong_signature("1.2:private-b", "0123"),
        refusals.wrong_signature('1.2:private-b:{"user_id":"private-a"}', "0123"),
        "No such thing: private-b.",
        "'private-b', and 'private-a'",
    ],
)
def test_the_channel_in_the_text_is_to_blame(text: str) -> None:
    asking = _asking("private-a", "private-b", "private-bb", "private")
    assert asking.blamed(ServerError(None, text)) == "private-b"


def test_of_two_names_that_fit_the_whole_one_is_meant() -> None:
    asking = _asking("private-b", "private-b,c", "x-private-b")
    assert asking.blamed(ServerError(None, "Cannot: private-b,c is full")) == "private-b,c"
    assert asking.blamed(ServerError(None, "Cannot: x-private-b is full")) == "x-private-b"


def test_a_text_without_a_name_is_about_the_longest_waiting_signature() -> None:
    asking = _asking("public", "private-a", "private-b")
    error = ServerError(None, refusals.unknown_auth_key("wrong"))
    assert asking.blamed(error) == "private-a"
    asking.change("private-a", Change.REFUSED)
    assert asking.blamed(error) == "private-b"
    asking.change("private-b", Change.SUCCEEDED)
    assert asking.blamed(error) == "public"
    asking.change("public", Change.SUCCEEDED)
    assert asking.blamed(error) is None


def test_reverbs_refusal_of_a_signature_has_a_code() -> None:
    asking = _asking("private-a")
    assert asking.blamed(ServerError(4009, "Connection is unauthorized")) == "private-a"


@pytest.mark.parametrize(
    "error",
    [
        ServerError(4301, refusals.CLIENT_EVENT_RATE.format(limit=10)),
        ServerError(4200, refusals.RECONNECT.message),
        ServerError(4100, refusals.OVER_CAPACITY.message),
        ServerError(None, refusals.client_events_off()),
        ServerError(None, refusals.not_a_subscriber("private-a")),
        ServerError(None, refusals.MALFORMED_CLIENT_EVENT),
        ServerError(None, refusals.CLIENT_EVENT_CHANNEL),
        ServerError(None, refusals.no_subscription("private-a")),
        ServerError(None, refusals.unsupported_event("1.2", "pusher:what")),
    ],
    ids=lambda error: error.message[:30],
)
def test_other_errors_are_no_subscriptions_fault(error: ServerError) -> None:
    assert _asking("private-a").blamed(error) is None
