"""The station in wall time: its threads, who owns what, and the order of start and stop.

    capture-ID   owns its camera        camera -> frames (newest wins, drops counted)
    link         owns the port          commands -> port -> replies (overflow is a fault)
    sort         owns the SortLoop      frames, replies -> commands, records, scene
    recorder     owns files             records -> disk

No thread here times an edge: the device does. Knows no stage's work; the loop itself is `pipeline.SortLoop.step`.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from firmware_bridge.controller import Controller
from firmware_bridge.messages import LinkState, LinkStatus, Reply
from station.app import Brain
from station.books import Books
from station.capture.camera import Camera, CameraInfo
from station.capture.freshness import FrameGuard, Freshness
from station.channels import Bounded, ChannelFull, DropOldest, Latest
from station.clock import Clock
from station.datatypes import Frame, OutcomeKind
from station.errors import CameraError, CameraLost, ControllerError
from station.events import EventKind
from station.lockstep import tell
from station.machine import Command, State
from station.pipeline import Controls, SortLoop, StepResult
from station.worker import Worker

MS = 1_000_000
IDLE_WAIT_S = 0.010
LINK_WAIT_S = 0.002
RECORD_EVERY_NS = 40 * MS
REOPEN_AFTER_NS = 500 * MS
LINK_START_NS = 8_000 * MS
REPLIES_HELD = 4096
SETTLE_NS = 400 * MS  # after STOP: the device's last words


POOR_PICTURES = {
    Freshness.BLACK: "pictures are black",
    Freshness.FROZEN: "pictures are frozen",
    Freshness.REPEATED: "pictures are frozen",
    Freshness.STALE: "pictures come too late",
}


class WaitedController(Controller, Protocol):
    """A controller whose owner's thread waits on its port."""

    def wait(self, timeout_s: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Scene:
    """What there is to see at one moment: for overlay, page and video."""

    at_ns: int
    frames: tuple[Frame, ...]
    result: StepResult


@dataclass(slots=True)
class _Source:
    camera: Camera
    info: CameraInfo
    frames: DropOldest[Frame] = field(default_factory=lambda: DropOldest(2))
    guard: FrameGuard = field(default_factory=FrameGuard)
    open: bool = True
    ended: bool = False
    lost_ns: int | None = None
    captured: int = 0
    poor: int = 0  # of them black, frozen or repeated
    trouble: str = ""  # why its pictures are not used, in words
    newest_ns: int = 0  # capture of the newest good frame


class LiveRun:
    def __init__(self, clock: Clock, books: Books, controller: WaitedController | None) -> None:
        self.clock = clock
        self.books = books
        self.controller = controller
        self.scene: Latest[Scene] = Latest()
        self.crash: tuple[str, BaseException] | None = None
        self._sources: dict[str, _Source] = {}
        self._replies: Bounded[Reply] = Bounded("replies", REPLIES_HELD)
        self._commands: Bounded[tuple[Command, str]] = Bounded("operator commands", 64)
        self._frame_ready = threading.Event()
        self._capturing: list[Worker] = []
        self._linking: Worker | None = None
        self._sorting: Worker | None = None
        self._recording = Worker("recorder", self._record, self.note_crash)
        self._loop: SortLoop | None = None
        self._brain: Brain | None = None

    # -- start, in the order of the start checks: camera, controller, model ----------------------------------------

    def open_cameras(self, cameras: Mapping[str, Camera]) -> dict[str, CameraInfo]:
        """Raises CameraError."""
        for camera_id, camera in cameras.items():
            self._sources[camera_id] = _Source(camera, camera.open())
        return {camera_id: source.info for camera_id, source in self._sources.items()}

    def open_link(self) -> None:
        """Start talking to the controller and wait until it could be armed. Raises ControllerError."""
        if self.controller is None:
            return
        self._linking = Worker("link", self._move_link, self.note_crash)
        self._linking.start()
        deadline_ns = self.clock.now_ns() + LINK_START_NS
        while self.clock.now_ns() < deadline_ns:
            status = self.controller.status()
            if status.state in (LinkState.READY, LinkState.ARMED):
                return
            self.clock.sleep_ns(20 * MS)
        status = self.controller.status()
        self._linking.stop()
        self.controller.close()
        raise ControllerError(_no_link(status))

    def begin(self, loop: SortLoop, brain: Brain) -> None:
        """Everything is there: look, decide, and start the machine."""
        self._loop, self._brain = loop, brain
        self._recording.start()
        for camera_id in self._sources:
            body = _bound(self._capture, camera_id)
            self._capturing.append(Worker(f"capture-{camera_id}", body, self.note_crash))
        self._sorting = Worker("sort", self._turn, self.note_crash)
        for worker in (*self._capturing, self._sorting):
            worker.start()
        self.command(Command.RESET, "start of the run")
        self.wait_for(lambda: self.loop.machine.state is State.IDLE, 2.0)
        self.command(Command.START, "start of the run")

    # -- while it runs -----------------------------------------------------------------------------------------------

    @property
    def loop(self) -> SortLoop:
        assert self._loop is not None, "begin() comes first"
        return self._loop

    @property
    def ended(self) -> bool:
        """Every source was a recording and has been read to its end."""
        return all(source.ended and source.frames.empty for source in self._sources.values())

    def captured(self, camera_id: str) -> int:
        """Frames this source has given so far."""
        source = self._sources.get(camera_id)
        return source.captured if source is not None else 0

    def poor(self, camera_id: str) -> int:
        """Of these, black, frozen or repeated ones: they are not used."""
        source = self._sources.get(camera_id)
        return source.poor if source is not None else 0

    def camera_trouble(self, camera_id: str) -> str:
        """Why the pictures that come are not used; empty when they are, or when none come."""
        source = self._sources.get(camera_id)
        return source.trouble if source is not None else ""

    def newest_frame_ns(self, camera_id: str) -> int:
        """Capture of the newest good frame of this source; 0 before the first."""
        source = self._sources.get(camera_id)
        return source.newest_ns if source is not None else 0

    def command(self, command: Command, who: str) -> None:
        """An operator's wish; STOP also goes straight to the link, past the loop."""
        if command in (Command.STOP, Command.ABORT):
            self.stop_outputs()
        self._commands.put((command, who))
        self.books.event(EventKind.OPERATOR, self.clock.now_ns(), command=command.value, who=who)

    def stop_outputs(self) -> None:
        """Gates shut now. Callable from any thread; it can only disarm."""
        if self.controller is not None:
            self.controller.stop()

    def wait_for(self, done: Callable[[], bool], timeout_s: float) -> bool:
        """True as soon as `done`, False after the timeout or a crash."""
        deadline_ns = self.clock.now_ns() + round(timeout_s * 1e9)
        while self.clock.now_ns() < deadline_ns and self.crash is None:
            if done():
                return True
            self.clock.sleep_ns(20 * MS)
        return done()

    # -- stop --------------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Stop the machine, hear the device's last words, settle what is open, flush the record.

        Observing only, there is nothing to stop: what is still open is `unconfirmed(run_ended)`.
        """
        if self._sorting is not None and self._sorting.alive and self.controller is not None:
            self.command(Command.STOP, "end of the run")
            self.wait_for(lambda: self.loop.machine.state in (State.STOPPED, State.ABORTED), 2.0)
            self.clock.sleep_ns(SETTLE_NS)
        for worker in self._capturing:
            worker.stop()
        if self._sorting is not None:
            self._sorting.stop()
        if self._linking is not None:
            self._linking.stop()
        for source in self._sources.values():
            source.camera.close()
        if self.controller is not None:
            self.controller.close()
        now_ns = self.clock.now_ns()
        if self._loop is not None:
            for record in self._loop.finish(now_ns):
                self.books.settled(record)
        self._recording.stop()

    # -- thread bodies -----------------------------------------------------------------------------------------------

    def _capture(self, camera_id: str) -> None:
        source = self._sources[camera_id]
        if source.ended or not self._reopened(camera_id, source):
            self.clock.sleep_ns(20 * MS)
            return
        if not source.info.live and not source.frames.empty:
            self.clock.sleep_ns(MS)  # a recording waits to be seen: nothing of it is dropped
            return
        try:
            frame = source.camera.read()
        except CameraLost as error:
            self._lose(camera_id, source, str(error))
            return
        if frame is None:
            source.ended = True
            return
        self.books.frames.captured += 1
        source.captured += 1
        fresh = source.guard.judge(frame, self.clock.now_ns()) if source.info.live else Freshness.OK
        if fresh is not Freshness.OK:
            self.books.frames.stale += 1  # black, frozen, repeated or too old: never shown to the model
            source.poor += fresh is not Freshness.STALE
            source.trouble = POOR_PICTURES[fresh]
            return
        source.newest_ns, source.trouble = frame.captured_ns, ""
        source.frames.put(frame)
        self._frame_ready.set()

    def _reopened(self, camera_id: str, source: _Source) -> bool:
        if source.open:
            return True
        try:
            source.info = source.camera.open()
        except CameraError:
            self.clock.sleep_ns(REOPEN_AFTER_NS)
            return False
        source.open = True
        away_ms = (self.clock.now_ns() - (source.lost_ns or self.clock.now_ns())) / 1e6
        self.books.event(EventKind.CAMERA_BACK, self.clock.now_ns(), camera_id, away_ms=round(away_ms))
        return True

    def _lose(self, camera_id: str, source: _Source, why: str) -> None:
        source.open, source.lost_ns, source.trouble = False, self.clock.now_ns(), ""
        source.camera.close()
        self.books.event(EventKind.CAMERA_LOST, source.lost_ns, camera_id, why=why)

    def _move_link(self) -> None:
        assert self.controller is not None
        self.controller.wait(LINK_WAIT_S)
        for reply in self.controller.poll(self.clock.now_ns()):
            self._replies.put(reply)

    def _turn(self) -> None:
        """One turn of the sort loop."""
        self._frame_ready.wait(IDLE_WAIT_S)
        self._frame_ready.clear()
        newest = self._newest_frames()
        frames = self._placed(newest)
        replies = self._replies.take_all()
        controls = Controls(
            commands=tuple(self._commands.take_all()),
            link=self._link_state(),
            fault=self._fault(),
            recorder_full=self.books.recorder.full,
            alive=tuple(frame.camera_id for frame in newest),
            camera_words=", ".join(
                f"camera {camera_id}: {source.trouble}" for camera_id, source in self._sources.items() if source.trouble
            ),
        )
        result = self.loop.step(self.clock.now_ns(), frames, replies, controls)
        self._tell(result)
        self._keep_books(frames, replies, result)
        if newest or result.state_changed:  # a picture that could not be placed on the belt can still be looked at
            self.scene.put(Scene(self.clock.now_ns(), tuple(newest), result))

    def _tell(self, result: StepResult) -> None:
        if self.controller is None:
            return
        now_ns = self.clock.now_ns()
        tell(self.controller, result, now_ns)
        self.loop.enqueued(result.commands, now_ns)
        self.books.sent(result, now_ns)

    def _keep_books(self, frames: Sequence[Frame], replies: Sequence[Reply], result: StepResult) -> None:
        now_ns = self.clock.now_ns()
        self.books.frames.processed += len(frames)
        self.books.frames.dropped = sum(source.frames.dropped for source in self._sources.values())
        self.books.heard(replies)
        self.books.stepped(result)
        if result.state_changed:
            machine = self.loop.machine
            self.books.event(EventKind.STATE, now_ns, state=machine.state.name.lower(), reason=machine.reason)

    def _record(self) -> None:
        self.books.recorder.step(self.clock.now_ns())
        self.clock.sleep_ns(RECORD_EVERY_NS)

    # -- questions ---------------------------------------------------------------------------------------------------

    def _newest_frames(self) -> list[Frame]:
        taken = (source.frames.take_newest() for source in self._sources.values())
        return [frame for frame in taken if frame is not None]

    def _placed(self, frames: Sequence[Frame]) -> list[Frame]:
        """Frames with their encoder count. One that cannot be placed on the belt is stale: no decision rests on it."""
        if self.controller is None:
            return list(frames)
        capabilities = self.controller.capabilities()
        if capabilities is not None and not capabilities.has_count:
            return list(frames)
        placed = []
        for frame in frames:
            at = self.controller.count_at(frame.captured_ns)
            if at is None:
                self.books.frames.stale += 1
            else:
                placed.append(replace(frame, belt_count=at.count, belt_count_bound=at.bound))
        return placed

    def _link_state(self) -> LinkState | None:
        return None if self.controller is None else self.controller.status().state

    def _fault(self) -> str | None:
        if self.crash is not None:
            return f"thread {self.crash[0]} failed: {self.crash[1]}"
        return None

    def note_crash(self, name: str, error: BaseException) -> None:
        """The edge of every thread: outputs off, tell it once, let the main thread end the run."""
        self.crash = self.crash or (name, error)
        self.stop_outputs()
        what = EventKind.OVERFLOW if isinstance(error, ChannelFull) else EventKind.CRASH
        self.books.event(what, self.clock.now_ns(), thread=name, error=f"{type(error).__name__}: {error}")


def status_line(live: LiveRun) -> str:
    """One line for a person at a terminal."""
    ledger, machine = live.loop.ledger, live.loop.machine
    p50, p99 = live.books.latency_p50_p99_ms()
    outcomes = " ".join(f"{ledger.by_outcome[kind]} {kind.value}" for kind in OutcomeKind)
    link = live.controller.status().state.value if live.controller is not None else "NO DIVERTS SENT"
    latency = f"latency {p50:.0f}/{p99:.0f} ms" if p50 is not None and p99 is not None else "latency -"
    return (
        f"{machine.state.name:<9} {ledger.total} items: {outcomes}, {ledger.in_flight} in flight | {latency} | "
        f"frames {live.books.frames.processed} ({live.books.frames.dropped} dropped) | {link}"
    )


def _bound(body: Callable[[str], None], camera_id: str) -> Callable[[], None]:
    return lambda: body(camera_id)


def _no_link(status: LinkStatus) -> str:
    return (
        f"{status.port}: the controller is not ready ({status.state.value}). Check cable, power and firmware; "
        "`station ports ping` shows what it says. `--dry-run` runs without it."
    )
