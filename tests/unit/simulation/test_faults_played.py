"""The faults that are played inside the line and inside the station: when they begin, what they do, that they end."""

from collections.abc import Sequence

import numpy as np
import pytest

from station.capture.freshness import FrameGuard, Freshness
from station.clock import ManualClock
from station.config import StationConfig, builtin_config, changed
from station.datatypes import Classification, Frame, Look, OrientedBox
from station.errors import ModelError
from station.record.recorder import Entry
from station.simulation.camera import LockStepCamera
from station.simulation.faults import Fault
from station.simulation.lanes import side_by_side
from station.simulation.line import LineOptions, VirtualLine
from station.simulation.mishaps import FailingRecogniser, FailingSink, FaultTimes

S = 1_000_000_000
FED_NS = 2 * S
FREEZE = Fault("freeze", at_s=1.0, for_s=0.5)


def small_config(lanes: int = 1) -> StationConfig:
    config = changed(builtin_config("virtual"), virtual={"width_px": 320, "height_px": 200, "feed_per_s": 5.0})
    return side_by_side(config, lanes)


def frozen_line(lanes: int = 1) -> VirtualLine:
    made = VirtualLine(small_config(lanes), LineOptions(seed=4, for_s=3.0, faults=(FREEZE,)), start_ns=0)
    made.begin_feed(FED_NS)
    return made


# -- a camera that repeats its last picture --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at_s", "old"),
    [
        pytest.param(0.97, False, id="before"),
        pytest.param(1.0, True, id="from its first moment"),
        pytest.param(1.2, True, id="while it lasts"),
        pytest.param(1.49, True, id="to its last"),
        pytest.param(1.5, False, id="after"),
    ],
)
def test_a_frozen_camera_shows_the_belt_of_the_moment_it_froze(at_s: float, old: bool) -> None:
    line, at_ns = frozen_line(), FED_NS + round(at_s * S)
    began_ns = FREEZE.start_ns(FED_NS)
    shown, then = line.frame_at(at_ns), line.frame_at(began_ns)
    assert shown is not None
    assert then is not None
    assert np.array_equal(shown, then) is old
    assert line.shown_ns(at_ns) == (began_ns if old else at_ns)


def test_it_does_not_freeze_before_the_feed_began_and_the_belt_goes_on() -> None:
    line = VirtualLine(small_config(), LineOptions(seed=4, for_s=3.0, faults=(FREEZE,)), start_ns=0)
    assert line.shown_ns(FED_NS + round(1.2 * S)) == FED_NS + round(1.2 * S)
    line = frozen_line()
    assert (
        line.count_at(FREEZE.end_ns(FED_NS)) - line.count_at(FREEZE.start_ns(FED_NS)) == 1000
    )  # 0.5 m in half millimetres


def test_only_the_first_camera_freezes() -> None:
    line, at_ns = frozen_line(lanes=2), FED_NS + round(1.2 * S)
    first, second = (camera.id for camera in line.config.cameras)
    assert line.shown_ns(at_ns, first) < at_ns
    assert line.shown_ns(at_ns, second) == at_ns


def test_its_frames_keep_coming_with_new_numbers_and_stamps_and_are_found_out() -> None:
    line = frozen_line()
    camera, guard = LockStepCamera(line, line.config.cameras[0], start_ns=0), FrameGuard()
    camera.open()
    during, verdicts, number = [], [], -1
    while (frame := camera.read()) is not None and frame.captured_ns < FED_NS + 2 * S:
        assert frame.frame_id == number + 1
        number = frame.frame_id
        verdict = guard.judge(frame)
        if FREEZE.covers(frame.captured_ns, FED_NS):
            during.append(verdict)
        else:
            verdicts.append(verdict)
    assert set(verdicts) == {Freshness.OK}
    assert len(during) == 15
    # The first is still a picture; one repetition may be a hiccup; from then on it is known.
    assert during[:2] == [Freshness.OK, Freshness.REPEATED]
    assert set(during[2:]) == {Freshness.FROZEN}


# -- a model that fails, a disk that is away ------------------------------------------------------------------------------


class Answers:
    classes = ("organic", "recyclable")

    def classify(self, looks: Sequence[Look]) -> list[Classification]:
        return [
            Classification(look.track_id, look.frame.captured_ns, (9.0, 0.0), (1.0, 0.0), "organic") for look in looks
        ]


class Kept:
    name = "kept"

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def write(self, entries: Sequence[Entry]) -> None:
        self.entries += entries


def times(clock: ManualClock, name: str, started: bool = True) -> FaultTimes:
    made = FaultTimes((Fault(name, at_s=1.0, for_s=2.0),), clock)
    made.start_ns = FED_NS if started else None
    return made


@pytest.mark.parametrize(
    ("at_s", "fails"),
    [
        pytest.param(0.9, False, id="before"),
        pytest.param(1.0, True, id="begins"),
        pytest.param(2.9, True, id="lasts"),
        pytest.param(3.0, False, id="over"),
    ],
)
def test_a_model_and_a_disk_fail_as_long_as_their_fault_lasts(at_s: float, fails: bool) -> None:
    clock = ManualClock(FED_NS + round(at_s * S))
    recogniser, kept = FailingRecogniser(Answers(), times(clock, "gpu")), Kept()
    sink = FailingSink(kept, times(clock, "disk"))
    picture = np.zeros((8, 8, 3), np.uint8)
    look = Look(1, Frame("camera0", 1, 0, picture), OrientedBox(4.0, 4.0, 4.0, 2.0, 0.0))
    assert (recogniser.classes, sink.name) == (Answers.classes, "kept")
    if fails:
        with pytest.raises(ModelError, match="simulated fault"):
            recogniser.classify([look])
        with pytest.raises(OSError, match="simulated fault"):
            sink.write([])
    else:
        assert len(recogniser.classify([look])) == 1
        sink.write([])
    assert recogniser.classify([]) == []  # nothing asked, nothing fails


def test_each_fault_has_its_own_victim_and_none_begins_before_the_feed() -> None:
    clock = ManualClock(FED_NS + S)
    FailingSink(Kept(), times(clock, "gpu")).write([])
    FailingSink(Kept(), times(clock, "disk", started=False)).write([])
