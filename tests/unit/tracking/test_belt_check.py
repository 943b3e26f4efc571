"""What the pictures say against encoder and configured speed: on several measurements, never on one."""

from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest

from station.config import BeltConfig, CameraConfig, DetectorConfig
from station.datatypes import Frame
from station.tracking.belt_check import BeltCheck
from station.tracking.spotter import SETTLED_FRAMES, Compared, Spotter, TravelSource, ViewConfig

MS = 1_000_000
FPS = 30
OVER_NS = 100 * MS
MakeScene = Callable[..., Any]
ENCODER = BeltConfig(width_mm=600, max_speed_m_s=3.5, mm_per_count=0.5)
EVEN = BeltConfig(width_mm=600, max_speed_m_s=3.5, speed_m_s=1.0)


def even(*seen_m_s: float) -> BeltCheck:
    """Without an encoder, configured for 1 m/s."""
    check = BeltCheck()
    for speed in seen_m_s:
        check.take(Compared(TravelSource.CONFIGURED, OVER_NS, speed * 100.0, 100.0))
    return check


def counted(*seen_and_counted_mm: tuple[float, float]) -> BeltCheck:
    check = BeltCheck()
    for seen_mm, counted_mm in seen_and_counted_mm:
        check.take(Compared(TravelSource.ENCODER, OVER_NS, seen_mm, counted_mm))
    return check


# -- a configured speed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen_m_s", "off"),
    [
        pytest.param([1.0] * 9, False, id="as configured"),
        pytest.param([0.975] * 9, False, id="2.5 % slower"),
        pytest.param([0.965] * 9, True, id="3.5 % slower"),
        pytest.param([1.035] * 9, True, id="3.5 % faster"),
        pytest.param([0.0] * 9, True, id="it stands"),
        pytest.param([0.9] * 4, False, id="too few to judge by"),
        pytest.param([1.0] * 9 + [0.0], False, id="one wrong measurement"),
        pytest.param([1.0] * 9 + [0.0, 1.0, 1.7], False, id="two wrong ones"),
        pytest.param([1.0] * 9 + [0.9] * 3, True, id="three of five"),
        pytest.param([0.9] * 9 + [0.975] * 9, True, id="back within the limit by a hair: it would come and go"),
        pytest.param([0.9] * 9 + [0.99] * 4, True, id="back, by too few"),
        pytest.param([0.9] * 9 + [0.99] * 5, False, id="back"),
        pytest.param([0.95] * 9 + [1.25] + [0.95] * 2, True, id="one wrong match does not acquit"),
    ],
)
def test_a_configured_speed_is_off_when_most_of_five_measurements_say_so(seen_m_s: list[float], off: bool) -> None:
    check = even(*seen_m_s)
    assert check.speed_off is off
    assert bool(check.words) is off


def test_a_speed_at_the_limit_does_not_come_and_go() -> None:
    rng, check, changes = np.random.default_rng(3), BeltCheck(), 0
    for _ in range(500):
        was_off = check.speed_off
        check.take(Compared(TravelSource.CONFIGURED, OVER_NS, 97.0 * float(rng.normal(1.0, 0.004)), 100.0))
        changes += check.speed_off is not was_off
    assert changes <= 1


@pytest.mark.parametrize(("speed_m_s", "share_off"), [(1.0, 0.0), (0.95, 1.0)])
def test_stamps_that_tremble_accuse_nobody(speed_m_s: float, share_off: float) -> None:
    """Neighbours share a picture: its stamp makes one look slower and the next faster."""
    rng, check = np.random.default_rng(4), BeltCheck()
    stamps_ms = np.arange(4000) * 133.0 + rng.normal(0, 3.0, 4000)
    off = []
    for over_ms in np.diff(stamps_ms):
        check.take(Compared(TravelSource.CONFIGURED, round(over_ms * MS), speed_m_s * 133.0, over_ms))
        off.append(check.speed_off)
    assert np.mean(off[100:]) == pytest.approx(share_off, abs=0.005)


def test_the_words_name_both_speeds() -> None:
    assert even(*[0.9] * 5).words == "0.90 m/s by the pictures, 1.00 m/s configured (-10.0%)"
    assert even(*[-0.0001] * 5).words == "0.00 m/s by the pictures, 1.00 m/s configured (-100.0%)"


# -- an encoder ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pairs", "stands"),
    [
        pytest.param([(33.0, 33.0)] * 9, False, id="both move"),
        pytest.param([(0.1, 0.0)] * 9, False, id="both stand"),
        pytest.param([(33.0, 0.0)] * 3, True, id="the counts stand alone"),
        pytest.param([(33.0, -0.5)] * 3, True, id="and tremble"),
        pytest.param([(33.0, 2.0)] * 3, True, id="the wheel creeps"),
        pytest.param([(33.0, 0.0)] * 2, False, id="twice is not enough"),
        pytest.param([(33.0, 0.0), (33.0, 0.0), (0.0, 0.0), (33.0, 0.0)], False, id="not in a row"),
        pytest.param([(33.0, 0.0)] * 5 + [(33.0, 33.0)], False, id="it counts again"),
        pytest.param([(1.0, 0.0)] * 9, False, id="less than a pixel is no motion"),
        pytest.param([(-33.0, 0.0)] * 9, False, id="a hand against the travel"),
        pytest.param([(0.0, 33.0)] * 9, False, id="pictures that stand accuse no encoder"),
    ],
)
def test_an_encoder_stands_when_its_counts_do_and_the_belt_does_not(
    pairs: list[tuple[float, float]], stands: bool
) -> None:
    assert counted(*pairs).encoder_stands is stands


def test_a_mended_encoder_is_accused_by_as_many_pictures_as_at_first() -> None:
    check = counted(*[(33.0, 0.0)] * 5)
    check.begin_anew()
    assert not check.encoder_stands
    for accused in (False, False, True):
        check.take(Compared(TravelSource.ENCODER, OVER_NS, 33.0, 0.0))
        assert check.encoder_stands is accused


# -- by pictures -----------------------------------------------------------------------------------------------------


def test_drawn_pictures_tell_a_changed_speed_a_stop_and_the_way_back(make_scene: MakeScene) -> None:
    spotter, check = Spotter(ViewConfig(CameraConfig(mm_per_px=600 / 1280), EVEN, DetectorConfig())), BeltCheck()
    scene, travel_mm, number = make_scene(5), 0.0, 0
    found = []
    for share, frames in ((1.0, SETTLED_FRAMES + 25), (0.95, 25), (1.0, 25), (0.0, 15), (1.0, 30)):
        for _ in range(frames):
            spotted = spotter.spot(scene.frame(number, counted=False, travel_mm=travel_mm))
            travel_mm, number = travel_mm + share * 1000 / FPS, number + 1
            if spotted.compared is not None:
                check.take(spotted.compared)
        found.append((check.speed_off, check.speed_mm_s))
    assert [off for off, _ in found] == [False, True, False, True, False]
    assert [speed for _, speed in found] == [pytest.approx(1000 * share, abs=6) for share in (1, 0.95, 1, 0, 1)]


@pytest.mark.parametrize(("slips", "stands"), [(True, True), (False, False)])
def test_drawn_pictures_tell_a_slipping_encoder(slips: bool, stands: bool, make_scene: MakeScene) -> None:
    spotter, check = Spotter(ViewConfig(CameraConfig(mm_per_px=600 / 1280), ENCODER, DetectorConfig())), BeltCheck()
    scene, asked = make_scene(6), 0
    for number in range(78):
        frame = scene.frame(number)
        if slips and number > 30:
            frame = Frame("camera0", number, frame.captured_ns, frame.bgr, 2000.0, 0.2)
        spotted = spotter.spot(frame)
        if spotted.compared is not None:
            check.take(spotted.compared)
            asked += 1
    assert check.encoder_stands is stands
    assert asked <= 6  # two frames of fifteen, as before: it costs a millisecond


def tall_items(belt_grain: float, belt_m_s: float, items_m_s: float) -> Iterator[Frame]:
    """A belt with so much grain, and what lies on it: its top is nearer to the camera and looks faster."""
    rng = np.random.default_rng(1)
    grain = cv2.GaussianBlur(rng.normal(size=(5000, 320)), (0, 0), 1.5) * 4 * belt_grain
    for number in range(SETTLED_FRAMES + 40):
        px_per_m_s = number * 1000 / FPS / (600 / 320)
        travel_px = belt_m_s * px_per_m_s
        move = np.array([[1, 0, 0], [0, 1, travel_px - 4700]], np.float64)
        picture = 90.0 + cv2.warpAffine(grain, move, (320, 200)) + rng.normal(size=(200, 320))
        bgr = np.repeat(picture.clip(0, 255).astype(np.uint8)[:, :, None], 3, axis=2)
        for item in range(60):
            top = round(items_m_s * px_per_m_s - 75 * item)
            if -50 < top < 200:
                left = 20 + item * 83 % 240
                cv2.rectangle(bgr, (left, top), (left + 40, top + 30), (40, 60, 200), -1)
        yield Frame("camera0", number, round(number * 1e9 / FPS), bgr)


@pytest.mark.parametrize(
    ("grain", "belt_m_s", "items_m_s", "off"),
    [
        pytest.param(3.0, 1.0, 1.1, False, id="a grained belt: its grain is asked, not the items"),
        pytest.param(3.0, 1.1, 1.1, True, id="a grained belt that is faster"),
        pytest.param(3.0, 0.92, 1.0, True, id="a grained belt that is slower, under tall items"),
        pytest.param(0.0, 1.0, 1.1, False, id="a plain belt: items that look faster may only be tall"),
        pytest.param(0.0, 0.85, 0.85, True, id="a plain belt: items that look slower are on a slower belt"),
    ],
)
def test_tall_items_do_not_make_a_belt_look_too_fast(
    grain: float, belt_m_s: float, items_m_s: float, off: bool
) -> None:
    camera = CameraConfig(width_px=320, height_px=200, mm_per_px=600 / 320)
    spotter, check, asked = Spotter(ViewConfig(camera, EVEN, DetectorConfig())), BeltCheck(), 0
    for frame in tall_items(grain, belt_m_s, items_m_s):
        spotted = spotter.spot(frame)
        if spotted.compared is not None:
            check.take(spotted.compared)
            asked += 1
    assert asked >= 5
    assert check.speed_off is off


def jam(belt_stops: bool, every_px: int) -> Iterator[Frame]:
    """A plain belt at 1 m/s, a large item that is caught at its side, and small ones; at the end the belt may stop."""
    rng, px = np.random.default_rng(2), 1000 / FPS / (600 / 320)
    for number in range(SETTLED_FRAMES + 130):
        bgr = np.repeat((90.0 + rng.normal(size=(200, 320))).clip(0, 255).astype(np.uint8)[:, :, None], 3, axis=2)
        travel_px = px * (min(number, SETTLED_FRAMES + 20) if belt_stops else number)
        caught = min(round(travel_px) - 500, 65)
        cv2.rectangle(bgr, (240, caught), (310, caught + 70), (40, 60, 200), -1)
        for item in range(20):
            top = round(travel_px - every_px * item)
            if -50 < top < 200:
                left = 20 + item * 83 % 160
                cv2.rectangle(bgr, (left, top), (left + 30, top + 40), (40, 60, 200), -1)
        yield Frame("camera0", number, round(number * 1e9 / FPS), bgr)


@pytest.mark.parametrize(
    ("belt_stops", "every_px", "off"),
    [
        pytest.param(False, 240, False, id="the belt runs under it"),
        pytest.param(False, 800, False, id="alone in view for a second, again and again"),
        pytest.param(True, 240, True, id="the belt stands with it"),
    ],
)
def test_a_jam_that_stands_does_not_make_the_belt_stand(belt_stops: bool, every_px: int, off: bool) -> None:
    camera = CameraConfig(width_px=320, height_px=200, mm_per_px=600 / 320)
    spotter, check = Spotter(ViewConfig(camera, EVEN, DetectorConfig())), BeltCheck()
    found = False
    for frame in jam(belt_stops, every_px):
        spotted = spotter.spot(frame)
        if spotted.compared is not None:
            check.take(spotted.compared)
        found = found or check.speed_off
    assert found is off
