"""One POST to a real receiver, and what is said of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from callboard_protocol import webhooks
from callboard_server.webhooks.posting import DELIVERED, HTTPPoster, Outcome
from callboard_server.webhooks.targets import Targets
from support.webhook_receiver import WebhookReceiver, statuses

HERE = Targets(private=False, loopback=True)
BODY = webhooks.body(1, [webhooks.channel_occupied("c")])
HEADERS = webhooks.signed_headers("key", "secret", BODY)


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with WebhookReceiver() as receiver:
        yield receiver


@pytest.fixture
async def poster() -> AsyncIterator[HTTPPoster]:
    poster = HTTPPoster(HERE)
    yield poster
    await poster.close()


class OneAddress(AbstractResolver):
    """Knows every name as these addresses."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self.addresses
        ]

    async def close(self) -> None:
        pass


async def test_the_request_is_the_body_and_the_headers_given(
    receiver: WebhookReceiver, poster: HTTPPoster
) -> None:
    headers = {"Authorization": "Bearer x", **HEADERS}

    assert await poster.post(receiver.url, headers, BODY) == DELIVERED

    (request,) = receiver.requests
    assert request.path == "/hook"
    assert request.body == BODY
    assert request.headers["content-type"] == "application/json"
    assert request.headers["content-length"] == str(len(BODY))
    assert request.headers["authorization"] == "Bearer x"
    assert request.headers["user-agent"].startswith("callboard/")
    assert request.headers["x-pusher-key"] == "key"
    assert request.headers["x-pusher-signature"] == HEADERS["X-Pusher-Signature"]


@pytest.mark.documented("Webhooks", "Any 2xx is a delivery, anything else is tried again")
@pytest.mark.parametrize("status", [200, 201, 204, 299])
async def test_any_2xx_is_a_delivery(
    status: int, receiver: WebhookReceiver, poster: HTTPPoster
) -> None:
    receiver.answer = statuses(status)

    assert await poster.post(receiver.url, HEADERS, BODY) == DELIVERED


@pytest.mark.documented("Webhooks", "Any 2xx is a delivery, anything else is tried again")
@pytest.mark.parametrize("status", [400, 401, 404, 410, 429, 500, 503])
async def test_any_other_status_may_be_tried_again(
    status: int, receiver: WebhookReceiver, poster: HTTPPoster
) -> None:
    receiver.answer = statuses(status)

    outcome = await poster.post(receiver.url, HEADERS, BODY)

    assert outcome == Outcome(delivered=False, reason=f"status {status}", again=True)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(
    status: int, receiver: WebhookReceiver, poster: HTTPPoster
) -> None:
    async def elsewhere(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    receiver.answer = elsewhere

    outcome = await poster.post(receiver.url, HEADERS, BODY)

    assert outcome.reason == f"status {status}, and redirects are not followed"
    assert not outcome.delivered
    assert [request.path for request in receiver.requests] == ["/hook"]


async def test_a_receiver_that_does_not_answer_is_given_up(receiver: WebhookReceiver) -> None:
    forever = asyncio.Event()

    async def never(request: web.BaseRequest) -> web.StreamResponse:
        await forever.wait()
        return web.Response()

    receiver.answer = never
    poster = HTTPPoster(HERE, answer_seconds=0.05)

    outcome = await poster.post(receiver.url, HEADERS, BODY)

    forever.set()
    await poster.close()
    assert outcome == Outcome(delivered=False, reason="no answer in 0.05 s", again=True)


async def test_an_answer_that_never_ends_delays_nothing(
    receiver: WebhookReceiver, poster: HTTPPoster
) -> None:
    gone = asyncio.Event()

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        try:
            while True:
                await answer.write(b"x" * 4096)
        finally:
            gone.set()

    receiver.answer = endless

    assert await poster.post(receiver.url, HEADERS, BODY) == DELIVERED
    await asyncio.wait_for(gone.wait(), 10)


async def test_nobody_listening_may_be_tried_again(
    receiver: WebhookReceiver, poster: HTTPPoster
) -> None:
    await receiver.stop()

    outcome = await poster.post(receiver.url, HEADERS, BODY)

    assert outcome.again
    assert outcome.reason.startswith("cannot connect (")


async def test_what_is_not_http_may_be_tried_again(poster: HTTPPoster) -> None:
    async def chatter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail ready\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(chatter, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        outcome = await poster.post(f"http://127.0.0.1:{port}/", HEADERS, BODY)

    assert (outcome.delivered, outcome.again) == (False, True)


async def test_cookies_are_not_kept(receiver: WebhookReceiver) -> None:
    async def with_cookie(request: web.BaseRequest) -> web.StreamResponse:
        answer = web.Response()
        answer.set_cookie("session", "of another app")
        return answer

    receiver.answer = with_cookie
    # Of a bare address no client would keep any.
    poster = HTTPPoster(HERE, resolver=OneAddress("127.0.0.1"))
    url = f"http://app.example.com:{receiver.port}/"

    await poster.post(url, HEADERS, BODY)
    await poster.post(url, HEADERS, BODY)

    await poster.close()
    assert "cookie" not in receiver.requests[1].headers


async def test_a_proxy_of_the_environment_is_not_used(
    receiver: WebhookReceiver, poster: HTTPPoster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/")

    assert await poster.post(receiver.url, HEADERS, BODY) == DELIVERED


class TestRefusedTargets:
    """Are final, and nothing is connected to."""

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0x7f.1"])
    async def test_loopback_unless_it_is_allowed(
        self, host: str, receiver: WebhookReceiver
    ) -> None:
        poster = HTTPPoster(Targets(private=False, loopback=False))

        outcome = await poster.post(f"http://{host}:{receiver.port}/", HEADERS, BODY)

        await poster.close()
        assert not outcome.again
        assert "is a loopback address; set allow_private_targets" in outcome.reason
        assert receiver.requests == []

    @pytest.mark.parametrize("host", ["10.0.0.1", "169.254.169.254", "[fe80::1]", "0.0.0.0"])
    async def test_addresses_of_the_inside(self, host: str, poster: HTTPPoster) -> None:
        outcome = await poster.post(f"http://{host}:1/", HEADERS, BODY)

        assert not outcome.again
        assert "set allow_private_targets" in outcome.reason

    async def test_a_name_of_the_inside(self) -> None:
        poster = HTTPPoster(HERE, resolver=OneAddress("169.254.169.254", "10.0.0.1"))

        outcome = await poster.post("http://metadata.example.com/", HEADERS, BODY)

        await poster.close()
        assert not outcome.again
        assert "10.0.0.1 is a private address" in outcome.reason

    async def test_of_a_name_with_both_only_the_allowed_address_is_used(
        self, receiver: WebhookReceiver
    ) -> None:
        poster = HTTPPoster(HERE, resolver=OneAddress("10.0.0.1", "127.0.0.1"))

        outcome = await poster.post(f"http://app.example.com:{receiver.port}/", HEADERS, BODY)

        await poster.close()
        assert outcome == DELIVERED

    async def test_a_name_with_both_whose_allowed_address_is_down_may_be_tried_again(
        self, receiver: WebhookReceiver
    ) -> None:
        await receiver.stop()
        poster = HTTPPoster(HERE, resolver=OneAddress("127.0.0.1", "10.0.0.1"))

        outcome = await poster.post(f"http://app.example.com:{receiver.port}/", HEADERS, BODY)

        await poster.close()
        assert outcome.again

    async def test_a_name_that_leads_elsewhere_the_second_time(
        self, receiver: WebhookReceiver
    ) -> None:
        """DNS rebinding: every connection is made to addresses that were checked for it."""
        names = OneAddress("127.0.0.1")
        poster = HTTPPoster(HERE, resolver=names)
        url = f"http://app.example.com:{receiver.port}/"

        first = await poster.post(url, HEADERS, BODY)
        await poster.close()
        names.addresses = ("10.0.0.1",)
        second = await poster.post(url, HEADERS, BODY)

        await poster.close()
        assert first == DELIVERED
        assert not second.again
        assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    "url",
    ["http://127.1:80/", "http://2130706433/", "http://", "http://a:99999/", "http://[::1/"],
)
async def test_a_url_that_cannot_be_requested_is_final(url: str, poster: HTTPPoster) -> None:
    outcome = await poster.post(url, HEADERS, BODY)

    assert outcome == Outcome(
        delivered=False, reason="no request to this URL is possible", again=False
    )


async def test_a_name_that_cannot_be_resolved_may_be_tried_again() -> None:
    class Nowhere(OneAddress):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    poster = HTTPPoster(HERE, resolver=Nowhere())

    outcome = await poster.post("http://app.example.com/", HEADERS, BODY)

    await poster.close()
    assert outcome == Outcome(
        delivered=False,
        reason="cannot connect (Temporary failure in name resolution)",
        again=True,
    )


async def test_no_reason_repeats_the_url_or_a_header(poster: HTTPPoster) -> None:
    headers = {**HEADERS, "Authorization": "s3cret"}
    for url in (
        "http://u:s3cret@127.0.0.1:1/s3cret",
        "http://10.0.0.1/s3cret",
        "http://127.1/s3cret",
    ):
        assert "s3cret" not in (await poster.post(url, headers, BODY)).reason
