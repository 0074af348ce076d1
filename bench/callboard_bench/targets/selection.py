"""Which servers take part, as the command line says.

The *main* target is that of ``--url`` or ``--server``, else a ``callboard serve`` started here.
The *compared* ones stand before it; the first of all is the reference of ratios. Limits such as
``--max-p99`` concern the main target, which is the last.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from callboard_bench.scenario import Floor
from callboard_bench.targets import started
from callboard_bench.targets.loopback import resolve
from callboard_bench.targets.program import program_of
from callboard_bench.targets.running import running_server
from callboard_bench.targets.started import CALLBOARD, PLACEHOLDERS, Place, started_server
from callboard_bench.targets.target import Address, Contender
from callboard_bench.targets.urls import FORM, Url, parse_url

_NEEDS_URL: Final = ("ws_host", "ws_port", "pids")


class Unfit(ValueError):
    """The flags do not go together; the text says what to type."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What was typed about targets; a field has the name of its flag."""

    url: str | None = None
    server: str | None = None
    compare: Sequence[str] = ()
    alone: bool = False
    ws_host: str | None = None
    ws_port: int | None = None
    pids: Sequence[int] = ()
    insecure: bool = False
    owned: bool = False


def contenders(choice: Choice, floors: Sequence[Floor]) -> list[Contender]:
    """Return who takes part, the reference first and the main target last.

    Raises:
        Unfit, BadUrl, Refused: the text says what to type instead.
    """
    built_in = {CALLBOARD: started.callboard()} | {
        each.name: started.floor(each.arguments, each.name) for each in floors
    }
    if choice.alone and choice.compare:
        raise Unfit("--alone and --compare contradict each other: give one of them")
    compare = choice.compare
    if not (compare or choice.alone or choice.url or choice.server):
        compare = [floors[0].name] if floors else []
    found = [_compared(text, choice, built_in, floors) for text in compare]
    main = _main(choice, built_in)
    if choice.server and any(contender.name == main.name for contender in found):
        main = replace(main, name=f"{main.name} of --server")
    found.append(main)
    names = [contender.name for contender in found]
    for name in names:
        if names.count(name) > 1:
            raise Unfit(
                f"two of the servers are called {name}: give one another name, as in "
                f"--compare other={FORM}"
            )
    return found


def _main(choice: Choice, built_in: Mapping[str, Contender]) -> Contender:
    if choice.url is None:
        for name in _NEEDS_URL:
            if getattr(choice, name):
                flag = "--pid" if name == "pids" else f"--{name.replace('_', '-')}"
                raise Unfit(f"{flag} says more about the server of --url, which is missing")
    if choice.server is None:
        if choice.url is None:
            return built_in[CALLBOARD]
        url = parse_url(choice.url)
        where, websocket = _addresses(url, choice)
        return running_server(url.name, url.app, where, websocket, choice.pids)
    if choice.pids:
        raise Unfit("--pid is for a server that runs already; those of --server are known")
    if choice.url is not None:
        url = parse_url(choice.url)
        where, websocket = _addresses(url, choice)
        name = url.name if url.named else program_of(choice.server)
        return started_server(name, choice.server, Place(url.app, where, websocket))
    if PLACEHOLDERS[0] not in choice.server:
        raise Unfit(
            "--server does not say where the server will listen: write {port} (and {key}, "
            "{secret}, {app_id}) into the command where it takes them, or give its address with "
            f"--url {FORM}"
        )
    untold = [each for each in PLACEHOLDERS if each not in choice.server]
    if untold:
        raise Unfit(
            f"--server takes no {', '.join(untold)}, so the server would not know the app that is "
            "made for it: write them into the command, or name an app that it knows with "
            f"--url {FORM}"
        )
    return started_server(program_of(choice.server), choice.server)


def _compared(
    text: str, choice: Choice, built_in: Mapping[str, Contender], floors: Sequence[Floor]
) -> Contender:
    if "://" not in text:
        if text not in built_in:
            raise Unfit(
                f"--compare does not know {text!r}; it takes {', '.join(built_in)}, or a name and "
                f"an address: {text.partition('=')[0]}={FORM}"
            )
        for each in floors:
            if each.name == text and each.needs and importlib.util.find_spec(each.needs) is None:
                raise Unfit(f"{text} needs the package {each.needs}: pip install {each.needs}")
        return built_in[text]
    url = parse_url(text)
    where = _resolved(url.host, url.port, url, choice)
    return running_server(url.name, url.app, where, where)


def _addresses(url: Url, choice: Choice) -> tuple[Address, Address]:
    where = _resolved(url.host, url.port, url, choice)
    if choice.ws_host is None and choice.ws_port is None:
        return where, where
    websocket = _resolved(choice.ws_host or url.host, choice.ws_port or url.port, url, choice)
    return where, websocket


def _resolved(host: str, port: int, url: Url, choice: Choice) -> Address:
    return resolve(host, port, tls=url.tls, owned=choice.owned, insecure=choice.insecure)
