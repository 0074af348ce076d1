"""Every scenario with tiny counts against real servers, so that none can rot."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from callboard_bench import contenders
from callboard_bench.cli import main
from callboard_bench.scenarios import idle

TINY = {
    "fanout": ["--subscribers", "5", "--generators", "2", "--rate", "50", "--seconds", "0.2"],
    "saturation": ["--subscribers", "5", "--rate", "100", "--seconds", "0.2"],
    "trigger": ["--connections", "2", "--distinct", "10", "--seconds", "0.2"],
    "idle": ["--connections", "20"],
}
COUNTED = {
    "fanout": "deliveries",
    "saturation": "deliveries",
    "trigger": "requests",
    "idle": "connections",
}


def measure(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    status = main([*arguments, "--json"])
    printed = capsys.readouterr()
    assert status == 0, printed
    document: dict[str, Any] = orjson.loads(printed.out)
    return document


@pytest.fixture(autouse=True)
def unsettled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let memory be measured at once: the figures are not looked at here."""
    monkeypatch.setattr(idle, "_SETTLE_SECONDS", 0.0)


@pytest.mark.parametrize("scenario", TINY)
@pytest.mark.parametrize("server", [contenders.FLOOR, contenders.CALLBOARD])
def test_every_scenario_measures_every_server(
    scenario: str, server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [scenario, *TINY[scenario], "--rounds", "1", "--only", server]
    document = measure(capsys, *arguments)

    assert document["faults"] == []
    (values,) = document["rounds"][server]
    counted = values[COUNTED[scenario]]
    if scenario == "idle":
        assert counted == 18
    elif scenario == "trigger":
        assert counted > 0
    else:
        # A server that was kept from its core gets fewer messages, but each reaches all five.
        assert counted > 0 and counted % 5 == 0


def test_rounds_interleave_floor_and_server(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["idle", "--connections", "2", "--rounds", "2", "--shared-channel"])
    printed = capsys.readouterr()

    assert status == 0
    assert printed.err.splitlines() == [
        "round 1 of 2: floor",
        "round 1 of 2: callboard",
        "round 2 of 2: floor",
        "round 2 of 2: callboard",
    ]
    assert "callboard / floor" in printed.out


def test_a_server_that_does_not_start_is_quoted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def command(ports_file: Path, config: Path) -> list[str]:
        return [sys.executable, "-c", "raise SystemExit('no such luck')"]

    broken = [contenders.Contender("broken", command)]
    monkeypatch.setattr("callboard_bench.cli.broadcast_contenders", lambda: broken)

    assert main(["fanout"]) == 1
    assert "broken ended with status 1; it said: no such luck" in capsys.readouterr().err


def test_a_server_that_fails_under_load_is_quoted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program = """
import asyncio, pathlib, sys
from callboard_bench.floor import write_ports_file
async def refuse(reader, writer):
    print("not today", flush=True)
    writer.close()
async def main():
    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    write_ports_file(pathlib.Path(sys.argv[1]), "127.0.0.1", port)
    await server.serve_forever()
asyncio.run(main())
"""

    def command(ports_file: Path, config: Path) -> list[str]:
        return [sys.executable, "-c", program, str(ports_file)]

    failing = [contenders.Contender("failing", command)]
    monkeypatch.setattr("callboard_bench.cli.broadcast_contenders", lambda: failing)

    assert main(["fanout", "--subscribers", "1"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[-2:] == [
        "error: closed before the subscription to 'bench' succeeded",
        "failing said: not today",
    ]


def test_a_server_beyond_loopback_gets_no_load(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program = """
import pathlib, sys, time
from callboard_bench.floor import write_ports_file
write_ports_file(pathlib.Path(sys.argv[1]), "192.0.2.1", 80)
time.sleep(30)
"""

    def command(ports_file: Path, config: Path) -> list[str]:
        return [sys.executable, "-c", program, str(ports_file)]

    remote = [contenders.Contender("remote", command)]
    monkeypatch.setattr("callboard_bench.cli.broadcast_contenders", lambda: remote)

    assert main(["fanout"]) == 1
    assert "listens on 192.0.2.1; load goes to a loopback address only" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_no_process_behind(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "callboard_bench", "trigger", "--only", "floor"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, process_group=0) as process:
        children = wait_for_children(process.pid)
        process.send_signal(number)
        assert process.stderr is not None
        assert process.stderr.read().splitlines()[-1] == b"interrupted"

    assert process.returncode == 130
    wait_until_gone(children)


def wait_for_children(pid: int) -> list[int]:
    """Return the children of a run once both the server and the generator are there."""
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    # The third is multiprocessing's resource tracker.
    wait_for(lambda: len(listed.read_text().split()) >= 3, "the run did not start its processes")
    return [int(child) for child in listed.read_text().split()]


def wait_until_gone(pids: list[int]) -> None:
    # The resource tracker ends by itself, a moment after the process it belongs to.
    wait_for(
        lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "a process was left behind"
    )


def wait_for(condition: Callable[[], bool], otherwise: str) -> None:
    deadline = time.perf_counter() + 20
    while not condition():
        assert time.perf_counter() < deadline, otherwise
        time.sleep(0.01)
