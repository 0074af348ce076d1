"""Everything that can be set, in one typed structure.

Flags, environment variables, the TOML file and docs/configuration.md are all derived from it,
so a new field appears in each of them by being written here. Each field's description is one
sentence; units are in the name.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

#: The development app, accepted on loopback only.
DEVELOPMENT_APP_ID = "app-id"
DEVELOPMENT_APP_KEY = "app-key"
DEVELOPMENT_APP_SECRET = "app-secret"  # noqa: S105 - public by design, and refused off loopback

Text = Annotated[str, Meta(min_length=1)]
Port = Annotated[int, Meta(ge=0, le=65535)]
Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(ge=0)]
PositiveSeconds = Annotated[float, Meta(gt=0)]


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
    ] = 10240
    max_presence_members: Annotated[Count, Meta(description="Users in one presence channel.")] = 100
    max_client_events_per_second: Annotated[
        Count, Meta(description="Client events a second for one connection, more get error 4301.")
    ] = 10

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


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole server."""

    host: Annotated[
        Text, Meta(description="Address or name to listen on; a name may have several addresses.")
    ] = "127.0.0.1"
    port: Annotated[
        Port, Meta(description="Port to listen on, the same on every address; 0 takes a free one.")
    ] = 6001
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
        Count, Meta(description="Bytes of an API request's body, more get 413.")
    ] = 1_048_576
    max_message_bytes: Annotated[
        Count, Meta(description="Bytes of one message from a client, more are closed with 1009.")
    ] = 131_072
    max_outbox_bytes: Annotated[
        Count,
        Meta(description="Bytes held for a client that reads too slowly before close 4100."),
    ] = 1_048_576
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
