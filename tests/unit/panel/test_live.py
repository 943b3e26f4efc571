"""Pictures on their way: newest only, one per viewer, nothing torn, nothing for nobody."""

import asyncio
import json
import struct
from typing import Any

import cv2
import numpy as np
import pytest

from station.panel.live import ACTIVE_WITHIN_NS, LiveHub, Packet, StateBoard, encode, pack
from station.panel.pictures import PictureReader, PictureWriter
from station.panel.sender import STATE_PERIOD_NS, Sender


def packet(number: int, camera_id: str = "camera0") -> Packet:
    return Packet(camera_id, number, {"number": number}, b"jpeg")


def test_a_message_is_length_json_jpeg() -> None:
    message = pack({"number": 7}, b"\xff\xd8")
    (length,) = struct.unpack(">I", message[:4])
    assert json.loads(message[4 : 4 + length]) == {"number": 7}
    assert message[4 + length :] == b"\xff\xd8"


@pytest.mark.parametrize(("width_px", "shown_px"), [(1280, 960), (640, 640)])
def test_a_picture_is_made_smaller_but_never_larger(width_px: int, shown_px: int) -> None:
    jpeg = encode(np.full((400, width_px, 3), 90, np.uint8), 960, 75)
    shown = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert shown.shape == (400 * shown_px // width_px, shown_px, 3)


def test_a_slow_viewer_skips_to_the_newest_and_holds_up_nobody() -> None:
    async def scene() -> tuple[list[int], list[int]]:
        hub = LiveHub()
        slow, quick = hub.join("camera0", 0), hub.join("camera0", 0)
        got_slow, got_quick = [], []
        for number in range(1, 6):
            hub.offer(packet(number))
            got_quick.append((await quick.next_packet()).number)
            quick.acknowledge(number, None)
            if number == 1:
                got_slow.append((await slow.next_packet()).number)
        slow.acknowledge(9, None)
        got_slow.append((await slow.next_packet()).number)
        return got_slow, got_quick

    assert asyncio.run(scene()) == ([1, 5], [1, 2, 3, 4, 5])


def test_a_picture_is_wanted_only_while_somebody_waits_for_that_camera() -> None:
    async def scene() -> list[bool]:
        hub = LiveHub()
        answers = [hub.wanted("camera0")]
        viewer = hub.join("camera0", 0)
        answers += [hub.wanted("camera0"), hub.wanted("camera1")]
        hub.offer(packet(1))
        await viewer.next_packet()
        answers.append(hub.wanted("camera0"))
        viewer.acknowledge(1, None)
        answers.append(hub.wanted("camera0"))
        hub.leave(viewer)
        return [*answers, hub.wanted("camera0")]

    assert asyncio.run(scene()) == [False, True, False, False, True, False]


def test_a_stalled_viewer_does_not_count_as_watching_until_it_wakes_up() -> None:
    async def scene() -> list[list[str]]:
        hub = LiveHub()
        viewer = hub.join("camera0", 0)
        hub.offer(packet(1))
        await viewer.next_packet()
        late_ns = ACTIVE_WITHIN_NS + 1
        seen = [hub.watched(1), hub.watched(late_ns)]
        viewer.acknowledge(late_ns, None)
        return [*seen, hub.watched(late_ns)]

    assert asyncio.run(scene()) == [["camera0"], [], ["camera0"]]


def test_changing_the_camera_drops_the_picture_of_the_old_one() -> None:
    async def scene() -> int:
        hub = LiveHub()
        viewer = hub.join("camera0", 0)
        hub.offer(packet(1))
        viewer.look_at("camera1", 0)
        hub.offer(packet(2))
        hub.offer(packet(3, "camera1"))
        return (await viewer.next_packet()).number

    assert asyncio.run(scene()) == 3


def test_a_change_of_state_wakes_the_pages_and_counting_does_not() -> None:
    async def scene() -> list[bool]:
        board = StateBoard("Line 3")
        board.put({"machine": {"state": "Execute"}, "counts": {"total": 1}}, 1)
        woken = []
        for values in ({"machine": {"state": "Execute"}, "counts": {"total": 2}}, {"machine": {"state": "Stopped"}}):
            waiting = asyncio.ensure_future(board.changed(60))
            await asyncio.sleep(0)
            board.put(values, 2)
            for _ in range(3):
                await asyncio.sleep(0)
            woken.append(waiting.done())
            waiting.cancel()
        return woken

    assert asyncio.run(scene()) == [False, True]


def test_snapshots_overlap_and_every_item_is_kept_once() -> None:
    board = StateBoard("Line 3")
    board.put({"items": [{"track_id": 2}, {"track_id": 1}]}, 1)
    board.put({"items": [{"track_id": 4}, {"track_id": 3}, {"track_id": 2}]}, 2)
    assert [item["track_id"] for item in board.items] == [1, 2, 3, 4]


# -- shared memory -------------------------------------------------------------------------------------------------------


def test_a_picture_crosses_and_an_overwritten_one_is_noticed() -> None:
    writer, reader = PictureWriter(), PictureReader()
    try:
        first = writer.write(np.full((4, 6, 3), 11, np.uint8))
        view = reader.view("camera0", first)
        assert view is not None
        assert (view.bgr == 11).all()
        intact = []
        for value in (22, 33):  # the other slot, then this one
            writer.write(np.full((4, 6, 3), value, np.uint8))
            intact.append(view.intact)
        assert intact == [True, False]
        del view
    finally:
        reader.close()
        writer.close()


def test_a_larger_picture_gets_larger_memory_and_the_old_one_is_gone() -> None:
    writer, reader = PictureWriter(), PictureReader()
    try:
        small = writer.write(np.zeros((4, 6, 3), np.uint8))
        large = writer.write(np.full((8, 6, 3), 5, np.uint8))
        assert large.memory != small.memory
        assert reader.view("camera0", small) is None
        view = reader.view("camera0", large)
        assert view is not None
        assert view.bgr.shape == (8, 6, 3)
        del view
    finally:
        reader.close()
        writer.close()


# -- the station's side --------------------------------------------------------------------------------------------------


class Wire:
    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def send(self, message: bytes) -> None:
        self.messages.append(json.loads(message))


def sending(max_fps: float) -> tuple[Sender, Wire]:
    sender, wire = Sender(max_fps), Wire()
    sender.lead_to(wire)
    return sender, wire


FRAME = np.zeros((4, 6, 3), np.uint8)
STATE: dict[str, Any] = {"machine": {"state": "Execute"}, "pictures": {"camera0": {"captured_ns": 5}}}


def test_pictures_nobody_watches_are_not_even_copied() -> None:
    sender, wire = sending(30)
    sender.offer(STATE, {"camera0": FRAME}, 0)
    sender.step()
    assert wire.messages == [{"state": {"machine": {"state": "Execute"}}, "made_ns": 0, "pictures": {}}]


def test_values_go_ten_times_a_second_and_pictures_as_often_as_allowed() -> None:
    sender, wire = sending(10)
    sender.watched = frozenset({"camera0"})
    try:
        for step in range(300):  # 3 s at 100 steps per second
            sender.offer(STATE, {"camera0": FRAME}, step * 10_000_000)
            if sender._pending is not None:
                sender.step()
        assert 29 <= sum(bool(message["pictures"]) for message in wire.messages) <= 32
        assert wire.messages[0]["pictures"]["camera0"]["facts"]["captured_ns"] == 5
    finally:
        sender.close()


def test_jitter_does_not_halve_the_rate() -> None:
    sender, wire = sending(30)
    sender.watched = frozenset({"camera0"})
    try:
        for n in range(300):
            jitter_ns = 2_000_000 if n % 2 else -2_000_000
            sender.offer(STATE, {"camera0": FRAME}, n * 33_333_333 + jitter_ns + 5_000_000)
            if sender._pending is not None:
                sender.step()
        assert sum(bool(message["pictures"]) for message in wire.messages) >= 295
    finally:
        sender.close()


def test_what_json_has_no_word_for_is_shown_as_unknown() -> None:
    sender, wire = sending(30)
    sender.offer({"latency_ms": {"p99": float("inf"), "p50": np.float32(2.5)}, "n": (1, float("nan"))}, {}, 0)
    sender.step()
    assert wire.messages[0]["state"] == {"latency_ms": {"p99": None, "p50": 2.5}, "n": [1, None]}


def test_a_snapshot_may_be_made_later_on_the_panels_thread() -> None:
    sender, wire = sending(30)
    calls = []

    def snapshot() -> dict[str, Any]:
        calls.append(1)
        return {"n": 1}

    sender.offer(snapshot, {}, 0)
    sender.offer(snapshot, {}, STATE_PERIOD_NS // 2)  # too soon: not even called
    assert calls == []
    sender.step()
    assert wire.messages[0]["state"] == {"n": 1}
