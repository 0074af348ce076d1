"""docs/workers.md, held to what happens."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

from callboard.scheduling import Scheduling
from callboard_protocol.reserved import WORKER_EVENT_BYTES, WORKER_EVENTS_PER_SECOND
from callboard_scheduler import AsyncClient, Context, wire
from callboard_scheduler.records import Spec
from callboard_scheduler.stores.memory import MemoryStore
from callboard_scheduler.transports import FOREIGN, OWN
from callboard_scheduler.worker.work import STOP_SECONDS
from callboard_server.background import BackgroundServer
from callboard_server.settings import DEVELOPMENT_APP_KEY, Settings
from support.scripted_scheduler import PATIENCE_SECONDS

PAGE = (Path(__file__).parents[2] / "docs" / "workers.md").read_text("utf-8")


async def test_the_quick_start_does_what_the_page_says(tmp_path: Path) -> None:
    source = re.search(r"`pictures\.py`:\n\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert source is not None
    (tmp_path / "pictures.py").write_text(source[1])
    with BackgroundServer(Settings(port=0), extensions=[Scheduling(MemoryStore)]) as server:
        (app,) = server.settings.apps
        assert app.key == DEVELOPMENT_APP_KEY
        url = f"http://{app.key}:{app.secret}@127.0.0.1:{server.port}/apps/{app.id}"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "callboard", "worker", "pictures:worker"),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "CALLBOARD_URL": url},
        )
        try:
            assert process.stdout is not None
            said = await asyncio.wait_for(process.stdout.readline(), PATIENCE_SECONDS)
            assert re.sub(r"worker [\w-]+:", "worker vm-5214-9f0c31:", said.decode()) in PAGE
            async with AsyncClient(url) as client:
                task = await client.submit("thumbnail", {"url": "a.png"})
                assert await task.result(PATIENCE_SECONDS) == {"url": "a.png?w=200"}
        finally:
            process.kill()
            await process.communicate()


def test_what_is_said_of_the_context_is_there() -> None:
    table = PAGE.split("| of the context | |")[1].partition("\n\n")[0]
    first_cells = [line.split(" | ")[0] for line in table.splitlines()[2:]]
    names = [name for cell in first_cells for name in re.findall(r"`(\w+)", cell)]
    assert len(names) >= 13
    context = Context(wire.Assign("t", 1, 1, "work"), Silent())
    assert [name for name in names if not hasattr(context, name)] == []


class Silent:
    """Reports to nobody."""

    max_bytes = 0

    def progressed(self, *report: object) -> None: ...
    def logged(self, *report: object) -> None: ...
    def saved(self, *report: object) -> None: ...


def test_the_figures_of_the_page_are_those_of_the_code() -> None:
    text = " ".join(PAGE.split())
    assert f"stopped within {STOP_SECONDS} s" in text
    spec = Spec("work")
    assert f"({spec.retry.max_attempts} tries, " in text
    assert (spec.retry.max_attempts, spec.max_losses) == (3, 3)
    assert "the third failure is the last" in text
    assert "runs again three times, and the fourth loss ends it as `WorkerLost`" in text
    assert f"after the lease, {OWN.lease_ms // 1000} s on a server" in text
    assert f"waits for it first, {OWN.grace_ms / 1000} s on a server" in text
    assert f"watchers see up to {1000 // OWN.progress_ms} a second" in text
    assert f"| {WORKER_EVENTS_PER_SECOND:,} a second | {FOREIGN.limits.rate} a second |" in text
    assert f"| {WORKER_EVENT_BYTES:,} bytes | {FOREIGN.limits.bytes:,} bytes |" in text
