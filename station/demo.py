"""`station demo`: the station on the virtual line, in wall time or in virtual time, and the report with the truth beside it.

Wall time: the line (belt, pictures, device, truth) is another process and is met only through a port, shared memory and files.
Virtual time: the same loop in lock-step. Both write the same records; the verdict reads nothing but those.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from station.app import (
    Brain,
    build_brain,
    build_eyesight,
    build_loop,
    line_parameters,
    open_serial_controller,
    set_thread_counts,
    spotters_of,
    views_of,
)
from station.archive_run import Ending, RunArchive, WrapSink, close_run, flush, open_run, run_folder
from station.clock import Clock, ManualClock, SystemClock
from station.config import StationConfig
from station.errors import ConfigError, ControllerError
from station.live import LiveRun, status_line
from station.lockstep import BORN_NS, Lockstep, LockstepSetup, write_device_record
from station.machine import State
from station.recognition.classifier import Classifier
from station.record.run_report import RunFacts
from station.screen import Screen, ScreenSetup
from station.simulation.faults import STATION_FAULTS
from station.simulation.launch import LineHandle, LineSpec
from station.simulation.line import LineOptions, thing_choice
from station.simulation.made_up import device_stalls
from station.simulation.mishaps import FailingRecogniser, FailingSink, FaultTimes
from station.simulation.model_alone import model_alone
from station.simulation.verdict import verdict_of, write_line_record
from station.terminated import noting_sigterm

RUN_OUT_EXTRA_S = 20.0
SAY_EVERY_S = 1.0
FINISH_S = 30.0


@dataclass(frozen=True, slots=True)
class DemoOptions:
    line: LineOptions
    clock: str = "wall"
    perception: str = "model"
    out: Path | None = None
    screen: ScreenSetup | None = None
    say: Callable[[str], None] = lambda _: None  # messages to the person


def demo(config: StationConfig, options: DemoOptions) -> dict[str, Any]:
    """Run to the end and return the run report. Raises StationError and BridgeError."""
    played_by_station = [str(fault) for fault in options.line.faults if fault.name in STATION_FAULTS]
    if options.clock == "virtual" and played_by_station:
        raise ConfigError(f"--fault {played_by_station[0]}: disk and gpu faults need --clock wall.")
    set_thread_counts(config.recognition.threads)
    return _virtual(config, options) if options.clock == "virtual" else _wall(config, options)


# -- virtual time ----------------------------------------------------------------------------------------------------


def _virtual(config: StationConfig, options: DemoOptions) -> dict[str, Any]:
    wall = SystemClock()
    brain = build_brain(config) if options.perception == "model" else None
    archive = _open(config, options, brain, ManualClock(BORN_NS), wall)
    run = Lockstep(LockstepSetup(config, options.line, brain, archive.recorder))
    archive.books, archive.clock = run.books, run.clock
    run.run()
    lost = flush(archive)
    write_device_record(run.log, archive.out)
    write_line_record(archive.out, run.line, run.clock.now_ns())
    ending = _judged(archive, config, options, brain, run.loop.ledger.in_flight, "completed")
    ending = replace(ending, link=run.controller.status())
    return close_run(archive, ending, lost, (run.clock.now_ns() - BORN_NS) / 1e9, wall)


# -- wall time -------------------------------------------------------------------------------------------------------


def _wall(config: StationConfig, options: DemoOptions) -> dict[str, Any]:
    clock = SystemClock()
    out = run_folder(Path(config.record.directory), options.out, clock.utc_ns())
    options = replace(options, out=out)
    line = _start_line(config, options)
    try:
        return _on_line(config, options, line, clock)
    except BaseException:
        line.abandon()
        raise


def _start_line(config: StationConfig, options: DemoOptions) -> LineHandle:
    assert options.out is not None
    _clear(options.out)
    spec = LineSpec(
        config=config,
        options=options.line,
        out=options.out.resolve(),
        shared_memory=f"station-{uuid4().hex[:12]}",
        device_argv=device_argv(config),
    )
    return LineHandle(spec)


def device_argv(config: StationConfig) -> tuple[str, ...]:
    """The device process: the C core in its own loop behind a pseudo-terminal."""
    words = [sys.executable, "-m", "firmware_bridge.virtual_device", "--profile", "{belt}"]
    for name in ("edges", "encoder", "device"):
        words += [f"--{name}", f"{{out}}/{name}.jsonl"]
    return (*words, "--link", "{out}/device.port", "--gates", str(len(config.gates)))


def _clear(out: Path) -> None:
    """Records of an earlier run in the same folder would be judged together with this one's."""
    out.mkdir(parents=True, exist_ok=True)
    for name in ("edges", "encoder", "device", "truth", "items", "commands", "wire"):
        (out / f"{name}.jsonl").unlink(missing_ok=True)
    for name in ("line.json", "report.json", "belt.profile", "device.port"):
        (out / name).unlink(missing_ok=True)
    for bell in out.glob("*.bell"):
        bell.unlink()


def _on_line(config: StationConfig, options: DemoOptions, line: LineHandle, clock: Clock) -> dict[str, Any]:
    ready = line.wait_ready()  # without an encoder belt travel begins with the line's, as its truth does
    brain = build_brain(config)
    times = FaultTimes(options.line.faults, clock)
    archive = _open(config, options, brain, clock, clock, lambda sink: FailingSink(sink, times))
    controller = open_serial_controller(config, str(line.spec.out / "device.port"), archive.keep_wire(config))
    run = LiveRun(clock, archive.books, controller)
    screen = Screen(config, run, options.screen or ScreenSetup(simulated=True))
    status, link = "failed", None
    try:
        run.open_cameras({camera.id: line.camera(camera) for camera in config.cameras}, config.cameras)
        run.open_link()
        recogniser = FailingRecogniser(archive.keep_crops(brain.recogniser, config), times)
        eyesight = build_eyesight(config, int(ready["start_ns"]))
        loop = build_loop(config, views_of(eyesight), recogniser, clock, config.link.auto_rearm is not False)
        run.begin(loop, spotters_of(eyesight))
        screen.start()
        options.say(screen.url or screen.note or "no page (--http off)")
        status = _feed(run, line, options, times)
        link = controller.status()
    finally:
        run.finish()
        screen.close()
    lost = flush(archive)
    line.finish(FINISH_S + options.line.for_s / 10.0)  # where each item has landed takes a millisecond an item
    ending = replace(_judged(archive, config, options, brain, run.loop.ledger.in_flight, status), link=link)
    report = close_run(archive, ending, lost, (clock.now_ns() - archive.started_ns) / 1e9, clock)
    if run.crash is not None:
        name, error = run.crash
        raise ControllerError(f"the {name} thread failed: {type(error).__name__}: {error}")
    return report


def _feed(run: LiveRun, line: LineHandle, options: DemoOptions, times: FaultTimes) -> str:
    """Feed for as long as was asked, then wait until the belt has run out. Returns the run's status."""
    if not run.wait_for(lambda: run.loop.machine.state is State.EXECUTE and _armed(run), 15.0):
        raise ControllerError(f"the line is not ready to run: {run.loop.machine.state.name}, {run.loop.machine.reason}")
    run.clock.sleep_ns(1_000_000_000)  # the detector learns the empty belt
    line.begin_feed()
    times.start_ns = run.clock.now_ns()

    def ran_out() -> bool:
        line.poll()
        return any(event["event"] == "ran_out" for event in line.events) or not line.alive

    longest_s = options.line.for_s * 4 + RUN_OUT_EXTRA_S + sum(fault.for_s * 4 for fault in options.line.faults)
    deadline_ns = run.clock.now_ns() + round(longest_s * 1e9)
    with noting_sigterm() as terminated:

        def over() -> bool:
            return terminated() or ran_out() or run.clock.now_ns() >= deadline_ns

        try:
            while not run.wait_for(over, SAY_EVERY_S) and run.crash is None:
                options.say(status_line(run))
        except KeyboardInterrupt:
            line.stop_feed()
            return "interrupted"
        if terminated():
            line.stop_feed()
            return "stopped"
    return "completed" if run.crash is None else "failed"


def _armed(run: LiveRun) -> bool:
    return run.controller is not None and run.controller.status().line_permit


# -- both ------------------------------------------------------------------------------------------------------------


def _open(
    config: StationConfig,
    options: DemoOptions,
    brain: Brain | None,
    clock: Clock,
    wall: Clock,
    wrap: WrapSink | None = None,
) -> RunArchive:
    out = run_folder(Path(config.record.directory), options.out, wall.utc_ns())
    line = options.line
    facts = RunFacts(
        clock=options.clock,
        seed=line.seed,
        device=brain.device if brain else "none",
        backend=brain.backend if brain else "none",
        perception=options.perception,
        line=line_parameters(
            config,
            for_s=line.for_s,
            items=str(line.items) if line.items else "drawn",
            touching=line.touching,
            faults=[str(fault) for fault in line.faults],
        ),
    )
    archive = open_run(out, Path(config.record.directory), facts, clock, wall, wrap)
    archive.go_on(config, wall)
    return archive


def _judged(
    archive: RunArchive, config: StationConfig, options: DemoOptions, brain: Brain | None, in_flight: int, status: str
) -> Ending:
    verdict = verdict_of(archive.out)
    truth = dict(verdict.truth)
    if options.clock == "wall":
        truth["device_stalls"] = device_stalls(archive.out)
    if brain is not None and brain.classifier is not None:
        truth["model_alone"] = _model_alone(config, options.line, archive.out, brain.classifier)
    return Ending(
        status=status,
        in_flight=in_flight,
        link=None,
        truth=truth,
        late_fires=verdict.fires.late_fires,
        wrong_fires=verdict.fires.wrong_fires,
    )


def _model_alone(
    config: StationConfig, options: LineOptions, out: Path, classifier: Classifier
) -> dict[str, float | None]:
    """The same things, classified directly at the same thresholds: what sorting on a belt can at best reach."""
    choose = thing_choice(config, options)
    with (out / "truth.jsonl").open(encoding="utf-8") as lines:
        things = [choose(int(json.loads(line)["item_id"])) for line in lines]
    product = config.sort.product_bin or next(name for name, bin_ in config.sort.bins.items() if bin_.gates)
    return model_alone(things, classifier.classify_pictures, config.sort, config.virtual.target_labels, product)
