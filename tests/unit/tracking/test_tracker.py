"""Identities along the belt, without pictures: boxes at known places, belt travel at will."""

import numpy as np
import pytest

from station.datatypes import BoxPx, Detection, EndedTrack, Frame, OrientedBox, TrackEnd
from station.tracking.belt import BeltMap, ViewPlace, scaled_map
from station.tracking.tracker import Lane, Tracker, TrackIds, TrackUpdate

VIEW_MM, WIDTH_MM = 375, 600  # at one pixel per millimetre
EMPTY = np.zeros((1, 1, 3), np.uint8)


def belt() -> BeltMap:
    return scaled_map(1.0, ViewPlace(WIDTH_MM, VIEW_MM))


class Line:
    """A tracker under a belt on which rectangles lie at belt coordinates."""

    def __init__(
        self, *items: tuple[float, float], size_mm: tuple[float, float] = (80, 60), lane: Lane | None = None
    ) -> None:
        self.items = list(items)
        self.size_mm = size_mm
        self.tracker = Tracker("camera0", belt(), TrackIds(), lane or Lane())
        self.frame_id = 0
        self.ended: list[EndedTrack] = []

    def see(self, travel_mm: float, *extra: Detection, hidden: tuple[int, ...] = ()) -> TrackUpdate:
        seen = [
            box(along + travel_mm, lateral, self.size_mm)
            for index, (along, lateral) in enumerate(self.items)
            if index not in hidden
        ]
        return self.show([d for d in [*seen, *extra] if d is not None], travel_mm)

    def show(self, detections: list[Detection], travel_mm: float) -> TrackUpdate:
        self.frame_id += 1
        frame = Frame("camera0", self.frame_id, self.frame_id * 33_000_000, EMPTY)
        update = self.tracker.update(detections, frame, travel_mm)
        self.ended += update.ended
        return update

    @property
    def ends(self) -> list[TrackEnd]:
        return [ended.end for ended in self.ended if ended.end is not TrackEnd.NOISE]


def box(along_mm: float, lateral_mm: float, size_mm: tuple[float, float] = (80, 60)) -> Detection | None:
    """What the frame shows of a rectangle at this view position; None: nothing of it."""
    top, bottom = along_mm - size_mm[0] / 2, along_mm + size_mm[0] / 2
    left, right = lateral_mm - size_mm[1] / 2, lateral_mm + size_mm[1] / 2
    whole = top > 0 and bottom < VIEW_MM
    top, bottom = max(top, 0.0), min(bottom, float(VIEW_MM))
    if bottom - top < 5:
        return None
    hull = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)
    extent = OrientedBox((left + right) / 2, (top + bottom) / 2, max(size_mm), min(size_mm), 0.0)
    upright = BoxPx(int(left), int(top), int(right), int(bottom))
    return Detection(upright, extent, float((right - left) * (bottom - top)), whole, hull)


@pytest.mark.parametrize(
    "travels_mm",
    [
        pytest.param([33.0 * n for n in range(25)], id="1 m/s at 30 frames/s"),
        pytest.param([83.0 * n for n in range(12)], id="2.5 m/s: whole in two frames"),
        pytest.param([117.0 * n for n in range(9)], id="3.5 m/s"),
        pytest.param([2.0 * n for n in range(300)], id="creeping"),
        pytest.param([0, 33, 66, 165, 264, 297, 500, 700], id="dropped frames"),
        pytest.param(
            [0, 40, 80, 110, 130, 140, 140, 140, 140, 145, 160, 200, 260, 340, 430, 530, 640], id="stops and starts"
        ),
    ],
)
def test_an_item_keeps_one_track_from_edge_to_edge(travels_mm: list[float]) -> None:
    line = Line((-60.0, 300.0))
    ids = {track.track_id for travel in travels_mm for track in line.see(travel).tracks}
    assert len(ids) == 1
    assert line.ends == [TrackEnd.LEFT]
    assert line.ended[-1].track.along_mm == pytest.approx(-60.0, abs=1.0)
    assert line.ended[-1].track.length_mm == pytest.approx(80.0, abs=1.0)


def test_neighbours_one_step_apart_are_not_mixed_up() -> None:
    # The second item comes to where the first was a frame ago: travel, not nearness, tells them apart.
    line = Line(*[(-50.0 - 100.0 * n, 300.0) for n in range(20)])
    for step in range(30):
        line.see(100.0 * step)
    left = [ended.track for ended in line.ended if ended.end is TrackEnd.LEFT]
    assert [round(track.along_mm) for track in left] == [-50 - 100 * n for n in range(20)]
    assert len({track.track_id for track in left}) == 20


def test_the_position_says_how_sure_it_is() -> None:
    line = Line((-60.0, 300.0))
    updates = [line.see(33.0 * n) for n in range(10)]
    sigmas = [update.tracks[0].sigma_mm for update in updates[4:]]
    assert sigmas == sorted(sigmas, reverse=True)
    assert sigmas[0] < 2.0


@pytest.mark.parametrize(
    "before_mm", [0.0, 1e5, 6.048e8], ids=["at once", "after two minutes", "after a week at 1 m/s"]
)
def test_an_outline_is_as_exact_after_a_week_of_belt_as_at_once(before_mm: float) -> None:
    line = Line((-before_mm - 50.0, 300.0))
    for travel_mm in (0, 60, 120, 180, 240):
        update = line.see(before_mm + travel_mm)
    [track] = update.tracks
    assert track.hull_mm is not None
    along_mm = track.hull_mm[:, 0] - track.along_mm
    assert (along_mm.min(), along_mm.max()) == (pytest.approx(-40.0, abs=0.01), pytest.approx(40.0, abs=0.01))


def test_only_whole_sightings_are_whole() -> None:
    line = Line((-60.0, 300.0))
    whole = [any(t.whole for t in line.see(33.0 * n).tracks) for n in range(14)]
    assert whole == [40 < -60 + 33 * n < 335 for n in range(14)]


def test_an_item_unseen_for_a_moment_is_predicted() -> None:
    line = Line((-60.0, 300.0))
    for n in range(6):
        line.see(33.0 * n)
    hidden = line.see(33.0 * 6, hidden=(0,))
    assert hidden.tracks[0].detection is None
    assert not hidden.tracks[0].whole
    for n in range(7, 16):
        line.see(33.0 * n)
    assert line.ends == [TrackEnd.LEFT]


def test_an_item_taken_off_the_belt_is_lost() -> None:
    line = Line((-60.0, 300.0))
    for n in range(16):
        line.see(33.0 * n, hidden=(0,) if n >= 7 else ())
    assert line.ends == [TrackEnd.LOST]


def test_a_flash_is_no_item() -> None:
    line = Line()
    for n in range(10):
        update = line.show([d for d in [box(200, 300)] if d and n == 3], 33.0 * n)
        assert update.tracks == ()
    assert [ended.end for ended in line.ended] == [TrackEnd.NOISE]


def test_a_machine_part_never_becomes_an_item() -> None:
    line = Line()
    for n in range(40):
        update = line.show([d for d in [box(150, 300), box(10, 100)] if d], 33.0 * n)
        assert update.tracks == ()


def test_two_tips_that_turn_out_to_be_one_item_are_one_track() -> None:
    line = Line()
    tips = [d for d in [box(0, 250, (60, 20)), box(0, 350, (60, 20))] if d]
    one = [box(40 + 33 * n, 300, (76, 120)) for n in range(15)]
    shown: list[list[Detection]] = [[], tips, *([d] if d else [] for d in one)]
    ids = {track.track_id for n, seen in enumerate(shown) for track in line.show(seen, 33.0 * n).tracks}
    assert len(ids) == 1
    assert line.ends == [TrackEnd.LEFT]


def tips_then_one(reach_mm: float, frames: int) -> list[list[Detection]]:
    """A V that enters with its two tips apart, there in the first picture already, and `frames` later shows that it is one."""
    shown: list[list[Detection]] = []
    for n in range(40):
        front_mm = reach_mm + 33.0 * n
        rear_mm = front_mm - (reach_mm + 33.0 * frames)
        arms = [box(front_mm - 500, lateral_mm, (1000, 20)) for lateral_mm in (250, 350)]
        whole = box((front_mm + rear_mm) / 2, 300, (front_mm - rear_mm, 120))
        shown.append([d for d in (arms if n < frames else [whole]) if d is not None])
    return shown


def test_two_tips_there_from_the_start_are_one_account() -> None:
    """Neither counts as an item before its rear has come in, however far the belt has carried it."""
    line = Line()
    ids = {
        track.track_id for n, seen in enumerate(tips_then_one(30.0, 4)) for track in line.show(seen, 33.0 * n).tracks
    }
    assert len(ids) == 1
    assert line.ends == [TrackEnd.LEFT]


def test_of_two_long_tips_that_were_items_already_one_ends_and_the_other_goes_on() -> None:
    """Too long to wait for their rears: both have an account, and each gets its end."""
    line = Line()
    counted = list[int]()
    for n, seen in enumerate(tips_then_one(240.0, 4)):
        update = line.show(seen, 33.0 * n)
        counted += [track.track_id for track in update.tracks if track.track_id not in counted]
        if n == 3:
            assert len(update.tracks) == 2
        if n == 4:
            assert len(update.tracks) == 1
            assert [ended.end for ended in update.ended] == [TrackEnd.LOST]
    assert len(counted) == 2
    assert line.ends == [TrackEnd.LOST, TrackEnd.LEFT]
    assert sorted(ended.track.track_id for ended in line.ended) == counted
    assert line.ended[-1].track.lateral_mm == pytest.approx(300, abs=1)


def test_items_that_merge_in_the_picture_keep_both_tracks() -> None:
    line = Line((-60.0, 250.0), (-60.0, 330.0))
    for n in range(5):
        line.see(33.0 * n)
    both = box(-60 + 33.0 * 5, 290, (80, 140))
    assert both is not None
    update = line.show([both], 33.0 * 5)
    assert [track.merged for track in update.tracks] == [True, True]
    assert not any(track.whole for track in update.tracks)
    for n in range(6, 16):
        line.see(33.0 * n)
    assert line.ends == [TrackEnd.LEFT, TrackEnd.LEFT]
    assert sorted(round(ended.track.lateral_mm) for ended in line.ended) == [250, 330]


def test_an_item_in_pieces_is_still_one() -> None:
    line = Line((-60.0, 300.0))
    for n in range(5):
        line.see(33.0 * n)
    at = -60 + 33.0 * 5
    pieces = [d for d in [box(at - 25, 300, (30, 60)), box(at + 25, 300, (30, 60))] if d]
    update = line.show(pieces, 33.0 * 5)
    assert len(update.tracks) == 1
    assert update.tracks[0].whole
    for n in range(6, 16):
        line.see(33.0 * n)
    assert line.ends == [TrackEnd.LEFT]


def test_an_item_longer_than_the_view_is_one_item_with_its_length() -> None:
    line = Line((-260.0, 300.0), size_mm=(450, 60))
    ids = {track.track_id for n in range(28) for track in line.see(33.0 * n).tracks}
    assert len(ids) == 1
    assert line.ended[-1].track.length_mm == pytest.approx(450, abs=2)
    assert line.ended[-1].track.along_mm == pytest.approx(-260, abs=2)


def test_an_item_that_stands_still_on_the_moving_belt_is_a_jam() -> None:
    line = Line((-60.0, 300.0))
    for n in range(6):
        line.see(33.0 * n)
    jammed: tuple[int, ...] = ()
    stuck = box(-60 + 33.0 * 5, 300)
    assert stuck is not None
    for n in range(6, 14):
        update = line.show([stuck], 33.0 * n)
        jammed = jammed or update.jammed
    assert len(jammed) == 1
    assert [track.track_id for track in update.tracks] == list(jammed)
    assert line.ends == []


def test_a_stopped_belt_is_no_jam() -> None:
    line = Line((-60.0, 300.0))
    for n in range(6):
        line.see(33.0 * n)
    for _ in range(60):
        assert line.see(165.0).jammed == ()


def test_a_lost_belt_position_ends_every_track_as_lost() -> None:
    line = Line((-60.0, 250.0), (-60.0, 350.0))
    for n in range(6):
        line.see(33.0 * n)
    assert [ended.end for ended in line.tracker.forget()] == [TrackEnd.LOST, TrackEnd.LOST]
    assert line.show([], 0.0).tracks == ()


def test_cameras_share_the_stations_ids() -> None:
    ids = TrackIds()
    assert [ids.take() for _ in range(3)] == [1, 2, 3]


# -- lanes: two cameras see the same strip in the middle --------------------------------------------------------------

LEFT, RIGHT = Lane(to_mm=300.0), Lane(from_mm=300.0)


@pytest.mark.parametrize(
    ("lateral_mm", "trembles_mm"),
    [
        pytest.param(250.0, 0.0, id="left"),
        pytest.param(299.9, 0.0, id="just left"),
        pytest.param(300.0, 0.0, id="on the border: the right one's"),
        pytest.param(350.0, 0.0, id="right"),
        pytest.param(299.5, 3.0, id="trembling over the border"),
        pytest.param(299.5, -3.0, id="the other way round"),
        pytest.param(300.5, 3.0, id="from its other side"),
        pytest.param(300.5, -3.0, id="from there the other way round"),
    ],
)
def test_an_item_in_two_views_is_one_camera_s_from_edge_to_edge(lateral_mm: float, trembles_mm: float) -> None:
    frames_of: list[int] = []
    for lane in (LEFT, RIGHT):
        line, ids = Line(lane=lane), list[int]()
        for step in range(16):
            seen = box(-60.0 + 33.0 * step, lateral_mm + trembles_mm * (-1) ** step)
            ids += [track.track_id for track in line.show([seen] if seen is not None else [], 33.0 * step).tracks]
        assert len(set(ids)) == (1 if ids else 0)
        assert line.ends == ([TrackEnd.LEFT] if ids else [])
        frames_of.append(len(ids))
    assert min(frames_of) == 0
    assert max(frames_of) >= 8
    if not trembles_mm:
        assert (frames_of[0] > 0) is LEFT.holds(lateral_mm)


def test_another_camera_s_item_still_hides_one_of_ours() -> None:
    line = Line((-60.0, 250.0), (-60.0, 350.0), lane=LEFT)
    for n in range(6):
        line.see(33.0 * n)
    both = box(-60.0 + 33.0 * 6, 300.0, (80, 160))
    assert both is not None
    [track] = line.show([both], 33.0 * 6).tracks
    assert track.merged
    assert track.lateral_mm == pytest.approx(250.0, abs=1.0)


def test_forgotten_items_are_this_camera_s_alone() -> None:
    line = Line((-60.0, 250.0), (-60.0, 350.0), lane=LEFT)
    for n in range(6):
        line.see(33.0 * n)
    assert [round(ended.track.lateral_mm) for ended in line.tracker.forget()] == [250]
