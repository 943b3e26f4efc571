"""The line process of wall time: belt, pictures, device and truth, apart from the station and outliving it.

`python -m station.simulation.process SPEC.json`. Commands come as JSON lines on stdin ({"command": "begin_feed" |
"stop_feed" | "finish"}), events go as JSON lines to stdout ("ready", "feeding", "ran_out", "finished"). When stdin ends
without "finish" the station is dead: the feed stops, the belt runs out, the truth is written all the same.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2

from station.clock import Clock, SystemClock
from station.errors import ControllerError, StationError
from station.simulation.belt import write_profile
from station.simulation.camera import FrameRingWriter
from station.simulation.faults import DEVICE_FAULTS, Fault
from station.simulation.launch import LineSpec
from station.simulation.line import VirtualLine
from station.simulation.verdict import write_line_record

PUBLISH_DELAY_NS = 1_000_000  # half the exposure and the read-out
RUN_OUT_NS = 300_000_000  # after the last item has passed: gates close, the device says so
DEVICE_START_S = 10.0
DEVICE_END_S = 3.0


class PermitWire:
    """The device's permit output, as its own record tells it: {"what": "permit", "on": true}. A boot lets go of it."""

    def __init__(self, record: Path) -> None:
        self._record = record
        self._read_bytes = 0

    def read(self) -> bool | None:
        """The newest word since the last look; None when nothing was said."""
        if not self._record.exists() or self._record.stat().st_size <= self._read_bytes:
            return None
        with self._record.open("rb") as file:
            file.seek(self._read_bytes)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read_bytes += len(whole) + len(newline)
        rows = [row for row in map(json.loads, whole.splitlines()) if row["what"] in ("permit", "boot")]
        return bool(rows[-1].get("on", False)) if rows else None


class LineProcess:
    def __init__(self, spec: LineSpec, clock: Clock) -> None:
        self._spec = spec
        self._clock = clock
        self._virtual = spec.config.virtual
        self._line = VirtualLine(spec.config, spec.options, clock.now_ns())
        self._line.warm_up()
        size = (self._virtual.width_px, self._virtual.height_px)
        self._rings = {
            camera.id: FrameRingWriter(spec.memory_of(camera.id), spec.bell_of(camera.id), *size)
            for camera in spec.config.cameras
        }
        self._permit = PermitWire(spec.out / "device.jsonl")
        self._device: subprocess.Popen[bytes] | None = None
        self._waiting_faults: list[Fault] = []
        self._heard = b""
        self._orphan = False
        self._finish = False
        self._said_ran_out = False

    def run(self) -> None:
        start_ns = self._clock.now_ns()
        self._line.start_belt(start_ns)
        self._write_belt()
        self._start_device()
        self._say("ready", start_ns=start_ns, pid=os.getpid(), device_pid=self._device.pid if self._device else None)
        frame_id = 0
        while not self._finish:
            captured_ns = start_ns + round(frame_id * 1e9 / self._virtual.fps)
            self._one_frame(frame_id, captured_ns)
            self._hear()
            self._play_device_faults()
            self._obey_permit()
            self._check_end()
            # A late line skips frames as a slow camera would, instead of falling ever farther behind.
            behind_ns = self._clock.now_ns() - captured_ns
            frame_id += max(1, int(behind_ns * self._virtual.fps / 1e9))
        self._end()

    def _one_frame(self, frame_id: int, captured_ns: int) -> None:
        """Draw what every camera will see at `captured_ns`, then publish it when that moment has passed."""
        shown = [one for one in self._rings if not self._line.camera_down(captured_ns, one)]
        for camera_id in shown:
            self._line.frame_at(captured_ns, camera_id, self._rings[camera_id].slot(frame_id))
        self._line.prepare(captured_ns)
        self._clock.sleep_ns(captured_ns + PUBLISH_DELAY_NS - self._clock.now_ns())
        for camera_id in shown:
            self._rings[camera_id].publish(frame_id, captured_ns)

    def _write_belt(self) -> None:
        write_profile(self._spec.belt_file, self._line.encoder, self._virtual.mm_per_count)

    # -- the station's words -----------------------------------------------------------------------------------------

    def _hear(self) -> None:
        if self._orphan:
            return
        ready, _, _ = select.select([0], [], [], 0)
        if not ready:
            return
        data = os.read(0, 65536)
        if not data:
            self._orphan = True
            self._line.stop_feed(self._clock.now_ns())
            self._finish = self._line.feed_start_ns is None
            return
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in lines:
            self._obey(json.loads(line)["command"])

    def _obey(self, command: str) -> None:
        now_ns = self._clock.now_ns()
        if command == "begin_feed" and self._line.feed_start_ns is None:
            self._line.begin_feed(now_ns)
            self._write_belt()
            faults = (fault for fault in self._spec.options.faults if fault.name in DEVICE_FAULTS)
            self._waiting_faults = sorted(faults, key=lambda fault: fault.at_s)
            self._say("feeding", feed_start_ns=now_ns, feed_end_ns=self._line.feed_end_ns)
        elif command == "stop_feed":
            self._line.stop_feed(now_ns)
        elif command == "finish":
            self._finish = True

    def _check_end(self) -> None:
        now_ns = self._clock.now_ns()
        if self._said_ran_out or self._line.feed_end_ns is None or now_ns < self._line.feed_end_ns:
            return
        gone_ns = self._line.gone_ns()
        if gone_ns is not None and now_ns > gone_ns + RUN_OUT_NS:
            self._said_ran_out = True
            self._say("ran_out", at_ns=now_ns)
            self._finish = self._finish or self._orphan

    # -- the device --------------------------------------------------------------------------------------------------

    def _start_device(self) -> None:
        """Start the C core's own process and wait until its port can be opened."""
        if not self._spec.device_argv:
            return
        argv = [
            word.replace("{belt}", str(self._spec.belt_file)).replace("{out}", str(self._spec.out))
            for word in self._spec.device_argv
        ]
        self._device = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._device.stdout is not None
        ready, _, _ = select.select([self._device.stdout], [], [], DEVICE_START_S)
        if not ready or not self._device.stdout.readline():
            raise ControllerError(f"virtual line: the device process does not start: {' '.join(argv)}")

    def _play_device_faults(self) -> None:
        """Hand a fault on when its time has come; the device plays it itself."""
        start_ns = self._line.feed_start_ns
        while start_ns is not None and self._waiting_faults:
            fault = self._waiting_faults[0]
            if self._clock.now_ns() < fault.start_ns(start_ns):
                return
            self._waiting_faults.pop(0)
            words = f"unplug {fault.for_s:.3f}" if fault.name == "cable" else fault.name
            if self._device is not None and self._device.stdin is not None and self._device.poll() is None:
                self._device.stdin.write(words.encode() + b"\n")
                self._device.stdin.flush()

    def _obey_permit(self) -> None:
        """The feeder hangs on the device's permit output."""
        permitted = self._permit.read()
        if permitted is not None:
            self._line.permit(permitted, self._clock.now_ns())

    def _end(self) -> None:
        if self._device is not None:
            self._device.terminate()
            try:
                self._device.wait(DEVICE_END_S)
            except subprocess.TimeoutExpired:
                self._device.kill()
                self._device.wait()
        end_ns = self._clock.now_ns()
        write_line_record(self._spec.out, self._line, end_ns)
        for camera_id, ring in self._rings.items():
            ring.close()
            self._spec.bell_of(camera_id).unlink(missing_ok=True)
        self._say("finished", end_ns=end_ns, device_code=self._device.returncode if self._device else None)

    def _say(self, event: str, **values: Any) -> None:
        line = json.dumps({"event": event, **values}).encode() + b"\n"
        try:
            os.write(1, line)
        except BrokenPipeError:
            self._orphan = True


def main(argv: list[str]) -> int:
    if len(argv) != 1:
        print("usage: python -m station.simulation.process SPEC.json", file=sys.stderr)
        return 2
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the station's business
    cv2.setNumThreads(1)
    spec = LineSpec.from_json(Path(argv[0]).read_text(encoding="utf-8"))
    try:
        LineProcess(spec, SystemClock()).run()
    except StationError as error:  # the station tells the operator; here nobody would read it
        os.write(1, json.dumps({"event": "failed", "message": str(error), "code": error.exit_code}).encode() + b"\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
