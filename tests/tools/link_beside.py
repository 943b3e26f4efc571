"""`station bench link` while the real detector, tracker and model sort rendered frames in the same process, as fast as they go:

    python -m tests.tools.link_beside [--for 20] [--rate 100]

One JSON object on stdout: the figures of `station bench link` (against the device twin; `process_cpu_percent` is then mostly
the sorting's) and the looks per second that were sorted beside it.
"""

import argparse
import json
import sys
import threading
from typing import Any

from firmware_bridge.serial_port import SerialTransport
from station.app import device_config, set_thread_counts
from station.clock import SystemClock
from station.commissioning.link_bench import device_at
from station.commissioning.link_figures import LinkRun
from station.commissioning.throughput import BenchPlan, bench
from station.config import builtin_config
from station.recognition.artifact import load_artifact
from station.recognition.backends.choice import choose_backend
from station.recognition.backends.contract import SIZES

PLAN = BenchPlan(rounds=2)
TWIN_BOUND_US = 20_000  # an ordinary process: its clock is known as well as a busy desk allows


class Sorting:
    """The loop in a thread of its own, again and again until told to stop."""

    def __init__(self) -> None:
        self.looks_per_s: list[float] = []
        self._config = builtin_config("virtual")
        self._loaded = load_artifact("default")
        threads = self._config.recognition.threads
        set_thread_counts(threads)
        self._engine = choose_backend("auto", self._loaded, threads=threads, sizes=(*SIZES, PLAN.batch)).backend
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._sort, name="sort")

    def _sort(self) -> None:
        while not self._stopping.is_set():
            figures = bench(self._engine, self._loaded.info, self._config, PLAN, SystemClock())
            self.looks_per_s.append(float(figures["pipeline_looks_per_s"]))

    def __enter__(self) -> "Sorting":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()


def measure(seconds: float, rate_per_s: float) -> dict[str, Any]:
    sys.setswitchinterval(0.0005)  # as the station does
    clock = SystemClock()
    with Sorting() as sorting, device_at("virtual", clock) as port:
        config = device_config(builtin_config("virtual"))
        figures = LinkRun(SerialTransport(port), config, clock, TWIN_BOUND_US).measure(rate_per_s, seconds)
    return {**figures, "beside": "the loop, unthrottled", "looks_per_s_beside": sorting.looks_per_s}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--for", dest="seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=100.0, help="diverts a second")
    options = parser.parse_args()
    sys.stdout.write(json.dumps(measure(options.seconds, options.rate)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
