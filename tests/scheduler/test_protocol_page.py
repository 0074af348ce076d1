"""docs/worker-protocol.md: its tables are those of wire.py, and its conversation takes place."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlencode

import msgspec
import pytest

from callboard.scheduling import Scheduling
from callboard_client import ApiClient
from callboard_protocol import signatures
from callboard_protocol.reserved import (
    WORKER_EVENT_BYTES,
    WORKER_EVENTS_PER_SECOND,
    worker_key,
)
from callboard_scheduler import tokens, wire
from callboard_scheduler.blobs import MAX_BLOB_BYTES
from callboard_scheduler.core.ending import STOP_MS
from callboard_scheduler.records import MaybeRaw, StopReason
from callboard_scheduler.stores.memory import MemoryStore
from callboard_scheduler.tokens import MAX_TOKEN_LENGTH, WorkerGrant
from callboard_scheduler.transports import FOREIGN, OWN
from callboard_scheduler.worker.signs_of_life import GIVE_UP
from callboard_server.background import BackgroundServer
from callboard_server.settings import (
    DEVELOPMENT_APP_ID,
    DEVELOPMENT_APP_KEY,
    DEVELOPMENT_APP_SECRET,
    Settings,
)
from support.sockets import Peer, request
from support.websocket import WebSocketPeer, text_frame

PAGE = (Path(__file__).parents[2] / "docs" / "worker-protocol.md").read_text("utf-8")
URL = (
    f"http://{DEVELOPMENT_APP_KEY}:{DEVELOPMENT_APP_SECRET}@127.0.0.1:6001"
    f"/apps/{DEVELOPMENT_APP_ID}"
)
CHANNEL = "private-sched.default.w.edge-7"

#: How the page calls a field's type.
TYPES: dict[object, str] = {
    str: "string",
    str | None: "string",
    int: "integer",
    int | None: "integer",
    float | None: "number",
    bool: "boolean",
    list[str]: "strings",
    list[str] | None: "strings",
    dict[str, Any]: "object",
    dict[str, int]: "object of integers",
    list[tuple[str, int]]: "claims",
    list[tuple[str, int, str]]: "verdicts",
    MaybeRaw: "JSON",
    wire.ResultError | None: "error",
    wire.Limits: "limits",
}


def section(title: str) -> str:
    """Return what stands under a heading, up to the next one."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[1]


def tables(text: str) -> list[list[list[str]]]:
    """Return the cells of each table of fields with defaults, without what they mean."""
    found = text.split("| field | type | default | meaning |\n")[1:]
    rows = [table.partition("\n\n")[0].splitlines()[1:] for table in found]
    return [[[cell.strip(" `") for cell in row.split("|")[1:4]] for row in each] for each in rows]


def fields(struct: type[msgspec.Struct]) -> list[list[str]]:
    """Return the rows that the page should have for a message."""
    return [
        [field.name, TYPES[field.type], _default(field)] for field in msgspec.structs.fields(struct)
    ]


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    default = field.default
    if default is msgspec.NODEFAULT:
        assert callable(field.default_factory)
        default = field.default_factory()
    return "none" if default is None else json.dumps(default)


def kind(message: type[msgspec.Struct]) -> str:
    return str(message.__struct_config__.tag)


def test_there_is_a_section_for_each_message_in_the_order_of_the_code() -> None:
    up, down = PAGE.split("\n## Up\n")[1].split("\n## Rules\n")[0].split("\n## Down\n")
    for part, messages in ((up, wire.UpMessage), (down, wire.DownMessage)):
        headings = re.findall(r"^### `(\w+)`$", part, re.MULTILINE)
        assert headings == [kind(message) for message in get_args(messages)]


@pytest.mark.parametrize(
    "message", [*get_args(wire.UpMessage), *get_args(wire.DownMessage)], ids=kind
)
def test_the_table_of_a_message_has_its_fields_types_and_defaults(
    message: type[msgspec.Struct],
) -> None:
    expected = [fields(message)] if message.__struct_fields__ else []
    expected += {wire.Result: [fields(wire.ResultError)], wire.Welcome: [fields(wire.Limits)]}.get(
        message, []
    )
    assert tables(section(f"`{kind(message)}`")) == expected


def test_the_signatures_and_the_token_are_those_of_the_code() -> None:
    key = worker_key(DEVELOPMENT_APP_SECRET)
    assert f"worker key  {key}\n" in PAGE
    string = signatures.channel_string("1234.5678", CHANNEL)
    assert f"auth        {signatures.auth(DEVELOPMENT_APP_KEY, key, string)}\n" in PAGE
    token = tokens.worker_token(
        DEVELOPMENT_APP_KEY,
        DEVELOPMENT_APP_SECRET,
        worker="edge-7",
        queues=["edge"],
        expires=4_102_444_800,
    )
    assert f"\n{token}\n" in section("The form of a token")
    payload = {"k", *(field.encode_name for field in msgspec.structs.fields(WorkerGrant))}
    listed = re.findall(r"^\| `(\w+)` \|", section("The form of a token"), re.MULTILINE)
    assert set(listed) == payload


def test_the_figures_of_the_page_are_those_of_the_code() -> None:
    text = " ".join(PAGE.split())
    limits = FOREIGN.limits
    assert f"At most {MAX_TOKEN_LENGTH:,} characters" in text
    assert f"| {WORKER_EVENT_BYTES:,} bytes | {limits.bytes:,} bytes |" in text
    assert f"| {WORKER_EVENTS_PER_SECOND:,} a second | {limits.rate} a second |" in text
    assert f"`max_message_bytes`, {Settings().max_message_bytes:,} |" in text
    assert f"Arguments of more than {OWN.inline_bytes // 1024} KiB" in text
    assert f"more than {MAX_BLOB_BYTES // 1024**2} MiB" in text
    assert f"for {GIVE_UP} of `lease_ms`" in text
    assert OWN.sends == 3
    assert f"it comes three times, {OWN.accept_ms / 1000} s apart" in text
    assert f"`within_ms`, {STOP_MS:,} otherwise" in text
    whys = re.findall(r"`(\w+)`", section("`revoke`").split("| `why` |")[1].splitlines()[0])
    assert set(whys) == {reason.value for reason in StopReason}


# The conversation
# The conversation

#: Members of messages whose values another run does not have.
_CHANCE = frozenset(("socket_id", "auth", "id", "f", "now", "put_url"))


class Played:
    """The page's lines, said to a server; what differs each time is learned from its answers."""

    def __init__(self, socket: WebSocketPeer) -> None:
        self._socket = socket
        #: By the page's value.
        self._real: dict[object, object] = {}

    def play(self, lines: str) -> None:
        """Send what the page sends, and hold what comes to what it gets."""
        for line in lines.splitlines():
            way, said = line[:2], json.loads(line[2:])
            if way == "> ":
                if "event" not in said:
                    said = {"event": "client-sched", "channel": CHANNEL, "data": said}
                self._socket.send(text_frame(self.real(said)))
            else:
                assert way == "< ", line
                if "event" not in said:
                    said = {"event": "sched", "channel": CHANNEL, "data": json.dumps(said)}
                came = self._socket.read_frame().json()
                for frame in (said, came):
                    frame["data"] = json.loads(frame["data"])
                self.learn(said, came)

    def learn(self, said: Any, came: Any, name: str = "") -> None:
        """Hold a value to what the page says, as far as another run can have it."""
        if isinstance(said, dict):
            assert [*said] == [*came], (said, came)
            for name, value in said.items():
                self.learn(value, came[name], name)
        elif isinstance(said, list):
            assert len(said) == len(came), (said, came)
            for one, other in zip(said, came, strict=True):
                self.learn(one, other)
        elif name in _CHANCE:
            assert type(said) is type(came), (said, came)
            assert self._real.setdefault(said, came) == came
        else:
            assert self.real(said) == came

    def real(self, said: Any) -> Any:
        """Return what this run has in place of what the page has."""
        if isinstance(said, dict):
            return {name: self.real(value) for name, value in said.items()}
        if isinstance(said, list):
            return [self.real(value) for value in said]
        return self._real.get(said, said)


def exchange(port: int, token: str, form: dict[str, str]) -> Any:
    """Return what /sched/auth answers to a token."""
    with Peer(port) as peer:
        kind = "Content-Type: application/x-www-form-urlencoded"
        bearer = f"Authorization: Bearer {token}"
        peer.send(request("POST", "/sched/auth", urlencode(form).encode(), kind, bearer))
        answer = peer.read_answer()
    assert answer.status == 200, answer
    return json.loads(answer.body)


async def test_the_conversation_takes_place() -> None:
    part = section("A whole conversation")
    hello, asking, greeting, *talk = re.findall(r"```(?:console)?\n(.*?)```", part, re.DOTALL)
    (token,) = re.findall(r"^app-key\..*", section("The form of a token"), re.MULTILINE)
    extension = Scheduling(MemoryStore)
    with (
        BackgroundServer(Settings(port=0), extensions=[extension]) as server,
        WebSocketPeer(server.port) as socket,
    ):
        played = Played(socket.upgraded())
        played.play(hello)
        form = dict(re.findall(r"-d (\w+)=(\S+)", asking))
        *_, answer = asking.splitlines()
        played.learn(json.loads(answer), exchange(server.port, token, played.real(form)))
        played.play(greeting)
        async with ApiClient(URL.replace("6001", str(server.port))) as api:
            body = {"name": "add", "args": {"a": 1, "b": 2}, "queue": "edge"}
            task = await api.post("/tasks", body)
            for lines in talk:
                played.play(lines)
            task = await api.get(f"/tasks/{task['id']}")
    assert (task["state"], task["result"], task["progress"]["msg"]) == ("succeeded", 3, "half")
