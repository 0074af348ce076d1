"""What the page says, from the top: what went wrong, then each scenario."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from callboard_bench.report.page import tables
from callboard_bench.report.page.curves import curves
from callboard_bench.report.page.markup import Markup, element, joined
from callboard_bench.report.page.plot import legend
from callboard_bench.report.page.timelines import most_rounds, timelines

Document = Mapping[str, Any]


def body(documents: Sequence[Document], download: str) -> Markup:
    """Return the whole content; ``download`` is the URL of the documents as a file."""
    return joined(
        element(
            "header",
            element("h1", "Callboard bench"),
            element("p", _origin(documents), class_="origin"),
            element(
                "p",
                element("a", "Download as JSON", href=download, download="callboard-bench.json"),
                class_="origin",
            ),
            _contents(documents) if len(documents) > 1 else None,
            class_="page",
        ),
        element(
            "main",
            _complaints("Faults", "faults", documents),
            _complaints("Warnings", "warnings", documents),
            (_scenario(place, document) for place, document in enumerate(documents)),
        ),
    )


def _origin(documents: Sequence[Document]) -> str:
    """Return when and where all of it was measured."""
    dates = sorted(str(document.get("date", "")) for document in documents)
    if not dates:
        return ""
    span = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    machines = dict.fromkeys(_machine(document.get("machine") or {}) for document in documents)
    return f"{span.replace('T', ' ').replace('Z', ' UTC')}. {'; '.join(machines)}"


def _machine(machine: Mapping[str, Any]) -> str:
    if not {"cpu", "cores", "kernel", "python"} <= machine.keys():
        return ", ".join(f"{name} {value}" for name, value in machine.items())
    return (
        f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, "
        f"Python {machine['python']}"
    )


def _contents(documents: Sequence[Document]) -> Markup:
    links = (
        element(
            "li",
            element("a", document["scenario"], href=f"#scenario-{place}"),
            " ",
            _state(document),
        )
        for place, document in enumerate(documents)
    )
    return element("nav", element("ul", links), aria_label="Scenarios")


def _state(document: Document) -> Markup:
    """Return in a word or two whether all went well."""
    missed = sum(not each["met"] for each in document.get("thresholds") or ())
    faults = len(document.get("faults") or ())
    found = []
    if faults:
        found.append(tables.pill("1 fault" if faults == 1 else f"{faults} faults", good=False))
    if missed:
        text = "1 threshold missed" if missed == 1 else f"{missed} thresholds missed"
        found.append(tables.pill(text, good=False))
    if document.get("partial"):
        found.append(element("span", "interrupted", class_="pill doubtful"))
    return joined(found or tables.pill("measured", good=True))


def _complaints(title: str, key: str, documents: Sequence[Document]) -> Markup | None:
    lines = [
        element("li", f"{document['scenario']}: " if len(documents) > 1 else None, line)
        for document in documents
        for line in document.get(key) or ()
    ]
    if not lines:
        return None
    return element("section", element("h2", title), element("ul", lines), class_=f"note {key}")


def _scenario(place: int, document: Document) -> Markup:
    lines = list(timelines(document))
    return element(
        "section",
        element("h2", document["scenario"], " ", _state(document)),
        element("p", document.get("setting", ""), class_="setting"),
        _rounds_said(document),
        tables.thresholds(document),
        tables.medians(document),
        tables.audit(document),
        _drawn(list(curves(document)), document),
        _timelines(place, lines, document) if lines else None,
        tables.every_round(document),
        tables.options(document),
        element("p", "To measure it again:", class_="lead"),
        element("pre", element("code", document["command"])),
        id=f"scenario-{place}",
        class_="scenario",
    )


def _rounds_said(document: Document) -> Markup:
    counts = {target: len(rounds) for target, rounds in document["rounds"].items()}
    if len(set(counts.values())) == 1:
        count = next(iter(counts.values()))
        said = "One round of each." if count == 1 else f"{count} rounds of each, interleaved."
    else:
        each = ", ".join(f"{count} of {target}" for target, count in counts.items())
        said = f"Rounds: {each}."
    for target, rounds in document["rounds"].items():
        if failed := sum(not one["values"] for one in rounds):
            said += f" {target} has no figures of {failed} of its own, which it failed."
    if document.get("partial"):
        said += " It was interrupted: only rounds that were whole are here."
    return element("p", said, class_="origin")


def _drawn(figures: Sequence[Markup], document: Document) -> Markup | None:
    return joined(legend(document["targets"]), figures) if figures else None


def _timelines(place: int, figures: Sequence[Markup], document: Document) -> Markup:
    return element(
        "div",
        element("h3", "Timelines"),
        element(
            "div",
            legend(document["targets"]),
            element(
                "fieldset",
                element("legend", "Round"),
                _choices(place, most_rounds(document)),
                hidden=True,
            ),
            class_="bar",
        ),
        element("div", figures, class_="grid"),
        class_="timelines",
    )


def _choices(place: int, rounds: int) -> Iterator[Markup]:
    """Yield a button for each round; the script shows and obeys them."""
    for value in ("all", *map(str, range(1, rounds + 1))):
        yield element(
            "label",
            element(
                "input",
                type="radio",
                name=f"round-{place}",
                value=value,
                checked=value == "all",
            ),
            value,
        )
