"""The screen between the running station and its page: STOP needs none of it, and what is shown is what is known."""

from typing import Any

from station.books import Books
from station.clock import ManualClock
from station.config import builtin_config
from station.live import LiveRun
from station.machine import Command
from station.record.recorder import Recorder
from station.screen import Screen, ScreenSetup


class Outputs:
    """Of a controller, only what STOP needs."""

    def __init__(self) -> None:
        self.stopped = 0

    def stop(self) -> None:
        self.stopped += 1


def station() -> tuple[LiveRun, Outputs, Screen]:
    outputs: Any = Outputs()
    run = LiveRun(ManualClock(1_000), Books(Recorder([]), 0), outputs)
    return run, outputs, Screen(builtin_config("virtual"), run, ScreenSetup())


def test_stop_reaches_outputs_and_machine_without_a_turn_of_the_screen() -> None:
    run, outputs, screen = station()
    for command in ("stop", "abort"):
        screen._stop(command, "10.0.0.7")
    assert outputs.stopped == 2
    # The machine hears of it at once as well: seeing only the outputs go off, it would take that for a loss and re-arm.
    assert run._commands.take_all() == [(Command.STOP, "10.0.0.7"), (Command.ABORT, "10.0.0.7")]
