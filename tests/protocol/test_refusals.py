"""Close codes and what they make a client do; texts that must stay as hosted Pusher's."""

from __future__ import annotations

import pytest

from callboard_protocol import refusals
from callboard_protocol.refusals import Refusal, RetryAdvice, retry_advice


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (1006, RetryAdvice.BACK_OFF),
        (3999, RetryAdvice.BACK_OFF),
        (4000, RetryAdvice.NEVER),
        (4099, RetryAdvice.NEVER),
        (4100, RetryAdvice.BACK_OFF),
        (4199, RetryAdvice.BACK_OFF),
        (4200, RetryAdvice.AT_ONCE),
        (4299, RetryAdvice.AT_ONCE),
        (4300, RetryAdvice.NEVER),
        (4301, RetryAdvice.NEVER),
    ],
)
def test_the_range_of_a_code_tells_the_client_what_to_do(code: int, advice: RetryAdvice) -> None:
    assert retry_advice(code) is advice


@pytest.mark.parametrize(
    ("refusal", "code", "advice"),
    [
        (refusals.unknown_key("k"), 4001, RetryAdvice.NEVER),
        (refusals.APP_DISABLED, 4003, RetryAdvice.NEVER),
        (refusals.OVER_QUOTA, 4004, RetryAdvice.NEVER),
        (refusals.unknown_path("/x"), 4005, RetryAdvice.NEVER),
        (refusals.malformed_version("x"), 4006, RetryAdvice.NEVER),
        (refusals.unsupported_version(3, (5, 6, 7)), 4007, RetryAdvice.NEVER),
        (refusals.OVER_CAPACITY, 4100, RetryAdvice.BACK_OFF),
        (refusals.TOO_SLOW, 4100, RetryAdvice.BACK_OFF),
        (refusals.RECONNECT, 4200, RetryAdvice.AT_ONCE),
        (refusals.NO_PONG, 4201, RetryAdvice.AT_ONCE),
    ],
)
def test_each_refusal_has_the_code_of_the_documentation(
    refusal: Refusal, code: int, advice: RetryAdvice
) -> None:
    assert refusal.code == code
    assert retry_advice(refusal.code) is advice
    assert refusal.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (refusals.existing_subscription("c"), "Existing subscription to channel c"),
        (
            refusals.no_subscription("c"),
            "No current subscription to channel c, or subscription in progress",
        ),
        (refusals.auth_required("c"), "Auth info required to subscribe to c"),
        (
            refusals.malformed_auth("c"),
            "Auth value for subscription to c is invalid: should be of format 'key:signature'",
        ),
        (refusals.unknown_auth_key("K"), "Invalid key in subscription auth data: 'K'"),
        (
            refusals.wrong_signature("1.1:private-c", "beef"),
            "Invalid signature: Expected HMAC SHA256 hex digest of 1.1:private-c, but got beef",
        ),
        (
            refusals.not_a_subscriber("c"),
            "Cannot broadcast client event (connection not subscribed to channel c)",
        ),
        (
            refusals.MALFORMED_CLIENT_EVENT,
            "Invalid client event (must contain channel and data)",
        ),
        (refusals.RECONNECT.message, "Please reconnect immediately"),
        (
            refusals.unknown_key("X").message,
            "App key X not in this cluster. Did you forget to specify the cluster?",
        ),
    ],
)
def test_texts_that_people_search_for_are_hosted_pushers(text: str, expected: str) -> None:
    assert text == expected


def test_client_events_that_are_off_begin_as_at_pusher_and_say_how_to_switch_them_on() -> None:
    text = refusals.client_events_off()
    assert text.startswith(
        "To send client events, you must enable this feature in the Settings page of your dashboard"
    )
    assert "client_events = true" in text
    assert "[[apps]]" in text


@pytest.mark.parametrize(
    "text",
    [
        refusals.unknown_key("k" * 10_000).message,
        refusals.unknown_path("/p" * 10_000).message,
        refusals.malformed_version("v" * 10_000).message,
        refusals.unsupported_version(10**4000, (7,)).message,
        refusals.unknown_auth_key("k" * 10_000),
        refusals.wrong_signature("string", "s" * 10_000),
        refusals.unsupported_event("1.1", "e" * 10_000),
    ],
)
def test_a_refusal_does_not_repeat_what_is_endless(text: str) -> None:
    assert len(text) < 300
