"""The machine's state: a PackML subset as one table. The only place that permits firing.

States and numbers are PackTags v3.0. HOLD is an inside cause or the operator, SUSPEND an outside one (the belt stands, no
material). Only EXECUTE permits ARM; a machine that was armed stays armed while it holds, so that decided items still fire.
What is not in the table changes nothing. Knows nothing of pictures, ports or threads: conditions and time are arguments.
"""

from dataclasses import dataclass, replace
from enum import Enum, IntEnum

from firmware_bridge.messages import DisarmReason, LinkState

HEALTHY_BEFORE_REARM_NS = 1_000_000_000
ARM_REPEAT_NS = 200_000_000


class State(IntEnum):
    CLEARING = 1
    STOPPED = 2
    STARTING = 3
    IDLE = 4
    SUSPENDED = 5
    EXECUTE = 6
    STOPPING = 7
    ABORTING = 8
    ABORTED = 9
    HOLDING = 10
    HELD = 11
    UNHOLDING = 12
    RESETTING = 15


class Command(Enum):
    """What an operator, or a PLC, may ask for."""

    START = "start"
    HOLD = "hold"
    UNHOLD = "unhold"
    STOP = "stop"
    RESET = "reset"
    CLEAR = "clear"
    ABORT = "abort"


class Cause(Enum):
    """What happens to the machine without anybody asking."""

    DONE = "done"  # the acting state has finished its work
    LOSS = "loss"  # link, camera or lease lost, model failing, record full: inside cause
    RECOVERED = "recovered"  # healthy for a second, and auto_rearm
    BELT_STANDS = "belt_stands"
    BELT_RUNS = "belt_runs"
    FAULT = "fault"


S, C, X = State, Command, Cause
NEXT: dict[tuple[State, Command | Cause], State] = {
    (S.STOPPED, C.RESET): S.RESETTING,
    (S.RESETTING, X.DONE): S.IDLE,
    (S.IDLE, C.START): S.STARTING,
    (S.STARTING, X.DONE): S.EXECUTE,
    (S.EXECUTE, C.HOLD): S.HOLDING,
    (S.EXECUTE, X.LOSS): S.HOLDING,
    (S.HOLDING, C.HOLD): S.HOLDING,  # a person takes over what a loss began
    (S.HOLDING, X.DONE): S.HELD,
    (S.HELD, C.HOLD): S.HELD,
    (S.HELD, C.UNHOLD): S.UNHOLDING,
    (S.HELD, C.START): S.UNHOLDING,
    (S.HELD, X.RECOVERED): S.UNHOLDING,
    (S.UNHOLDING, C.HOLD): S.HOLDING,  # it may wait there for what is missing
    (S.UNHOLDING, X.DONE): S.EXECUTE,
    (S.EXECUTE, X.BELT_STANDS): S.SUSPENDED,
    (S.SUSPENDED, X.BELT_RUNS): S.EXECUTE,
    (S.SUSPENDED, C.HOLD): S.HOLDING,
    (S.SUSPENDED, X.LOSS): S.HOLDING,
    (S.STOPPING, X.DONE): S.STOPPED,
    (S.ABORTING, X.DONE): S.ABORTED,
    (S.ABORTED, C.CLEAR): S.CLEARING,
    (S.CLEARING, X.DONE): S.STOPPED,
    **{(state, C.STOP): S.STOPPING for state in S if state not in (S.STOPPED, S.STOPPING, S.ABORTING, S.ABORTED)},
    **{(state, C.ABORT): S.ABORTING for state in S if state not in (S.ABORTING, S.ABORTED)},
    **{(state, X.FAULT): S.ABORTING for state in S if state not in (S.ABORTING, S.ABORTED)},
}

MAY_ARM = frozenset({S.EXECUTE})
STAYS_ARMED = frozenset({S.EXECUTE, S.SUSPENDED, S.HOLDING, S.HELD, S.UNHOLDING})
# What the controller found by itself, in the operator's words. Neither ends by itself: CLEAR, RESET and START lead back.
CONTROLLER_FAULTS = {
    DisarmReason.ESTOP: "the E-stop is or was pressed: release it, then CLEAR",
    DisarmReason.FAULT: "the controller found a fault (events name it): encoder, or a gate's output; mend it, then CLEAR",
    DisarmReason.OUTPUT: "the relay board refuses to switch: check it, then CLEAR",
}
DECIDES_TO_FIRE = frozenset({S.EXECUTE, S.SUSPENDED, S.HOLDING, S.HELD})
PERMITS_FEED = frozenset({S.EXECUTE})


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the rest of the station says about itself at one moment."""

    link: LinkState | None  # None: observing only, there is no link
    cameras_live: bool
    camera_words: str = ""  # what is the matter with them
    restarted: bool = False  # the controller is a new boot since the last step
    belt_stands: bool = False
    speed_off: bool = False  # without an encoder: the belt does not run at the configured speed
    model_trouble: str | None = None  # recognition fails at this moment
    recorder_full: bool = False  # the disk is away or too slow: no room to account for further items
    fault: str | None = None  # queue overflow, a thread that failed, what the controller found: words for the operator


@dataclass(frozen=True, slots=True)
class Actions:
    """What the link must be told now."""

    arm: bool = False
    disarm: bool = False
    stop: bool = False
    cancel: bool = False  # every window that has not begun: it would open on an empty belt, or on another item
    permit: bool = False
    clear_fault: bool = False  # what the controller has latched; it may find it again


class Machine:
    def __init__(self, auto_rearm: bool) -> None:
        self.state = State.STOPPED
        self.reason = "switched on"
        self.since_ns = 0
        self.started_ns: int | None = None  # None: not since it was switched on or reset
        self.speed_off = False  # windows of time would miss: none may be sent
        self._auto_rearm = auto_rearm
        self._held_by_loss = False
        self._healthy_since_ns: int | None = None
        self._asked_to_arm_ns: int | None = None
        self._unarmed_since_ns: int | None = None
        self._was_armed = False

    # -- what others may ask -----------------------------------------------------------------------------------------

    @property
    def takes_decisions(self) -> bool:
        """Items decided now may be sent to the gates (the device still refuses when it is not armed)."""
        return self.state in DECIDES_TO_FIRE

    @property
    def stopped(self) -> bool:
        """Stopped, or about to be, after it ran."""
        return self.started_ns is not None and self.state in (State.STOPPING, State.STOPPED)

    def unarmed_ns(self, now_ns: int) -> int:
        """For how long this state has wanted an armed controller and had none, whatever it was told.

        A host whose step takes longer than the lease gets here: the device arms and has disarmed before the next step.
        """
        return 0 if self._unarmed_since_ns is None else now_ns - self._unarmed_since_ns

    def command(self, command: Command, now_ns: int, who: str = "operator") -> bool:
        """An operator's wish. False when this state does not take it. A hold that a person asked for, health does not undo."""
        taken = self._go(command, now_ns, f"{command.value} by {who}")
        if taken and command is Command.HOLD:
            self._held_by_loss = False
        return taken

    def step(self, now_ns: int, conditions: Conditions) -> Actions:
        """Move with the conditions and say what the link must be told. Called once per loop step."""
        if conditions.fault is not None:
            self._go(Cause.FAULT, now_ns, conditions.fault)
        self._watch_losses(now_ns, conditions)
        self._watch_belt(now_ns, conditions)
        self._watch_arming(now_ns, conditions)
        actions = replace(self._act(now_ns, conditions), cancel=self._watch_speed(conditions))
        if self.state in (State.STARTING, State.UNHOLDING) and not self._ready(conditions):
            return actions  # waits for what is missing, visibly
        self._go(Cause.DONE, now_ns, self.reason)
        return actions

    # -- inside ------------------------------------------------------------------------------------------------------

    def _go(self, why: Command | Cause, now_ns: int, reason: str) -> bool:
        following = NEXT.get((self.state, why))
        if following is None:
            return False
        if following is State.RESETTING:
            self.started_ns = None
        elif self.state is State.STARTING and following is State.EXECUTE:
            self.started_ns = now_ns
        self.state, self.reason, self.since_ns = following, reason, now_ns
        return True

    def _ready(self, conditions: Conditions) -> bool:
        linked = conditions.link in (None, LinkState.READY, LinkState.ARMED)
        return linked and conditions.cameras_live and not conditions.recorder_full and not conditions.model_trouble

    def _watch_losses(self, now_ns: int, conditions: Conditions) -> None:
        loss = self._loss(conditions)
        if loss is not None:
            self._healthy_since_ns = None
            if self._go(Cause.LOSS, now_ns, loss):
                self._held_by_loss = True
            elif conditions.restarted and self._held_by_loss:
                self.reason = loss  # the silence before it had looked like a cable
        elif self._healthy_since_ns is None:
            self._healthy_since_ns = now_ns
        self._was_armed = conditions.link is LinkState.ARMED
        if self.state is State.HELD and self._held_by_loss and self._auto_rearm and loss is None:
            healthy_ns = now_ns - (self._healthy_since_ns if self._healthy_since_ns is not None else now_ns)
            if healthy_ns >= HEALTHY_BEFORE_REARM_NS and self._go(Cause.RECOVERED, now_ns, "recovered"):
                self._held_by_loss = False

    def _loss(self, conditions: Conditions) -> str | None:
        if not conditions.cameras_live:
            what = conditions.camera_words or "camera lost"
            return f"{what}: no new decisions, decided items still fire"
        if conditions.model_trouble is not None:
            return f"recognition fails: {conditions.model_trouble}"
        if conditions.recorder_full:
            return "the record is full: no room to account for further items; decided items still fire"
        if conditions.link is None or conditions.link is LinkState.ARMED:
            return None
        if conditions.restarted:
            return "the controller restarted: check its power"
        if conditions.link in (LinkState.CLOSED, LinkState.LOST, LinkState.GREETING):
            return "the controller does not answer: check cable and power"
        if self._was_armed:
            return "the controller disarmed itself (no lease from this computer)"
        if conditions.link is not LinkState.READY:
            return f"controller {conditions.link.value}"
        return None

    def _watch_belt(self, now_ns: int, conditions: Conditions) -> None:
        if conditions.belt_stands:
            self._go(Cause.BELT_STANDS, now_ns, "the belt stands")
        else:
            self._go(Cause.BELT_RUNS, now_ns, "the belt runs")

    def _watch_speed(self, conditions: Conditions) -> bool:
        """True when the speed has just gone off: what the controller still holds must not fire."""
        went_off = conditions.speed_off and not self.speed_off
        self.speed_off = conditions.speed_off
        return went_off and conditions.link is LinkState.ARMED

    def _watch_arming(self, now_ns: int, conditions: Conditions) -> None:
        wanting = self.state in MAY_ARM and conditions.link not in (None, LinkState.ARMED)
        if not wanting:
            self._unarmed_since_ns = None
        elif self._unarmed_since_ns is None:
            self._unarmed_since_ns = now_ns

    def _act(self, now_ns: int, conditions: Conditions) -> Actions:
        if self.state in (State.STOPPING, State.ABORTING):
            return Actions(stop=True)
        if self.state not in STAYS_ARMED:
            return Actions(disarm=conditions.link is LinkState.ARMED, clear_fault=self.state is State.CLEARING)
        arm = False
        if self.state in MAY_ARM and conditions.link is LinkState.READY:
            last = self._asked_to_arm_ns
            arm = last is None or now_ns - last >= ARM_REPEAT_NS
            if arm:
                self._asked_to_arm_ns = now_ns
        return Actions(arm=arm, permit=self.state in PERMITS_FEED and conditions.cameras_live)
