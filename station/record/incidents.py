"""What went wrong in a run and for how long: alarms and standstills, paired up from the stored events. Pure but for one read.

A standstill is one that nobody ordered: HOLD and STOP of an operator, and the end of the run, are no incident; ABORT is,
whoever asks. A belt that stands is one only after the machine has sorted: every line is switched on before its belt runs.
Knows the words of alarm and state events; knows nothing of what they mean for items (the outcomes say that).
"""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from station.events import EventKind, Json

MOST = 200  # kept in a report; how many there were more is said
_WANTED = (EventKind.STATE, EventKind.ALARM_RAISED, EventKind.ALARM_CLEARED)
_SORTS = "execute"
_WAITS = "suspended"  # for the belt
_STANDSTILLS = (_WAITS, "holding", "held", "aborting", "aborted")
_GOES_ON = (_SORTS, "unholding", *_STANDSTILLS)  # any other state is a new beginning
_BY_ORDER = "hold by "  # how the machine begins the reason of an operator's HOLD
_STANDSTILL = "standstill"
HAS_SORTED_NS = 1_000_000_000  # in one piece; shorter is the first step after a START, before the belt is looked at


@dataclass(slots=True)
class Incident:
    what: str  # the alarm's name, or the machine's state
    reason: str
    at_ns: int
    until_ns: int | None = None  # None: to the end of the run

    def to_values(self, start_ns: int) -> dict[str, Any]:
        lasted_s = None if self.until_ns is None else round((self.until_ns - self.at_ns) / 1e9, 3)
        return {
            "what": self.what,
            "reason": self.reason,
            "at_s": round((self.at_ns - start_ns) / 1e9, 3),
            "for_s": lasted_s,
        }


@dataclass(slots=True)
class Story:
    """Grows by one event at a time, in order."""

    incidents: list[Incident] = field(default_factory=list)
    _open: dict[str, Incident] = field(default_factory=dict)
    _sorts_since_ns: int | None = None
    _has_sorted: bool = False  # since the machine was last started

    def hear(self, what: EventKind, at_ns: int, detail: dict[str, Json]) -> None:
        match what:
            case EventKind.ALARM_RAISED:
                self._begin(str(detail.get("alarm")), str(detail.get("words", "")), at_ns)
            case EventKind.ALARM_CLEARED:
                self._end(str(detail.get("alarm")), at_ns)
            case EventKind.STATE:
                self._moved(str(detail.get("state")), str(detail.get("reason", "")), at_ns)
            case _:
                pass

    def _moved(self, state: str, reason: str, at_ns: int) -> None:
        self._note_sorting(state, at_ns)
        standing = self._open.get(_STANDSTILL)
        if standing is not None and state in _STANDSTILLS and reason == standing.reason:
            standing.what = state  # holding has become held: the same standstill
            return
        self._end(_STANDSTILL, at_ns)
        if state not in _STANDSTILLS or reason.startswith(_BY_ORDER) or (state == _WAITS and not self._has_sorted):
            return
        self._begin(_STANDSTILL, reason, at_ns)
        self._open[_STANDSTILL].what = state

    def _note_sorting(self, state: str, at_ns: int) -> None:
        since_ns = self._sorts_since_ns
        if since_ns is not None and at_ns - since_ns >= HAS_SORTED_NS:
            self._has_sorted = True
        if state not in _GOES_ON:
            self._has_sorted = False
        if state != _SORTS:
            self._sorts_since_ns = None
        elif since_ns is None:
            self._sorts_since_ns = at_ns

    def _begin(self, key: str, reason: str, at_ns: int) -> None:
        if key not in self._open:
            self._open[key] = Incident(key, reason, at_ns)
            self.incidents.append(self._open[key])

    def _end(self, key: str, at_ns: int) -> None:
        incident = self._open.pop(key, None)
        if incident is not None:
            incident.until_ns = at_ns


def incidents_of(events: Iterable[tuple[EventKind, int, dict[str, Json]]]) -> list[Incident]:
    story = Story()
    for what, at_ns, detail in events:
        story.hear(what, at_ns, detail)
    return story.incidents


def incidents_in_report(history: Path, run_id: int, start_ns: int) -> dict[str, Any]:
    """The report's part: {"incidents": [...], "incidents_left_out": n}. Reads beside the writer."""
    kinds = ", ".join("?" for _ in _WANTED)
    query = f"SELECT what, at_ns, detail FROM events WHERE run_id = ? AND what IN ({kinds}) ORDER BY event_id"
    try:
        db = sqlite3.connect(f"file:{history}?mode=ro", uri=True)
        try:
            rows = db.execute(query, (run_id, *(kind.value for kind in _WANTED))).fetchall()
        finally:
            db.close()
    except sqlite3.Error:
        return {"incidents": None, "incidents_left_out": 0}  # the history is away: nothing can be said
    found = incidents_of((EventKind(what), at_ns, json.loads(detail)) for what, at_ns, detail in rows)
    shown = [incident.to_values(start_ns) for incident in found[:MOST]]
    return {"incidents": shown, "incidents_left_out": max(0, len(found) - MOST)}
