"""The HTML report: whole in itself, harmless whatever names say, and true to its documents."""

from __future__ import annotations

import base64
import math
import re
from html.parser import HTMLParser
from typing import Any

import orjson
import pytest

from bench.report_documents import document
from callboard_bench.report.page import page
from callboard_bench.report.page.curves import curves
from callboard_bench.report.page.markup import Markup, element
from callboard_bench.report.page.numbers import microseconds, short
from callboard_bench.report.page.scales import Linear, Logarithmic, Nines
from callboard_bench.report.page.tables import medians

HOSTILE = "</script><script>alert(1)</script>\"'><b onmouseover=alert(1)>&amp;"


class Read(HTMLParser):
    """A page as a parser sees it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside not in ("script", "style"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def download(text: str) -> Any:
    """The documents that a page has in it."""
    (link,) = [each for each in Read(text).all("a") if "download" in each]
    return orjson.loads(base64.b64decode(link["href"].partition("base64,")[2]))


# Whole, and harmless


def test_the_page_asks_for_nothing_else() -> None:
    read = Read(page([document(), document(scenario="trigger")]))
    sources = [
        value
        for _, attributes in read.elements
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action", "poster", "data")
    ]
    assert sources
    assert all(source.startswith(("#", "data:application/json;")) for source in sources)
    assert not read.all("link")
    (policy,) = [each["content"] for each in read.all("meta") if "http-equiv" in each]
    assert policy.startswith("default-src 'none';")


def test_whatever_a_document_says_is_text() -> None:
    plain = Read(page([document(("a", "b"), thresholds=[verdict("b")], warnings=["w"])]))
    hostile = document((f"a{HOSTILE}", f"b{HOSTILE}"), thresholds=[verdict(f"b{HOSTILE}")])
    hostile |= dict.fromkeys(("scenario", "setting", "command", "date"), HOSTILE)
    hostile |= {"warnings": [HOSTILE], "options": {HOSTILE: HOSTILE}}
    hostile["machine"] = {**hostile["machine"], "cpu": HOSTILE}
    hostile["metrics"] = [{**metric, "title": HOSTILE} for metric in hostile["metrics"]]
    for rounds in hostile["rounds"].values():
        for one in rounds:
            one["curves"] = {HOSTILE: one["curves"]["latency"]}
            one["timeline"]["series"] = {HOSTILE: [1.0, 2.0]}
    read = Read(page([hostile]))
    assert HOSTILE in read.text
    kinds = {tag for tag, _ in plain.elements}
    assert {tag for tag, _ in read.elements} == kinds
    assert len(read.all("script")) == len(plain.all("script")) == 1
    assert not any(name.startswith("on") for _, found in read.elements for name in found)


def verdict(target: str, **fields: Any) -> dict[str, Any]:
    fine = {"flag": "--max-p99", "target": target, "limit": 50, "measured": 3.5, "met": True}
    return {**fine, **fields}


def test_the_documents_are_in_it_as_a_file() -> None:
    documents = [document(), document(scenario="trigger")]
    assert download(page(documents)) == orjson.loads(orjson.dumps(documents))


def test_a_secret_that_strayed_into_a_document_is_taken_out() -> None:
    url = "callboard bench fanout --url http://key:hunter2@hunter3@127.0.0.1:6001/apps/1"
    found = page([document(command=url, options={"url": url})])
    assert "hunter" not in found
    assert "hunter" not in str(download(found))
    assert "http://key:***@127.0.0.1:6001/apps/1" in Read(found).text


def test_two_pages_of_the_same_documents_are_equal() -> None:
    assert page([document()]) == page([document()])


# What it says


def test_faults_come_first_then_warnings_then_the_scenarios() -> None:
    text = Read(page([document(faults=["b, round 2: 3 lost"], warnings=["a: busy"])])).text
    assert text.index("Faults") < text.index("b, round 2: 3 lost") < text.index("Warnings")
    assert text.index("a: busy") < text.index("1,000 subscribers of one channel")


def test_without_any_nothing_is_said_of_faults_and_warnings() -> None:
    text = Read(page([document()])).text
    assert "Faults" not in text
    assert "Warnings" not in text


def test_of_several_scenarios_each_complaint_names_its_own() -> None:
    text = Read(page([document(), document(scenario="churn", faults=["b: lost"])])).text
    assert "churn: b: lost" in text


def test_each_scenario_says_what_when_where_and_how_again() -> None:
    text = Read(page([document()])).text
    for said in (
        "1,000 subscribers of one channel, 20 publishes/s of 220 bytes for 10 s",
        "2026-11-25 12:00:00 UTC",
        "Abacus 9, 2 cores, Linux 6.18.44, Python 3.11.7",
        "3 rounds of each",
        "callboard bench fanout --subscribers 1000 --rate 20",
    ):
        assert said in text


def test_thresholds_are_shown_with_their_units_and_whether_they_are_met() -> None:
    missed = verdict("b", flag="--max-loss", limit=0.0, measured=0.004, met=False)
    text = Read(page([document(thresholds=[verdict("b"), missed])])).text
    assert "--max-p99 b met 50 ms 3.5 ms" in text
    assert "--max-loss b missed 0 % 0.004 %" in text
    assert "1 threshold missed" in text


def test_a_threshold_without_a_figure_is_missed_and_not_zero() -> None:
    unknown = verdict("b", measured=math.nan, met=False)
    assert "--max-p99 b missed 50 ms –" in Read(page([document(thresholds=[unknown])])).text


def test_a_partial_run_says_so() -> None:
    partial = document(partial=True)
    partial["rounds"]["callboard"].pop()
    text = Read(page([partial])).text
    assert "interrupted" in text
    assert "Rounds: 3 of floor, 2 of callboard. It was interrupted" in text


def test_a_round_that_was_failed_is_not_among_those_with_figures() -> None:
    failed = document()
    failed["rounds"]["callboard"][0]["values"] = {}
    text = Read(page([failed])).text
    assert "3 rounds of each, interleaved. callboard has no figures of 1 of its own" in text


def test_the_table_has_medians_spreads_and_ratios() -> None:
    text = Read(medians(document())).text
    assert "server CPU per delivery, µs lower is better 7.34 7.20 – 7.49 8.06 7.92 – 8.21" in text
    assert "8.06 7.92 – 8.21 1.10 worse" in text


@pytest.mark.parametrize(
    ("low", "high", "better", "said"),
    [
        (0.8, 0.9, "lower", " better"),
        (1.1, 1.2, "lower", " worse"),
        (1.1, 1.2, "higher", " better"),
        (0.9, 1.1, "lower", None),
        (1.0, 1.2, "lower", None),
        (1.1, 1.2, "", None),
    ],
)
def test_a_ratio_is_better_or_worse_only_if_all_rounds_agree(
    low: float, high: float, better: str, said: str | None
) -> None:
    one = document(("a", "b"))
    one["metrics"] = [{**one["metrics"][0], "better": better}]
    ratio = {"ratio_median": 1.0, "ratio_low": low, "ratio_high": high}
    one["summary"]["b"]["cpu_us"] |= ratio
    text = Read(medians(one)).text
    assert [word for word in (" better", " worse") if word in text.replace("is better", "")] == (
        [said] if said else []
    )


def test_what_was_not_measured_is_a_dash_and_not_zero() -> None:
    remote = document(("elsewhere",))
    nothing = {"median": math.nan, "low": math.nan, "high": math.nan}
    remote["summary"]["elsewhere"]["cpu_us"] = nothing
    text = Read(page([remote])).text
    assert "server CPU per delivery, µs lower is better –" in text


def test_a_scenario_without_curves_timelines_and_audit_has_its_table_alone() -> None:
    bare = document(scenario="scheduler")
    for rounds in bare["rounds"].values():
        for one in rounds:
            one.update(audit=None, curves={}, timeline=None)
    read = Read(page([bare]))
    assert "latency p99, ms" in read.text
    assert not read.all("figure")
    assert "deliveries expected" not in read.text


def test_lost_deliveries_of_all_rounds_are_added_up() -> None:
    one = document()
    for number in range(3):
        one["rounds"]["callboard"][number]["audit"]["lost"] = 7
    assert "lost 0 21" in Read(page([one])).text


# What it draws


def lines(text: str) -> list[dict[str, str]]:
    return Read(text).all("path")


def test_a_curve_has_each_round_faintly_and_their_median_over_them() -> None:
    (figure,) = curves(document())
    drawn = lines(figure)
    assert len([line for line in drawn if "faint" in line["class"]]) == 2 * 3
    assert [line["data-name"] for line in drawn[-2:]] == ["floor", "callboard"]
    assert all("faint" not in line["class"] for line in drawn[-2:])


def test_a_curve_has_its_title_or_its_name_where_a_document_has_none() -> None:
    one = document()
    assert "latency by percentile" in Read("".join(curves(one))).text
    for rounds in one["rounds"].values():
        for each in rounds:
            each["curves"]["latency"]["title"] = "join to its roster"
    assert "join to its roster by percentile" in Read("".join(curves(one))).text


def test_the_median_of_rounds_is_taken_at_each_percentile() -> None:
    one = document(("a",), rounds=3)
    for number, slowest in enumerate((5_000, 3_000, 9_000)):
        curve = {"unit": "us", "count": 10, "points": [[0, 100], [50, 200], [100, slowest]]}
        one["rounds"]["a"][number]["curves"] = {"latency": curve}
    (figure,) = curves(one)
    assert "lowest 100 µs 50 % 200 µs highest 5 ms" in Read(figure).text
    points = orjson.loads(lines(figure)[-1]["data-points"])
    assert [[at, value] for _, _, at, value in points] == [
        ["lowest", "100 µs"],
        ["50 %", "200 µs"],
        ["highest", "5 ms"],
    ]


def test_a_round_that_timed_nothing_is_left_out_of_the_curve() -> None:
    one = document(("a",), rounds=2)
    one["rounds"]["a"][1]["curves"]["latency"] = {"unit": "us", "count": 0, "points": []}
    (figure,) = curves(one)
    assert len(lines(figure)) == 1


def test_the_reference_is_grey_and_a_target_alone_is_not() -> None:
    def colours(*targets: str) -> set[str]:
        return {line["class"].split()[0] for line in lines(page([document(targets)]))}

    assert colours("floor", "callboard") == {"target-0", "target-1"}
    assert colours("callboard") == {"target-1"}


def test_a_gap_in_a_series_is_a_gap_in_its_line() -> None:
    one = document(("a",), rounds=1)
    series = [None, 5.0, None, 4.0, 3.0]
    one["rounds"]["a"][0]["timeline"] = {"step_seconds": 1.0, "series": {"p99_ms": series}}
    one["rounds"]["a"][0]["curves"] = {}
    (path,) = lines(page([one]))
    lone, stretch = re.findall("M[^M]+", path["d"])
    assert lone.strip().endswith("h0")
    assert "L" in stretch


def test_series_are_named_in_words_and_there_is_a_choice_of_rounds() -> None:
    read = Read(page([document(rounds=2)]))
    for title in ("deliveries per second", "p99, ms", "server CPU, %", "server RSS, MiB"):
        assert title in read.text
    values = [each["value"] for each in read.all("input") if each["name"] == "round-0"]
    assert values == ["all", "1", "2"]


def test_every_drawing_says_in_words_what_is_to_be_seen() -> None:
    said = [each["aria-label"] for each in Read(page([document()])).all("svg")]
    assert len(said) == 5
    assert said[0].startswith("latency: floor lowest ")
    assert said[2].startswith("p99 over time: floor from ")


# Scales


def test_each_nine_takes_as_much_room_as_the_last() -> None:
    scale = Nines.of([5_000])
    places = [scale.place(percent, 5_000) for percent in (0, 90, 99, 99.9, 99.99)]
    assert places == pytest.approx([0, 25, 50, 75, 100])
    assert [tick.label for tick in scale.ticks()] == ["0", "50", "90", "99", "99.9", "99.99"]


def test_a_maximum_is_in_the_middle_of_the_share_of_the_last_of_so_many() -> None:
    scale = Nines.of([50, 5_000])
    assert scale.place(100, 50) == pytest.approx(50)
    assert scale.place(98, 50) < scale.place(100, 50)
    assert scale.place(100, 5_000) == pytest.approx(100)


@pytest.mark.parametrize("values", [[400, 5_300], [1], [999, 1_001], [3, 8_000_000], [0, 50], [2]])
def test_a_logarithmic_scale_holds_its_values_between_ticks(values: list[float]) -> None:
    scale = Logarithmic.of(values)
    assert all(0 <= scale.place(value) <= 100 for value in values)
    marks = scale.marks()
    assert 2 <= len(marks) <= 9
    assert scale.low <= marks[0] < marks[-1] <= scale.high * (1 + 1e-9)


@pytest.mark.parametrize("most", [0.004, 0.3, 1, 7, 19_608, 20_000, 123_456])
def test_a_linear_scale_ends_at_a_round_number_not_far_above(most: float) -> None:
    scale = Linear.of([most / 2, most])
    assert most <= scale.high * (1 + 1e-9) <= 2 * most * (1 + 1e-9)
    assert len(scale.marks()) <= 6


def test_a_series_of_zeros_has_a_scale() -> None:
    assert Linear.of([0.0, 0.0]).place(0.0) == 0


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "–"),
        (0, "0"),
        (0.00412, "0.00412"),
        (0.5, "0.5"),
        (3.14159, "3.14"),
        (19_608.4, "19,608"),
        (100, "100"),
    ],
)
def test_a_short_figure_has_three_digits_that_count(value: float | None, written: str) -> None:
    assert short(value) == written


def test_times_have_the_unit_that_suits_them() -> None:
    assert [microseconds(each) for each in (80, 1_200, 2_500_000)] == ["80 µs", "1.2 ms", "2.5 s"]


# Markup


def test_text_is_escaped_and_markup_is_not() -> None:
    inner = element("b", "<i>", class_="it's")
    assert element("p", "a & ", inner) == '<p>a &amp; <b class="it&#x27;s">&lt;i&gt;</b></p>'
    assert element("p", Markup("<br/>"), None, ["x", "y"]) == "<p><br/>xy</p>"


def test_attributes_may_stand_alone_or_be_left_out() -> None:
    assert element("input", checked=True, hidden=False, data_x=None) == "<input checked/>"
