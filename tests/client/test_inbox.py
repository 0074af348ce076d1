"""A channel's bounded queue: the oldest goes first, and never in silence."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard_client.errors import ChannelClosed, ClientClosed, EventsLost
from callboard_client.events import Event
from callboard_client.inbox import Inbox


def _event(number: int) -> Event:
    return Event("e", "c", str(number))


def test_events_are_taken_in_order() -> None:
    inbox = Inbox("c", 3)
    for number in range(3):
        inbox.put(_event(number))
    assert [inbox.take().data for _ in range(3)] == ["0", "1", "2"]
    assert not inbox.readable


def test_a_full_inbox_drops_its_oldest_and_says_how_many() -> None:
    inbox = Inbox("c", 3)
    for number in range(10):
        inbox.put(_event(number))
    with pytest.raises(EventsLost, match="7 oldest unread") as caught:
        inbox.take()
    assert (caught.value.channel, caught.value.count) == ("c", 7)
    assert [inbox.take().data for _ in range(3)] == ["7", "8", "9"]


def test_the_end_comes_behind_what_is_unread() -> None:
    inbox = Inbox("c", 3)
    inbox.put(_event(1))
    inbox.finish(ChannelClosed("c"))
    inbox.finish(ClientClosed())
    assert inbox.take().data == "1"
    for _ in range(2):
        with pytest.raises(ChannelClosed):
            inbox.take()


def test_an_inbox_of_nothing_loses_nothing() -> None:
    inbox = Inbox("c", 0)
    inbox.put(_event(1))
    assert not inbox.readable
    with pytest.raises(LookupError):
        inbox.take()


def test_a_size_below_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="max_events must be 0 or more"):
        Inbox("c", -1)


@given(st.integers(1, 5), st.lists(st.booleans(), max_size=60))
def test_every_event_is_read_or_counted_as_lost_in_order(size: int, puts: list[bool]) -> None:
    inbox = Inbox("c", size)
    expected: deque[int] = deque()
    number = 0
    for put in puts:
        assert len(inbox) <= size
        if put:
            inbox.put(_event(number))
            expected.append(number)
            number += 1
        elif inbox.readable:
            try:
                assert int(inbox.take().data) == expected.popleft()
            except EventsLost as lost:
                for _ in range(lost.count):
                    expected.popleft()
