"""The scheduler's API over a kept-alive connection, one call at a time.

A backlog drains for longer than a server keeps an idle connection, so there may be another then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from callboard_bench import api
from callboard_bench.errors import BenchError
from callboard_bench.keepalive import KeepAlive
from callboard_bench.scheduler.server import Server


class CallRefused(BenchError):
    """A call was answered with something else than 200."""


class Caller:
    """Signs calls about one app's tasks, and reads the answers."""

    def __init__(self, server: Server, connection: KeepAlive) -> None:
        self.server = server
        self._connection = connection

    @classmethod
    async def open(cls, server: Server) -> Caller:
        """Connect.

        Raises:
            OSError: nobody listens there.
        """
        return cls(server, await KeepAlive.open(server.host, server.port))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    async def post(self, call: str, body: object) -> Mapping[str, Any]:
        """Return the answer to ``POST /apps/ID/CALL``.

        Raises:
            CallRefused: naming status and body.
            ConnectionError: the server closed the connection.
        """
        return await self._ask(call, self.request(call, body))

    async def get(self, call: str, **query: str) -> Mapping[str, Any]:
        """Return the answer to ``GET /apps/ID/CALL``; raises as :meth:`post` does."""
        server = self.server
        return await self._ask(call, api.get(server.app, server.host, server.port, call, query))

    async def submit(self, name: str, args: Mapping[str, Any], **fields: Any) -> str:
        """Submit a task and return its id, once it is durable; raises as :meth:`post` does."""
        answer = await self.post("tasks", {"name": name, "args": args, **fields})
        task_id: str = answer["id"]
        return task_id

    def request(self, call: str, body: object) -> bytes:
        """Return a signed ``POST``, good for ten minutes."""
        server = self.server
        return api.post(server.app, server.host, server.port, call, orjson.dumps(body))

    async def _ask(self, call: str, request: bytes) -> Mapping[str, Any]:
        if self._connection.closed:
            self._connection = await KeepAlive.open(self.server.host, self.server.port)
        status, body = await self._connection.request(request)
        if status != 200:
            raise CallRefused(f"{call} was answered with {status} {body[:300]!r}")
        answer: Mapping[str, Any] = orjson.loads(body)
        return answer
