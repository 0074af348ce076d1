"""Whether a host or an address is certainly this machine itself, without asking anybody."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address


def is_loopback_address(text: str) -> bool:
    """Whether an IP address never leaves this machine.

    Raises:
        ValueError: it is no address.
    """
    address = ip_address(text)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


def is_loopback_host(host: str) -> bool:
    """Whether a name or an address, without brackets, is this machine.

    No other name is looked up: what it leads to may be another thing a moment later.
    """
    try:
        return is_loopback_address(host)
    except ValueError:
        # These are this machine wherever they are looked up (RFC 6761, 6.3).
        name = host.lower().removesuffix(".")
        return name == "localhost" or name.endswith(".localhost")
