"""The simulated line for trying a calibration on a desk: its camera, and the port of its controller. Feeds at once.

Knows how to start and end the line's process; knows nothing of what is measured on it.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from station.capture.camera import Camera
from station.config import CameraConfig, StationConfig
from station.simulation.launch import LineHandle, LineSpec
from station.simulation.line import LineOptions

LONGEST_S = 3600.0


@dataclass(frozen=True, slots=True)
class VirtualLine:
    camera: Camera
    port: str


@contextmanager
def virtual_line(config: StationConfig, camera: CameraConfig) -> Iterator[VirtualLine]:
    """Raises ConfigError and ControllerError as the line says."""
    with tempfile.TemporaryDirectory(prefix="station-line-") as folder:
        out = Path(folder)
        device = (
            *(sys.executable, "-m", "firmware_bridge.virtual_device", "--profile", "{belt}"),
            *("--link", "{out}/device.port", "--gates", str(max(1, len(config.gates)))),
        )
        name = f"station-{uuid4().hex[:12]}"
        line = LineHandle(LineSpec(config, LineOptions(seed=1, for_s=LONGEST_S), out, name, device))
        try:
            line.wait_ready()
            line.begin_feed()
            yield VirtualLine(line.camera(camera), str(out / "device.port"))
        finally:
            if line.alive:
                line.finish()
