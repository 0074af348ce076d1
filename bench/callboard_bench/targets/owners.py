"""Which processes of this machine serve an address.

``/proc/net/tcp`` and ``tcp6`` name the socket behind every listening port, ``/proc/PID/fd`` who
holds it. The holders count, and all that descend from them, so that a server which forks counts
whole. Sockets of other users' processes are found by root only, those of a container not at all.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from callboard_bench.process import pids, with_children
from callboard_bench.targets.target import Address

_LISTENING: Final = "0A"  # TCP_LISTEN of include/net/tcp_states.h
_WORD: Final = 4


def owners(*addresses: Address) -> tuple[int, ...]:
    """Return who listens there, then all their children; empty where that cannot be seen."""
    inodes = {
        inode
        for address in addresses
        if is_local(address)
        for inode in _listening(address.ip or address.host, address.port)
    }
    if not inodes:
        return ()
    links = {f"socket:[{inode}]" for inode in inodes}
    return with_children(pid for pid in pids() if _holds(pid, links))


def is_local(address: Address) -> bool:
    """Whether it is an address of this machine: only those can be bound."""
    ip = address.ip or address.host
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((ip, 0))
        except OSError:
            return False
    return True


def _listening(ip: str, port: int) -> Iterable[str]:
    wanted = {_plain(ip), "0.0.0.0", "::"}  # noqa: S104 - these are compared with, not bound
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        if not table.exists():
            continue
        for line in table.read_text().splitlines()[1:]:
            fields = line.split()
            address, _, at = fields[1].partition(":")
            if fields[3] == _LISTENING and int(at, 16) == port and _address(address) in wanted:
                yield fields[9]


def _address(text: str) -> str:
    # The kernel prints each 32-bit word in the byte order of the machine.
    raw = bytes.fromhex(text)
    words = (raw[start : start + _WORD][::-1] for start in range(0, len(raw), _WORD))
    return _plain(str(ipaddress.ip_address(b"".join(words))))


def _plain(ip: str) -> str:
    address = ipaddress.ip_address(ip.partition("%")[0])
    return str(getattr(address, "ipv4_mapped", None) or address)


def _holds(pid: int, links: set[str]) -> bool:
    try:
        entries = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False
    return any(_link(entry) in links for entry in entries)


def _link(entry: Path) -> str:
    try:
        return str(entry.readlink())
    except OSError:  # closed meanwhile
        return ""
