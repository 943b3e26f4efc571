"""From the station's pipe to the hub: the state is never behind a JPEG, and nothing is encoded that nobody waits for."""

import asyncio
import json
import multiprocessing
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from station.panel import intake
from station.panel.intake import Encoder, Intake
from station.panel.live import LiveHub, Packet, StateBoard, Viewer
from station.panel.pictures import PictureWriter


def picture(writer: PictureWriter, grey: int = 0) -> dict[str, Any]:
    place = writer.write(np.full((40, 60, 3), grey, np.uint8))
    return {
        "facts": {"camera": "camera0", "number": place.number},
        "place": {name: getattr(place, name) for name in place.__slots__},
    }


def in_loop(scene: Callable[[asyncio.AbstractEventLoop, LiveHub, Encoder], Any]) -> Any:
    async def run() -> Any:
        loop, hub = asyncio.get_running_loop(), LiveHub()
        encoder = Encoder(hub, loop, 960, 75)
        return await scene(loop, hub, encoder)

    return asyncio.run(run())


def delivered(viewer: Viewer) -> Packet | None:
    return viewer._slot


@pytest.fixture(autouse=True)
def at_normal_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder's step runs on the test's own thread here, which must not give way for ever."""
    monkeypatch.setattr(Encoder, "_give_way", lambda self: None)


def test_the_newest_picture_is_encoded_once_and_only_for_who_waits() -> None:
    encoded: list[int] = []

    async def scene(loop: asyncio.AbstractEventLoop, hub: LiveHub, encoder: Encoder) -> None:
        writer = PictureWriter()
        encoder.offer("camera0", picture(writer))  # nobody watches
        viewer = hub.join("camera0", 0)
        for grey in (10, 20):
            encoder.offer("camera0", picture(writer, grey))
        encoder.step()
        await asyncio.sleep(0)
        packet = await viewer.next_packet()
        encoded.append(packet.number)
        encoder.offer("camera0", picture(writer, 30))  # not acknowledged yet
        encoder.step()
        await asyncio.sleep(0)
        assert delivered(viewer) is None
        viewer.acknowledge(1, None)
        encoder.offer("camera0", picture(writer, 40))
        encoder.step()
        await asyncio.sleep(0)
        encoded.append((await viewer.next_packet()).number)
        writer.close()

    in_loop(scene)
    assert encoded == [3, 5]


def test_a_picture_that_waited_is_not_encoded_for_a_viewer_that_got_the_one_before() -> None:
    async def scene(loop: asyncio.AbstractEventLoop, hub: LiveHub, encoder: Encoder) -> Packet | None:
        writer = PictureWriter()
        viewer = hub.join("camera0", 0)
        encoder.offer("camera0", picture(writer))
        viewer.ready = False  # meanwhile it got another
        encoder.step()
        await asyncio.sleep(0)
        writer.close()
        return delivered(viewer)

    assert in_loop(scene) is None


def test_the_state_is_on_the_board_while_a_picture_is_still_being_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "encode", lambda *_: pytest.fail("the intake encodes"))

    async def scene() -> tuple[StateBoard, list[str]]:
        theirs, ours = multiprocessing.get_context("spawn").Pipe(duplex=False)
        board, offered = StateBoard("Line 3"), list[str]()
        taker = Intake(theirs, board, asyncio.get_running_loop(), lambda camera_id, _: offered.append(camera_id))
        for n in (1, 2):
            message: dict[str, object] = {"state": {"n": n}, "made_ns": n, "pictures": {f"camera{n}": {}}}
            ours.send_bytes(json.dumps(message).encode())
        gone = []
        for last in (False, True):
            if last:
                ours.close()
            taker.step()
            await asyncio.sleep(0)
            gone.append(taker.station_gone)
        assert gone == [False, True]
        theirs.close()
        return board, offered

    board, offered = asyncio.run(scene())
    assert board.state == {"n": 2}  # the newest
    assert offered == ["camera1", "camera2"]  # of each camera
    assert board.station_gone
