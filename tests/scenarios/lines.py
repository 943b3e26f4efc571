"""One scenario: the whole station on the virtual line in virtual time, its records on disk, and the verdict of the outsiders.

Perception is the stub (true positions, seeded confusion), unless a brain is given: what is under test is everything behind the
pictures.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from station.app import Brain
from station.archive_run import stored_items
from station.config import StationConfig, builtin_config, changed
from station.lockstep import Lockstep, LockstepSetup, write_device_record
from station.machine import Command
from station.record.raw import RawRecord
from station.record.recorder import CAPACITY, Entry, Recorder, Sink
from station.record.rows import ItemRow
from station.simulation.faults import parse_fault
from station.simulation.line import LineOptions
from station.simulation.verdict import Verdict, verdict_of, write_line_record

Spans = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is out of the ordinary in one run."""

    for_s: float = 12.0
    seed: int = 7
    faults: tuple[str, ...] = ()
    touching: bool = False
    host_stalls: Spans = ()
    frozen_camera: Spans = ()
    confusion: float = 0.02
    stop_at_s: float | None = None  # an operator presses STOP
    hold: tuple[float, float] | None = None  # an operator presses HOLD, and UNHOLD so many seconds later
    start_at_s: float | None = None  # START only when items are on the belt
    restart_at_s: float | None = None  # an operator presses CLEAR, RESET and START
    slow_cameras: Mapping[str, float] = field(default_factory=dict)  # id: ms
    disk_away: Spans = ()  # (at_s, for_s) after the feed began: nothing can be written
    record_capacity: int = CAPACITY


@dataclass(frozen=True, slots=True)
class Played:
    out: Path
    run: Lockstep
    states: list[tuple[int, str]]  # ns after the feed began, name: every change of the machine
    items: list[ItemRow]
    verdict: Verdict

    @property
    def truth(self) -> dict[str, Any]:
        return self.verdict.truth

    def outcomes(self) -> Counter[str]:
        return Counter(str(item.outcome) for item in self.items)

    def missed(self) -> Counter[str]:
        return Counter(str(item.reason) for item in self.items if item.outcome == "missed")

    def commands(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.out / "commands.jsonl").read_text().splitlines()]


class Disk:
    """In front of a sink: away for some spans of time."""

    name = "disk"

    def __init__(self, real: Sink, away: Spans) -> None:
        self._real = real
        self._away = away
        self.run: Lockstep | None = None

    def write(self, entries: Sequence[Entry]) -> None:
        start_ns = self.run.feed_start_ns if self.run is not None else None
        if self.run is not None and start_ns is not None:
            at_s = (self.run.clock.now_ns() - start_ns) / 1e9
            if any(begin <= at_s < begin + lasts for begin, lasts in self._away):
                raise OSError("no space left on the device")
        self._real.write(entries)


def reference_line(**changes: Any) -> StationConfig:
    return changed(builtin_config("virtual"), **changes)


def play(out: Path, scenario: Scenario, config: StationConfig | None = None, brain: Brain | None = None) -> Played:
    """With a brain the pictures are drawn and searched; without one perception is the stub."""
    config = config or reference_line()
    raw = RawRecord(out, 0)
    disk = Disk(raw, scenario.disk_away)
    faults = tuple(parse_fault(text) for text in scenario.faults)
    run = Lockstep(
        LockstepSetup(
            config,
            LineOptions(seed=scenario.seed, for_s=scenario.for_s, touching=scenario.touching, faults=faults),
            brain,
            Recorder([disk], scenario.record_capacity),
            confusion=scenario.confusion,
            host_stalls=scenario.host_stalls,
            frozen_camera=scenario.frozen_camera,
            slow_cameras=scenario.slow_cameras,
            start_at_s=scenario.start_at_s,
        )
    )
    disk.run = run
    states = _run(run, _presses(scenario))
    raw.close()
    write_device_record(run.log, out)
    write_line_record(out, run.line, run.clock.now_ns())
    return Played(out, run, states, stored_items(out), verdict_of(out))


def _presses(scenario: Scenario) -> list[tuple[float, Command]]:
    """What an operator presses, and when."""
    presses = [] if scenario.stop_at_s is None else [(scenario.stop_at_s, Command.STOP)]
    if scenario.hold is not None:
        at_s, for_s = scenario.hold
        presses += [(at_s, Command.HOLD), (at_s + for_s, Command.UNHOLD)]
    if scenario.restart_at_s is not None:
        again = (Command.CLEAR, Command.RESET, Command.START)
        presses += [(scenario.restart_at_s + 0.1 * number, command) for number, command in enumerate(again)]
    return sorted(presses, key=lambda press: press[0])


def _run(run: Lockstep, presses: list[tuple[float, Command]]) -> list[tuple[int, str]]:
    run.start()
    assert run.feed_start_ns is not None
    states = [(0, run.loop.machine.state.name)]
    while not run.over():
        if presses and run.clock.now_ns() >= run.feed_start_ns + presses[0][0] * 1e9:
            _press(run, presses.pop(0)[1])
        if run.turn().state_changed:
            states.append((run.clock.now_ns() - run.feed_start_ns, run.loop.machine.state.name))
    run.finish()
    return states


def _press(run: Lockstep, command: Command) -> None:
    """As `LiveRun.command` does: STOP goes straight to the link, and only then to the machine."""
    if command is Command.STOP:
        run.controller.stop()
    run.loop.machine.command(command, run.clock.now_ns())


def assert_accounted(played: Played) -> None:
    """What holds in every scenario, whatever goes wrong: no shot out of place, one outcome for each item."""
    ledger, fires, truth = played.run.loop.ledger, played.verdict.fires, played.truth
    assert (fires.late_fires, fires.wrong_fires) == (0, 0)
    assert ledger.in_flight == 0
    assert ledger.total == len(played.items) == len({item.track_id for item in played.items}) == played.run.books.births
    assert all(item.outcome is not None and item.reason is not None for item in played.items)
    assert truth["fed"] == truth["matched"] + truth["merged"] + truth["unseen"]
    assert len(played.items) == truth["matched"] + truth["split"] + truth["phantom"]
    assert truth["on_belt"] == 0


def assert_each_item_once(played: Played) -> None:
    """Nothing seen twice, nothing imagined."""
    truth = played.truth
    assert (truth["merged"], truth["split"], truth["phantom"]) == (0, 0, 0)
