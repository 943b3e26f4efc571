"""The station's handle on the line process: start it, tell it when to feed, wait for its truth.

Nothing is shared but pictures in shared memory, files, and this pair of JSON-lines pipes.
"""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import sys
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any

from station.config import CameraConfig, StationConfig
from station.errors import ConfigError, ControllerError, StationError
from station.simulation.camera import SharedMemoryCamera
from station.simulation.faults import Fault, parse_fault
from station.simulation.line import LineOptions

READY_TIMEOUT_S = 60.0
ERROR_OF_CODE: dict[int, type[StationError]] = {2: ConfigError, 4: ControllerError}


@dataclass(frozen=True, slots=True)
class LineSpec:
    """Everything the line process is told at birth; crosses as one JSON file."""

    config: StationConfig
    options: LineOptions
    out: Path  # edges.jsonl, truth.jsonl, line.json and the belt profile go here
    shared_memory: str
    # The C device and its arguments; {belt} and {out} stand for the profile file and the folder. Empty: no device.
    device_argv: tuple[str, ...] = field(default=())

    @property
    def belt_file(self) -> Path:
        return self.out / "belt.profile"

    def bell_of(self, camera_id: str) -> Path:
        """A named pipe that rings with every frame of this camera."""
        return self.out / f"{camera_id}.bell"

    def memory_of(self, camera_id: str) -> str:
        """The name of the shared memory that this camera's frames cross in."""
        return f"{self.shared_memory}-{[camera.id for camera in self.config.cameras].index(camera_id)}"

    def to_json(self) -> str:
        options = self.options
        values: dict[str, Any] = {
            "config": self.config.model_dump(mode="json"),
            "options": {
                "seed": options.seed,
                "for_s": options.for_s,
                "items": None if options.items is None else str(options.items),
                "touching": options.touching,
                "faults": [str(fault) for fault in options.faults],
            },
            "out": str(self.out),
            "shared_memory": self.shared_memory,
            "device_argv": list(self.device_argv),
        }
        return json.dumps(values)

    @classmethod
    def from_json(cls, text: str) -> LineSpec:
        values = json.loads(text)
        options = values["options"]
        faults: tuple[Fault, ...] = tuple(parse_fault(fault) for fault in options["faults"])
        items = None if options["items"] is None else Path(options["items"])
        return cls(
            config=StationConfig.model_validate(values["config"]),
            options=LineOptions(options["seed"], options["for_s"], items, options["touching"], faults),
            out=Path(values["out"]),
            shared_memory=values["shared_memory"],
            device_argv=tuple(values["device_argv"]),
        )


class LineHandle:
    """A running line process. `events` so far are kept; each has a "event" key (see `process.py`)."""

    def __init__(self, spec: LineSpec) -> None:
        self.spec = spec
        self.events: list[dict[str, Any]] = []
        spec.out.mkdir(parents=True, exist_ok=True)
        spec_file = spec.out / "line-spec.json"
        spec_file.write_text(spec.to_json(), encoding="utf-8")
        # Its own session: Ctrl-C and a kill of the station's process group are not meant for the line.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "station.simulation.process", str(spec_file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._pending = b""

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> dict[str, Any]:
        return self.wait_for("ready", timeout_s)

    def camera(self, config: CameraConfig) -> SharedMemoryCamera:
        spec = self.spec
        return SharedMemoryCamera(spec.memory_of(config.id), spec.bell_of(config.id), config, spec.config.virtual.fps)

    def begin_feed(self) -> None:
        self._tell("begin_feed")

    def stop_feed(self) -> None:
        self._tell("stop_feed")

    def finish(self, timeout_s: float = 30.0) -> dict[str, Any]:
        """End the run now: stop the device, write truth.jsonl. Returns the "finished" event."""
        self._tell("finish")
        event = self.wait_for("finished", timeout_s)
        self._process.wait(timeout_s)
        self.close()
        return event

    def wait_for(self, name: str, timeout_s: float) -> dict[str, Any]:
        """The first event of this name, old or new. Raises what the line failed of, or ControllerError if it is silent."""
        while True:
            for event in self.events:
                if event["event"] == name:
                    return event
                if event["event"] == "failed":
                    raise ERROR_OF_CODE.get(event["code"], ControllerError)(event["message"])
            if not self.poll(timeout_s):
                state = "is silent" if self.alive else f"ended with code {self._process.returncode}"
                raise ControllerError(f"virtual line: no {name!r} within {timeout_s:g} s, its process {state}.")

    def poll(self, timeout_s: float = 0.0) -> bool:
        """Read what has been said. False when nothing came within the timeout or the line is gone."""
        said = self._process.stdout
        assert isinstance(said, BufferedReader)
        if said.closed:
            return False
        ready, _, _ = select.select([said], [], [], timeout_s)
        data = said.read1(65536) if ready else b""
        *lines, self._pending = (self._pending + data).split(b"\n")
        self.events += [json.loads(line) for line in lines]
        return bool(data)

    def abandon(self) -> None:
        """The way out of a failed start: nobody waits for its truth, but it stops its device and takes its memory along."""
        assert self._process.stdin is not None
        if not self._process.stdin.closed:
            with contextlib.suppress(ControllerError):  # it is gone already
                self._tell("finish")
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            self._process.wait(5.0)
        self.close()

    def close(self) -> None:
        """Let go of the pipes. A line that was not finished takes it for the station's death and ends by itself."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def wait_end(self, timeout_s: float) -> int:
        return self._process.wait(timeout_s)

    def _tell(self, command: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"command": command}).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise ControllerError(f"virtual line: its process ended with code {self._process.poll()}.") from error
