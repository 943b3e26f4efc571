"""The whole station on the virtual line in virtual time: the same SortLoop.step, a simulated clock, the C core in lock-step.

Repeatable bit for bit on one machine and backend. Computing time is charged from the configuration's cost table, so that a
slow machine decides nothing. Knows how to let time pass; knows nothing of how things are decided.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from firmware_bridge.controller import Controller
from firmware_bridge.conversation import SessionSettings
from firmware_bridge.loopback import DeviceTransport, SteppedController
from firmware_bridge.messages import Reply
from firmware_bridge.session import Session
from firmware_bridge.virtual_device import DeviceClock, Edge, VirtualDevice
from station.app import Brain, build_eyesight, build_loop, device_config, spotters_of, views_of
from station.books import Books
from station.camera_thread import FrameSpotter
from station.clock import ManualClock
from station.config import StationConfig
from station.datatypes import Frame
from station.lockstep_cameras import CameraTiming, LockstepCamera
from station.machine import Command
from station.perception import Eye, Recogniser
from station.pipeline import Controls, StepResult
from station.record.recorder import Recorder
from station.simulation.faults import DEVICE_FAULTS, Fault
from station.simulation.line import LineOptions, VirtualLine
from station.simulation.stub import StubEye, StubRecogniser, StubSpotter
from station.tracking.spotter import Spotted
from station.tracking.tracker import TrackIds

MS = 1_000_000
BORN_NS = 1_000 * MS
IDLE_STEP_NS = 20 * MS
WARM_UP_NS = 3_000 * MS  # the link greets, compares clocks and is armed; the detector learns the empty belt
AFTERMATH_NS = 500 * MS  # the last replies come in
IDLE_COST_MS = 0.2
LINK_STEP_NS = 2 * MS
ENCODER_ROW_NS = 10 * MS
NO_PICTURE = np.zeros((1, 1, 3), np.uint8)


class DeviceLog:
    """The device's own record: its edges, its boots, an encoder sample every 10 ms."""

    def __init__(self, device: VirtualDevice) -> None:
        self._device = device
        self.edges: list[Edge] = []
        self.boots: list[dict[str, Any]] = []
        self.encoder: list[dict[str, Any]] = []
        self._next_row_ns = 0

    def note_boot(self, now_ns: int) -> None:
        self.boots.append({"boot_id": self._device.boot_id, "at_ns": now_ns})

    def collect(self, now_ns: int) -> None:
        self.edges += self._device.edges()
        if now_ns >= self._next_row_ns:
            self._next_row_ns = now_ns + ENCODER_ROW_NS
            at_us = self._device.clock.device_us(now_ns)
            self.encoder.append({"at_us": at_us, "at_ns": now_ns, "count": self._device.count})


@dataclass(frozen=True, slots=True)
class LockstepSetup:
    config: StationConfig
    options: LineOptions
    brain: Brain | None  # None: stub perception, true positions and seeded confusion, no pictures
    recorder: Recorder
    confusion: float = 0.02  # of the stub
    host_stalls: tuple[tuple[float, float], ...] = ()  # (at_s, for_s) after the feed began: the loop does not run
    frozen_camera: tuple[tuple[float, float], ...] = ()  # the cameras repeat their last picture without a new stamp
    slow_cameras: Mapping[str, float] = field(default_factory=dict)  # id: ms by which its frames come later
    start_at_s: float | None = None  # START is pressed so long after a feed by hand began; None: before the feed


class Lockstep:
    """One run. `run` to its end, or `turn` by turn for a test that looks inside."""

    def __init__(self, setup: LockstepSetup) -> None:
        config, options = setup.config, setup.options
        self.setup = setup
        self.clock = ManualClock(BORN_NS)
        self.line = VirtualLine(config, options, BORN_NS)
        boot = DeviceClock(BORN_NS, config.virtual.device_ppm)
        self.device = VirtualDevice(gates=len(config.gates), clock=boot, boot_id=1)
        self.log = DeviceLog(self.device)
        self.log.note_boot(BORN_NS)
        self.transport = DeviceTransport(self.device, self._belt_counts, seed=options.seed)
        settings = SessionSettings(sync_bound_us=config.link.max_sync_bound_us)
        self.controller: Controller = SteppedController(
            self.transport, Session(settings, Random(options.seed)), step_ns=LINK_STEP_NS
        )
        self.controller.configure(device_config(config))
        self._spotters: Mapping[str, FrameSpotter]
        eyes, recogniser = self._perception()
        self.loop = build_loop(config, eyes, recogniser, self.clock, config.link.auto_rearm is not False)
        self.books = Books(setup.recorder, self.clock.utc_ns() - self.clock.now_ns())
        self.feed_start_ns: int | None = None
        self._cameras = [self._camera(camera.id) for camera in config.cameras]
        self.books.cameras.update({camera.camera_id: camera.tally for camera in self._cameras})
        self._replies: list[Reply] = []
        self._costs = Random(options.seed * 7919 + 1)
        self._started = False  # START was pressed late, as the setup wants it

    def _perception(self) -> tuple[dict[str, Eye], Recogniser]:
        config, options, brain = self.setup.config, self.setup.options, self.setup.brain
        if brain is not None:
            eyesight = build_eyesight(config, BORN_NS)
            self._spotters = spotters_of(eyesight)
            return views_of(eyesight), brain.recogniser
        ids = TrackIds()
        self._spotters = {
            camera.id: StubSpotter(self.line, BORN_NS, options.seed + lane)
            for lane, camera in enumerate(config.cameras)
        }
        eyes = {
            camera.id: StubEye(self.line, camera.id, options.seed + lane, ids)
            for lane, camera in enumerate(config.cameras)
        }
        return dict(eyes), StubRecogniser(list(eyes.values()), options.seed, self.setup.confusion)

    def _camera(self, camera_id: str) -> LockstepCamera:
        config, options = self.setup.config, self.setup.options
        delay_ms = config.cost.capture_ms + self.setup.slow_cameras.get(camera_id, 0.0)
        timing = CameraTiming(BORN_NS, round(1e9 / config.virtual.fps), round(delay_ms * MS), config.cost, options.seed)
        return LockstepCamera(camera_id, timing, self._shown, self._fresh)

    # -- one run -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        self.start()
        while not self.over():
            self.turn()
        self.finish()

    def start(self) -> None:
        """Reset, start, arm, learn the empty belt; then the feed begins."""
        early = (Command.RESET, Command.START) if self.setup.start_at_s is None else (Command.RESET,)
        for command in early:
            self.loop.machine.command(command, self.clock.now_ns(), "demo")
            self.turn()
        while self.clock.now_ns() < BORN_NS + WARM_UP_NS:
            self.turn()
        self.feed_start_ns = self.clock.now_ns()
        self.line.begin_feed(self.feed_start_ns)

    def _press_start(self) -> None:
        at_s, feed_ns = self.setup.start_at_s, self.feed_start_ns
        if at_s is None or feed_ns is None or self._started or self.clock.now_ns() < feed_ns + round(at_s * 1e9):
            return
        self._started = self.loop.machine.command(Command.START, self.clock.now_ns(), "demo")

    def over(self) -> bool:
        gone_ns = self.line.gone_ns()
        return gone_ns is not None and self.clock.now_ns() > gone_ns + AFTERMATH_NS

    def finish(self) -> None:
        now_ns = self.clock.now_ns()
        for record in self.loop.finish(now_ns):
            self.books.settled(record)
        self.setup.recorder.flush(now_ns)

    def turn(self) -> StepResult:
        """Wait for a frame or 20 ms, step, charge the computing time, tell the link."""
        caught = self._wait_for_frames()
        self._press_start()
        replies, self._replies = self._replies, []
        self.books.heard(replies)
        spotted = [newest for _, newest in caught if newest is not None]
        controls = Controls(
            link=self.controller.status().state,
            recorder_full=self.setup.recorder.full,
            alive=tuple(camera.camera_id for camera, _ in caught),
        )
        result = self.loop.step(self.clock.now_ns(), spotted, replies, controls)
        self._pass(self._cost_ns(len(spotted), result.looks))
        tell(self.controller, result, self.clock.now_ns())
        self.loop.enqueued(result.commands, self.clock.now_ns())
        self.books.stepped(result)
        self.books.sent(result, self.clock.now_ns())
        self.setup.recorder.step(self.clock.now_ns())
        return result

    # -- time --------------------------------------------------------------------------------------------------------

    def _wait_for_frames(self) -> list[tuple[LockstepCamera, Spotted | None]]:
        """Let time pass until a camera's thread is through with a frame, at most an idle step.

        Of every camera that has some the newest; None when it has no place on the belt.
        """
        self._stall()
        next_ns = min(camera.ready_ns() for camera in self._cameras)
        self._pass(max(0, min(next_ns - self.clock.now_ns(), IDLE_STEP_NS)))
        caught: list[tuple[LockstepCamera, Spotted | None]] = []
        for camera in self._cameras:
            numbers = camera.take_ready(self.clock.now_ns())
            found = [self._spotted(camera, number) for number in numbers]
            camera.tally.dropped += max(0, len(numbers) - 1)
            camera.tally.processed += bool(found) and found[-1] is not None
            caught += [(camera, newest) for newest in found[-1:]]
        return caught

    def _spotted(self, camera: LockstepCamera, number: int) -> Spotted | None:
        """What the camera's thread finds in a frame. Without an encoder count it has no place on the belt."""
        captured_ns = camera.captured_ns(number)
        bgr = NO_PICTURE if self.setup.brain is None else self.line.frame_at(captured_ns, camera.camera_id)
        assert bgr is not None, "a frame that is not shown is never taken"
        placed = placed_by(self.controller, Frame(camera.camera_id, number, captured_ns, bgr))
        if placed is None:
            camera.tally.stale += 1
            return None
        return self._spotters[camera.camera_id].spot(placed)

    def _shown(self, camera_id: str, captured_ns: int) -> bool:
        return not self.line.camera_down(captured_ns, camera_id)

    def _fresh(self, camera_id: str, captured_ns: int) -> bool:
        repeated = self.line.shown_ns(captured_ns, camera_id) < captured_ns
        return not repeated and not self._within(self.setup.frozen_camera, captured_ns)

    def _pass(self, duration_ns: int) -> None:
        """Time goes by for belt, device and link."""
        until_ns = self.clock.now_ns() + duration_ns
        for at_ns in self._fault_moments(until_ns):
            self._go_to(at_ns)
            self._play_faults(at_ns)
        self._go_to(until_ns)

    def _go_to(self, now_ns: int) -> None:
        self.clock.set_ns(max(now_ns, self.clock.now_ns()))
        self._replies += self.controller.poll(self.clock.now_ns())
        self.log.collect(self.clock.now_ns())
        fed_by_hand = self.setup.start_at_s is not None and not self._started
        self.line.permit(fed_by_hand or self.device.permit, self.clock.now_ns())

    def _belt_counts(self, now_ns: int) -> float:
        return self.line.encoder.position_mm(now_ns) / self.setup.config.virtual.mm_per_count

    def _cost_ns(self, frames: int, looks: int) -> int:
        """Of one step; searching the frames is the camera threads' time, beside it."""
        cost = self.setup.config.cost
        if frames == 0 or looks == 0:
            return round(IDLE_COST_MS * MS)
        spread = max(0.3, self._costs.gauss(1.0, cost.jitter))
        return round((cost.classify_ms + cost.per_look_ms * looks) * spread * MS)

    # -- faults ------------------------------------------------------------------------------------------------------

    def _stall(self) -> None:
        start_ns = self.feed_start_ns
        for at_s, for_s in self.setup.host_stalls if start_ns is not None else ():
            assert start_ns is not None
            begin_ns = start_ns + round(at_s * 1e9)
            if begin_ns <= self.clock.now_ns() < begin_ns + round(for_s * 1e9):
                self._pass(begin_ns + round(for_s * 1e9) - self.clock.now_ns())
                for camera in self._cameras:
                    camera.stall(self.clock.now_ns())

    def _within(self, spans: Sequence[tuple[float, float]], at_ns: int) -> bool:
        start_ns = self.feed_start_ns
        if start_ns is None:
            return False
        return any(start_ns + at_s * 1e9 <= at_ns < start_ns + (at_s + for_s) * 1e9 for at_s, for_s in spans)

    def _device_faults(self) -> list[Fault]:
        return [fault for fault in self.setup.options.faults if fault.name in DEVICE_FAULTS]

    def _fault_moments(self, until_ns: int) -> list[int]:
        if self.feed_start_ns is None:
            return []
        moments = []
        for fault in self._device_faults():
            moments += [fault.start_ns(self.feed_start_ns), fault.end_ns(self.feed_start_ns)]
        return sorted(at_ns for at_ns in moments if self.clock.now_ns() < at_ns <= until_ns)

    def _play_faults(self, now_ns: int) -> None:
        assert self.feed_start_ns is not None
        for fault in self._device_faults():
            if fault.name == "reboot" and now_ns == fault.start_ns(self.feed_start_ns):
                self.device.reboot(now_ns)
                self.log.note_boot(now_ns)
            elif fault.name == "cable" and now_ns == fault.start_ns(self.feed_start_ns):
                self.transport.unplug()
            elif fault.name == "cable" and now_ns == fault.end_ns(self.feed_start_ns):
                self.transport.plug()


def placed_by(controller: Controller, frame: Frame) -> Frame | None:
    """The frame with its encoder count and the boot that counted; None when it cannot be placed on the belt."""
    boot_id = controller.status().boot_id
    at = controller.count_at(frame.captured_ns)
    if at is None or controller.status().boot_id != boot_id:
        return None
    return replace(frame, belt_count=at.count, belt_count_bound=at.bound, belt_epoch=boot_id)


def tell(controller: Controller, result: StepResult, now_ns: int) -> None:
    """Hand the loop's wishes to the link: lease first, STOP before anything that could fire."""
    if result.actions.stop:
        controller.stop()
    elif result.actions.disarm:
        controller.disarm()
    elif result.actions.arm:
        controller.arm()
    if result.actions.clear_fault:
        controller.clear_fault()
    if result.actions.cancel:
        controller.cancel_all()
    controller.set_permit(result.actions.permit)
    controller.renew_lease(result.lease_counter)
    for command in result.commands:
        controller.submit(command, now_ns)


def write_device_record(log: DeviceLog, out: Path) -> None:
    """edges.jsonl and encoder.jsonl, as the wall-time device process writes them."""
    edges = [
        {"gate": edge.gate, "on": edge.on, "at_us": edge.at_us, "at_ns": edge.at_ns, "count": edge.count}
        for edge in log.edges
    ]
    rows = sorted([*log.boots, *edges], key=lambda row: row["at_ns"])
    for name, lines in (("edges.jsonl", rows), ("encoder.jsonl", log.encoder)):
        with (out / name).open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
