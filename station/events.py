"""What happened, as one value and as one JSON line. Knows nothing of who reports it, stores it or shows it."""

import json
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


class EventKind(Enum):
    """Closed: `station events --type` lists exactly these."""

    RUN_STARTED = "run_started"
    RUN_ENDED = "run_ended"
    RUN_CLOSED = "run_closed"  # an interrupted run, closed by the next start
    STATE = "state"  # the machine changed state
    OPERATOR = "operator"  # someone pressed something: who, what
    LINK = "link"
    DISARMED = "disarmed"
    CONTROLLER_FAULT = "controller_fault"  # found by the device and latched in it: encoder silent, output differs
    ESTOP = "estop"  # its wire, as the controller sees it: pressed, released
    CAMERA_LOST = "camera_lost"
    CAMERA_BACK = "camera_back"
    ENCODER_SILENT = "encoder_silent"
    BELT = "belt"  # stopped, started, left its speed band
    MODEL = "model"  # loaded, failed, replaced
    ALARM_RAISED = "alarm_raised"
    ALARM_ACKNOWLEDGED = "alarm_acknowledged"
    ALARM_CLEARED = "alarm_cleared"
    BINS = "bins"  # what lies in them: at the end of a run, and when one was emptied
    ITEM_MISSED = "item_missed"
    ITEM_UNCONFIRMED = "item_unconfirmed"
    OVERFLOW = "overflow"  # a queue whose overflow is a fault was full
    RECORD = "record"  # the history is away, back, or lost something
    CONFIG = "config"  # a setting changed while running
    CRASH = "crash"  # a thread ended by an error


@dataclass(frozen=True, slots=True)
class Event:
    what: EventKind
    at_ns: int  # host monotonic
    utc_ns: int
    track_id: int | None = None
    camera_id: str | None = None
    detail: dict[str, Json] = field(default_factory=dict)

    def to_line(self) -> str:
        """One line of JSON, without the line's end."""
        values = {
            "what": self.what.value,
            "at_ns": self.at_ns,
            "utc_ns": self.utc_ns,
            "track_id": self.track_id,
            "camera_id": self.camera_id,
            "detail": self.detail,
        }
        return json.dumps(values, separators=(",", ":"))

    @classmethod
    def from_line(cls, line: str) -> "Event":
        """Raises ValueError for a line that is no event."""
        try:
            values = json.loads(line)
            return cls(
                what=EventKind(values["what"]),
                at_ns=int(values["at_ns"]),
                utc_ns=int(values["utc_ns"]),
                track_id=values["track_id"],
                camera_id=values["camera_id"],
                detail=dict(values["detail"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not an event: {line[:80]!r} ({error})") from None
