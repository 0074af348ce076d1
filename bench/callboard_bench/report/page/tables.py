"""The tables of a scenario: medians and ratios, deliveries, every round, thresholds, options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from callboard_bench.report.page.markup import Content, Markup, element, joined
from callboard_bench.report.page.numbers import NOTHING, fixed, plain, short

_BETTER: Final = {"lower": "lower is better", "higher": "higher is better"}
_LIMITED_IN: Final = {"--max-p99": " ms", "--max-loss": " %", "--max-errors": " %"}
_AUDITED: Final = (
    ("expected", "deliveries expected"),
    ("lost", "lost"),
    ("duplicated", "more than once"),
    ("reordered", "out of order"),
)


def medians(document: Mapping[str, Any]) -> Markup:
    """Return a row for each metric: every target's median and spread, and its ratio."""
    targets: Sequence[str] = document["targets"]
    reference, *others = targets
    heads = [element("th", target, scope="col") for target in targets]
    heads += [element("th", f"{target} / {reference}", scope="col") for target in others]
    rows = []
    for metric in document["metrics"]:
        figures = {
            target: document["summary"].get(target, {}).get(metric["key"]) or {}
            for target in targets
        }
        digits = metric.get("digits", 1)
        cells = [_figure(figures[target], digits) for target in targets]
        cells += [_ratio(figures[target], metric) for target in others]
        better = _BETTER.get(metric.get("better", ""))
        title = element(
            "th",
            metric["title"],
            element("small", better) if better else None,
            scope="row",
            # As in the table for the terminal, a part of the line above stands further in.
            class_="part" if metric["title"].startswith(" ") else None,
        )
        rows.append(element("tr", title, cells))
    caption = "median, and below it the lowest and highest of the rounds"
    return _table(heads, rows, caption)


def _figure(figure: Mapping[str, float | None], digits: int) -> Markup:
    if figure.get("median") is None:
        return element("td", NOTHING)
    median, low, high = (fixed(figure.get(key), digits) for key in ("median", "low", "high"))
    return element("td", median, _range(low, high))


def _ratio(figure: Mapping[str, float | None], metric: Mapping[str, Any]) -> Markup:
    median, low, high = (figure.get(f"ratio_{key}") for key in ("median", "low", "high"))
    if median is None or low is None or high is None:
        return element("td", NOTHING if metric.get("ratio", True) else "")
    verdict = _verdict(low, high, metric.get("better", ""))
    return element(
        "td",
        fixed(median, 2),
        element("span", f" {verdict}", class_=f"verdict {verdict}") if verdict else None,
        _range(fixed(low, 2), fixed(high, 2)),
    )


def _verdict(low: float, high: float, better: str) -> str | None:
    """Return "better" or "worse" where the rounds agree on it."""
    if better not in _BETTER or low <= 1 <= high:
        return None
    return "better" if (high < 1) == (better == "lower") else "worse"


def _range(low: str, high: str) -> Markup | None:
    return None if low == high else element("small", f"{low} – {high}")


def audit(document: Mapping[str, Any]) -> Markup | None:
    """Return what became of the deliveries, all rounds together; None where none were audited."""
    found = {
        target: [one["audit"] for one in rounds if one.get("audit")]
        for target, rounds in document["rounds"].items()
    }
    audited = {target: audits for target, audits in found.items() if audits}
    if not audited:
        return None
    rows = []
    for key, title in _AUDITED:
        counts = [sum(each.get(key, 0) for each in audits) for audits in audited.values()]
        cells = [
            element("td", f"{count:,}", class_="worse" if count and key != "expected" else None)
            for count in counts
        ]
        rows.append(element("tr", element("th", title, scope="row"), cells))
    heads = [element("th", target, scope="col") for target in audited]
    return _table(heads, rows, "every delivery of all rounds")


def every_round(document: Mapping[str, Any]) -> Markup:
    """Return the figures of each round."""
    rounds: Mapping[str, Sequence[Mapping[str, Any]]] = document["rounds"]
    heads = [
        element("th", f"{target}, {number}", scope="col")
        for target, found in rounds.items()
        for number in range(1, len(found) + 1)
    ]
    rows = [
        element(
            "tr",
            element("th", metric["title"], scope="row"),
            (
                element("td", fixed(one["values"].get(metric["key"]), metric.get("digits", 1)))
                for found in rounds.values()
                for one in found
            ),
        )
        for metric in document["metrics"]
    ]
    return _folded("Every round", _table(heads, rows))


def thresholds(document: Mapping[str, Any]) -> Markup | None:
    """Return which limits were given and whether they are met; None without any."""
    found = document.get("thresholds") or ()
    if not found:
        return None
    heads = [element("th", head, scope="col") for head in ("", "limit", "measured")]
    rows = [
        element(
            "tr",
            element("th", element("code", each["flag"]), f" {each['target']}", scope="row"),
            element("td", pill("met" if each["met"] else "missed", good=each["met"])),
            element("td", short(each["limit"]), unit),
            element("td", short(each["measured"]), unit),
        )
        for each in found
        for unit in (_LIMITED_IN.get(each["flag"]),)
    ]
    return _table(heads, rows, "thresholds")


def pill(text: str, *, good: bool) -> Markup:
    """Return a word that says whether something is well."""
    return element("span", text, class_=f"pill {'better' if good else 'worse'}")


def options(document: Mapping[str, Any]) -> Markup:
    """Return what the run was given, and the machine it ran on."""
    return _folded(
        "Options and machine",
        element(
            "dl",
            _pairs(document.get("options") or {}),
            _pairs(document.get("machine") or {}),
        ),
    )


def _pairs(values: Mapping[str, Any]) -> Iterator[Markup]:
    for name, value in values.items():
        yield joined(element("dt", name.replace("_", " ")), element("dd", plain(value)))


def _folded(title: str, content: Content) -> Markup:
    return element("details", element("summary", title), content)


def _table(heads: Sequence[Markup], rows: Sequence[Markup], caption: str | None = None) -> Markup:
    return element(
        "div",
        element(
            "table",
            element("caption", caption) if caption else None,
            element("thead", element("tr", element("td"), heads)),
            element("tbody", rows),
        ),
        class_="wide",
    )
