"""The whole life of a session as a table. What is not in the table cannot happen."""

from enum import Enum, auto

from firmware_bridge.messages import LinkState


class State(Enum):
    CLOSED = auto()
    GREETING = auto()
    CONFIGURING = auto()
    SYNCING = auto()
    READY = auto()
    ARMED = auto()
    LOST = auto()


class Input(Enum):
    OPENED = auto()  # the port
    CLOSED = auto()
    GREETED = auto()  # the device answered our HELLO
    CONFIGURED = auto()  # it holds the wanted configuration
    RECONFIGURE = auto()  # another one is wanted
    SYNCED = auto()  # the clock bound is under the limit
    UNSYNCED = auto()  # or was, or the device's clock jumped
    ARMED = auto()  # it acknowledged
    DISARMED = auto()  # it says so
    SILENT = auto()
    RESTARTED = auto()  # it no longer knows the session


NEXT: dict[tuple[State, Input], State] = {
    (State.CLOSED, Input.OPENED): State.GREETING,
    (State.GREETING, Input.GREETED): State.CONFIGURING,
    (State.CONFIGURING, Input.CONFIGURED): State.SYNCING,
    (State.SYNCING, Input.SYNCED): State.READY,
    (State.SYNCING, Input.RECONFIGURE): State.CONFIGURING,
    (State.READY, Input.ARMED): State.ARMED,
    (State.READY, Input.UNSYNCED): State.SYNCING,
    (State.READY, Input.RECONFIGURE): State.CONFIGURING,
    (State.ARMED, Input.DISARMED): State.READY,
    (State.ARMED, Input.UNSYNCED): State.SYNCING,
    (State.LOST, Input.OPENED): State.LOST,
    (State.LOST, Input.CLOSED): State.LOST,
    (State.LOST, Input.GREETED): State.CONFIGURING,
    (State.GREETING, Input.CLOSED): State.CLOSED,
    **{
        (state, lost): State.LOST
        for state in (State.CONFIGURING, State.SYNCING, State.READY, State.ARMED)
        for lost in (Input.CLOSED, Input.SILENT, Input.RESTARTED)
    },
}

IN_SESSION = frozenset({State.CONFIGURING, State.SYNCING, State.READY, State.ARMED})

LINK_STATE = {
    State.CLOSED: LinkState.CLOSED,
    State.GREETING: LinkState.GREETING,
    State.CONFIGURING: LinkState.SYNCING,
    State.SYNCING: LinkState.SYNCING,
    State.READY: LinkState.READY,
    State.ARMED: LinkState.ARMED,
    State.LOST: LinkState.LOST,
}
