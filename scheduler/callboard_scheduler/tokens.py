"""Tokens: what somebody without the app's secret may be or see, and until when.

``KEY.<payload>.<signature>``: the payload is base64url JSON without padding, the signature the
hex HMAC-SHA256 of ``sched/1 token:`` and the encoded payload with the app's secret. Rules:

1. A worker's token opens the channel of that worker, or of those whose id begins as it says, and
   the pools of its namespace, there as that one worker. It opens no feed.
2. A watcher's token opens feeds, and nothing that anybody else may write to.
3. A payload with a field that is not known is refused: it may be a limit.
4. The signature is compared in constant time, and before anything of the payload is believed.

Whoever hands a token to a scheduler in ``hello`` is held to its queues and task names as well.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from typing import Final

import msgspec
import orjson

from callboard_protocol import signatures
from callboard_protocol.channels import channel_name_fault, is_socket_id, kind_of
from callboard_protocol.reserved import worker_key, worker_of
from callboard_scheduler import names
from callboard_scheduler.errors import BadField, BadToken, TokenFault
from callboard_scheduler.records import DEFAULT_NAMESPACE

#: Longest token in characters: it has to fit into a header and into a ``hello``.
MAX_TOKEN_LENGTH: Final = 6_000
#: Stands for all of them, and behind a worker's id for whatever follows.
ANY: Final = "*"

_NAMESPACE = re.compile(r"[A-Za-z0-9_\-=@,;]{1,40}", re.ASCII)


class WorkerGrant(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    tag_field="k",
    tag="worker",
    rename={"namespace": "ns", "worker": "w", "queues": "q", "task_names": "n", "expires": "exp"},
):
    """Its holder may be a worker.

    ``worker`` is an id, or the start of ids with ``*`` behind; ``queues`` and ``task_names`` are
    what it may be given, None for all; ``expires`` is Unix time in seconds.
    """

    namespace: str
    worker: str
    queues: tuple[str, ...] | None
    task_names: tuple[str, ...] | None
    expires: int

    def allows_worker(self, worker_id: str) -> bool:
        """Whether its holder may be this worker."""
        if self.worker.endswith(ANY):
            return worker_id.startswith(self.worker.removesuffix(ANY))
        return worker_id == self.worker

    def allows_channel(self, channel: str) -> bool:
        """Whether its holder may subscribe to this channel."""
        found = worker_of(channel)
        if found is not None:
            namespace, worker_id = found
            return namespace == self.namespace and self.allows_worker(worker_id)
        pools = names.pool_channel(self.namespace, "")
        # Who of several would be the member?
        return channel.startswith(pools) and channel != pools and not self.worker.endswith(ANY)


class WatchGrant(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    tag_field="k",
    tag="watch",
    rename={"namespace": "ns", "tasks": "t", "queues": "q", "fleet": "f", "expires": "exp"},
):
    """Its holder may see the feeds of tasks (by id) and queues, ``*`` for all, and of the fleet.

    ``expires`` is Unix time in seconds.
    """

    namespace: str
    tasks: tuple[str, ...]
    queues: tuple[str, ...]
    fleet: bool
    expires: int

    def allows_channel(self, channel: str) -> bool:
        """Whether its holder may subscribe to this channel."""
        for feeds, allowed in (
            (names.task_channel(self.namespace, ""), self.tasks),
            (names.queue_channel(self.namespace, ""), self.queues),
        ):
            if channel.startswith(feeds) and channel != feeds:
                return ANY in allowed or channel.removeprefix(feeds) in allowed
        return self.fleet and channel == names.fleet_channel(self.namespace)


Grant = WorkerGrant | WatchGrant

_decoder: msgspec.json.Decoder[Grant] = msgspec.json.Decoder(Grant)


def worker_token(
    key: str,
    secret: str,
    *,
    worker: str,
    queues: Iterable[str] | None = None,
    names: Iterable[str] | None = None,
    expires: int,
    namespace: str = DEFAULT_NAMESPACE,
) -> str:
    """Return a token with which its holder may be ``worker``, or any if it ends in ``*``.

    ``queues`` and ``names`` (of tasks) are what it may be given, None for all; ``expires`` is
    Unix time in seconds.

    Raises:
        ValueError: an id or a namespace that no channel's name can have, or too much to hold.
    """
    grant = WorkerGrant(namespace, worker, _several(queues), _several(names), expires)
    return _mint(key, secret, grant, [worker.removesuffix(ANY) or "a"])


def watch_token(
    key: str,
    secret: str,
    *,
    tasks: Iterable[str] = (),
    queues: Iterable[str] = (),
    fleet: bool = False,
    expires: int,
    namespace: str = DEFAULT_NAMESPACE,
) -> str:
    """Return a token with which its holder may watch tasks (by id), queues and the fleet.

    ``*`` among ``tasks`` or ``queues`` is all of them; ``expires`` is Unix time in seconds.

    Raises:
        ValueError: an id or a namespace that no channel's name can have, or too much to hold.
    """
    grant = WatchGrant(namespace, _several(tasks) or (), _several(queues) or (), fleet, expires)
    return _mint(key, secret, grant, [name for name in grant.tasks + grant.queues if name != ANY])


def key_of(token: str) -> str:
    """Return the key of the app that a token says it is for; nothing is verified by that.

    Raises:
        BadToken: not of a token's form.
    """
    return _parts(token)[0]


def verify(token: str, secret: str, now: float) -> Grant:
    """Return what a token grants; ``now`` is Unix time in seconds.

    Raises:
        BadToken: malformed, not signed with this secret, or expired.
    """
    _, payload, signature = _parts(token)
    if not signatures.matches(secret, _signed(payload), signature):
        raise BadToken(
            TokenFault.WRONG_SIGNATURE, "it was not made with this app's secret: ask for a new one"
        )
    try:
        grant = _decoder.decode(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, UnicodeError) as error:
        raise BadToken(
            TokenFault.MALFORMED, f"its payload is not understood by this version: {error}"
        ) from None
    if now >= grant.expires:
        raise BadToken(
            TokenFault.EXPIRED, f"it ended {int(now) - grant.expires} s ago: ask for a new one"
        )
    return grant


def authorize(
    grant: Grant, secret: str, key: str, socket_id: str, channel: str, foreign: bool = False
) -> dict[str, str]:
    """Return what an auth endpoint answers for a subscription: ``auth``, and ``channel_data``.

    ``foreign`` when the channel is of a service that does not know what a worker's channel is.

    Raises:
        BadField: not a socket id.
        BadToken: the grant is not for this channel.
    """
    if not is_socket_id(socket_id):
        raise BadField(
            "socket_id", f"expected a string like '123.456', got {str(socket_id)[:64]!r}"
        )
    if not grant.allows_channel(channel):
        raise BadToken(
            TokenFault.NOT_FOR_THIS, f"it does not open {channel[:200]!r}: {_opens(grant)}"
        )
    data = None
    if kind_of(channel).presence and isinstance(grant, WorkerGrant):
        data = orjson.dumps({"user_id": grant.worker}).decode()
    signing = worker_key(secret) if worker_of(channel) and not foreign else secret
    auth = signatures.auth(key, signing, signatures.channel_string(socket_id, channel, data))
    return {"auth": auth} if data is None else {"auth": auth, "channel_data": data}


def _several(given: Iterable[str] | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    return (given,) if isinstance(given, str) else tuple(given)


def _mint(key: str, secret: str, grant: Grant, parts_of_channels: Iterable[str]) -> str:
    if _NAMESPACE.fullmatch(grant.namespace) is None:
        raise ValueError(
            f"namespace {grant.namespace!r}: expected 1 to 40 ASCII letters, digits or _ - = @ , ;"
        )
    for part in parts_of_channels:
        if fault := channel_name_fault(names.task_channel(grant.namespace, part)):
            raise ValueError(f"{part!r} cannot be part of a channel's name: {fault}")
    payload = urlsafe_b64encode(msgspec.json.encode(grant)).decode().rstrip("=")
    token = f"{key}.{payload}.{signatures.sign(secret, _signed(payload))}"
    if len(token) > MAX_TOKEN_LENGTH:
        raise ValueError(
            f"a token of {len(token)} characters, but at most {MAX_TOKEN_LENGTH} are allowed: "
            "name fewer tasks, queues or names, or use '*'"
        )
    return token


def _signed(payload: str) -> str:
    return f"sched/1 token:{payload}"


def _parts(token: str) -> tuple[str, str, str]:
    # A key may have dots, the other two cannot.
    parts = token.rsplit(".", 2) if len(token) <= MAX_TOKEN_LENGTH else ()
    if len(parts) != 3 or not all(parts):
        raise BadToken(TokenFault.MALFORMED, "expected KEY.payload.signature")
    return parts[0], parts[1], parts[2]


def _opens(grant: Grant) -> str:
    if isinstance(grant, WatchGrant):
        return "it is a watcher's, for the feeds that it names"
    return f"it is a worker's, for {names.worker_channel(grant.namespace, grant.worker)!r}"
