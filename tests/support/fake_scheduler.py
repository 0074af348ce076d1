"""A scheduler that does what the test says: its HTTP API, and its feeds over a WebSocket.

It verifies each signature, keeps tasks as plain records and runs nothing. A test changes records
and announces events by itself, so it also decides what a client never hears.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer

from callboard_protocol import rest_signature

KEY, SECRET, APP_ID = "sched-key", "sched-secret", "7"
#: How long anything awaited may take; a command has to start in that time.
PATIENCE_SECONDS = 30.0
_ENDED = ("succeeded", "dead", "cancelled", "expired")


class Refusal(Exception):
    """What an answer other than 200 is."""

    def __init__(self, status: int, text: str, **headers: str) -> None:
        super().__init__(status, text)
        self.status, self.text, self.headers = status, text, headers


class FakeScheduler:
    """``async with`` it; ``url`` is what clients take."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, Any]] = {}
        self.schedules: dict[str, dict[str, Any]] = {}
        self.workers: list[dict[str, Any]] = []
        self.paused: set[str] = set()
        self.reasons = ["It waits for a worker: none serves its queue."]
        #: Method, path behind the app's and body of each request.
        self.seen: list[tuple[str, str, Any]] = []
        #: Raised instead of an answer to the request that fits, until it is None again.
        self.refusal: Refusal | None = None
        self.refuse_subscriptions = False
        #: Called after the answer to a request was decided, and before it is sent.
        self.on_request: Callable[[str, str], None] = lambda method, path: None
        #: How often each channel was subscribed, and who is on it now.
        self.subscriptions: Counter[str] = Counter()
        self.cached: dict[str, tuple[str, str]] = {}
        self._connections: dict[web.WebSocketResponse, set[str]] = {}
        self._changed = asyncio.Event()
        self._server = TestServer(self._application())

    @property
    def url(self) -> str:
        return f"http://{KEY}:{SECRET}@127.0.0.1:{self._server.port}/apps/{APP_ID}"

    async def __aenter__(self) -> FakeScheduler:
        await self._server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()
        await self._server.close()

    # What a test does

    def task(self, **fields: Any) -> dict[str, Any]:
        """Add a task; ``id`` and ``state`` have defaults."""
        task_id = fields.setdefault("id", f"t{len(self.records) + 1}")
        self.records[task_id] = {
            "name": "thumbnail",
            "queue": "default",
            "state": "ready",
            "priority": 0,
            "args": {},
            "progress": None,
            "result": None,
            "error": None,
            "worker": None,
            "attempt": 0,
            "attempts": [],
            "created_at": 1_900_000_000_000,
            "run_at": None,
            **fields,
        }
        return self.records[task_id]

    async def announce(self, task_id: str, event: str, data: Mapping[str, Any]) -> None:
        """Publish on a task's feed, and keep it for whoever comes later."""
        channel = f"private-cache-sched.default.t.{task_id}"
        self.cached[channel] = (event, json.dumps(data))
        for connection, channels in list(self._connections.items()):
            if channel in channels:
                await connection.send_json(
                    {"event": event, "channel": channel, "data": json.dumps(data)}
                )

    async def state(self, task_id: str, state: str, **fields: Any) -> None:
        """Change the record, and say so."""
        self.records[task_id].update(state=state, **fields)
        await self.announce(task_id, "state", {"id": task_id, "state": state, **fields})

    async def finish(self, task_id: str, state: str = "succeeded", **fields: Any) -> None:
        """End a task, and say so."""
        self.records[task_id].update(state=state, **fields)
        await self.announce(task_id, "result", {"id": task_id, "state": state, **fields})

    async def watched(self, task_id: str, times: int = 1) -> None:
        """Return once the task's feed has been subscribed so often."""
        await self.until(
            lambda: self.subscriptions[f"private-cache-sched.default.t.{task_id}"] >= times
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def requests(self, method: str, path: str) -> int:
        return sum(seen[:2] == (method, path) for seen in self.seen)

    async def cut(self) -> None:
        """Cut all WebSockets as a crash would."""
        for connection in list(self._connections):
            transport = connection._req.transport if connection._req else None
            if transport is not None:
                transport.abort()
        await self.until(lambda: not self._connections)

    async def stop_listening(self) -> None:
        """Refuse new connections; those that stand are left alone."""
        site = next(iter(self._server.runner.sites)) if self._server.runner else None
        if site is not None:
            await site.stop()

    @property
    def watching(self) -> set[str]:
        """The ids of the tasks whose feeds somebody is on."""
        names = set().union(*self._connections.values())
        return {name.rpartition(".")[2] for name in names}

    # HTTP

    def _application(self) -> web.Application:
        application = web.Application()
        application.router.add_get(f"/app/{KEY}", self._websocket)
        application.router.add_route("*", f"/apps/{APP_ID}/{{path:.*}}", self._answer)
        return application

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        raw = request.rel_url
        signed = rest_signature.SignedRequest(
            request.method, raw.raw_path.encode(), raw.raw_query_string.encode(), body
        )
        now = int(request.query["auth_timestamp"])
        try:
            query = rest_signature.verify(signed, KEY, SECRET, now)
        except rest_signature.Unauthorized as error:
            return web.Response(status=401, text=f"{error}\n")
        segments = [unquote(each) for each in raw.raw_path.split("/")[3:]]
        path = "/".join(segments)
        given = json.loads(body) if body else None
        self.seen.append((request.method, path, given))
        self._changed.set()
        try:
            if self.refusal is not None:
                raise self.refusal
            answer = self._route(request.method, segments, given, query)
        except Refusal as refusal:
            return web.Response(
                status=refusal.status, text=f"{refusal.text}\n", headers=refusal.headers
            )
        except KeyError as missing:
            return web.Response(status=404, text=f"Unknown task: {missing}\n")
        encoded = json.dumps(answer)
        self.on_request(request.method, path)
        return web.Response(text=encoded, content_type="application/json")

    def _route(self, method: str, path: list[str], body: Any, query: Mapping[str, str]) -> Any:
        match method, path:
            case "POST", ["tasks"]:
                return self._submit(body)
            case "POST", ["batch_tasks"]:
                return {"batch": [self._submit(each) for each in body["batch"]]}
            case "GET", ["tasks"]:
                return self._page(query)
            case "GET", ["tasks", task_id]:
                return self.records[task_id]
            case "GET", ["tasks", task_id, "why"]:
                state = self.records[task_id]["state"]
                return {"id": task_id, "state": state, "why": self.reasons}
            case "POST", ["tasks", task_id, verb]:
                return self._change(self.records[task_id], verb, body)
            case "GET", ["schedules"]:
                return {"schedules": list(self.schedules.values())}
            case "PUT", ["schedules", schedule_id]:
                self.schedules[schedule_id] = {"id": schedule_id, "paused": False, **body}
                return self.schedules[schedule_id]
            case "GET", ["schedules", schedule_id]:
                return self.schedules[schedule_id]
            case "DELETE", ["schedules", schedule_id]:
                return self.schedules.pop(schedule_id) and {}
            case "GET", ["schedules", schedule_id, "preview"]:
                return {"runs": [1_900_000_000_000 + n for n in range(int(query["n"]))]}
            case "POST", ["schedules", schedule_id, ("pause" | "resume") as verb]:
                self.schedules[schedule_id]["paused"] = verb == "pause"
                return self.schedules[schedule_id]
            case "GET", ["workers"]:
                return {"workers": self.workers}
            case "GET", ["queues"]:
                queues = [{"name": name, "paused": True} for name in sorted(self.paused)]
                return {"queues": queues}
            case "POST", ["queues", queue, "pause"]:
                self.paused.add(queue)
                return {"name": queue, "paused": True}
            case "POST", ["queues", queue, "resume"]:
                self.paused.discard(queue)
                return {"name": queue, "paused": False}
        raise Refusal(404, f"Not found: {'/'.join(path)}")

    def _submit(self, body: dict[str, Any]) -> Any:
        record = self.task(**{k: v for k, v in body.items() if k not in ("id", "on_conflict")})
        return {"id": record["id"], "state": record["state"]}

    def _page(self, query: Mapping[str, str]) -> Any:
        filters = {key: query[key] for key in ("state", "queue", "name") if key in query}
        found = [
            record
            for record in reversed(self.records.values())
            if all(record[key] == value for key, value in filters.items())
        ]
        start, size = int(query.get("cursor", "0")), int(query["limit"])
        end = start + size
        return {"tasks": found[start:end], "cursor": str(end) if end < len(found) else None}

    def _change(self, record: dict[str, Any], verb: str, body: dict[str, Any]) -> Any:
        ended = record["state"] in _ENDED
        if ended != (verb == "requeue"):
            how = "has finished" if ended else "has not finished"
            raise Refusal(409, f"Task {record['id']} {how} ({record['state']})")
        if verb == "cancel":
            record["state"] = "cancelled"
        elif verb == "requeue":
            record.update(state="ready", result=None, error=None)
        else:
            record.update(body)
        return record

    # Feeds

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        connection = web.WebSocketResponse()
        await connection.prepare(request)
        socket_id = f"1.{len(self.seen) + 1}"
        self._connections[connection] = set()
        established = json.dumps({"socket_id": socket_id, "activity_timeout": 120})
        await connection.send_json({"event": "pusher:connection_established", "data": established})
        try:
            async for message in connection:
                if message.type is WSMsgType.TEXT:
                    await self._received(connection, socket_id, json.loads(message.data))
        finally:
            del self._connections[connection]
            self._changed.set()
        return connection

    async def _received(
        self, connection: web.WebSocketResponse, socket_id: str, message: dict[str, Any]
    ) -> None:
        data = message["data"]
        if message["event"] == "pusher:unsubscribe":
            self._connections[connection].discard(data["channel"])
        elif message["event"] == "pusher:subscribe":
            await self._subscribe(connection, socket_id, data)
        self._changed.set()

    async def _subscribe(
        self, connection: web.WebSocketResponse, socket_id: str, data: dict[str, Any]
    ) -> None:
        channel = data["channel"]
        signature = hmac.new(SECRET.encode(), f"{socket_id}:{channel}".encode(), "sha256")
        if self.refuse_subscriptions or data["auth"] != f"{KEY}:{signature.hexdigest()}":
            error = json.dumps({"type": "AuthError", "error": "not you", "status": 401})
            await connection.send_json(
                {"event": "pusher:subscription_error", "channel": channel, "data": error}
            )
            return
        self._connections[connection].add(channel)
        self.subscriptions[channel] += 1
        await connection.send_json(
            {"event": "pusher_internal:subscription_succeeded", "channel": channel, "data": "{}"}
        )
        if channel in self.cached:
            event, text = self.cached[channel]
            await connection.send_json({"event": event, "channel": channel, "data": text})
