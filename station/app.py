"""Builds the parts that sort from a configuration: model, spotters, loop, controller. Knows their constructors, not their work.

Cameras are made in commissioning/camera_probe.py, viewers in screen.py, simulated parts in the simulation.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2

from firmware_bridge.conversation import SessionSettings
from firmware_bridge.errors import ConfigRefused
from firmware_bridge.link import SerialController, WireTap
from firmware_bridge.messages import DeviceConfig, GateConfig
from firmware_bridge.serial_port import PortSettings, SerialTransport
from firmware_bridge.session import Session
from station.capture.camera import CameraInfo
from station.clock import Clock
from station.config import RELAY, BeltConfig, CameraConfig, SortConfig, StationConfig
from station.errors import ConfigError
from station.machine import Machine
from station.perception import Eye, Recogniser
from station.pipeline import SortLoop
from station.tracking.spotter import Spotter, ViewConfig
from station.tracking.tracker import TrackIds
from station.tracking.view import View

if TYPE_CHECKING:  # torch takes seconds to import, and what only builds a device's configuration needs none
    from firmware_bridge.relay_board import RelayBoard
    from station.recognition.classifier import Classifier


@dataclass(frozen=True, slots=True)
class Brain:
    """What looks at items: the classifier and what the report says of it."""

    recogniser: Recogniser
    backend: str
    device: str
    notes: tuple[str, ...] = ()
    classifier: "Classifier | None" = None  # the real one, for classifying pictures outside the line


SWITCH_INTERVAL_S = 0.0005  # a wake-up beside a busy thread took 6.5 ms (p99) at Python's default, 0.8 ms so


def set_thread_counts(threads: int) -> None:
    """Once per process: libraries that each take every core slow each other down, and so does a long switch interval."""
    import torch

    sys.setswitchinterval(SWITCH_INTERVAL_S)
    cv2.setNumThreads(1)
    torch.set_num_threads(threads)


def build_brain(config: StationConfig) -> Brain:
    """Load, prove and warm the model. Raises ModelError."""
    from station.recognition.artifact import load_artifact
    from station.recognition.backends.choice import choose_backend
    from station.recognition.classifier import Classifier

    recognition = config.recognition
    loaded = load_artifact(recognition.model)
    check_labels(config.sort, loaded.info.classes)
    chosen = choose_backend(
        recognition.backend, loaded, threads=recognition.threads, sizes=tuple(recognition.batch_sizes)
    )
    classifier = Classifier(chosen.backend, loaded.info, recognition.crop_margin)
    return Brain(classifier, classifier.backend_name, classifier.device, chosen.passed_over, classifier)


def check_labels(sort: SortConfig, classes: Sequence[str]) -> None:
    """Every label the sort program names must be one the model can give."""
    unknown = sorted(set(sort.labels) - set(classes))
    if unknown:
        raise ConfigError(
            f"sort.labels: the model never says {', '.join(unknown)}; it knows {', '.join(classes)}. "
            "Correct the sort program or choose another model."
        )


@dataclass(frozen=True, slots=True)
class Eyesight:
    """One camera's two halves, each with one owner: the spotter its thread's, the view the sort loop's."""

    spotter: Spotter
    view: View


def build_eyesight(config: StationConfig, start_ns: int, speed_from_picture: bool = False) -> dict[str, Eyesight]:
    """By camera; track ids are the station's. `start_ns`: where belt travel without an encoder is zero."""
    ids = TrackIds()
    eyesight = {}
    for camera in config.cameras:
        view_config = ViewConfig(
            camera,
            config.belt,
            config.detector,
            speed_from_picture,
            find_direction=speed_from_picture,
            start_ns=start_ns,
        )
        eyesight[camera.id] = Eyesight(Spotter(view_config), View(view_config, ids))
    return eyesight


def views_of(eyesight: Mapping[str, Eyesight]) -> dict[str, Eye]:
    return {camera_id: one.view for camera_id, one in eyesight.items()}


def spotters_of(eyesight: Mapping[str, Eyesight]) -> dict[str, Spotter]:
    return {camera_id: one.spotter for camera_id, one in eyesight.items()}


def open_serial_controller(config: StationConfig, port: str, tap: WireTap | None = None) -> SerialController:
    """A microcontroller on a serial port (a pseudo-terminal too); opened by the first poll."""
    link = config.link
    settings = PortSettings(link.baud) if link.dtr is None else PortSettings(link.baud, link.dtr)
    session = Session(SessionSettings(sync_bound_us=link.max_sync_bound_us))
    controller = SerialController(SerialTransport(port, settings), session, tap)
    controller.configure(device_config(config))
    return controller


def open_relay_board(config: StationConfig, port: str, tap: WireTap | None = None) -> "RelayBoard":
    """A Modbus RTU relay board on a serial port; opened by the first poll. Raises ConfigError for what it cannot keep."""
    if config.link.relay is None:
        raise ConfigError(f"{RELAY}{port} without [link.relay]: it must say where the board's watchdog register is.")
    try:
        from firmware_bridge.relay_board import RelayBoard
        from firmware_bridge.relay_session import RelaySettings
    except ImportError as error:
        raise ConfigError(f"{RELAY}{port}: {error}. A relay board needs the package: pip install pymodbus") from None
    settings = RelaySettings(**config.link.relay.model_dump())
    controller = RelayBoard(SerialTransport(port, PortSettings(settings.baud)), settings, tap)
    try:
        controller.configure(device_config(config))
    except ConfigRefused as error:
        raise ConfigError(str(error)) from None
    return controller


def build_loop(
    config: StationConfig, eyes: Mapping[str, Eye], recogniser: Recogniser, clock: Clock, auto_rearm: bool
) -> SortLoop:
    return SortLoop(config, eyes, recogniser, Machine(auto_rearm), clock)


def device_config(config: StationConfig) -> DeviceConfig:
    """The gates as the device must hold them before it may be armed."""
    link, belt = config.link, config.belt
    return DeviceConfig(
        gates=tuple(
            GateConfig(
                safe_level=gate.safe_level,
                min_hold_us=round(gate.min_hold_ms * 1000),
                max_hold_us=round(gate.max_hold_ms * 1000),
                min_gap_us=round(gate.min_gap_ms * 1000),
                opening_delay_us=round(gate.opening_delay_ms * 1000),
                closing_delay_us=round(gate.closing_delay_ms * 1000),
                max_duty_permille=round(gate.max_duty * 1000),
            )
            for gate in config.gates
        ),
        lease_ms=link.lease_ms,
        max_late_us=link.max_late_us,
        mm_per_count=belt.mm_per_count,
        far_ms=link.far_ms,
        far_count=round(link.far_mm / belt.mm_per_count) if belt.mm_per_count else 0,
    )


def line_parameters(config: StationConfig, **run: Any) -> dict[str, Any]:
    """Everything that shaped the run, echoed in its report."""
    return {
        "name": config.name,
        "belt": config.belt.model_dump(),
        "gates": [gate.model_dump() for gate in config.gates],
        "sort": config.sort.model_dump(),
        "recognition": config.recognition.model_dump(),
        "link": config.link.model_dump(),
        "virtual": config.virtual.model_dump(),
        **run,
    }


def observing_config(name: str, seen: Sequence[CameraInfo]) -> StationConfig:
    """Without a configuration: look, recognise, record; there is no gate and nothing is sent. Cameras look side by side."""
    wide_mm = 600.0
    cameras = tuple(
        CameraConfig(
            id=info.camera_id,
            width_px=info.width_px,
            height_px=info.height_px,
            fps=info.fps,
            mm_per_px=wide_mm / info.width_px,
            lateral_at_mm=wide_mm * lane,
        )
        for lane, info in enumerate(seen)
    )
    return StationConfig(
        name=f"observing {name}",
        belt=BeltConfig(width_mm=wide_mm * len(cameras), max_speed_m_s=3.0, speed_m_s=1.0),
        cameras=cameras,
        sort=SortConfig.model_validate(
            {"bins": {"all": {}}, "labels": {}, "unactuated_bin": "all", "fallback_bin": "all"},
        ),
    )
