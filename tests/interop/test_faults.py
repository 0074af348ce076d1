"""pusher-js and the fixture's faults: the fixture shows what the SDK of many apps does then."""

from __future__ import annotations

from typing import Any

import pusher
import pytest

from interop.conftest import StartScript
from interop.node_script import NodeScript
from pytest_callboard import PusherServer
from support.backend import Backend

#: For what comes within a second or two, on a busy machine.
BACK_SECONDS = 20.0


@pytest.fixture
def watch(node: StartScript, pusher_server: PusherServer) -> Any:
    """Start pusher-js, subscribed to channels, with these options besides the fixture's."""

    def start(*channels: str, **options: Any) -> NodeScript:
        config = {"key": pusher_server.key, "channels": channels or ("news",)}
        return node(
            "faults.cjs", "watch", options=pusher_server.pusher_js_options() | options, **config
        )

    return start


def test_it_falls_back_where_websockets_are_refused(
    watch: Any, pusher_server: PusherServer
) -> None:
    with pusher_server.faults.disable_websockets().must_hit():
        # By itself it takes to the fallback after five seconds.
        script = watch(enabledTransports=["ws", "xhr_streaming"])
        socket_id, transport = script.hear("connected", BACK_SECONDS)
        assert transport == "xhr_streaming"
        script.hear("subscribed")
        pusher_server.trigger("news", "news", "by HTTP")
        assert script.hear("news") == "by HTTP"
        (connection,) = pusher_server.connections()
        assert (connection.socket_id, connection.transport) == (socket_id, "xhr_streaming")
    script.cue("end")
    script.finish()


def test_it_stays_away_when_it_is_told_so(watch: Any, pusher_server: PusherServer) -> None:
    script = watch()
    script.hear("subscribed")
    fault = pusher_server.faults.close(4009)
    assert script.hear("error") == "PusherError"
    # It would be back after a second if it were to come at all.
    assert fault.stayed_away(1.5)
    script.cue("end")
    script.finish()


@pytest.mark.parametrize(("code", "least_seconds"), [(4100, 0.9), (4200, 0.0)])
def test_it_comes_back_when_it_is_told_so_and_subscribes_again(
    code: int, least_seconds: float, watch: Any, pusher_server: PusherServer
) -> None:
    script = watch()
    script.hear("subscribed")
    reconnection = pusher_server.faults.close(code).wait_for_reconnection(BACK_SECONDS)
    assert reconnection.after_seconds >= least_seconds
    assert reconnection.transport == "ws"
    script.hear("subscribed")
    pusher_server.trigger("news", "news", "again")
    assert script.hear("news") == "again"
    script.cue("end")
    script.finish()


def test_it_comes_back_when_it_is_cut_off(watch: Any, pusher_server: PusherServer) -> None:
    script = watch()
    script.hear("subscribed")
    fault = pusher_server.faults.cut(reset=True)
    fault.wait_for_reconnection(BACK_SECONDS)
    script.hear("subscribed")
    script.cue("end")
    script.finish()


def test_it_notices_a_connection_that_leads_nowhere(
    watch: Any, pusher_server: PusherServer
) -> None:
    script = watch(activityTimeout=200, pongTimeout=200)
    script.hear("subscribed")
    with pusher_server.faults.half_open() as fault:
        fault.wait_for_reconnection(BACK_SECONDS)
        script.hear("subscribed")
    script.cue("end")
    script.finish()


def test_it_gives_up_a_server_that_answers_no_pings(
    watch: Any, pusher_server: PusherServer
) -> None:
    script = watch(activityTimeout=200, pongTimeout=200)
    script.hear("subscribed")
    with pusher_server.faults.ignore_pings(socket_id=pusher_server.connections()[0].socket_id) as f:
        f.wait_for_hits(timeout=BACK_SECONDS)
        script.hear("subscribed")
    script.cue("end")
    script.finish()


def test_it_reports_nonsense_and_goes_on(watch: Any, pusher_server: PusherServer) -> None:
    script = watch()
    script.hear("subscribed")
    pusher_server.faults.send("no JSON")
    assert script.hear("error") == "MessageParseError"
    pusher_server.trigger("news", "news", "sense")
    assert script.hear("news") == "sense"
    script.cue("end")
    script.finish()


def test_it_tells_an_app_of_a_subscription_that_the_server_refused(
    node: StartScript, pusher_server: PusherServer
) -> None:
    with (
        Backend(pusher.Pusher(**pusher_server.pusher_options())) as backend,
        pusher_server.faults.reject_auth("private-*", "not you", status=403).must_hit(),
    ):
        script = node(
            "faults.cjs",
            "watch",
            key=pusher_server.key,
            options=pusher_server.pusher_js_options(),
            endpoint=backend.endpoint,
            headers={"Authorization": "Bearer alice"},
            channels=["private-news"],
        )
        refused = script.hear("not subscribed")
        assert refused == {"type": "AuthError", "error": "not you", "status": 403}
        script.cue("end")
        script.finish()


def test_events_come_to_it_as_the_faults_have_left_them(
    watch: Any, pusher_server: PusherServer
) -> None:
    script = watch()
    script.hear("subscribed")
    faults = pusher_server.faults
    with (
        faults.drop("news", nth=1),
        faults.duplicate("news", nth=1),
        faults.reorder("news", nth=3),
    ):
        for number in range(1, 6):
            pusher_server.trigger("news", "news", number)
        assert [script.hear("news") for _ in range(5)] == [2, 2, 4, 3, 5]
    script.cue("end")
    script.finish()
