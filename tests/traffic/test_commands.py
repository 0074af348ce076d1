"""``callboard record`` and ``callboard replay``: what is typed, what is said, and how they end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from callboard.cli import main
from callboard.traffic.recording import Recording
from callboard_server.background import BackgroundServer
from callboard_server.settings import Settings
from interop.conftest import server_sdk
from interop.inbox import eventually
from traffic.conftest import APP, OTHER, Record, client, url

#: No step of a process takes this long, in seconds.
PATIENCE = 20.0


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("CALLBOARD_", "PUSHER_"))]:
        monkeypatch.delenv(name)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments], prog_name="callboard")


class Recorder:
    """``callboard record`` in a process of its own."""

    def __init__(self, service_port: int, *arguments: object) -> None:
        command = [sys.executable, "-m", "callboard", "record"]
        command += ["--url", f"http://127.0.0.1:{service_port}", "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(
            [*command, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None and self.process.stderr is not None
        self.announcement = self.process.stdout.readline() + self.process.stdout.readline()
        found = re.search(r"go to http://127\.0\.0\.1:(\d+) in its place", self.announcement)
        assert found, self.announcement + self.process.stderr.read()
        self.port = int(found[1])

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """Send a signal, and return the exit status and what was said on stderr."""
        self.process.send_signal(number)
        return self.over()

    def over(self) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, errors


@pytest.fixture
def recorders() -> Iterator[list[Recorder]]:
    started: list[Recorder] = []
    yield started
    for each in started:
        each.process.kill()
        each.process.communicate()


def some_traffic(port: int) -> None:
    with client(port) as alice:
        alice.subscribe("news")
        server_sdk(APP, port).trigger("news", "e", "d")
        alice.hears("e", "news")
        alice.quiet()


class TestRecord:
    def test_it_ends_in_order_with_a_signal_and_its_recording_is_whole(
        self, recorded_server: BackgroundServer, path: Path, recorders: list[Recorder]
    ) -> None:
        recorder = Recorder(recorded_server.port, "--out", path)
        recorders.append(recorder)
        assert recorder.announcement.startswith(
            f"Recording http://127.0.0.1:{recorded_server.port} into {path}.\n"
        )
        some_traffic(recorder.port)
        with client(recorder.port) as bob:
            status, errors = recorder.end(signal.SIGINT)
            # Whoever is connected is told to go.
            assert bob.closed() == 1001
        assert status == 0
        assert errors.endswith(f"2 connections, 7 frames and 1 API request are in {path}.\n")
        recording = Recording(path)
        assert len(list(recording)) == 13
        assert not recording.torn

    def test_it_says_at_the_start_that_the_service_is_not_there_and_goes_on(
        self, path: Path, recorders: list[Recorder], unused_tcp_port: int
    ) -> None:
        recorder = Recorder(unused_tcp_port, "--out", path)
        recorders.append(recorder)
        assert recorder.process.stderr is not None
        assert recorder.process.stderr.readline() == (
            f"Warning: cannot reach http://127.0.0.1:{unused_tcp_port}: Connection refused. "
            "Until it is there, all are answered 502.\n"
        )
        with BackgroundServer(Settings(port=unused_tcp_port, apps=(APP,))):
            some_traffic(recorder.port)
        status, errors = recorder.end(signal.SIGINT)
        assert status == 0
        assert errors.endswith(f"1 connection, 6 frames and 1 API request are in {path}.\n")

    @pytest.mark.parametrize("there", [True, False])
    def test_one_that_cannot_listen_leaves_the_file_alone(
        self, recorded_server: BackgroundServer, path: Path, there: bool
    ) -> None:
        if there:
            path.write_text("of before")
        where = f"127.0.0.1:{recorded_server.port}"
        result = run("record", "--listen", where, "--out", path, *["--overwrite"] * there)
        assert result.exit_code == 1
        assert f"127.0.0.1 port {recorded_server.port} is in use" in result.stderr
        assert path.read_text() == "of before" if there else not path.exists()

    def test_a_killed_one_leaves_what_has_passed(
        self,
        recorded_server: BackgroundServer,
        fresh_server: BackgroundServer,
        path: Path,
        recorders: list[Recorder],
    ) -> None:
        recorder = Recorder(recorded_server.port, "--out", path)
        recorders.append(recorder)
        some_traffic(recorder.port)
        # Its lines come in order: with the end of the connection all the others are there.
        with client(recorder.port):
            eventually(lambda: path.read_bytes().count(b'"connect"') == 2)
        recorder.end(signal.SIGKILL)
        replayed = run("replay", path, "--url", url(fresh_server.port), "--check", "--speed", "max")
        assert replayed.exit_code == 0, replayed.output

    def test_it_writes_to_standard_output_too(
        self, recorded_server: BackgroundServer, recorders: list[Recorder]
    ) -> None:
        command = [sys.executable, "-m", "callboard", "record", "--out", "-"]
        command += ["--url", f"http://127.0.0.1:{recorded_server.port}", "--listen", "127.0.0.1:0"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        try:
            first = json.loads(process.stdout.readline())
            assert first["callboard"] == "traffic/1"
            process.send_signal(signal.SIGTERM)
            rest, errors = process.communicate(timeout=PATIENCE)
            assert (process.returncode, rest) == (0, b"")
            assert b"Recording http://127.0.0.1:" in errors
        finally:
            process.kill()
            process.communicate()

    def test_a_file_that_cannot_be_written_on_ends_it(
        self, recorded_server: BackgroundServer, recorders: list[Recorder]
    ) -> None:
        if not Path("/dev/full").exists():
            pytest.skip("this system has no /dev/full")
        recorder = Recorder(recorded_server.port, "--out", "/dev/full", "--overwrite")
        recorders.append(recorder)
        status, errors = recorder.over()
        assert status == 1
        assert "Cannot write on /dev/full: No space left on device." in errors

    def test_a_recording_is_not_replaced_unasked(self, path: Path) -> None:
        path.write_text("precious")
        result = run("record", "--out", path)
        assert (result.exit_code, path.read_text()) == (1, "precious")
        assert f"{path} is there already. Name another file with --out" in result.stderr

    @pytest.mark.parametrize(
        ("arguments", "status", "said"),
        [
            (["--url", "http://k:s3cret@127.0.0.1/apps/1"], 1, "has a key in it"),
            (["--out", "no/such/folder/x.jsonl"], 1, "Cannot write no/such/folder/x.jsonl: No"),
            (["--listen", "7001"], 2, "is no HOST:PORT, such as 127.0.0.1:7001"),
            (["--listen", "127.0.0.1:70000"], 2, "is no HOST:PORT"),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, tmp_path: Path, arguments: list[str], status: int, said: str
    ) -> None:
        result = run("record", "--out", tmp_path / "x.jsonl", *arguments)
        assert result.exit_code == status
        assert said in result.stderr
        assert "s3cret" not in result.stderr


class TestReplay:
    @pytest.fixture
    def recording(self, record: Record, path: Path) -> Path:
        with record() as proxy:
            some_traffic(proxy.port)
        return path

    def test_it_says_what_it_has_played(
        self, recording: Path, fresh_server: BackgroundServer
    ) -> None:
        result = run("replay", recording, "--url", url(fresh_server.port))
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout == (
            "Played 1 connection with 1 frame, and 1 API request; heard 2 events.\n"
        )

    def test_it_says_that_nothing_differs(
        self, recording: Path, fresh_server: BackgroundServer
    ) -> None:
        result = run("replay", recording, "--url", url(fresh_server.port), "--check")
        assert result.exit_code == 0
        assert result.stdout.endswith("As recorded: nothing missing, added or out of order.\n")

    def test_differences_are_told_and_exit_with_1_if_asked_for(
        self, recording: Path, fresh_server: BackgroundServer
    ) -> None:
        recording.write_bytes(recording.read_bytes().replace(b'"data":"d"}', b'"data":"e"}', 1))
        arguments = ("replay", recording, "--url", url(fresh_server.port), "--patience", "0.5")
        result = run(*arguments, "--check")
        assert result.exit_code == 1
        assert result.stdout.splitlines()[1:] == [
            "2 differences:",
            "connection 1, news: 1 missing, 1 added",
            "  missing: 'e' d",
            "  added: 'e' e",
        ]
        unchecked = run(*arguments, "--json")
        assert unchecked.exit_code == 0
        found = json.loads(unchecked.stdout)
        assert (found["same"], found["difference_count"]) == (False, 2)
        assert found["differences"][0] == {
            "kind": "missing",
            "what": "'e' d",
            "connection": 1,
            "channel": "news",
        }

    @pytest.mark.parametrize(
        ("arguments", "status", "said"),
        [
            (["--url", "http://k:s3cret@example.com/apps/1"], 1, "is not this machine"),
            (["--url", "http://127.0.0.1"], 2, "API URL without key and secret"),
            (["--speed", "0"], 2, "expected a number above 0, or max"),
            (["--speed", "fast"], 2, "expected a number above 0, or max"),
            (["--only", "server"], 2, "is not one of 'client', 'api'"),
            (["--only", "api", "--check"], 2, "--only plays a part"),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, recording: Path, arguments: list[str], status: int, said: str
    ) -> None:
        result = run("replay", recording, *arguments)
        assert result.exit_code == status
        assert said in " ".join(result.stderr.split())
        assert "s3cret" not in result.stderr

    def test_a_wrong_secret_is_one_line_and_1(
        self, recording: Path, fresh_server: BackgroundServer
    ) -> None:
        where = url(fresh_server.port).replace(OTHER.secret, "s3cret")
        result = run("replay", recording, "--url", where, "--check")
        assert (result.exit_code, result.stdout) == (1, "")
        assert "see that the secret in --url is the server's" in result.stderr
        assert result.stderr.count("\n") == 1
        assert "s3cret" not in result.stderr

    def test_a_file_that_is_no_recording_is_refused(self, path: Path) -> None:
        path.write_text("hello\n")
        result = run("replay", path)
        assert result.exit_code == 1
        assert "is no recording" in result.stderr

    def test_an_interrupt_closes_all_connections(
        self, recording: Path, fresh_server: BackgroundServer
    ) -> None:
        # The last record is a day away.
        lines = recording.read_bytes().splitlines(keepends=True)
        lines[-1] = re.sub(rb'"ms":[\d.]+', b'"ms":86400000', lines[-1])
        recording.write_bytes(b"".join(lines))
        command = [sys.executable, "-m", "callboard", "replay", str(recording)]
        process = subprocess.Popen(
            [*command, "--url", url(fresh_server.port)], stderr=subprocess.PIPE, text=True
        )
        try:
            api = server_sdk(OTHER, fresh_server.port)
            eventually(lambda: api.channels_info() == {"channels": {"news": {}}})
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=PATIENCE)
            assert process.returncode == 130
            assert errors == "Interrupted: all connections are closed.\n"
            eventually(lambda: api.channels_info() == {"channels": {}})
        finally:
            process.kill()
            process.communicate()


def test_neither_command_is_loaded_before_it_is_used() -> None:
    code = (
        "import sys, callboard.cli\n"
        "print([name for name in sys.modules if 'traffic' in name or name == 'aiohttp'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
