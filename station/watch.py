"""Keeps an eye on a running station: readings to conditions to alarms, a few times a second.

Knows where the figures of a run stand and who must be told; the thresholds are health's, the list is the alarm book's.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from firmware_bridge.messages import LinkState, LinkStatus
from station.alarms import AlarmBook, AlarmView, Input
from station.bins import BinLevels
from station.config import StationConfig
from station.events import EventKind
from station.health import CameraReading, Condition, Health, Limits, Reading
from station.live import LiveRun

EVERY_NS = 250_000_000
DISK_EVERY_NS = 5_000_000_000
CAMERA_SILENT_NS = 500_000_000
RESTART_SHOWN_NS = 3_000_000_000
ENCODER_ASKED_NS = 60_000_000  # its samples are at most 30 ms old
ANSWERING = (LinkState.READY, LinkState.ARMED)

EVENT_OF = {
    Input.RAISE: EventKind.ALARM_RAISED,
    Input.CLEAR: EventKind.ALARM_CLEARED,
    Input.ACKNOWLEDGE: EventKind.ALARM_ACKNOWLEDGED,
}


class Watch:
    def __init__(self, config: StationConfig, run: LiveRun) -> None:
        self._config = config
        self._run = run
        limits = Limits(latency_ms=config.budget.latency_ms, sync_bound_us=config.link.max_sync_bound_us)
        self._health = Health(limits)
        self._book = AlarmBook()
        self._due_ns = 0
        self._disk_due_ns = 0
        self._disk_free: int | None = None
        self._bins = BinLevels(config.sort, run.books.landed_before)
        self._boot_id: int | None = None  # of the controller
        self._restarted_ns: int | None = None

    def listed(self) -> tuple[AlarmView, ...]:
        return self._book.listed()

    def step(self, page_restarts: int = 0, broker_trouble: str = "") -> None:
        """Called often; looks every 250 ms. `page_restarts`: of the page's process, so far."""
        now_ns = self._run.clock.now_ns()
        if now_ns < self._due_ns:
            return
        self._due_ns = now_ns + EVERY_NS
        self._bins.update(self._run.books.landed)
        reading = replace(self._reading(now_ns), page_restarts=page_restarts, broker_trouble=broker_trouble)
        conditions = self._health.read(reading)
        words = {condition.value: text for condition, text in conditions.items()}
        for change in self._book.update(words, now_ns):
            self._tell(change.what, change.alarm_id, change.words)

    def obey(self, wish: dict[str, Any]) -> None:
        """Acknowledge, shelve or unshelve, as the page asks."""
        alarm_id, now_ns = str(wish.get("alarm", "")), self._run.clock.now_ns()
        match wish.get("command"):
            case "acknowledge":
                change = self._book.acknowledge(alarm_id)
                if change is not None:
                    self._tell(change.what, alarm_id, change.words)
                    self._empty_bins(alarm_id)
            case "shelve":
                self._book.shelve(alarm_id, float(wish.get("minutes") or 30.0), now_ns)
            case "unshelve":
                self._book.unshelve(alarm_id, now_ns)

    def finish(self) -> None:
        """The end of the run: what lies in the bins is written down for the next."""
        self._bins.update(self._run.books.landed)
        if self._bins.levels():
            self._run.books.event(EventKind.BINS, self._run.clock.now_ns(), levels=dict(self._bins.levels()))

    def _empty_bins(self, alarm_id: str) -> None:
        """To acknowledge a full bin is to say that it has been emptied: that is what the alarm asks for."""
        if alarm_id != Condition.BIN_FULL.value:
            return
        taken = self._bins.empty(self._bins.full())
        now_ns, levels = self._run.clock.now_ns(), self._bins.levels()
        self._run.books.event(EventKind.BINS, now_ns, emptied=dict(taken), levels=dict(levels))

    def _tell(self, what: Input, alarm_id: str, words: str) -> None:
        if what in EVENT_OF:
            self._run.books.event(EVENT_OF[what], self._run.clock.now_ns(), alarm=alarm_id, words=words)

    def _reading(self, now_ns: int) -> Reading:
        run = self._run
        status = run.controller.status() if run.controller is not None else None
        ledger, recorder = run.loop.ledger, run.books.recorder
        _, p99_ms = run.books.latency_p50_p99_ms()
        return Reading(
            at_ns=now_ns,
            cameras={
                camera.id: CameraReading(
                    live=now_ns - run.newest_frame_ns(camera.id) < CAMERA_SILENT_NS,
                    captured=run.captured(camera.id),
                    poor=run.poor(camera.id),
                    configured_fps=camera.fps,
                    trouble=run.camera_trouble(camera.id),
                )
                for camera in self._config.cameras
            },
            link=status.state if status is not None else None,
            sync_bound_us=status.sync_bound_us if status is not None else None,
            restarted=self._restarted(status, now_ns),
            controller_faults=status.faults if status is not None else (),
            model_trouble=run.loop.model_trouble(now_ns),
            encoder_silent=self._encoder_silent(status, now_ns),
            encoder_stands=run.loop.encoder_stands,
            speed_trouble=run.loop.speed_trouble,
            unarmed_ns=run.loop.machine.unarmed_ns(now_ns),
            jammed=run.loop.jammed,
            full_bins=tuple(self._bins.full().values()),
            outcomes=dict(ledger.by_reason),
            decisions=dict(ledger.by_decision),
            latency_p99_ms=p99_ms,
            fault=None if run.crash is None else f"thread {run.crash[0]}: {run.crash[1]}",
            history_away=recorder.trouble is not None or recorder.full,
            history_waiting=recorder.depth,
            disk_free_bytes=self._free_disk(now_ns),
        )

    def _restarted(self, status: LinkStatus | None, now_ns: int) -> bool:
        """The controller is another boot than before, since a moment ago: what it held is lost, whatever it does now."""
        boot_id = status.boot_id if status is not None else None
        if boot_id is not None and boot_id != self._boot_id:
            if self._boot_id is not None:
                self._restarted_ns = now_ns
            self._boot_id = boot_id
        return self._restarted_ns is not None and now_ns - self._restarted_ns < RESTART_SHOWN_NS

    def _encoder_silent(self, status: LinkStatus | None, now_ns: int) -> bool:
        """The link answers, the device has an encoder, and yet no count is known for a moment ago."""
        controller = self._run.controller
        if controller is None or status is None or status.state not in ANSWERING:
            return False
        capabilities = controller.capabilities()
        has_count = capabilities is not None and capabilities.has_count
        return has_count and controller.count_at(now_ns - ENCODER_ASKED_NS) is None

    def _free_disk(self, now_ns: int) -> int | None:
        if now_ns >= self._disk_due_ns:
            self._disk_due_ns = now_ns + DISK_EVERY_NS
            place = Path(self._config.record.directory)
            try:
                self._disk_free = shutil.disk_usage(place if place.exists() else Path()).free
            except OSError:
                self._disk_free = None  # the history alarm speaks of a disk that is away
        return self._disk_free
