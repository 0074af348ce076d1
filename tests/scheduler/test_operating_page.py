"""docs/operating.md about the scheduler's data, held to what happens."""

from __future__ import annotations

import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path

from callboard_scheduler import Client
from callboard_scheduler.stores.directory import DATABASE, LOCK
from callboard_server.settings import Settings
from support.task_server import PATIENCE_SECONDS, TaskServer

PAGE = (Path(__file__).parents[2] / "docs/operating.md").read_text("utf-8")
DATA = PAGE.split("## The scheduler's data\n")[1].partition("\n## ")[0]
BACKUP = re.findall(r"```console\n(.*?)```", DATA, re.DOTALL)[0]


def test_a_backup_of_a_running_server_is_restored_as_the_page_says(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    with TaskServer(tmp_path / "first") as server:
        with Client(server.url) as client:
            task = client.submit("thumbnail", {"url": "a.png"})
        folder = tmp_path / "first" / "data"
        names = {each.name for each in folder.iterdir()}
        assert names == {DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", LOCK}
        assert all(f"`{name}`" in DATA for name in names)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()} == {0o600}
        copy = back_up(folder / DATABASE, tmp_path / "copy.db")

    restored = tmp_path / "second" / "data"
    restored.mkdir(parents=True)
    copy.rename(restored / DATABASE)
    with TaskServer(tmp_path / "second") as server, Client(server.url) as client:
        assert client.get(task.id).record["args"] == {"url": "a.png"}


def back_up(database: Path, copy: Path) -> Path:
    """Run the page's commands for other files."""
    commands = re.sub(r"^\$ ", "", BACKUP, flags=re.MULTILINE)
    for named, path in (
        ("python3", Path(sys.executable)),
        ("/var/lib/callboard/callboard.db", database),
        ("/var/backups/callboard.db", copy),
    ):
        assert named in commands
        commands = commands.replace(named, shlex.quote(str(path)))
    subprocess.run(["bash", "-ec", commands], check=True, timeout=PATIENCE_SECONDS)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    return copy


def test_the_defaults_that_it_names_are_those_of_the_settings() -> None:
    settings = Settings()
    assert f"by default `{settings.data}`" in DATA
    assert settings.finished_tasks_seconds == 7 * 86_400
    assert "`finished_tasks_seconds`, a week by default" in DATA
