"""The bodies and parameters of the HTTP API: what a valid call says, and the text of each refusal.

Bodies of refusals are plain text ending in a newline, as hosted Pusher's are. Source: the
documentation's "HTTP API reference" and protocol facts collected from the server SDKs' own
acceptance tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson

from callboard_protocol.channels import (
    PRESENCE,
    SERVER_TO_USER_PREFIX,
    channel_name_fault,
    event_name_fault,
    is_socket_id,
    json_type,
    kind_of,
    user_id_fault,
)

#: Bytes of ``data`` in UTF-8 that one event may carry.
MAX_EVENT_PAYLOAD_BYTES: Final = 10240
MAX_CHANNELS_PER_TRIGGER: Final = 100
MAX_BATCH_EVENTS: Final = 10

USER_COUNT: Final = "user_count"
SUBSCRIPTION_COUNT: Final = "subscription_count"
CACHE: Final = "cache"
_COUNTS: Final = frozenset((USER_COUNT, SUBSCRIPTION_COUNT))
_NO_INFO: Final[frozenset[str]] = frozenset()


class BadRequest(Exception):
    """A call is refused; ``status`` is the HTTP status and ``str()`` the body, without newline."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True)
class Trigger:
    """One event for one or more channels; ``socket_id`` is the connection left out."""

    name: str
    data: str
    channels: tuple[str, ...]
    socket_id: str | None
    info: frozenset[str]


@dataclass(frozen=True, slots=True)
class ChannelCounts:
    """What may be known of a channel: its connections, and its users where it has presence."""

    subscription_count: int
    user_count: int | None = None


class EventLimits(Protocol):
    """The bounds of one app's events."""

    @property
    def max_event_payload_bytes(self) -> int:
        """Bytes of an event's ``data`` in UTF-8."""

    @property
    def max_event_name_length(self) -> int:
        """Characters of an event's name."""

    @property
    def max_channel_name_length(self) -> int:
        """Characters of a channel's name."""


# Requests


def parse_events(body: bytes, limits: EventLimits) -> Trigger:
    """Read the body of ``POST events``.

    Raises:
        BadRequest: 400 naming the field, or 413 for too much data.
    """
    return _trigger(_object(body), limits, channel_lists=True)


def parse_events_query(query: Sequence[tuple[str, str]], limits: EventLimits) -> Trigger:
    """Read the parameters of ``POST events`` from its query, where ``channels[]`` may repeat.

    Raises:
        BadRequest: as for :func:`parse_events`.
    """
    event: dict[str, Any] = dict(query)
    channels = [value for name, value in query if name == "channels[]"]
    if channels:
        event["channels"] = channels
    return _trigger(event, limits, channel_lists=True)


def parse_batch_events(body: bytes, limits: EventLimits) -> list[Trigger]:
    """Read the body of ``POST batch_events``; each event names one channel.

    Raises:
        BadRequest: 400 naming the field and the event's place, or 413 for too much data.
    """
    batch = _object(body).get("batch")
    if batch is None:
        raise BadRequest("Missing required parameter: batch")
    if not isinstance(batch, list):
        raise BadRequest(f"Expected batch parameter to be an array, got {json_type(batch)}")
    if len(batch) > MAX_BATCH_EVENTS:
        raise BadRequest(f"Batch too large ({len(batch)} > {MAX_BATCH_EVENTS})")
    triggers = []
    for place, event in enumerate(batch):
        if not isinstance(event, dict):
            raise BadRequest(f"Expected batch[{place}] to be an object, got {json_type(event)}")
        try:
            triggers.append(_trigger(event, limits, channel_lists=False))
        except BadRequest as error:
            raise BadRequest(f"{error} (in batch[{place}])", error.status) from None
    return triggers


def parse_info(value: object, allowed: Iterable[str]) -> frozenset[str]:
    """Read an ``info`` parameter: attribute names separated by commas.

    Raises:
        BadRequest: not a string, or an attribute that this call does not know.
    """
    if value is None or value == "":
        return _NO_INFO
    if not isinstance(value, str):
        raise BadRequest(
            "Expected info parameter to be a string: info should be a comma separated list "
            f"of attributes, got {json_type(value)}"
        )
    wanted = frozenset(part.strip() for part in value.split(","))
    unknown = sorted(wanted.difference(allowed))
    if unknown:
        raise BadRequest(
            f"Unknown info attribute {unknown[0][:40]!r}: info should be a comma separated list "
            f"of attributes ({', '.join(sorted(allowed))})"
        )
    return wanted


def parse_channels_query(query: Mapping[str, str]) -> tuple[str, frozenset[str]]:
    """Read the parameters of ``GET channels``: the prefix ("" for all) and the attributes.

    Raises:
        BadRequest: an attribute that these channels cannot have.
    """
    _refuse_extraneous(query, ("filter_by_prefix", "info"))
    prefix = query.get("filter_by_prefix", "")
    info = parse_info(query.get("info"), _COUNTS)
    if USER_COUNT in info and not prefix.startswith(PRESENCE.prefix):
        raise BadRequest(
            "user_count may only be requested for presence channels - "
            "please supply filter_by_prefix begining with presence-"
        )
    return prefix, info


def parse_channel_query(channel: str, query: Mapping[str, str]) -> frozenset[str]:
    """Read the parameters of ``GET channels/{name}``.

    Raises:
        BadRequest: an attribute that this channel cannot have.
    """
    _refuse_extraneous(query, ("info",))
    info = parse_info(query.get("info"), _COUNTS | {CACHE})
    if USER_COUNT in info and not kind_of(channel).presence:
        raise BadRequest("Cannot retrieve the user count unless the channel is a presence channel")
    if CACHE in info and not kind_of(channel).cache:
        raise BadRequest("Cannot retrieve the cache unless the channel is a cache channel")
    return info


def parse_channel_event(
    channel: str, query: Mapping[str, str], body: bytes, limits: EventLimits
) -> Trigger:
    """Read the deprecated ``POST channels/{name}/events``: the body is the data.

    Raises:
        BadRequest: as for ``events``.
    """
    _refuse_extraneous(query, ("name", "socket_id"))
    try:
        data = body.decode()
    except UnicodeDecodeError:
        raise BadRequest("Expected the body to be text in UTF-8") from None
    event = {**query, "channel": channel, "data": data}
    return _trigger(event, limits, channel_lists=False)


def parse_terminate(user_id: str, query: Mapping[str, str]) -> str:
    """Read ``POST users/{id}/terminate_connections``: the user's id, and no parameters.

    Raises:
        BadRequest: some were given, or no user can have the id.
    """
    _refuse_extraneous(query, ())
    if not user_id or (fault := user_id_fault(user_id)):
        raise BadRequest(f"Invalid user id: {fault if user_id else 'it is empty'}")
    return user_id


def parse_stats_query(query: Mapping[str, str]) -> None:
    """Check the parameters of the deprecated ``GET channels/{name}/stats``: there are none.

    Raises:
        BadRequest: some were given.
    """
    _refuse_extraneous(query, ())


def parse_users_query(channel: str, query: Mapping[str, str]) -> None:
    """Check the parameters of ``GET channels/{name}/users``: there are none.

    Raises:
        BadRequest: some were given, or the channel has no presence.
    """
    _refuse_extraneous(query, ())
    if not kind_of(channel).presence:
        raise BadRequest("Users can only be retrieved for presence channels")


def _refuse_extraneous(query: Mapping[str, str], known: tuple[str, ...]) -> None:
    extraneous = sorted(set(query).difference(known))
    if extraneous:
        raise BadRequest(
            "The following query string parameters are extraneous: " + ", ".join(extraneous)
        )


def _object(body: bytes) -> dict[str, Any]:
    if not body:
        raise BadRequest("Expected a JSON object as the body, got an empty body")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"Expected a JSON object as the body: {error}") from None
    if not isinstance(value, dict):
        raise BadRequest(f"Expected a JSON object as the body, got {json_type(value)}")
    return value


def _trigger(event: dict[str, Any], limits: EventLimits, *, channel_lists: bool) -> Trigger:
    name = _required_string(event, "name")
    if fault := event_name_fault(name, limits.max_event_name_length):
        raise BadRequest(fault)
    data = _required_string(event, "data")
    channels = _channels(event, limits) if channel_lists else (_required_string(event, "channel"),)
    for channel in channels:
        if fault := _publish_fault(channel, limits):
            raise BadRequest(fault)
    size = len(data) if data.isascii() else len(data.encode("utf-8", "surrogatepass"))
    if size > limits.max_event_payload_bytes:
        raise BadRequest(
            "The data content of this event exceeds the allowed maximum "
            f"({limits.max_event_payload_bytes} bytes). See http://pusher.com/docs/"
            "server_api_guide/server_publishing_events for more info",
            413,
        )
    socket_id = event.get("socket_id")
    if socket_id is not None and not is_socket_id(socket_id):
        shown = repr(socket_id[:64]) if isinstance(socket_id, str) else json_type(socket_id)
        raise BadRequest(f"Invalid socket_id: expected a string like '123.456', got {shown}")
    return Trigger(name, data, channels, socket_id, parse_info(event.get("info"), _COUNTS))


def _channels(event: dict[str, Any], limits: EventLimits) -> tuple[str, ...]:
    channels = event.get("channels")
    if channels is None:
        return (_required_string(event, "channel"),)
    if not isinstance(channels, list):
        raise BadRequest(f"Expected channels parameter to be an array, got {json_type(channels)}")
    if not channels:
        raise BadRequest("Expected channels parameter to name at least one channel, got none")
    if len(channels) > MAX_CHANNELS_PER_TRIGGER:
        raise BadRequest(
            f"Too many channels ({len(channels)} > {MAX_CHANNELS_PER_TRIGGER}) "
            "in the channels parameter"
        )
    for place, channel in enumerate(channels):
        if not isinstance(channel, str):
            raise BadRequest(f"Expected channels[{place}] to be a string, got {json_type(channel)}")
    # A channel named twice gets the event once.
    return tuple(dict.fromkeys(channels)) if len(channels) > 1 else tuple(channels)


def _publish_fault(channel: str, limits: EventLimits) -> str | None:
    """As for subscriptions, and ``#server-to-user-…``: that is how an event reaches a user.

    An app's limit is about the names it gives; a user's channel is as long as an id may be.
    """
    if channel.startswith(SERVER_TO_USER_PREFIX):
        user_id = channel.removeprefix(SERVER_TO_USER_PREFIX)
        fault = user_id_fault(user_id) if user_id else "id is empty"
        return fault and f"Invalid channel name {channel[:200]!r}: the user's {fault}"
    return channel_name_fault(channel, limits.max_channel_name_length)


def _required_string(event: dict[str, Any], name: str) -> str:
    value = event.get(name)
    if isinstance(value, str):
        return value
    if value is None:
        raise BadRequest(f"Missing required parameter: {name}")
    raise BadRequest(f"Expected {name} parameter to be a string, got {json_type(value)}")


# Answers


def counts_of(counts: ChannelCounts, info: frozenset[str]) -> dict[str, int]:
    """Return the wanted attributes that the channel has; a public one has no ``user_count``."""
    wanted: dict[str, int] = {}
    if USER_COUNT in info and counts.user_count is not None:
        wanted[USER_COUNT] = counts.user_count
    if SUBSCRIPTION_COUNT in info:
        wanted[SUBSCRIPTION_COUNT] = counts.subscription_count
    return wanted
