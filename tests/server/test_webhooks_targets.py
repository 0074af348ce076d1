"""Where webhooks may go: by the address that is connected to, whatever it was called."""

from __future__ import annotations

import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from callboard_server.webhooks.targets import CheckedResolver, TargetRefused, Targets, kind_of

STRICT = Targets(private=False, loopback=False)
LOOPBACK = Targets(private=False, loopback=True)
PRIVATE = Targets(private=True, loopback=False)

PUBLIC = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0",
    "126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255",
    "172.32.0.0", "192.0.1.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0",
    "223.255.255.255", "2606:4700:4700::1111", "2a00:1450::1", "2001:4860:4860::8888",
    "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1",
]  # fmt: skip

REFUSED = [
    ("0.0.0.0", "unspecified"),
    ("0.1.2.3", "unspecified"),
    ("::", "unspecified"),
    ("127.0.0.1", "loopback"),
    ("127.255.255.254", "loopback"),
    ("::1", "loopback"),
    ("::ffff:127.0.0.1", "loopback"),
    ("169.254.169.254", "link-local"),
    ("::ffff:169.254.169.254", "link-local"),
    ("::ffff:a9fe:a9fe", "link-local"),
    ("fe80::1", "link-local"),
    ("fe80::1%2", "link-local"),
    ("10.0.0.0", "private"),
    ("10.255.255.255", "private"),
    ("::ffff:10.0.0.1", "private"),
    ("100.64.0.0", "private"),
    ("100.127.255.255", "private"),
    ("172.16.0.0", "private"),
    ("172.31.255.255", "private"),
    ("192.168.0.0", "private"),
    ("192.168.255.255", "private"),
    ("fc00::1", "private"),
    ("fd00:ec2::254", "private"),
    ("fec0::1", "private"),
    ("64:ff9b::10.0.0.1", "private"),
    ("64:ff9b::127.0.0.1", "private"),
    ("64:ff9b::169.254.169.254", "private"),
    ("2002:a00:1::1", "private"),
    ("2002:7f00:1::1", "private"),
    ("2002:a9fe:a9fe::", "private"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.255", "multicast"),
    ("ff02::1", "multicast"),
    ("192.0.0.170", "reserved"),
    ("192.0.2.1", "reserved"),
    ("192.88.99.1", "reserved"),
    ("198.18.0.1", "reserved"),
    ("198.51.100.1", "reserved"),
    ("203.0.113.1", "reserved"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.255", "reserved"),
    ("::10.0.0.1", "reserved"),
    ("::ffff:0:10.0.0.1", "reserved"),
    ("64:ff9b:1::10.0.0.1", "reserved"),
    ("100::1", "reserved"),
    ("2001::1", "reserved"),
    ("2001:0:a00:1::", "reserved"),
    ("2001:db8::1", "reserved"),
    ("3fff::1", "reserved"),
    ("5f00::1", "reserved"),
    ("4000::1", "reserved"),
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert kind_of(address) is None
    STRICT.check(address)


@pytest.mark.parametrize(("address", "kind"), REFUSED)
def test_all_others_are_refused_and_called_by_their_kind(address: str, kind: str) -> None:
    with pytest.raises(TargetRefused) as refusal:
        STRICT.check(address)
    assert str(refusal.value) == (
        f"{address} is a {kind} address; set allow_private_targets in [webhooks] to allow it"
    )


@pytest.mark.parametrize(("address", "kind"), REFUSED)
def test_loopback_alone_may_be_allowed(address: str, kind: str) -> None:
    if kind == "loopback":
        LOOPBACK.check(address)
    else:
        with pytest.raises(TargetRefused):
            LOOPBACK.check(address)


@pytest.mark.parametrize("address", [address for address, _ in REFUSED] + PUBLIC)
def test_every_address_may_be_allowed(address: str) -> None:
    PRIVATE.check(address)


class TestSockets:
    """The last word: nothing is connected to without one."""

    def test_are_made_for_allowed_addresses(self) -> None:
        target = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 80))

        with LOOPBACK.open_socket(target) as made:
            assert made.family == socket.AF_INET

    @pytest.mark.parametrize(
        "target",
        [
            (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("10.0.0.1", 80)),
            (socket.AF_INET6, socket.SOCK_STREAM, 0, "", ("::ffff:10.0.0.1", 80, 0, 0)),
            (socket.AF_INET6, socket.SOCK_STREAM, 0, "", ("fe80::1%1", 80, 0, 1)),
        ],
    )
    def test_are_not_made_for_others(self, target: tuple[object, ...]) -> None:
        with pytest.raises(TargetRefused):
            LOOPBACK.open_socket(target)  # type: ignore[arg-type]


class ScriptedResolver(AbstractResolver):
    """Answers with these addresses, or fails."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.closed = False

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if not self.addresses:
            raise OSError("no such name")
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self.addresses
        ]

    async def close(self) -> None:
        self.closed = True


class TestNames:
    async def test_resolve_to_their_allowed_addresses_only(self) -> None:
        resolver = CheckedResolver(STRICT, ScriptedResolver("10.0.0.1", "8.8.8.8", "::1"))

        found = await resolver.resolve("example.com", 443)

        assert [each["host"] for each in found] == ["8.8.8.8"]

    async def test_without_an_allowed_one_are_refused(self) -> None:
        resolver = CheckedResolver(STRICT, ScriptedResolver("10.0.0.1", "127.0.0.1"))

        with pytest.raises(TargetRefused, match=r"127\.0\.0\.1 is a loopback address"):
            await resolver.resolve("example.com", 443)

    async def test_that_cannot_be_resolved_are_not_called_refused(self) -> None:
        with pytest.raises(OSError, match="no such name") as failure:
            await CheckedResolver(STRICT, ScriptedResolver()).resolve("example.com", 443)
        assert not isinstance(failure.value, TargetRefused)

    @pytest.mark.parametrize("name", ["localhost", "0x7f.1", "0177.1", "127.1", "2130706433"])
    async def test_of_this_machine_are_found_out_however_they_are_written(self, name: str) -> None:
        with pytest.raises(TargetRefused):
            await CheckedResolver(STRICT).resolve(name, 80)

    async def test_closing_closes_what_it_asks(self) -> None:
        asked = ScriptedResolver()

        await CheckedResolver(STRICT, asked).close()

        assert asked.closed
