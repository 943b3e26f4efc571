"""A real host process is stopped or killed at work; what the device then did is read from the device's own record.

Slow: wall time, and a desk that may be busy gets patience. No moment is asserted but the order of things: the lease
is timed by the device's own clock, in virtual time, elsewhere.
"""

import json
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from station.clock import SystemClock
from station.simulation.belt import cruising, write_profile

pytestmark = pytest.mark.wall

PATIENCE_S = 30.0
ROOT = Path(__file__).parents[3]


def rows(path: Path) -> list[dict[str, Any]]:
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


@contextmanager
def running(*words: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.communicate()


class Desk:
    def __init__(self, folder: Path, device: "subprocess.Popen[str]") -> None:
        assert device.stdout is not None
        self.folder = folder
        self.port = str(json.loads(device.stdout.readline())["port"])

    def told(self, what: str) -> list[dict[str, Any]]:
        return [row for row in rows(self.folder / "device") if row["what"] == what]

    def edges(self) -> list[dict[str, Any]]:
        return rows(self.folder / "edges")

    def until(self, done: Any) -> None:
        end_s = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < end_s, "nothing happened"
            time.sleep(0.02)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    write_profile(tmp_path / "belt", cruising(SystemClock().now_ns(), speed_mm_s=0.0), mm_per_count=0.5)
    files = [f"--{name}={tmp_path / name}" for name in ("edges", "encoder", "device")]
    with running("firmware_bridge.virtual_device", f"--profile={tmp_path / 'belt'}", *files) as device:
        yield Desk(tmp_path, device)


def wait_armed(host: "subprocess.Popen[str]") -> None:
    assert host.stdout is not None
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        if select.select([host.stdout], [], [], 0.1)[0] and "armed" in json.loads(host.stdout.readline()):
            return
    raise AssertionError("never armed")


def assert_safe_since_the_lease_ended(desk: Desk, hit_ns: int) -> None:
    """Disarmed by the lease; from then on no output is on."""
    ends = [row for row in desk.told("disarmed") if row["at_ns"] > hit_ns]
    assert [row["reason"] for row in ends[:1]] in ([4], ["lease"])
    ended_us = ends[0]["at_us"]
    rearmed_us = min([row["at_us"] for row in desk.told("armed") if row["at_us"] > ended_us], default=2**63)
    after = [edge for edge in desk.edges() if ended_us < edge["at_us"] < rearmed_us]
    assert not [edge for edge in after if edge["on"]]
    on: set[int] = set()
    for edge in desk.edges():
        if edge["at_us"] < rearmed_us:
            (on.add if edge["on"] else on.discard)(edge["gate"])
    assert on == set()


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSTOP], ids=["kill -9", "SIGSTOP"])
def test_a_host_that_is_gone_leaves_closed_gates(desk: Desk, sign: signal.Signals) -> None:
    with running("tests.tools.lone_host", desk.port) as host:
        wait_armed(host)
        desk.until(lambda: sum(edge["on"] for edge in desk.edges()) >= 10)
        hit_ns = time.monotonic_ns()
        host.send_signal(sign)
        desk.until(lambda: any(row["at_ns"] > hit_ns for row in desk.told("disarmed")))
        time.sleep(0.5)
        assert_safe_since_the_lease_ended(desk, hit_ns)


def test_a_host_that_goes_on_after_a_second_is_armed_again_and_repeats_nothing(desk: Desk) -> None:
    with running("tests.tools.lone_host", desk.port) as host:
        wait_armed(host)
        desk.until(lambda: sum(edge["on"] for edge in desk.edges()) >= 10)
        hit_ns = time.monotonic_ns()
        host.send_signal(signal.SIGSTOP)
        time.sleep(1.0)
        host.send_signal(signal.SIGCONT)
        desk.until(lambda: len(desk.told("armed")) > 1)
        armed_ns = desk.told("armed")[-1]["at_ns"]
        desk.until(lambda: sum(edge["on"] for edge in desk.edges() if edge["at_ns"] > armed_ns) >= 5)
        host.kill()
        assert host.stdout is not None
        told = [json.loads(line) for line in host.stdout if line.endswith("}\n")]
        ends = [row["id"] for row in told if "id" in row]
        assert len(ends) == len(set(ends)), "a command has two ends"
        assert_safe_since_the_lease_ended(desk, hit_ns)
        fired = sum(row.get("end") == "Fired" for row in told)
        assert fired <= sum(edge["on"] for edge in desk.edges())


def test_a_new_host_after_a_killed_one_takes_the_device_over(desk: Desk) -> None:
    with running("tests.tools.lone_host", desk.port) as first:
        wait_armed(first)
        desk.until(lambda: sum(edge["on"] for edge in desk.edges()) >= 5)
        first.kill()
    with running("tests.tools.lone_host", desk.port) as second:
        wait_armed(second)
        desk.until(lambda: len(desk.told("armed")) == 2)
        before = sum(edge["on"] for edge in desk.edges())
        desk.until(lambda: sum(edge["on"] for edge in desk.edges()) >= before + 5)
