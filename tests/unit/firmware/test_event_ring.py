"""Events tick by tick: what goes out when, what is sent again, what finds no place, and how the ring runs round."""

import pytest

from firmware_bridge import wire
from firmware_bridge.virtual_device import Pin
from tests.unit.firmware.bare import NEVER, Bare


def batches(said: list[wire.Message]) -> list[tuple[int, int]]:
    return [(m.first_seq, len(m.events)) for m in said if isinstance(m, wire.Events)]


def listening() -> Bare:
    """In a session, nothing acknowledged but BOOT."""
    bare = Bare()
    bare.at(1000).hello()
    bare.tick(1000)
    bare.acknowledging = False
    return bare


def test_new_events_go_out_at_once_and_the_oldest_twelve_again_every_10_ms() -> None:
    bare = listening()
    assert batches(bare.tick(2000)) == []
    bare.blink_eye(20)
    assert bare.next_due_us == 0
    assert batches(bare.tick(2000)) == [(2, 3), (5, 3), (8, 3), (11, 3), (14, 3), (17, 3), (20, 2)]
    assert bare.next_due_us == 9000  # the encoder's report; then 12_000
    assert batches(bare.tick(11_999)) == []
    assert batches(bare.tick(12_000)) == [(2, 3), (5, 3), (8, 3), (11, 3)]
    assert batches(bare.tick(12_001)) == []
    assert batches(bare.tick(21_999)) == []
    bare.blink_eye(2)
    assert batches(bare.tick(21_999)) == [(22, 2)]  # only what is new
    bare.blink_eye(1)
    assert batches(bare.tick(22_000)) == [(2, 3), (5, 3), (8, 3), (11, 3), (24, 1)]


def test_only_an_event_that_is_not_acknowledged_asks_for_another_look() -> None:
    bare = Bare(has_encoder=False)
    assert bare.next_due_us == NEVER
    bare.at(1000).hello()
    assert bare.next_due_us == 0
    bare.acknowledging = False
    bare.tick(1000)
    assert bare.next_due_us == 11_000
    bare.send(wire.EventAck(1))
    assert bare.next_due_us == NEVER
    bare.tick(500_000)
    assert bare.next_due_us == NEVER


def test_what_is_acknowledged_is_not_sent_again_and_the_rest_is() -> None:
    bare = listening()
    bare.blink_eye(8)
    bare.tick(2000)
    bare.send(wire.EventAck(4))
    assert batches(bare.tick(3000)) == []
    bare.blink_eye(1)
    assert batches(bare.tick(4000)) == [(10, 1)]
    assert batches(bare.tick(12_000)) == [(5, 3), (8, 3)]
    bare.send(wire.EventAck(10))
    assert batches(bare.tick(30_000)) == []
    assert bare.next_due_us == 38_000  # the encoder's report: no event waits for anything
    bare.blink_eye(4)
    assert batches(bare.tick(30_000)) == [(11, 3), (14, 1)]
    assert batches(bare.tick(39_999)) == []
    assert batches(bare.tick(40_000)) == [(11, 3), (14, 1)]


def test_an_acknowledgement_may_come_before_anything_was_sent_again_or_for_more_than_was_sent() -> None:
    bare = listening()
    bare.blink_eye(4)
    bare.tick(2000)
    bare.blink_eye(3)  # not sent yet
    bare.send(wire.EventAck(6))  # one more than what was sent
    assert batches(bare.tick(2500)) == [(7, 2)]
    assert batches(bare.tick(13_000)) == [(7, 2)]


def test_a_batch_says_all_of_each_event() -> None:
    bare = listening()
    bare.count(1500, -7)
    for us, level in ((2**33 + 5, True), (2**33 + 6, False), (2**33 + 9, True)):
        bare.at(us)
        bare.device.set_input(17, level, bare.now_ns)
    [batch] = [m for m in bare.tick(2**33 + 10) if isinstance(m, wire.Events)]
    assert [(e.kind, e.flags, e.id, e.on, e.off, e.extra) for e in batch.events] == [
        (wire.EVENT_INPUT, 0, 17, 2**33 + n, -7, level) for n, level in ((5, 1), (6, 0), (9, 1))
    ]


def test_the_ring_holds_509_reports_of_inputs_and_the_last_three_places_are_for_our_own() -> None:
    bare = listening()
    bare.configure()
    bare.arm()
    bare.blink_eye(600)
    bare.device.set_input(Pin.ESTOP, True, bare.now_ns)  # while armed: told with the disarming
    assert bare.lease().events_lost == 0
    bare.acknowledging = True
    bare.ticks(range(2000, 800_000, 10_000))
    assert len(bare.told(wire.EVENT_INPUT)) == 509 + 1
    assert len(bare.told(wire.EVENT_DISARMED)) == 1


@pytest.mark.parametrize("queued", [0, 5])
def test_each_queued_command_keeps_a_place_for_its_report(queued: int) -> None:
    bare = listening()
    bare.configure()
    bare.arm()
    for n in range(queued):
        assert bare.divert_time(n + 1, 1 << n, 500, 560) == 0
    bare.blink_eye(600)
    assert bare.divert_time(99, 1, 700, 760) == 3
    bare.send(wire.EventAck(2))
    bare.events_seen = 2
    assert bare.divert_time(100, 1, 700, 760) == 0
    assert bare.divert_time(101, 2, 700, 760) == 3
    bare.acknowledging = True
    bare.ticks(range(2000, 900_000, 10_000))
    assert len(bare.told(wire.EVENT_INPUT)) == 509 - queued - 1  # the first one was acknowledged unseen
    assert len(bare.fired()) + len(bare.missed()) == queued + 1


def test_events_that_find_no_place_are_counted_and_the_others_told() -> None:
    bare = listening()
    bare.configure()
    for _ in range(515):
        assert bare.arm() == 0
        bare.send(wire.Disarm())
    assert bare.lease().events_lost == 3
    bare.send(wire.EventAck(2))
    assert bare.arm() == 0
    bare.send(wire.Disarm())
    assert bare.lease().events_lost == 3


def test_the_ring_runs_round_and_nothing_in_it_is_lost_or_told_twice() -> None:
    bare = listening()
    for n in range(2000):
        bare.at(2000 + n)
        bare.device.set_input(3 + n % 5, True, bare.now_ns)
        if n % 7 == 6:
            bare.acknowledging = n % 3 != 0
            bare.tick(2000 + n)
    bare.acknowledging = True
    bare.ticks(range(20_000, 200_000, 10_000))
    assert [(e.id, e.on) for e in bare.told(wire.EVENT_INPUT)] == [(3 + n % 5, 2000 + n) for n in range(2000)]
    assert bare.events_seen == 2001
