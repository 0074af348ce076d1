"""``callboard bench`` as it is typed: its help, its errors, and runs of every scenario."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pytest

from callboard.cli import main
from callboard_bench.cli import SCENARIOS
from callboard_bench.process import with_children
from callboard_bench.scenarios import connect
from callboard_bench.targets.started import callboard
from support.bench_target import alive, opened

#: Few of everything: the figures are not looked at here.
TINY = {
    "fanout": ["--subscribers", "5", "--generators", "2", "--rate", "50", "--probe"],
    "channels": ["--channels", "5", "--rate", "50"],
    "trigger": ["--connections", "2", "--distinct", "10"],
    "connect": ["--connections", "20", "--compare", "floor", "--compare", "websockets"],
    "presence": ["--members", "4"],
    "client-events": ["--groups", "2"],
    "churn": ["--connections", "4", "--channels", "8", "--rate", "50"],
    "mixed": [
        *("--fanout", "2", "--channels", "2", "--triggers", "5"),
        *("--client-events", "4", "--presence", "20", "--churn", "2"),
    ],
}
BRIEF = ["--seconds", "0.3", "--warm-up", "0.1"]

#: It has workloads, with tests of their own.
OTHERS = {"scheduler"}


def bench(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(["bench", *arguments], prog_name="callboard")
    assert isinstance(exit_.value.code, int)
    return exit_.value.code


def test_help_names_every_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench("--help") == 0

    lines = capsys.readouterr().out.splitlines()
    for name, listed in SCENARIOS.items():
        assert any(line.split(maxsplit=1) == [name, listed.summary] for line in lines)


@pytest.mark.parametrize("name", SCENARIOS)
def test_help_of_a_scenario_says_what_it_adds_and_what_all_have(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(name, "--help") == 0

    printed = capsys.readouterr().out
    assert printed.startswith(f"Usage: callboard bench {name} [OPTIONS]")
    assert {"--rounds", "--json", "--html", "--quiet"} <= set(printed.split())


def test_a_scenario_that_is_none_gets_the_list_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench("fan-out") == 2
    assert "no scenario 'fan-out'; there are: fanout, channels, " in capsys.readouterr().err


def test_the_roof_does_not_load_the_bench_and_its_help_none_of_the_load() -> None:
    program = """
import sys
from callboard.cli import main
assert not any(name.startswith("callboard_bench") for name in sys.modules)
main(["--help"], standalone_mode=False)
print(sorted({"uvloop", "rich", "callboard_bench.run"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    assert "  bench " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fanout", "--subscribers", "0"], "0 is not in the range x>=1"),
        (["fanout", "--seconds", "0"], "0.0 is not in the range 0.0<x<=600"),
        (["fanout", "--rate", "nan"], "'nan' is not a number above 0 and up to 1,000,000, or"),
        (["presence", "--rate", "fast"], "or 'max' for as often as it goes"),
        (["fanout", "--subscribers", "99999999"], "raise the hard limit"),
        (["fanout", "--url", "http://127.0.0.1:6001"], "key and secret before its host"),
        (["fanout", "--url", "http://k:s@192.0.2.1/apps/1"], "say so with --i-own-this-server"),
        (["fanout", "--compare", "soketi"], "soketi=http://KEY:SECRET@HOST:PORT/apps/ID"),
        (["churn", "--no-such-flag"], "No such option"),
        (["fanout", "--html", "nowhere/report.html"], "there is no folder 'nowhere' to write it"),
        (["scheduler", "--interval-ms", "0"], "0.0 is not in the range x>=1"),
        (["scheduler", "--workload", "W99"], "no workload 'w99'; there are: W1, "),
        (["scheduler", "--compare", "nobody"], "no peer 'nobody'; there are: "),
        (["scheduler", "--max-p99", "5"], "scheduler has no latency for --max-p99"),
    ],
)
def test_wrong_usage_says_what_to_type(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(*arguments) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_all_scenarios_are_run_here_or_elsewhere() -> None:
    assert {*TINY, *OTHERS} == set(SCENARIOS)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where `callboard serve` runs for all scenarios, as ``--url`` takes it."""
    for target in opened(callboard()):
        app, where = target.app, target.api.authority
        yield f"callboard=http://{app.key}:{app.secret}@{where}/apps/{app.id}"


@pytest.mark.parametrize("name", TINY)
def test_every_scenario_measures_all_that_it_reports(
    name: str, address: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Figures of memory are not looked at.
    monkeypatch.setattr(connect, "_SETTLE_SECONDS", 0.0)
    brief = [] if name == "connect" else BRIEF
    # One of them with servers of its own, which the others need not be started for.
    servers = [] if name == "fanout" else ["--url", address]
    status = bench(name, *TINY[name], *brief, *servers, "--rounds", "1", "--quiet", "--json")

    printed = capsys.readouterr()
    assert status == 0, printed
    document: dict[str, Any] = orjson.loads(printed.out)
    assert document["targets"][-1] == "callboard"
    assert len(document["targets"]) == {"fanout": 2, "connect": 3}.get(name, 1)
    assert document["command"].startswith(f"callboard bench {name} ")
    for target in document["targets"]:
        (measured,) = document["rounds"][target]
        keys = {metric["key"] for metric in document["metrics"]}
        assert keys <= measured["values"].keys()
        assert measured["curves"].keys()
        assert measured["timeline"]["series"]["server_rss_mib"] is not None


def test_a_run_gives_the_signals_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    assert bench("trigger", *TINY["trigger"], *BRIEF, "--rounds", "1", "--quiet", "--alone") == 0
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupted_run_leaves_no_process_behind() -> None:
    with running("fanout", "--subscribers", "2", "--alone") as process:
        children = wait_for_children(process.pid)
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        assert process.stderr.read().splitlines()[-1] == b"interrupted"

    assert process.returncode == 130
    wait_until_gone(children)


def test_a_killed_run_leaves_no_process_behind() -> None:
    # What is killed leaves its temporary files, which are to be gone too.
    with TemporaryDirectory(prefix="bench-") as folder:
        with running("fanout", "--subscribers", "2", "--alone", TMPDIR=folder) as process:
            children = wait_for_children(process.pid)
            process.kill()

        wait_until_gone(children)


def test_a_second_ctrl_c_does_not_wait_for_a_server_to_end(tmp_path: Path) -> None:
    # It ignores SIGTERM, so the first one waits for it.
    stubborn = tmp_path / "stubborn"
    stubborn.write_text(
        "import signal, socket, sys, threading\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('no', flush=True))\n"
        "listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
        "while True: signal.pause()\n"
    )
    told = "{port} {key} {secret} {app_id}"
    command = f"{sys.executable} {stubborn} {told} > {tmp_path / 'said'}"
    with running("fanout", "--subscribers", "2", "--server", command) as process:
        children = wait_for_children(process.pid)
        process.send_signal(signal.SIGINT)
        wait_for(lambda: (tmp_path / "said").read_text() == "no\n", "the server was not told")
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        process.stderr.read()

    assert process.returncode == 130
    wait_until_gone(children)


def running(*arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "callboard", "bench", *arguments]
    return subprocess.Popen(
        command, stderr=subprocess.PIPE, process_group=0, env={**os.environ, **environment}
    )


def wait_for_children(pid: int) -> list[int]:
    """Return what descends from a run once both the server and the generator are there."""
    # The others are the server's guard, and two of multiprocessing: what generators are forked
    # from, and the resource tracker.
    wait_for(lambda: len(with_children([pid])) > 5, "the run did not start its processes")
    return list(with_children([pid])[1:])


def wait_until_gone(pids: list[int]) -> None:
    # The resource tracker ends by itself, a moment after the process it belongs to.
    wait_for(lambda: not any(map(alive, pids)), "a process was left behind")


def wait_for(condition: Callable[[], bool], otherwise: str) -> None:
    deadline = time.perf_counter() + 20
    while not condition():
        assert time.perf_counter() < deadline, otherwise
        time.sleep(0.01)
