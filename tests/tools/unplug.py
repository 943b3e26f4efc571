"""Cable and camera out and in again, many times in one run: nothing leaks, and the link is ready again soon.

    python -m tests.tools.unplug [--cycles 20]            a whole demo: cable and camera in turn, seen from outside
    python -m tests.tools.unplug --link [--cycles 100]    link and simulated device alone

Threads, descriptors and memory of the process are read from /proc: of the demo each time its page says that all is well
before the next fault, of the link after each re-plug. One JSON object on stdout; exit 1 when something grew, when the
station did not recover each time, or (--link) when a re-plug took 2 s or longer.
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from firmware_bridge.conversation import SessionSettings
from firmware_bridge.link import SerialController
from firmware_bridge.messages import LinkState
from firmware_bridge.serial_port import SerialTransport
from firmware_bridge.session import Session
from tests.tools.faults import free_port, start_demo
from tests.tools.onlooker import SocketViewer

READY_WITHIN_MS = 2000.0
CYCLE_S, FIRST_S = 8.0, 6.0  # of one cable and one camera fault; healthy for 2.5 s before each
GROWTH_KIB = 200.0  # a cycle, in the second half of the run: caches have filled by then


def measured(pid: int | str) -> dict[str, int]:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {
        "threads": int(status["Threads"]),
        "descriptors": len(list(Path(f"/proc/{pid}/fd").iterdir())),
        "rss_kib": int(status["VmRSS"].split()[0]),
    }


def growth(samples: list[dict[str, int]]) -> dict[str, Any]:
    """First, last, all of the memory, and by how much each rose per sample over the second half.

    The median of the slopes of all pairs (Theil-Sen): one allocation that stays is a step, not a growth.
    """
    late = samples[len(samples) // 2 :]
    pairs = [(a, b) for a in range(len(late)) for b in range(a + 1, len(late))]
    slope = {
        key: round(median([(late[b][key] - late[a][key]) / (b - a) for a, b in pairs] or [0.0]), 3)
        for key in ("threads", "descriptors", "rss_kib")
    }
    return {
        "samples": len(samples),
        "first": samples[0],
        "last": samples[-1],
        "rss_kib": [each["rss_kib"] for each in samples],
        "per_sample_late": slope,
    }


def leaks(found: dict[str, Any]) -> list[str]:
    first, last = found["first"], found["last"]
    wrong = [
        f"{key} grew from {first[key]} to {last[key]}" for key in ("threads", "descriptors") if last[key] > first[key]
    ]
    if found["per_sample_late"]["rss_kib"] > GROWTH_KIB:
        wrong.append(f"memory grows by {found['per_sample_late']['rss_kib']} KiB a time")
    return wrong


# -- the whole station ----------------------------------------------------------------------------------------------------


def demo(cycles: int) -> dict[str, Any]:
    flags = ["--for", f"{FIRST_S + cycles * CYCLE_S:g}s", "--feed", "10"]
    for n in range(cycles):
        at_s = FIRST_S + n * CYCLE_S
        flags += ["--fault", f"cable@{at_s:g}+1", "--fault", f"camera@{at_s + CYCLE_S / 2:g}+1"]
    with TemporaryDirectory() as scratch:
        folder, port = Path(scratch), free_port()
        process = start_demo(folder, "run", port, flags)
        viewer = SocketViewer(port)
        samples, was_well = watch(process, viewer)
        printed, _ = process.communicate(timeout=300)
        viewer.close()
        if process.returncode != 0:
            return {"wrong": [f"exit code {process.returncode}: {(folder / 'run.stderr').read_text()[-400:]}"]}
        report = json.loads(printed)
    found = growth(samples)
    figures = {key: report[key] for key in ("ledger_balanced", "late_fires", "wrong_fires", "history_lost")}
    wrong = leaks(found)
    if was_well < 2 * cycles:
        wrong.append(f"well again only {was_well} times of {2 * cycles}")
    wrong += [f"{key} is {figures[key]}" for key, good in _GOOD.items() if figures[key] != good]
    return {**found, "well_again": was_well, **figures, "items": report["items"], "wrong": wrong}


_GOOD = {"ledger_balanced": True, "late_fires": 0, "wrong_fires": 0, "history_lost": 0}


def watch(process: subprocess.Popen[str], viewer: SocketViewer) -> tuple[list[dict[str, int]], int]:
    """A sample a second into each healthy time; how often it became well after it had not been."""
    samples: list[dict[str, int]] = []
    recovered, since, sampled = 0, None, False
    begun = False
    while process.poll() is None:
        if not viewer.good_enough:
            since, sampled = None, False
        elif since is None:
            since = time.monotonic()
            recovered += begun
            begun = True
        elif not sampled and time.monotonic() - since > 1.0:
            sampled = True
            samples.append(measured(process.pid))
        time.sleep(0.05)
    return samples, recovered


# -- the link alone -------------------------------------------------------------------------------------------------------


def link(cycles: int) -> dict[str, Any]:
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        words = [sys.executable, "-m", "firmware_bridge.virtual_device", "--device", str(folder / "device")]
        words += ["--link", str(folder / "port")]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as device:
            assert device.stdin is not None
            assert device.stdout is not None
            device.stdout.readline()
            times, samples = unplug_often(device, folder, cycles)
            device.stdin.write("quit\n")
            device.stdin.close()
    found = growth(samples)
    slowest = sorted(times)[-1]
    wrong = leaks(found) + ([f"ready again after {slowest:.0f} ms"] if slowest >= READY_WITHIN_MS else [])
    middle = sorted(times)[len(times) // 2]
    ready = {"n": len(times), "p50": round(middle), "max": round(slowest)}
    return {**found, "ready_again_ms": ready, "wrong": wrong}


def unplug_often(
    device: "subprocess.Popen[str]", folder: Path, cycles: int
) -> tuple[list[float], list[dict[str, int]]]:
    controller = SerialController(SerialTransport(str(folder / "port")), Session(SessionSettings(20_000)))
    ending = threading.Event()

    def turn() -> None:
        while not ending.is_set():
            controller.wait(0.002)
            controller.poll(time.monotonic_ns())

    thread = threading.Thread(target=turn, daemon=True)
    thread.start()
    times, samples = [], []
    await_state(controller, ready=True)
    for n in range(cycles):
        out_s = 0.1 + (n % 10) * 0.3  # from a loose contact to a person with a cable in the hand
        assert device.stdin is not None
        device.stdin.write(f"unplug {out_s}\n")
        device.stdin.flush()
        await_state(controller, ready=False)
        await_state(controller, ready=True)
        ready_ns = time.monotonic_ns()
        notes = [json.loads(line) for line in (folder / "device").read_text().splitlines()]
        times.append((ready_ns - [row["at_ns"] for row in notes if row["what"] == "plugged"][-1]) / 1e6)
        samples.append(measured("self"))
    ending.set()
    thread.join(2.0)
    controller.close()
    return times, samples


def await_state(controller: SerialController, *, ready: bool) -> None:
    deadline = time.monotonic() + 30.0
    while (controller.status().state is LinkState.READY) is not ready:
        if time.monotonic() > deadline:
            raise SystemExit(f"the link stays {controller.status().state.value}")
        time.sleep(0.002)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, help="how often each is unplugged (20; with --link 100)")
    parser.add_argument("--link", action="store_true", help="link and simulated device alone, without a camera")
    options = parser.parse_args()
    cycles = options.cycles or (100 if options.link else 20)
    row = link(cycles) if options.link else demo(cycles)
    what = "link" if options.link else "demo"
    print(
        json.dumps(
            {"schema": "station.unplug/1", "what": what, "cycles": cycles, **row, "ok": not row["wrong"]}, indent=1
        )
    )
    return 1 if row["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
