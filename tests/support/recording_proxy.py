"""The recorder between a test's clients and a server, on a thread of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from callboard.traffic.proxy import Proxy, bind
from callboard.traffic.recorder import Recorder
from callboard_scheduler.client.loop_thread import LoopThread


class RecordingProxy:
    """``with`` it: records what passes between ``port`` and the service's port into ``path``."""

    def __init__(
        self,
        service_port: int,
        path: Path,
        *,
        keep_data: bool = True,
        fallback_timeout_seconds: float = 5.0,
    ) -> None:
        self._service = f"http://127.0.0.1:{service_port}"
        self.path = path
        self._keep_data = keep_data
        self._fallback_timeout_seconds = fallback_timeout_seconds
        self._thread = LoopThread("recorder", self._open)
        self.port = 0

    def __enter__(self) -> RecordingProxy:
        async def port(proxy: Proxy) -> int:
            return proxy.address[1]

        self.port = self._thread.run(port)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._thread.close()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Proxy]:
        loop = asyncio.get_running_loop()
        with self.path.open("xb", buffering=0) as file:
            recorder = Recorder(file, time=loop.time, started_ms=0, keep_data=self._keep_data)
            try:
                async with Proxy(
                    self._service,
                    recorder,
                    bind("127.0.0.1", 0),
                    fallback_timeout_seconds=self._fallback_timeout_seconds,
                ) as proxy:
                    yield proxy
            finally:
                await recorder.close()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What is in the file by now, without its first line."""
        return [json.loads(line) for line in self.path.read_text().splitlines()[1:]]

    def of(self, what: str, **fields: Any) -> list[dict[str, Any]]:
        """Return the lines about this that have these fields."""
        return [
            line
            for line in self.lines
            if line["what"] == what and all(line.get(name) == fields[name] for name in fields)
        ]

    def events(self, what: str, connection: int = 1) -> list[str]:
        """Return the events that a side said, in order."""
        return [line["frame"]["event"] for line in self.of(what, connection=connection)]
