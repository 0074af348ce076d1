"""What was recorded before one server is played into another, which does the same or not."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from pusher.errors import PusherBadAuth, PusherBadStatus

from callboard.traffic import replay, replay_async
from callboard.traffic.errors import BadRecording, CannotReplay
from callboard.traffic.outcome import Difference
from callboard_server.background import BackgroundServer
from callboard_server.settings import AppSettings, Settings
from interop.conftest import StartScript, server_sdk
from interop.pysher_client import MEMBER_ADDED, MEMBER_REMOVED, SUBSCRIBED, PysherClient, signing
from support.backend import Backend
from support.recording_proxy import RecordingProxy
from traffic.conftest import APP, OTHER, Record, client, url
from traffic.scripted_service import serving as scripted


def serving(**changes: Any) -> BackgroundServer:
    app = msgspec.structs.replace(OTHER, **changes)
    return BackgroundServer(Settings(port=0, apps=(app,)))


class TestSdks:
    def test_pusher_js_pysher_and_pusher_are_heard_alike_by_a_fresh_server(
        self,
        record: Record,
        path: Path,
        fresh_server: BackgroundServer,
        node: StartScript,
        backend: Backend,
    ) -> None:
        talk, room = "private-talk", "presence-room"
        with record() as proxy:
            config = {"port": proxy.port, "key": APP.key, "endpoint": backend.endpoint}
            api = server_sdk(APP, proxy.port)
            events = ["client-answer", "news"]
            with PysherClient(
                APP, proxy.port, [talk, room], events, **signing(APP, "program")
            ) as program:
                program.hear(SUBSCRIBED, talk)
                program.hear(SUBSCRIBED, room)
                script = node("pusher-js.cjs", "conversation", **config, channel=talk)
                script.hear("subscribed")
                for data in ({"text": "žluťoučký 🐴", "n": 1.5}, "a string"):
                    program.trigger(talk, "client-question", data)
                    script.hear("question")
                    assert program.hear("client-answer", talk) == data
                api.trigger([talk, room], "news", {"for": "all"})
                assert program.hear("news", talk) == {"for": "all"}
                assert program.hear("news", room) == {"for": "all"}
                api.trigger(talk, "news", "for the others", program.socket_id)
                api.trigger_batch(
                    [{"channel": talk, "name": "news", "data": str(n)} for n in range(3)]
                )
                assert [program.hear("news", talk) for _ in range(3)] == [0, 1, 2]
                script.cue("end")
                script.finish()
                script = node("pusher-js.cjs", "presence", **config, channel=room)
                script.hear("bob alone")
                assert program.hear(MEMBER_ADDED, room) == Backend.member("bob")
                assert program.hear(MEMBER_ADDED, room) == Backend.member("alice")
                for _tab in range(2):
                    script.cue("close a tab")
                assert program.hear(MEMBER_REMOVED, room) == {"user_id": "alice"}
                assert api.users_info(room) == {"users": [{"id": "program"}, {"id": "bob"}]}
                script.cue("end")
                script.finish()
                assert program.hear(MEMBER_REMOVED, room) == {"user_id": "bob"}
        assert APP.secret not in path.read_text()
        outcome = replay(path, url(fresh_server.port))
        assert outcome.same, str(outcome)
        assert (outcome.connections, outcome.requests, outcome.skipped) == (5, 4, Counter())
        assert outcome.events == len(
            [
                line
                for line in proxy.of("server")
                if not line["frame"]["event"].startswith(("pusher:conn", "pusher:p"))
            ]
        )

    @pytest.mark.parametrize("transport", ["xhr_streaming", "xhr_polling"])
    def test_a_client_of_the_fallback_is_played_by_websocket(
        self,
        record: Record,
        path: Path,
        fresh_server: BackgroundServer,
        node: StartScript,
        backend: Backend,
        transport: str,
    ) -> None:
        channels = ["news", "private-news", "presence-news"]
        with record() as proxy:
            api = server_sdk(APP, proxy.port)
            script = node(
                "pusher-js.cjs",
                "listen",
                port=proxy.port,
                key=APP.key,
                endpoint=backend.endpoint,
                transports=[transport],
                channels=channels,
                event="news",
            )
            socket_id = script.hear("subscribed")
            for data in ({"n": 1}, "žluťoučký 🐴"):
                api.trigger(channels, "news", data)
                assert [script.hear(channel) for channel in channels] == [data] * 3
            api.trigger(channels, "news", "for the others", socket_id)
            script.cue("end")
            script.finish()
        assert [line["transport"] for line in proxy.of("connect")] == ["fallback"]
        assert proxy.events("client").count("pusher:subscribe") == 3
        assert proxy.events("server").count("news") == 6
        outcome = replay(path, url(fresh_server.port))
        assert outcome.same, str(outcome)
        assert (outcome.connections, outcome.frames, outcome.requests) == (1, 3, 3)


class TestSameness:
    def test_users_sign_in_and_are_published_to(
        self, record: Record, path: Path, fresh_server: BackgroundServer
    ) -> None:
        with record() as proxy:
            api = server_sdk(APP, proxy.port)
            with client(proxy.port) as alice:
                alice.sign_in("alice", user_info={"name": "Alice"})
                alice.subscribe("#server-to-user-alice")
                api.send_to_user("alice", "letter", "d")
                alice.hears("letter", "#server-to-user-alice")
                alice.enter("presence-by-user")
        outcome = replay(path, url(fresh_server.port))
        assert outcome.same, str(outcome)
        assert outcome.frames == 3

    def test_who_is_left_out_of_an_event_then_is_left_out_now(
        self, record: Record, path: Path, fresh_server: BackgroundServer
    ) -> None:
        with record() as proxy:
            api = server_sdk(APP, proxy.port)
            with client(proxy.port) as alice, client(proxy.port) as bob:
                for each in (alice, bob):
                    each.subscribe("news")
                api.trigger("news", "e", "d", alice.socket_id)
                bob.hears("e", "news")
                api.trigger_batch(
                    [
                        {
                            "channel": "news",
                            "name": "e",
                            "data": "d",
                            "socket_id": bob.socket_id,
                        }
                    ]
                )
                alice.hears("e", "news")
        outcome = replay(path, url(fresh_server.port))
        assert outcome.same, str(outcome)

    def test_who_has_left_a_channel_hears_no_more_of_it_at_any_speed(
        self, record: Record, path: Path, fresh_server: BackgroundServer
    ) -> None:
        with record() as proxy:
            api = server_sdk(APP, proxy.port)
            with client(proxy.port) as alice:
                for _ in range(20):
                    alice.subscribe("news")
                    alice.unsubscribe("news")
                    alice.quiet()
                    api.trigger("news", "e", "d")
        outcome = replay(path, url(fresh_server.port))
        assert outcome.same, str(outcome)

    def test_refusals_are_played_too(
        self, record: Record, path: Path, fresh_server: BackgroundServer
    ) -> None:
        with record() as proxy:
            api = server_sdk(APP, proxy.port)
            with client(proxy.port) as alice:
                alice.send()
                alice.error()
                alice.send(event="pusher:subscribe", data={"channel": "private-a"})
                assert "Auth info required" in alice.error()
                alice.send(event="pusher:nonsense", data={})
                alice.error()
                alice.send(event="client-x", channel="private-a", data={})
                alice.error()
            with pytest.raises(PusherBadStatus, match="413"):
                api.trigger("a", "e", "x" * 20_000)
            sdk = server_sdk(APP, proxy.port, secret="wrong")
            with pytest.raises(PusherBadAuth, match="Invalid signature"):
                sdk.trigger("a", "e", "d")
        outcome = replay(path, url(fresh_server.port))
        assert outcome.same, str(outcome)
        assert outcome.skipped == {"API requests that were not signed well": 1}

    def test_whom_the_server_sends_away_it_sends_away_again(
        self, record: Record, path: Path, fresh_server: BackgroundServer
    ) -> None:
        with record() as proxy:
            api = server_sdk(APP, proxy.port)
            with client(proxy.port) as alice:
                alice.sign_in("alice")
                api.terminate_user_connections("alice")
                alice.ended(4009)
        assert proxy.of("disconnect")[0]["by"] == "server"
        outcome = replay(path, url(fresh_server.port))
        assert outcome.same, str(outcome)

    def test_a_recording_without_data_is_compared_by_length(
        self, record: Record, path: Path, fresh_server: BackgroundServer
    ) -> None:
        with record(keep_data=False) as proxy:
            api = server_sdk(APP, proxy.port)
            with client(proxy.port) as alice, client(proxy.port) as bob:
                for number, each in enumerate((alice, bob)):
                    each.enter("presence-room", f"user-{number}", user_info={"name": "Una"})
                alice.data_of("pusher_internal:member_added", "presence-room")
                alice.send(event="client-x", channel="presence-room", data={"plans": [1]})
                bob.receive()
                api.trigger("presence-room", "news", "plans: ž")
                alice.hears("news", "presence-room", "plans: ž")
                bob.hears("news", "presence-room", "plans: ž")
        assert "plans" not in path.read_text()
        assert "Una" not in path.read_text()
        outcome = replay(path, url(fresh_server.port))
        assert outcome.same, str(outcome)
        assert outcome.events == 7

    def test_a_recording_that_was_cut_off_is_played_as_far_as_it_goes(
        self, record: Record, path: Path, fresh_server: BackgroundServer
    ) -> None:
        with record() as proxy, client(proxy.port) as alice:
            alice.subscribe("a", "b")
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[:-3]) + lines[-3][:-5])
        outcome = replay(path, url(fresh_server.port))
        assert outcome.same, str(outcome)
        assert outcome.torn
        assert "last line is broken" in outcome.summary

    def test_what_was_on_its_way_to_a_client_that_left_makes_no_difference(
        self, record: Record, path: Path, fresh_server: BackgroundServer
    ) -> None:
        with record() as proxy, client(proxy.port) as alice:
            alice.subscribe("news")
            server_sdk(APP, proxy.port).trigger("news", "e", "d")
            alice.hears("e", "news")
        # As if the client had left before the event came, and soon behind all the rest.
        lines = re.sub(rb'"ms":[\d.]+', b'"ms":1', path.read_bytes()).splitlines(keepends=True)
        path.write_bytes(b"".join(line for line in lines if b'"event":"e"' not in line))
        outcome = replay(path, url(fresh_server.port))
        assert outcome.same, str(outcome)
        assert (outcome.events, outcome.late) == (2, 1)
        assert "Not compared 1: events on their way" in outcome.summary

    async def test_hours_pass_at_the_speed_that_is_asked_for(
        self, record: Record, path: Path, fresh_server: BackgroundServer
    ) -> None:
        with record() as proxy, client(proxy.port) as alice:
            alice.subscribe("a")
        path.write_bytes(path.read_bytes().replace(b'"ms":', b'"ms":360000'))
        told: list[tuple[int, int]] = []
        outcome = await replay_async(
            path,
            url(fresh_server.port),
            speed=1e9,
            on_progress=lambda played, records: told.append((played, records)),
        )
        assert outcome.same, str(outcome)
        assert told == [(played, 5) for played in range(6)]


class TestDifferences:
    def test_what_a_server_does_not_pass_on_is_missing_and_its_refusal_added(
        self, record: Record, path: Path
    ) -> None:
        with record() as proxy, client(proxy.port) as alice, client(proxy.port) as bob:
            for each in (alice, bob):
                each.ask("private-talk")
                each.receive()
            for number in range(3):
                alice.send(event="client-x", channel="private-talk", data={"n": number})
                bob.receive()
            alice.quiet()
        with serving(client_events=False) as server:
            outcome = replay(path, url(server.port), patience_seconds=0.5)
        assert not outcome.same
        refusal = "To send client events, you must enable this feature"
        missing = [
            Difference("missing", f"'client-x' {{\"n\":{number}}}", 2, "private-talk")
            for number in range(3)
        ]
        added, rest = outcome.differences[:3], outcome.differences[3:]
        assert rest == missing
        for difference in added:
            assert (difference.kind, difference.where) == ("added", "connection 1")
            assert difference.what.startswith(f"'pusher:error' {refusal}")
        assert str(outcome).splitlines()[:2] == ["6 differences:", "connection 1: 3 added"]

    def test_a_server_that_lets_nobody_in_is_told_of(self, record: Record, path: Path) -> None:
        with record() as proxy, client(proxy.port) as alice, client(proxy.port) as bob:
            alice.subscribe("a")
            bob.subscribe("a")
        with serving(max_connections=1) as server:
            outcome = replay(path, url(server.port))
        closed = [each for each in outcome.differences if each.kind == "closed"]
        assert closed == [Difference("closed", "not before, now with 4004", 2)]
        assert outcome.skipped == {"frames of clients that the service had sent away": 1}

    def test_a_server_that_keeps_whom_the_other_sent_away_is_told_of(
        self, record: Record, path: Path, recorded_server: BackgroundServer
    ) -> None:
        with record() as proxy, client(proxy.port) as alice:
            alice.sign_in("alice")
            # Not by the recorder, so that the replay has no reason to do it again.
            server_sdk(APP, recorded_server.port).terminate_user_connections("alice")
            alice.ended(4009)
        with serving() as server:
            outcome = replay(path, url(server.port), patience_seconds=0.5)
        assert Difference("closed", "with 4009 before, now not", 1) in outcome.differences

    def test_an_answer_with_another_status_is_told_of(self, record: Record, path: Path) -> None:
        with record() as proxy:
            server_sdk(APP, proxy.port).trigger("a", "e", "x" * 100)
        with serving(max_event_payload_bytes=50) as server:
            outcome = replay(path, url(server.port))
        (difference,) = outcome.differences
        assert (difference.where, difference.what) == (
            "API",
            "POST /events: 200 before, now 413",
        )


class TestParts:
    @pytest.fixture
    def two_sides(self, record: Record, path: Path) -> Path:
        with record() as proxy:
            api = server_sdk(APP, proxy.port)
            with client(proxy.port) as alice:
                alice.subscribe("news")
                api.trigger("news", "e", "d")
                alice.hears("e", "news")
        return path

    def test_clients_alone_do_not_wait_for_what_backends_would_trigger(
        self, two_sides: Path, fresh_server: BackgroundServer
    ) -> None:
        outcome = replay(two_sides, url(fresh_server.port), only="client")
        assert (outcome.connections, outcome.frames, outcome.requests) == (1, 1, 0)
        assert outcome.same, str(outcome)

    def test_requests_alone_are_played_without_clients(
        self, two_sides: Path, fresh_server: BackgroundServer
    ) -> None:
        outcome = replay(two_sides, url(fresh_server.port), only="api")
        assert (outcome.connections, outcome.frames, outcome.requests) == (0, 0, 1)
        assert outcome.same, str(outcome)


class TestRefusals:
    @pytest.fixture
    def two_apps(self, path: Path) -> Path:
        apps = (APP, AppSettings(id="103", key="third-key", secret="third-secret"))
        with (
            BackgroundServer(Settings(port=0, apps=apps)) as server,
            RecordingProxy(server.port, path) as proxy,
        ):
            for app in apps:
                with client(proxy.port, app) as someone:
                    someone.subscribe("a")
                server_sdk(app, proxy.port).trigger("a", "e", "d")
        return path

    def test_one_of_several_apps_must_be_chosen(
        self, two_apps: Path, fresh_server: BackgroundServer
    ) -> None:
        with pytest.raises(CannotReplay, match=r"several apps.*'third-key' \(2\).*with --key"):
            replay(two_apps, url(fresh_server.port))
        with pytest.raises(CannotReplay, match="nothing of the app 'fourth-key', only: "):
            replay(two_apps, url(fresh_server.port), key="fourth-key")
        outcome = replay(two_apps, url(fresh_server.port), key="third-key")
        assert outcome.same, str(outcome)
        assert (outcome.connections, outcome.requests) == (1, 1)

    def test_a_server_that_is_not_there_is_no_difference_but_an_error(
        self, two_apps: Path, unused_tcp_port: int
    ) -> None:
        for only in ("client", "api"):
            with pytest.raises(CannotReplay) as caught:
                replay(two_apps, url(unused_tcp_port), key=APP.key, only=only)
            assert str(caught.value) == (
                f"Cannot reach http://127.0.0.1:{unused_tcp_port}: Connection refused. "
                "Is it running, and --url right?"
            )

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            (
                {"id": "203"},
                "see that the app's id in --url .* 404: Unknown app_id: '203'",
            ),
            ({"key": "k"}, "with key k: see that the key in --url .* 401: Unknown auth_key"),
            ({"secret": "s3cret"}, "see that the secret in --url .* 401: Invalid signature"),
        ],
    )
    def test_a_wrong_key_secret_or_id_is_told_before_anything_is_played(
        self,
        two_apps: Path,
        fresh_server: BackgroundServer,
        wrong: dict[str, str],
        said: str,
    ) -> None:
        app = msgspec.structs.replace(OTHER, **wrong)
        for only in (None, "client", "api"):
            with pytest.raises(CannotReplay, match=said) as caught:
                replay(two_apps, url(fresh_server.port, app), key=APP.key, only=only)
            assert "s3cret" not in str(caught.value)

    async def test_of_a_service_that_says_no_more_key_and_secret_are_suspect(
        self, two_apps: Path
    ) -> None:
        async def script(request: web.BaseRequest) -> web.StreamResponse:
            return web.Response(status=401)

        async with scripted(script) as service:
            where = service.replace("http://", "http://k:s@") + "/apps/1"
            with pytest.raises(CannotReplay, match="see that the key, or the secret, in --url"):
                await replay_async(two_apps, where, key=APP.key)

    @pytest.mark.parametrize(
        "host", ["example.com", "192.0.2.1", "[2001:db8::1]", "127.0.0.1.example.com", "0.0.0.0"]
    )
    def test_a_server_elsewhere_is_refused_before_anything_is_read(self, host: str) -> None:
        with pytest.raises(CannotReplay, match=r"is not this machine.*--i-own-this-server"):
            replay("no-such-file", f"http://k:s@{host}:6001/apps/1")

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "[::1]"])
    def test_this_machine_goes_by_any_of_its_names(self, host: str) -> None:
        with pytest.raises(BadRecording, match="Cannot read no-such-file"):
            replay("no-such-file", f"http://k:s@{host}:6001/apps/1")

    def test_a_server_elsewhere_may_be_ones_own(self) -> None:
        with pytest.raises(BadRecording, match="Cannot read no-such-file"):
            replay("no-such-file", "http://k:s@example.com/apps/1", i_own_this_server=True)

    @pytest.mark.parametrize("speed", [0, -1, float("nan")])
    def test_a_speed_that_is_none_is_refused(self, speed: float) -> None:
        with pytest.raises(ValueError, match="speed must be above 0"):
            replay("no-such-file", url(1), speed=speed)
