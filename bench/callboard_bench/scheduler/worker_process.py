"""Workers as processes, each the leader of a process group of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from callboard_bench.guard import Guard
from callboard_bench.scheduler import program
from callboard_bench.scheduler.server import Server


@dataclass(slots=True)
class WorkerProcess:
    """One ``callboard worker``."""

    id: str
    log: Path
    process: subprocess.Popen[bytes]
    guard: Guard

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        """Kill it and all that it started, as the kernel does it: nothing is said to anybody."""
        self.signal_group(signal.SIGKILL)

    def kill_alone(self) -> None:
        """Kill it, and leave alive what it started."""
        os.kill(self.pid, signal.SIGKILL)

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to it and all that it started."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            pass

    def end(self) -> None:
        """See to it that nothing is left of it."""
        # Before it is waited for: until then the group's number is nobody else's.
        self.kill()
        self.process.wait()
        self.guard.dismiss()

    def said(self) -> str:
        """Return the end of what it wrote."""
        return self.log.read_text(errors="replace")[-800:].strip() or "nothing"


def spawn(server: Server, worker_id: str, slots: int, directory: Path) -> WorkerProcess:
    """Start a worker; ``directory`` has its module and its marks."""
    app = server.app
    url = f"http://{app.key}:{app.secret}@{server.host}:{server.port}/apps/{app.id}"
    command = [sys.executable, "-m", "callboard", "worker", f"{program.MODULE}:worker"]
    environment = {
        **{
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("CALLBOARD_", "PUSHER_"))
        },
        "PYTHONPATH": os.pathsep.join((str(directory), os.environ.get("PYTHONPATH", ""))),
        program.MARKS: str(directory / "marks"),
        program.STOPS: str(directory / "stops"),
        program.SLOTS: str(slots),
        program.WORKER: worker_id,
    }
    log = directory / f"{worker_id}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--url", url],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            cwd=directory,
            process_group=0,
        )
    return WorkerProcess(worker_id, log, process, Guard(process.pid))
