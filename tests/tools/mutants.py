"""Mutation testing of the firmware core: does some test fail for every small change to core/*.c?

    python -m tests.tools.mutants [--share 1.0] [--seed 1] [--workers 2] [--list FILE]

All mutants are in one library (see core_mutants.py). Each worker collects the tests once, notes which tests reach which mutant,
and forks a child per mutant that runs just these, the best killers first, until one fails. A crash or a hang is a kill too.
Survivors must be listed with a reason in firmware_bridge/firmware/survivors.toml; exit 1 when one is not.
One JSON object on stdout; the unlisted survivors on stderr. Needs gcc, pycparser.
"""

import argparse
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

import firmware_bridge.firmware

FIRMWARE = Path(firmware_bridge.firmware.__file__).parent
OUT = FIRMWARE / "build/mutants"
LISTED = FIRMWARE / "survivors.toml"
ROOT = FIRMWARE.parent.parent
IGNORED = ("process", "avr", "qemu")  # they run other programs
TESTS = ["tests/unit/firmware", *(f"--ignore=tests/unit/firmware/test_{name}.py" for name in IGNORED)]
PYTEST = ["-q", "-p", "no:cacheprovider", "--tb=no", "-o", "addopts=--import-mode=importlib", "-o", "timeout=0"]
NOT_REACHED, SURVIVED, KILLED, HUNG = "not_reached", "survived", "killed", "hung"
NOT_EXAMINED = "not examined yet"
LENGTHY_S, FEW = 0.03, 4
PATIENCE_S = 2.0  # of processor time for one test; the longest needs a tenth of it


@dataclass
class Seen:
    """One test: which mutants it reaches, how long it takes, how many it has killed."""

    item: pytest.Item
    reaches: bytes
    took_s: float
    kills: int = 0


class MutantRun:
    """A pytest plugin that runs the collected tests once per mutant instead of once."""

    def __init__(self, numbers: list[int], results: Path) -> None:
        self._numbers, self._results = numbers, results
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
            for number in self._numbers:
                out.write(f"{number} {self._judge(number, seen)}\n")
                out.flush()
        return True

    def _first_look(self, item: pytest.Item) -> Seen:
        ctypes.memset(self._reached, 0, len(self._reached))
        began = time.process_time()
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        return Seen(item, bytes(self._reached), time.process_time() - began)

    def _judge(self, number: int, seen: list[Seen]) -> str:
        concerned = [test for test in seen if test.reaches[number]]
        if not concerned:
            return NOT_REACHED
        concerned.sort(key=lambda test: (-test.kills, test.took_s))
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            self._live(number, concerned, writing)
        os.close(writing)
        killer = os.read(reading, 8)
        os.close(reading)
        _, status = os.waitpid(child, 0)
        if killer:
            concerned[int.from_bytes(killer, "little")].kills += 1
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


def work(numbers: list[int], results: Path) -> int:
    return int(pytest.main([*PYTEST, *TESTS], plugins=[MutantRun(numbers, results)]))


def run_workers(numbers: list[int], library: Path, points: int, workers: int) -> dict[int, str]:
    environment = os.environ | {"STATION_CORE_LIBRARY": str(library), "STATION_MUTANTS": str(points)}
    children: list[tuple[subprocess.Popen[str], Path]] = []
    for n in range(workers):
        results = OUT / f"results{n}.txt"
        results.unlink(missing_ok=True)
        share = json.dumps(numbers[n::workers])
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


def record(path: Path, keys: list[str]) -> None:
    """A group of its own at the end, to be looked into; a run after this one only fails for new survivors."""
    if not keys:
        return
    lines = "".join(f"    {json.dumps(key)},\n" for key in keys)
    with path.open("a") as out:
        out.write(f'\n[[survivor]]\nbecause = "{NOT_EXAMINED}"\nmutants = [\n{lines}]\n')


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="of the mutants, drawn by the seed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--list", type=Path, default=LISTED, help="justified survivors")
    parser.add_argument(
        "--record", action="store_true", help="list the survivors that are not listed as not examined yet"
    )
    parser.add_argument("--work", type=Path, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work is not None:
        return work(json.load(sys.stdin), options.work)
    from tests.tools.core_mutants import build  # pycparser is needed only here

    began = time.monotonic()
    library, mutants = build(FIRMWARE, OUT)
    numbers = Random(options.seed).sample(range(len(mutants)), round(options.share * len(mutants)))
    verdicts = run_workers(numbers, library, len(mutants), options.workers)
    alive = {mutants[n].key: verdict for n, verdict in sorted(verdicts.items()) if verdict in (SURVIVED, NOT_REACHED)}
    known = listed(options.list)
    if options.record:
        record(options.list, [key for key in alive if key not in known])
    unlisted = {key: verdict for key, verdict in alive.items() if key not in known}
    dead_keys = {mutants[n].key for n in verdicts} - alive.keys()
    stale = sorted(key for key in known if key in dead_keys or key not in {m.key for m in mutants})
    for key, verdict in unlisted.items():
        print(f"{verdict:12} {key}", file=sys.stderr)
    counts = {verdict: list(verdicts.values()).count(verdict) for verdict in (KILLED, HUNG, SURVIVED, NOT_REACHED)}
    dead = counts[KILLED] + counts[HUNG]
    said = {
        "schema": "bridge.mutants/1",
        "mutants": len(mutants),
        "run": len(numbers),
        **counts,
        "score": round(dead / max(len(numbers), 1), 4),
        "listed": len(alive) - len(unlisted),
        "listed_but_not_examined": sum(known.get(key) == NOT_EXAMINED for key in alive),
        "unlisted": len(unlisted),
        "no_longer_alive": stale,
        "seconds": round(time.monotonic() - began, 1),
    }
    print(json.dumps(said))
    return 1 if unlisted else 0


if __name__ == "__main__":
    sys.exit(main())
