"""The server as users run it: ``callboard serve`` in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from callboard_server.settings import AppSettings
from interop.inbox import WAIT_SECONDS


class ServerProcess:
    """``python -m callboard serve``, started and ended; each start waits until it listens.

    Args:
        folder: holds the configuration, the ports file and the log.
        app: the one app it serves.
        listener: the number of a listening socket to hand down, as systemd would.
        drain_seconds: how long its end is spread over.
    """

    def __init__(
        self,
        folder: Path,
        app: AppSettings,
        listener: int | None = None,
        *,
        drain_seconds: float = 0.0,
    ) -> None:
        folder.mkdir(exist_ok=True)
        self._ports_file = folder / "ports.json"
        self._log = folder / "server.log"
        config = folder / "callboard.toml"
        fields = msgspec.to_builtins(app)
        lines = [f"{name} = {json.dumps(value)}" for name, value in fields.items() if value]
        lines = [f"drain_seconds = {drain_seconds}", "[[apps]]", *lines]
        config.write_text("\n".join(lines))
        self._arguments = ["--config", str(config), "--ports-file", str(self._ports_file)]
        self._arguments += ["--data", str(folder / "data")]
        self._listener = listener
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def start(self) -> None:
        """Start on a free port, or on the port that an earlier start took."""
        self._ports_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "callboard", "serve", *self._arguments]
        if self._listener is None:
            command += ["--port", str(self.port)]
        else:
            command += ["--fd", str(self._listener)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=() if self._listener is None else (self._listener,),
            )
        deadline = time.perf_counter() + WAIT_SECONDS
        # The process has no other way to say that it listens; the file appears whole.
        while not self._ports_file.exists():
            running = self._process.poll() is None and time.perf_counter() < deadline
            assert running, f"the server did not start:\n{self._log.read_text()}"
            time.sleep(0.01)
        self.port = json.loads(self._ports_file.read_text())["port"]

    def end(self, number: signal.Signals) -> int:
        """Send a signal, wait, and return the exit status."""
        assert self._process is not None
        self._process.send_signal(number)
        status = self._process.wait(WAIT_SECONDS)
        self._process = None
        return status

    def close(self) -> None:
        """End it if it runs, and show its log should the test have failed."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._log.exists():
            print(self._log.read_text())
