"""Pictures of items that are worth a label, as an ImageFolder with an index, within a budget of bytes.

    crops/LABEL/STAMP-RUN-TRACK.jpg     LABEL is what the model guessed: whoever labels moves the file
    crops/index.jsonl                   one line per picture; a line whose file is gone means nothing

Written by the recorder's thread from a bounded queue: a picture may be dropped, and is counted. Knows files and the budget;
nothing of why an item is worth keeping (`station.crop_choice`).
"""

import json
import re
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

import cv2

from station.channels import DropOldest
from station.datatypes import BgrImage

FOLDER = "crops"
INDEX = "index.jsonl"
QUEUE = 64
WRITTEN_PER_STEP = 8
JPEG_QUALITY = 92
RETRY_AFTER_NS = 5_000_000_000
DEAD_LINES_ALLOWED = 200  # in the index, before it is written anew
_MIB = 2**20


class Why(Enum):
    """Why a crop was kept, and which share of the budget such crops may take when there is no room for all."""

    UNSURE = "unsure"  # below its label's threshold: it went to the fallback bin
    LOOKS_DISAGREE = "looks_disagree"
    LOW_MARGIN = "low_margin"  # decided, but another class was close
    SAMPLED = "sampled"  # by lot: what the model is sure of, and may still have wrong


SHARES = {Why.UNSURE: 0.3, Why.LOOKS_DISAGREE: 0.3, Why.LOW_MARGIN: 0.2, Why.SAMPLED: 0.2}


@dataclass(frozen=True, slots=True)
class Crop:
    """One item as the model saw it, and what it said."""

    bgr: BgrImage
    why: Why
    label: str  # the model's guess
    confidence: float
    facts: dict[str, Any]  # for the index: track, camera, stamps, probabilities


@dataclass(frozen=True, slots=True)
class _Kept:
    path: Path
    why: Why
    size_bytes: int
    line: str


class CropStore:
    """`offer` from any thread, `step` from the recorder's."""

    def __init__(self, directory: Path, budget_mib: float, run_id: int) -> None:
        self.directory = directory
        self._budget_bytes = round(budget_mib * _MIB)
        self._run_id = run_id
        self._queue: DropOldest[Crop] = DropOldest(QUEUE)
        self._kept: dict[Why, deque[_Kept]] | None = None  # oldest first; None: the index is not read yet
        self._bytes: Counter[Why] = Counter()
        self._dead_lines = 0
        self._retry_at_ns = 0
        self.written = 0
        self.failed = 0

    @property
    def dropped(self) -> int:
        return self._queue.dropped

    def offer(self, crop: Crop) -> None:
        """Never waits; when the queue is full the oldest picture gives way."""
        self._queue.put(crop)

    def step(self, now_ns: int) -> None:
        if self._queue.empty or now_ns < self._retry_at_ns:
            return
        try:
            if self._kept is None:
                self._kept = self._read_index()
            for _ in range(WRITTEN_PER_STEP):
                crop = self._queue.take_oldest()
                if crop is None:
                    break
                self._keep(crop, self._kept)
            if self._dead_lines > DEAD_LINES_ALLOWED:
                self._write_index(self._kept)
        except OSError:  # the disk is away or full; the history says so, pictures just go
            self.failed += 1
            self._retry_at_ns = now_ns + RETRY_AFTER_NS

    def write_rest(self, now_ns: int) -> None:
        """The run has ended: what still waits, unless the disk is away."""
        for _ in range(QUEUE // WRITTEN_PER_STEP + 1):
            self.step(now_ns)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _keep(self, crop: Crop, kept: dict[Why, deque[_Kept]]) -> None:
        coded = cv2.imencode(".jpg", crop.bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
        if len(coded) > self._budget_bytes:
            return
        folder = self.directory / _folder_name(crop.label)
        folder.mkdir(parents=True, exist_ok=True)
        stamp = datetime.fromtimestamp(crop.facts["utc_ns"] / 1e9, UTC).strftime("%Y%m%dT%H%M%S")
        path = folder / f"{stamp}-{self._run_id}-{crop.facts['track_id']}.jpg"
        self._make_room(len(coded), kept)
        path.write_bytes(coded)
        line = json.dumps(
            {
                "file": str(path.relative_to(self.directory)),
                "why": crop.why.value,
                "label": crop.label,
                "confidence": round(crop.confidence, 4),
                "run_id": self._run_id,
                **crop.facts,
            },
            separators=(",", ":"),
        )
        with (self.directory / INDEX).open("a", encoding="utf-8") as index:
            index.write(line + "\n")
        kept[crop.why].append(_Kept(path, crop.why, len(coded), line))
        self._bytes[crop.why] += len(coded)
        self.written += 1

    def _make_room(self, wanted_bytes: int, kept: dict[Why, deque[_Kept]]) -> None:
        """The kind that is farthest over its share gives its oldest. A kind may use what others leave free."""
        while self._bytes.total() + wanted_bytes > self._budget_bytes and any(kept.values()):
            fullest = max((why for why in Why if kept[why]), key=lambda why: self._bytes[why] / SHARES[why])
            oldest = kept[fullest].popleft()
            oldest.path.unlink(missing_ok=True)
            self._bytes[fullest] -= oldest.size_bytes
            self._dead_lines += 1

    def _read_index(self) -> dict[Why, deque[_Kept]]:
        """What earlier runs kept. Files that a person has taken away are theirs, and no longer counted."""
        kept: dict[Why, deque[_Kept]] = {why: deque() for why in Why}
        self._bytes.clear()
        self._dead_lines = 0
        for entry in self._indexed():
            if entry is None:
                self._dead_lines += 1
            else:
                kept[entry.why].append(entry)
                self._bytes[entry.why] += entry.size_bytes
        return kept

    def _indexed(self) -> Iterator[_Kept | None]:
        try:
            lines = (self.directory / INDEX).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return
        for line in lines:
            try:
                values = json.loads(line)
                path = self.directory / values["file"]
                yield _Kept(path, Why(values["why"]), path.stat().st_size, line)
            except (ValueError, KeyError, TypeError, FileNotFoundError):  # cut off by a power failure, or moved away
                yield None

    def _write_index(self, kept: dict[Why, deque[_Kept]]) -> None:
        lines = sorted((entry for group in kept.values() for entry in group), key=lambda entry: entry.path.name)
        fresh = self.directory / f".{INDEX}"
        fresh.write_text("".join(entry.line + "\n" for entry in lines), encoding="utf-8")
        fresh.replace(self.directory / INDEX)
        self._dead_lines = 0


def _folder_name(label: str) -> str:
    """A label is a model's word; in a path it may hold nothing else than a name's letters."""
    return re.sub(r"[^\w-]", "_", label) or "_"
