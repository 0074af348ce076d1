"""The installed wheel, in a project with packages that are called as our folders are."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest

from callboard_protocol import __version__
from support.installed import Environment
from support.node import missing

TESTS = """
import bench
import protocol
import scheduler
import server

import pusher  # type: ignore[import-untyped]
import pytest
from pytest_callboard import Event, PusherServer, PusherServerFactory, TaskScheduler

import callboard_server
from callboard_scheduler import Worker

worker = Worker()


@worker.task
def double(n: int) -> int:
    return 2 * n


def test_both_are_there(packages: str) -> None:
    assert callboard_server.__file__.startswith(packages)
    assert [each.OWN for each in (bench, protocol, scheduler, server)] == [
        "bench", "protocol", "scheduler", "server"
    ]


def test_the_server(pusher_server: PusherServer) -> None:
    sdk = pusher.Pusher(**pusher_server.pusher_options())
    with pusher_server.expect_event("orders", "created") as expected:
        assert sdk.trigger("orders", "created", {"id": 1}) == {}
    event: Event = expected.event
    assert event.json == {"id": 1}


def test_a_fault(pusher_server: PusherServer) -> None:
    sdk = pusher.Pusher(**pusher_server.pusher_options())
    with pusher_server.faults.rest_status(503), pytest.raises(pusher.errors.PusherBadStatus):
        sdk.trigger("orders", "created", {})
    assert pusher_server.events() == []


def test_the_scheduler(task_scheduler: TaskScheduler) -> None:
    with task_scheduler.run(worker):
        task = task_scheduler.submit("double", {"n": 21}, delay_ms=86_400_000)
        assert task_scheduler.advance(86_400) == [task]
    assert task.result == 42


def test_another_server(pusher_server_factory: PusherServerFactory) -> None:
    assert pusher_server_factory(apps=[{"key": "k"}]).key == "k"
"""


#: Without it pytest-asyncio warns.
SCOPE = "asyncio_default_fixture_loop_scope=function"


@pytest.fixture(scope="module")
def project(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    for name in ("server", "protocol", "scheduler", "bench"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(f"OWN = {name!r}\n")
    (folder / "test_own.py").write_text(TESTS)
    (folder / "conftest.py").write_text(
        "import pytest\n\n\n"
        "@pytest.fixture\n"
        "def packages() -> str:\n"
        f"    return {str(environment.packages)!r}\n"
    )
    return folder


# Each import mode with one other plugin that has ideas of its own of how tests are run.
@pytest.mark.parametrize(
    "options",
    [
        ("--import-mode=prepend", "--cov=server", "--cov=test_own", "-p", "no:asyncio"),
        ("--import-mode=importlib", "-n", "2", "-o", "pythonpath=.", "-p", "no:anyio", "-o", SCOPE),
    ],
    ids=["prepend-cov", "importlib-xdist"],
)
def test_a_projects_tests_have_the_fixtures(
    options: tuple[str, ...], environment: Environment, project: Path, extras: Path
) -> None:
    covered = "--cov=server" in options
    variables = {"PYTHONPATH": str(extras)} if covered else {}
    printed = environment.pytest("-W", "error", *options, cwd=project, **variables)
    assert "5 passed" in printed
    if covered:
        (row,) = (line for line in printed.splitlines() if line.startswith("test_own.py"))
        assert row.split()[-1] == "100%"


def test_a_project_is_checked_against_its_types(environment: Environment, project: Path) -> None:
    if find_spec("mypy") is None:
        missing("mypy is not installed: `make lint` installs it")
    options = ("--strict", "--follow-imports=silent", "--cache-dir=/dev/null")
    done = environment.run("python", "-m", "mypy", *options, ".", cwd=project)
    assert done.stdout == "Success: no issues found in 6 source files\n", done.stdout + done.stderr


def test_the_command_says_its_version(environment: Environment, project: Path) -> None:
    by_name = environment.run("callboard", "--version", cwd=project)
    by_module = environment.run("python", "-m", "callboard", "--version", cwd=project)
    assert by_name.stdout == by_module.stdout
    assert __version__ in by_name.stdout


def test_the_fixture_serves_tests_in_other_languages(
    environment: Environment, project: Path
) -> None:
    process = subprocess.Popen(
        [str(environment.programs / "callboard"), "fixture"],
        cwd=project,
        env=environment.variables,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            said = json.loads(process.stdout.readline())
            with urllib.request.urlopen(f"{said['fixture']}/events", timeout=10) as answer:
                assert answer.status == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        finally:
            process.kill()


# What it costs those who have it installed and do not use it

#: Prints the modules that the plugin's import brings along.
IMPORTED = """
import sys
import pytest
before = set(sys.modules)
import pytest_callboard
print(pytest_callboard.__file__)
print(*sorted(set(sys.modules) - before))
"""
#: Prints the modules that are loaded at the end of a run.
LOADED = """
import sys

def pytest_unconfigure(config):
    print("loaded:", *sorted(sys.modules))
"""


def test_importing_the_plugin_loads_the_plugin_and_nothing_else(
    environment: Environment, tmp_path: Path
) -> None:
    done = environment.run("python", "-c", IMPORTED, cwd=tmp_path)
    where, modules = done.stdout.splitlines()
    assert where.startswith(str(environment.packages))
    assert modules == "pytest_callboard"


def test_a_run_that_uses_no_fixture_has_one_module_more_than_without_us(
    environment: Environment, tmp_path: Path
) -> None:
    (tmp_path / "test_it.py").write_text("def test_it():\n    assert 1 + 1 == 2\n")
    (tmp_path / "conftest.py").write_text(LOADED)

    def loaded(*options: str) -> set[str]:
        printed = environment.pytest(
            "-s", "-W", "error", "-p", "no:asyncio", *options, cwd=tmp_path
        )
        (line,) = (line for line in printed.splitlines() if line.startswith("loaded: "))
        return set(line.split()[1:])

    assert loaded() - loaded("-p", "no:callboard") == {"pytest_callboard"}
