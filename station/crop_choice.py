"""Which items are worth a label, and the look of each that shows why. Stands between the loop and the recogniser.

An item can only be unsure, disputed or close if one of its looks was, so only such looks (and a few by lot) are cut out; what
becomes of them is decided when the item has its outcome. Knows looks and opinions; nothing of files.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from station.config import RecordConfig, SortConfig
from station.datatypes import BgrImage, Classification, DecisionReason, ItemRecord, Look
from station.recognition.preprocess import cut_oriented
from station.record.crops import Crop, Why

ITEMS_REMEMBERED = 1000  # labels said of them; far more than are between camera and gates
CROPS_WAITING = 200  # for their items' outcome
_HASH, _HASH_RANGE = 2654435761, 1 << 32  # Knuth's: neighbouring numbers land far apart


class Recogniser(Protocol):
    @property
    def classes(self) -> tuple[str, ...]: ...

    def classify(self, looks: Sequence[Look]) -> list[Classification]: ...


@dataclass(slots=True)
class _Waiting:
    bgr: BgrImage
    captured_ns: int
    confidence: float  # of the look: the least sure one is kept


class CropChoice:
    def __init__(
        self,
        recogniser: Recogniser,
        sort: SortConfig,
        record: RecordConfig,
        crop_margin: float,
        offer: Callable[[Crop], None],
    ) -> None:
        self._recogniser = recogniser
        self._sort = sort
        self._record = record
        self._crop_margin = crop_margin
        self._offer = offer
        self._lock = threading.Lock()  # looks and outcomes may come on two threads
        self._said: OrderedDict[int, set[str]] = OrderedDict()
        self._waiting: OrderedDict[int, _Waiting] = OrderedDict()

    @property
    def classes(self) -> tuple[str, ...]:
        return self._recogniser.classes

    def classify(self, looks: Sequence[Look]) -> list[Classification]:
        """As the recogniser; looks worth it are cut out while their frame is there."""
        opinions = self._recogniser.classify(looks)
        for look, opinion in zip(looks, opinions, strict=True):
            self._consider(look, opinion)
        return opinions

    def settled(self, record: ItemRecord, utc_minus_ns: int) -> None:
        """The item has its outcome: its crop is kept or thrown away."""
        track_id = record.outcome.track_id
        with self._lock:
            said = self._said.pop(track_id, set())
            waiting = self._waiting.pop(track_id, None)
        why = self._why(record, said)
        decision = record.decision
        if waiting is None or why is None or decision is None or decision.label is None:
            return
        self._offer(
            Crop(
                bgr=waiting.bgr,
                why=why,
                label=decision.label,
                confidence=decision.confidence,
                facts={
                    "track_id": track_id,
                    "camera_id": record.track.camera_id,
                    "captured_ns": waiting.captured_ns,
                    "utc_ns": waiting.captured_ns + utc_minus_ns,
                    "looks_said": sorted(said),
                    "probabilities": dict(zip(self.classes, map(_short, record.probabilities or ()), strict=False)),
                    "bin": decision.bin_name,
                },
            )
        )

    # -- inside ------------------------------------------------------------------------------------------------------

    def _consider(self, look: Look, opinion: Classification) -> None:
        said = self._note(look.track_id, opinion.label)
        confidence = max(opinion.probabilities)
        rule = self._sort.labels.get(opinion.label)
        doubtful = confidence < (rule.threshold if rule else 0.0) or _margin(opinion.probabilities) < self._low_margin
        if not (doubtful or len(said) > 1 or self._drawn(look.track_id)):
            return
        earlier = self._waiting.get(look.track_id)
        if earlier is not None and earlier.confidence <= confidence:
            return
        bgr = cut_oriented(look.frame.bgr, look.extent, self._crop_margin)
        with self._lock:
            self._waiting[look.track_id] = _Waiting(bgr, look.frame.captured_ns, confidence)
            if len(self._waiting) > CROPS_WAITING:
                self._waiting.popitem(last=False)

    def _note(self, track_id: int, label: str) -> set[str]:
        with self._lock:
            said = self._said.setdefault(track_id, set())
            said.add(label)
            if len(self._said) > ITEMS_REMEMBERED:
                self._said.popitem(last=False)
            return said

    def _why(self, record: ItemRecord, said: set[str]) -> Why | None:
        """The most telling reason, None when the item teaches nothing."""
        if record.decision is not None and record.decision.reason is DecisionReason.UNSURE:
            return Why.UNSURE
        if len(said) > 1:
            return Why.LOOKS_DISAGREE
        if record.probabilities is not None and _margin(record.probabilities) < self._low_margin:
            return Why.LOW_MARGIN
        return Why.SAMPLED if self._drawn(record.outcome.track_id) else None

    @property
    def _low_margin(self) -> float:
        return self._record.crops_margin

    def _drawn(self, track_id: int) -> bool:
        """By lot, and the same lot whenever it is asked."""
        return track_id * _HASH % _HASH_RANGE < self._record.crops_sample * _HASH_RANGE


def _margin(probabilities: Sequence[float]) -> float:
    """Of the first class before the second."""
    ranked = sorted(probabilities, reverse=True)
    return ranked[0] - ranked[1] if len(ranked) > 1 else 1.0


def _short(probability: float) -> float:
    return round(probability, 4)
