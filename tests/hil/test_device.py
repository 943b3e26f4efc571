"""What the station relies on from a device, on every rung: firing and its records, refusals, windows, clocks."""

import os
from dataclasses import replace

import pytest

from firmware_bridge import wire
from firmware_bridge.messages import (
    Accepted,
    DuringCount,
    Fired,
    LinkState,
    MissReason,
    NotFired,
    Refusal,
    Refused,
)
from tests.hil.driver import CLOSING_MS, GATE, OPENING_MS, Driver
from tests.hil.rungs import MS, Recorded

SMOKE = {
    "test_it_says_what_it_is_and_its_clock_is_known",
    "test_it_holds_every_value_as_it_was_sent",
    "test_windows_in_time_fire_and_are_reported",
}


def test_it_says_what_it_is_and_its_clock_is_known(driver: Driver) -> None:
    driver.reach(LinkState.READY)
    capabilities, status = driver.controller.capabilities(), driver.controller.status()
    assert capabilities is not None
    assert capabilities.gates >= 1
    assert capabilities.id_memory >= capabilities.queue_depth >= 4
    assert status.sync_bound_us is not None
    assert status.sync_bound_us <= driver.tolerances.sync_bound_us
    assert status.boot_id is not None
    announced = (capabilities.gates, capabilities.queue_depth, capabilities.has_count)
    assert driver.tolerances.announced in (None, announced)


def test_it_holds_every_value_as_it_was_sent(driver: Driver) -> None:
    driver.configure()
    wanted = driver.session.configuring.wanted
    assert wanted is not None
    for gate in wire.gate_messages(wanted):
        assert driver.ask(wire.ReadConfig(gate.gate), wire.HeldGate) == wire.HeldGate(*gate)
    common = wire.HeldCommon(*wire.commit_message(wanted))
    assert driver.ask(wire.ReadConfig(wire.NO_GATE), wire.HeldCommon) == common


def test_the_true_time_lies_within_the_bound_that_is_stated(driver: Driver, recorded: Recorded) -> None:
    driver.reach(LinkState.READY)
    for _ in range(8):
        driver.run(0.2)
        fit, bound_us = driver.session.clock.fit, driver.controller.status().sync_bound_us
        assert fit is not None
        assert bound_us is not None
        pairs = recorded.clock_pairs()
        assert len(pairs) > 10
        worst_us = max(abs(fit.host_ns(at_us) - at_ns) for at_us, at_ns in pairs[-20:]) / 1000
        assert worst_us <= bound_us + 1, "a device's clock counts whole microseconds"


def test_windows_in_time_fire_and_are_reported(driver: Driver) -> None:
    driver.arm()
    ids = [driver.submit(driver.soon(300 + 100 * n), gate=n) for n in range(3)]
    for command_id in ids:
        fired = driver.final(command_id)
        assert isinstance(fired, Fired)
        assert 20 * MS < fired.off_ns - fired.on_ns < 400 * MS
        assert abs(fired.on_error_us) <= driver.tolerances.max_late_us
    assert [reply.command_id for reply in driver.told(Accepted)] == ids


def test_a_window_in_time_opens_its_gate_once_at_its_moment(driver: Driver, recorded: Recorded) -> None:
    driver.arm()
    for gate in range(3):
        window = driver.soon()
        bound_us = driver.session.bound_us(window.end_ns)
        assert bound_us is not None
        fired = driver.final(driver.submit(window, gate))
        assert isinstance(fired, Fired)
        on, off = driver.edges(recorded, 2, gate)
        assert (on.on, off.on) == (True, False)
        within_ns = (bound_us + driver.tolerances.edge_us) * 1000
        assert abs(on.at_ns - (window.start_ns - OPENING_MS * MS)) <= within_ns
        assert abs(off.at_ns - (window.end_ns - CLOSING_MS * MS)) <= within_ns
        assert abs(fired.on_ns - on.at_ns) <= within_ns, "what is told is what was done"
    driver.edges(recorded, 6)


def test_windows_in_counts_open_where_the_belt_is(driver: Driver, recorded: Recorded) -> None:
    driver.arm()
    driver.until(lambda: driver.controller.count_at(driver.now_ns()) is not None)
    for turn in range(3):
        driver.run(0.2)
        at = driver.controller.count_at(driver.now_ns())
        assert at is not None
        start = round(at.count + at.counts_per_s * 0.4)
        end = round(start + at.counts_per_s * 0.1)
        fired = driver.final(driver.submit(DuringCount(start, end), gate=turn))
        assert isinstance(fired, Fired)
        on, off = driver.edges(recorded, 2, turn)
        within = driver.tolerances.edge_counts
        assert abs(on.count - (start - OPENING_MS * at.counts_per_s / 1000)) <= within
        assert abs(off.count - (end - CLOSING_MS * at.counts_per_s / 1000)) <= within
        assert abs(fired.on_count - on.count) <= within


def test_over_a_line_that_doubles_and_loses_frames_each_window_fires_exactly_once(driver: Driver) -> None:
    driver.arm()
    driver.line.twice, driver.line.lose_every = True, 3
    ids = []
    for n in range(12):
        ids.append(driver.submit(driver.soon(lead_ms=400, hold_ms=40), gate=n % 2))
        driver.run(0.15)
    finals = [driver.final(command_id) for command_id in ids]
    assert [type(final).__name__ for final in finals] == ["Fired"] * 12
    edges = getattr(driver.rung, "edges", None)
    assert edges is None or len([edge for edge in edges() if edge.on]) == 12


def test_an_id_again_gets_the_stored_answer_and_with_another_window_a_conflict(driver: Driver) -> None:
    driver.arm()
    fit = driver.session.clock.fit
    assert fit is not None
    start_us = fit.device_us(driver.now_ns()) + 1_500_000
    divert = wire.Divert(7777, 1, wire.MODE_TIME, start_us, start_us + 50_000)
    assert [driver.ask(divert, wire.Answer).answer for _ in range(3)] == [0, 0, 0]
    other = divert._replace(end=start_us + 60_000)
    assert driver.ask(other, wire.Answer).answer == Refusal.ID_CONFLICT.value
    driver.run(2.0)
    edges = getattr(driver.rung, "edges", None)
    assert edges is None or [edge.on for edge in edges()] == [True, False]


@pytest.mark.parametrize(
    ("lead_ms", "hold_ms", "gate", "refusal"),
    [
        (-500, 50, 0, Refusal.LATE),
        (60_000, 50, 0, Refusal.FAR),
        (500, GATE.max_hold_us // 1000 + 50, 0, Refusal.GATE_LIMIT),
        (500, 1, 0, Refusal.GATE_LIMIT),
        (500, 50, 31, Refusal.BAD_ARGUMENT),
        (500, -50, 0, Refusal.BAD_ARGUMENT),
    ],
    ids=["late", "far", "too long", "too short", "no such gate", "backwards"],
)
def test_what_it_cannot_do_is_refused_and_moves_nothing(
    lead_ms: int, hold_ms: int, gate: int, refusal: Refusal, driver: Driver
) -> None:
    driver.arm()
    final = driver.final(driver.submit(driver.soon(lead_ms, hold_ms), gate))
    assert isinstance(final, Refused)
    assert final.refusal is refusal
    driver.run(0.8)
    edges = getattr(driver.rung, "edges", None)
    assert edges is None or edges() == []


def test_unarmed_it_takes_no_window(driver: Driver) -> None:
    driver.configure()
    fit = driver.session.clock.fit
    assert fit is not None
    start_us = fit.device_us(driver.now_ns()) + 300_000
    answer = driver.ask(wire.Divert(1, 1, wire.MODE_TIME, start_us, start_us + 50_000), wire.Answer)
    assert answer.answer == Refusal.NOT_ARMED.value


def test_beyond_its_announced_depth_a_window_is_refused_full(driver: Driver) -> None:
    driver.arm()
    capabilities, fit = driver.controller.capabilities(), driver.session.clock.fit
    assert capabilities is not None
    assert fit is not None
    gates = min(8, capabilities.gates)
    now_us = fit.device_us(driver.now_ns())
    answers = []
    for n in range(capabilities.queue_depth + 1):
        start_us = now_us + 5_000_000 + n // gates * 100_000
        divert = wire.Divert(1000 + n, 1 << n % gates, wire.MODE_TIME, start_us, start_us + 30_000)
        answers.append(driver.ask(divert, wire.Answer).answer)
    assert answers == [0] * capabilities.queue_depth + [Refusal.FULL.value]


def test_cancelled_windows_do_not_fire(driver: Driver) -> None:
    driver.arm()
    ids = [driver.submit(driver.soon(800 + 100 * n)) for n in range(3)]
    driver.run(0.1)
    driver.controller.cancel_all()
    for command_id in ids:
        final = driver.final(command_id)
        assert isinstance(final, NotFired)
        assert final.reason is MissReason.CANCELLED


def test_noise_before_and_between_frames_harms_nothing(driver: Driver) -> None:
    driver.arm()
    driver.line.write(b"AT+GMM\r\n" + os.urandom(500))
    command_id = driver.submit(driver.soon(lead_ms=500))
    driver.line.write(b"\x00\x00ATI\r")
    assert isinstance(driver.final(command_id), Fired)


def test_a_report_is_said_again_until_it_is_acknowledged_and_told_once(driver: Driver) -> None:
    driver.arm()
    driver.line.swallow = wire.EventAck
    command_id = driver.submit(driver.soon())
    assert isinstance(driver.final(command_id), Fired)
    driver.run(0.2)
    driver.line.swallow = None
    driver.run(0.2)

    def reports() -> int:
        return sum(
            event.kind == wire.EVENT_FIRED and event.id == command_id
            for message in driver.said(wire.Events)
            for event in message.events
        )

    said = reports()
    assert said > 3, "a second final reply would have failed in the driver"
    driver.run(0.3)
    assert reports() == said


def test_what_fired_while_nothing_was_heard_is_told_afterwards(driver: Driver) -> None:
    driver.arm()
    command_id = driver.submit(driver.soon(lead_ms=200, hold_ms=30))
    driver.until(lambda: bool(driver.told(Accepted)))
    driver.run(0.1)
    driver.line.deaf = True  # for less than the host takes for a loss
    driver.run(0.18)
    driver.line.deaf = False
    assert isinstance(driver.final(command_id), Fired)


def test_a_configuration_changed_behind_the_hosts_back_is_not_armed(driver: Driver) -> None:
    driver.configure()
    crc = driver.session.configuring.crc
    assert driver.ask(wire.Arm(crc ^ 1, False), wire.Ack).error == 2
    wanted = driver.session.configuring.wanted
    assert wanted is not None
    other = replace(wanted, gates=(replace(GATE, max_hold_us=1_000), *wanted.gates[1:]))
    driver.put(wire.gate_messages(other)[0])
    driver.until(lambda: any("sending it again" in detail for detail in driver.details()))
    driver.reach(LinkState.READY)
    driver.arm()
    fired = driver.final(driver.submit(driver.soon(hold_ms=60)))
    assert isinstance(fired, Fired), "held again, as the host has it"
