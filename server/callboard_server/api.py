"""The signed HTTP API under ``/apps/{app_id}``: verify, validate, publish or look up, answer.

A request's way: the app of the path, its signature, whether the app is enabled, the route, the
parameters, the broker. Only the routes know what a call means; texts and limits are in
:mod:`callboard_protocol.rest`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec
import orjson

from callboard_protocol import messages, refusals, rest, rest_signature
from callboard_protocol.channels import kind_of
from callboard_protocol.rest import BadRequest, Trigger
from callboard_protocol.rest_signature import SignedRequest, Unauthorized
from callboard_server.apps import AppRegistry
from callboard_server.backend_rate import BackendRate
from callboard_server.brokers import Broker, Directory, Message, Source, Users
from callboard_server.client_info import ClientInfo
from callboard_server.clock import Clock
from callboard_server.extensions.hosting import Extensions
from callboard_server.front.request import Request, Response, text
from callboard_server.settings import AppSettings

_OK: Final = Response(200)
_ACCEPTED: Final = Response(202)
# Asking an enumeration for a member costs seven times what a name of the module does.
_API: Final = Source.API


class Call(msgspec.Struct, gc=False):
    """A request that has been verified: whose it is and what it says."""

    app: AppSettings
    method: str
    #: The variable parts of the path; where no route is known, all behind the app's id.
    arguments: Sequence[str]
    query: Mapping[str, str]
    body: bytes
    #: The query as it was sent, for a name that is there more than once.
    raw_query: bytes


Handler = Callable[[Call], Awaitable[Response]]


class _Route(msgspec.Struct, frozen=True):
    """Where a path leads, whether or not the app exists."""

    app_id: str
    handler: Handler | None
    arguments: Sequence[str]
    #: The answer where there is no handler.
    refusal: Response = _OK


class Api:
    """Answers API requests; one coroutine per route, none of which suspends in one process."""

    def __init__(
        self,
        apps: AppRegistry,
        broker: Broker,
        users: Users,
        directory: Directory,
        clock: Clock,
        rate: BackendRate,
        path_prefix: bytes = b"",
        extensions: Extensions | None = None,
    ) -> None:
        self._extensions = Extensions() if extensions is None else extensions
        self._apps = apps
        self._broker = broker
        self._users = users
        self._directory = directory
        self._clock = clock
        self._path_prefix = path_prefix
        self._rate = rate
        # Apps publish to the same few paths for ever.
        self._route = lru_cache(maxsize=256)(self._find_route)
        # Path segments behind /apps/{id}; None stands for any one segment.
        self._routes: Sequence[tuple[str, Sequence[str | None], Handler]] = (
            ("POST", ("events",), self._post_events),
            ("POST", ("batch_events",), self._post_batch_events),
            ("GET", ("channels",), self._get_channels),
            ("GET", ("channels", None), self._get_channel),
            ("GET", ("channels", None, "users"), self._get_users),
            ("GET", ("channels", None, "stats"), self._get_stats),
            ("POST", ("channels", None, "events"), self._post_channel_events),
            ("POST", ("users", None, "terminate_connections"), self._post_terminate),
        )

    def handle(self, request: Request) -> Coroutine[Any, Any, Response]:
        """Answer a request whose path begins with ``/apps/`` or ``/users/``."""
        path, _, query = request.target.partition(b"?")
        if path.startswith(b"/users/"):
            return self._handle_without_app_id(request, path, query)
        route = self._route(request.method, path)
        app = self._apps.by_id(route.app_id)
        if app is None:
            return _refuse(text(404, f"Unknown app_id: {route.app_id[:100]!r}"))
        signed = SignedRequest(request.method, path, query, request.body)
        return self._verified(app, route, signed, request.client)

    async def _handle_without_app_id(self, request: Request, path: bytes, query: bytes) -> Response:
        """The Python SDK posts terminate_connections to a path that names no app: go by its key."""
        key = dict(parse_qsl(query.decode("latin-1"))).get("auth_key", "")
        app = self._apps.by_key(key)
        if app is None:
            return text(401, "Unknown auth_key" if key else "Missing parameter: auth_key")
        route = self._route(request.method, b"/apps/" + app.id.encode() + path)
        signed = SignedRequest(request.method, path, query, request.body)
        return await self._verified(app, route, signed, request.client)

    async def _verified(
        self, app: AppSettings, route: _Route, signed: SignedRequest, client: ClientInfo
    ) -> Response:
        try:
            parameters = self._verify(app, signed)
            if app.tls_only and not client.secure:
                return text(403, f"{refusals.TLS_ONLY.message}: use https")
            if not app.enabled:
                return text(403, "App is disabled")
            call = Call(app, signed.method, route.arguments, parameters, signed.body, signed.query)
            if route.handler is None:
                return await self._extensions.answer(call) or route.refusal
            return await route.handler(call)
        except Unauthorized as refusal:
            return text(401, str(refusal))
        except BadRequest as refusal:
            return text(refusal.status, str(refusal))

    def _verify(self, app: AppSettings, signed: SignedRequest) -> dict[str, str]:
        """Check the signature, over the path as it is here or as the client may have seen it."""
        now = self._clock.now()
        try:
            return rest_signature.verify(signed, app.key, app.secret, now)
        except Unauthorized:
            if not self._path_prefix:
                raise
            prefixed = replace(signed, path=self._path_prefix + signed.path)
            try:
                return rest_signature.verify(prefixed, app.key, app.secret, now)
            except Unauthorized:
                pass
            # Told is the path that needs no prefix.
            raise

    def _find_route(self, method: str, path: bytes) -> _Route:
        app_id, *segments = (_decode(segment) for segment in path.split(b"/")[2:])
        methods = []
        for route_method, pattern, handler in self._routes:
            if len(pattern) == len(segments):
                pairs = list(zip(pattern, segments, strict=True))
                if all(part is None or part == segment for part, segment in pairs):
                    if method == route_method:
                        arguments = [segment for part, segment in pairs if part is None]
                        return _Route(app_id, handler, arguments)
                    methods.append(route_method)
        if methods:
            allowed = ", ".join(sorted(methods))
            refusal = text(405, f"Method not allowed: use {allowed}", f"Allow: {allowed}")
        else:
            refusal = text(404, f"Not found: {path[:200].decode('latin-1')}")
        return _Route(app_id, None, segments, refusal)

    # Publishing

    async def _post_events(self, call: Call) -> Response:
        taken = self._extensions.look(call.app, call.body)
        if taken is not None:
            return await taken
        trigger = _trigger(call)
        if not self._rate.admits(call.app, 1):
            return _over_rate(call.app)
        await self._broker.publish(messages_of(call.app, trigger))
        if not trigger.info:
            return _OK
        counts = await self._directory.counts(call.app.id, trigger.channels)
        return _json(
            {
                "channels": {
                    channel: rest.counts_of(count, trigger.info)
                    for channel, count in zip(trigger.channels, counts, strict=True)
                }
            }
        )

    async def _post_batch_events(self, call: Call) -> Response:
        taken = self._extensions.look(call.app, call.body)
        if taken is not None:
            return await taken
        triggers = rest.parse_batch_events(call.body, call.app)
        if not self._rate.admits(call.app, len(triggers)):
            return _over_rate(call.app)
        await self._broker.publish(
            [message for trigger in triggers for message in messages_of(call.app, trigger)]
        )
        if not any(trigger.info for trigger in triggers):
            return _OK
        channels = [trigger.channels[0] for trigger in triggers]
        counts = await self._directory.counts(call.app.id, channels)
        return _json(
            {
                "batch": [
                    rest.counts_of(count, trigger.info)
                    for trigger, count in zip(triggers, counts, strict=True)
                ]
            }
        )

    async def _post_channel_events(self, call: Call) -> Response:
        """The deprecated way to trigger on one channel; it has always answered 202."""
        trigger = rest.parse_channel_event(call.arguments[0], call.query, call.body, call.app)
        if not self._rate.admits(call.app, 1):
            return _over_rate(call.app)
        await self._broker.publish(messages_of(call.app, trigger))
        return _ACCEPTED

    async def _post_terminate(self, call: Call) -> Response:
        await self._users.terminate(
            call.app.id, rest.parse_terminate(call.arguments[0], call.query)
        )
        return _OK

    # Looking up

    async def _get_channels(self, call: Call) -> Response:
        prefix, info = rest.parse_channels_query(call.query)
        channels = await self._directory.channels(call.app.id, prefix)
        return _json(
            {
                "channels": {
                    name: rest.counts_of(counts, info)
                    for name, counts in channels.items()
                    # Those of signed-in users are the server's own.
                    if not name.startswith("#")
                }
            }
        )

    async def _get_channel(self, call: Call) -> Response:
        channel = call.arguments[0]
        info = rest.parse_channel_query(channel, call.query)
        counts = (await self._directory.counts(call.app.id, [channel]))[0]
        occupied = counts.subscription_count > 0
        wanted: dict[str, Any] = dict(rest.counts_of(counts, info))
        if rest.CACHE in info:
            cached = await self._directory.cached(call.app.id, channel)
            wanted["cache"] = cached and {
                "data": orjson.loads(cached.payload)["data"],
                "ttl": cached.ttl_seconds,
            }
        return _json({"occupied": occupied, **wanted})

    async def _get_stats(self, call: Call) -> Response:
        """The deprecated way to look up one channel."""
        channel = call.arguments[0]
        rest.parse_stats_query(call.query)
        counts = (await self._directory.counts(call.app.id, [channel]))[0]
        connections = counts.subscription_count
        users = {} if counts.user_count is None else {rest.USER_COUNT: counts.user_count}
        return _json({"occupied": connections > 0, "connection_count": connections, **users})

    async def _get_users(self, call: Call) -> Response:
        channel = call.arguments[0]
        rest.parse_users_query(channel, call.query)
        users = await self._directory.users(call.app.id, channel)
        return _json({"users": [{"id": user} for user in users]})


async def _refuse(response: Response) -> Response:
    return response


def _trigger(call: Call) -> Trigger:
    """Read a trigger from the body, as SDKs write it, or else from the query."""
    if call.body or not call.query:
        return rest.parse_events(call.body, call.app)
    query = call.raw_query.decode("utf-8", "replace")
    return rest.parse_events_query(parse_qsl(query, keep_blank_values=True), call.app)


def _over_rate(app: AppSettings) -> Response:
    limit = app.max_backend_events_per_second
    message = f"Over the limit of {limit} events per second of this app"
    return text(429, message, "Retry-After: 1")


def messages_of(app: AppSettings, trigger: Trigger, source: Source = _API) -> list[Message]:
    """Return what a trigger publishes: one event for each of its channels."""
    return [
        Message(
            app.id,
            channel,
            messages.channel_event(trigger.name, channel, trigger.data),
            trigger.socket_id,
            kind_of(channel).cache,
            source,
        )
        for channel in trigger.channels
    ]


def _json(value: Mapping[str, Any]) -> Response:
    return Response(200, orjson.dumps(value))


def _decode(segment: bytes) -> str:
    return unquote_to_bytes(segment).decode("utf-8", "replace")
