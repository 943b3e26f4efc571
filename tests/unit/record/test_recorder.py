import errno
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from firmware_bridge.messages import (
    Accepted,
    DivertCommand,
    DuringCount,
    DuringTime,
    Fired,
    MissReason,
    NotFired,
    Refusal,
    Refused,
    Unanswered,
)
from station.channels import ChannelFull
from station.events import Event, EventKind
from station.record.raw import JsonLines, RawRecord
from station.record.recorder import RETRY_AFTER_NS, Born, Commanded, Entry, Recorder, Replied, Settled
from tests.unit.record.makers import record, track


class Disk:
    """A sink that can be taken away."""

    def __init__(self, name: str = "disk") -> None:
        self.name = name
        self.away = False
        self.kept: list[Entry] = []
        self.tries = 0

    def write(self, entries: Sequence[Entry]) -> None:
        self.tries += 1
        if self.away:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.kept += entries


def births(first: int, count: int) -> list[Entry]:
    return [Born(track(number)) for number in range(first, first + count)]


def put_all(recorder: Recorder, entries: Sequence[Entry]) -> None:
    for entry in entries:
        recorder.put(entry)


def test_everything_reaches_every_sink_in_order() -> None:
    first, second = Disk("first"), Disk("second")
    recorder = Recorder([first, second])
    put_all(recorder, births(1, 3))
    recorder.step(0)
    put_all(recorder, births(4, 2))
    recorder.step(1)
    assert first.kept == second.kept == births(1, 5)
    assert recorder.depth == 0


def test_a_disk_that_comes_back_gets_everything_once_and_in_order() -> None:
    disk = Disk()
    recorder = Recorder([disk])
    disk.away = True
    put_all(recorder, births(1, 3))
    recorder.step(0)
    assert "No space left" in str(recorder.trouble)
    put_all(recorder, births(4, 2))
    recorder.step(RETRY_AFTER_NS - 1)
    assert disk.tries == 1
    disk.away = False
    recorder.step(RETRY_AFTER_NS)
    assert disk.kept == births(1, 5)
    assert recorder.trouble is None


def test_one_failing_sink_does_not_keep_from_the_other() -> None:
    well, ill = Disk("well"), Disk("ill")
    ill.away = True
    recorder = Recorder([ill, well])
    put_all(recorder, births(1, 2))
    recorder.step(0)
    recorder.step(RETRY_AFTER_NS)
    assert well.kept == births(1, 2)
    assert recorder.depth == 2


def test_a_full_record_holds_the_machine_but_still_takes_what_is_on_the_belt() -> None:
    disk = Disk()
    disk.away = True
    recorder = Recorder([disk], capacity=10)
    put_all(recorder, births(1, 9))
    recorder.step(0)
    assert (recorder.full, recorder.depth) == (False, 9)
    put_all(recorder, births(10, 1))
    assert (recorder.full, recorder.depth) == (True, 10)
    put_all(recorder, births(11, 10))
    with pytest.raises(ChannelFull, match="No space left"):
        recorder.put(Born(track(99)))
    disk.away = False
    recorder.step(RETRY_AFTER_NS)
    assert (recorder.full, recorder.depth) == (False, 0)
    assert disk.kept == births(1, 20)


def test_events_give_way_when_there_is_no_room_and_are_counted() -> None:
    disk = Disk()
    recorder = Recorder([disk], capacity=2)
    event = Event(EventKind.LINK, 0, 0)
    put_all(recorder, [event, *births(1, 1), event])
    recorder.step(0)
    assert disk.kept == [event, *births(1, 1)]
    assert recorder.dropped_events == 1


def test_the_last_flush_tries_at_once_and_says_what_is_lost() -> None:
    disk = Disk()
    disk.away = True
    recorder = Recorder([disk])
    put_all(recorder, births(1, 3))
    recorder.step(0)
    assert recorder.flush(1) == 3
    disk.away = False
    assert recorder.flush(2) == 0
    assert disk.kept == births(1, 3)


# -- the raw record -------------------------------------------------------------------------------------------------


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


COMMAND = DivertCommand(5, 0b11, DuringCount(100, 200))


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        pytest.param(
            [Accepted(5, 10), Fired(5, 20, 30, 99, 201, -7)],
            {"answer": "fired", "accepted_ns": 10, "on_ns": 20, "off_ns": 30, "on_error_us": -7},
            id="fired",
        ),
        pytest.param(
            [Refused(5, Refusal.LATE, 11)],
            {"answer": "refused", "why": "late", "accepted_ns": None, "answered_ns": 11},
            id="refused",
        ),
        pytest.param(
            [Accepted(5, 10), NotFired(5, MissReason.BELT_STOPPED, 12)],
            {"answer": "not_fired", "why": "belt_stopped"},
            id="not fired",
        ),
        pytest.param([Unanswered(5, True, 13)], {"answer": "unanswered", "was_accepted": True}, id="unanswered"),
        pytest.param([], {"answer": "none", "accepted_ns": None}, id="never answered"),
        pytest.param([Accepted(5, 10), Refused(6, Refusal.FAR, 11)], {"answer": "none"}, id="another's answer"),
    ],
)
def test_every_command_gets_one_line_with_its_answer(
    tmp_path: Path, replies: list[Accepted | Fired | Refused | NotFired | Unanswered], expected: dict[str, object]
) -> None:
    raw = RawRecord(tmp_path, 0)
    raw.write([Commanded(COMMAND, 8, 4), *(Replied(reply) for reply in replies)])
    raw.close()
    [line] = lines(tmp_path / "commands.jsonl")
    assert {key: line[key] for key in expected} == expected
    assert (line["command_id"], line["track_id"], line["gate_mask"], line["enqueued_ns"]) == (5, 8, 3, 4)
    assert (line["window_in"], line["window_start"], line["window_end"]) == ("count", 100, 200)


def test_a_window_in_time_says_so(tmp_path: Path) -> None:
    raw = RawRecord(tmp_path, 0)
    raw.write([Commanded(DivertCommand(1, 1, DuringTime(7, 9)), 1, 0)])
    raw.close()
    [line] = lines(tmp_path / "commands.jsonl")
    assert (line["window_in"], line["window_start"], line["window_end"]) == ("ns", 7, 9)


def test_a_disk_that_fills_up_in_the_middle_of_a_line_leaves_whole_lines_once_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = RawRecord(tmp_path, 0)
    recorder = Recorder([raw])
    put_all(recorder, [Settled(record(1)), Commanded(COMMAND, 1, 0), Replied(Fired(5, 1, 2, 3, 4, 0))])
    recorder.step(0)
    real = JsonLines.write

    def half(self: JsonLines, values: list[dict[str, object]]) -> None:
        if self.path.name != "items.jsonl":
            return real(self, values)
        self._file.write(b'{"track_id": 2, "cam')
        raise OSError(errno.ENOSPC, "No space left on device")

    put_all(recorder, [Settled(record(2)), Commanded(DivertCommand(6, 1, DuringCount(1, 2)), 2, 0)])
    put_all(recorder, [Replied(Refused(6, Refusal.FULL, 3))])
    monkeypatch.setattr(JsonLines, "write", half)
    recorder.step(1)
    monkeypatch.setattr(JsonLines, "write", real)
    put_all(recorder, [Settled(record(3))])
    recorder.step(1 + RETRY_AFTER_NS)
    raw.close()
    assert [line["track_id"] for line in lines(tmp_path / "items.jsonl")] == [1, 2, 3]
    assert [line["command_id"] for line in lines(tmp_path / "commands.jsonl")] == [5, 6]
