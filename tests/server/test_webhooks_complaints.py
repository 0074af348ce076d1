"""How often a loss is logged: the first at once, then the sum of a minute."""

from __future__ import annotations

import logging

import pytest

from callboard_server.webhooks.complaints import INTERVAL_SECONDS, Complaints


class TestComplaints:
    """The first at once, then the sum of a minute."""

    now = 1000.0

    def complaints(self) -> Complaints:
        return Complaints(logging.getLogger("callboard.test"), lambda: self.now)

    def test_a_flood_is_one_line_a_minute_that_has_the_sum(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        complaints = self.complaints()

        for _ in range(100):
            complaints.say("full", "lost", 2)
        self.now += INTERVAL_SECONDS
        complaints.say("full", "lost")

        assert [record.getMessage() for record in caplog.records] == [
            "lost count=2",
            f"lost count={99 * 2 + 1}",
        ]

    def test_one_kind_does_not_silence_another(self, caplog: pytest.LogCaptureFixture) -> None:
        complaints = self.complaints()

        complaints.say("full", "one")
        complaints.say("old", "two")

        assert [record.getMessage() for record in caplog.records] == [
            "one count=1",
            "two count=1",
        ]

    def test_kinds_that_have_nothing_left_to_say_are_forgotten(self) -> None:
        complaints = self.complaints()
        for kind in range(100):
            complaints.say(kind, "lost")

        self.now += INTERVAL_SECONDS
        complaints.say("another", "lost")

        assert len(complaints) == 1
