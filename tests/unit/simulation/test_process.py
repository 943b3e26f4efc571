"""The line process, for real: another process, shared memory, pipes, files. No timing is asserted, only order and content."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from station.config import CameraConfig, builtin_config, changed
from station.errors import ConfigError, ControllerError
from station.simulation.belt import read_profile
from station.simulation.faults import parse_fault
from station.simulation.launch import LineHandle, LineSpec
from station.simulation.line import LineOptions

pytestmark = pytest.mark.wall

SMALL = CameraConfig(width_px=320, height_px=200, mm_per_px=600 / 320)

# A device that writes down what it is told and where the belt file is, and ends when asked to or when its pipe ends.
DEVICE = """
import json, signal, sys
rows = open(sys.argv[2] + "/edges.jsonl", "a", buffering=1)
rows.write(json.dumps({"what": "boot", "boot_id": 1, "at_ns": 0, "belt": sys.argv[1]}) + "\\n")
def end(*_):
    rows.write(json.dumps({"ended": True}) + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("{}", flush=True)
for line in sys.stdin:
    rows.write(json.dumps({"told": line.strip()}) + "\\n")
end()
"""


def spec(out: Path, *faults: str, for_s: float = 0.6) -> LineSpec:
    virtual = {"width_px": 320, "height_px": 200, "gate_beyond_view_mm": 100.0, "speed_m_s": 2.0}
    return LineSpec(
        config=changed(builtin_config("virtual"), virtual=virtual),
        options=LineOptions(seed=2, for_s=for_s, faults=tuple(parse_fault(fault) for fault in faults)),
        out=out,
        shared_memory=f"station-test-{os.getpid()}-{out.name[-8:]}",
        device_argv=(sys.executable, "-c", DEVICE, "{belt}", "{out}"),
    )


@pytest.fixture
def handle(tmp_path: Path) -> Iterator[LineHandle]:
    made = LineHandle(spec(tmp_path, "cable@0.1+0.3", "belt-slow@0.2+0.2"))
    yield made
    if made.alive:
        made.abandon()
    made.close()


def rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_spec_crosses_as_text(tmp_path: Path) -> None:
    made = spec(tmp_path, "cable@1+2", "belt-stop@3+5")
    assert LineSpec.from_json(made.to_json()) == made


def test_a_run_from_feed_to_truth(handle: LineHandle, tmp_path: Path) -> None:
    ready = handle.wait_ready()
    camera = handle.camera(SMALL)
    camera.open()
    handle.begin_feed()
    frames = [camera.read() for _ in range(5)]
    stamps = [frame.captured_ns for frame in frames if frame is not None]
    assert stamps == sorted(stamps)
    assert all(stamp <= time.monotonic_ns() for stamp in stamps)
    handle.wait_for("ran_out", 20.0)
    camera.close()
    finished = handle.finish()
    assert finished["device_code"] == 0
    truth = rows(tmp_path / "truth.jsonl")
    assert 3 <= len(truth) <= 7  # 10 a second at cruise, half of it while the belt is slow
    assert not any(row["on_belt"] for row in truth)
    told = [row["told"] for row in rows(tmp_path / "edges.jsonl") if "told" in row]
    assert told == ["unplug 0.300"]
    belt, mm_per_count = read_profile(tmp_path / "belt.profile")
    assert (mm_per_count, len(belt.segments)) == (0.5, 4)  # cruise, ramp down, ramp up before it is slow, cruise
    assert belt.segments[0].t_ns == ready["start_ns"]
    assert not (tmp_path / "frames.bell").exists()


def test_the_line_outlives_a_killed_station_and_writes_its_truth(tmp_path: Path) -> None:
    made = LineHandle(spec(tmp_path, for_s=60.0))
    made.wait_ready()
    made.begin_feed()
    made.wait_for("feeding", 10.0)
    made.close()  # all that a killed station leaves behind: two closed pipes
    made.wait_end(20.0)
    assert rows(tmp_path / "edges.jsonl")[-1] == {"ended": True}
    assert (tmp_path / "truth.jsonl").exists()
    facts = json.loads((tmp_path / "line.json").read_text())
    assert facts["feed_end_ns"] - facts["feed_start_ns"] < 60e9


def test_a_line_whose_station_died_before_the_feed_ends_at_once(tmp_path: Path) -> None:
    made = LineHandle(spec(tmp_path))
    made.wait_ready()
    made.close()
    made.wait_end(20.0)
    assert rows(tmp_path / "truth.jsonl") == []


def test_a_line_that_is_abandoned_stops_its_device_and_leaves_nothing_behind(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made = LineHandle(spec(tmp_path, for_s=60.0))
    made.wait_ready()
    made.begin_feed()
    made.abandon()
    assert not made.alive
    assert rows(tmp_path / "edges.jsonl")[-1] == {"ended": True}
    assert not (tmp_path / "frames.bell").exists()
    assert capfd.readouterr().err == ""
    made.abandon()  # a second time changes nothing


def test_a_line_that_dies_is_reported_in_words(tmp_path: Path) -> None:
    made = LineHandle(spec(tmp_path))
    made.wait_ready()
    os.kill(made.pid, signal.SIGTERM)
    made.wait_end(20.0)
    with pytest.raises(ControllerError, match="ended with code"):
        made.wait_for("finished", 1.0)
    made.close()


def test_what_the_line_cannot_start_with_is_said_as_the_station_would_say_it(tmp_path: Path) -> None:
    empty = tmp_path / "pictures"
    empty.mkdir()
    base = spec(tmp_path)
    made = LineHandle(replace(base, options=replace(base.options, items=empty)))
    with pytest.raises(ConfigError, match="no pictures in class folders"):
        made.wait_ready()
    made.wait_end(20.0)
    made.close()
