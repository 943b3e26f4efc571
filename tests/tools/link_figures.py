"""Figures of the link: `python -m tests.tools.link_figures loss|sync|host [--help]`. One JSON object on stdout.

loss   commands over a wire that loses or damages frames, in virtual time: how many fired once, were confirmed, were wrong.
sync   the clock estimate on models of five links, idle and loaded: error, published bound, share of samples inside it.
host   a real host against the device twin on a pseudo-terminal, in wall time: enqueue to written, acknowledged, CPU share; with
       `--beside loop` while the real detector, tracker and model sort rendered frames in the same process. A busy desk shows.
"""

import argparse
import json
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from firmware_bridge.conversation import SessionSettings
from firmware_bridge.link import SerialController
from firmware_bridge.loopback import WireFaults
from firmware_bridge.messages import (
    Accepted,
    DeviceConfig,
    DivertCommand,
    DuringTime,
    Fired,
    LinkState,
    NotFired,
    Refused,
    Unanswered,
)
from firmware_bridge.serial_port import SerialTransport
from firmware_bridge.session import Session
from tests.tools.fault_trial import Trial
from tests.tools.soak_judge import judge
from tests.unit.firmware_bridge.bench import CONFIG, MS
from tests.unit.firmware_bridge.test_clocksync import LINKS, LOADS, Model

LOSSES = (0.01, 0.05, 0.15)
SETTLED = 150  # exchanges: 15 s, the lever the rate needs
PIECE = 2000  # commands a trial: its record stays small


def quantile(values: list[float], q: float) -> float | None:
    return round(sorted(values)[min(len(values) - 1, int(q * len(values)))], 1) if values else None


# ---- loss


def loss_figures(commands: int, seed: int) -> dict[str, Any]:
    rows = []
    for p in LOSSES:
        for name, faults in (
            ("lost", WireFaults(latency_ns=500_000, jitter_ns=2 * MS, drop=p)),
            ("of everything: lost, flipped, cut, inserted, repeated", WireFaults.all(p)),
        ):
            tally: Counter[str] = Counter()
            for n in range(max(1, commands // PIECE)):
                tally += _loss_piece(faults, min(PIECE, commands), seed + n)
            rows.append({"each_way": p, "what": name, **_loss_row(tally)})
    return {"schema": "bridge.loss/1", "lead_ms": 60, "diverts_per_s": 100, "rows": rows}


def _loss_piece(faults: WireFaults, commands: int, seed: int) -> Counter[str]:
    trial = Trial(faults, seed=seed).up().work(commands / 100)
    world = trial.world
    end_ns = world.now_ns + 4_000 * MS
    while world.now_ns < end_ns and world.commands.keys() != world.finals.keys():
        world.run(0.1)
    tally = Counter(type(final).__name__ for final in world.finals.values())
    tally.update(f"broken {each.kind}" for each in judge(world) if "not armed" not in each.what)
    tally["commands"] = len(world.commands)
    tally["retries"] = world.session.commands.retries
    return tally


def _loss_row(tally: Counter[str]) -> dict[str, Any]:
    n = tally["commands"]
    return {
        "commands": n,
        "fired": tally["Fired"],
        "fired_percent": round(100 * tally["Fired"] / n, 3),
        "confirmed_percent": round(100 * (n - tally["Unanswered"]) / n, 3),
        "refused": tally["Refused"],
        "missed": tally["NotFired"],
        "unconfirmed": tally["Unanswered"],
        "retries": tally["retries"],
        **{kind: tally[f"broken {kind}"] for kind in ("double", "wrong", "late", "unaccounted", "other")},
    }


# ---- sync


def sync_figures(exchanges: int, seeds: int) -> dict[str, Any]:
    rows = []
    for link in LINKS:
        for load in LOADS:
            errors, bounds, inside, samples = [], [], 0, 0
            for seed in range(seeds):
                model = Model(LINKS[link], LOADS[load], seed, ppm=(30.0, -40.0, 2021.0, -4900.0)[seed % 4])
                for n in range(exchanges):
                    model.exchange()
                    error_us, bound_us = model.error_and_bound_us(1e9)
                    inside += error_us <= bound_us
                    samples += 1
                    if n > SETTLED:
                        errors.append(error_us)
                        bounds.append(model.error_and_bound_us()[1])
            rows.append(
                {
                    "link": link,
                    "load": load,
                    "samples": samples,
                    "error_1s_ahead_us": {"p99": quantile(errors, 0.99), "max": quantile(errors, 1.0)},
                    "bound_us": {"p50": quantile(bounds, 0.5), "p99": quantile(bounds, 0.99)},
                    "inside_bound_percent": round(100 * inside / samples, 3),
                    "may_arm_at_500_us": min(bounds) <= 500,
                }
            )
    note = "error and bound after 15 s; inside_bound over every sample from the first; models, not hardware"
    return {"schema": "bridge.sync/1", "rows": rows, "note": note}


# ---- host


@dataclass(slots=True)
class Heard:
    submitted_ns: dict[int, int] = field(default_factory=dict)
    written_us: list[float] = field(default_factory=list)
    acknowledged_us: list[float] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)


class TimedTransport(SerialTransport):
    """Notes when bytes were taken; with an empty outbox before, that is when the command just enqueued was."""

    written_ns = 0

    def write(self, data: bytes) -> int:
        taken = super().write(data)
        self.written_ns = time.perf_counter_ns()
        return taken


class Host:
    """The link's thread as the station has it, and the submitting side of the loop."""

    def __init__(self, port: str) -> None:
        self.transport = TimedTransport(port)
        self.controller = SerialController(self.transport, Session(SessionSettings(sync_bound_us=20_000)))
        self.heard = Heard()
        self.link_cpu_ns = self.submit_cpu_ns = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._link, name="link")

    def start(self, config: DeviceConfig) -> None:
        self.controller.configure(config)
        self._thread.start()
        self._lease = 0
        for _ in range(800):
            if self.controller.status().state is LinkState.READY:
                self.controller.arm()
            if self.controller.status().state is LinkState.ARMED:
                return
            self._renew()
            time.sleep(0.01)
        raise SystemExit("the twin was not armed within 8 s")

    def _link(self) -> None:
        cpu_ns = time.thread_time_ns()
        while not self._stopping.is_set():
            self.controller.wait(0.002)
            for reply in self.controller.poll(time.monotonic_ns()):
                if isinstance(reply, Accepted):
                    sent_ns = self.heard.submitted_ns.get(reply.command_id)
                    if sent_ns is not None:
                        self.heard.acknowledged_us.append((time.perf_counter_ns() - sent_ns) / 1000)
                elif isinstance(reply, Fired | Refused | NotFired | Unanswered):
                    self.heard.ends[type(reply).__name__] += 1
            self.link_cpu_ns = time.thread_time_ns() - cpu_ns

    def _renew(self) -> None:
        self._lease += 1
        self.controller.renew_lease(self._lease)

    def work(self, seconds: float, per_s: int) -> None:
        end_s, next_s, number = time.monotonic() + seconds, time.monotonic(), 0
        while time.monotonic() < end_s:
            cpu_ns = time.thread_time_ns()
            number += 1
            self._submit(number)
            if number % max(1, per_s // 50) == 0:
                self._renew()
            self.submit_cpu_ns += time.thread_time_ns() - cpu_ns
            next_s += 1 / per_s
            time.sleep(max(0.0, next_s - time.monotonic()))

    def _submit(self, number: int) -> None:
        start_ns = time.monotonic_ns() + 150 * MS
        command = DivertCommand(number, 1 << number % 8, DuringTime(start_ns, start_ns + 30 * MS))
        sent_ns = self.heard.submitted_ns[number] = time.perf_counter_ns()
        self.controller.submit(command, time.monotonic_ns())
        written_ns = self.transport.written_ns
        taken_at_once = written_ns >= sent_ns
        self.heard.written_us.append(((written_ns if taken_at_once else time.perf_counter_ns()) - sent_ns) / 1000)

    def stop(self) -> None:
        for _ in range(20):
            self._renew()
            time.sleep(0.05)
        self._stopping.set()
        self._thread.join()
        self.controller.close()


def host_figures(seconds: float, per_s: int, beside: str) -> dict[str, Any]:
    from station.clock import SystemClock
    from station.commissioning.link_bench import device_at

    sys.setswitchinterval(0.0005)  # as the station does
    sorting = Sorting() if beside == "loop" else None
    if sorting is not None:
        sorting.start()
    with device_at("virtual", SystemClock()) as port:
        host = Host(port)
        host.start(CONFIG)
        link_before_ns, began_s = host.link_cpu_ns, time.monotonic()
        host.work(seconds, per_s)
        took_s = time.monotonic() - began_s
        link_cpu_s = (host.link_cpu_ns - link_before_ns) / 1e9
        status = host.controller.status()
        host.stop()
    if sorting is not None:
        sorting.stop()
    heard = host.heard
    return {
        "schema": "bridge.host/1",
        "beside": beside,
        "looks_per_s_beside": None if sorting is None else sorting.looks_per_s,
        "seconds": round(took_s, 1),
        "commands": len(heard.submitted_ns),
        "ends": dict(heard.ends),
        "enqueue_to_written_us": {"p50": quantile(heard.written_us, 0.5), "p99": quantile(heard.written_us, 0.99)},
        "acknowledged_us": {"p50": quantile(heard.acknowledged_us, 0.5), "p99": quantile(heard.acknowledged_us, 0.99)},
        "cpu_percent": {
            "link_thread": round(100 * link_cpu_s / took_s, 2),
            "submit_and_lease": round(100 * host.submit_cpu_ns / 1e9 / took_s, 2),
        },
        "retries": status.retries,
        "round_trip_p50_us": status.round_trip_us,
        "note": "against the twin's process on a pseudo-terminal; no physical port",
    }


class Sorting:
    """The real loop over rendered frames, as fast as it goes, in a thread of this process."""

    def __init__(self) -> None:
        self.looks_per_s: float | None = None
        self._ready, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._sort, daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._ready.wait()

    def _sort(self) -> None:
        from station.app import set_thread_counts
        from station.clock import SystemClock
        from station.commissioning.throughput import BenchPlan, bench
        from station.config import builtin_config
        from station.recognition.artifact import load_artifact
        from station.recognition.backends.choice import choose_backend
        from station.recognition.backends.contract import SIZES

        config, loaded = builtin_config("virtual"), load_artifact("default")
        set_thread_counts(config.recognition.threads)
        engine = choose_backend("auto", loaded, threads=config.recognition.threads, sizes=(*SIZES, 16)).backend
        self._ready.set()
        while not self._stopping.is_set():
            figures = bench(engine, loaded.info, config, BenchPlan(rounds=2), SystemClock())
            found = figures.get("pipeline_looks_per_s", figures.get("looks_per_s"))
            self.looks_per_s = found if isinstance(found, int | float) else None

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=120)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    loss = kinds.add_parser("loss")
    loss.add_argument("--commands", type=int, default=10_000, help="per row")
    loss.add_argument("--seed", type=int, default=1)
    sync = kinds.add_parser("sync")
    sync.add_argument("--exchanges", type=int, default=1200, help="ten a second")
    sync.add_argument("--seeds", type=int, default=4)
    host = kinds.add_parser("host")
    host.add_argument("--seconds", type=float, default=20.0)
    host.add_argument("--per-s", type=int, default=100)
    host.add_argument("--beside", choices=("nothing", "loop"), default="nothing")
    options = parser.parse_args()
    if options.kind == "loss":
        figures = loss_figures(options.commands, options.seed)
    elif options.kind == "sync":
        figures = sync_figures(options.exchanges, options.seeds)
    else:
        figures = host_figures(options.seconds, options.per_s, options.beside)
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
