"""`station run`: real cameras, a real controller (or none), until told to stop.

Start checks run in the order configuration, camera, controller, model; the first failure decides the exit code. With the port
`auto` the controller is looked for before a configured camera is opened. After the start, losses are states, never exits; only
a thread that fails ends the run. Without a configuration the station observes only: NO DIVERTS SENT.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from firmware_bridge.discovery import choose
from firmware_bridge.errors import BridgeError
from firmware_bridge.serial_port import PortSettings
from firmware_bridge.trace import MODBUS
from station.app import (
    Brain,
    build_brain,
    build_eyesight,
    build_loop,
    line_parameters,
    observing_config,
    open_relay_board,
    open_serial_controller,
    set_thread_counts,
    spotters_of,
    views_of,
)
from station.archive_run import Ending, RunArchive, close_run, flush, open_run, run_folder
from station.capture.camera import Camera
from station.capture.recorded import RecordedCamera
from station.clock import Clock, SystemClock
from station.commissioning.camera_probe import camera_from
from station.commissioning.geometry import check_geometry
from station.config import RELAY, StationConfig, changed
from station.errors import ConfigError, ControllerError, StationError
from station.live import LiveRun, WaitedController, status_line
from station.machine import Command
from station.outputs.systemd import Systemd
from station.record.run_report import RunFacts
from station.screen import Screen, ScreenSetup
from station.terminated import noting_sigterm

RUN_OUT_S = 5.0  # after --for: the belt runs out, decided items fire
PORT_APPEARS_NS = 5_000_000_000
SAY_EVERY_S = 1.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class RunOptions:
    sources: tuple[str, ...]
    config: StationConfig | None
    port: str | None = None
    dry_run: bool = False
    for_s: float | None = None
    out: Path | None = None
    screen: ScreenSetup = field(default_factory=ScreenSetup)
    start: bool = True  # at once; otherwise a person starts it
    service: Systemd = field(default_factory=lambda: Systemd({}))


def run(options: RunOptions, say: Say) -> tuple[dict[str, Any], bool]:
    """Run to the end. Returns the run report and whether a person interrupted it. Raises StationError, BridgeError."""
    clock = SystemClock()
    with _opened_cameras(options, clock) as (config, cameras):
        port = _port_of(options, config)
        if port == "virtual":
            options = replace(options, screen=replace(options.screen, simulated=True))
        out = run_folder(Path(config.record.directory), options.out, clock.utc_ns())
        with _twin(config, port, out, clock) as actual_port:
            return _run_on(options, config, cameras, actual_port, out, clock, say)


# -- start checks ----------------------------------------------------------------------------------------------------


@contextmanager
def _opened_cameras(options: RunOptions, clock: Clock) -> Iterator[tuple[StationConfig, dict[str, Camera]]]:
    """The configuration in force and a camera for each source; without a configuration the picture's size decides."""
    if options.config is not None:
        config = options.config
        if config.gates and not options.dry_run:
            check_geometry(config)
        if len(options.sources) > len(config.cameras):
            raise ConfigError(
                f"--camera is given {len(options.sources)} times, the configuration describes {len(config.cameras)} "
                "cameras. Add a [[cameras]] section for each."
            )
        described = config.cameras[: len(options.sources)]
        config = changed(config, cameras=[camera.model_dump() for camera in described])
    else:
        named = {
            f"camera{number}": camera_from(source, clock, paced=True, camera_id=f"camera{number}")
            for number, source in enumerate(options.sources)
        }
        infos = [camera.open() for camera in named.values()]
        # Left open: what serves one viewer only would take a second opening for its end.
        yield observing_config(", ".join(Path(source).name for source in options.sources), infos), named
        return
    pairs = zip(config.cameras, options.sources, strict=False)
    yield config, {camera.id: camera_from(source, clock, camera, paced=True) for camera, source in pairs}


def _port_of(options: RunOptions, config: StationConfig) -> str | None:
    """The port to use; None when observing. A real port needs to know whether it may re-arm by itself."""
    if options.dry_run:
        return None
    if options.config is None:
        if options.port is not None:
            raise ConfigError(
                f"--port {options.port} without a configuration: gates and belt are unknown. "
                "`station config init` writes one to start from."
            )
        return None
    port = options.port or config.link.port or "auto"
    if port != "virtual" and config.link.auto_rearm is None:
        raise ConfigError(
            "link.auto_rearm: missing. A real port must say whether it may re-arm by itself (true or false)."
        )
    return port


@contextmanager
def _twin(config: StationConfig, port: str | None, out: Path, clock: Clock) -> Iterator[str | None]:
    """Port `virtual`: the firmware core in its own process behind a pseudo-terminal, without an encoder on its pins."""
    if port != "virtual":
        yield port
        return
    out.mkdir(parents=True, exist_ok=True)
    link = out / "device.port"
    argv = [
        sys.executable,
        "-m",
        "firmware_bridge.virtual_device",
        "--link",
        str(link),
        "--gates",
        str(len(config.gates)),
    ]
    for name in ("edges", "device"):
        argv += [f"--{name}", str(out / f"{name}.jsonl")]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        deadline_ns = clock.now_ns() + PORT_APPEARS_NS
        while not link.exists() and clock.now_ns() < deadline_ns:
            clock.sleep_ns(20_000_000)
        yield str(link)
    finally:
        process.terminate()
        process.wait(3.0)


def _controller(
    config: StationConfig, port: str | None, clock: Clock, archive: RunArchive | None = None
) -> WaitedController | None:
    if port is None:
        return None
    if port.startswith(RELAY):
        tap = archive.keep_wire(config, MODBUS) if archive is not None else None
        return open_relay_board(config, port.removeprefix(RELAY), tap)
    settings = (
        PortSettings(config.link.baud) if config.link.dtr is None else PortSettings(config.link.baud, config.link.dtr)
    )
    device = choose(port, clock.now_ns, settings, also=config.link.usb_ids)
    return open_serial_controller(config, device, archive.keep_wire(config) if archive is not None else None)


# -- the run ---------------------------------------------------------------------------------------------------------


def _run_on(
    options: RunOptions,
    config: StationConfig,
    cameras: dict[str, Camera],
    port: str | None,
    out: Path,
    clock: Clock,
    say: Say,
) -> tuple[dict[str, Any], bool]:
    set_thread_counts(config.recognition.threads)
    facts = RunFacts("wall", None, "none", "none", "model", line_parameters(config, sources=list(options.sources)))
    archive = open_run(out, Path(config.record.directory), facts, clock, clock)
    archive.go_on(config, clock)
    status, link = "failed", None
    try:
        live = LiveRun(clock, archive.books, _controller(config, port, clock, archive))
        screen = Screen(config, live, options.screen)
        try:
            # Without a configuration the first picture's size was taken for the scale: nobody measured one.
            infos = live.open_cameras(cameras, config.cameras if options.config is not None else ())
            for warning in (text for info in infos.values() for text in info.warnings):
                say(f"camera: {warning}")
            live.open_link()
            brain = build_brain(config)
            brain = replace(brain, recogniser=archive.keep_crops(brain.recogniser, config))
            archive.facts = replace(facts, device=brain.device, backend=brain.backend)
            _begin(options, config, live, brain, clock)
            screen.start()
            say(screen.url or screen.note or "no page (--http off)")
            options.service.ready()
            status = _until_told(options, live, say)
            link = live.controller.status() if live.controller is not None else None
            for camera in cameras.values():
                if isinstance(camera, RecordedCamera) and camera.shortfall is not None:
                    say(f"camera: {camera.shortfall}")
        finally:
            options.service.stopping()
            live.finish()
            screen.close()
    except (StationError, BridgeError):
        flush(archive)
        close_run(archive, Ending("failed", 0, None), 0, 0.0, clock)
        raise
    lost = flush(archive)
    duration_s = (clock.now_ns() - archive.started_ns) / 1e9
    report = close_run(archive, Ending(status, live.loop.ledger.in_flight, link), lost, duration_s, clock)
    if live.crash is not None:
        name, error = live.crash
        raise ControllerError(f"the {name} thread failed: {type(error).__name__}: {error}")
    return report, status == "interrupted"


def _begin(options: RunOptions, config: StationConfig, live: LiveRun, brain: Brain, clock: Clock) -> None:
    undescribed = options.config is None
    if undescribed:
        classes = brain.recogniser.classes
        config = changed(config, sort={"labels": {label: {"bin": "all", "threshold": 0.5} for label in classes}})
    eyesight = build_eyesight(config, clock.now_ns(), speed_from_picture=undescribed)
    goes_on = config.link.auto_rearm is True or live.controller is None  # observing: there is nothing to arm
    loop = build_loop(config, views_of(eyesight), brain.recogniser, clock, goes_on)
    live.begin(loop, spotters_of(eyesight), options.start)


def _until_told(options: RunOptions, live: LiveRun, say: Say) -> str:
    """Until the time is over, the recording has ended, SIGTERM, Ctrl-C or a crash."""
    started_ns = live.clock.now_ns()

    with noting_sigterm() as terminated:

        def over() -> bool:
            timed_out = options.for_s is not None and live.clock.now_ns() - started_ns >= options.for_s * 1e9
            return terminated() or live.ended or timed_out

        try:
            while not live.wait_for(over, SAY_EVERY_S) and live.crash is None:
                line = status_line(live)
                say(line)
                options.service.working(live.loop.lease_counter, line)
            if terminated():
                return "stopped"
            if live.crash is None:
                _run_out(live)
            return "completed" if live.crash is None else "failed"
        except KeyboardInterrupt:
            return "interrupted"


def _run_out(live: LiveRun) -> None:
    """HOLD: no more is fed, what is decided still fires."""
    live.command(Command.HOLD, "end of the run")
    live.wait_for(lambda: not live.loop.ledger.in_flight, RUN_OUT_S if live.controller is not None else 0.5)


def known_sources(sources: Sequence[str]) -> tuple[str, ...]:
    """At least one; `virtual`, once for each lane, is not mixed with others."""
    if not sources:
        raise ConfigError("--camera is missing: an index, a /dev path, a file, a folder, a URL, or `virtual`.")
    if "virtual" in sources and set(sources) != {"virtual"}:
        raise ConfigError(
            "--camera virtual cannot be mixed with other sources: a real camera sees no simulated gates. "
            "Give it alone, once for each lane."
        )
    return tuple(sources)
