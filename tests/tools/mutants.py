"""Mutation testing of the firmware core: does some test fail for every small change to core/*.c?

    python -m tests.tools.mutants [--share 1.0] [--seed 1] [--only REGEX] [--workers 2] [--list FILE] [--record]

All mutants are in one library (see core_mutants.py). Each worker collects the tests once, notes in which tests which mutant
is reached with values for which it acts otherwise, and forks a child per mutant that runs just these, the likeliest to fail
first, until one fails. A crash or a hang is a kill too. A mutant that acts otherwise in no test survives without a run: `idle`.
Survivors must be listed with a reason in firmware_bridge/firmware/survivors.toml; exit 1 when one is not, or is only listed
as not examined. One JSON object on stdout; the survivors without a reason on stderr. Needs gcc, pycparser.
"""

import argparse
import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

import firmware_bridge.firmware
from tests.tools.core_mutator import Mutant

FIRMWARE = Path(firmware_bridge.firmware.__file__).parent
OUT = FIRMWARE / "build/mutants"
LISTED = FIRMWARE / "survivors.toml"
ROOT = FIRMWARE.parent.parent
IGNORED = ("process", "avr", "qemu", "rp2040", "static", "mutants")  # they run other programs than the core here
TESTS = ["tests/unit/firmware", *(f"--ignore=tests/unit/firmware/test_{name}.py" for name in IGNORED)]
PYTEST = [
    *("-q", "--tb=no", "-p", "no:cacheprovider", "-p", "no:faulthandler"),
    *("-o", "addopts=--import-mode=importlib", "-o", "timeout=0"),
]
KILLED, HUNG = "killed", "hung"
SURVIVED, IDLE, NOT_REACHED = "survived", "idle", "not_reached"
NOT_EXAMINED = "not examined yet"
ACTED = 3  # what sc_reached says of a mutant that was reached and made a difference there
LENGTHY_S, FEW = 0.03, 2
HEADER = """\
# Mutants of core/*.c that no test kills, and why that is right; `make mutants` fails for any other. A key names file, function,
# what it was, what it becomes, and which of several such places.
"""
PATIENCE_S = 2.0  # of processor time for one test; the longest needs a tenth of it


@dataclass
class Seen:
    """One test: which mutants it reaches, and with effect; how long it takes, how many it has killed in which function."""

    item: pytest.Item
    reaches: bytes
    took_s: float
    kills: Counter[str] = field(default_factory=Counter)

    def promise(self, place: str) -> float:
        """Kills to be hoped for in a second: most where it has killed before."""
        return (self.kills[place] + 0.05) / self.took_s


class MutantRun:
    """A pytest plugin that runs the collected tests once per mutant instead of once."""

    def __init__(self, places: dict[int, str], results: Path) -> None:
        self._places, self._results = places, results
        library: Any = ctypes.CDLL(os.environ["STATION_CORE_LIBRARY"])
        self._choice = ctypes.c_int.in_dll(library, "sc_mutant")
        points = int(os.environ["STATION_MUTANTS"])
        self._reached = (ctypes.c_ubyte * points).in_dll(library, "sc_reached")
        self._failed = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._failed = self._failed or report.failed

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        seen = _a_few_of_each([self._first_look(item) for item in session.items])
        if self._failed:
            raise pytest.UsageError("the tests fail without any mutant")
        with self._results.open("w") as out:
            for number, place in self._places.items():
                out.write(f"{number} {self._judge(number, place, seen)}\n")
                out.flush()
        return True

    def _first_look(self, item: pytest.Item) -> Seen:
        ctypes.memset(self._reached, 0, len(self._reached))
        began = time.process_time()
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        return Seen(item, bytes(self._reached), time.process_time() - began)

    def _judge(self, number: int, place: str, seen: list[Seen]) -> str:
        concerned = [test for test in seen if test.reaches[number] == ACTED]
        if not concerned:
            return IDLE if any(test.reaches[number] for test in seen) else NOT_REACHED
        concerned.sort(key=lambda test: -test.promise(place))
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            self._live(number, concerned, writing)
        os.close(writing)
        killer = os.read(reading, 8)
        os.close(reading)
        _, status = os.waitpid(child, 0)
        if killer:
            concerned[int.from_bytes(killer, "little")].kills[place] += 1
        if os.WIFSIGNALED(status):
            return HUNG if os.WTERMSIG(status) == signal.SIGPROF else KILLED
        return KILLED if os.WEXITSTATUS(status) else SURVIVED

    def _live(self, number: int, tests: list[Seen], writing: int) -> None:
        """In the child: never returns."""
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends a loop in C too
        self._choice.value = number
        for index, test in enumerate(tests):
            signal.setitimer(signal.ITIMER_PROF, PATIENCE_S)
            test.item.config.hook.pytest_runtest_protocol(item=test.item, nextitem=None)
            if self._failed:
                os.write(writing, index.to_bytes(4, "little"))
                os._exit(1)
        os._exit(0)


def _a_few_of_each(seen: list[Seen]) -> list[Seen]:
    """Of a test that is played over many seeds or cases at length, only some: a survivor costs every one of them."""
    kept: list[Seen] = []
    lengthy: dict[str, int] = {}
    for test in seen:
        if test.took_s > LENGTHY_S:
            name = test.item.nodeid.split("[")[0]
            lengthy[name] = lengthy.get(name, 0) + 1
            if lengthy[name] > FEW:
                continue
        kept.append(test)
    return kept


def work(places: dict[int, str], results: Path) -> int:
    return int(pytest.main([*PYTEST, *TESTS], plugins=[MutantRun(places, results)]))


def run_workers(chosen: list[Mutant], library: Path, points: int, workers: int) -> dict[int, str]:
    environment = os.environ | {"STATION_CORE_LIBRARY": str(library), "STATION_MUTANTS": str(points)}
    children: list[tuple[subprocess.Popen[str], Path]] = []
    for n in range(workers):
        results = OUT / f"results{n}.txt"
        results.unlink(missing_ok=True)
        share = json.dumps([(m.number, f"{m.file} {m.function}") for m in chosen[n::workers]])
        command = [sys.executable, "-m", "tests.tools.mutants", "--work", str(results)]
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment, cwd=ROOT, text=True
        )
        assert child.stdin is not None
        child.stdin.write(share)
        child.stdin.close()
        children.append((child, results))
    verdicts: dict[int, str] = {}
    for child, results in children:
        if child.wait() != 0:
            raise SystemExit("the tests do not pass on the core without a mutant, or a worker ended early")
        verdicts |= {int(n): verdict for n, verdict in (line.split() for line in results.read_text().splitlines())}
    return verdicts


def listed(path: Path) -> dict[str, str]:
    """Key of each survivor that is justified, with its reason."""
    if not path.exists():
        return {}
    groups = tomllib.loads(path.read_text()).get("survivor", [])
    return {key: group["because"] for group in groups for key in group["mutants"]}


def record(path: Path, new: list[str], gone: set[str]) -> None:
    """Writes the list anew: without those that are gone, with the new ones at the end as not examined."""
    reasons = {key: because for key, because in listed(path).items() if key not in gone}
    reasons |= dict.fromkeys(new, NOT_EXAMINED)
    groups: dict[str, list[str]] = {}
    for key, because in reasons.items():
        groups.setdefault(because, []).append(key)
    groups[NOT_EXAMINED] = sorted(groups.pop(NOT_EXAMINED, []))
    with path.open("w") as out:
        out.write(HEADER)
        for because, keys in groups.items():
            lines = "".join(f"    {json.dumps(key)},\n" for key in keys)
            if keys:
                out.write(f"\n[[survivor]]\nbecause = {json.dumps(because)}\nmutants = [\n{lines}]\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="of the mutants, drawn by the seed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=re.compile, default=re.compile(""), help="those whose key matches")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--list", type=Path, default=LISTED, help="justified survivors")
    parser.add_argument(
        "--record", action="store_true", help="list the others as not examined yet, and drop what is killed now"
    )
    parser.add_argument("--work", type=Path, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work is not None:
        return work(dict(json.load(sys.stdin)), options.work)
    from tests.tools.core_mutants import build

    began = time.monotonic()
    library, mutants = build(FIRMWARE, OUT)
    drawn = Random(options.seed).sample(range(len(mutants)), round(options.share * len(mutants)))
    chosen = [mutants[n] for n in sorted(drawn) if options.only.search(mutants[n].key)]
    verdicts = run_workers(chosen, library, len(mutants), options.workers)
    said, open_cases, gone = judged({m.key: verdicts.get(m.number) for m in mutants}, listed(options.list))
    if options.record:
        record(options.list, list(open_cases), gone)
    for key, verdict in open_cases.items():
        print(f"{verdict:12} {key}", file=sys.stderr)
    print(json.dumps(said | {"seconds": round(time.monotonic() - began, 1)}))
    return 1 if open_cases else 0


def judged(verdicts: dict[str, str | None], known: dict[str, str]) -> tuple[dict[str, Any], dict[str, str], set[str]]:
    """What is said of a run; the survivors without a reason; what is listed but was killed or is no mutant any more."""
    run = {key: verdict for key, verdict in verdicts.items() if verdict is not None}
    counts = {name: list(run.values()).count(name) for name in (KILLED, HUNG, SURVIVED, IDLE, NOT_REACHED)}
    alive = {key: verdict for key, verdict in run.items() if verdict not in (KILLED, HUNG)}
    justified = {key for key in alive if known.get(key, NOT_EXAMINED) != NOT_EXAMINED}
    gone = {key for key in known if key not in verdicts or (key in run and key not in alive)}
    dead = counts[KILLED] + counts[HUNG]
    said = {
        "schema": "bridge.mutants/2",
        "mutants": len(verdicts),
        "run": len(run),
        **counts,
        "score": round(dead / max(len(run), 1), 4),
        "justified": len(justified),
        "not_examined": sum(known.get(key) == NOT_EXAMINED for key in alive),
        "unlisted": len(alive.keys() - known.keys()),
        "no_longer_alive": sorted(gone),
    }
    return said, {key: verdict for key, verdict in alive.items() if key not in justified}, gone


if __name__ == "__main__":
    sys.exit(main())
