"""What the controller finds by itself: told, recorded, and never followed by a gate before a person has cleared it."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from firmware_bridge.virtual_device import Pin, VirtualDevice
from station.datatypes import OutcomeKind, OutcomeReason
from station.events import Event, EventKind
from station.lockstep import Lockstep, LockstepSetup
from station.machine import Command
from station.record.recorder import Entry, Recorder
from station.simulation.line import LineOptions
from tests.scenarios.lines import reference_line

S = 1_000_000_000
Hand = Callable[[VirtualDevice, int], None]


class Written:
    """A sink that keeps the events."""

    name = "memory"

    def __init__(self) -> None:
        self.events: list[Event] = []

    def write(self, entries: Sequence[Entry]) -> None:
        self.events += [entry for entry in entries if isinstance(entry, Event)]


class Line:
    """The reference line, turn by turn, with a hand at the device's inputs. `auto_rearm` is on."""

    def __init__(self) -> None:
        self.written = Written()
        setup = LockstepSetup(reference_line(), LineOptions(seed=7, for_s=30.0), None, Recorder([self.written]))
        assert setup.config.link.auto_rearm is not False
        self.run = Lockstep(setup)
        self.run.start()
        self._for(4.0)
        assert self.state == "EXECUTE"
        assert self.run.device.armed

    @property
    def state(self) -> str:
        return str(self.run.loop.machine.state.name)

    def _for(self, seconds: float) -> None:
        end_ns = self.run.clock.now_ns() + round(seconds * S)
        while self.run.clock.now_ns() < end_ns:
            self.run.turn()

    def hand(self, move: Hand, then_s: float) -> None:
        move(self.run.device, self.run.clock.now_ns())
        self._for(then_s)

    def press(self, *commands: Command) -> None:
        for command in commands:
            assert self.run.loop.machine.command(command, self.run.clock.now_ns()), f"{command} in {self.state}"
            self._for(0.3)

    def events(self, what: EventKind) -> list[dict[str, Any]]:
        self.run.setup.recorder.flush(self.run.clock.now_ns())
        return [event.detail for event in self.written.events if event.what is what]

    def edges_since(self, at_ns: int) -> int:
        return sum(edge.on and edge.at_ns > at_ns for edge in self.run.log.edges)


def press_estop(device: VirtualDevice, now_ns: int) -> None:
    device.set_input(Pin.ESTOP, True, now_ns)


def release_estop(device: VirtualDevice, now_ns: int) -> None:
    device.set_input(Pin.ESTOP, False, now_ns)


def stick_gate_3(device: VirtualDevice, now_ns: int) -> None:
    for at_us in (0, 3000):
        device._c.sc_output_differs(device._core, 1 << 3, device.clock.device_us(now_ns) + at_us)
    device._waiting = 3


def let_go(device: VirtualDevice, now_ns: int) -> None:
    device._c.sc_output_differs(device._core, 0, device.clock.device_us(now_ns))


@pytest.mark.parametrize(
    ("wrong", "mended", "event", "detail"),
    [
        pytest.param(press_estop, release_estop, EventKind.ESTOP, {"pressed": True}, id="E-stop"),
        pytest.param(
            stick_gate_3,
            let_go,
            EventKind.CONTROLLER_FAULT,
            {"fault": "output_differs", "gate": 3},
            id="an output is stuck",
        ),
    ],
)
def test_it_aborts_the_line_and_only_clear_reset_and_start_lead_back(
    wrong: Hand, mended: Hand, event: EventKind, detail: dict[str, Any]
) -> None:
    line = Line()
    line.hand(wrong, then_s=0.5)
    assert line.state == "ABORTED"
    assert not line.run.device.armed
    assert detail in line.events(event)
    missed = line.run.loop.ledger.by_reason
    assert missed[OutcomeKind.MISSED, OutcomeReason.STOPPED] >= 5, "what the device dropped"
    assert missed[OutcomeKind.MISSED, OutcomeReason.LINK] == 0, "the cable is well"
    at_ns = line.run.clock.now_ns()
    line.hand(mended, then_s=4.0)
    assert line.state == "ABORTED", "auto_rearm is for losses, not for what a person must look at"
    assert line.edges_since(at_ns) == 0
    line.press(Command.CLEAR, Command.RESET, Command.START)
    line._for(4.0)
    assert line.state == "EXECUTE"
    assert line.run.controller.status().faults == ()
    assert line.edges_since(at_ns) > 5, "items are ejected again"


def test_started_with_the_estop_pressed_it_does_not_begin_when_the_estop_is_released() -> None:
    line = Line()
    line.press(Command.STOP)
    line.hand(press_estop, then_s=0.5)
    line.press(Command.RESET, Command.START)
    assert line.state == "ABORTED"
    at_ns = line.run.clock.now_ns()
    line.hand(release_estop, then_s=4.0)
    assert (line.state, line.edges_since(at_ns)) == ("ABORTED", 0)
    assert [each["pressed"] for each in line.events(EventKind.ESTOP)] == [True, False]


def test_what_is_still_wrong_is_found_again_after_clear() -> None:
    line = Line()
    line.hand(press_estop, then_s=0.5)
    line.press(Command.CLEAR, Command.RESET, Command.START)
    line._for(1.0)
    assert line.state == "ABORTED"
    assert not line.run.device.armed
