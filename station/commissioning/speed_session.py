"""Runs a speed check for real: a camera, and a controller whose port is moved by a thread of its own. Never arms.

The port needs its own thread: bytes are stamped when they are read, and a thread that waits for pictures reads late.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from firmware_bridge.messages import LinkState
from station.capture.camera import Camera
from station.clock import Clock, SystemClock
from station.commissioning.belt_speed import BeltSpeed, SpeedCheck
from station.commissioning.camera_probe import camera_from
from station.commissioning.port_checks import WiredController, candidates, open_controller
from station.commissioning.virtual_line import virtual_line
from station.config import CameraConfig, StationConfig
from station.errors import ControllerError
from station.worker import Worker

WAIT_S = 0.002
LONGEST_START_NS = 5_000_000_000


def measure_speed(
    config: StationConfig, camera: CameraConfig, source: str, port: str | None, duration_s: float
) -> BeltSpeed:
    """Raises CameraError, ControllerError, or StationError when there is too little to judge by."""
    clock = SystemClock()
    if (port == "virtual") > (source == "virtual"):
        raise ControllerError("--port virtual is the simulated line's controller: its camera is --camera virtual.")
    if source == "virtual":
        return _on_virtual_line(config, camera, port, duration_s)
    eye = camera_from(source, clock, camera)
    if port is None:
        return _watch(config, camera, eye, None, duration_s)
    found = candidates(port)
    if len(found) != 1:
        there = ", ".join(found) or "none is plugged in"
        raise ControllerError(f"--port {port}: name the one port to read ({there})")
    with closing(open_controller(found[0], config)) as controller, _moved(controller, clock):
        return _watch(config, camera, eye, controller, duration_s)


def _on_virtual_line(config: StationConfig, camera: CameraConfig, port: str | None, duration_s: float) -> BeltSpeed:
    """To practise: the simulated belt runs at virtual.speed_m_s, its encoder counts virtual.mm_per_count."""
    if port not in (None, "virtual"):
        raise ControllerError(f"--port {port}: with --camera virtual the encoder is --port virtual, or leave it out.")
    with virtual_line(config, camera) as line:
        if port is None:
            return _watch(config, camera, line.camera, None, duration_s)
        with closing(open_controller(line.port, config)) as controller, _moved(controller, SystemClock()):
            return _watch(config, camera, line.camera, controller, duration_s)


def _watch(
    config: StationConfig, camera: CameraConfig, eye: Camera, controller: WiredController | None, duration_s: float
) -> BeltSpeed:
    check = SpeedCheck(config, camera)
    info = eye.open()
    try:
        first_ns: int | None = None
        while (frame := eye.read()) is not None:
            first_ns = frame.captured_ns if first_ns is None else first_ns
            at = controller.count_at(frame.captured_ns) if controller is not None and info.live else None
            check.add(frame, None if at is None else at.count)
            if frame.captured_ns - first_ns > duration_s * 1e9:
                break
    finally:
        eye.close()
    return check.result()


@contextmanager
def _moved(controller: WiredController, clock: Clock) -> Iterator[None]:
    """The controller's port lives on its own thread until the end; begins when the clocks agree."""
    crashes: list[BaseException] = []

    def move() -> None:
        controller.wait(WAIT_S)
        controller.poll(clock.now_ns())

    worker = Worker("link", move, lambda _, error: crashes.append(error))
    worker.start()
    try:
        deadline_ns = clock.now_ns() + LONGEST_START_NS
        while controller.status().state is not LinkState.READY:
            if crashes or clock.now_ns() > deadline_ns:
                status = controller.status()
                why = str(crashes[0]) if crashes else f"the controller is {status.state.value}"
                raise ControllerError(f"{status.port}: {why}. `station doctor --port {status.port}` says more.")
            clock.sleep_ns(10_000_000)
        yield
    finally:
        worker.stop()
