"""``callboard scheduler``: a scheduler for an app of a service elsewhere, as a process."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from callboard.cli import main
from callboard.errors import StartError
from callboard.remote_scheduling import Remote, run

URL = "http://app-key:app-secret@127.0.0.1:1/apps/1"


def test_credentials_that_everyone_knows_are_not_served_to_other_machines(tmp_path: Path) -> None:
    remote = Remote(URL, "0.0.0.0", 0, tmp_path / "data", "self-hosted")
    with pytest.raises(StartError, match=r"other machines can reach 0\.0\.0\.0: give the app"):
        run(remote, None)


def test_the_secret_need_not_be_on_the_command_line() -> None:
    command = ["scheduler", "--host", "0.0.0.0", "--port", "0"]
    without = CliRunner().invoke(main, command, env={"CALLBOARD_SERVICE": ""})
    assert "Missing option '--url'" in without.output
    ran = CliRunner().invoke(main, command, env={"CALLBOARD_SERVICE": URL})
    assert ran.exit_code == 1
    assert "--url has the built-in development credentials" in ran.output
