"""Which Pusher service, which app of it, and how a worker proves who it is there.

With the app's secret a worker signs for itself; without, a token does, at ``/sched/auth`` or at
the endpoint that is given. On a service of ours a worker's channel has a key of its own
(:mod:`callboard_protocol.reserved`); a foreign one takes the app's ordinary signature, and there
the worker also joins its pool, for that service tells nobody else who is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from callboard_client.authorizers import Authorization, Authorizer
from callboard_client.signed_request import Credentials
from callboard_protocol.reserved import worker_key, worker_of
from callboard_scheduler import tokens

_EXPECTED: Final = (
    "expected http[s]://KEY:SECRET@HOST[:PORT]/apps/ID, or http[s]://HOST[:PORT] with a token"
)
#: A worker's own token is asked for with each greeting, so it need not outlive one.
_TOKEN_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True)
class Service:
    """One app of a service; :meth:`from_url` makes it."""

    #: The HTTP address, without ``/apps/ID``.
    base: str
    host: str
    port: int
    tls: bool
    #: A proxy's prefix before ``/app/KEY``.
    path: str
    key: str
    foreign: bool = False
    #: Who the worker is to the service, if it has the secret.
    credentials: Credentials | None = None
    token: str | None = field(default=None, repr=False)
    auth_endpoint: str = ""

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        key: str | None = None,
        token: str | None = None,
        auth_endpoint: str | None = None,
        foreign: bool = False,
    ) -> Service:
        """Read where to connect and what to sign with.

        Raises:
            ValueError: a part is missing or contradicts another; the text has no secret in it.
            BadToken: the token has not the form of one.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"the URL of a service must name a scheme and a host: {_EXPECTED}")
        credentials = None
        if token is None and auth_endpoint is None:
            credentials = Credentials.from_url(url)
            base, key = credentials.base, credentials.key
        else:
            prefix = parts.path.partition("/apps/")[0].rstrip("/")
            base = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{prefix}"
            # What the token was made for, whatever the URL may say.
            key = key or (token and tokens.key_of(token)) or unquote(parts.username or "")
            if not key:
                raise ValueError("an auth endpoint without a token needs the key of the app: key=…")
        tls = parts.scheme == "https"
        return cls(
            base,
            _websocket_host(parts.hostname),
            parts.port or (443 if tls else 80),
            tls,
            urlsplit(base).path,
            key,
            foreign,
            credentials,
            token,
            auth_endpoint or f"{base}/sched/auth",
        )

    @property
    def secret(self) -> str | None:
        """The app's secret, None for a worker that has a token."""
        return None if self.credentials is None else self.credentials.secret

    def authorizer(self, member: Mapping[str, object]) -> Authorizer:
        """Return what signs subscriptions; ``member`` is the worker as its pool sees it."""
        from callboard_client.authorizers import EndpointAuthorizer, SecretAuthorizer

        if self.secret is None:
            headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
            return EndpointAuthorizer(self.auth_endpoint, headers)
        plain = SecretAuthorizer(self.key, self.secret, member)
        reserved = SecretAuthorizer(self.key, worker_key(self.secret))

        def sign(socket_id: str, channel: str) -> Authorization:
            own = worker_of(channel) is not None and not self.foreign
            return (reserved if own else plain)(socket_id, channel)

        return sign

    def hint(self, own: bool) -> str:
        """Return what to look at when a subscription is refused, to the worker's own channel?"""
        if self.secret is None:
            return f"{self.auth_endpoint} decides: is the token for this worker, and still valid?"
        if own and not self.foreign:
            return (
                f"is the secret of app key {self.key!r} right? If it is, no scheduler runs there, "
                "or the service is not Callboard's, and the worker must be told that it is foreign"
            )
        return f"is the secret of app key {self.key!r} right?"

    def greeting_token(
        self, worker_id: str, namespace: str, clock: Callable[[], float]
    ) -> Callable[[], str | None]:
        """Return what gives the token of each ``hello``; ``clock`` is Unix time in seconds."""
        key, secret = self.key, self.secret
        if secret is None:
            return lambda: self.token

        def mint() -> str:
            expires = int(clock()) + _TOKEN_SECONDS
            return tokens.worker_token(
                key, secret, worker=worker_id, expires=expires, namespace=namespace
            )

        return mint


def _websocket_host(host: str) -> str:
    """Return where the WebSockets are: hosted Pusher's API has a host of its own."""
    if host.endswith(".pusher.com") and host.startswith("api"):
        return f"ws{host.removeprefix('api')}"
    return host
