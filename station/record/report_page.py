"""The run report as one self-contained page. Knows the report's keys; no scripts, no network, no state."""

from html import escape
from typing import Any

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:62rem;padding:0 1rem;color:#222;background:#fff}"
    "h1{font-size:1.3rem}h2{font-size:1.05rem;margin-top:1.6rem;border-bottom:1px solid #ccc}"
    "table{border-collapse:collapse}td,th{padding:.15rem .9rem .15rem 0;text-align:left;vertical-align:top}"
    "td:not(:first-child){font-variant-numeric:tabular-nums}.bad{background:#fff3d6;font-weight:600}"
)
_SHARES = ("purity", "recovery", "false_eject_rate")


def report_page(values: dict[str, Any], started: str) -> str:
    items, truth = values["items"], values.get("truth") or {}
    bad = [] if values["ledger_balanced"] else ["The ledger does not add up."]
    bad += [f"{values[key]} {key.replace('_', ' ')}." for key in ("late_fires", "wrong_fires") if values.get(key)]
    parts = [
        f"<h1>Run {values.get('run_id', '')}: {escape(str(values['status']))}</h1>",
        f"<p>{escape(started)}, {values['duration_s']} s, {escape(values['clock'])} time, "
        f"{escape(values['backend'])} on {escape(values['device'])}</p>",
        *(f'<p class="bad">{escape(line)}</p>' for line in bad),
        _section("Items", {"total": items["total"], "in flight": items["in_flight"], **items["by_outcome"]}),
        _section("Labels", items["by_label"]),
        _section("Missed, by reason", items["missed_by_reason"]),
        _section("Unconfirmed, by reason", items["unconfirmed_by_reason"]),
        _section("Quality by item, Wilson 95 %", {name: _share(truth[name]) for name in _SHARES if name in truth}),
        _section("Latency, ms", values.get("latency_ms") or {}),
        _section("Slack, ms", values.get("slack_ms") or {}),
        _section("Fire error, µs", values.get("fire_error_us") or {}),
        _section("Frames", values["frames"]),
        _section("Link", values["link"]),
        _section("Line", values.get("line") or {}),
    ]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Station run</title><style>{_STYLE}</style>'
        + "".join(parts)
        + "</html>\n"
    )


def _section(title: str, values: dict[str, Any]) -> str:
    if not values:
        return ""
    rows = "".join(
        f"<tr><td>{escape(str(key).replace('_', ' '))}</td><td>{_cell(value)}</td></tr>"
        for key, value in values.items()
    )
    return f"<h2>{escape(title)}</h2><table>{rows}</table>"


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{escape(str(key))} {_cell(inner)}" for key, inner in value.items())
    return "–" if value is None else escape(str(value))


def _share(share: dict[str, Any]) -> str:
    if share.get("value") is None:
        return "–"
    return f"{share['value']:.4f} ({share['low']:.4f} to {share['high']:.4f}; {share['k']} of {share['n']})"
