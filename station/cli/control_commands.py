"""`station status|start|hold|stop|reset|clear` and `station alarms`: the page's buttons for a terminal.

A command is sent, then the state is watched until it is what was asked for: what is told is what happened, not what was wished.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from station.cli import output
from station.cli.demo_commands import seconds
from station.cli.station_client import Station, find_station
from station.clock import SystemClock
from station.config import config_home
from station.errors import ConfigError, StationError

HttpFlag = Annotated[str | None, typer.Option("--http", help="HOST:PORT of the page; default: the station found here")]
TokenFlag = Annotated[Path | None, typer.Option("--token-file", help="Token file of that page")]
ConfigFlag = Annotated[Path | None, typer.Option("--config", help="Configuration of the station to talk to")]
JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON object on stdout")]

LONGEST_WAIT_NS = 5_000_000_000
LOOK_AGAIN_NS = 50_000_000
STALE_MS = 3000.0

# Where each command leads when it is taken, and what to do first where the machine does not take it.
WANTED = {
    "start": ("Execute",),
    "hold": ("Held",),
    "stop": ("Stopped",),
    "reset": ("Idle",),
    "clear": ("Stopped",),
}
BY_ORDER = "hold by "  # how the machine begins the reason of an operator's HOLD
FIRST = {
    ("start", "Stopped"): "station reset",
    ("start", "Aborted"): "station clear",
    ("reset", "Aborted"): "station clear",
    ("reset", "Execute"): "station stop",
    ("reset", "Held"): "station stop",
    ("reset", "Idle"): "station start: it is reset already",
}

alarms_app = typer.Typer(no_args_is_help=True, help="Alarms of a running station: list, acknowledge, shelve.")


def register(app: typer.Typer) -> None:
    app.command()(status)
    for name, words in (
        ("start", "Start sorting (after a reset, or after a hold)."),
        ("hold", "Hold: the feeder stops, the belt runs out, decided items still fire."),
        ("stop", "STOP: outputs off at once. This is no emergency stop: that is a wire."),
        ("reset", "Reset after a stop: ready to start."),
        ("clear", "Clear after an abort or a fault."),
    ):
        app.command(name, help=words)(_command(name))
    app.add_typer(alarms_app, name="alarms")


@output.told
def status(
    http: HttpFlag = None, token_file: TokenFlag = None, config: ConfigFlag = None, as_json: JsonFlag = False
) -> None:
    """State, link, counts and alarms of a running station. Exit 1 when what it says is old."""
    station = find_station(http, token_file, config, config_home())
    state = station.get("/api/v1/state")
    output.give({"schema": "station.status/1", "url": station.url, **state}, status_text(state), as_json)
    if _is_stale(state):
        output.say(f"station: this is {_age(state)} old; the station may hang. Look at it.")
        raise typer.Exit(output.CHECK_FAILED)


def _command(name: str) -> Callable[..., None]:
    @output.told
    def act(
        http: HttpFlag = None, token_file: TokenFlag = None, config: ConfigFlag = None, as_json: JsonFlag = False
    ) -> None:
        station = find_station(http, token_file, config, config_home())
        output.say(f"{name}: {station.name or 'station'} at {station.url}")  # found, perhaps not the one that was meant
        before = _stopped_at_once(station) if name == "stop" else _asked(station, name)
        after = _watch(station, name, before)
        answer = {
            "schema": "station.command/1",
            "command": name,
            "url": station.url,
            "before": before,
            **_short(after),
        }
        output.give(answer, f"{before} -> {after['state']}: {after.get('reason', '')}", as_json)
        if not _is_done(name, after):
            remedy = FIRST.get((name, after["state"]))
            hint = f" Try `{remedy}`." if remedy else ""
            raise StationError(f"{name}: the machine is {after['state']} ({after.get('reason', '')}).{hint}")

    return act


@alarms_app.command("list")
@output.told
def list_alarms(
    http: HttpFlag = None, token_file: TokenFlag = None, config: ConfigFlag = None, as_json: JsonFlag = False
) -> None:
    """Every alarm that wants attention, worst first, with what to do."""
    station = find_station(http, token_file, config, config_home())
    found = station.get("/api/v1/alarms").get("alarms", [])
    output.give({"schema": "station.alarms/1", "alarms": found}, alarms_text(found), as_json)


@alarms_app.command("ack")
@output.told
def acknowledge(
    alarm: Annotated[str, typer.Argument(help="Name from `station alarms list`, or all")],
    http: HttpFlag = None,
    token_file: TokenFlag = None,
    config: ConfigFlag = None,
) -> None:
    """Say that an alarm was seen."""
    station = find_station(http, token_file, config, config_home())
    listed = station.get("/api/v1/alarms").get("alarms", [])
    names = [str(each["alarm_id"]) for each in listed if not each.get("acknowledged")] if alarm == "all" else [alarm]
    for name in names:
        _must_be_listed(name, listed)
        station.command("acknowledge", alarm=name)
        output.data(f"acknowledged: {name}")


@alarms_app.command()
@output.told
def shelve(
    alarm: Annotated[str, typer.Argument(help="Name from `station alarms list`")],
    for_: Annotated[str, typer.Option("--for", help="How long: 30m, 2h; at most 8h")],
    http: HttpFlag = None,
    token_file: TokenFlag = None,
    config: ConfigFlag = None,
) -> None:
    """Hide an alarm for a time; it asks again if it is still true then."""
    minutes = seconds(for_) / 60
    if not 0 < minutes <= 480:
        raise ConfigError(f"--for {for_}: at most 8h; an alarm that is never wanted belongs out of the configuration")
    station = find_station(http, token_file, config, config_home())
    _must_be_listed(alarm, station.get("/api/v1/alarms").get("alarms", []))
    station.command("shelve", alarm=alarm, minutes=minutes)
    output.data(f"shelved for {minutes:g} min: {alarm}")


@alarms_app.command()
@output.told
def unshelve(
    alarm: Annotated[str, typer.Argument(help="Name from `station alarms list`")],
    http: HttpFlag = None,
    token_file: TokenFlag = None,
    config: ConfigFlag = None,
) -> None:
    """Show a shelved alarm again."""
    station = find_station(http, token_file, config, config_home())
    _must_be_listed(alarm, station.get("/api/v1/alarms").get("alarms", []))
    station.command("unshelve", alarm=alarm)
    output.data(f"shown again: {alarm}")


def _stopped_at_once(station: Station) -> str:
    """STOP asks nothing first, not even whether the station seems well. The state it was given in."""
    return str(station.command("stop").get("state") or "unknown")


def _asked(station: Station, name: str) -> str:
    """Any other command: only to a station that answers, and void when it arrives late. The state it was given in."""
    clock = SystemClock()
    state = _fresh_state(station)
    heard_ns = clock.now_ns()
    before = str((state.get("machine") or {}).get("state", "unknown"))
    station.command(name, asked_ns=int(state["sent_ns"]) + clock.now_ns() - heard_ns)
    return before


def _must_be_listed(alarm: str, listed: list[dict[str, Any]]) -> None:
    names = [str(each.get("alarm_id")) for each in listed]
    if alarm not in names:
        raise ConfigError(f"no alarm {alarm!r} in the list; there are: {', '.join(names) or 'none'}")


def _fresh_state(station: Station) -> dict[str, Any]:
    state = station.get("/api/v1/state")
    if _is_stale(state):
        raise StationError(f"{station.url}: its state is {_age(state)} old; the station may hang. Use the wired stop.")
    return state


def _machine(station: Station) -> dict[str, Any]:
    return dict(_fresh_state(station).get("machine") or {"state": "unknown"})


def _is_done(name: str, machine: dict[str, Any]) -> bool:
    """A line that a loss holds is Held, too, and goes on by itself: HOLD is done when the hold is somebody's order."""
    ordered = name != "hold" or str(machine.get("reason", "")).startswith(BY_ORDER)
    return machine["state"] in WANTED[name] and ordered


def _watch(station: Station, name: str, before: str) -> dict[str, Any]:
    """The machine once it is where it should be, or after the longest wait, or once it clearly rests elsewhere."""
    clock = SystemClock()
    begun_ns = clock.now_ns()
    while True:
        machine = _machine(station)
        waited_ns = clock.now_ns() - begun_ns
        rests = machine["state"] == before and waited_ns > LONGEST_WAIT_NS // 5
        if _is_done(name, machine) or rests or waited_ns > LONGEST_WAIT_NS:
            return machine
        clock.sleep_ns(LOOK_AGAIN_NS)


def _short(machine: dict[str, Any]) -> dict[str, Any]:
    return {"after": machine["state"], "reason": machine.get("reason", "")}


def _is_stale(state: dict[str, Any]) -> bool:
    age_ms = state.get("age_ms")
    return bool(state.get("station_gone")) or age_ms is None or age_ms > STALE_MS


def _age(state: dict[str, Any]) -> str:
    age_ms = state.get("age_ms")
    return "of unknown age and" if age_ms is None else f"{age_ms / 1000:.1f} s"


def status_text(state: dict[str, Any]) -> str:
    """A dozen lines for a person."""
    machine, counts = state.get("machine") or {}, state.get("counts") or {}
    latency = state.get("latency_ms") or {}
    lines = [
        f"{state.get('station', 'station')}: {machine.get('state', 'unknown')} ({machine.get('reason', '')})"
        + (", NO DIVERTS SENT" if (state.get("mode") or {}).get("no_diverts") else "")
        + (", SIMULATION" if (state.get("mode") or {}).get("simulation") else ""),
        _link_line(state.get("link")),
        *(_camera_line(camera) for camera in state.get("cameras") or ()),
    ]
    outcomes = ("ejected", "passed", "missed", "unconfirmed", "in_flight")
    lines.append(
        f"items      {counts.get('total', 0)}: "
        + ", ".join(f"{counts.get(name, 0)} {name.replace('_', ' ')}" for name in outcomes)
    )
    if latency.get("p99") is not None:
        from station.datatypes import ms_in_words

        p50, p99 = (ms_in_words(latency[key]) for key in ("p50", "p99"))
        lines.append(f"latency    {p50} ms p50, {p99} ms p99, budget {latency['budget']:g} ms")
    return "\n".join([*lines, alarms_text(state.get("alarms") or [])])


def _link_line(link: dict[str, Any] | None) -> str:
    if link is None:
        return "controller none: observing only"
    return f"controller {link.get('state')} {link.get('port') or link.get('detail') or ''}".rstrip()


def _camera_line(camera: dict[str, Any]) -> str:
    fps = camera.get("fps")
    rate = "" if fps is None else f" {fps:.1f} fps,"
    return f"camera     {camera.get('id')}:{rate} {'live' if camera.get('live') else 'NO PICTURES'}"


def alarms_text(alarms: list[dict[str, Any]]) -> str:
    if not alarms:
        return "no alarms"
    lines = []
    for alarm in alarms:
        marks = [
            "active" if alarm.get("active") else "gone",
            "acknowledged" if alarm.get("acknowledged") else "not acknowledged",
            *(["shelved"] if alarm.get("shelved") else []),
        ]
        lines.append(
            f"alarm {alarm.get('priority', '-')}    {alarm.get('alarm_id')}: {alarm.get('text')} ({', '.join(marks)})"
        )
        if alarm.get("action"):
            lines.append(f"           do: {alarm['action']}")
    return "\n".join(lines)
