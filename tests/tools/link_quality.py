"""What a lossy line costs and how well the clock is known, in virtual time: `python -m tests.tools.link_quality`.

Loss: windows 60 ms ahead, 100 a second, frames lost, damaged, cut, doubled or garbled with this probability each, both ways, or
lost alone. Clock: error and published bound in every link model. Prints one JSON object; exit 1 when a promise is broken.
"""

import argparse
import json
import sys
from typing import Any

from firmware_bridge.conversation import SessionSettings
from firmware_bridge.loopback import WireFaults
from firmware_bridge.messages import LinkState
from tests.unit.firmware_bridge.bench import MS, Bench
from tests.unit.firmware_bridge.test_clocksync import LINKS, LOADS, Model

SETTLED_AFTER = 150  # exchanges: the rate needs some seconds of lever
REFUSED = "FTDI at 16 ms"
LIMIT_US = SessionSettings().sync_bound_us

LINES = {
    "2 % lost": (WireFaults(500_000, 2 * MS, drop=0.02), 1.0),
    "5 % lost": (WireFaults(500_000, 2 * MS, drop=0.05), 1.0),
    "15 % lost": (WireFaults(500_000, 2 * MS, drop=0.15), 0.998),
    "5 % of every fault": (WireFaults.all(0.05), 1.0),
    "15 % of every fault": (WireFaults.all(0.15), 0.998),
}


def loss(name: str, diverts: int, seed: int) -> dict[str, Any]:
    faults, least = LINES[name]
    bench = Bench(faults, seed=seed, sync_bound_us=5000)
    for _ in range(100):
        bench.run(0.1)
        if bench.is_in(LinkState.ARMED):
            break
    bench.run(diverts / 100, every_ms=10, submit=lambda _: bench.ahead())
    bench.run(3.0)
    problem = ""
    try:
        bench.assert_everything_accounted()
    except AssertionError as error:
        problem = str(error).splitlines()[0]
    outcomes = bench.outcomes()
    fired = outcomes["Fired"] / len(bench.commands)
    return {
        "line": name,
        "diverts": len(bench.commands),
        **{kind.lower(): n for kind, n in sorted(outcomes.items())},
        "fired_share": round(fired, 5),
        "wanted": least,
        "wrong": problem,
        "kept": fired >= least and not problem,
    }


def clock(link: str, load: str, seed: int, exchanges: int) -> dict[str, Any]:
    model = Model(LINKS[link], LOADS[load], seed=seed, ppm=30.0)
    errors, bounds, outside = [], [], 0
    for n in range(exchanges):
        model.exchange()
        for ahead_ns in (0.0, 200e6):
            error_us, bound_us = model.error_and_bound_us(ahead_ns)
            outside += error_us > bound_us
        if n > SETTLED_AFTER:
            errors.append(error_us)
            bounds.append(bound_us)
    errors.sort()
    bounds.sort()
    may_arm = bounds[len(bounds) // 2] <= LIMIT_US
    p99_us = errors[int(len(errors) * 0.99)]
    return {
        "link": link,
        "load": load,
        "error_p99_us": round(p99_us, 1),
        "error_max_us": round(errors[-1], 1),
        "bound_p50_us": round(bounds[len(bounds) // 2], 1),
        "samples": 2 * exchanges,
        "outside_bound": outside,
        "may_arm": may_arm,
        "kept": outside == 0 and (not may_arm if link == REFUSED else may_arm and p99_us <= 50),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--diverts", type=int, default=3000, help="per line")
    parser.add_argument("--exchanges", type=int, default=1200, help="per link and load, ten a second")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    lines = [loss(name, options.diverts, options.seed) for name in LINES]
    clocks = [clock(link, load, options.seed, options.exchanges) for link in LINKS for load in LOADS]
    kept = all(each["kept"] for each in (*lines, *clocks))
    sys.stdout.write(
        json.dumps({"schema": "bridge.link_quality/1", "loss": lines, "clock": clocks, "kept": kept}) + "\n"
    )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
