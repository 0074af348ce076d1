"""pusher-js and the Node server library by TLS, and on a path with a prefix."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from callboard_server.background import BackgroundServer
from callboard_server.settings import AppSettings, Settings
from interop.conftest import StartScript
from support.certificates import Authority

FILE = "tls.cjs"
SAFE = AppSettings(id="106", key="safe-key", secret="safe-secret", tls_only=True)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BackgroundServer]:
    authority = Authority(tmp_path)
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", authority.file())
    pair = authority.pair("callboard")
    settings = Settings(
        port=0,
        tls_port=0,
        tls_certificate=pair.certificate,
        tls_key=pair.key,
        path_prefix="/pusher",
        apps=(SAFE,),
    )
    with BackgroundServer(settings) as server:
        yield server


@pytest.mark.parametrize(
    ("client", "refusals"),
    [
        ({"forceTLS": True}, []),
        ({"forceTLS": True, "wsPath": "/pusher"}, []),
        # pusher-js takes 4000 as it is meant, and comes back by TLS.
        ({"forceTLS": False}, [4000]),
    ],
    ids=["by TLS", "with a prefix", "without TLS at first"],
)
def test_an_event_by_tls(
    client: dict[str, Any], refusals: list[int], node: StartScript, server: BackgroundServer
) -> None:
    script = node(
        FILE,
        "event",
        host="localhost",
        port=server.port,
        appId=SAFE.id,
        key=SAFE.key,
        secret=SAFE.secret,
        channel="news",
        client={"wssPort": server.tls_port, **client},
        backend={"port": server.tls_port, "useTLS": True},
    )

    assert script.hear("refusals") == refusals
    assert script.hear("status") == 200
    assert script.hear("news") == "by TLS"
    script.finish()
