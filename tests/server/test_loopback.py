"""What is certainly this machine, by its name or address alone."""

from __future__ import annotations

import pytest

from callboard_server.loopback import is_loopback_address, is_loopback_host


def test_a_host_is_known_to_be_this_machine_or_is_not() -> None:
    here = ["127.0.0.1", "127.1.2.3", "::1", "::1%lo", "::ffff:127.0.0.1"]
    assert all(map(is_loopback_host, [*here, "localhost", "LOCALHOST.", "app.localhost"]))
    elsewhere = ["", "0.0.0.0", "::", "::ffff:10.0.0.1", "127.0.0.1%lo"]
    assert not any(map(is_loopback_host, [*elsewhere, "localhostile", "example.com", "?"]))


def test_a_name_is_no_address() -> None:
    with pytest.raises(ValueError, match="localhost"):
        is_loopback_address("localhost")
