import dataclasses
import json
import math

import pytest

from station.books import Books
from station.datatypes import NEVER_MS, DecisionReason, ItemRecord, OutcomeKind, OutcomeReason
from station.record.recorder import Recorder
from station.record.rows import ItemRow, birth_row, item_row
from station.record.run_report import FrameCounts, RunEnd, RunFacts, percentile, run_report, share
from tests.unit.record.makers import record, track

FACTS = RunFacts(clock="wall", seed=7, device="cpu", backend="openvino-bf16", perception="model")
END = RunEnd(status="completed", duration_s=20.0, frames=FrameCounts(600, 598, 2, 0))


def rows(*records: ItemRecord) -> list[ItemRow]:
    return [item_row(entry, 0) for entry in records]


def test_the_sum_of_outcomes_and_what_is_in_flight_is_the_total() -> None:
    report = run_report(
        FACTS,
        dataclasses.replace(END, births=5, in_flight=1),
        [
            *rows(
                record(1),
                record(2, OutcomeKind.PASSED, label="organic", to_scheduled_ms=None),
                record(3, OutcomeKind.MISSED, OutcomeReason.LATE),
                record(4, OutcomeKind.UNCONFIRMED, OutcomeReason.NO_REPORT),
            ),
            birth_row(track(5), 0),
        ],
    )
    items = report["items"]
    assert items["by_outcome"] == {"ejected": 1, "passed": 1, "missed": 1, "unconfirmed": 1}
    assert items["total"] == sum(items["by_outcome"].values()) + items["in_flight"] == 5
    assert items["by_label"] == {"organic": 1, "recyclable": 3}
    assert (items["missed_by_reason"], items["unconfirmed_by_reason"]) == ({"late": 1}, {"no_report": 1})
    assert report["ledger_balanced"] is True


@pytest.mark.parametrize(
    ("births", "settled", "in_flight"),
    [
        pytest.param(3, [1, 2], 0, id="an item vanished"),
        pytest.param(2, [1, 1], 0, id="two outcomes for one item"),
        pytest.param(1, [1, 2], 0, id="an outcome without a birth"),
    ],
)
def test_a_ledger_that_does_not_add_up_is_reported_so(births: int, settled: list[int], in_flight: int) -> None:
    end = dataclasses.replace(END, births=births, in_flight=in_flight)
    assert run_report(FACTS, end, rows(*(record(i) for i in settled)))["ledger_balanced"] is False


LATE = record(98, OutcomeKind.MISSED, OutcomeReason.LATE, to_scheduled_ms=20.0)
UNLOOKED = record(99, OutcomeKind.PASSED, label=None, to_scheduled_ms=None, looks=0, why=DecisionReason.NO_LOOK)
PASSED = record(97, OutcomeKind.PASSED, to_scheduled_ms=None)
DRY = record(95, OutcomeKind.MISSED, OutcomeReason.DRY_RUN, to_scheduled_ms=None)
UNSURE = record(96, OutcomeKind.PASSED, to_scheduled_ms=None, why=DecisionReason.UNSURE)
PUNCTUAL = [record(i, to_scheduled_ms=40.0 + i / 10) for i in range(20)]


def test_items_that_were_late_or_had_no_look_in_time_are_infinitely_late() -> None:
    report = run_report(FACTS, END, rows(*PUNCTUAL, LATE, UNLOOKED, PASSED, UNSURE))
    scheduled = report["latency_ms"]["capture_to_scheduled"]
    assert scheduled == {"p50": 41.0, "p99": NEVER_MS, "max": NEVER_MS, "n": 22, "infinite": 2}


@pytest.mark.parametrize(
    ("seen", "figures"),
    [
        pytest.param((*PUNCTUAL, LATE, UNLOOKED, PASSED, UNSURE), (41.0, NEVER_MS), id="a run that sorts"),
        pytest.param((UNLOOKED, LATE, PASSED), (NEVER_MS, NEVER_MS), id="one that is always late"),
        pytest.param((UNLOOKED, DRY, PASSED), (None, None), id="one that observes: late for nothing"),
    ],
)
def test_the_latency_on_the_screen_is_that_of_the_report(
    seen: tuple[ItemRecord, ...], figures: tuple[float | None, float | None]
) -> None:
    books = Books(Recorder([]), 0)
    for entry in seen:
        books.settled(entry)
    assert books.latency_p50_p99_ms() == figures
    scheduled = run_report(FACTS, END, rows(*seen))["latency_ms"]["capture_to_scheduled"]
    assert (scheduled["p50"], scheduled["p99"]) == figures


def test_virtual_time_has_no_latency_to_report() -> None:
    facts = dataclasses.replace(FACTS, clock="virtual")
    assert run_report(facts, END, rows(record(1)))["latency_ms"] is None


def test_fire_errors_count_by_size_not_sign() -> None:
    errors = rows(*(record(i, fire_error_us=value) for i, value in enumerate((-900, 5, 10))))
    assert run_report(FACTS, END, errors)["fire_error_us"] == {"p50": 10, "p99": 900, "max": 900}


def test_an_empty_run_is_a_whole_report_in_strict_json() -> None:
    report = run_report(FACTS, END, [])
    json.dumps(report, allow_nan=False)
    assert report["schema"] == "station.run/1"
    assert report["items"]["total"] == 0
    assert report["ledger_balanced"] is True
    assert report["fire_error_us"] == {"p50": None, "p99": None, "max": None}


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        pytest.param([], 50, None, id="nothing measured"),
        pytest.param([3.0], 99, 3.0, id="one"),
        pytest.param([float(i) for i in range(1, 101)], 99, 99.0, id="99th of a hundred"),
        pytest.param([float(i) for i in range(1, 101)], 1, 1.0, id="first of a hundred"),
        pytest.param([1.0, math.inf], 99, NEVER_MS, id="infinite"),
    ],
)
def test_percentiles_are_measured_values(values: list[float], percent: float, expected: float | None) -> None:
    assert percentile(values, percent) == expected


def test_a_share_carries_its_interval() -> None:
    seen = share(95, 100)
    assert (seen["value"], seen["k"], seen["n"]) == (0.95, 95, 100)
    assert seen["low"] == pytest.approx(0.8882, abs=1e-3)
    assert share(0, 0)["value"] is None
