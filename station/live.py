"""The station in wall time: its threads, who owns what, and the order of start and stop.

    capture-ID   owns its camera        camera -> spotted frames (newest wins, drops counted); see camera_thread
    link         owns the port          commands -> port -> replies (overflow is a fault)
    sort         owns the SortLoop      spotted frames, replies -> commands, records, scene
    recorder     owns files             records -> disk

No thread here times an edge: the device does. Knows no stage's work; the loop itself is `pipeline.SortLoop.step`.
"""

import gc
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from firmware_bridge.controller import Controller
from firmware_bridge.link import WAIT_S as LINK_WAIT_S
from firmware_bridge.messages import LinkChanged, LinkState, LinkStatus, Reply
from station.books import Books
from station.camera_thread import CameraNews, CameraThread, Caught, FrameSpotter
from station.capture.camera import Camera, CameraInfo
from station.capture.source import check_size
from station.channels import Bounded, ChannelFull, Latest
from station.clock import Clock
from station.config import CameraConfig
from station.datatypes import Frame, OutcomeKind, ms_in_words
from station.errors import ControllerError
from station.events import EventKind, Json
from station.lockstep import placed_by, tell
from station.machine import Command, State
from station.pipeline import Controls, SortLoop, StepResult
from station.tracking.spotter import Spotted
from station.worker import Worker

MS = 1_000_000
IDLE_WAIT_S = 0.010
RECORD_EVERY_NS = 40 * MS
LINK_START_NS = 8_000 * MS
REPLIES_HELD = 4096
SETTLE_NS = 400 * MS  # after STOP: the device's last words


class WaitedController(Controller, Protocol):
    """A controller whose owner's thread waits on its port."""

    def wait(self, timeout_s: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Scene:
    """What there is to see at one moment: for overlay, page and video."""

    at_ns: int
    frames: tuple[Frame, ...]
    result: StepResult


class LiveRun:
    def __init__(self, clock: Clock, books: Books, controller: WaitedController | None) -> None:
        self.clock = clock
        self.books = books
        self.controller = controller
        self.scene: Latest[Scene] = Latest()
        self.crash: tuple[str, BaseException] | None = None
        self._link_said = ""  # last, in words: why it is not ready
        self._cameras: dict[str, CameraThread] = {}
        self._replies: Bounded[Reply] = Bounded("replies", REPLIES_HELD)
        self._commands: Bounded[tuple[Command, str]] = Bounded("operator commands", 64)
        self._frame_ready = threading.Event()
        self._capturing: list[Worker] = []
        self._linking: Worker | None = None
        self._sorting: Worker | None = None
        self._recording = Worker("recorder", self._record, self.note_crash)
        self._loop: SortLoop | None = None

    # -- start, in the order of the start checks: camera, controller, model ----------------------------------------

    def open_cameras(
        self, cameras: Mapping[str, Camera], described: Sequence[CameraConfig] = ()
    ) -> dict[str, CameraInfo]:
        """Raises CameraError, also for pictures of another size than a described camera's millimetres hold for."""
        news = CameraNews(self._frame_ready.set, self._note_lost, self._note_back)
        sizes_px = {camera.id: camera.scaled_for_px for camera in described}
        for camera_id, camera in cameras.items():
            info, size_px = camera.open(), sizes_px.get(camera_id)
            self._cameras[camera_id] = CameraThread(camera_id, camera, info, self.clock, self._placed, news, size_px)
            check_size(info, size_px)  # last: what is open is closed at the end
        return {camera_id: one.info for camera_id, one in self._cameras.items()}

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
        raise ControllerError(_no_link(status, self._link_said))

    def begin(self, loop: SortLoop, spotters: Mapping[str, FrameSpotter], start: bool = True) -> None:
        """Everything is there: look, decide, and start the machine; without `start` it stands ready for a person's START."""
        self._loop = loop
        # All that was loaded so far is here to stay. The collector would look through it now and then, for 300 ms in which
        # no thread of ours runs: longer than a lease.
        gc.collect()
        gc.freeze()
        self._recording.start()
        for camera_id, camera in self._cameras.items():
            camera.spotter = spotters[camera_id]
            self._capturing.append(Worker(f"capture-{camera_id}", camera.body, self.note_crash))
        self._sorting = Worker("sort", self._turn, self.note_crash)
        for worker in (*self._capturing, self._sorting):
            worker.start()
        self.command(Command.RESET, "start of the run")
        self.wait_for(lambda: self.loop.machine.state is State.IDLE, 15.0)  # the first steps on a busy machine
        if start:
            self.command(Command.START, "start of the run")

    # -- while it runs -----------------------------------------------------------------------------------------------

    @property
    def loop(self) -> SortLoop:
        assert self._loop is not None, "begin() comes first"
        return self._loop

    @property
    def ended(self) -> bool:
        """Every source was a recording and has been read to its end."""
        return all(camera.ended and camera.caught.empty for camera in self._cameras.values())

    def captured(self, camera_id: str) -> int:
        """Frames this source has given so far."""
        camera = self._cameras.get(camera_id)
        return camera.tally.captured if camera is not None else 0

    def poor(self, camera_id: str) -> int:
        """Of these, black, frozen or repeated ones, or of another size: they are not used."""
        camera = self._cameras.get(camera_id)
        return camera.poor if camera is not None else 0

    def camera_trouble(self, camera_id: str) -> str:
        """Why the pictures that come are not used; empty when they are, or when none come."""
        camera = self._cameras.get(camera_id)
        return camera.trouble if camera is not None else ""

    def newest_frame_ns(self, camera_id: str) -> int:
        """Capture of the newest good frame of this source; 0 before the first."""
        camera = self._cameras.get(camera_id)
        return camera.newest_ns if camera is not None else 0

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
        gc.unfreeze()
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
        for one in self._cameras.values():
            one.camera.close()
        self._count_frames()
        if self.controller is not None:
            self.controller.close()
        now_ns = self.clock.now_ns()
        if self._loop is not None:
            for record in self._loop.finish(now_ns):
                self.books.settled(record)
        self._recording.stop()

    # -- thread bodies -----------------------------------------------------------------------------------------------

    def _move_link(self) -> None:
        assert self.controller is not None
        self.controller.wait(LINK_WAIT_S)
        for reply in self.controller.poll(self.clock.now_ns()):
            if isinstance(reply, LinkChanged) and reply.detail:
                self._link_said = reply.detail
            self._replies.put(reply)

    def _turn(self) -> None:
        """One turn of the sort loop."""
        self._frame_ready.wait(IDLE_WAIT_S)
        self._frame_ready.clear()
        caught = self._newest()
        spotted = [one.spotted for one in caught if one.spotted is not None]
        replies = self._replies.take_all()  # after the frames: a restart is heard before its first count is seen
        result = self.loop.step(self.clock.now_ns(), spotted, replies, self._controls(caught))
        self._tell(result)
        self._keep_books(spotted, replies, result)
        if caught or result.state_changed:  # a picture that could not be placed on the belt can still be looked at
            self.scene.put(Scene(self.clock.now_ns(), tuple(one.frame for one in caught), result))

    def _controls(self, caught: Sequence[Caught]) -> Controls:
        return Controls(
            commands=tuple(self._commands.take_all()),
            link=self._link_state(),
            fault=self._fault(),
            recorder_full=self.books.recorder.full,
            alive=tuple(one.frame.camera_id for one in caught),
            camera_words=", ".join(
                f"camera {camera_id}: {camera.trouble}" for camera_id, camera in self._cameras.items() if camera.trouble
            ),
            live=any(camera.info.live for camera in self._cameras.values()),
        )

    def _tell(self, result: StepResult) -> None:
        if self.controller is None:
            return
        now_ns = self.clock.now_ns()
        tell(self.controller, result, now_ns)
        self.loop.enqueued(result.commands, now_ns)
        self.books.sent(result, now_ns)

    def _keep_books(self, spotted: Sequence[Spotted], replies: Sequence[Reply], result: StepResult) -> None:
        now_ns = self.clock.now_ns()
        for one in spotted:
            self._cameras[one.frame.camera_id].tally.processed += 1
        self._count_frames()
        self.books.heard(replies)
        self.books.stepped(result)
        if result.state_changed:
            machine = self.loop.machine
            self.books.event(EventKind.STATE, now_ns, state=machine.state.name.lower(), reason=machine.reason)

    def _count_frames(self) -> None:
        for camera_id, camera in self._cameras.items():
            camera.tally.dropped = camera.dropped
            self.books.cameras[camera_id] = camera.tally

    def _note_lost(self, camera_id: str, why: str) -> None:
        self.books.event(EventKind.CAMERA_LOST, self.clock.now_ns(), camera_id, why=why)

    def _note_back(self, info: CameraInfo, away_ns: int) -> None:
        # Plugged in again, it may refuse what it took at the start: other light than the model was trained in.
        refused: dict[str, Json] = {"words": "; ".join(info.warnings)} if info.warnings else {}
        away_ms = round(away_ns / 1e6)
        self.books.event(EventKind.CAMERA_BACK, self.clock.now_ns(), info.camera_id, away_ms=away_ms, **refused)

    def _record(self) -> None:
        self.books.recorder.step(self.clock.now_ns())
        self.clock.sleep_ns(RECORD_EVERY_NS)

    # -- questions ---------------------------------------------------------------------------------------------------

    def _newest(self) -> list[Caught]:
        taken = (camera.caught.take_newest() for camera in self._cameras.values())
        return [one for one in taken if one is not None]

    def _placed(self, frame: Frame) -> Frame | None:
        """The frame with its encoder count. One that cannot be placed on the belt is stale: no decision rests on it."""
        if self.controller is None:
            return frame
        capabilities = self.controller.capabilities()
        if capabilities is not None and not capabilities.has_count:
            return frame
        return placed_by(self.controller, frame)

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
    held = f" | {machine.reason}" if machine.state in (State.HELD, State.ABORTED) else ""
    speed = f" | NOTHING EJECTED, belt speed: {live.loop.speed_trouble}" if live.loop.speed_trouble else ""
    latency = f"latency {ms_in_words(p50)}/{ms_in_words(p99)} ms"
    return (
        f"{machine.state.name:<9} {ledger.total} items: {outcomes}, {ledger.in_flight} in flight | {latency} | "
        f"frames {live.books.frames.processed} ({live.books.frames.dropped} dropped) | {link}{held}{speed}"
    )


def _no_link(status: LinkStatus, said: str) -> str:
    why = said or "check cable, power and firmware"
    named = why if why.startswith(status.port) else f"{status.port}: {why}"
    return (
        f"{named}. The controller is not ready ({status.state.value}); `station ports ping` measures the link, "
        "`--dry-run` runs without it."
    )
