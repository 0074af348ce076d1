"""Servers as a round has them: found, started, told apart, and ended."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from callboard_bench.api import App
from callboard_bench.process import with_children
from callboard_bench.targets import server_process, started
from callboard_bench.targets.owners import owners
from callboard_bench.targets.running import Unreachable, answers, running_server
from callboard_bench.targets.server_process import ServerFailed
from callboard_bench.targets.started import PLACEHOLDERS, Place, callboard, floor, started_server
from callboard_bench.targets.target import Address, Contender
from support.bench_target import alive
from support.certificates import Authority

APP = App("id", "key", "secret")

#: Listens on the port it is given, writes its process to a file, and stays.
LISTENER = """
import os, socket, sys, time
port, path = int(sys.argv[1]), sys.argv[2]
socket_ = socket.create_server(("127.0.0.1", port))
if os.fork() == 0:
    time.sleep(60)
with open(path + ".new", "w") as file:
    file.write(f"{os.getpid()} {socket_.getsockname()[1]}")
os.rename(path + ".new", path)
time.sleep(60)
"""


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """A process with a child, and the port it listens on."""
    path = tmp_path / "listener"
    command = [sys.executable, "-c", LISTENER, "0", str(path)]
    with subprocess.Popen(command, process_group=0) as process:
        while not path.exists():
            assert process.poll() is None
        try:
            pid, port = path.read_text().split()
            yield int(pid), int(port)
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_who_listens_owns_a_port_with_all_its_children(listener: tuple[int, int]) -> None:
    pid, port = listener

    found = owners(Address("127.0.0.1", port))

    assert found[0] == pid
    assert [parent_of(child) for child in found[1:]] == [pid]
    assert with_children([pid]) == found


@pytest.mark.parametrize("ip", ["127.0.0.2", "192.0.2.1"])
def test_the_same_port_of_another_address_is_not_theirs(listener: tuple[int, int], ip: str) -> None:
    assert owners(Address(ip, listener[1])) == ()


async def test_a_server_in_the_tools_own_process_counts_nobody() -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        assert owners(Address("127.0.0.1", server.sockets[0].getsockname()[1])) == ()


@asynccontextmanager
async def answering(answer: bytes, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server with one answer to everything, and its port."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(respond, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


async def test_a_server_that_takes_the_app_is_a_target_with_a_warning_if_it_is_not_seen() -> None:
    async with answering(OK) as port:
        where = Address("127.0.0.1", port)
        contender = running_server("mine", APP, where, where)
        assert contender.check is not None
        await contender.check()
        async with contender.open() as target:
            assert (target.name, target.app, target.api.port) == ("mine", APP, port)
            # It is this process, which is the tool's.
            assert target.pids == ()
            assert not target.used
            assert "name it with --pid" in target.warning


async def test_a_server_that_runs_on_was_used_by_the_rounds_before() -> None:
    where = Address("127.0.0.1", 1)
    contender = running_server("mine", APP, where, where)
    used = []
    for _ in range(3):
        async with contender.open() as target:
            used.append(target.used)
    assert used == [False, True, True]


async def test_processes_that_are_named_count_with_their_children(
    listener: tuple[int, int],
) -> None:
    where = Address("127.0.0.1", 1)
    async with running_server("mine", APP, where, where, [listener[0]]).open() as target:
        assert target.pids == with_children([listener[0]])
        assert len(target.pids) == 2
        assert target.warning == ""


async def test_a_process_that_is_not_there_is_told_before_any_load() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    where = Address("127.0.0.1", 1)
    contender = running_server("mine", APP, where, where, [ended.pid])
    assert contender.check is not None

    with pytest.raises(Unreachable, match=f"there is no process {ended.pid}: see that --pid"):
        await contender.check()


async def test_a_server_that_refuses_the_app_is_told_before_any_load() -> None:
    async with answering(b"HTTP/1.1 401 Unauthorized\r\n\r\nunknown key") as port:
        with pytest.raises(Unreachable) as raised:
            await answers(APP, Address("127.0.0.1", port))

    assert "for app id with key key" in str(raised.value)
    assert "HTTP/1.1 401 Unauthorized unknown key" in str(raised.value)
    assert "secret" not in str(raised.value)


async def test_nobody_there_is_told_with_what_to_do() -> None:
    with pytest.raises(Unreachable, match="start the server first, or let the bench do it"):
        await answers(APP, Address("127.0.0.1", 1))


async def test_websockets_that_go_elsewhere_are_tried_there_too() -> None:
    async with answering(OK) as port, answering(OK) as other:
        where, elsewhere = Address("127.0.0.1", port), Address("127.0.0.1", other)
        found = running_server("mine", APP, where, elsewhere)
        missing = running_server("mine", APP, where, Address("127.0.0.1", 1))
        assert found.check is not None and missing.check is not None

        await found.check()
        with pytest.raises(Unreachable, match=r"to 127\.0\.0\.1:1: .* see that --ws-host and"):
            await missing.check()


async def test_a_certificate_is_verified_unless_told_otherwise(tmp_path: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*Authority(tmp_path).pair("server"))
    async with answering(OK, context) as port:
        await answers(APP, Address("localhost", port, True, "127.0.0.1", verified=False))
        with pytest.raises(Unreachable, match=r"not valid: .* with --insecure"):
            await answers(APP, Address("localhost", port, True, "127.0.0.1"))


@pytest.mark.parametrize(
    "contender", [callboard(), floor(("-m", "callboard_bench.floor", "verify"))]
)
async def test_our_servers_listen_with_a_fresh_app_and_end(
    contender: Contender,
) -> None:
    secrets = []
    for _ in range(2):
        async with contender.open() as target:
            await answers_somehow(target.api)
            assert alive(target.pids[0])
            secrets.append(target.app.secret)
        assert not alive(target.pids[0])
    assert secrets[0] != secrets[1]


async def answers_somehow(where: Address) -> None:
    _, writer = await asyncio.open_connection(**where.endpoint())
    writer.close()


def command(program: str, *arguments: str) -> str:
    return shlex.join([sys.executable, "-c", program]) + " " + " ".join(arguments)


async def test_a_command_is_told_its_port_and_counts_with_what_it_starts(tmp_path: Path) -> None:
    path = tmp_path / "listener"
    # The shell stays, for there is something to do after it.
    line = command(LISTENER, "{port}", str(path)) + "; true"

    async with started_server("theirs", line).open() as target:
        while not path.exists():
            await asyncio.sleep(0)
        pid, port = map(int, path.read_text().split())
        assert port == target.api.port
        assert pid in target.pids
        assert parent_of(pid) in target.pids
        child = next(each for each in with_children([pid]) if each != pid)
    assert not alive(pid)
    assert not alive(child), "the group was not ended"


async def test_a_command_finds_the_credentials_in_its_words(tmp_path: Path) -> None:
    path = tmp_path / "words"
    line = f"echo {{app_id}} {{key}} {{secret}} '{{}}' > {path}; " + command(
        LISTENER, "{port}", str(tmp_path / "listener")
    )

    async with started_server("theirs", line).open() as target:
        app = target.app
        assert path.read_text().split() == [app.id, app.key, app.secret, "{}"]


async def test_a_command_that_ends_is_quoted() -> None:
    contender = started_server("theirs", "echo 'no such luck: {port}'; exit 3")

    with pytest.raises(
        ServerFailed, match=r"theirs ended with status 3; it said: no such luck: \d"
    ):
        async with contender.open():
            pass


async def test_a_command_that_said_much_is_quoted_from_a_word_on() -> None:
    words = " ".join(f"<{number}>" for number in range(300))
    contender = started_server("theirs", f"echo '{words} {' '.join(PLACEHOLDERS)}'; exit 3")

    with pytest.raises(ServerFailed, match=r"it said: … (<\d+> )+\d"):
        async with contender.open():
            pass


async def test_a_command_is_quoted_without_its_secret() -> None:
    contender = started_server("theirs", "echo 'knows {secret} {port}'; exit 3")

    with pytest.raises(ServerFailed, match=r"it said: knows \*\*\* \d"):
        async with contender.open():
            pass


async def test_a_command_that_never_listens_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(started, "_COMMAND_START_SECONDS", 0.1)
    contender = started_server("theirs", "echo waiting; sleep 60 # {port}")

    with pytest.raises(ServerFailed, match=r"did not listen on 127\.0\.0\.1:.*it said: waiting"):
        async with contender.open():
            pass


async def test_a_port_that_is_taken_is_not_measured_by_mistake(listener: tuple[int, int]) -> None:
    where = Address("127.0.0.1", listener[1])
    contender = started_server("theirs", "sleep 60", Place(APP, where, where))

    with pytest.raises(ServerFailed, match=r"somebody listens on 127\.0\.0\.1:.* already"):
        async with contender.open():
            pass


async def test_what_fails_in_a_round_carries_what_the_server_said(tmp_path: Path) -> None:
    line = "echo not today; " + command(LISTENER, "{port}", str(tmp_path / "listener"))

    with pytest.raises(OSError, match="closed") as raised:
        async with started_server("theirs", line).open():
            raise ConnectionResetError("closed")
    assert raised.value.__notes__ == ["theirs said: not today"]


async def test_what_fails_because_the_server_died_is_its_death(tmp_path: Path) -> None:
    line = command(LISTENER, "{port}", str(tmp_path / "listener"))

    with pytest.raises(ServerFailed, match="ended with status"):
        async with started_server("theirs", line).open() as target:
            for pid in target.pids:
                os.kill(pid, signal.SIGKILL)
            while any(alive(pid) for pid in target.pids):
                await asyncio.sleep(0)
            raise ConnectionResetError("closed")


async def test_a_server_that_does_not_mind_sigterm_is_killed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(server_process, "_STOP_SECONDS", 0.05)
    line = "trap '' TERM; " + command(LISTENER, "{port}", str(tmp_path / "listener")) + "; true"

    async with started_server("theirs", line).open() as target:
        pass
    assert not any(map(alive, target.pids))


async def test_a_server_of_ours_beyond_loopback_gets_no_load() -> None:
    program = """
import pathlib, sys, time
from callboard_bench.floor import write_ports_file
write_ports_file(pathlib.Path(sys.argv[2]), "192.0.2.1", 80)
time.sleep(30)
"""
    with pytest.raises(ServerFailed, match=r"listens on 192\.0\.2\.1; load goes to a loop"):
        async with floor(("-c", program)).open():
            pass
