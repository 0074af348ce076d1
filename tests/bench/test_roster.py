"""Joins and leaves of three users of a channel, as one of them hears of them."""

from __future__ import annotations

import pytest

from callboard_bench.audit import Tally
from callboard_bench.clients.roster import Ledger, Roster

ME, ANNA, BERT = range(3)


class Story:
    """A channel in which everybody's joins and leaves are done before the next one's."""

    def __init__(self) -> None:
        self.ledger = Ledger(3)
        self.present: dict[int, int] = {}

    def joins(self, user: int) -> int:
        number = self.ledger.start(user)
        self.ledger.answer(user)
        self.present[user] = number
        return number

    def leaves(self, user: int) -> int:
        self.ledger.leave(user)
        del self.present[user]
        return user

    def roster(self, user: int = ME) -> Roster:
        answered = self.ledger.answered.copy()
        self.joins(user)
        return Roster(self.ledger, user, answered, self.present)


def faults(roster: Roster, *, settled: bool = True) -> str | None:
    roster.end(settled=settled)
    tally = Tally()
    roster.add_to(tally)
    counts = ((tally.lost, "lost"), (tally.duplicates, "duplicated"))
    parts = [f"{n} {word}" for n, word in (*counts, (tally.reordered, "out of order")) if n]
    return ", ".join(parts) or None


@pytest.fixture
def story() -> Story:
    return Story()


def test_what_is_heard_once_and_in_order_is_no_fault(story: Story) -> None:
    story.joins(ANNA)
    roster = story.roster()
    roster.added(story.joins(BERT))
    roster.removed(story.leaves(ANNA))
    roster.added(story.joins(ANNA))
    roster.removed(story.leaves(BERT))

    assert faults(roster) is None
    assert roster.received == 4


@pytest.mark.parametrize("user", [ANNA, BERT])
def test_a_join_not_heard_of_is_lost_whoever_was_there_before(story: Story, user: int) -> None:
    story.joins(ANNA)
    story.leaves(ANNA)
    roster = story.roster()
    story.joins(user)

    assert faults(roster) == "1 lost"


def test_a_leave_not_heard_of_is_lost(story: Story) -> None:
    story.joins(ANNA)
    roster = story.roster()
    story.leaves(ANNA)

    assert faults(roster) == "1 lost"


def test_a_user_who_came_and_went_unheard_is_lost_twice(story: Story) -> None:
    roster = story.roster()
    story.joins(ANNA)
    story.leaves(ANNA)

    assert faults(roster) == "2 lost"


def test_what_is_missing_before_something_heard_is_lost_even_while_more_is_under_way(
    story: Story,
) -> None:
    story.joins(ANNA)
    roster = story.roster()
    story.leaves(ANNA)
    roster.added(story.joins(ANNA))

    assert faults(roster, settled=False) == "1 lost"


def test_what_was_still_under_way_when_a_member_left_is_not_lost(story: Story) -> None:
    roster = story.roster()
    story.joins(ANNA)

    assert faults(roster, settled=False) is None


def test_a_leave_of_somebody_never_heard_of_shows_that_the_join_was_lost(story: Story) -> None:
    roster = story.roster()
    story.joins(ANNA)
    roster.removed(story.leaves(ANNA))

    assert faults(roster) == "1 lost"


def test_a_join_heard_of_twice_is_doubled(story: Story) -> None:
    roster = story.roster()
    number = story.joins(ANNA)
    roster.added(number)
    roster.added(number)

    assert faults(roster) == "1 duplicated"


def test_a_leave_heard_of_twice_is_doubled(story: Story) -> None:
    story.joins(ANNA)
    roster = story.roster()
    story.leaves(ANNA)
    roster.removed(ANNA)
    roster.removed(ANNA)

    assert faults(roster) == "1 duplicated"


def test_a_leave_of_somebody_who_is_still_there_is_one_too_many(story: Story) -> None:
    story.joins(ANNA)
    roster = story.roster()
    roster.removed(ANNA)

    assert faults(roster) == "1 duplicated"


def test_a_leave_that_the_server_caused_may_be_heard_of_before_its_user_knows(
    story: Story,
) -> None:
    story.joins(ANNA)
    roster = story.roster()
    roster.removed(ANNA)
    story.leaves(ANNA)

    assert faults(roster) is None


def test_to_hear_of_ones_own_join_is_one_time_too_many(story: Story) -> None:
    roster = story.roster()
    roster.added(story.present[ME])

    assert faults(roster) == "1 duplicated"


def test_to_hear_again_of_somebody_in_the_roster_is_one_time_too_many(story: Story) -> None:
    number = story.joins(ANNA)
    roster = story.roster()
    roster.added(number)

    assert faults(roster) == "1 duplicated"


def test_a_leave_that_comes_before_its_join_is_out_of_order(story: Story) -> None:
    roster = story.roster()
    number = story.joins(ANNA)
    roster.removed(story.leaves(ANNA))
    roster.added(number)

    assert faults(roster) == "1 out of order"


def test_a_leave_that_comes_after_the_next_join_is_out_of_order(story: Story) -> None:
    story.joins(ANNA)
    roster = story.roster()
    story.leaves(ANNA)
    roster.added(story.joins(ANNA))
    roster.removed(ANNA)

    assert faults(roster) == "1 out of order"


def test_a_roster_without_somebody_who_is_there_has_lost_a_join(story: Story) -> None:
    story.joins(ANNA)
    del story.present[ANNA]

    assert faults(story.roster()) == "1 lost"


def test_a_roster_without_oneself_has_lost_a_join(story: Story) -> None:
    answered = story.ledger.answered.copy()
    story.joins(ME)

    assert faults(Roster(story.ledger, ME, answered, {})) == "1 lost"


def test_a_join_that_crossed_ones_own_may_be_in_the_roster_or_come_after(story: Story) -> None:
    answered = story.ledger.answered.copy()
    anna = story.ledger.start(ANNA)
    mine = story.joins(ME)
    story.ledger.answer(ANNA)
    in_roster = Roster(story.ledger, ME, answered, {ME: mine, ANNA: anna})
    after = Roster(story.ledger, ME, answered, {ME: mine})
    after.added(anna)

    assert faults(in_roster) is None
    assert faults(after) is None


def test_somebody_who_came_and_went_meanwhile_may_be_heard_of_or_not(story: Story) -> None:
    answered = story.ledger.answered.copy()
    story.joins(ANNA)
    story.leaves(ANNA)
    mine = story.joins(ME)
    unheard = Roster(story.ledger, ME, answered, {ME: mine})
    again = Roster(story.ledger, ME, answered, {ME: mine})
    again.added(story.joins(ANNA))

    assert faults(again) is None
    assert faults(unheard) == "1 lost"
