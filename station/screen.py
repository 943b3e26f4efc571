"""What the run shows: one Snapshot per scene, handed to the window, the video and the page. Runs on its own thread.

May fall behind, may drop, never holds up the loop. Knows viewers and the Snapshot; decides nothing.
"""

from dataclasses import dataclass, field
from pathlib import Path

from station.config import StationConfig
from station.datatypes import OutcomeKind
from station.live import LiveRun, Scene
from station.machine import State
from station.panel.filming import Filming
from station.panel.snapshot import SeenCamera, SeenItem, Snapshot, seen_item
from station.panel.window import OverlayWindow
from station.worker import Worker

MS = 1_000_000
FPS_SMOOTHING = 0.9
CAMERA_SILENT_NS = 500 * MS


@dataclass(frozen=True, slots=True)
class ScreenSetup:
    simulated: bool = False
    display: bool = False
    record: Path | None = None
    http: str | None = None  # address of the page; None: as configured; off: none


@dataclass(slots=True)
class _Seen:
    camera: SeenCamera
    last_ns: int
    fps: float | None = None


@dataclass(slots=True)
class _Viewers:
    window: OverlayWindow | None = None
    filming: Filming | None = None
    files: list[Path] = field(default_factory=list)


class Screen:
    def __init__(self, config: StationConfig, run: LiveRun, setup: ScreenSetup) -> None:
        self._config = config
        self._run = run
        self._setup = setup
        self._viewers = _Viewers()
        self._last: Scene | None = None
        self._seen: dict[str, _Seen] = {}
        self._workers: list[Worker] = []

    @property
    def wanted(self) -> bool:
        return self._setup.display or self._setup.record is not None

    def start(self) -> None:
        if self._setup.display:
            self._viewers.window = OverlayWindow(self._config.name)
        if self._setup.record is not None:
            fps = {camera.id: camera.fps for camera in self._config.cameras}
            self._viewers.filming = Filming(self._setup.record, fps)
        if self.wanted:
            self._workers = [Worker("screen", self._step, self._run.note_crash)]
        if self._viewers.filming is not None:
            self._workers.append(Worker("filming", self._viewers.filming.step, self._run.note_crash))
        for worker in self._workers:
            worker.start()

    def close(self) -> list[Path]:
        """End the viewers; the video files that were written."""
        for worker in self._workers:
            worker.stop()
        if self._viewers.window is not None:
            self._viewers.window.close()
        return self._viewers.filming.close() if self._viewers.filming is not None else []

    def _step(self) -> None:
        scene = self._run.scene.peek()
        if scene is None or scene is self._last:
            self._run.clock.sleep_ns(4 * MS)
            return
        self._last = scene
        snapshot = self.snapshot(scene)
        for frame in scene.frames:
            if self._viewers.filming is not None:
                self._viewers.filming.offer(frame.camera_id, frame.bgr, snapshot)
            if self._viewers.window is not None:
                self._viewers.window.show(frame.camera_id, frame.bgr, snapshot)

    def snapshot(self, scene: Scene) -> Snapshot:
        """The scene in the words of the screen."""
        run, machine = self._run, self._run.loop.machine
        for frame in scene.frames:
            self._note_camera(frame.camera_id, frame.captured_ns, self._items(scene, frame.camera_id))
        status = run.controller.status() if run.controller is not None else None
        p50, p99 = run.books.latency_p50_p99_ms()
        return Snapshot(
            made_ns=scene.at_ns,
            state=machine.state.name,
            state_reason=machine.reason,
            normal=machine.state in (State.EXECUTE, State.IDLE, State.STARTING),
            link=status.state if status is not None else None,
            link_detail=status.port if status is not None else "",
            simulated=self._setup.simulated,
            latency_p50_ms=p50,
            latency_p99_ms=p99,
            latency_budget_ms=self._config.budget.latency_ms,
            by_outcome={kind: run.loop.ledger.by_outcome[kind] for kind in OutcomeKind},
            in_flight=run.loop.ledger.in_flight,
            cameras={camera_id: seen.camera for camera_id, seen in self._seen.items()},
        )

    def _items(self, scene: Scene, camera_id: str) -> tuple[SeenItem, ...]:
        items = []
        # An item given up when it was decided is still in view: it must not look as if it had been let pass.
        outcomes = {record.outcome.track_id: record.outcome for record in tuple(self._run.books.recent)}
        for track in scene.result.tracks:
            if track.camera_id != camera_id:
                continue
            item = seen_item(
                track,
                scene.result.beliefs.get(track.track_id),
                self._run.loop.decision_of(track.track_id),
                gate_mask=self._run.loop.ledger.gate_mask_of(track.track_id),
                outcome=outcomes.get(track.track_id),
            )
            if item is not None:
                items.append(item)
        return tuple(items)

    def _note_camera(self, camera_id: str, captured_ns: int, items: tuple[SeenItem, ...]) -> None:
        before = self._seen.get(camera_id)
        fps = before.fps if before is not None else None
        if before is not None and captured_ns > before.last_ns:
            now_fps = 1e9 / (captured_ns - before.last_ns)
            fps = now_fps if fps is None else FPS_SMOOTHING * fps + (1 - FPS_SMOOTHING) * now_fps
        camera = SeenCamera(camera_id, captured_ns, fps=fps, dropped=self._run.books.frames.dropped, items=items)
        self._seen[camera_id] = _Seen(camera, captured_ns, fps)
