"""Whatever is commanded and lost: a relay keeps its limits, opens only where a window begins, and each command ends once."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.messages import DisarmReason, DivertCommand, DuringTime, Fired
from tests.unit.firmware_bridge.relay_rig import CONFIG, GATE, MS, RelayBench

WISH = st.tuples(st.integers(0, 800), st.integers(-50, 2500), st.integers(20, 2500), st.integers(1, 15))
TROUBLE = st.sampled_from(["nothing", "nothing", "nothing", "lose", "deaf", "plug", "cancel", "stop", "restart"])


def trouble(bench: RelayBench, what: str) -> None:
    match what:
        case "lose":
            bench.board.lose = 1
        case "deaf":
            bench.board.deaf = not bench.board.deaf
        case "plug":
            bench.board.plugged = not bench.board.plugged
        case "cancel":
            bench.controller.cancel_all()
        case "stop":
            bench.controller.stop()
        case "restart":
            bench.board.restart()
        case _:
            pass


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(WISH, TROUBLE), max_size=12))
def test_limits_windows_and_ends_hold(life: list[tuple[tuple[int, int, int, int], str]]) -> None:
    bench = RelayBench()
    bench.run(0.3)
    commands: dict[int, DivertCommand] = {}
    for (pause_ms, lead_ms, hold_ms, mask), what in life:
        bench.run(pause_ms / 1000)
        start_ns = bench.now_ns + lead_ms * MS
        command = DivertCommand(len(commands) + 1, mask, DuringTime(start_ns, start_ns + hold_ms * MS))
        commands[command.command_id] = command
        bench.controller.submit(command, bench.now_ns)
        trouble(bench, what)
    bench.board.deaf, bench.board.plugged = False, True
    bench.run(8.0)
    assert bench.finals.keys() == commands.keys()
    assert not any(bench.board.relays[: len(CONFIG.gates)])
    assert DisarmReason.OUTPUT not in Counter(getattr(reply, "reason", None) for reply in bench.heard)
    for relay in range(len(CONFIG.gates)):
        moves = [(at_ns, on) for at_ns, each, on in bench.board.moves if each == relay]
        assert [on for _, on in moves] == [n % 2 == 0 for n in range(len(moves))]
        for (on_ns, _), (off_ns, _) in zip(moves[::2], moves[1::2], strict=True):
            # A board that restarts unseen is written to as before until its watchdog is found unprogrammed: see relay_session.
            again = any(what == "restart" for _, what in life)
            longest_us = GATE.max_hold_us + CONFIG.lease_ms * 1000 + 250_000  # or its watchdog's time
            assert again or off_ns - on_ns <= longest_us * 1000
            assert any(_begins(command, relay, on_ns, again) for command in commands.values())
    for final in bench.finals.values():
        if isinstance(final, Fired):
            assert 0 <= final.on_error_us <= CONFIG.max_late_us + 110_000  # the answer may come later than the relay


def _begins(command: DivertCommand, relay: int, on_ns: int, again: bool) -> bool:
    """Not before its moment, never later than it may be; a window that lost its start to a STOP does not begin late."""
    window = command.window
    assert isinstance(window, DuringTime)
    due_ns = window.start_ns - GATE.opening_delay_us * 1000
    latest_ns = window.end_ns if again else due_ns + CONFIG.max_late_us * 1000
    return bool(command.gate_mask >> relay & 1) and due_ns <= on_ns <= latest_ns
