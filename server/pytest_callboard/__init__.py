"""A Pusher server for tests: the ``pusher_server`` fixture, and ``task_scheduler`` on top of it.

This module is imported in every pytest run of every project that has Callboard installed, so it
imports nothing of it before a test asks for a fixture. What tests annotate with is here by name,
and is imported with its first use.

One server serves the whole session (of each xdist worker), ``session_pusher_server``; as
``pusher_server`` it is reset around every test that uses it. A session's settings are two fixtures
to override, ``callboard_apps`` and ``callboard_settings``; a test that needs other ones makes a
server with ``pusher_server_factory``.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from callboard.fixture import (
        CapturedWebhook,
        Channel,
        Connection,
        Event,
        NotSeen,
        SeenTooOften,
    )
    from callboard.fixture import FixtureServer as PusherServer
    from callboard.fixture.tasks import TaskScheduler
    from pytest_callboard.factory import PusherServerFactory

__all__ = [
    "CapturedWebhook",
    "Channel",
    "Connection",
    "Event",
    "NotSeen",
    "PusherServer",
    "PusherServerFactory",
    "SeenTooOften",
    "TaskScheduler",
]

#: Where a name is found that was not needed so far: the module, and what it is called there.
_ELSEWHERE = {
    **{name: ("callboard.fixture", name) for name in __all__},
    "PusherServer": ("callboard.fixture", "FixtureServer"),
    "PusherServerFactory": ("pytest_callboard.factory", "PusherServerFactory"),
    "TaskScheduler": ("callboard.fixture.tasks", "TaskScheduler"),
}


def __getattr__(name: str) -> Any:
    if name not in _ELSEWHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, there = _ELSEWHERE[name]
    return getattr(import_module(module), there)


@pytest.fixture(scope="session")
def callboard_apps() -> Sequence[Mapping[str, Any]]:
    """The apps of the session's server; override it to have others.

    Each is as in a configuration file, with what it leaves out as in the default app: id ``1``,
    key ``test-key``, secret ``test-secret``, client events on.
    """
    return [{}]


@pytest.fixture(scope="session")
def callboard_settings() -> Mapping[str, Any]:
    """The settings of the session's server, as in a configuration file; override it for others."""
    return {}


@pytest.fixture(scope="session")
def pusher_server_factory() -> Iterator[PusherServerFactory]:
    """Makes further servers, which end with the session: ``pusher_server_factory(settings=…)``.

    Nobody resets them but whoever made them.
    """
    from pytest_callboard.factory import PusherServerFactory

    with PusherServerFactory() as factory:
        yield factory


@pytest.fixture(scope="session")
def session_pusher_server(
    pusher_server_factory: PusherServerFactory,
    callboard_apps: Sequence[Mapping[str, Any]],
    callboard_settings: Mapping[str, Any],
) -> PusherServer:
    """The server that ``pusher_server`` is in each test, for fixtures that live longer than one.

    Tests that ask for ``pusher_server`` reset it; address and keys stay.
    """
    return pusher_server_factory(apps=callboard_apps, settings=callboard_settings)


@pytest.fixture
def pusher_server(
    session_pusher_server: PusherServer, request: pytest.FixtureRequest
) -> Iterator[PusherServer]:
    """A Pusher server, in a thread, on a free port of 127.0.0.1, as if it had just started.

    Clients that a test leaves are sent away at its end, with a code after which SDKs do not
    come back.
    """
    server = session_pusher_server
    # Also before: whatever has come since the last test's end is not of this one.
    server.reset()
    request.node.stash[_SERVER] = server
    yield server
    if not server.background.running:
        server.start()
        raise RuntimeError(
            "the test has stopped pusher_server, which serves the whole session: expected a fault, "
            "such as faults.refuse_tcp(), or a server of its own, of pusher_server_factory()"
        )
    server.reset()


@pytest.fixture
def task_scheduler(
    pusher_server: PusherServer, request: pytest.FixtureRequest
) -> Iterator[TaskScheduler]:
    """The scheduler of ``pusher_server``, which has none otherwise, with time that a test moves.

    No task is left of the test before, and it is a Monday, 1 January 2024, 09:00 UTC.
    """
    from callboard.fixture.tasks import TaskScheduler

    with TaskScheduler(pusher_server) as scheduler:
        request.node.stash[_SCHEDULER] = scheduler
        yield scheduler
        del request.node.stash[_SCHEDULER]


_SERVER = pytest.StashKey["PusherServer"]()
_SCHEDULER = pytest.StashKey["TaskScheduler"]()


# The old form of wrappers, which every pytest understands that somebody may have.
@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, Any, None]:
    """Show with a test that has failed what its servers have seen, unless the failure says it."""
    outcome = yield
    servers = _servers_of(item)
    if not servers or call.excinfo is None:
        return
    report = outcome.get_result()
    if report.failed and report.when != "teardown":
        from callboard.fixture import NotSeen

        # Of several servers the failure says the port, and these say whose that is.
        if len(servers) > 1 or not call.excinfo.errisinstance(NotSeen):
            report.sections += [(name, str(server.scene())) for name, server in servers.items()]
        scheduler = item.stash.get(_SCHEDULER, None)
        if scheduler is not None and not call.excinfo.errisinstance(scheduler.NotSeen):
            report.sections.append(("task_scheduler", scheduler.scene()))


def _servers_of(item: pytest.Item) -> dict[str, PusherServer]:
    """Return the servers among a test's fixtures, each once, by the name of the fixture."""
    fixture = sys.modules.get("callboard.fixture")
    if fixture is None:
        return {}
    found = {"pusher_server": item.stash.get(_SERVER, None), **getattr(item, "funcargs", {})}
    servers: dict[str, PusherServer] = {}
    for name, server in found.items():
        if isinstance(server, fixture.FixtureServer) and server not in servers.values():
            servers[name] = server
    return servers
