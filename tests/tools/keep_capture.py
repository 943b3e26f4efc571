"""Captures of the wire as test material: `python -m tests.tools.keep_capture [--make]`.

Lives every capture in tests/unit/firmware_bridge/captures again and writes what replies it gives beside it; prints what
changes. `--make` also makes the two that come from virtual time anew (needed when the wire's layout changes).
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from firmware_bridge.conversation import SessionSettings
from firmware_bridge.loopback import CLEAN, SteppedController, WireFaults
from firmware_bridge.messages import Accepted, Disarmed, Fired, LinkChanged, NotFired, Refused, Reply, Unanswered
from firmware_bridge.session import Session
from firmware_bridge.trace import CaptureWriter, read_capture, replay
from tests.unit.firmware_bridge.bench import CONFIG, Bench

FOLDER = Path(__file__).parents[1] / "unit" / "firmware_bridge" / "captures"
MADE = {"good_day": CLEAN, "bad_line": WireFaults.all(0.05)}


def ends_of(path: Path) -> dict[str, Any]:
    replies = replay(read_capture(path), Session(SessionSettings(sync_bound_us=5000)))
    return {"replies": [line for reply in replies if (line := _line(reply))]}


def _line(reply: Reply) -> str:
    match reply:
        case Accepted():
            return f"accepted {reply.command_id}"
        case Fired():
            return (
                f"fired {reply.command_id}, on error {reply.on_error_us} us, counts {reply.on_count}..{reply.off_count}"
            )
        case NotFired():
            return f"missed {reply.command_id}: {reply.reason.name}"
        case Refused():
            return f"refused {reply.command_id}: {reply.refusal.name}"
        case Unanswered():
            return f"unanswered {reply.command_id}"
        case Disarmed():
            return f"disarmed: {reply.reason.name}"
        case LinkChanged():
            return f"link {reply.state.value}"
        case _:
            return ""


def make(path: Path, faults: WireFaults) -> None:
    """Armed, ten commands, a stop, and a restart of the device."""
    path.unlink(missing_ok=True)
    bench, capture = Bench(faults, sync_bound_us=5000), CaptureWriter(path)
    bench.controller = SteppedController(bench.cable, bench.session, capture)
    bench.controller.configure(CONFIG)
    bench.run(0.6)
    bench.run(0.2, every_ms=20, submit=lambda _: bench.ahead())
    bench.controller.stop()
    bench.run(0.3)
    bench.run(0.1, every_ms=20, submit=lambda _: bench.ahead_counts())
    bench.device.reboot(bench.now_ns)
    bench.run(0.6)
    capture.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make", action="store_true", help="make the captures from virtual time anew")
    options = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    if options.make:
        for name, faults in MADE.items():
            make(FOLDER / f"{name}.jsonl", faults)
    for path in sorted(FOLDER.glob("*.jsonl")):
        kept, now = path.with_suffix(".expected.json"), ends_of(path)
        before = set(json.loads(kept.read_text())["replies"]) if kept.exists() else set()
        for line in sorted(before.symmetric_difference(now["replies"])):
            sys.stdout.write(f"{path.stem}: {'-' if line in before else '+'} {line}\n")
        kept.write_text(json.dumps(now, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
