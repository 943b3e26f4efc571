"""Host and device together in virtual time, thousands of lives: `python -m tests.tools.soak --for 10m --seed 1`.

One seed drives belt, wire faults, stalls, reboots, unplugs, stops and cancels; the same seed gives the same life bit
for bit. Judges by the device's own edges. Prints the first broken invariant with its story, and last one JSON line
(bridge.soak/1).
"""

import argparse
import json
import math
import sys
import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import asdict, dataclass
from random import Random

from firmware_bridge.loopback import WireFaults
from firmware_bridge.messages import (
    DivertCommand,
    DuringCount,
    DuringTime,
    Fired,
    LinkState,
    NotFired,
    Refused,
    Unanswered,
)
from firmware_bridge.virtual_device import Edge
from tests.unit.firmware_bridge.bench import BOOT_NS, CONFIG, MS, OPENING_MS, SECOND, Bench

LIFE_S = 8.0
TOLERANCE_NS = CONFIG.max_late_us * 1000 + 2 * MS  # and the host's own knowledge of the device's clock
TOLERANCE_COUNTS = 8


@dataclass(slots=True)
class Totals:
    schema: str = "bridge.soak/1"
    seeds: int = 0
    diverts: int = 0
    fired: int = 0
    refused: int = 0
    missed: int = 0
    unconfirmed: int = 0
    double: int = 0
    wrong: int = 0
    late: int = 0
    unaccounted: int = 0
    first_failure: str | None = None


class Life:
    """One seed: what happens, and when, is drawn before and while it happens from one generator."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = Random(seed)
        self.story: list[str] = []
        loss = rng.choice([0.0, 0.0, 0.02, 0.05, 0.15])
        faults = WireFaults.all(loss, latency_ns=rng.randrange(50_000, 1 * MS), jitter_ns=rng.randrange(0, 2 * MS))
        self.speed = rng.uniform(300, 4000)
        self.wave = rng.uniform(0, 0.5)
        self.count_mode = rng.random() < 0.5
        self.bench = Bench(faults, seed, self._belt, sync_bound_us=5000)
        self.boots_ns = [BOOT_NS]  # each begins another count epoch
        self.submitted_ns: dict[int, int] = {}
        self.note(f"loss {loss}, speed {self.speed:.0f} counts/s, {'count' if self.count_mode else 'time'} windows")

    def note(self, what: str) -> None:
        self.story.append(f"{(self.bench.now_ns - BOOT_NS) / 1e9 if hasattr(self, 'bench') else 0:7.3f} s {what}")

    def _belt(self, host_ns: int) -> float:
        """Speeds up and slows down, never backwards."""
        s = (host_ns - BOOT_NS) * 1e-9
        return self.speed * (s + self.wave * math.sin(s))

    def live(self) -> None:
        bench, end_ns = self.bench, self.bench.now_ns + round(LIFE_S * SECOND)
        while bench.now_ns < end_ns:
            bench.run(self.rng.uniform(0.05, 0.6), every_ms=self.rng.choice([10, 20, 50]), submit=self._window)
            self._something_happens()
        bench.leasing = True
        if not bench.cable.plugged:
            bench.cable.plug()
        bench.run(6.0)

    def epoch(self, host_ns: int) -> int:
        return bisect_right(self.boots_ns, host_ns)

    def _window(self, command_id: int) -> DuringTime | DuringCount | None:
        self.submitted_ns[command_id] = self.bench.now_ns
        lead_ms, hold_ms = self.rng.randrange(-20, 400), self.rng.randrange(20, 60)
        if not self.count_mode:
            return self.bench.ahead(lead_ms, hold_ms)
        per_ms = self.speed / 1000
        return self.bench.ahead_counts(round(lead_ms * per_ms), max(4, round(hold_ms * per_ms)))

    def _something_happens(self) -> None:
        bench, rng = self.bench, self.rng
        events: list[tuple[str, Callable[[], None]]] = [
            ("nothing", lambda: None),
            ("host stalls", self._stall),
            ("cable out", self._unplug),
            ("device restarts", self._reboot),
            ("stop", bench.controller.stop),
            ("cancel all", bench.controller.cancel_all),
            ("loop hangs", self._hang),
        ]
        name, event = rng.choice(events)
        if name != "nothing":
            self.note(name)
        event()

    def _stall(self) -> None:
        self.bench.now_ns += self.rng.randrange(20, 600) * MS
        self.bench.poll()

    def _unplug(self) -> None:
        self.bench.cable.unplug()
        self.bench.run(self.rng.uniform(0.01, 1.5), every_ms=50, submit=self._window)
        self.bench.cable.plug()

    def _reboot(self) -> None:
        if self.count_mode:
            # A new boot is a new count epoch; what is still queued in old counts must not be taken for new.
            self.bench.controller.cancel_all()
            self.bench.run(0.7)
        self.bench.device.reboot(self.bench.now_ns)
        self.boots_ns.append(self.bench.now_ns)
        self.bench.run(1.0)

    def _hang(self) -> None:
        self.bench.leasing = False
        self.bench.run(self.rng.uniform(0.1, 0.5))
        self.bench.leasing = True


def judge(life: Life, totals: Totals) -> list[str]:
    """What is broken, by the device's own edges; empty when nothing is."""
    bench, problems = life.bench, []
    totals.diverts += len(bench.commands)
    kinds = bench.outcomes()
    totals.fired += kinds["Fired"]
    totals.refused += kinds["Refused"]
    totals.missed += kinds["NotFired"]
    totals.unconfirmed += kinds["Unanswered"]
    missing = bench.commands.keys() - bench.finals.keys()
    totals.unaccounted += len(missing)
    problems += [f"command {each} has no final reply" for each in missing]
    for final in bench.finals.values():
        problems += _judge_final(life, final, totals)
    if bench.device.outputs():
        problems.append("a gate is still open")
    return problems


def _judge_final(life: Life, final: Refused | Fired | NotFired | Unanswered, totals: Totals) -> list[str]:
    """Only windows in time: their edges can be told apart for certain, whatever the belt did."""
    command = life.bench.commands[final.command_id]
    window = command.window
    if not isinstance(window, DuringTime) or not isinstance(final, Fired):
        return []
    if final.on_error_us > CONFIG.max_late_us:
        totals.late += 1
        return [f"command {final.command_id} fired {final.on_error_us} us late"]
    due_ns = window.start_ns - OPENING_MS * MS
    if final.on_ns > due_ns + TOLERANCE_NS or final.off_ns > window.end_ns + TOLERANCE_NS:
        totals.wrong += 1
        return [f"command {final.command_id} acted {final.on_ns}..{final.off_ns}, its window is {window}"]
    on_edges = [
        e
        for e in life.bench.edges
        if e.on and command.gate_mask >> e.gate & 1 and e.at_ns <= final.on_ns + TOLERANCE_NS
    ]
    if not on_edges:
        totals.wrong += 1
        return [f"command {final.command_id} is told as fired and no edge of its gate comes before it"]
    return []


def wrong_openings(life: Life) -> list[str]:
    """Output-on outside every window of its gate that was not refused."""
    taken = [c for c in life.bench.commands.values() if not _refused(life, c.command_id)]
    return [
        f"{edge} lies outside every window of its gate"
        for edge in life.bench.edges
        if edge.on and not any(c.gate_mask >> edge.gate & 1 and _allows(life, c, edge) for c in taken)
    ]


def _allows(life: Life, command: DivertCommand, edge: Edge) -> bool:
    window = command.window
    if isinstance(window, DuringTime):
        return window.start_ns - OPENING_MS * MS - TOLERANCE_NS <= edge.at_ns <= window.end_ns + TOLERANCE_NS
    submitted_ns = life.submitted_ns[command.command_id]
    opening = OPENING_MS / 1000 * life.speed * (1 + life.wave)
    same_life = life.epoch(submitted_ns) == life.epoch(edge.at_ns) and submitted_ns <= edge.at_ns
    return (
        same_life
        and window.start_count - opening - TOLERANCE_COUNTS <= edge.count <= window.end_count + TOLERANCE_COUNTS
    )


def double_fires(life: Life) -> list[str]:
    """More on-edges in one window's time than there are commands whose windows reach into it."""
    edges: dict[int, list[int]] = {}
    for edge in life.bench.edges:
        if edge.on:
            edges.setdefault(edge.gate, []).append(edge.at_ns)
    problems = []
    for gate, at in edges.items():
        taken = [
            c for c in life.bench.commands.values() if c.gate_mask >> gate & 1 and not _refused(life, c.command_id)
        ]
        if len(at) > len(taken):
            problems.append(f"gate {gate} opened {len(at)} times for {len(taken)} commands")
    return problems


def _refused(life: Life, command_id: int) -> bool:
    return isinstance(life.bench.finals.get(command_id), Refused)


def run_seed(seed: int, totals: Totals) -> list[str]:
    life = Life(seed)
    life.live()
    problems = judge(life, totals)
    wrong, double = wrong_openings(life), double_fires(life)
    totals.wrong += len(wrong)
    totals.double += len(double)
    totals.seeds += 1
    problems += wrong + double
    if life.bench.state is not LinkState.ARMED:
        problems.append(f"not armed again at the end but {life.bench.state}")
    if problems and totals.first_failure is None:
        totals.first_failure = f"seed {seed}: {problems[0]}"
        sys.stderr.write("\n".join([f"seed {seed}", *life.story, *problems[:20]]) + "\n")
    return problems


def _seconds(text: str) -> float:
    unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1:])
    return float(text) if unit is None else float(text[:-1]) * unit


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--for", dest="duration_s", type=_seconds, default=60.0, help="wall time: 90s, 10m, 8h")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=None, help="exactly this many, however long it takes")
    options = parser.parse_args()
    totals, seed, end = Totals(), options.seed, time.monotonic() + options.duration_s
    while totals.seeds < options.seeds if options.seeds is not None else time.monotonic() < end:
        run_seed(seed, totals)
        seed += 1
    sys.stdout.write(json.dumps(asdict(totals)) + "\n")
    return 1 if totals.first_failure else 0


if __name__ == "__main__":
    sys.exit(main())
