"""What the run shows: one Snapshot per scene, handed to the window, the video and the page. Runs on its own thread.

May fall behind, may drop, never holds up the loop. Knows viewers and the Snapshot; decides nothing.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from firmware_bridge.messages import LinkState, LinkStatus
from station.config import StationConfig
from station.datatypes import BgrImage, Frame, OutcomeKind
from station.errors import ConfigError
from station.events import EventKind
from station.live import LiveRun, Scene
from station.machine import NEXT, Command, State
from station.panel.filming import Filming
from station.panel.process import PanelProcess
from station.panel.snapshot import SeenCamera, SeenItem, Snapshot, seen_item
from station.panel.values import PageFacts, page_values
from station.panel.window import OverlayWindow
from station.record.run_report import percentile
from station.watch import Watch
from station.worker import Worker

if TYPE_CHECKING:
    from station.outputs.mqtt import MqttOutput

MS = 1_000_000
FPS_SMOOTHING = 0.9
CAMERA_SILENT_NS = 500 * MS
PUBLISH_EVERY_NS = 150 * MS
WISH_VOID_NS = 2000 * MS  # the page has said by then that nothing happened
ANSWERING = (LinkState.READY, LinkState.ARMED)
NORMAL = (State.EXECUTE, State.IDLE, State.STARTING)
COMMANDS = frozenset(command.value for command in Command)


def taken_in(state: State) -> tuple[str, ...]:
    """The commands that mean something in this state: what the page offers is what the machine's own table takes."""
    return tuple(command.value for command in Command if (state, command) in NEXT)


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
    panel: PanelProcess | None = None
    broker: "MqttOutput | None" = None


def _broker(config: StationConfig) -> "MqttOutput | None":
    """Connecting, if one is configured. Raises ConfigError."""
    if config.mqtt is None:
        return None
    try:
        from station.outputs.mqtt import MqttOutput
    except ModuleNotFoundError as error:
        raise ConfigError(f"[mqtt]: {error}. It needs the package: pip install paho-mqtt") from None
    broker = MqttOutput(config.mqtt, config.name)
    broker.start()
    return broker


class Screen:
    def __init__(self, config: StationConfig, run: LiveRun, setup: ScreenSetup) -> None:
        self._config = config
        self._run = run
        self._setup = setup
        self._viewers = _Viewers()
        self._last: Scene | None = None
        self._last_snapshot: Snapshot | None = None
        self._published_ns = 0
        self._watch = Watch(config, run)
        self._seen: dict[str, _Seen] = {}
        self._workers: list[Worker] = []
        self.url: str | None = None
        self.note: str | None = None  # why there is no page

    def start(self) -> None:
        """Start what was asked for. Raises ConfigError for an address that was named and cannot be had."""
        if self._setup.display:
            self._viewers.window = OverlayWindow(self._config.name)
        if self._setup.record is not None:
            fps = {camera.id: camera.fps for camera in self._config.cameras}
            self._viewers.filming = Filming(self._setup.record, fps)
        self._start_panel()
        self._viewers.broker = _broker(self._config)
        self._workers = [Worker("screen", self._step, self._run.note_crash)]  # alarms are kept also when nobody looks
        if self._viewers.filming is not None:
            self._workers.append(Worker("filming", self._viewers.filming.step, self._run.note_crash))
        for worker in self._workers:
            worker.start()

    def _start_panel(self) -> None:
        http = self._setup.http
        if http == "off":
            return
        address = self._config.panel.http if http is None else http
        settings = self._config.panel.model_copy(update={"http": address})
        panel = PanelProcess(settings, self._config.name, on_stop=self._stop, on_crash=self._run.note_crash)
        try:
            self.url = panel.start()
        except ConfigError as error:
            if http is not None:
                raise
            self.note = f"no page: {error}"
            panel.close()
            return
        self._viewers.panel = panel

    def close(self) -> list[Path]:
        """End the viewers; the video files that were written."""
        for worker in self._workers:
            worker.stop()
        self._watch.finish()
        if self._viewers.window is not None:
            self._viewers.window.close()
        if self._viewers.panel is not None:
            self._viewers.panel.close()
        if self._viewers.broker is not None:
            self._viewers.broker.close()
        return self._viewers.filming.close() if self._viewers.filming is not None else []

    def _step(self) -> None:
        """Show the newest scene; without one, tell the page five times a second that the station lives."""
        self._obey_page()
        panel, broker = self._viewers.panel, self._viewers.broker
        self._watch.step(panel.restarts if panel is not None else 0, broker.trouble if broker is not None else "")
        self._tell_broker()
        scene = self._run.scene.peek()
        if scene is None or scene is self._last:
            self._publish({})
            self._run.clock.sleep_ns(4 * MS)
            return
        self._last = scene
        snapshot = self._last_snapshot = self.snapshot(scene)
        for frame in scene.frames:
            if self._viewers.filming is not None:
                self._viewers.filming.offer(frame.camera_id, frame.bgr, snapshot)
            if self._viewers.window is not None:
                self._viewers.window.show(frame.camera_id, frame.bgr, snapshot)
        self._publish({frame.camera_id: frame.bgr for frame in scene.frames})

    # -- the page ----------------------------------------------------------------------------------------------------

    def _publish(self, frames: dict[str, BgrImage]) -> None:
        panel, snapshot, now_ns = self._viewers.panel, self._last_snapshot, self._run.clock.now_ns()
        if panel is None or snapshot is None or (not frames and now_ns - self._published_ns < PUBLISH_EVERY_NS):
            return
        self._published_ns = now_ns
        if not frames:
            snapshot = self._last_snapshot = self._refreshed(snapshot, now_ns)
        facts = self._page_facts()
        panel.publish(lambda: page_values(snapshot, facts), frames)

    def _tell_broker(self) -> None:
        broker, snapshot, clock = self._viewers.broker, self._last_snapshot, self._run.clock
        now_ns = clock.now_ns()
        if broker is not None and snapshot is not None and broker.due(now_ns):
            broker.tell(page_values(self._refreshed(snapshot, now_ns), self._page_facts()), now_ns, clock.utc_ns())

    def _refreshed(self, snapshot: Snapshot, now_ns: int) -> Snapshot:
        """No new frame: the state and the link as they are now, the cameras as long silent as they are."""
        machine, status = self._run.loop.machine, self._status()
        cameras = {
            camera_id: replace(
                seen.camera,
                live=now_ns - self._run.newest_frame_ns(camera_id) < CAMERA_SILENT_NS,
                trouble=self._run.camera_trouble(camera_id),
            )
            for camera_id, seen in self._seen.items()
        }
        return replace(
            snapshot,
            made_ns=now_ns,
            state=machine.state.name,
            state_reason=machine.reason,
            normal=machine.state in NORMAL,
            commands=taken_in(machine.state),
            link=status.state if status is not None else None,
            by_outcome={kind: self._run.loop.ledger.by_outcome[kind] for kind in OutcomeKind},
            in_flight=self._run.loop.ledger.in_flight,
            cameras=cameras,
        )

    def _page_facts(self) -> PageFacts:
        run, status = self._run, self._status()
        slack = list(run.books.slack_ms)
        speed_mm_s = run.loop.speed_mm_s if self._belt_is_known(status) else None
        return PageFacts(
            state_number=int(run.loop.machine.state),
            state_since_ns=run.loop.machine.since_ns,
            reasons=dict(run.loop.ledger.by_reason),
            slack_p1_ms=percentile(slack, 1),
            slack_p50_ms=percentile(slack, 50),
            belt_speed_m_s=None if speed_mm_s is None else speed_mm_s / 1000,
            link_port=status.port if status is not None else None,
            link_timing=status.timing if status is not None else None,
            sync_bound_us=status.sync_bound_us if status is not None else None,
            link_retries=status.retries if status is not None else 0,
            recent=tuple(run.books.recent),
            alarms=self._watch.listed(),
            events=tuple(reversed(run.books.happened)),
        )

    def _belt_is_known(self, status: LinkStatus | None) -> bool:
        """Not while the encoder is behind a link that does not answer: the last speed would look like the speed."""
        if self._run.controller is None or status is None or status.state in ANSWERING:
            return True
        capabilities = self._run.controller.capabilities()
        return capabilities is not None and not capabilities.has_count

    def _stop(self, command: str, who: str) -> None:
        """STOP or ABORT, on the panel's own thread for it: outputs off, and the machine told, whatever the screen does.

        Both at once: a machine that only sees the outputs go off takes it for a loss, and would re-arm by itself.
        """
        self._run.command(Command(command), who)

    def _obey_page(self) -> None:
        """Operators' other wishes from the page."""
        panel = self._viewers.panel
        now_ns = self._run.clock.now_ns()
        for wish in panel.commands() if panel is not None else []:
            if now_ns - int(wish.get("at_ns", now_ns)) > WISH_VOID_NS:
                words = f"{wish.get('command')} came too late and was not done"
                self._run.books.event(EventKind.OPERATOR, now_ns, words=words, who=str(wish.get("from", "page")))
            elif wish.get("command") in COMMANDS:
                self._run.command(Command(wish["command"]), str(wish.get("from", "page")))
            else:
                self._watch.obey(wish)

    def _status(self) -> LinkStatus | None:
        return self._run.controller.status() if self._run.controller is not None else None

    # -- the snapshot ------------------------------------------------------------------------------------------------

    def snapshot(self, scene: Scene) -> Snapshot:
        """The scene in the words of the screen."""
        run, machine = self._run, self._run.loop.machine
        for frame in scene.frames:
            self._note_camera(frame.camera_id, frame.captured_ns, self._items(scene, frame))
        status = self._status()
        p50, p99 = run.books.latency_p50_p99_ms()
        return Snapshot(
            made_ns=scene.at_ns,
            state=machine.state.name,
            state_reason=machine.reason,
            normal=machine.state in NORMAL,
            commands=taken_in(machine.state),
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

    def _items(self, scene: Scene, frame: Frame) -> tuple[SeenItem, ...]:
        """What was seen in this very frame; in one that could not be placed on the belt nothing was."""
        items = []
        # An item given up when it was decided is still in view: it must not look as if it had been let pass.
        outcomes = {record.outcome.track_id: record.outcome for record in tuple(self._run.books.recent)}
        for track in scene.result.tracks:
            if track.camera_id != frame.camera_id or track.last_seen_ns != frame.captured_ns:
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
