"""The raw record: items.jsonl and commands.jsonl, from which an outsider can recompute what the report says of items.

A line is written whole or not at all, also when the disk fills up in the middle. Knows files; nothing of queues or SQL.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firmware_bridge.messages import (
    Accepted,
    DivertCommand,
    Fired,
    NotFired,
    Refused,
    Reply,
    Unanswered,
)
from station.record.recorder import Commanded, Entry, Replied, Settled
from station.record.rows import command_values, item_row


class JsonLines:
    """One file that only grows, whole lines at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("wb", buffering=0)
        self._good_bytes = 0

    def write(self, lines: Iterable[dict[str, Any]]) -> None:
        """Raises OSError; then none of `lines` counts as written, and the same call may be made again."""
        data = b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines)
        if not data:
            return
        os.ftruncate(self._file.fileno(), self._good_bytes)
        self._file.seek(self._good_bytes)
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        self._good_bytes += len(data)

    def close(self) -> None:
        self._file.close()


@dataclass(slots=True)
class _Sent:
    command: DivertCommand
    track_id: int
    enqueued_ns: int
    accepted_ns: int | None = None


class RawRecord:
    """A sink of the recorder for one run's directory."""

    name = "raw record"

    def __init__(self, directory: Path, utc_minus_ns: int) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._utc_minus_ns = utc_minus_ns
        self._items = JsonLines(directory / "items.jsonl")
        self._commands = JsonLines(directory / "commands.jsonl")
        self._sent: dict[int, _Sent] = {}
        self._command_lines: list[dict[str, Any]] = []  # answered, not on disk yet
        self._noted = 0  # leading entries of a failed write that are already in the lines above

    def write(self, entries: Sequence[Entry]) -> None:
        # After a failed write the same entries come again (with more behind them): note each once.
        for entry in entries[self._noted :]:
            self._note(entry)
        self._noted = len(entries)
        self._commands.write(self._command_lines)
        self._command_lines = []
        self._items.write(
            item_row(entry.record, self._utc_minus_ns).to_json() for entry in entries if isinstance(entry, Settled)
        )
        self._noted = 0

    def close(self) -> None:
        """Commands that never got a final answer are written as such."""
        self._command_lines += [_line(sent, {"answer": "none"}) for sent in self._sent.values()]
        self._sent.clear()
        self._commands.write(self._command_lines)
        self._commands.close()
        self._items.close()

    def _note(self, entry: Entry) -> None:
        if isinstance(entry, Commanded):
            self._sent[entry.command.command_id] = _Sent(entry.command, entry.track_id, entry.enqueued_ns)
        elif isinstance(entry, Replied):
            if isinstance(entry.reply, Accepted):
                sent = self._sent.get(entry.reply.command_id)
                if sent is not None:
                    sent.accepted_ns = entry.reply.at_ns
                return
            answer = _answer(entry.reply)
            if answer is not None:
                command_id, words = answer
                sent = self._sent.pop(command_id, None)
                if sent is not None:
                    self._command_lines.append(_line(sent, words))


def _answer(reply: Reply) -> tuple[int, dict[str, Any]] | None:
    """A final reply in plain values, None for every other reply."""
    match reply:
        case Refused(command_id, refusal, at_ns):
            return command_id, {"answer": "refused", "why": refusal.name.lower(), "answered_ns": at_ns}
        case NotFired(command_id, reason, at_ns):
            return command_id, {"answer": "not_fired", "why": reason.name.lower(), "answered_ns": at_ns}
        case Unanswered(command_id, accepted, at_ns):
            return command_id, {"answer": "unanswered", "was_accepted": accepted, "answered_ns": at_ns}
        case Fired():
            return reply.command_id, {
                "answer": "fired",
                "on_ns": reply.on_ns,
                "off_ns": reply.off_ns,
                "on_count": reply.on_count,
                "off_count": reply.off_count,
                "on_error_us": reply.on_error_us,
            }
    return None


def _line(sent: _Sent, answer: dict[str, Any]) -> dict[str, Any]:
    return {
        "track_id": sent.track_id,
        **command_values(sent.command),
        "enqueued_ns": sent.enqueued_ns,
        "accepted_ns": sent.accepted_ns,
        **answer,
    }
