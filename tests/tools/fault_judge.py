"""What each fault of tests/tools/faults.py must look like, and the judgement of what was seen and kept of it. Pure.

Strict where the station has promised something, and open only where a reason is written beside it:

* `may_miss`: items that the fault itself costs, and only those near it: born at most `BEFORE_NS` before it begins (they are on
  their way to the gates) and `AFTER_NS` after it ends (link and tracks settle). A `late` item is allowed there too, up to
  `MOST_LATE`: the first pictures after a loss show items that are nearly at the gates.
* `ANYWHERE`: what a random feed brings on a healthy line too (an item spared for its neighbour), up to `MOST_ANYWHERE`.
* `may_stand`: alarms that count over the last minute, or over the last thousand items, and so cannot end within the seconds
  that are still fed. Every other alarm must have ended `WELL_WITHIN_MS` after the fault: 2 s to find the camera or the port
  again, 1 s of health before re-arming, 2 s until an alarm that is over returns, 1 s spare.
* Before the fault nothing may stand at all: on a machine too slow to sort nothing is shown about faults.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.tools.kill_station import rows
from tests.tools.onlooker import Sighting

S = 1_000_000_000
SHOWN_WITHIN_MS = 2000.0
WELL_WITHIN_MS = 6000.0
SETTLED_NS = 2 * S  # before the fault: the run has come this far and is judged to be well
BEFORE_NS = 2 * S  # camera to gates at 1 m/s, and the view
AFTER_NS = 2 * S
MOST_LATE = 3
ANYWHERE = frozenset({"neighbour", "refused_gate_limit"})
MOST_ANYWHERE = 0.05
LEAST_AGAIN = 5  # items fed after the fault, and ejected

LINK_REASONS = frozenset({"link", "refused_not_armed", "no_report", "not_permitted", "lost_track"})
VIEW_REASONS = frozenset({"lost_track", "not_permitted"})
BY_THE_MINUTE = frozenset({"missed_share_high", "diverts_refused", "diverts_unanswered"})
# An item without a look counts as infinitely late, and as not recognised.
BY_THE_ITEM = frozenset({"latency_high", "unsure_share_high"})


@dataclass(frozen=True, slots=True)
class Expected:
    """What one fault must look like."""

    page: str  # pattern of the words an operator reads
    incident: str  # pattern of a reason in the report's list of incidents
    may_miss: frozenset[str] = frozenset()  # reasons that items near it may have
    may_stand: frozenset[str] = frozenset()  # alarms
    for_s: float = 5.0
    stops_sorting: bool = True


EXPECTED: Mapping[str, Expected] = {
    "camera": Expected(
        "[Cc]amera (lost|.*gives no pictures|.*sends nothing)", "camera", VIEW_REASONS, BY_THE_MINUTE | BY_THE_ITEM
    ),
    "freeze": Expected("frozen", "frozen", VIEW_REASONS, BY_THE_MINUTE | BY_THE_ITEM),
    "cable": Expected(
        "check the cable|[Cc]ontroller does not answer|controller lost",
        "cable|does not answer",
        LINK_REASONS,
        BY_THE_MINUTE,
    ),
    "reboot": Expected("restarted", "restarted", LINK_REASONS, BY_THE_MINUTE, for_s=1.0),
    "disk": Expected("[Rr]ecords cannot be written", "cannot be written", stops_sorting=False),
    "gpu": Expected("[Rr]ecognition fails", "[Rr]ecognition fails", VIEW_REASONS, BY_THE_MINUTE | BY_THE_ITEM),
}


@dataclass(frozen=True, slots=True)
class Span:
    """When the fault lasted, and when the feed ended."""

    begin_ns: int
    end_ns: int
    fed_until_ns: int

    def near(self, at_ns: int) -> bool:
        return self.begin_ns - BEFORE_NS <= at_ns <= self.end_ns + AFTER_NS


@dataclass(frozen=True, slots=True)
class Lost:
    """Items without an end of their own, by reason: near the fault, and far from it."""

    near: dict[str, int] = field(default_factory=dict)
    far: dict[str, int] = field(default_factory=dict)


def on_page(seen: Sequence[Sighting], expected: Expected, span: Span) -> dict[str, Any]:
    def well(sighting: Sighting) -> bool:
        return sighting.sorts and not sighting.alarms - expected.may_stand

    before = [s for s in seen if s.at_ns < span.begin_ns]
    settled = [s for s in before if s.at_ns >= span.begin_ns - SETTLED_NS]
    shown = next((s for s in seen if s.at_ns >= span.begin_ns and re.search(expected.page, s.words)), None)
    later = [s for s in seen if span.end_ns <= s.at_ns < span.fed_until_ns]
    # Well for good: from the last sighting that was not, while things were still fed.
    ill = [n for n, sighting in enumerate(later) if not well(sighting)]
    again = later[ill[-1] + 1 :] if ill else later
    return {
        "ill_before": sorted(
            {f"alarm {name}" for s in settled for name in s.alarms} | {s.words for s in settled if not s.sorts}
        )[:5],
        "said_before": any(re.search(expected.page, s.words) for s in before),
        "shown_after_ms": None if shown is None else round((shown.at_ns - span.begin_ns) / 1e6),
        "shown_words": None if shown is None else shown.words,
        "well_after_ms": round((again[0].at_ns - span.end_ns) / 1e6) if again else None,
        "last_words": later[-1].words if later else None,
    }


def lost_items(items: Iterable[Mapping[str, Any]], span: Span) -> Lost:
    lost = Lost()
    for item in items:
        if item["outcome"] in ("missed", "unconfirmed"):
            by_reason = lost.near if span.near(item["born_ns"]) else lost.far
            by_reason[item["reason"]] = by_reason.get(item["reason"], 0) + 1
    return lost


def in_record(report: Mapping[str, Any], out: Path, span: Span) -> dict[str, Any]:
    items = rows(out / "items.jsonl")
    ejected = [item for item in items if item["outcome"] == "ejected"]
    lost = lost_items(items, span)
    return {
        "incidents": [f"{entry['what']}: {entry['reason']}" for entry in report.get("incidents") or []],
        "items": report["items"]["total"],
        "lost_near": lost.near,
        "lost_far": lost.far,
        "unseen": report["truth"]["unseen"],
        "ejected_before": sum(item["settled_ns"] < span.begin_ns for item in ejected),
        "ejected_during": sum(span.begin_ns <= item["settled_ns"] < span.end_ns for item in ejected),
        "born_and_ejected_after": sum(span.end_ns < item["born_ns"] < span.fed_until_ns for item in ejected),
        **{key: report[key] for key in ("status", "ledger_balanced", "late_fires", "wrong_fires", "history_lost")},
        "in_flight": report["items"]["in_flight"],
    }


def span_of(out: Path, name: str, at_s: float, for_s: float) -> Span:
    line = json.loads((out / "line.json").read_text())
    begin_ns = line["feed_start_ns"] + round(at_s * S)
    end_ns = begin_ns if name == "reboot" else begin_ns + round(for_s * S)
    return Span(begin_ns, end_ns, line["feed_end_ns"])


# -- what is wrong with a row ---------------------------------------------------------------------------------------------


def wrong_of(row: Mapping[str, Any], expected: Expected) -> list[str]:
    return [*_broken_promises(row), *_wrong_on_page(row), *_wrong_in_record(row, expected)]


def _broken_promises(row: Mapping[str, Any]) -> list[str]:
    good = {
        "ledger_balanced": True,
        "late_fires": 0,
        "wrong_fires": 0,
        "history_lost": 0,
        "in_flight": 0,
        "status": "completed",
    }
    return [f"{key} is {row[key]}" for key, value in good.items() if row[key] != value]


def _wrong_on_page(row: Mapping[str, Any]) -> list[str]:
    wrong = []
    if row["said_before"]:
        wrong.append("the page spoke of the fault before it happened")
    if row["ill_before"]:
        wrong.append(f"the line was not well before the fault: {'; '.join(row['ill_before'])}")
    if row["shown_after_ms"] is None or row["shown_after_ms"] > SHOWN_WITHIN_MS:
        wrong.append(f"not on the page within {SHOWN_WITHIN_MS:g} ms")
    if row["well_after_ms"] is None:
        wrong.append(f"the page did not say that all is well again; last: {row['last_words']}")
    elif row["well_after_ms"] > WELL_WITHIN_MS:
        wrong.append(f"well again after {row['well_after_ms']} ms, not within {WELL_WITHIN_MS:g}")
    return wrong


def _wrong_in_record(row: Mapping[str, Any], expected: Expected) -> list[str]:
    wrong = []
    if not any(re.search(expected.incident, incident) for incident in row["incidents"]):
        wrong.append("the report does not name the fault")
    if row["born_and_ejected_after"] < LEAST_AGAIN:
        wrong.append("it did not sort again")
    if not expected.stops_sorting and row["ejected_during"] < LEAST_AGAIN:
        wrong.append("it did not go on sorting")
    near, far = dict(row["lost_near"]), dict(row["lost_far"])
    anywhere = sum(found.pop(reason, 0) for found in (near, far) for reason in ANYWHERE)
    if anywhere > MOST_ANYWHERE * row["items"]:
        wrong.append(f"{anywhere} of {row['items']} items given up for neighbours or gate limits")
    late = near.pop("late", 0)
    if late > MOST_LATE:
        wrong.append(f"{late} items late near the fault, more than {MOST_LATE}")
    strange = {reason: count for reason, count in near.items() if reason not in expected.may_miss}
    if strange:
        wrong.append(f"items near the fault with another reason: {_counts(strange)}")
    if far:
        wrong.append(f"items far from the fault were lost: {_counts(far)}")
    return wrong


def _counts(found: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(found.items()))
