"""A worker with nothing but pysher, the Pusher client for Python without asyncio.

::

    pip install pysher
    callboard token --worker pysher-1 --queue python --ttl 8h
    python worker_pysher.py 127.0.0.1:6001 TOKEN pysher-1
    callboard tasks submit add --args '{"a": 1, "b": 2}' --queue python --wait

It shows how little a worker needs; ``callboard_scheduler.Worker`` does more of it for you.
"""

from __future__ import annotations

import json
import secrets
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections import deque
from collections.abc import Callable
from typing import Any

import pysher

Message = dict[str, Any]


class Context:
    """What a task may ask and say."""

    def __init__(self, worker: Worker, given: Message) -> None:
        self._worker, self._given, self._said, self._last = worker, given, 0, 0.0
        self.stopped = threading.Event()

    def progress(self, pct: float, text: str = "") -> None:
        now = time.monotonic()
        if now - self._last >= self._given.get("prog_ms", 0) / 1000:
            self._said, self._last = self._said + 1, now
            self._worker.say("progress", self._given, s=self._said, pct=pct, msg=text)


def add(context: Context, a: int, b: int) -> int:
    return a + b


def steps(context: Context, count: int) -> int:
    for step in range(1, count + 1):
        if context.stopped.wait(0.1):
            raise RuntimeError("stopped")
        context.progress(100 * step / count, f"step {step}")
    return count


TASKS: dict[str, Callable[..., Any]] = {"add": add, "steps": steps}


class Worker:
    """One slot on one queue. pysher's thread hears, a thread of ours says, and one runs a task."""

    def __init__(self, host: str, port: int, token: str, worker_id: str, queue: str) -> None:
        self.id, self.queue, self.token = worker_id, queue, token
        self.base = f"http://{host}:{port}"
        self.boot = secrets.token_hex(8)
        self.lock = threading.Condition()
        self.up, self.term, self.events, self.beats = False, 0, 0, 0
        self.limits = {"bytes": 9_500, "rate": 8}
        self.hello_at, self.hello_pause = float("inf"), 0.5
        self.beat_at, self.beat_every, self.beaten_at = 0.0, 0.0, 0.0
        self.heard, self.lease = time.monotonic(), float("inf")
        self.waiting: deque[Message] = deque()
        #: By fence: what runs, and what has ended and is not recorded, as [message, due, pause].
        self.running: dict[int, tuple[Message, Context]] = {}
        self.ended: dict[int, list[Any]] = {}
        #: By task, the highest fence that has ended here.
        self.over: dict[str, int] = {}
        self.pusher = pysher.Pusher(
            token.rsplit(".", 2)[0],
            secure=False,
            custom_host=host,
            port=port,
            reconnect_interval=1,
            auth_endpoint=f"{self.base}/sched/auth",
            auth_endpoint_headers={"Authorization": f"Bearer {token}"},
        )
        self.pusher.connection.bind("pusher:connection_established", self.connected)

    def run(self) -> None:
        self.pusher.connect()
        while True:
            with self.lock:
                self.lock.wait_for(lambda: self.waiting, 0.05)
                self.look_at_the_clock(time.monotonic())
                sent = self.send_what_waits()
            if sent:
                # No more events a second than the service takes: what waits goes together.
                time.sleep(1 / self.limits["rate"])

    # What is heard, on pysher's thread

    def connected(self, data: str) -> None:
        with self.lock:
            self.up, self.hello_at = False, float("inf")
        channel = self.pusher.subscribe(f"private-sched.default.w.{self.id}")
        channel.bind("pusher_internal:subscription_succeeded", self.subscribed)
        channel.bind("sched", self.hear)

    def subscribed(self, data: object) -> None:
        with self.lock:
            self.term = 0
            self.greet()

    def hear(self, data: str) -> None:
        envelope = json.loads(data)
        with self.lock:
            if envelope["term"] < self.term:
                return
            newer, self.term = envelope["term"] > self.term, envelope["term"]
            if newer and self.up and all(m["t"] != "welcome" for m in envelope["m"]):
                self.greet()
            for message in envelope["m"]:
                if self.up or message["t"] in ("welcome", "refused", "resync", "done"):
                    getattr(self, f"hear_{message['t']}", lambda m: None)(message)
            self.lock.notify()

    def hear_welcome(self, message: Message) -> None:
        if message["boot"] != self.boot:
            return  # another process with this worker's id
        self.up, self.heard, self.limits = True, time.monotonic(), message["lim"]
        self.lease, self.beat_every = message["lease_ms"] / 1000, message["hb_ms"] / 1000
        self.beat_at = self.heard + self.beat_every
        for _, fence, verdict in message.get("run", ()):
            if verdict == "stop":
                self.stop(fence)
        for kept in self.ended.values():
            kept[1] = 0.0
        print(f"worker {self.id} is ready", flush=True)

    def hear_refused(self, message: Message) -> None:
        if not self.up and message.get("boot", self.boot) == self.boot:
            self.hello_at = float("inf")
            print(f"refused: {message['why']}", file=sys.stderr, flush=True)

    def hear_assign(self, given: Message) -> None:
        fence = given["f"]
        if fence in self.running:
            self.say("accept", given)  # a repeat
        elif fence in self.ended:
            self.ended[fence][1] = 0.0
        elif self.over.get(given["id"], -1) >= fence:
            pass
        elif given["name"] not in TASKS:
            self.say("reject", given, why="unknown name")
        elif self.running:
            self.say("reject", given, why="busy")
        else:
            context = Context(self, given)
            self.running[fence] = given, context
            self.say("accept", given)
            threading.Thread(target=self.work, args=(given, context), daemon=True).start()

    def hear_revoke(self, message: Message) -> None:
        self.stop(message["f"])

    def hear_done(self, message: Message) -> None:
        for _, fence, _ in message["r"]:
            self.ended.pop(fence, None)

    def hear_hb_ack(self, message: Message) -> None:
        if message["n"] == self.beats:
            self.heard = self.beaten_at
        for _, fence in message.get("stop", ()):
            self.stop(fence)
        for _, fence in message.get("lost", ()):
            if fence in self.running:
                self.say("accept", self.running[fence][0])

    def hear_resync(self, message: Message) -> None:
        self.greet()

    # What runs

    def work(self, given: Message, context: Context) -> None:
        end: Message
        try:
            args = self.large(given["ref"]) if "ref" in given else given.get("args", {})
            positional, named = (args, {}) if isinstance(args, list) else ([], args)
            end = {"ok": True, "val": TASKS[given["name"]](context, *positional, **named)}
        except Exception as error:
            end = {"ok": False, "err": {"type": type(error).__name__, "msg": str(error)}}
        with self.lock:
            fence = given["f"]
            kind = "released" if context.stopped.is_set() and not end["ok"] else "result"
            message = {"t": kind, "id": given["id"], "f": fence}
            # Kept, and said again, until it is recorded.
            self.ended[fence] = [message | (end if kind == "result" else {}), 0.0, 1.0]
            self.over[given["id"]] = fence
            del self.running[fence]
            self.look_at_the_clock(time.monotonic())
            self.lock.notify()

    def large(self, ref: str) -> Any:
        """Arguments that are too large for an event."""
        # The scheduler says where, and only it can.
        with urllib.request.urlopen(urllib.parse.urljoin(self.base, ref)) as answer:  # noqa: S310
            return json.load(answer)

    def stop(self, fence: int) -> None:
        if fence in self.running:
            self.running[fence][1].stopped.set()

    # What is said, on the main thread

    def say(self, kind: str, given: Message | None = None, **fields: object) -> None:
        of = {} if given is None else {"id": given["id"], "f": given["f"]}
        with self.lock:
            self.waiting.append({"t": kind, **of, **fields})
            self.lock.notify()

    def greet(self) -> None:
        self.up, self.hello_at, self.hello_pause = False, 0.0, 0.5
        self.waiting.clear()

    def claims(self) -> list[list[Any]]:
        return [[given["id"], fence] for fence, (given, _) in self.running.items()]

    def look_at_the_clock(self, now: float) -> None:
        free = 1 - len(self.running)
        if not self.up:
            if self.hello_at <= now:
                run = self.claims() + [[of["id"], f] for f, (of, *_) in self.ended.items()]
                hello = {"w": self.id, "free": free, "q": [self.queue], "names": list(TASKS)}
                hello |= {"hb": True, "sdk": "pysher", "token": self.token, "run": run}
                self.say("hello", None, **hello)
                self.hello_at = now + self.hello_pause
                self.hello_pause = min(2 * self.hello_pause, 15.0)
            return
        if self.beat_at <= now:
            self.beats, self.beaten_at, self.beat_at = self.beats + 1, now, now + self.beat_every
            self.say("hb", n=self.beats, free=free, run=self.claims())
        for kept in self.ended.values():
            if kept[1] <= now:
                self.waiting.append(kept[0])
                kept[1], kept[2] = now + kept[2], min(2 * kept[2], 30.0)
        if now - self.heard > 0.8 * self.lease:
            for fence in list(self.running):
                self.stop(fence)  # before somebody else gets it

    def send_what_waits(self) -> bool:
        channel = self.pusher.channel(f"private-sched.default.w.{self.id}")
        if not self.waiting or channel is None:
            return False
        batch: list[Message] = []
        room = self.limits["bytes"] - 200
        while self.waiting and (not batch or len(json.dumps(self.waiting[0])) < room):
            batch.append(self.waiting.popleft())
            room -= len(json.dumps(batch[-1])) + 1
        self.events += 1
        envelope = {"v": 1, "boot": self.boot, "n": self.events, "m": batch}
        channel.trigger("client-sched", envelope)
        return True


if __name__ == "__main__":
    address, token, worker_id, *queue = sys.argv[1:]
    host, _, port = address.partition(":")
    Worker(host, int(port), token, worker_id, *(queue or ["python"])).run()
