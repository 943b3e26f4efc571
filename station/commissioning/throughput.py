"""How fast the model alone is here, and how much of that the whole loop keeps (schema station.bench/1).

Frames of a packed belt are drawn into memory first; then the real spotter and SortLoop work through them, each in its thread
as on a live line, and the bare engine through as many looks, in turn, so that whatever else the machine does falls on both.
Knows the loop and the belt; no cameras, links or panels.
"""

import queue
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from threading import Thread
from typing import Any

import numpy as np

from firmware_bridge.messages import Accepted, DuringCount, DuringTime, Fired, LinkState, Reply
from station.app import build_eyesight, build_loop, views_of
from station.clock import Clock, ManualClock
from station.commissioning.packed_belt import PackedBelt
from station.config import StationConfig, changed
from station.datatypes import Classification, Frame, Look
from station.errors import ModelError
from station.machine import Command
from station.perception import Eye
from station.pipeline import Controls, StepResult
from station.recognition.artifact import ArtifactInfo
from station.recognition.backends.contract import Backend, BgrBatch, Logits
from station.recognition.classifier import Classifier
from station.record.run_report import percentile
from station.tracking.spotter import Spotted, Spotter
from station.tracking.tracker import TrackUpdate

SCHEMA = "station.bench/1"
FILL_FRAMES = 20  # after the first item: until the view is full
START_NS = 1_000_000_000
SPOTTED_HELD = 2  # between the camera's thread and the loop, as on a live line
COMPUTING_NS = 20_000_000  # between capture and the step, as on a live line


@dataclass(frozen=True, slots=True)
class BenchPlan:
    batch: int = 16
    rounds: int = 8
    frames_per_round: int = 12
    learn_frames: int = 90  # of empty belt first: the detector must know it
    seed: int = 1


class Stopwatch:
    """Milliseconds by stage."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.spent_ms: dict[str, list[float]] = defaultdict(list)

    def note(self, stage: str, since_ns: int) -> float:
        spent_ms = (self.clock.now_ns() - since_ns) / 1e6
        self.spent_ms[stage].append(spent_ms)
        return spent_ms

    def stages(self) -> dict[str, dict[str, float | None]]:
        return {
            stage: {"p50_ms": _rounded(percentile(spent, 50)), "p99_ms": _rounded(percentile(spent, 99))}
            for stage, spent in self.spent_ms.items()
        }


def bench(backend: Backend, info: ArtifactInfo, config: StationConfig, plan: BenchPlan, clock: Clock) -> dict[str, Any]:
    """The figures as one object. Raises ModelError."""
    watch = Stopwatch(clock)
    rig = _Rig(backend, info, _every_look(config, plan), plan, watch)
    rig.warm_up()
    looks = np.random.default_rng(plan.seed).integers(
        0, 256, (plan.batch, info.input_px, info.input_px, 3), dtype=np.uint8
    )
    bare, pipeline, ratios, looks_seen = [], [], [], []
    for _ in range(plan.rounds):
        frames = rig.next_frames(plan.frames_per_round)
        counts, spent_s = rig.work_through(frames)
        calls = max(1, round(sum(counts) / plan.batch))
        bare.append(_bare_rate(backend, looks, calls, clock))
        pipeline.append(sum(counts) / spent_s)
        ratios.append(pipeline[-1] / bare[-1])
        looks_seen += counts
    return {
        "schema": SCHEMA,
        "backend": backend.name,
        "device": backend.device,
        "batch": plan.batch,
        "input_px": info.input_px,
        "rounds": plan.rounds,
        "frames": len(looks_seen),
        "looks_per_frame": round(sum(looks_seen) / len(looks_seen), 2),
        "stages": watch.stages(),
        "bare_model_looks_per_s": round(median(bare), 1),
        "pipeline_looks_per_s": round(median(pipeline), 1),
        "ratio": round(median(ratios), 3),
    }


def bare_model(backend: Backend, input_px: int, batch: int, calls: int, clock: Clock) -> dict[str, Any]:
    """The engine alone, call by call."""
    looks = np.random.default_rng(1).integers(0, 256, (batch, input_px, input_px, 3), dtype=np.uint8)
    watch = Stopwatch(clock)
    backend.run(looks)
    for _ in range(calls):
        since_ns = clock.now_ns()
        backend.run(looks)
        watch.note("model", since_ns)
    p50_ms = median(watch.spent_ms["model"])
    return {
        "backend": backend.name,
        "batch": batch,
        **watch.stages()["model"],
        "looks_per_s": round(1e3 * batch / p50_ms),
    }


class _Rig:
    """The real loop before a virtual line whose gates always answer."""

    def __init__(
        self, backend: Backend, info: ArtifactInfo, config: StationConfig, plan: BenchPlan, watch: Stopwatch
    ) -> None:
        self._watch = watch
        self._learn_frames = plan.learn_frames
        self._belt = PackedBelt(config.virtual, config.cameras[0].id, START_NS, plan.learn_frames, plan.seed)
        self._recogniser = _TimedRecogniser(Classifier(_TimedBackend(backend, watch), info), watch)
        eyesight = build_eyesight(config, START_NS)
        self._spotter = eyesight[config.cameras[0].id].spotter
        eyes: dict[str, Eye] = {name: _TimedEye(eye, watch) for name, eye in views_of(eyesight).items()}
        self._clock = ManualClock(START_NS)
        self._loop = build_loop(config, eyes, self._recogniser, self._clock, auto_rearm=True)
        self._replies: list[Reply] = []

    def warm_up(self) -> None:
        for command in (Command.RESET, Command.START):
            self._loop.machine.command(command, START_NS, "bench")
        self.work_through(self.next_frames(self._learn_frames))
        self.work_through(self.next_frames(FILL_FRAMES))
        self._watch.spent_ms.clear()

    def next_frames(self, count: int) -> list[Frame]:
        """Drawn into memory, not timed."""
        return [self._belt.next_frame() for _ in range(count)]

    def work_through(self, frames: Sequence[Frame]) -> tuple[list[int], float]:
        """Looks per frame, and the seconds all of it took."""
        counts = []
        spotted: queue.Queue[Spotted | None] = queue.Queue(SPOTTED_HELD)
        searching = Thread(target=_search, args=(self._spotter, frames, spotted, self._watch), daemon=True)
        began_ns = self._watch.clock.now_ns()
        searching.start()
        while (seen := spotted.get()) is not None:
            self._clock.set_ns(seen.frame.captured_ns + COMPUTING_NS)
            since_ns = self._watch.clock.now_ns()
            result = self._step(seen)
            self._watch.note("step", since_ns)
            counts.append(result.looks)
            self._replies = _answers(result)
            if self._recogniser.trouble is not None:
                raise self._recogniser.trouble
        return counts, (self._watch.clock.now_ns() - began_ns) / 1e9

    def _step(self, spotted: Spotted) -> StepResult:
        now_ns = self._clock.now_ns()
        result = self._loop.step(now_ns, [spotted], self._replies, Controls(link=LinkState.ARMED))
        self._loop.enqueued(result.commands, now_ns)
        return result


def _search(
    spotter: Spotter, frames: Sequence[Frame], spotted: "queue.Queue[Spotted | None]", watch: Stopwatch
) -> None:
    """The camera's thread: search one frame after the other, never more than the queue holds ahead of the loop."""
    for frame in frames:
        since_ns = watch.clock.now_ns()
        seen = spotter.spot(frame)
        watch.note("spot", since_ns)
        spotted.put(seen)
    spotted.put(None)


class _TimedEye:
    def __init__(self, eye: Eye, watch: Stopwatch) -> None:
        self._eye = eye
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._eye, name)

    def see(self, spotted: Spotted) -> TrackUpdate:
        since_ns = self._watch.clock.now_ns()
        update = self._eye.see(spotted)
        self._watch.note("follow", since_ns)
        return update


class _TimedBackend:
    def __init__(self, backend: Backend, watch: Stopwatch) -> None:
        self._backend = backend
        self._watch = watch
        self.name, self.device = backend.name, backend.device

    def run(self, batch: BgrBatch) -> Logits:
        since_ns = self._watch.clock.now_ns()
        logits = self._backend.run(batch)
        self._watch.note("model", since_ns)
        return logits


class _TimedRecogniser:
    """Also keeps the failure that the loop survives: here it must end the measurement."""

    def __init__(self, classifier: Classifier, watch: Stopwatch) -> None:
        self._classifier = classifier
        self._watch = watch
        self.trouble: ModelError | None = None
        self.classes = classifier.classes

    def classify(self, looks: Sequence[Look]) -> list[Classification]:
        since_ns = self._watch.clock.now_ns()
        try:
            return self._classifier.classify(looks)
        except ModelError as error:
            self.trouble = error
            raise
        finally:
            if looks:
                self._watch.note("classify", since_ns)


def _every_look(config: StationConfig, plan: BenchPlan) -> StationConfig:
    """Every item looked at in every frame, as many looks per step as the batch holds."""
    return changed(config, recognition={"max_looks": 16, "max_looks_per_step": plan.batch})


def _answers(result: StepResult) -> list[Reply]:
    """The device takes and fires everything it is told."""
    replies: list[Reply] = []
    for command in result.commands:
        match command.window:
            case DuringTime(start_ns, end_ns):
                on_ns, off_ns, on_count, off_count = start_ns, end_ns, 0, 0
            case DuringCount(start_count, end_count):
                on_ns, off_ns, on_count, off_count = 0, 0, start_count, end_count
        replies += [
            Accepted(command.command_id, 0),
            Fired(command.command_id, on_ns, off_ns, on_count, off_count, 0),
        ]
    return replies


def _bare_rate(backend: Backend, looks: BgrBatch, calls: int, clock: Clock) -> float:
    since_ns = clock.now_ns()
    for _ in range(calls):
        backend.run(looks)
    return calls * len(looks) * 1e9 / (clock.now_ns() - since_ns)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
