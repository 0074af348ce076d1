"""The scheduler's transport to any Pusher-compatible service, as one of its clients.

It sends through the service's HTTP API and listens on one WebSocket:

1. The pool's presence channel says which workers are there. A worker that is not in it is found
   by asking for occupied channels now and then.
2. Each worker's channel is subscribed to, for client events reach subscribers only. What a worker
   says before that is lost, which is why it repeats its hello, and is asked for one.
3. While the WebSocket is down nothing is heard, and leases stand still. Who is not there when it
   is back may only be slower: the service may have been away for everybody. After a lease is gone
   who has not come by then.

A service with a scheduler of its own refuses that subscription: two would give every task twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from callboard_client import ApiClient, Channel, Client, ClientError, Event, SecretAuthorizer, State
from callboard_client.errors import SubscriptionError
from callboard_client.signed_request import Credentials
from callboard_scheduler import names
from callboard_scheduler.records import DEFAULT_NAMESPACE
from callboard_scheduler.transports import FOREIGN, Cause, Listener, Profile, Sent
from callboard_scheduler.transports.sender import Sender

logger = logging.getLogger("callboard.scheduler")

#: Stands for the connection of a worker: a service does not say which one an event came from.
_SOCKET: Final = "remote"
#: Who the scheduler is in the pool.
MEMBER: Final = "callboard-scheduler"
_START_SECONDS: Final = 10.0


class TransportError(Exception):
    """The service cannot be used; the text says why and what to do."""


class RemoteTransport:
    """Implements :class:`~callboard_scheduler.transports.Transport`."""

    hears_late = True

    def __init__(
        self,
        url: str,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        pool: str = "default",
        profile: Profile = FOREIGN,
        ws_host: str | None = None,
        ws_port: int | None = None,
        look_seconds: float = 5.0,
        timeout_seconds: float = 5.0,
        start_seconds: float = _START_SECONDS,
    ) -> None:
        """``url`` is ``http[s]://KEY:SECRET@HOST:PORT/apps/ID``.

        ``ws_host`` and ``ws_port`` are where the WebSocket is if not there; ``look_seconds`` is
        how often occupied channels are asked for.

        Raises:
            ValueError: a part of ``url`` is missing.
        """
        self._credentials = Credentials.from_url(url)
        self._url = url
        self.profile = profile
        self._worker_prefix = names.worker_prefix(namespace)
        self._pool = names.pool_channel(namespace, pool)
        self._probe = names.worker_channel(namespace, MEMBER)
        self._ws = (ws_host, ws_port)
        self._look_seconds = look_seconds
        self._timeout_seconds = timeout_seconds
        self._start_seconds = start_seconds
        self._listener: Listener | None = None
        self._client: Client | None = None
        self._sender: Sender | None = None
        self._following: set[str] = set()
        #: What is bound to, for a channel may be followed anew before it was left.
        self._bound: dict[str, Channel] = {}
        #: Those of them that the pool has told of.
        self._members: set[str] = set()
        #: How often they were told as a whole, which is once for each connection.
        self._tellings = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False
        self._hearing = True

    async def start(self, listener: Listener) -> None:
        """Connect and begin to listen.

        Raises:
            TransportError: the service is not there, or refuses.
        """
        self._listener = listener
        started = False
        self._stopped = False
        # Until it has begun to listen, nothing can be missed.
        self._hearing = True
        self._sender = Sender(self._make_trigger(), _is_refusal)
        authorizer = SecretAuthorizer(
            self._credentials.key, self._credentials.secret, {"user_id": MEMBER}
        )
        host, port, tls, prefix = _address(self._credentials.base)
        client = self._client = Client(
            self._credentials.key,
            self._ws[0] or host,
            self._ws[1] or port,
            tls=tls,
            path=prefix,
            authorizer=authorizer,
            on_state=lambda state: self._state_changed(state) if started else None,
        )
        client.start()
        pool = client.channel(self._pool, max_queued_events=0)
        pool.bind("pusher:subscription_succeeded", self._members_told)
        pool.bind("pusher:member_added", self._member_added)
        pool.bind("pusher:member_removed", self._member_removed)
        try:
            async with asyncio.timeout(self._start_seconds):
                await client.connected()
                await client.subscribe(self._probe)
                await client.unsubscribe(self._probe)
                await client.subscribe(self._pool)
        except (ClientError, TimeoutError) as error:
            await self.stop()
            raise TransportError(self._explain(error)) from None
        started = True
        self._spawn(self._look())

    async def stop(self) -> None:
        """Stop listening, having sent what was to be sent. Safe to call twice or unstarted."""
        self._listener = None
        self._stopped = True
        for task in list(self._tasks):
            task.cancel()
        sender, self._sender = self._sender, None
        if sender is not None:
            await sender.stop()
        client, self._client = self._client, None
        if client is not None:
            await client.close()
        self._following.clear()
        self._bound.clear()
        self._members.clear()

    def send(self, channel: str, event: str, data: str) -> Sent:
        """Queue an event for the next call of the API."""
        if len(data) > self.profile.limits.bytes or len(data.encode()) > self.profile.limits.bytes:
            return Sent.REFUSED
        if channel.startswith(self._worker_prefix) and channel not in self._following:
            return Sent.ABSENT
        return self._queue({"channel": channel, "name": event, "data": data})

    def publish(self, event: Mapping[str, object]) -> Sent:
        """Queue an ordinary event, once for each of its channels, until the service takes it."""
        body: Mapping[str, Any] = event
        channels = body.get("channels") or [body["channel"]]
        sent = Sent.OK
        for channel in channels:
            each = {"channel": channel, "name": body["name"], "data": body["data"]}
            if body.get("socket_id") is not None:
                each["socket_id"] = body["socket_id"]
            if self._queue(each, keep=True) is Sent.REFUSED:
                sent = Sent.REFUSED
        return sent

    def watched(self, channel: str) -> bool | None:
        """The service would have to be asked."""
        return None

    def disconnect(self, channel: str) -> None:
        """A service ends connections of signed-in users only, and workers need not sign in."""

    # Sending

    def _make_trigger(self) -> Any:
        # It takes a quarter of a second, and only a remote scheduler needs it.
        import pusher

        host, port, tls, prefix = _address(self._credentials.base)
        if prefix:
            raise TransportError(
                f"the official pusher library knows no path before /apps, as {prefix} is in "
                f"{self._credentials.base}: name the service where it needs none"
            )
        if not self._credentials.app_id.isdigit():
            raise TransportError(
                f"the official pusher library takes app ids of digits only, not "
                f"{self._credentials.app_id!r}: give the app such an id"
            )
        client = pusher.Pusher(
            app_id=self._credentials.app_id,
            key=self._credentials.key,
            secret=self._credentials.secret,
            host=host,
            port=port,
            ssl=tls,
            timeout=self._timeout_seconds,
        )
        # Its own check of sizes counts bytes of memory, four for each character of a text with one
        # emoji, and refuses a whole batch by that. What is sent is text already.
        return partial(client.trigger_batch, already_encoded=True)

    def _queue(self, event: Mapping[str, Any], keep: bool = False) -> Sent:
        if self._sender is None or not self._sender.send(event, keep=keep):
            return Sent.REFUSED
        return Sent.OK

    # Listening

    def _members_told(self, event: Event) -> None:
        """After each connection: follow whoever is there, and expect whoever was."""
        self._tellings += 1
        present = self._present()
        if self._members - present:
            self._spawn(self._expect(self._tellings))
        for channel in present:
            self._arrived(channel)

    async def _expect(self, telling: int) -> None:
        """Let go of whoever has not come back in time."""
        await asyncio.sleep(self.profile.lease_ms / 1000)
        if telling == self._tellings and self._hearing:
            for channel in self._members - self._present():
                self._gone(channel)

    def _present(self) -> set[str]:
        if self._client is None:
            return set()
        members = self._client.channel(self._pool).members
        return {self._worker_prefix + str(member) for member in members}

    def _member_added(self, event: Event) -> None:
        self._arrived(self._worker_prefix + _user_id(event))

    def _arrived(self, channel: str) -> None:
        self._members.add(channel)
        self._follow(channel)

    def _member_removed(self, event: Event) -> None:
        self._gone(self._worker_prefix + _user_id(event))

    def _gone(self, channel: str) -> None:
        self._members.discard(channel)
        if channel in self._following:
            self._following.discard(channel)
            if self._listener is not None:
                self._listener.left(channel, _SOCKET, Cause.DISCONNECTED)
            self._spawn(self._unfollow(channel))

    def _follow(self, channel: str) -> None:
        if channel != self._probe and channel not in self._following and not self._stopped:
            self._following.add(channel)
            self._spawn(self._subscribe(channel))

    async def _subscribe(self, channel: str) -> None:
        client = self._client
        if client is None:
            return
        heard = client.channel(channel, max_queued_events=0)
        if self._bound.get(channel) is not heard:
            self._bound[channel] = heard
            heard.bind(names.UP_EVENT, self._heard)
        try:
            await client.subscribe(channel)
        except ClientError as error:
            # At its end: the next one of this name is another.
            if self._bound.get(channel) is heard:
                del self._bound[channel]
            if self._stopped or channel not in self._following:
                return
            self._following.discard(channel)
            # Its name is whatever a member of the pool calls itself.
            logger.warning("a worker cannot be listened to channel=%r: %r", channel, str(error))
            return
        if self._listener is not None and channel in self._following:
            self._listener.joined(channel, _SOCKET)

    async def _unfollow(self, channel: str) -> None:
        if self._client is not None and channel not in self._following:
            self._bound.pop(channel, None)
            await self._client.unsubscribe(channel)

    def _heard(self, event: Event) -> None:
        if self._listener is None or event.channel is None:
            return
        self._listener.received(event.channel, _SOCKET, event.data)

    def _state_changed(self, state: State) -> None:
        connected = state is State.CONNECTED
        if self._listener is None or connected is self._hearing:
            return
        self._hearing = connected
        if connected:
            self._listener.hearing()
        else:
            self._listener.deaf()

    async def _look(self) -> None:
        """Find workers that are in no pool."""
        async with ApiClient(self._url) as api:
            while True:
                await asyncio.sleep(self._look_seconds)
                try:
                    found = await api.channels(prefix=self._worker_prefix)
                except ClientError as error:
                    logger.warning("occupied channels could not be asked for: %s", error)
                    continue
                for channel in found["channels"]:
                    self._follow(channel)

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _explain(self, error: Exception) -> str:
        where = f"{self._credentials.base}/apps/{self._credentials.app_id}"
        if isinstance(error, SubscriptionError) and "sched" in str(error):
            return (
                f"{where} has a scheduler of its own, and two would give every task twice: "
                f"submit to that one, or start the server with --no-scheduler ({error})"
            )
        return f"{where} cannot be used: {error}"


def _is_refusal(error: Exception) -> bool:
    """Whether the service has found fault with the events themselves."""
    from pusher.errors import PusherBadRequest, PusherBadStatus

    # The library has no name for «too large».
    too_large = isinstance(error, PusherBadStatus) and str(error).startswith("413:")
    return too_large or isinstance(error, PusherBadRequest)


def _user_id(event: Event) -> str:
    decoded = msgspec.json.decode(event.data)
    return str(decoded.get("user_id", "")) if isinstance(decoded, dict) else ""


def _address(base: str) -> tuple[str, int, bool, str]:
    """Return host, port, whether by TLS, and a proxy's prefix of a base URL."""
    parts = urlsplit(base)
    tls = parts.scheme == "https"
    return parts.hostname or "", parts.port or (443 if tls else 80), tls, parts.path
