"""A device that restarts while a frame of the boot before is still on its way through the camera's thread."""

from dataclasses import replace

import pytest

from firmware_bridge.messages import LinkChanged, LinkState, Reply
from station.clock import ManualClock
from station.machine import Machine
from station.pipeline import Controls, SortLoop, StepResult
from station.tracking.spotter import ViewConfig
from station.tracking.tracker import TrackIds
from station.tracking.view import View
from tests.unit.test_watch import CONFIG, NoOpinion, seen_at

CAMERA = CONFIG.cameras[0]
STEP_MM = 1000.0 / 30
REBOOTED_AFTER = 6  # frames
NEW_BOOT = LinkChanged(LinkState.SYNCING, 0, "the device restarted", new_boot=True)


class Belt:
    """One item on a belt at 1 m/s, and what the loop makes of each frame. Boot 2 counts from zero."""

    def __init__(self) -> None:
        self.clock = ManualClock(0)
        view = View(ViewConfig(CAMERA, CONFIG.belt, CONFIG.detector), TrackIds())
        self.loop = SortLoop(CONFIG, {CAMERA.id: view}, NoOpinion(), Machine(True), self.clock)

    def turn(self, number: int, boot: int, *replies: Reply) -> StepResult:
        travel_mm = STEP_MM * (number - (REBOOTED_AFTER + 1 if boot == 2 else 0))
        seen = seen_at(number, travel_mm, 30.0 + STEP_MM * number)
        seen = replace(seen, frame=replace(seen.frame, belt_epoch=boot))
        self.clock.set_ns(seen.frame.captured_ns + 1)
        controls = Controls(link=None, alive=(CAMERA.id,))
        return self.loop.step(self.clock.now_ns(), [seen], replies, controls)


@pytest.mark.parametrize("under_way", [0, 1, 2])
def test_a_frame_under_way_at_a_reboot_makes_no_item_count_twice(under_way: int) -> None:
    belt = Belt()
    results = [belt.turn(number, 1) for number in range(REBOOTED_AFTER)]
    told: tuple[Reply, ...] = (NEW_BOOT,)
    for number in range(REBOOTED_AFTER, REBOOTED_AFTER + 5):
        boot = 1 if number < REBOOTED_AFTER + under_way else 2
        results.append(belt.turn(number, boot, *told))
        told = ()
    assert [record.outcome.reason.value for result in results for record in result.records] == ["link"]
    assert sum(len(result.births) for result in results) == 1
    assert belt.loop.ledger.total == 1
    assert len(results[-1].tracks) == 1, "it is seen, and known"
