"""The state table: what permits firing, what a loss does, what comes back by itself and what does not."""

import pytest

from firmware_bridge.messages import LinkState
from station.machine import MAY_ARM, NEXT, Cause, Command, Conditions, Machine, State

MS = 1_000_000
GOOD = Conditions(link=LinkState.READY, cameras_live=True)
ARMED = Conditions(link=LinkState.ARMED, cameras_live=True)
UNPLUGGED = Conditions(link=LinkState.LOST, cameras_live=True)
BLIND = Conditions(link=LinkState.ARMED, cameras_live=False)


def running(auto_rearm: bool = True) -> Machine:
    machine = Machine(auto_rearm)
    machine.command(Command.RESET, 0)
    machine.step(0, GOOD)
    machine.command(Command.START, 0)
    machine.step(1, GOOD)
    machine.step(2, ARMED)
    assert machine.state is State.EXECUTE
    return machine


def steps(machine: Machine, conditions: Conditions, start_ms: int, end_ms: int) -> list[bool]:
    return [machine.step(t * MS, conditions).arm for t in range(start_ms, end_ms, 20)]


def test_only_execute_may_ask_to_arm() -> None:
    assert {State.EXECUTE} == MAY_ARM
    for state in State:
        machine = Machine(True)
        machine.state = state
        before = machine.state
        armed = machine.step(0, GOOD).arm
        assert not armed or before is State.EXECUTE or machine.state is State.EXECUTE


def test_the_table_leaves_no_acting_state_without_an_end() -> None:
    acting = (
        State.CLEARING,
        State.STARTING,
        State.STOPPING,
        State.ABORTING,
        State.HOLDING,
        State.UNHOLDING,
        State.RESETTING,
    )
    assert all((state, Cause.DONE) in NEXT for state in acting)


@pytest.mark.parametrize("state", list(State))
def test_stop_is_taken_everywhere_but_where_it_stands_or_aborts(state: State) -> None:
    machine = Machine(True)
    machine.state = state
    taken = machine.command(Command.STOP, 0)
    assert taken is (state not in (State.STOPPED, State.STOPPING, State.ABORTING, State.ABORTED))
    assert not machine.step(1, ARMED).arm


def test_a_lost_link_comes_back_after_a_second_of_health_when_allowed() -> None:
    machine = running(auto_rearm=True)
    steps(machine, UNPLUGGED, 100, 600)
    lost = machine.state
    assert lost is State.HELD
    assert not any(steps(machine, GOOD, 600, 1600))
    assert any(steps(machine, GOOD, 1600, 1800))
    assert machine.state is State.EXECUTE


def test_without_auto_rearm_a_loss_waits_for_the_operator() -> None:
    machine = running(auto_rearm=False)
    steps(machine, UNPLUGGED, 100, 600)
    assert not any(steps(machine, GOOD, 600, 5000))
    assert machine.state is State.HELD
    machine.command(Command.UNHOLD, 5000 * MS)
    assert any(steps(machine, GOOD, 5000, 5100))


def test_a_hold_by_the_operator_is_never_undone_by_health() -> None:
    machine = running(auto_rearm=True)
    machine.command(Command.HOLD, 100 * MS)
    steps(machine, ARMED, 100, 5000)
    assert machine.state is State.HELD


def test_a_hold_that_a_loss_began_is_a_persons_once_they_ask_for_it() -> None:
    machine = running(auto_rearm=True)
    steps(machine, BLIND, 100, 500)
    assert machine.reason.startswith("camera lost")
    assert machine.command(Command.HOLD, 500 * MS, "page")
    assert (machine.state, machine.reason, machine.since_ns) == (State.HELD, "hold by page", 500 * MS)
    actions = [machine.step(t * MS, ARMED) for t in range(520, 5000, 20)]
    assert machine.state is State.HELD
    assert not any(action.permit or action.disarm for action in actions)
    assert machine.command(Command.START, 5000 * MS)
    steps(machine, ARMED, 5000, 5100)
    assert machine.state.name == "EXECUTE"


def test_hold_twice_is_hold() -> None:
    machine = running()
    assert machine.command(Command.HOLD, 100 * MS, "page")
    assert machine.command(Command.HOLD, 100 * MS, "end of the run")
    assert (machine.state, machine.reason) == (State.HOLDING, "hold by end of the run")


def test_a_hold_ends_the_waiting_for_a_camera_that_is_still_away() -> None:
    machine = running(auto_rearm=False)
    steps(machine, BLIND, 100, 400)
    machine.command(Command.START, 400 * MS)
    steps(machine, BLIND, 420, 600)
    waiting = machine.state
    assert waiting is State.UNHOLDING
    assert machine.command(Command.HOLD, 600 * MS)
    steps(machine, ARMED, 620, 3000)
    assert machine.state is State.HELD


@pytest.mark.parametrize("command", [Command.STOP, Command.ABORT])
def test_after_stop_nothing_rearms_by_itself(command: Command) -> None:
    machine = running(auto_rearm=True)
    machine.command(command, 100 * MS)
    assert machine.step(100 * MS, ARMED).stop
    assert not any(steps(machine, GOOD, 120, 8000))
    assert machine.state in (State.STOPPED, State.ABORTED)


def test_a_lost_camera_holds_but_leaves_the_queue_armed() -> None:
    machine = running()
    actions = [machine.step(t * MS, BLIND) for t in range(100, 400, 20)]
    assert machine.state is State.HELD
    assert not any(action.disarm or action.stop for action in actions)
    assert not actions[-1].permit


def test_a_lease_that_expired_is_a_loss() -> None:
    machine = running(auto_rearm=False)
    machine.step(100 * MS, GOOD)  # ARMED before, READY now: the device disarmed itself
    machine.step(120 * MS, GOOD)
    assert machine.state is State.HELD


def test_a_standing_belt_suspends_and_a_running_one_resumes() -> None:
    machine = running()
    machine.step(100 * MS, Conditions(LinkState.ARMED, True, belt_stands=True))
    assert machine.state.name == "SUSPENDED"
    machine.step(200 * MS, ARMED)
    assert machine.state is State.EXECUTE


def test_a_fault_aborts_and_only_clear_and_reset_lead_back() -> None:
    machine = running()
    machine.step(100 * MS, Conditions(LinkState.ARMED, True, fault="commands: queue full"))
    machine.step(120 * MS, GOOD)
    assert machine.state is State.ABORTED
    assert "queue full" in machine.reason
    for command in (Command.CLEAR, Command.RESET, Command.START):
        assert machine.command(command, 200 * MS)
        machine.step(220 * MS, GOOD)
    machine.step(240 * MS, GOOD)
    assert machine.state.name == "EXECUTE"


def test_a_full_record_holds_and_lets_what_is_decided_fire() -> None:
    machine = running(auto_rearm=True)
    full = Conditions(LinkState.ARMED, True, recorder_full=True)
    actions = [machine.step(t * MS, full) for t in range(100, 400, 20)]
    assert machine.state.name == "HELD"
    assert "record is full" in machine.reason
    assert not any(action.disarm or action.stop for action in actions)
    assert not actions[-1].permit
    steps(machine, ARMED, 400, 1600)
    assert machine.state.name == "EXECUTE"


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(Conditions(LinkState.ARMED, True, recorder_full=True), id="the record is full"),
        pytest.param(Conditions(LinkState.ARMED, True, model_trouble="out of memory"), id="the model fails"),
        pytest.param(BLIND, id="a camera is away"),
    ],
)
def test_unhold_waits_until_what_held_it_is_over(trouble: Conditions) -> None:
    machine = running(auto_rearm=False)
    steps(machine, trouble, 100, 400)
    machine.command(Command.UNHOLD, 400 * MS)
    steps(machine, trouble, 420, 2000)
    waiting = machine.state
    assert waiting is State.UNHOLDING
    machine.step(2000 * MS, ARMED)
    assert machine.state is State.EXECUTE


def test_a_machine_that_wants_an_armed_controller_and_has_none_says_for_how_long() -> None:
    machine = running()
    assert machine.unarmed_ns(100 * MS) == 0
    unarmed = Machine(True)
    for command in (Command.RESET, Command.START):
        unarmed.command(command, 0)
        unarmed.step(0, GOOD)
    for at_ms in range(0, 3000, 300):  # slower than the lease: READY again at every step
        unarmed.step(at_ms * MS, GOOD)
    assert unarmed.state is State.EXECUTE
    assert unarmed.unarmed_ns(3000 * MS) == 3000 * MS
    unarmed.step(3000 * MS, ARMED)
    assert unarmed.unarmed_ns(3001 * MS) == 0


def test_observing_only_needs_no_armed_controller() -> None:
    machine = Machine(True)
    for command in (Command.RESET, Command.START):
        machine.command(command, 0)
        machine.step(0, Conditions(None, True))
    machine.step(100 * MS, Conditions(None, True))
    assert machine.unarmed_ns(9000 * MS) == 0


def test_a_speed_that_goes_off_cancels_once_and_moves_no_state() -> None:
    machine, off = running(), Conditions(LinkState.ARMED, True, speed_off=True)
    told = [machine.step(t * MS, off if 100 <= t < 200 or t >= 300 else ARMED).cancel for t in range(0, 400, 20)]
    assert [20 * number for number, cancel in enumerate(told) if cancel] == [100, 300]
    assert machine.speed_off
    assert machine.state is State.EXECUTE  # feed goes on: on a plain belt only items show that the speed is back


def test_a_controller_that_is_not_armed_has_nothing_to_cancel() -> None:
    assert not running().step(20 * MS, Conditions(LinkState.READY, True, speed_off=True)).cancel
