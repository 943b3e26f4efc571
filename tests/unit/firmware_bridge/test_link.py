"""Session and link against the real core in virtual time: whatever the wire does, every command ends once and truly."""

from dataclasses import replace

import pytest

from firmware_bridge import wire
from firmware_bridge.errors import ConfigRefused, QueueFull
from firmware_bridge.loopback import WireFaults
from firmware_bridge.messages import (
    DeviceConfig,
    DivertCommand,
    DuringTime,
    EncoderSilent,
    Fired,
    LinkChanged,
    LinkState,
    MissReason,
    NotFired,
    Refusal,
    Refused,
    Unanswered,
)
from firmware_bridge.session import Session
from tests.unit.firmware_bridge.bench import BOOT_NS, CONFIG, COUNTS_PER_S, GATE, MS, SECOND, Bench


def test_the_first_second_leads_to_armed() -> None:
    bench = Bench()
    bench.run(0.3)
    states = [reply.state for reply in bench.told(LinkChanged) if isinstance(reply, LinkChanged)]
    assert states == [LinkState.GREETING, LinkState.SYNCING, LinkState.READY, LinkState.ARMED]
    status = bench.controller.status()
    assert status.sync_bound_us is not None
    assert status.sync_bound_us < 500
    capabilities = bench.controller.capabilities()
    assert capabilities is not None
    assert (capabilities.gates, capabilities.has_count, capabilities.timing) == (8, True, "device")


@pytest.mark.parametrize("mode", ["time", "count"])
@pytest.mark.parametrize(
    ("faults", "sync_bound_us"),
    [
        pytest.param(WireFaults(), 500, id="clean"),
        pytest.param(WireFaults.all(0.02), 5000, id="2 % of everything"),
        pytest.param(WireFaults(latency_ns=500_000, jitter_ns=2 * MS, drop=0.05), 5000, id="5 % lost"),
        pytest.param(WireFaults(latency_ns=500_000, jitter_ns=2 * MS, drop=0.15), 5000, id="15 % lost"),
        pytest.param(WireFaults.all(0.05), 5000, id="5 % of everything"),
    ],
)
def test_every_command_fires_exactly_once_on_a_bad_line(faults: WireFaults, sync_bound_us: int, mode: str) -> None:
    bench = Bench(faults, seed=3, sync_bound_us=sync_bound_us)
    bench.run(1.5)
    assert bench.is_in(LinkState.ARMED)
    bench.run(4.0, every_ms=10, submit=lambda _: bench.ahead() if mode == "time" else bench.ahead_counts())
    bench.run(2.0)
    bench.assert_everything_accounted()
    assert bench.outcomes() == {"Fired": len(bench.commands)}
    assert len(bench.commands) > 380


def test_half_the_frames_gone_costs_at_most_two_in_a_thousand() -> None:
    bench = Bench(WireFaults.all(0.15), seed=5, sync_bound_us=5000)
    bench.run(1.0)
    bench.run(10.0, every_ms=10, submit=lambda _: bench.ahead())
    bench.run(3.0)
    bench.assert_everything_accounted()
    assert bench.outcomes()["Fired"] >= 0.998 * len(bench.commands)


def test_a_fired_reply_says_when_and_where_the_window_acted() -> None:
    bench = Bench()
    bench.run(1.0)
    window = bench.ahead(lead_ms=100, hold_ms=40)
    command_id = bench.submit(window)
    bench.run(0.5)
    fired = bench.finals[command_id]
    assert isinstance(fired, Fired)
    on_edge, off_edge = bench.edges
    assert abs(fired.on_ns - on_edge.at_ns) < 200_000
    assert abs(fired.off_ns - off_edge.at_ns) < 200_000
    assert abs(on_edge.at_ns - (window.start_ns - 12 * MS)) < 200_000
    assert abs(fired.on_count - on_edge.count) <= 2
    assert abs(fired.off_count - off_edge.count) <= 2


def test_the_count_at_a_moment_is_the_belts() -> None:
    bench = Bench()
    bench.run(1.0)
    for _ in range(100):
        bench.run(0.005)
        for age_ms in (0, 3, 40, 400):
            moment_ns = bench.now_ns - age_ms * MS
            found = bench.controller.count_at(moment_ns)
            assert found is not None
            assert abs(found.count - bench.belt(moment_ns)) <= found.bound
            assert found.counts_per_s == pytest.approx(COUNTS_PER_S, rel=0.02)


def test_a_pulled_cable_loses_nothing_unsaid() -> None:
    bench = Bench()
    bench.run(1.0)
    bench.run(1.0, every_ms=10, submit=lambda _: bench.ahead(lead_ms=160))
    bench.cable.unplug()
    bench.run(2.0, every_ms=50, submit=lambda _: bench.ahead(lead_ms=160))
    assert bench.is_in(LinkState.LOST)
    assert bench.device.outputs() == 0
    assert not bench.armed()
    bench.cable.plug()
    plugged_ns = bench.now_ns
    bench.run(2.0, every_ms=10, submit=lambda _: bench.ahead(lead_ms=160))
    ready = next(
        r for r in reversed(bench.told(LinkChanged)) if isinstance(r, LinkChanged) and r.state is LinkState.READY
    )
    assert ready.at_ns - plugged_ns < 2 * SECOND
    bench.run(4.0)
    bench.assert_everything_accounted()
    assert bench.controller.status().reconnects == 1
    outcomes = bench.outcomes()
    assert outcomes["Fired"] > 200
    assert outcomes["Refused"] >= 39  # submitted while it was out


def test_a_device_that_restarts_is_armed_again_only_when_asked() -> None:
    bench = Bench()
    bench.run(1.0)
    bench.run(1.0, every_ms=10, submit=lambda _: bench.ahead(lead_ms=400))
    bench.rearm = False
    bench.device.reboot(bench.now_ns)
    bench.run(3.0)
    assert any(isinstance(r, LinkChanged) and r.new_boot for r in bench.heard)
    assert bench.is_in(LinkState.READY)
    assert not bench.armed()
    bench.assert_everything_accounted()
    reasons = {final.reason for final in bench.finals.values() if isinstance(final, NotFired)}
    assert reasons == {MissReason.REBOOT}
    bench.controller.arm()
    bench.run(0.1)
    assert bench.is_in(LinkState.ARMED)
    bench.run(0.5, every_ms=10, submit=lambda _: bench.ahead())
    bench.run(1.0)
    bench.assert_everything_accounted()


def test_a_hung_loop_lets_the_lease_end_though_the_link_lives() -> None:
    bench = Bench(rearm=False)
    bench.run(0.3)
    bench.controller.arm()
    bench.run(0.3)
    assert bench.is_in(LinkState.ARMED)
    bench.leasing = False
    bench.submit(bench.ahead(lead_ms=600))
    bench.run(0.24)
    assert bench.armed()
    bench.run(0.04)
    assert not bench.armed()
    bench.run(1.0)
    assert bench.is_in(LinkState.READY)
    assert bench.disarm_reasons() == ["LEASE"]
    missed = bench.finals[1]
    assert isinstance(missed, NotFired)
    assert missed.reason is MissReason.DISARMED
    bench.leasing = True
    bench.run(1.0)
    assert bench.is_in(LinkState.READY), "a lease that comes back does not arm"


def test_stop_overtakes_everything() -> None:
    bench = Bench(rearm=False)
    bench.run(0.3)
    bench.controller.arm()
    bench.run(0.3)
    bench.run(0.2, every_ms=10, submit=lambda _: bench.ahead(lead_ms=100))
    assert bench.device.outputs()
    bench.controller.stop()
    bench.run(0.005)
    assert bench.device.outputs() == 0
    assert not bench.armed()
    late = bench.submit(bench.ahead())
    bench.run(2.0)
    assert bench.disarm_reasons() == ["STOP"]
    refused = bench.finals[late]
    assert isinstance(refused, Refused)
    assert refused.refusal is Refusal.NOT_ARMED
    assert bench.finals.keys() == bench.commands.keys()


@pytest.mark.parametrize("faults", [WireFaults(), WireFaults.all(0.10)], ids=["clean", "10 % of everything"])
def test_cancel_all_spares_only_what_is_submitted_after_it(faults: WireFaults) -> None:
    bench = Bench(faults, sync_bound_us=5000)
    bench.run(1.0)
    bench.run(0.2, every_ms=10, submit=lambda _: bench.ahead(lead_ms=400))
    before = set(bench.commands)
    bench.controller.cancel_all()
    after = bench.submit(bench.ahead(lead_ms=400))
    bench.run(3.0)
    bench.assert_everything_accounted()
    assert isinstance(bench.finals[after], Fired)
    assert {type(bench.finals[each]) for each in before} == {NotFired}
    assert {final.reason for final in bench.finals.values() if isinstance(final, NotFired)} == {MissReason.CANCELLED}


def test_the_permit_follows_the_wish_and_drops_with_the_lease() -> None:
    bench = Bench()
    bench.run(0.5)
    bench.controller.set_permit(True)
    bench.run(0.05)
    assert bench.permitted()
    assert bench.told_permit()
    bench.leasing = False
    bench.run(0.3)
    assert not bench.permitted()
    assert not bench.told_permit()


def test_a_wide_clock_bound_is_never_armed_and_says_why() -> None:
    bench = Bench(WireFaults(latency_ns=9 * MS), sync_bound_us=500)
    bench.run(3.0)
    assert bench.is_in(LinkState.SYNCING)
    assert not bench.armed()
    said = [reply.detail for reply in bench.heard if isinstance(reply, LinkChanged)]
    assert any("FTDI" in detail and "latency timer" in detail for detail in said)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        pytest.param(DeviceConfig((GATE,) * 9, 250, 1000, 0.5, 10_000, 20_000), "9 gates", id="too many gates"),
        pytest.param(
            DeviceConfig((GATE,) * 8, 5, 1000, 0.5, 10_000, 20_000),
            "lease_ms is 5, allowed are 100",
            id="lease too short",
        ),
        *[
            pytest.param(DeviceConfig((GATE, gate), 250, 1000, 0.5, 10_000, 20_000), said, id=said)
            for gate, said in [
                (replace(GATE, safe_level=7), "gate 1: safe_level is 7"),
                (replace(GATE, max_hold_us=70_000_000), "gate 1: max_hold_us is 70000000"),
                (replace(GATE, min_hold_us=300_000), "gate 1: min_hold_us is 300000, more than max_hold_us 200000"),
                (replace(GATE, opening_delay_us=1_000_001), "gate 1: opening_delay_us is 1000001"),
                (replace(GATE, max_duty_permille=0), "gate 1: max_duty_permille is 0"),
            ]
        ],
    ],
)
def test_a_configuration_the_device_refuses_is_never_armed_and_says_which(config: DeviceConfig, said: str) -> None:
    bench = Bench()
    bench.controller.configure(config)
    bench.run(2.0)
    assert bench.is_in(LinkState.SYNCING)
    assert not bench.armed()
    assert any(said in reply.detail for reply in bench.heard if isinstance(reply, LinkChanged))
    bench.controller.configure(CONFIG)
    bench.run(1.0)
    assert bench.is_in(LinkState.ARMED)


def test_arming_without_a_configuration_is_an_error() -> None:
    with pytest.raises(ConfigRefused):
        Session().arm()


def test_an_armed_device_is_not_configured() -> None:
    bench = Bench()
    bench.run(0.5)
    with pytest.raises(ConfigRefused):
        bench.controller.configure(CONFIG)


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        pytest.param(
            DivertCommand(0, 1, DuringTime(BOOT_NS + SECOND, BOOT_NS + 2 * SECOND)), Refusal.BAD_ARGUMENT, id="id 0"
        ),
        pytest.param(
            DivertCommand(1, 0, DuringTime(BOOT_NS + SECOND, BOOT_NS + 2 * SECOND)), Refusal.BAD_ARGUMENT, id="no gate"
        ),
        pytest.param(
            DivertCommand(1, 1, DuringTime(BOOT_NS + SECOND, BOOT_NS + SECOND)), Refusal.BAD_ARGUMENT, id="empty window"
        ),
        pytest.param(DivertCommand(1, 1, DuringTime(BOOT_NS, BOOT_NS + 50 * MS)), Refusal.LATE, id="long ago"),
        pytest.param(
            DivertCommand(1, 1, DuringTime(BOOT_NS + 60 * SECOND, BOOT_NS + 60 * SECOND + MS * 50)),
            Refusal.FAR,
            id="far",
        ),
        pytest.param(
            DivertCommand(1, 1 << 20, DuringTime(BOOT_NS + SECOND, BOOT_NS + SECOND + 50 * MS)),
            Refusal.BAD_ARGUMENT,
            id="gate 20",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_reason(command: DivertCommand, refusal: Refusal) -> None:
    bench = Bench()
    bench.run(0.5)
    bench.commands[command.command_id] = command
    bench.controller.submit(command, bench.now_ns)
    bench.run(0.3)
    final = bench.finals[command.command_id]
    assert isinstance(final, Refused)
    assert final.refusal is refusal
    assert bench.controller.status().nacks == {refusal.name.lower(): 1}


def test_more_commands_than_the_bridge_holds_is_the_callers_fault() -> None:
    bench = Bench()
    bench.run(0.5)
    for _ in range(256):
        bench.submit(bench.ahead(lead_ms=2000))
    with pytest.raises(QueueFull):
        bench.submit(bench.ahead(lead_ms=2000))


def test_a_peer_that_takes_no_bytes_blocks_nothing_and_is_lost() -> None:
    bench = Bench(sync_bound_us=5000)
    bench.run(0.5)
    bench.cable.accepts_bytes = 0
    bench.cable.from_device.faults = WireFaults(drop=1.0)
    bench.submit(bench.ahead(lead_ms=100))
    bench.run(0.3)
    assert bench.is_in(LinkState.LOST)
    bench.cable.accepts_bytes = 10
    bench.cable.from_device.faults = WireFaults()
    bench.run(6.0)
    assert bench.is_in(LinkState.ARMED), "ten bytes at a time are enough"
    unanswered = bench.finals[1]
    assert isinstance(unanswered, Unanswered)
    assert not unanswered.accepted


def test_a_closed_link_leaves_no_command_without_an_end() -> None:
    bench = Bench()
    bench.run(0.5)
    bench.run(0.2, every_ms=10, submit=lambda _: bench.ahead(lead_ms=1000))
    bench.controller.close()
    bench.run(0.1)
    assert bench.finals.keys() == bench.commands.keys()
    assert not bench.armed()


def test_a_silent_encoder_is_told_once() -> None:
    bench = Bench()
    bench.run(0.5)
    understand = bench.session._on_message

    def deaf(message: wire.Message, now_ns: int) -> None:
        if not isinstance(message, wire.Encoder):
            understand(message, now_ns)

    bench.session._on_message = deaf  # type: ignore[method-assign]
    bench.run(1.0)
    assert len(bench.told(EncoderSilent)) == 1
    assert bench.controller.count_at(bench.now_ns) is None
