"""When silence is asked about, and when it is the end."""

from __future__ import annotations

from callboard_client.keepalive import Due, Keepalive


def test_silence_is_asked_about_once_and_then_cut() -> None:
    keepalive = Keepalive(120, 30, now=1000)
    assert keepalive.deadline == 1120
    assert keepalive.due(1119) is Due.NOTHING
    assert keepalive.due(1120) is Due.PING
    assert keepalive.deadline == 1150
    assert keepalive.due(1149) is Due.NOTHING
    assert keepalive.due(1150) is Due.CUT


def test_any_frame_puts_the_ping_off() -> None:
    keepalive = Keepalive(120, 30, now=1000)
    keepalive.heard(1100)
    assert keepalive.deadline == 1220
    assert keepalive.due(1120) is Due.NOTHING


def test_any_frame_answers_a_ping() -> None:
    keepalive = Keepalive(120, 30, now=1000)
    assert keepalive.due(1120) is Due.PING
    keepalive.heard(1149)
    assert keepalive.due(1150) is Due.NOTHING
    assert keepalive.deadline == 1269


def test_a_late_look_still_leaves_the_peer_its_time_to_answer() -> None:
    keepalive = Keepalive(120, 30, now=1000)
    assert keepalive.due(5000) is Due.PING
    assert keepalive.due(5029) is Due.NOTHING


def test_whoever_waits_for_a_pong_wakes_in_time_for_the_next_ping() -> None:
    keepalive = Keepalive(10, 30, now=1000)
    assert keepalive.wait(1004) == 6
    assert keepalive.due(1010) is Due.PING
    # Not 30: a frame at 1011 makes 1021 the next deadline.
    assert keepalive.wait(1010) == 10
    assert keepalive.wait(1035) == 5
