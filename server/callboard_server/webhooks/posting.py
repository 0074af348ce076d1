"""One POST to a receiver, and what became of it.

Nothing that a URL, a header or an answer may hold gets into a reason: they may be secrets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import aiohttp
from aiohttp.abc import AbstractResolver

import callboard_protocol
from callboard_server.webhooks.targets import CheckedResolver, TargetRefused, Targets

#: How long a receiver may take to answer.
ANSWER_SECONDS: Final = 10.0
#: Shorter than what any usual receiver keeps an idle connection for, so that none is taken up
#: at the moment when the receiver closes it.
_KEEPALIVE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether a request was answered 2xx; if not, why, and whether another try is of use."""

    delivered: bool
    reason: str = ""
    again: bool = True


DELIVERED: Final = Outcome(delivered=True)


class Poster(Protocol):
    """Posts to receivers."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        """Post ``body`` to ``url``; raises nothing but that it was cancelled."""

    async def close(self) -> None:
        """Close the connections. Safe to call twice, or without a post before."""


class HTTPPoster:
    """Posts through one session of aiohttp, which is opened when it is first needed.

    ``resolver`` finds the addresses of names, which ``targets`` then checks.
    """

    def __init__(
        self,
        targets: Targets,
        answer_seconds: float = ANSWER_SECONDS,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._targets = targets
        self._resolver = resolver
        self._answer_seconds = answer_seconds
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        """Post ``body`` to ``url``. A redirect is not followed, and counts as a failure."""
        if self._session is None:
            self._session = self._open()
        try:
            async with self._session.post(
                url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                return _judge(answer.status)
        except aiohttp.ClientConnectorCertificateError:
            return Outcome(delivered=False, reason="the certificate is not valid for the host")
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, TargetRefused):
                return Outcome(delivered=False, reason=str(error.os_error), again=False)
            return Outcome(delivered=False, reason=f"cannot connect ({_cause(error.os_error)})")
        except (aiohttp.InvalidURL, ValueError):
            return Outcome(
                delivered=False, reason="no request to this URL is possible", again=False
            )
        except TimeoutError:
            return Outcome(delivered=False, reason=f"no answer in {self._answer_seconds:g} s")
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            return Outcome(delivered=False, reason=type(error).__name__)

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            resolver=CheckedResolver(self._targets, self._resolver),
            socket_factory=self._targets.open_socket,
            keepalive_timeout=_KEEPALIVE_SECONDS,
            # Each webhook has one request at a time: slow receivers must not use up a pool.
            limit=0,
        )
        return aiohttp.ClientSession(
            connector=connector,
            # Else one receiver's cookies would come with another app's webhooks.
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"callboard/{callboard_protocol.__version__}"},
            timeout=aiohttp.ClientTimeout(total=self._answer_seconds),
            # A proxy from the environment would be connected to instead of what was checked.
            trust_env=False,
        )


def _judge(status: int) -> Outcome:
    if 200 <= status < 300:
        return DELIVERED
    redirect = ", and redirects are not followed" if 300 <= status < 400 else ""
    return Outcome(delivered=False, reason=f"status {status}{redirect}")


def _cause(error: OSError) -> str:
    return error.strerror or type(error).__name__
