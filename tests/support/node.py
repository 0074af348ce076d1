"""Node and the npm packages that some tests drive: found, installed, or the reason why not."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

#: A test's time limit covers its fixtures, so the installation must end before it.
INSTALL_SECONDS = 45
#: What npm says when it cannot reach the registry; any other failure is a fault to be mended.
_UNREACHABLE = (
    "EAI_AGAIN",
    "ECONNREFUSED",
    "ECONNRESET",
    "ENETUNREACH",
    "ENOTFOUND",
    "ERR_SOCKET_TIMEOUT",
    "ETIMEDOUT",
)


def missing(reason: str) -> NoReturn:
    """Skip the test because this machine lacks something, or fail it where nothing may lack.

    In continuous integration (``CI=true``) a skip would hide that the test never ran.
    """
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason} (CI=true: nothing may be skipped)", pytrace=False)
    pytest.skip(reason)


def find(program: str) -> str:
    """Return the path of ``node`` or ``npm``."""
    path = shutil.which(program)
    if path is None:
        missing(f"{program} is not on the PATH: install Node.js 20 or later to run this test")
    return path


def install(folder: Path) -> None:
    """Install what ``folder/package.json`` asks for, unless that has been done.

    No lock file: the ranges say what is supported, and a new release of an SDK is to be met here
    first. The stamp is written last, so that a broken installation is begun again.
    """
    manifest, stamp = folder / "package.json", folder / "node_modules" / ".installed"
    if stamp.exists() and stamp.stat().st_mtime > manifest.stat().st_mtime:
        return
    command = [find("npm"), "install", "--no-package-lock", "--no-audit", "--no-fund"]
    command += ["--fetch-retries=1", "--fetch-retry-mintimeout=500", "--prefix", str(folder)]
    try:
        npm = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        missing(f"npm could not install {manifest} within {INSTALL_SECONDS} s")
    if npm.returncode != 0:
        for code in _UNREACHABLE:
            if code in npm.stderr:
                missing(f"npm could not install {manifest}: it cannot reach its registry ({code})")
        pytest.fail(f"npm could not install {manifest}:\n{npm.stderr.strip()}", pytrace=False)
    stamp.touch()
