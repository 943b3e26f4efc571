"""A relay board is armed only behind its own watchdog, timed by the host and honest about it; in virtual time and on a pty."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from pymodbus.pdu.bit_message import WriteMultipleCoilsRequest
from pymodbus.pdu.register_message import WriteSingleRegisterRequest

from firmware_bridge.errors import ConfigRefused
from firmware_bridge.messages import (
    DeviceConfig,
    Disarmed,
    DisarmReason,
    DivertCommand,
    DuringCount,
    DuringTime,
    Fired,
    LinkChanged,
    LinkState,
    MissReason,
    NotFired,
    Refusal,
    Refused,
    Reply,
    Unanswered,
)
from firmware_bridge.relay_board import RelayBoard
from firmware_bridge.relay_session import RelaySettings
from firmware_bridge.serial_port import PortSettings, SerialTransport
from tests.unit.firmware_bridge.relay_rig import CONFIG, GATE, MS, SETTINGS, WATCHDOG, Final, RelayBench
from tests.unit.firmware_bridge.relay_server import RelayServer, a_device


def armed(**board: object) -> RelayBench:
    bench = RelayBench(**board)  # type: ignore[arg-type]
    bench.run(0.5)
    assert bench.state() is LinkState.ARMED
    return bench


def test_it_is_armed_once_its_watchdog_is_programmed_and_read_back() -> None:
    bench = armed(relays=[True] * 8)
    assert bench.board.registers[WATCHDOG] == 250
    assert bench.board.relays[:4] == [False] * 4, "what was on before is off"
    capabilities, status = bench.controller.capabilities(), bench.controller.status()
    assert capabilities is not None
    assert (capabilities.timing, capabilities.has_count, status.timing) == ("host", False, "host")


@pytest.mark.parametrize(
    ("settings", "board", "words"),
    [
        pytest.param(RelaySettings(), {}, "no watchdog register is configured", id="none configured"),
        pytest.param(SETTINGS, {"registers": {}}, "no watchdog at register", id="the board has none"),
        pytest.param(SETTINGS, {"forgets": True}, "says 0 after 250", id="it does not keep the time"),
    ],
)
def test_without_a_watchdog_it_is_never_armed(settings: RelaySettings, board: dict[str, object], words: str) -> None:
    bench = RelayBench(settings, **board)  # type: ignore[arg-type]
    bench.controller.arm()
    bench.run(3.0)
    assert bench.state() is LinkState.SYNCING
    assert words in bench.said()
    refused = bench.submit()
    bench.run(1.0)
    final = bench.finals[refused]
    assert isinstance(final, Refused)
    assert final.refusal is Refusal.NOT_ARMED
    assert bench.board.moves == []


@pytest.mark.parametrize(("unit_ms", "value"), [(1, 250), (10, 25), (100, 3), (1000, 1)])
def test_the_watchdogs_time_is_never_shorter_than_the_lease(unit_ms: int, value: int) -> None:
    bench = RelayBench(replace(SETTINGS, watchdog_unit_ms=unit_ms))
    bench.run(0.1)
    assert bench.board.registers[WATCHDOG] == value


def test_a_window_opens_its_relay_at_its_edges_and_says_how_late_it_was_known() -> None:
    bench = armed()
    start_ns = bench.now_ns + 300 * MS
    command = bench.submit(lead_ms=300, hold_ms=300, gate_mask=0b101)
    bench.run(1.0)
    fired = bench.finals[command]
    assert isinstance(fired, Fired)
    due_on_ns, due_off_ns = start_ns - 50 * MS, start_ns + 270 * MS
    moves = [move for move in bench.board.moves if move[1] in (0, 2)]
    assert [(relay, on) for _, relay, on in moves] == [(0, True), (2, True), (0, False), (2, False)]
    for at_ns, _, on in moves:
        late_ns = at_ns - (due_on_ns if on else due_off_ns)
        assert 0 <= late_ns <= 50 * MS
    assert fired.on_ns >= moves[0][0], "told is the later end of what is possible"
    assert fired.on_error_us == (fired.on_ns - due_on_ns) // 1000


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        (lambda now: DivertCommand(9, 1, DuringCount(100, 200)), Refusal.BAD_ARGUMENT),
        (lambda now: DivertCommand(9, 0, DuringTime(now + 300 * MS, now + 600 * MS)), Refusal.BAD_ARGUMENT),
        (lambda now: DivertCommand(9, 1 << 4, DuringTime(now + 300 * MS, now + 600 * MS)), Refusal.BAD_ARGUMENT),
        (lambda now: DivertCommand(9, 1, DuringTime(now + 600 * MS, now + 300 * MS)), Refusal.BAD_ARGUMENT),
        (lambda now: DivertCommand(9, 1, DuringTime(now + 40 * MS, now + 300 * MS)), Refusal.LATE),
        (lambda now: DivertCommand(9, 1, DuringTime(now + 20_000 * MS, now + 20_300 * MS)), Refusal.FAR),
        (lambda now: DivertCommand(9, 1, DuringTime(now + 300 * MS, now + 350 * MS)), Refusal.GATE_LIMIT),
        (lambda now: DivertCommand(9, 1, DuringTime(now + 300 * MS, now + 2_500 * MS)), Refusal.GATE_LIMIT),
    ],
    ids=["counts", "no gate", "gate 4", "backwards", "late", "far", "short", "long"],
)
def test_what_it_cannot_do_is_refused(command: object, refusal: Refusal) -> None:
    bench = armed()
    bench.controller.submit(command(bench.now_ns), bench.now_ns)  # type: ignore[operator]
    bench.run(0.1)
    final = bench.finals[9]
    assert isinstance(final, Refused)
    assert final.refusal is refusal
    assert bench.controller.status().nacks == {refusal.name.lower(): 1}


def test_a_board_that_refuses_to_switch_is_disarmed_and_greeted_anew_when_it_takes_writes_again() -> None:
    bench = armed()
    bench.rearm, bench.board.busy = False, True
    waiting = bench.submit(lead_ms=900)
    bench.run(1.0)
    assert [reply.reason for reply in bench.heard if isinstance(reply, Disarmed)] == [DisarmReason.OUTPUT]
    assert isinstance(bench.finals[waiting], NotFired)
    assert bench.state() is LinkState.SYNCING
    assert "refuses to switch" in bench.said()
    bench.board.busy, bench.board.registers[WATCHDOG] = False, 0
    bench.run(1.0)
    assert bench.state() is LinkState.READY
    assert bench.board.registers[WATCHDOG] == 250, "its watchdog is programmed again"


def test_windows_too_close_are_refused_and_windows_that_touch_join() -> None:
    bench = armed()
    bench.submit(lead_ms=300, hold_ms=200)  # relay on 250 .. 470
    joins = bench.submit(lead_ms=500, hold_ms=200)  # 450 .. 670
    close = bench.submit(lead_ms=770, hold_ms=200)  # 720: 50 ms after 670
    bench.run(1.5)
    assert isinstance(bench.finals[joins], Fired)
    assert isinstance(bench.finals[close], Refused)
    assert [on for _, relay, on in bench.board.moves if relay == 0] == [True, False]


def test_duty_counts_what_has_been_and_what_is_planned() -> None:
    bench = RelayBench(config=replace(CONFIG, gates=(replace(GATE, max_duty_permille=100),) * 4))
    bench.run(0.5)
    first = bench.submit(hold_ms=600)
    bench.run(1.2)
    second = bench.submit(hold_ms=600)
    bench.run(1.2)
    assert isinstance(bench.finals[first], Fired)
    refused = bench.finals[second]
    assert isinstance(refused, Refused)
    assert refused.refusal is Refusal.GATE_LIMIT
    bench.run(10.0)
    third = bench.submit(hold_ms=600)
    bench.run(1.2)
    assert isinstance(bench.finals[third], Fired)


def test_the_65th_command_is_refused() -> None:
    bench = armed()
    for number in range(65):
        bench.submit(lead_ms=500 + 100 * (number // 4), gate_mask=1 << number % 4)
    bench.run(0.1)
    assert [final.refusal for final in bench.finals.values() if isinstance(final, Refused)] == [Refusal.FULL]


@pytest.mark.parametrize(
    ("silence", "reason"),
    [
        (lambda bench: bench.controller.stop(), DisarmReason.STOP),
        (lambda bench: bench.controller.disarm(), DisarmReason.HOST),
        (lambda bench: setattr(bench, "leasing", False), DisarmReason.LEASE),
    ],
    ids=["stop", "disarm", "the loop hangs"],
)
def test_disarmed_is_off_and_every_command_ends(silence: object, reason: DisarmReason) -> None:
    bench = armed()
    bench.rearm = False
    open_now, later = bench.submit(lead_ms=300, hold_ms=1500), bench.submit(lead_ms=3000, gate_mask=2)
    bench.run(0.5)
    assert bench.is_on(0)
    told_ns = bench.now_ns
    silence(bench)  # type: ignore[operator]
    bench.run(1.0)
    off_ns = next(at_ns for at_ns, relay, on in bench.board.moves if relay == 0 and not on)
    assert off_ns - told_ns <= (250 + 25 if reason is DisarmReason.LEASE else 25) * MS
    assert reason in [reply.reason for reply in bench.heard if isinstance(reply, Disarmed)]
    for command in (open_now, later):
        assert isinstance(bench.finals[command], NotFired)


def test_a_dead_host_leaves_nothing_on_longer_than_the_lease() -> None:
    bench = armed()
    bench.submit(lead_ms=300, hold_ms=1900)
    bench.run(0.5)
    assert bench.is_on(0)
    died_ns = bench.now_ns
    while bench.is_on(0):
        bench.now_ns += MS
        bench.board.live_until(bench.now_ns)
    assert bench.now_ns - died_ns <= 251 * MS


def test_cancelling_ends_what_has_not_begun() -> None:
    bench = armed()
    begun, waiting = bench.submit(lead_ms=100), bench.submit(lead_ms=900, gate_mask=2)
    bench.run(0.2)
    bench.controller.cancel_all()
    bench.run(1.5)
    assert isinstance(bench.finals[begun], Fired)
    cancelled = bench.finals[waiting]
    assert isinstance(cancelled, NotFired)
    assert cancelled.reason is MissReason.CANCELLED
    assert all(relay != 1 for _, relay, _ in bench.board.moves)


def test_one_lost_answer_is_asked_again_and_fires_nothing_late() -> None:
    bench = armed()
    command = bench.submit(lead_ms=300, hold_ms=500)
    bench.run(0.245)
    bench.board.lose = 1
    bench.run(1.5)
    assert isinstance(bench.finals[command], Unanswered | Fired | NotFired)
    assert bench.state() is LinkState.ARMED
    assert bench.controller.status().retries == 1
    assert not any(bench.board.relays[:4])


def test_an_answer_that_never_came_leaves_the_window_unconfirmed_and_is_not_repeated_late() -> None:
    bench = armed()
    command = bench.submit(lead_ms=300, hold_ms=900)
    bench.run(0.24)
    bench.board.deaf = True
    bench.run(0.2)  # past due + max_late
    bench.board.deaf = False
    bench.run(1.5)
    assert isinstance(bench.finals[command], Unanswered | NotFired)
    assert all(relay != 0 for _, relay, _ in bench.board.moves), "never a late shot"


@pytest.mark.parametrize("how", ["deaf", "unplugged"])
def test_a_lost_board_is_lost_and_comes_back_only_through_its_watchdog(how: str) -> None:
    bench = armed()
    open_now, later = bench.submit(lead_ms=200, hold_ms=1500), bench.submit(lead_ms=2500, gate_mask=2)
    bench.run(0.4)
    bench.rearm = False
    setattr(bench.board, "deaf" if how == "deaf" else "plugged", how == "deaf")
    bench.run(0.8)
    assert bench.state() is LinkState.LOST
    unconfirmed = bench.finals[open_now]
    assert isinstance(unconfirmed, Unanswered)
    assert unconfirmed.accepted
    assert isinstance(bench.finals[later], NotFired)
    bench.board.registers[WATCHDOG] = 0
    bench.board.deaf, bench.board.plugged = False, True
    bench.run(1.5)
    assert bench.state() is LinkState.READY
    assert bench.board.registers[WATCHDOG] == 250
    assert not any(bench.board.relays)


def test_a_board_that_was_restarted_is_noticed_and_not_trusted() -> None:
    bench = armed()
    bench.rearm = False
    bench.board.restart()
    bench.run(1.5)
    assert bench.state() is LinkState.READY
    assert "restarted" in " ".join(str(reply) for reply in bench.heard)
    assert bench.controller.status().reconnects == 1


def test_the_permit_relay_follows_wish_and_arming() -> None:
    bench = armed()
    bench.controller.set_permit(True)
    bench.run(0.1)
    assert bench.is_on(4)
    assert bench.tells_permit()
    bench.leasing = bench.rearm = False
    bench.run(0.4)
    assert not bench.is_on(4)
    assert not bench.tells_permit()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (replace(CONFIG, gates=(replace(GATE, safe_level=1),)), "normally closed"),
        (replace(CONFIG, gates=(replace(GATE, min_hold_us=5000),)), "Slow flaps only"),
        (replace(CONFIG, max_late_us=1000), "max_late_us"),
        (replace(CONFIG, mm_per_count=0.5), "no encoder"),
    ],
    ids=["safe level 1", "fast", "prompt", "encoder"],
)
def test_a_configuration_it_cannot_keep_is_refused_with_the_remedy(config: DeviceConfig, words: str) -> None:
    with pytest.raises(ConfigRefused, match=words):
        RelayBench(config=config)


def test_closing_turns_off_and_ends_everything() -> None:
    bench = armed()
    command = bench.submit(lead_ms=200, hold_ms=1000)
    bench.run(0.4)
    bench.controller.close()
    bench.run(0.1)
    assert not any(bench.board.relays)
    assert bench.finals.keys() == {command}


# ---- pymodbus's own server


def live(board: RelayBoard, done: Callable[[list[Reply]], bool]) -> list[Reply]:
    """Wall time, as long as it takes: a busy computer is slow, not wrong. The runner's own limit ends what hangs."""
    heard: list[Reply] = []
    leases = 0
    while not done(heard):
        board.wait(0.002)
        heard += board.poll(time.monotonic_ns())
        leases += 1
        board.renew_lease(leases)
    return heard


def has_state(state: LinkState) -> Callable[[list[Reply]], bool]:
    return lambda heard: any(isinstance(reply, LinkChanged) and reply.state is state for reply in heard)


WALL = replace(CONFIG, lease_ms=1000, max_late_us=50_000)


def test_pymodbus_own_server_understands_every_request() -> None:
    with RelayServer(a_device(8, WATCHDOG)) as server:
        board = RelayBoard(SerialTransport(server.port, PortSettings(115_200)), replace(SETTINGS, baud=115_200))
        board.configure(WALL)
        board.arm()
        live(board, has_state(LinkState.ARMED))
        now_ns = time.monotonic_ns()
        board.submit(DivertCommand(1, 0b11, DuringTime(now_ns + 400 * MS, now_ns + 700 * MS)), now_ns)
        final = live(board, lambda heard: any(isinstance(reply, Final) for reply in heard))[-1]
        board.close()
    programmed = [pdu.registers for pdu in server.understood if isinstance(pdu, WriteSingleRegisterRequest)]
    assert programmed == [[1000]]
    images = [tuple(pdu.bits[:5]) for pdu in server.understood if isinstance(pdu, WriteMultipleCoilsRequest)]
    assert images[0] == (False,) * 5
    if isinstance(final, Fired):  # else this computer was too busy, and said so
        assert (True, True, False, False, False) in images
    else:
        assert isinstance(final, NotFired | Unanswered), final


def test_pymodbus_own_server_without_a_watchdog_is_not_armed() -> None:
    with RelayServer(a_device(8, None)) as server:
        board = RelayBoard(SerialTransport(server.port, PortSettings(115_200)), replace(SETTINGS, baud=115_200))
        board.configure(WALL)
        board.arm()
        said = live(board, has_state(LinkState.SYNCING))[-1]
        board.close()
    assert isinstance(said, LinkChanged)
    assert f"no watchdog at register {WATCHDOG}" in said.detail
