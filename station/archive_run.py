"""Opening and closing the books of one run: folder, history, recorder, and the report at the end.

The report is made from what was stored (items.jsonl), never from objects in memory, so that it can only say what an outsider
can recount. Knows records and the report; nothing of cameras, links or threads.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from firmware_bridge.messages import LinkStatus
from firmware_bridge.trace import STATION_WIRE
from station.books import Books
from station.clock import Clock
from station.config import StationConfig
from station.crop_choice import CropChoice, Recogniser
from station.record.crops import FOLDER as CROPS
from station.record.crops import CropStore
from station.record.history import History, open_history
from station.record.incidents import incidents_in_report
from station.record.raw import RawRecord
from station.record.recorder import Recorder, Sink
from station.record.retention import Housekeeping, Limits
from station.record.rows import ItemRow
from station.record.run_report import FrameCounts, RunEnd, RunFacts, run_report
from station.record.wire_log import WireLog

WrapSink: TypeAlias = Callable[[Sink], Sink]


@dataclass(slots=True)
class RunArchive:
    """What is kept of one run, and where."""

    out: Path
    recorder: Recorder
    history: History
    raw: RawRecord
    books: Books
    facts: RunFacts
    started_ns: int
    clock: Clock
    crops: CropStore | None = None
    wire: WireLog | None = None

    @property
    def run_id(self) -> int:
        return self.history.run_id

    @property
    def simulated(self) -> bool:
        """Only a simulated line has a seed. What it leaves must not mix with what a plant has recorded."""
        return self.facts.seed is not None

    def go_on(self, config: StationConfig, wall: Clock) -> None:
        """From where earlier runs ended: their bins are as full as they left them, and the oldest of them go.

        Old runs are forgotten a bite at a time, on the recorder's thread.
        """
        self.books.unactuated_bin = config.sort.unactuated_bin
        if not self.simulated and any(bin_.full_at_items is not None for bin_ in config.sort.bins.values()):
            self.books.landed_before = self.history.landed_since_emptied(config.sort.unactuated_bin)
        record = config.record
        limits = Limits(record.keep_days, record.keep_gib, self.simulated)
        keeping = Housekeeping(self.history.path.parent, self.history, limits, record.prune_every_min, wall)
        self.recorder.chores.append(keeping.step)

    def keep_wire(self, config: StationConfig, protocol: str = STATION_WIRE) -> WireLog | None:
        """What listens at the controller's port, if it is wanted."""
        if config.record.wire_mib == 0:
            return None
        self.wire = WireLog(self.out, round(config.record.wire_mib * 2**20), protocol)
        self.recorder.chores.append(self.wire.step)
        return self.wire

    def keep_crops(self, recogniser: Recogniser, config: StationConfig) -> Recogniser:
        """The recogniser, with pictures of items worth a label kept beside the history."""
        if config.record.crops_mib == 0:
            return recogniser
        folder = self.history.path.parent / (f"{CROPS}-simulated" if self.simulated else CROPS)
        store = self.crops = CropStore(folder, config.record.crops_mib, self.run_id)
        self.recorder.chores.append(store.step)
        crop_margin = config.recognition.crop_margin
        self.books.crops = CropChoice(recogniser, config.sort, config.record, crop_margin, store.offer)
        return self.books.crops


@dataclass(frozen=True, slots=True)
class Ending:
    status: str
    in_flight: int
    link: LinkStatus | None
    truth: dict[str, Any] | None = None
    late_fires: int | None = None
    wrong_fires: int | None = None


def run_folder(record_directory: Path, wanted: Path | None, utc_ns: int) -> Path:
    """Where the raw record goes: --out, or a folder named by the time."""
    if wanted is not None:
        return wanted
    stamp = datetime.fromtimestamp(utc_ns / 1e9, UTC).strftime("%Y%m%d-%H%M%S")
    return record_directory / f"run-{stamp}"


def open_run(
    out: Path, record_directory: Path, facts: RunFacts, clock: Clock, wall: Clock, wrap: WrapSink | None = None
) -> RunArchive:
    """Begin a run in the history and in its folder. `clock` stamps the items, `wall` the run itself.

    `wrap` puts something in front of every sink (the virtual line's disk fault).
    """
    history = open_history(record_directory, clock.now_ns(), wall.utc_ns())
    out.mkdir(parents=True, exist_ok=True)
    utc_minus_ns = clock.utc_ns() - clock.now_ns()  # virtual time has its own calendar, so that its records repeat
    raw = RawRecord(out, utc_minus_ns)
    history.begin_run(
        {"clock": facts.clock, "seed": facts.seed, "line": facts.line, "backend": facts.backend, "device": facts.device,
         "perception": facts.perception, "out": str(out)},
        clock.now_ns(),
        wall.utc_ns(),
    )  # fmt: skip
    sinks: list[Sink] = [history, raw]
    recorder = Recorder([wrap(sink) for sink in sinks] if wrap is not None else sinks)
    return RunArchive(out, recorder, history, raw, Books(recorder, utc_minus_ns), facts, clock.now_ns(), clock)


def stored_items(out: Path) -> list[ItemRow]:
    with (out / "items.jsonl").open(encoding="utf-8") as lines:
        return [ItemRow.from_json(json.loads(line)) for line in lines]


def flush(archive: RunArchive) -> int:
    """Everything to disk; how many entries were lost."""
    lost = archive.recorder.flush(archive.clock.now_ns())
    if archive.crops is not None:
        archive.crops.write_rest(archive.clock.now_ns())
    if archive.wire is not None:
        archive.wire.close()
    archive.raw.close()
    return lost


def by_camera(books: Books, rows: Sequence[ItemRow]) -> dict[str, Any]:
    """What each camera gave, and what became of the items in its lane."""
    return {
        camera_id: {
            "frames": asdict(tally),
            "items": dict(sorted(Counter(row.outcome or "open" for row in rows if row.camera_id == camera_id).items())),
        }
        for camera_id, tally in sorted(books.cameras.items())
    }


def close_run(archive: RunArchive, ending: Ending, lost: int, duration_s: float, wall: Clock) -> dict[str, Any]:
    """The run's report, stored with the run and as report.json in its folder."""
    tally = archive.books.frames
    end = RunEnd(
        status=ending.status,
        duration_s=duration_s,
        frames=FrameCounts(tally.captured, tally.processed, tally.dropped, tally.stale),
        births=archive.books.births,
        in_flight=ending.in_flight,
        history_lost=lost,
        late_fires=ending.late_fires,
        wrong_fires=ending.wrong_fires,
        link=ending.link,
        truth=ending.truth,
    )
    rows = stored_items(archive.out)
    report = run_report(archive.facts, end, rows)
    report["cameras"] = by_camera(archive.books, rows)
    report["stages_ms"] = None if archive.facts.clock == "virtual" else archive.books.stages()
    report |= incidents_in_report(archive.history.path, archive.run_id, archive.started_ns)
    archive.history.finish_run(report, wall.utc_ns())
    archive.history.close()
    try:
        (archive.out / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    except OSError as error:  # the disk is full: the report is still printed, and says so
        report["not_written"] = f"report.json: {error.strerror}"
    return report
