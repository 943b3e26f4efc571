"""`station events` and `station report`: what is kept of the runs. Reads beside a running station, never writes."""

import csv
import io
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from station.cli.output import data, data_json, say, told
from station.clock import Clock, SystemClock
from station.errors import ConfigError
from station.events import Event, EventKind

if TYPE_CHECKING:
    from station.record.archive import Archive

FOLLOW_EVERY_NS = 500_000_000
_SPANS_NS = {"s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}

_SHARE_WORDS = {"purity": "purity", "recovery": "recovery", "false_eject_rate": "false ej."}

DirFlag = Annotated[
    Path | None, typer.Option("--dir", help="Record directory; default: the configuration's, else station-runs")
]
ConfigFlag = Annotated[Path | None, typer.Option("--config", help="Configuration file; default: the one that is found")]
JsonFlag = Annotated[bool, typer.Option("--json", help="JSON on stdout")]


def register(app: typer.Typer) -> None:
    app.command()(events)
    app.command()(report)


@told
def events(
    since: Annotated[str, typer.Option(help="10m, 2h, 3d, or 2026-01-31T12:00 (UTC)")] = "1d",
    types: Annotated[list[str] | None, typer.Option("--type", help="Only this kind; may be given again")] = None,
    run: Annotated[int | None, typer.Option(help="Only this run")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on as events come; Ctrl-C ends")] = False,
    directory: DirFlag = None,
    config: ConfigFlag = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Comma-separated, with a head")] = False,
) -> None:
    """What happened: states, link, alarms, operators, items that were missed."""
    from station.record.archive import open_archive

    if as_json and as_csv:
        raise ConfigError("--json and --csv: choose one")
    clock = SystemClock()
    kinds = [kind_named(name) for name in types or []]
    since_utc_ns = moment(since, clock.utc_ns())
    show = _csv_line if as_csv else (_json_line if as_json else _plain_line)
    if as_csv:
        data("utc,what,track_id,camera_id,detail")
    with open_archive(record_directory(directory, config)) as archive:
        last_id = 0
        while True:
            found = archive.events(since_utc_ns=since_utc_ns, kinds=kinds, after_id=last_id, run_id=run)
            for number, event in found:
                data(show(event))
                last_id = number
            if not follow:
                return
            _wait(clock)


@told
def report(
    run: Annotated[int | None, typer.Option(help="Number of the run; default: the newest")] = None,
    list_runs: Annotated[bool, typer.Option("--list", help="List the runs instead")] = False,
    html: Annotated[Path | None, typer.Option(help="Write the report as a page")] = None,
    directory: DirFlag = None,
    config: ConfigFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """The report of a run: items, outcomes, latency, link, truth where there is one."""
    from station.record.archive import open_archive

    with open_archive(record_directory(directory, config)) as archive:
        if list_runs:
            _give_list(archive, as_json)
            return
        found = archive.run(run)
        values = archive.report(found)
        rows = list(archive.items(found.run_id)) if html is not None else []
    if html is not None:
        from station.record.report_page import report_page

        page = report_page(values, utc_words(found.started_utc_ns), rows)
        try:
            html.write_text(page, encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"--html {html}: {error.strerror}. Name a file in a folder that you may write.") from None
        say(f"written: {html}")
    if as_json:
        data_json(values)
    elif html is None:
        data(in_words(values, utc_words(found.started_utc_ns)))


def record_directory(flag: Path | None, config: Path | None) -> Path:
    """Where the history is: flag, configuration, default."""
    from station.config import RecordConfig, config_home, find_config, load_config

    if flag is not None:
        return flag
    environ = config_home()
    path = find_config(config, environ)
    return Path(load_config(path, environ).record.directory if path is not None else RecordConfig().directory)


def kind_named(name: str) -> EventKind:
    try:
        return EventKind(name)
    except ValueError:
        known = ", ".join(kind.value for kind in EventKind)
        raise ConfigError(f"--type {name!r}: not a kind of event. Known: {known}.") from None


def moment(text: str, now_utc_ns: int) -> int:
    """`10m` ago, or a UTC date and time, as UTC ns."""
    span = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if span:
        return now_utc_ns - round(float(span[1]) * _SPANS_NS[span[2]])
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--since {text!r}: give a span (30s, 10m, 2h, 3d) or a time (2026-01-31T12:00).") from None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1e9)


def utc_words(utc_ns: int) -> str:
    whole_s, rest_ns = divmod(utc_ns, 10**9)
    return f"{datetime.fromtimestamp(whole_s, UTC):%Y-%m-%dT%H:%M:%S}.{rest_ns // 10**6:03d}Z"


def in_words(values: dict[str, Any], started: str) -> str:
    """The report for a person."""
    items = values["items"]
    outcomes = ", ".join(f"{count} {kind}" for kind, count in items["by_outcome"].items())
    lines = [
        f"run {values.get('run_id', '-')}, {values['status']}, from {started}, {values['duration_s']} s, "
        f"{values['clock']} time, {values['backend']} on {values['device']}",
        f"items     {items['total']}: {outcomes}, {items['in_flight']} in flight",
        f"ledger    {'balanced' if values['ledger_balanced'] else 'DOES NOT ADD UP'}",
    ]
    for kind in ("missed", "unconfirmed"):
        reasons = items[f"{kind}_by_reason"]
        if reasons:
            lines.append(f"{kind:<9} " + ", ".join(f"{count} {reason}" for reason, count in reasons.items()))
    latency = values.get("latency_ms")
    if latency and latency["capture_to_scheduled"]["p50"] is not None:
        from station.datatypes import ms_in_words

        scheduled = latency["capture_to_scheduled"]
        p50, p99 = (ms_in_words(scheduled[key], 1) for key in ("p50", "p99"))
        lines.append(f"latency   capture to scheduled p50 {p50} ms, p99 {p99} ms")
    if values["late_fires"] is not None:
        lines.append(f"gates     {values['late_fires']} late fires, {values['wrong_fires']} wrong fires")
    for name in _SHARE_WORDS:
        share = (values.get("truth") or {}).get(name)
        if share and share.get("value") is not None:
            lines.append(
                f"{_SHARE_WORDS[name]:<9} {share['value']:.3f} (95 %: {share['low']:.3f} to {share['high']:.3f}, "
                f"{share['k']} of {share['n']} items)"
            )
    return "\n".join(lines)


def _give_list(archive: "Archive", as_json: bool) -> None:
    from station.cli.output import table

    runs = archive.runs()
    if as_json:
        data_json(
            [
                {
                    "run_id": run.run_id,
                    "status": run.status,
                    "started_utc_ns": run.started_utc_ns,
                    "ended_utc_ns": run.ended_utc_ns,
                }
                for run in runs
            ]
        )
        return
    rows = [
        (
            run.run_id,
            run.status,
            utc_words(run.started_utc_ns),
            utc_words(run.ended_utc_ns) if run.ended_utc_ns else "-",
        )
        for run in runs
    ]
    data(table(("run", "status", "started", "ended"), rows))


def _plain_line(event: Event) -> str:
    item = f" item {event.track_id}" if event.track_id is not None else ""
    camera = f" {event.camera_id}" if event.camera_id else ""
    detail = "  " + ", ".join(f"{key} {value}" for key, value in event.detail.items()) if event.detail else ""
    return f"{utc_words(event.utc_ns)}  {event.what.value}{item}{camera}{detail}"


def _json_line(event: Event) -> str:
    return event.to_line()


def _csv_line(event: Event) -> str:
    out = io.StringIO()
    detail = json.dumps(event.detail, separators=(",", ":"))
    csv.writer(out, lineterminator="").writerow(
        [utc_words(event.utc_ns), event.what.value, event.track_id, event.camera_id, detail]
    )
    return out.getvalue()


def _wait(clock: Clock) -> None:
    clock.sleep_ns(FOLLOW_EVERY_NS)
