"""What one turn of the loop makes of an operator's wish and of the controller's replies, without cameras."""

import pytest

from firmware_bridge.messages import (
    Disarmed,
    DisarmReason,
    DivertCommand,
    DuringCount,
    LinkState,
    MissReason,
    NotFired,
    Reply,
)
from station.app import build_loop
from station.clock import ManualClock
from station.config import builtin_config
from station.datatypes import OutcomeReason
from station.machine import Command, State
from station.pipeline import Controls, SortLoop, StepResult
from station.simulation.stub import StubRecogniser
from tests.unit.record.makers import track


class Turns:
    """A loop that sorts, turn by turn: 20 ms each."""

    def __init__(self) -> None:
        self.clock = ManualClock(0)
        self.loop: SortLoop = build_loop(
            builtin_config("virtual"), {}, StubRecogniser((), seed=1), self.clock, auto_rearm=True
        )
        self.turn(LinkState.READY, Command.RESET)
        self.turn(LinkState.READY, Command.START)
        self.turn(LinkState.ARMED)
        assert self.loop.machine.state is State.EXECUTE

    def turn(self, link: LinkState, *commands: Command, heard: tuple[Reply, ...] = ()) -> StepResult:
        self.clock.advance_ms(20)
        wishes = tuple((command, "page") for command in commands)
        return self.loop.step(self.clock.now_ns(), (), heard, Controls(commands=wishes, link=link))


def test_a_hold_taken_over_is_told_and_outlasts_the_loss() -> None:
    turns = Turns()
    assert turns.turn(LinkState.LOST).state_changed
    assert not turns.turn(LinkState.LOST).state_changed
    assert turns.turn(LinkState.LOST, Command.HOLD).state_changed  # it goes into the record with its reason
    assert turns.loop.machine.reason == "hold by page"
    later = [turns.turn(LinkState.READY) for _ in range(200)]
    assert not any(result.state_changed or result.actions.arm for result in later)
    assert turns.loop.machine.state is State.HELD


@pytest.mark.parametrize(
    ("commands", "disarmed", "reason"),
    [
        pytest.param((Command.STOP,), (), OutcomeReason.STOPPED, id="STOP"),
        pytest.param((Command.ABORT,), (), OutcomeReason.STOPPED, id="ABORT"),
        pytest.param((), (DisarmReason.STOP,), OutcomeReason.STOPPED, id="STOP, heard from the device first"),
        pytest.param((), (DisarmReason.ESTOP,), OutcomeReason.STOPPED, id="E-stop"),
        pytest.param((), (DisarmReason.FAULT,), OutcomeReason.STOPPED, id="a fault of the device"),
        pytest.param((), (DisarmReason.OUTPUT,), OutcomeReason.STOPPED, id="a relay board that refuses"),
        pytest.param((), (DisarmReason.LEASE,), OutcomeReason.LINK, id="no lease"),
        pytest.param((Command.HOLD,), (DisarmReason.HOST,), OutcomeReason.LINK, id="HOLD drops nothing"),
    ],
)
def test_what_the_device_drops_is_missed_for_the_reason_it_was_disarmed(
    commands: tuple[Command, ...], disarmed: tuple[DisarmReason, ...], reason: OutcomeReason
) -> None:
    turns = Turns()
    ledger = turns.loop.ledger
    for number in (1, 2):
        ledger.see(track(number))
        ledger.command(number, DivertCommand(10 + number, 1, DuringCount(10, 20)), None)
    dropped = tuple(NotFired(10 + number, MissReason.DISARMED, 0) for number in (1, 2))
    result = turns.turn(LinkState.READY, *commands, heard=(*(Disarmed(why, 0) for why in disarmed), *dropped))
    assert [record.outcome.reason for record in result.records] == [reason, reason]
