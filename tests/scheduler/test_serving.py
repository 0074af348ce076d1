"""``callboard serve`` with its scheduler: whose files, since when, and what a kill leaves."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from callboard_server.settings import DEVELOPMENT_APP_ID, development_app
from support.app_server import signed_query
from support.sockets import Answer, Peer, request

PATIENCE_SECONDS = 10.0
APP = development_app()


class Serve:
    """A ``callboard serve`` process in a folder of its own."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.data = folder / ".callboard"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "callboard", "serve", "--port", "0", *flags],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def started(self) -> Serve:
        """Wait until it listens."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert "listens on" in line, self.process.communicate()[1]
        self.port = int(line.rpartition(":")[2])
        self.announced = [self.process.stdout.readline() for _ in range(2)]
        return self

    def call(self, method: str, path: str, value: object = None) -> Answer:
        path = f"/apps/{DEVELOPMENT_APP_ID}/{path}"
        body = b"" if value is None else json.dumps(value).encode()
        with Peer(self.port) as peer:
            query = signed_query(APP, method, path, {}, body)
            peer.send(request(method, f"{path}?{query}", body))
            return peer.read_answer()

    def submit(self) -> str:
        answer = self.call("POST", "tasks", {"name": "task"})
        assert answer.status == 200, answer
        task_id = answer.json()["id"]
        assert isinstance(task_id, str)
        return task_id

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def processes() -> Iterator[list[Serve]]:
    """Those in it are ended with the test."""
    started: list[Serve] = []
    yield started
    for each in started:
        each.process.kill()
        each.process.communicate()


def serve(processes: list[Serve], folder: Path, *flags: str) -> Serve:
    processes.append(Serve(folder, *flags))
    return processes[-1]


def test_there_is_no_file_before_the_first_task_and_all_of_it_behind(
    folder: Path, processes: list[Serve]
) -> None:
    server = serve(processes, folder).started()
    kept = "Scheduler: on; tasks are kept in .callboard"
    assert server.announced[1] == f"{kept}, which is made with the first one\n"
    assert server.call("GET", "tasks").json()["tasks"] == []
    assert not server.data.exists()
    task_id = server.submit()
    assert server.data.is_dir()
    assert server.end() == 0
    again = serve(processes, folder).started()
    assert again.announced[1] == f"{kept}\n"
    assert again.call("GET", f"tasks/{task_id}").json()["state"] == "ready"


def test_a_kill_loses_nothing_and_blocks_nobody(folder: Path, processes: list[Serve]) -> None:
    server = serve(processes, folder).started()
    tasks = [server.submit() for _ in range(5)]
    server.end(signal.SIGKILL)
    again = serve(processes, folder).started()
    for task_id in tasks:
        assert again.call("GET", f"tasks/{task_id}").json()["state"] == "ready"


def test_a_second_server_on_the_same_folder_says_who_has_it(
    folder: Path, processes: list[Serve]
) -> None:
    server = serve(processes, folder).started()
    server.submit()
    second = serve(processes, folder)
    _, said = second.process.communicate(timeout=PATIENCE_SECONDS)
    assert second.process.returncode == 1
    # And nothing else, such as the end of what has not begun.
    assert said.startswith("Error: ")
    assert str(server.data) in said
    assert str(server.process.pid) in said
    assert "Traceback" not in said
    # With a folder of its own it serves.
    third = serve(processes, folder, "--data", "other").started()
    third.submit()
    assert (folder / "other").is_dir()


def test_a_folder_that_was_deleted_takes_no_tasks_and_says_so(
    folder: Path, processes: list[Serve]
) -> None:
    server = serve(processes, folder).started()
    task_id = server.submit()
    shutil.rmtree(server.data)
    for method, path, body in (
        ("POST", "tasks", {"name": "task"}),
        ("POST", f"tasks/{task_id}/cancel", {}),
        ("GET", "tasks", None),
    ):
        refused = server.call(method, path, body)
        assert refused.status == 503
        assert ".callboard/callboard.db was deleted, moved or replaced" in refused.body.decode()
    assert not server.data.exists()
    assert server.end() == 0
    again = serve(processes, folder).started()
    again.submit()


def test_a_folder_that_cannot_be_made_keeps_it_from_starting(
    folder: Path, processes: list[Serve]
) -> None:
    server = serve(processes, folder, "--data", "/proc/data")
    output, said = server.process.communicate(timeout=PATIENCE_SECONDS)
    assert server.process.returncode == 1
    assert "Error: Cannot use /proc/data: " in said
    assert not output
    # Without tasks nothing is wrong with it.
    serve(processes, folder, "--data", "/proc/data", "--no-scheduler").started()


def test_the_folder_that_nobody_asked_for_keeps_nothing_from_starting(
    processes: list[Serve],
) -> None:
    server = serve(processes, Path("/proc")).started()
    assert not any("Scheduler: on" in line for line in server.announced)
    assert server.end() == 0


def test_without_a_scheduler_it_is_a_pusher_server_and_no_more(
    folder: Path, processes: list[Serve]
) -> None:
    server = serve(processes, folder, "--no-scheduler").started()
    assert not any("Scheduler" in line for line in server.announced)
    assert server.call("POST", "tasks", {"name": "task"}).status == 404
    later = {"name": "e", "channel": "c", "data": "d", "delay_ms": 1}
    assert server.call("POST", "events", later).status == 400
    assert server.call("GET", "channels").status == 200
    assert list(folder.iterdir()) == []
