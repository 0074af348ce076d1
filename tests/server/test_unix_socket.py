"""A Unix socket: it has its mode, takes a dead one's place, spares a live one, and goes."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner

from callboard.announcement import announce
from callboard.cli import main
from callboard_server import server as server_module
from callboard_server import unix_socket
from callboard_server.background import BackgroundServer
from callboard_server.listeners import ListenError, is_loopback
from callboard_server.settings import Settings
from support.entrance import SHOP, Answer, Entrance


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not tmp_path: the name of a socket is 108 bytes at most.
    folder = Path(f"/tmp/callboard-test-{os.getpid()}")  # noqa: S108 - see above
    folder.mkdir(mode=0o700)
    yield folder
    for entry in folder.iterdir():
        entry.unlink()
    folder.rmdir()


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "socket"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def serving(path: Path, mode: str = "660") -> BackgroundServer:
    settings = Settings(port=0, unix_socket=str(path), unix_socket_mode=mode, apps=(SHOP,))
    return BackgroundServer(settings)


def leave_dead(path: Path) -> None:
    """Leave what a process leaves that was killed."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


class TestServing:
    def test_everything_works_as_by_tcp(self, path: Path) -> None:
        with serving(path) as background, ExitStack() as stack:
            by_unix = Entrance(stack, path=str(path))
            by_tcp = Entrance(stack, port=background.port)
            clients = [by_unix.client(), by_unix.client(), by_tcp.client()]
            for client in clients:
                client.subscribe("news")

            assert by_unix.trigger("news", "by Unix") == Answer(200, "{}")
            assert by_tcp.trigger("news", "by TCP") == Answer(200, "{}")

            for client in clients:
                client.hears("news", "by Unix")
                client.hears("news", "by TCP")
            assert json.loads(by_unix.request("GET", "/ready").text) == {"ready": True}

    def test_clients_are_told_of_the_end(
        self, path: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # The client answers the close only when it is asked to.
        monkeypatch.setattr(server_module, "FAREWELL_SECONDS", 0.2)
        with serving(path):
            client = Entrance(stack, path=str(path)).client()

        assert client.ended()[0] == 4100

    def test_a_slow_reader_is_bounded(self, path: Path) -> None:
        settings = Settings(port=0, unix_socket=str(path), apps=(SHOP,), max_outbox_bytes=64 * 1024)
        with BackgroundServer(settings) as background, ExitStack() as stack:
            slow = Entrance(stack, path=str(path)).client()
            slow.subscribe("news")
            by_tcp = Entrance(stack, port=background.port)
            found: list[int] = []

            for _ in range(500):
                by_tcp.trigger("news", "x" * 10_000)
                background.call(lambda server: found.append(server.hub.slow_clients))
                if found[-1]:
                    break

            assert found[-1] == 1


class TestTheFile:
    @pytest.mark.parametrize("mode", ["600", "660", "666"])
    def test_has_the_mode(self, mode: str, path: Path) -> None:
        mask = os.umask(0o077)
        try:
            with serving(path, mode):
                found = path.lstat().st_mode
        finally:
            os.umask(mask)

        assert stat.S_ISSOCK(found)
        assert f"{stat.S_IMODE(found):o}" == mode

    def test_is_gone_after_the_end(self, path: Path) -> None:
        with serving(path):
            assert path.exists()

        assert not path.exists()

    def test_takes_the_place_of_a_dead_one(self, path: Path) -> None:
        leave_dead(path)

        with serving(path), ExitStack() as stack:
            Entrance(stack, path=str(path)).client().quiet()

    def test_stays_if_another_server_has_made_it_its_own(
        self, path: Path, stack: ExitStack
    ) -> None:
        with serving(path):
            path.unlink()
            other = stack.enter_context(socket.socket(socket.AF_UNIX))
            other.bind(str(path))

        assert path.exists()

    def test_that_somebody_removed_is_no_fault_at_the_end(self, path: Path) -> None:
        with serving(path):
            path.unlink()

    def test_is_gone_if_the_server_does_not_start(self, path: Path) -> None:
        settings = Settings(
            port=0,
            unix_socket=str(path),
            tls_port=0,
            tls_certificate="/nowhere",
            tls_key="/nowhere",
        )

        with pytest.raises(ListenError, match="Cannot read /nowhere"):
            BackgroundServer(settings).start()

        assert not path.exists()


class TestRefusals:
    def test_a_live_one_is_left_alone(self, path: Path) -> None:
        with serving(path), ExitStack() as stack:
            with pytest.raises(ListenError, match=f"{path} is in use: .* Stop it, or") as caught:
                serving(path).start()

            assert caught.value.in_use
            Entrance(stack, path=str(path)).client().quiet()

    def test_so_is_one_that_has_no_time_to_answer(self, path: Path, stack: ExitStack) -> None:
        busy = stack.enter_context(socket.socket(socket.AF_UNIX))
        busy.bind(str(path))
        busy.listen(0)
        for _ in range(2):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            client.connect_ex(str(path))

        with pytest.raises(ListenError, match="in use"):
            unix_socket.bind(str(path), "600")

    def test_so_is_what_is_not_a_socket(self, path: Path) -> None:
        path.write_text("precious")

        with pytest.raises(ListenError, match=f"{path} is there and is not a socket"):
            serving(path).start()

        assert path.read_text() == "precious"

    def test_so_is_a_link(self, path: Path, folder: Path) -> None:
        target = folder / "target"
        leave_dead(target)
        path.symlink_to(target)

        with pytest.raises(ListenError, match="is not a socket"):
            serving(path).start()

        assert path.is_symlink()
        assert target.exists()

    @pytest.mark.parametrize(
        ("name", "reason"), [("missing/socket", "No such file"), ("x" * 200, "too long")]
    )
    def test_a_path_that_cannot_be_is_explained(self, name: str, reason: str, folder: Path) -> None:
        with pytest.raises(ListenError, match=rf"Cannot listen on the Unix socket .*{reason}"):
            serving(folder / name).start()

    def test_a_socket_that_is_refused_leaves_no_port_open(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened: list[socket.socket] = []
        bind = socket.socket.bind

        def record(sock: socket.socket, address: object) -> None:
            opened.append(sock)
            bind(sock, address)  # type: ignore[arg-type]

        monkeypatch.setattr(socket.socket, "bind", record)
        path.write_text("precious")

        with pytest.raises(ListenError):
            serving(path).start()

        assert [sock.fileno() for sock in opened] == [-1]


def check(*flags: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["check", "--port", "0", *flags], prog_name="callboard")
    return result.exit_code, result.output


class TestTheCommand:
    def test_check_says_that_it_would_be_there(self, path: Path) -> None:
        status, said = check("--unix-socket", str(path))

        assert status == 0
        assert f"127.0.0.1 port 0 (a free one), the Unix socket {path}, with 1 app" in said
        assert not path.exists()

    def test_check_says_that_somebody_listens_there(self, path: Path) -> None:
        with serving(path):
            assert f"the Unix socket {path} (in use now)" in check("--unix-socket", str(path))[1]
            assert path.exists()

    def test_check_leaves_a_dead_one(self, path: Path) -> None:
        leave_dead(path)

        assert check("--unix-socket", str(path))[0] == 0
        assert path.exists()

    @pytest.mark.parametrize(
        ("path", "said"),
        [("/nowhere/socket", "no folder /nowhere"), ("/etc/passwd", "is not a socket")],
    )
    def test_check_says_why_it_could_not_be(self, path: str, said: str) -> None:
        status, output = check("--unix-socket", path)

        assert status == 1
        assert said in output

    def test_check_says_that_the_folder_must_not_be_written_to(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Root may write everywhere, so the system's answer is put in its place.
        monkeypatch.setattr(os, "access", lambda *_: False)

        status, output = check("--unix-socket", str(path))

        assert status == 1
        assert f"Cannot listen on the Unix socket {path}: Permission denied" in output

    def test_the_announcement_names_it(self) -> None:
        said = announce(
            [SHOP],
            [("127.0.0.1", 6001)],
            name=None,
            open_files=None,
            unix_socket="/run/callboard.sock",
        )

        assert "listens on http://127.0.0.1:6001, unix:/run/callboard.sock\n" in said


def test_only_this_machine_can_reach_it(path: Path) -> None:
    with unix_socket.bind(str(path), "600") as sock:
        assert is_loopback(sock)
