"""The report as a page: it stands alone, draws what the rows say, and lets no name become markup."""

import re
from xml.etree import ElementTree

import pytest

from station.datatypes import OutcomeKind, OutcomeReason
from station.record.plots import PALETTE, Axis, Columns, bars, columns, histogram
from station.record.report_page import report_page
from station.record.rows import ItemRow, item_row
from station.record.run_report import RunEnd, RunFacts, run_report
from tests.unit.record.makers import record

UTC = 1_700_000_000_000_000_000
SVG = "{http://www.w3.org/2000/svg}"


def rects(svg: str) -> list[tuple[str, float, float]]:
    """(words, height, width) of every bar; the legend's are 11 px square."""
    root = ElementTree.fromstring(svg)
    found = []
    for rect in root.iter("rect"):
        title = rect.find("title")
        words = "" if title is None or title.text is None else title.text
        if ": " in words:
            found.append((words, float(rect.attrib["height"]), float(rect.attrib["width"])))
    return found


def test_a_columns_height_is_its_share_of_the_axis() -> None:
    plot = Columns(Axis("s", 0, 2), [{"a": 10, "b": 30}, {"a": 20, "b": 0}], {"a": PALETTE[0], "b": PALETTE[1]})
    drawn = {words: height for words, height, _ in rects(columns("t", plot))}
    assert set(drawn) == {"a: 10", "b: 30", "a: 20"}
    assert drawn["b: 30"] == pytest.approx(3 * drawn["a: 10"], abs=0.2)
    assert drawn["a: 20"] == pytest.approx(2 * drawn["a: 10"], abs=0.2)


def test_a_histogram_counts_every_finite_value_once_and_names_its_marks() -> None:
    svg = histogram("ms", [1.0, 1.1, 50.0, float("inf"), 5000.0], {"p50 50.0 ms": 50.0})
    assert sum(int(words.split(": ")[1]) for words, _, _ in rects(svg)) == 4
    assert "p50 50.0 ms" in svg


def test_lying_bars_are_as_long_as_their_counts() -> None:
    drawn = {words: width for words, _, width in rects(bars("t", {"x": {"a": 30}, "y": {"a": 60}}, {"a": PALETTE[0]}))}
    assert drawn["a: 60"] == pytest.approx(2 * drawn["a: 30"], abs=0.2)


@pytest.mark.parametrize("drawn", [histogram("ms", [], {}), histogram("ms", [float("inf")], {}), bars("t", {}, {})])
def test_nothing_is_drawn_of_nothing(drawn: str) -> None:
    assert drawn == ""


def page(rows: list[ItemRow], clock: str = "wall") -> str:
    facts = RunFacts(clock, None, "cpu", "<script>alert(1)</script>", "model", {"name": "a & b"})
    values = run_report(facts, RunEnd("completed", 60.0), rows)
    values["incidents"] = [{"what": "camera_lost", "reason": "<b>cable</b>", "at_s": 3.0, "for_s": None}]
    return report_page({"run_id": 4, **values}, "2026-01-01", rows)


ROWS = [
    item_row(record(1), UTC),
    item_row(record(2, OutcomeKind.PASSED, label="organic", at_ms=5000, to_scheduled_ms=None), UTC),
    item_row(record(3, OutcomeKind.MISSED, OutcomeReason.LATE, at_ms=9000, to_scheduled_ms=None), UTC),
]


def test_the_page_stands_alone_and_shows_its_plots() -> None:
    html = page(ROWS)
    for title in ("Outcomes over time", "Where items went", "Latency, capture to scheduled (and 1 never", "Slack"):
        assert title in html
    assert html.count("<svg") == 4
    assert "ejected: product" in html
    assert "untouched, missed" in html
    assert not re.search(r"https?://|<script|src=|@import|url\(", html)
    assert "&lt;script&gt;" in html
    assert "&lt;b&gt;cable&lt;/b&gt;" in html


def test_charged_computing_time_is_not_drawn_as_if_it_had_been_measured() -> None:
    assert "Latency, capture to scheduled" not in page(ROWS, clock="virtual")


def test_a_run_without_items_is_a_page_without_plots() -> None:
    assert "<svg" not in page([])
