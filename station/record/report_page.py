"""The run report as one self-contained page, with plots from the stored rows. Knows the report's keys; no scripts, no state."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from station.datatypes import OutcomeKind
from station.record.plots import PALETTE, Axis, Columns, bars, columns, histogram
from station.record.rows import ItemRow
from station.record.run_report import latencies_to_scheduled_ms, percentile

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:82rem;padding:0 1.2rem;color:#222;background:#fff}"
    "h1{font-size:1.35rem;margin-bottom:.2rem}h2{font-size:1.02rem;margin:0 0 .5rem;border-bottom:1px solid #ccc}"
    "main{display:grid;grid-template-columns:repeat(auto-fit,minmax(22rem,1fr));gap:1.6rem 2.4rem;align-items:start}"
    "main.plots{grid-template-columns:repeat(auto-fit,minmax(min(34rem,100%),1fr));margin-bottom:1.6rem}"
    "section.wide{grid-column:1/-1}section{overflow-x:auto}"
    "table{border-collapse:collapse}td{padding:.12rem 1.1rem .12rem 0;vertical-align:top}"
    "td:not(:first-child){font-variant-numeric:tabular-nums}td:first-child{color:#555}"
    ".bad{background:#fff3d6;font-weight:600;padding:.3rem .6rem;border-left:4px solid #b45309}"
    ".tiles{display:flex;flex-wrap:wrap;gap:.8rem 2.2rem;margin:1rem 0 1.6rem}.tiles div{line-height:1.2}"
    ".tiles b{display:block;font-size:1.5rem;font-variant-numeric:tabular-nums}.tiles span{color:#555;font-size:.86rem}"
    "svg{max-width:100%;height:auto;font:12px system-ui,sans-serif;fill:#333}details{margin-top:1.8rem}"
    "@media print{details{display:none}main{display:block}section{break-inside:avoid;margin-bottom:1rem}}"
)
_SHARES = ("purity", "recovery", "false_eject_rate")
_OUTCOME_COLOURS = dict(zip((kind.value for kind in OutcomeKind), PALETTE, strict=False))
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
_MOST_STEPS = 60
NO_LABEL = "no label"
_GREY = "#d4d4d8"
_LABELS = (*PALETTE[4:], *PALETTE[:4])  # not the colours of the outcomes beside them


def report_page(values: dict[str, Any], started: str, rows: Sequence[ItemRow] = ()) -> str:
    items, truth = values["items"], values.get("truth") or {}
    bad = [] if values["ledger_balanced"] else ["The ledger does not add up."]
    bad += [
        f"{values[key]} {key.replace('_', ' ')}."
        for key in ("late_fires", "wrong_fires", "history_lost")
        if values.get(key)
    ]
    parts = [
        f"<h1>Run {values.get('run_id', '')}: {escape(str(values['status']))}</h1>",
        f"<p>{escape(started)}, {values['duration_s']} s, {escape(values['clock'])} time, "
        f"{escape(values['backend'])} on {escape(values['device'])}</p>",
        *(f'<p class="bad">{escape(line)}</p>' for line in bad),
        _tiles(values, truth),
        '<main class="plots">',
        *_plots(rows, measured=values["clock"] != "virtual"),
        "</main><main>",
        _section("Quality by item, Wilson 95 %", {name: _share(truth[name]) for name in _SHARES if name in truth}),
        _section("Items", {"total": items["total"], "in flight": items["in_flight"], **items["by_outcome"]}),
        _section("Labels", items["by_label"]),
        _section("Missed, by reason", items["missed_by_reason"]),
        _section("Unconfirmed, by reason", items["unconfirmed_by_reason"]),
        _section("Latency, ms", values.get("latency_ms") or {}),
        _section("Slack, ms", values.get("slack_ms") or {}),
        _section("Fire error, µs", values.get("fire_error_us") or {}),
        _section("Frames", values["frames"]),
        _section("Link", values["link"]),
        _incidents(values.get("incidents") or []),
        "</main>",
        f"<details><summary>Every parameter of the line</summary>{_section('Line', values.get('line') or {})}</details>",
    ]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Station run {values.get('run_id', '')}</title><style>{_STYLE}</style>" + "".join(parts) + "</html>\n"
    )


# -- plots -----------------------------------------------------------------------------------------------------------


def _plots(rows: Sequence[ItemRow], measured: bool) -> list[str]:
    """Without `measured`, computing time was charged by a table: a plot of it would look like a measurement."""
    latencies = latencies_to_scheduled_ms(rows) if measured else []
    slacks = [row.slack_ms for row in rows if row.slack_ms is not None]
    return [
        _plot("Outcomes over time", _over_time(rows)),
        _plot("Where items went, by label", _by_bin(rows)),
        _plot(
            f"Latency, capture to scheduled{_infinite(latencies)}",
            histogram("ms", latencies, _percentiles(latencies, (50, 99))),
        ),
        _plot("Slack: time left when a command was sent", histogram("ms", slacks, _percentiles(slacks, (1, 50)))),
    ]


def _over_time(rows: Sequence[ItemRow]) -> str:
    """Items by the moment of their outcome, in steps that make a readable number of columns."""
    settled = [(row.settled_utc_ns, row.outcome) for row in rows if row.settled_utc_ns is not None and row.outcome]
    if not settled:
        return ""
    first_ns, last_ns = min(at for at, _ in settled), max(at for at, _ in settled)
    span_s = (last_ns - first_ns) / 1e9
    step_s = next((step for step in _STEPS_S if span_s / step <= _MOST_STEPS), _STEPS_S[-1])
    counts: list[Counter[str]] = [Counter() for _ in range(int(span_s // step_s) + 1)]
    for at_ns, outcome in settled:
        counts[int((at_ns - first_ns) / 1e9 // step_s)][outcome] += 1
    unit_s, unit = (1, "seconds") if step_s < 60 else ((60, "minutes") if step_s < 3600 else (3600, "hours"))
    begin = datetime.fromtimestamp(first_ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%S")
    words = f"{unit} after {begin} UTC, {step_s // unit_s:g} per column"
    stacks = [{kind: count[kind] for kind in _OUTCOME_COLOURS} for count in counts]
    return columns(
        "Outcomes over time", Columns(Axis(words, 0, len(counts) * step_s / unit_s), stacks, _OUTCOME_COLOURS)
    )


def _by_bin(rows: Sequence[ItemRow]) -> str:
    """Ejected items by their bin; what no gate touched; what cannot be known."""
    found: dict[str, Counter[str]] = {}
    for row in rows:
        if row.outcome is None:
            continue
        place = {"ejected": f"ejected: {row.bin}", "unconfirmed": "not known"}.get(
            row.outcome, f"untouched, {row.outcome}"
        )
        found.setdefault(place, Counter())[row.label or NO_LABEL] += 1
    labels = sorted(
        {label for counter in found.values() for label in counter}, key=lambda label: (label == NO_LABEL, label)
    )
    colours = {label: _GREY if label == NO_LABEL else _LABELS[n % len(_LABELS)] for n, label in enumerate(labels)}
    return bars(
        "Where items went",
        {place: {label: found[place][label] for label in labels} for place in sorted(found)},
        colours,
    )


def _percentiles(values: Sequence[float], percents: Sequence[float]) -> dict[str, float]:
    """As marks; those of items that were never scheduled lie nowhere on the axis."""
    finite = [value for value in values if value != float("inf")]
    marks = {}
    for percent in percents:
        at = percentile(finite, percent)
        if at is not None:
            marks[f"p{percent:g} {at:.1f} ms"] = at
    return marks


def _infinite(latencies: Sequence[float]) -> str:
    count = sum(value == float("inf") for value in latencies)
    return f" (and {count} never, not drawn)" if count else ""


# -- words -----------------------------------------------------------------------------------------------------------


def _tiles(values: dict[str, Any], truth: dict[str, Any]) -> str:
    outcomes = values["items"]["by_outcome"]
    tiles = [(str(values["items"]["total"]), "items")]
    tiles += [(str(outcomes[kind.value]), kind.value) for kind in OutcomeKind]
    latency = (values.get("latency_ms") or {}).get("capture_to_scheduled", {})
    if latency.get("p99") is not None:
        tiles.append((f"{latency['p99']:.0f} ms", "latency p99"))
    for name in _SHARES:
        share = truth.get(name) or {}
        if share.get("value") is not None:
            tiles.append((f"{share['value']:.1%}", name.replace("_", " ")))
    inner = "".join(f"<div><b>{escape(figure)}</b><span>{escape(word)}</span></div>" for figure, word in tiles)
    return f'<div class="tiles">{inner}</div>'


def _plot(title: str, svg: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{svg}</section>" if svg else ""


def _incidents(incidents: Sequence[dict[str, Any]]) -> str:
    if not incidents:
        return ""
    rows = "".join(
        f"<tr><td>{incident['at_s']:.1f} s</td><td>{escape(str(incident['what']).replace('_', ' '))}</td>"
        f"<td>{_lasted(incident['for_s'])}</td>"
        f"<td>{escape(str(incident['reason']))}</td></tr>"
        for incident in incidents
    )
    return f'<section class="wide"><h2>Incidents: when, what, for how long</h2><table>{rows}</table></section>'


def _lasted(seconds: float | None) -> str:
    return "to the end" if seconds is None else f"{seconds:.1f} s"


def _section(title: str, values: dict[str, Any]) -> str:
    if not values:
        return ""
    rows = "".join(
        f"<tr><td>{escape(str(key).replace('_', ' '))}</td><td>{_cell(value)}</td></tr>"
        for key, value in values.items()
    )
    return f"<section><h2>{escape(title)}</h2><table>{rows}</table></section>"


def _cell(value: Any) -> str:
    if value == {}:
        return "none"
    if isinstance(value, dict):
        return ", ".join(f"{escape(str(key))} {_cell(inner)}" for key, inner in value.items())
    return "–" if value is None else escape(str(value))


def _share(share: dict[str, Any]) -> str:
    if share.get("value") is None:
        return "–"
    return f"{share['value']:.4f} ({share['low']:.4f} to {share['high']:.4f}; {share['k']} of {share['n']})"
