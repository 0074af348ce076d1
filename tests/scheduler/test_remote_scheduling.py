"""``callboard scheduler``: a scheduler for an app of a service elsewhere, as a process."""

from __future__ import annotations

from pathlib import Path

import pytest

from callboard.errors import StartError
from callboard.remote_scheduling import Remote, run


def test_credentials_that_everyone_knows_are_not_served_to_other_machines(tmp_path: Path) -> None:
    url = "http://app-key:app-secret@127.0.0.1:1/apps/1"
    remote = Remote(url, "0.0.0.0", 0, tmp_path / "data", "self-hosted")
    with pytest.raises(StartError, match=r"other machines can reach 0\.0\.0\.0: give the app"):
        run(remote, None)
