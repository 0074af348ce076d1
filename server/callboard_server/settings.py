"""Everything that can be set, in one typed structure.

Flags, environment variables, the TOML file and docs/configuration.md are all derived from it,
so a new field appears in each of them by being written here. Each field's description is one
sentence; units are in the name.
"""

from __future__ import annotations

import enum
from ipaddress import ip_network
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from callboard_protocol.channels import MAX_CHANNEL_NAME_LENGTH, MAX_EVENT_NAME_LENGTH
from callboard_protocol.rest import MAX_EVENT_PAYLOAD_BYTES
from callboard_protocol.webhooks import header_fault

#: The development app, accepted on loopback only.
DEVELOPMENT_APP_ID = "app-id"
DEVELOPMENT_APP_KEY = "app-key"
DEVELOPMENT_APP_SECRET = "app-secret"  # noqa: S105 - public by design, and refused off loopback

Text = Annotated[str, Meta(min_length=1)]
Port = Annotated[int, Meta(ge=0, le=65535)]
Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(ge=0)]
PositiveSeconds = Annotated[float, Meta(gt=0)]
#: ``scheme://host[:port]``, where the host may begin with ``*.``; or what browsers send for a
#: page that is nobody's (a file, a sandboxed frame).
Origin = Annotated[
    str, Meta(pattern=r"\A([A-Za-z][A-Za-z0-9+.-]*://(\*\.[^\s/*?#@]+|[^\s/*?#@]*)|null)\Z")
]

#: Where tasks are kept if nobody says where.
DEFAULT_DATA = ".callboard"
#: Stands for whoever connects to the Unix socket, among the trusted proxies.
UNIX = "unix"
#: What paths begin with; a prefix that begins so could not be told from them.
_TAKEN_PATHS = ("app", "apps", "users")


class WebhookEventType(enum.Enum):
    """What a webhook may be told of, by its name in the payload."""

    CHANNEL_OCCUPIED = "channel_occupied"
    CHANNEL_VACATED = "channel_vacated"
    MEMBER_ADDED = "member_added"
    MEMBER_REMOVED = "member_removed"
    CLIENT_EVENT = "client_event"
    CACHE_MISS = "cache_miss"
    SUBSCRIPTION_COUNT = "subscription_count"


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One receiver of an app's webhooks."""

    url: Annotated[
        Text,
        Meta(description="Where events are posted.", pattern=r"\Ahttps?://[^\s/]+[^\s]*\Z"),
    ]
    events: Annotated[
        tuple[WebhookEventType, ...],
        Meta(description="The events that are posted; all seven if none is named."),
    ] = ()
    channel_prefix: Annotated[
        str, Meta(description="Only channels whose name starts so; all if empty.")
    ] = ""
    channel_suffix: Annotated[
        str, Meta(description="Only channels whose name ends so; all if empty.")
    ] = ""
    headers: Annotated[dict[str, str], Meta(description="Headers added to each request.")] = (
        msgspec.field(default_factory=dict)
    )
    batch: Annotated[
        bool, Meta(description="Whether events that occur together are posted in one request.")
    ] = False

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            sound = bool(parts.hostname) and parts.port != 0
        except ValueError:
            sound = False
        if not sound:
            raise ValueError("url: expected http:// or https:// with a host and a port up to 65535")
        for name, value in self.headers.items():
            if fault := header_fault(name, value):
                raise ValueError(f"headers: {fault}")
            if name.lower() == "authorization" and parts.username is not None:
                raise ValueError("headers: Authorization is in the URL already; name it once")

    def __repr__(self) -> str:
        return f"WebhookSettings(events={[event.value for event in self.events]})"

    def __hash__(self) -> int:
        return hash((self.url, self.events, self.channel_prefix, self.channel_suffix))


class AppSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One app: a namespace of channels with its own credentials and limits."""

    id: Annotated[
        Text,
        Meta(description="The app's id, as in `/apps/{id}/events`.", pattern=r"\A[A-Za-z0-9_-]+\Z"),
    ]
    key: Annotated[
        Text,
        Meta(
            description="The public key that clients connect with, as in `/app/{key}`.",
            pattern=r"\A[A-Za-z0-9_-]+\Z",
        ),
    ]
    secret: Annotated[
        Text, Meta(description="Signs API requests and subscriptions; never leaves the server.")
    ]
    enabled: Annotated[
        bool,
        Meta(description="Whether connections (else 4003) and API calls (else 403) are accepted."),
    ] = True
    client_events: Annotated[
        bool,
        Meta(description="Whether members may send `client-` events on their channels."),
    ] = False
    max_connections: Annotated[
        Count | None,
        Meta(description="Connections at once, one more is closed with 4004; no limit if unset."),
    ] = None
    max_event_payload_bytes: Annotated[
        Count, Meta(description="Bytes of an event's `data`, in UTF-8.")
    ] = MAX_EVENT_PAYLOAD_BYTES
    max_presence_members: Annotated[Count, Meta(description="Users in one presence channel.")] = 100
    max_client_events_per_second: Annotated[
        Count, Meta(description="Client events a second for one connection, more get error 4301.")
    ] = 10
    max_backend_events_per_second: Annotated[
        Count | None,
        Meta(description="API events a second, more get 429; no limit if unset."),
    ] = None
    max_channels_per_connection: Annotated[
        Count | None,
        Meta(description="Channels that one connection may be in; no limit if unset."),
    ] = None
    max_channel_name_length: Annotated[
        Count, Meta(description="Characters of a channel's name, prefix included.")
    ] = MAX_CHANNEL_NAME_LENGTH
    max_event_name_length: Annotated[Count, Meta(description="Characters of an event's name.")] = (
        MAX_EVENT_NAME_LENGTH
    )
    subscription_count_events: Annotated[
        bool,
        Meta(description="Whether subscribers are told how many they are when that changes."),
    ] = False
    user_authentication_timeout_seconds: Annotated[
        PositiveSeconds | None,
        Meta(
            description="Time to sign in or join a private or presence channel before close 4009; "
            "no need to if unset."
        ),
    ] = None
    allowed_origins: Annotated[
        tuple[Origin, ...],
        Meta(
            description="Origins of pages that may connect, as browsers send them, "
            "`https://*.example.com` for all names below; any if empty."
        ),
    ] = ()
    tls_only: Annotated[
        bool,
        Meta(description="Whether connections (4000) and API calls (403) without TLS are refused."),
    ] = False
    webhooks: Annotated[
        tuple[WebhookSettings, ...], Meta(description="Who is told of the app's events.")
    ] = ()

    def __repr__(self) -> str:
        return f"AppSettings(id={self.id!r}, key={self.key!r}, secret='***')"

    @property
    def built_in(self) -> bool:
        """Whether anyone who knows Callboard knows this app's key or secret."""
        return self.key == DEVELOPMENT_APP_KEY or self.secret == DEVELOPMENT_APP_SECRET


def development_app() -> AppSettings:
    """Return the app that a server without configuration has."""
    return AppSettings(
        id=DEVELOPMENT_APP_ID,
        key=DEVELOPMENT_APP_KEY,
        secret=DEVELOPMENT_APP_SECRET,
        client_events=True,
    )


class WebhookTargets(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where webhooks may be posted to."""

    allow_private_targets: Annotated[
        bool,
        Meta(
            description="Whether webhooks may go to private and link-local addresses; loopback is "
            "allowed anyway when the server listens on loopback only."
        ),
    ] = False


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole server."""

    host: Annotated[
        Text, Meta(description="Address or name to listen on; a name may have several addresses.")
    ] = "127.0.0.1"
    port: Annotated[
        Port, Meta(description="Port to listen on, the same on every address; 0 takes a free one.")
    ] = 6001
    tls_port: Annotated[
        Port | None,
        Meta(
            description="Port to listen on for TLS, on the same addresses; 0 takes a free one; no "
            "TLS if unset."
        ),
    ] = None
    tls_certificate: Annotated[
        Text | None, Meta(description="PEM file with the certificate and the chain behind it.")
    ] = None
    tls_key: Annotated[
        Text | None, Meta(description="PEM file with the certificate's key, without a password.")
    ] = None
    unix_socket: Annotated[
        Text | None,
        Meta(description="Path of a Unix socket to listen on as well; none if unset."),
    ] = None
    unix_socket_mode: Annotated[
        str,
        Meta(description="Who may connect to the Unix socket, in octal.", pattern=r"\A[0-7]{3}\Z"),
    ] = "660"
    path_prefix: Annotated[
        str,
        Meta(
            description="What a proxy puts before every path; accepted with and without it.",
            pattern=r"\A(/[A-Za-z0-9._~-]+)*\Z",
        ),
    ] = ""
    fallback_path_prefix: Annotated[
        str,
        Meta(
            description="How the paths of HTTP streaming and polling begin, behind `path_prefix` "
            "if there is one; pusher-js asks for `/pusher` unless `httpPath` says otherwise.",
            pattern=r"\A(/[A-Za-z0-9._~-]+)*\Z",
        ),
    ] = "/pusher"
    fallback_session_timeout_seconds: Annotated[
        PositiveSeconds,
        Meta(
            description="Time after which a client of HTTP streaming or polling that asks for "
            "nothing has left."
        ),
    ] = 5.0
    trusted_proxies: Annotated[
        tuple[Text, ...],
        Meta(
            description="Addresses and networks of proxies that are believed who the client is and "
            "whether it came by TLS; `unix` for whoever connects to the Unix socket."
        ),
    ] = ()
    activity_timeout_seconds: Annotated[
        int,
        Meta(ge=1, description="Silence after which a connection is pinged; told to the clients."),
    ] = 120
    pong_timeout_seconds: Annotated[
        PositiveSeconds,
        Meta(description="Time a pinged connection has to say anything before close 4201."),
    ] = 30.0
    drain_seconds: Annotated[
        Seconds,
        Meta(
            description="At the end, spread the closes (4200) over this time; 0 closes all at "
            "once with 4100."
        ),
    ] = 0.0
    max_request_body_bytes: Annotated[
        Count, Meta(description="Bytes of a request's body, more get 413.")
    ] = 2_097_152
    max_message_bytes: Annotated[
        Count, Meta(description="Bytes of one message from a client, more are closed with 1009.")
    ] = 131_072
    max_outbox_bytes: Annotated[
        Count,
        Meta(description="Bytes held for a client that reads too slowly before close 4100."),
    ] = 1_048_576
    scheduler: Annotated[
        bool,
        Meta(description="Whether `callboard serve` runs a task scheduler for every app."),
    ] = True
    data: Annotated[
        Text,
        Meta(
            description="Folder that the scheduler keeps tasks in, made with the first of them; "
            "for one server at a time."
        ),
    ] = DEFAULT_DATA
    max_waiting_tasks: Annotated[
        Count, Meta(description="Tasks that may wait in one queue before submits get 429.")
    ] = 200_000
    finished_tasks_seconds: Annotated[
        PositiveSeconds, Meta(description="How long the scheduler keeps tasks after their end.")
    ] = 604_800.0
    webhooks: Annotated[WebhookTargets, Meta(description="It is the same for all apps.")] = (
        WebhookTargets()
    )
    apps: Annotated[
        tuple[AppSettings, ...],
        Meta(min_length=1, description="The apps served; the development app if none is named."),
    ] = msgspec.field(default_factory=lambda: (development_app(),))

    def __post_init__(self) -> None:
        for name in ("id", "key"):
            seen: set[Any] = set()
            for app in self.apps:
                value = getattr(app, name)
                if value in seen:
                    raise ValueError(f"two apps have the {name} {value!r}; each needs its own")
                seen.add(value)
        self._check_tls()
        self._check_path_prefix("path_prefix")
        self._check_path_prefix("fallback_path_prefix")
        self._check_trusted_proxies()

    def _check_tls(self) -> None:
        parts = {name: getattr(self, name) for name in ("tls_port", "tls_certificate", "tls_key")}
        missing = [name for name, value in parts.items() if value is None]
        if missing and len(missing) < len(parts):
            raise ValueError(
                f"{' and '.join(missing)} missing; tls_port, tls_certificate and tls_key go "
                "together: expected all three or none"
            )
        if self.tls_port and self.tls_port == self.port:
            raise ValueError(f"tls_port and port are both {self.port}; each needs its own")

    def _check_path_prefix(self, name: str) -> None:
        first = getattr(self, name).split("/")[1:2]
        if first and first[0] in _TAKEN_PATHS:
            raise ValueError(f"{name} must not begin with /{first[0]}, which is a path of its own")

    def _check_trusted_proxies(self) -> None:
        for entry in self.trusted_proxies:
            try:
                if entry != UNIX:
                    ip_network(entry)
            except ValueError as error:
                raise ValueError(
                    f"trusted_proxies: {error}; expected an address such as 10.0.0.1, a network "
                    f"such as 10.0.0.0/8, or {UNIX}"
                ) from None
