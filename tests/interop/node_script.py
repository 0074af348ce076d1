"""A scenario in Node: started by a test, told when to go on, heard line by line."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interop.inbox import WAIT_SECONDS, Inbox

FOLDER = Path(__file__).parent / "node"


class NodeScript:
    """One scenario of a file in ``node/``, run in a process of its own.

    The scenario reports and takes cues as ``node/stage.cjs`` describes. Whatever else it writes
    is kept in :attr:`transcript`, which the fixture shows if the test fails.
    """

    def __init__(self, node: str, file: str, scenario: str, config: Mapping[str, Any]) -> None:
        self.name = f"{file}: {scenario}"
        self._inbox = Inbox()
        self._lines: list[str] = []
        self._process = subprocess.Popen(
            [node, str(FOLDER / "stage.cjs"), str(FOLDER / file), scenario, json.dumps(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def transcript(self) -> str:
        """All that the process has written."""
        return "".join(self._lines)

    def hear(self, name: str, timeout: float = WAIT_SECONDS) -> Any:
        """Return the data of the next report under ``name``."""
        try:
            return self._inbox.take(name, timeout)
        except AssertionError as reason:
            raise AssertionError(f"{self.name}: {reason}\n{self.transcript}") from None

    def cue(self, name: str, data: Any = None) -> None:
        """Let the scenario go on where it waits for ``name``."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([name, data]) + "\n")
        self._process.stdin.flush()

    def finish(self) -> None:
        """Wait until the scenario has ended well."""
        status = self._process.wait(WAIT_SECONDS)
        self._reader.join()
        assert status == 0, f"{self.name}: exit status {status}\n{self.transcript}"

    def kill(self) -> None:
        """End the process, whatever it does, and free what it holds."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line)
            if line.startswith('["'):
                name, data = json.loads(line)
                self._inbox.put(name, data)
        self._inbox.close()
