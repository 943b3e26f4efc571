"""What one turn of the loop makes of an operator's wish, without cameras: only what is told by the link and by a person."""

from firmware_bridge.messages import LinkState
from station.app import build_loop
from station.clock import ManualClock
from station.config import builtin_config
from station.machine import Command, State
from station.pipeline import Controls, SortLoop, StepResult
from station.simulation.stub import StubRecogniser

MS = 1_000_000


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

    def turn(self, link: LinkState, *commands: Command) -> StepResult:
        self.clock.advance_ms(20)
        wishes = tuple((command, "page") for command in commands)
        return self.loop.step(self.clock.now_ns(), (), (), Controls(commands=wishes, link=link))


def test_a_hold_taken_over_is_told_and_outlasts_the_loss() -> None:
    turns = Turns()
    assert turns.turn(LinkState.LOST).state_changed
    assert not turns.turn(LinkState.LOST).state_changed
    assert turns.turn(LinkState.LOST, Command.HOLD).state_changed  # it goes into the record with its reason
    assert turns.loop.machine.reason == "hold by page"
    later = [turns.turn(LinkState.READY) for _ in range(200)]
    assert not any(result.state_changed or result.actions.arm for result in later)
    assert turns.loop.machine.state is State.HELD
