"""The loop on a slow processor: looks give way where frames come whether it is ready or not, and only there."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from station.clock import ManualClock
from station.config import builtin_config
from station.datatypes import BoxPx, Classification, Detection, Frame, Look, OrientedBox
from station.machine import Machine
from station.pipeline import Controls, SortLoop
from station.tracking.belt import configured_map
from station.tracking.spotter import Spotted, ViewConfig
from station.tracking.tracker import TrackIds
from station.tracking.view import View

CONFIG = builtin_config("virtual")
CAMERA = CONFIG.cameras[0]
BELT = configured_map(CAMERA, CAMERA.width_px, CAMERA.height_px, CONFIG.belt.width_mm)
FRAME_NS, STEP_MM = 33_333_333, 1000.0 / 30
HALF_PX = 50
ABREAST_PX = (120.0, 320.0, 520.0, 720.0, 920.0, 1120.0)
ROWS_MM = (0.0, -160.0)  # two rows of items, the second behind the first


class SlowRecogniser:
    """Takes 25 ms for a look; keeps whose they were, step by step."""

    classes = ("organic", "recyclable")

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.steps: list[list[int]] = []

    def classify(self, looks: Sequence[Look]) -> list[Classification]:
        self._clock.advance_ms(25 * len(looks))
        self.steps.append([look.track_id for look in looks])
        return [
            Classification(look.track_id, look.frame.captured_ns, (0.0, 1.0), (0.3, 0.7), "organic") for look in looks
        ]


def seen(number: int) -> Spotted:
    """Frame `number`: every item that is whole in it."""
    detections = []
    for row_mm in ROWS_MM:
        y = (row_mm + 40.0 + number * STEP_MM) / (CAMERA.mm_per_px or 1.0)
        if not HALF_PX <= y <= CAMERA.height_px - HALF_PX:
            continue
        for x in ABREAST_PX:
            left, top, right, bottom = x - HALF_PX, y - HALF_PX, x + HALF_PX, y + HALF_PX
            corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float32)
            box = BoxPx(int(left), int(top), int(right), int(bottom))
            extent = OrientedBox(x, y, 2.0 * HALF_PX, 2.0 * HALF_PX, 0.0)
            detections.append(Detection(box, extent, 4.0 * HALF_PX**2, True, corners))
    frame = Frame(CAMERA.id, number, (number + 1) * FRAME_NS, np.zeros((1, 1, 3), np.uint8))
    return Spotted(frame, tuple(detections), BELT, number * STEP_MM, 1000.0, 0.5)


@pytest.mark.parametrize("live", [True, False])
def test_a_slow_processor_takes_fewer_looks_of_a_live_camera_and_all_of_a_recording(live: bool) -> None:
    clock = ManualClock()
    recogniser = SlowRecogniser(clock)
    view = View(ViewConfig(CAMERA, CONFIG.belt, CONFIG.detector), TrackIds())
    loop = SortLoop(CONFIG, {CAMERA.id: view}, recogniser, Machine(True), clock)
    for number in range(18):  # the camera waits for nobody
        loop.step((number + 1) * FRAME_NS, [seen(number)], (), Controls(alive=(CAMERA.id,), live=live))
    looks = Counter(track_id for step in recogniser.steps for track_id in step)
    assert len(looks) == len(ROWS_MM) * len(ABREAST_PX)
    if live:
        assert min(looks.values()) >= 2
        assert sum(looks.values()) < 3 * len(looks)
    else:
        assert set(looks.values()) == {CONFIG.recognition.max_looks}
