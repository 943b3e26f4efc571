"""The newest state as Prometheus text (exposition format 0.0.4). Knows the state's keys and nothing else.

Units are base units (seconds, metres): that is Prometheus' custom, and its names say so.
"""

from collections.abc import Iterator
from typing import Any

Sample = tuple[str, str, str, dict[str, str], float | int | None]  # name, type, help, labels, value


def metrics_text(state: dict[str, Any], viewers: int) -> str:
    lines: list[str] = []
    described: set[str] = set()
    for name, kind, help_text, labels, value in _samples(state, viewers):
        if value is None:
            continue
        if name not in described:
            described.add(name)
            lines += [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"]
        marks = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        lines.append(f"{name}{{{marks}}} {value}" if marks else f"{name} {value}")
    return "\n".join(lines) + "\n"


def _samples(state: dict[str, Any], viewers: int) -> Iterator[Sample]:
    age_ms, gone = state.get("age_ms"), state.get("station_gone", False)
    up = int(age_ms is not None and age_ms < 2000 and not gone)
    yield "station_up", "gauge", "1 while the station tells the panel its state", {}, up
    yield "station_panel_viewers", "gauge", "browsers with a live picture", {}, viewers
    machine = state.get("machine", {})
    name = str(machine.get("state", ""))
    yield "station_machine_state", "gauge", "PackTags number of the state", {"state": name}, machine.get("number")
    counts = state.get("counts", {})
    yield from _outcomes(counts)
    yield "station_items_in_flight", "gauge", "items without an outcome yet", {}, counts.get("in_flight")
    for percentile, value_ms in _numbers(state.get("latency_ms")):
        labels = {"quantile": percentile}
        yield "station_capture_to_scheduled_seconds", "gauge", "capture to command sent", labels, value_ms / 1000
    for percentile, value_ms in _numbers(state.get("slack_ms")):
        yield "station_slack_seconds", "gauge", "time to spare when sent", {"quantile": percentile}, value_ms / 1000
    yield from _parts(state)


def _outcomes(counts: dict[str, Any]) -> Iterator[Sample]:
    name, help_text = "station_items_total", "items by what became of them"
    for outcome in ("ejected", "passed"):
        yield name, "counter", help_text, {"outcome": outcome, "reason": "none"}, counts.get(outcome)
    for outcome in ("missed", "unconfirmed"):
        for reason, count in (counts.get(f"{outcome}_by_reason") or {}).items():
            yield name, "counter", help_text, {"outcome": outcome, "reason": str(reason)}, count


def _parts(state: dict[str, Any]) -> Iterator[Sample]:
    link = state.get("link") or {}
    ready = int(link.get("state") in ("ready", "armed")) if link else None
    yield "station_link_ready", "gauge", "1 while the controller answers", {}, ready
    belt = state.get("belt") or {}
    yield "station_belt_speed_metres_per_second", "gauge", "belt speed", {}, belt.get("speed_m_s")
    for camera in state.get("cameras") or ():
        labels = {"camera": str(camera.get("id"))}
        live = camera.get("live")
        yield "station_camera_live", "gauge", "1 while frames arrive", labels, None if live is None else int(live)
        yield "station_camera_frames_per_second", "gauge", "measured frame rate", labels, camera.get("fps")
        yield "station_camera_dropped_total", "counter", "frames dropped", labels, camera.get("dropped")
    alarms = [alarm for alarm in state.get("alarms") or () if alarm.get("active")]
    yield "station_alarms_active", "gauge", "alarms that are active", {}, len(alarms)


def _numbers(values: dict[str, Any] | None) -> Iterator[tuple[str, float]]:
    """{"p50": 31.0} as ("0.5", 31.0); anything that is no number is left out."""
    for key, value in (values or {}).items():
        if key.startswith("p") and key[1:].isdigit() and isinstance(value, (int, float)):
            yield str(int(key[1:]) / 100), float(value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
