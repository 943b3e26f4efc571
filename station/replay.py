"""`station replay`: a recording seen again by the same SortLoop, as fast as it goes, observing only.

Time is the recording's own: the same recording, configuration and model give the same items each time. Two sets of items
are compared by when and where on the belt each was seen, so that a live run of the recording can be held against a replay.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from station.app import Brain, build_brain, build_eyesight, build_loop, observing_config, set_thread_counts, views_of
from station.archive_run import stored_items
from station.capture.recorded import RecordedCamera
from station.capture.source import check_size
from station.clock import ManualClock
from station.config import StationConfig, changed
from station.datatypes import ItemRecord
from station.errors import ConfigError
from station.pipeline import Controls, SortLoop
from station.record.rows import ItemRow, item_row
from station.tracking.spotter import Spotter

MS = 1_000_000
IDLE_STEP_NS = 20 * MS
RUN_OUT_NS = 1_000 * MS  # after the last frame: what was in view is decided by what was seen of it
SAME_NS = 150 * MS  # a live run sees an item some frames earlier or later
SAME_MM = 25.0  # across the belt
ALIGNED_BY = 12  # first items of either side that may tell the difference between the two clocks
CONFIDENCE_STEP = 0.05


@dataclass(frozen=True, slots=True)
class Replayed:
    source: str
    frames: int
    duration_s: float
    backend: str
    shortfall: str | None  # in words, when the file ended before its time
    items: tuple[ItemRow, ...]  # times count from the recording's first frame

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": "station.replay/1",
            "source": self.source,
            "frames": self.frames,
            "duration_s": self.duration_s,
            "backend": self.backend,
            "shortfall": self.shortfall,
            "items": [row.to_json() for row in self.items],
        }


@dataclass(frozen=True, slots=True)
class Difference:
    what: str  # "only here", "only there", "label", "confidence"
    here: ItemRow | None
    there: ItemRow | None

    def to_json(self) -> dict[str, Any]:
        return {"what": self.what, "here": _named(self.here), "there": _named(self.there)}


def replay(source: str, config: StationConfig | None, brain: Brain | None = None) -> Replayed:
    """See the whole recording again. Without a configuration the pictures tell speed and direction. Raises StationError."""
    clock = ManualClock()
    in_force, camera = _camera(source, config, clock)
    try:
        check_size(camera.open(), in_force.cameras[0].scaled_for_px)
        if brain is None:
            set_thread_counts(in_force.recognition.threads)
            brain = build_brain(in_force)
        eyesight = build_eyesight(in_force, clock.now_ns(), speed_from_picture=config is None)
        loop = build_loop(in_force, views_of(eyesight), brain.recogniser, clock, auto_rearm=False)
        frames = 0
        records: list[ItemRecord] = []
        for counted, settled in _steps(loop, eyesight[in_force.cameras[0].id].spotter, camera, clock):
            frames += counted
            records += settled
    finally:
        camera.close()
    rows = sorted((item_row(record, 0) for record in records), key=lambda row: (row.born_ns, row.track_id))
    seen_s = max(0, clock.now_ns() - RUN_OUT_NS) / 1e9
    return Replayed(source, frames, seen_s, brain.backend, camera.shortfall, tuple(rows))


def _camera(source: str, config: StationConfig | None, clock: ManualClock) -> tuple[StationConfig, RecordedCamera]:
    """The configuration in force, and the recording as its first camera."""
    if config is not None:
        first = config.cameras[0]
        in_force = changed(config, cameras=[first.model_dump()])
        return in_force, RecordedCamera(first.id, source, clock)
    probe = RecordedCamera("camera0", source, clock)
    info = probe.open()
    probe.close()
    in_force = observing_config(Path(source).name, [info])
    return in_force, RecordedCamera(in_force.cameras[0].id, source, clock)


def _steps(
    loop: SortLoop, spotter: Spotter, camera: RecordedCamera, clock: ManualClock
) -> Iterator[tuple[int, Sequence[ItemRecord]]]:
    """(frames seen, items settled) of every turn, to the end of the recording and a little beyond."""
    while (frame := camera.read()) is not None:
        clock.set_ns(frame.captured_ns)
        yield 1, loop.step(clock.now_ns(), [spotter.spot(frame)], (), Controls()).records
    end_ns = clock.now_ns() + RUN_OUT_NS
    while clock.now_ns() < end_ns:
        clock.advance_ns(IDLE_STEP_NS)
        yield 0, loop.step(clock.now_ns(), (), (), Controls()).records
    yield 0, loop.finish(clock.now_ns())


# -- records ---------------------------------------------------------------------------------------------------------


def write_items(out: Path, items: Sequence[ItemRow]) -> None:
    """items.jsonl, as a run writes it."""
    out.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row.to_json(), separators=(",", ":")) + "\n" for row in items)
    (out / "items.jsonl").write_text(text, encoding="utf-8")


def read_items(folder: Path) -> list[ItemRow]:
    """Items of an earlier run or replay. Raises ConfigError."""
    try:
        return stored_items(folder)
    except FileNotFoundError:
        raise ConfigError(f"{folder}: no items.jsonl in it. Name the --out folder of a run or of a replay.") from None
    except (NotADirectoryError, ValueError, TypeError) as error:
        raise ConfigError(f"{folder}: its items.jsonl cannot be read ({error}).") from error


# -- comparing -------------------------------------------------------------------------------------------------------


def differences(here: Sequence[ItemRow], there: Sequence[ItemRow]) -> list[Difference]:
    """What one side says otherwise than the other, in order of time."""
    offset_ns = _offset_ns(here, there)
    pairs = _pairs(here, there, offset_ns)
    found: list[tuple[int, Difference]] = []
    for index, mine in enumerate(here):
        theirs = there[pairs[index]] if index in pairs else None
        what = "only here" if theirs is None else _changed(mine, theirs)
        if what is not None:
            found.append((mine.born_ns, Difference(what, mine, theirs)))
    paired = set(pairs.values())
    missing = [row for number, row in enumerate(there) if number not in paired]
    found += [(row.born_ns + offset_ns, Difference("only there", None, row)) for row in missing]
    return [difference for _, difference in sorted(found, key=lambda entry: entry[0])]


def _changed(mine: ItemRow, theirs: ItemRow) -> str | None:
    if mine.label != theirs.label:
        return "label"
    if abs((mine.confidence or 0.0) - (theirs.confidence or 0.0)) > CONFIDENCE_STEP:
        return "confidence"
    return None


def _offset_ns(here: Sequence[ItemRow], there: Sequence[ItemRow]) -> int:
    """Clock of `here` minus clock of `there`: by which most items meet. Two replays have the same clock."""
    offsets = [0]
    for mine in here[:ALIGNED_BY]:
        offsets += [mine.born_ns - theirs.born_ns for theirs in there[:ALIGNED_BY] if _apart_mm(mine, theirs) < SAME_MM]

    def closeness(offset_ns: int) -> tuple[int, int]:
        pairs = _pairs(here, there, offset_ns)
        apart_ns = sum(abs(here[i].born_ns - there[j].born_ns - offset_ns) for i, j in pairs.items())
        return len(pairs), -apart_ns

    return max(offsets, key=closeness)


def _pairs(here: Sequence[ItemRow], there: Sequence[ItemRow], offset_ns: int) -> dict[int, int]:
    """Index here -> index there, one to one, nearest first."""
    later = sorted(range(len(there)), key=lambda j: there[j].born_ns)
    near: list[tuple[float, int, int]] = []
    first = 0
    for i in sorted(range(len(here)), key=lambda i: here[i].born_ns):
        at_ns = here[i].born_ns - offset_ns
        while first < len(later) and there[later[first]].born_ns < at_ns - SAME_NS:
            first += 1
        for j in later[first:]:
            if there[j].born_ns > at_ns + SAME_NS:
                break
            apart_mm = _apart_mm(here[i], there[j])
            if apart_mm < SAME_MM:
                near.append((apart_mm / SAME_MM + abs(there[j].born_ns - at_ns) / SAME_NS, i, j))
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for _, i, j in sorted(near):
        if i not in pairs and j not in taken:
            pairs[i] = j
            taken.add(j)
    return pairs


def _apart_mm(one: ItemRow, other: ItemRow) -> float:
    if one.lateral_mm is None or other.lateral_mm is None:
        return float("inf")
    return abs(one.lateral_mm - other.lateral_mm)


def _named(row: ItemRow | None) -> dict[str, Any] | None:
    if row is None:
        return None
    keys = ("track_id", "born_ns", "lateral_mm", "label", "confidence", "outcome", "reason")
    return {key: getattr(row, key) for key in keys}
