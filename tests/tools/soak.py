"""Host and device together in virtual time, thousands of lives: `python -m tests.tools.soak --for 10m --seed 1 [--jobs 2]`.

One seed draws belt, wire faults, stalls, restarts, unplugs, clock faults, a second host and the station's wishes (soak_life);
the same seed gives the same life bit for bit, so `--seed N --seeds 1` is a failing life again. Judged by the device's own edges
and answers (soak_judge). Prints the first broken invariant with its story, and last one JSON line (bridge.soak/1).
"""

import argparse
import json
import multiprocessing
import os
import sys
import time
import traceback
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from firmware_bridge.messages import Fired, NotFired, Refused, Unanswered
from tests.tools.soak_judge import Broken, judge
from tests.tools.soak_life import Life

WARM_SEEDS = 20  # before memory is compared


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
    other: int = 0  # broken invariants without a column of their own
    orphaned: int = 0  # of hosts that were killed: nobody was left to be told
    virtual_s: float = 0.0
    events: dict[str, int] = field(default_factory=dict)  # what was done to the line, how often

    def add(self, more: "Totals") -> None:
        for name in ("seeds", "diverts", "fired", "refused", "missed", "unconfirmed", "double", "wrong", "late"):
            setattr(self, name, getattr(self, name) + getattr(more, name))
        self.unaccounted += more.unaccounted
        self.other += more.other
        self.orphaned += more.orphaned
        self.virtual_s += more.virtual_s
        for name, n in more.events.items():
            self.events[name] = self.events.get(name, 0) + n


def run_seed(seed: int, totals: Totals, show: bool = True) -> list[Broken]:
    life = Life(seed)
    try:
        life.live()
        problems = judge(life.world)
    except Exception:  # noqa: BLE001 - an unhandled exception is itself a broken invariant
        problems = [Broken("other", traceback.format_exc())]
    _count(life, problems, totals)
    if problems and totals.first_failure is None:
        totals.first_failure = f"seed {seed}: {problems[0].what.strip().splitlines()[-1]}"
        if show:
            sys.stderr.write("\n".join([f"seed {seed}", *life.story, *trace(life, problems)]) + "\n")
    return problems


def _count(life: Life, problems: list[Broken], totals: Totals) -> None:
    world = life.world
    finals = list(world.finals.values())
    totals.seeds += 1
    totals.diverts += len(world.commands)
    totals.fired += sum(isinstance(final, Fired) for final in finals)
    totals.refused += sum(isinstance(final, Refused) for final in finals)
    totals.missed += sum(isinstance(final, NotFired) for final in finals)
    totals.unconfirmed += sum(isinstance(final, Unanswered) for final in finals)
    totals.orphaned += len(world.orphans - world.finals.keys())
    totals.virtual_s += world.now_ns * 1e-9
    for problem in problems:
        setattr(totals, problem.kind, getattr(totals, problem.kind) + 1)
    for name, n in life.injected.items():
        totals.events[name] = totals.events.get(name, 0) + n


def trace(life: Life, problems: list[Broken]) -> list[str]:
    """The problems, and for the first one all that both sides know about its command."""
    lines = [f"BROKEN {problem.kind}: {problem.what}" for problem in problems[:20]]
    command_id = problems[0].command_id
    if command_id is None:
        return lines
    lines.append(f"  wanted: {life.world.commands.get(command_id)}")
    lines += [f"  told:   {reply}" for reply in life.world.heard if getattr(reply, "command_id", None) == command_id]
    for boot in life.world.device.boots:
        for key, divert in boot.diverts.items():
            if key[1] == command_id:
                answer, ends = boot.answers.get(key), boot.ends.get(key)
                lines.append(f"  device: session {key[0]:08x} {divert} answered {answer}, then {ends}")
    return lines


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


@dataclass(frozen=True, slots=True)
class Work:
    first_seed: int
    step: int
    seeds: int | None  # None: until the end
    end_s: float


def work(job: Work) -> tuple[Totals, float, float]:
    """Seeds first, first + step, ...: totals, memory after the first few and at the end."""
    totals, seed, first_mb = Totals(), job.first_seed, 0.0
    while totals.seeds < job.seeds if job.seeds is not None else time.monotonic() < job.end_s:
        run_seed(seed, totals)
        seed += job.step
        if totals.seeds == WARM_SEEDS:
            first_mb = resident_mb()
    last_mb = resident_mb()
    return totals, first_mb or last_mb, last_mb


def _send(job: Work, pipe: Connection) -> None:
    pipe.send(work(job))


def work_together(jobs: list[Work]) -> list[tuple[Totals, float, float]]:
    context = multiprocessing.get_context("fork")
    pairs = [context.Pipe(duplex=False) for _ in jobs]
    processes = [context.Process(target=_send, args=(job, pair[1])) for job, pair in zip(jobs, pairs, strict=True)]
    for process in processes:
        process.start()
    for _, end in pairs:
        end.close()  # so that a worker that dies is noticed
    results = [pair[0].recv() for pair in pairs]
    for process in processes:
        process.join()
    return results


def _seconds(text: str) -> float:
    unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1:])
    return float(text) if unit is None else float(text[:-1]) * unit


def _failure_seed(totals: Totals) -> int:
    assert totals.first_failure is not None
    return int(totals.first_failure.split(":")[0].removeprefix("seed "))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--for", dest="duration_s", type=_seconds, default=60.0, help="wall time: 90s, 10m, 8h")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=None, help="exactly this many, however long it takes")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes; default: one per core")
    options = parser.parse_args()
    jobs = 1 if options.seeds is not None and options.seeds < options.jobs else options.jobs
    began_s = time.monotonic()
    shares = [None if options.seeds is None else (options.seeds - n + jobs - 1) // jobs for n in range(jobs)]
    plan = [
        Work(options.seed + n, jobs, share, began_s + options.duration_s)
        for n, share in zip(range(jobs), shares, strict=True)
    ]
    results = [work(plan[0])] if jobs == 1 else work_together(plan)
    totals = Totals()
    for part, _, _ in results:
        totals.add(part)
    failed = [part for part, _, _ in results if part.first_failure is not None]
    totals.first_failure = min(failed, key=_failure_seed).first_failure if failed else None
    took_s = time.monotonic() - began_s
    extra = {
        "jobs": jobs,
        "wall_s": round(took_s, 1),
        "diverts_per_s": round(totals.diverts / took_s),
        "rss_mb": {"first": [first for _, first, _ in results], "last": [last for _, _, last in results]},
    }
    sys.stdout.write(json.dumps({**asdict(totals), "virtual_s": round(totals.virtual_s), **extra}) + "\n")
    return 1 if totals.first_failure else 0


if __name__ == "__main__":
    sys.exit(main())
