"""What the ATmega328P image does in simavr: edge latency and jitter, memory, announced sizes.

    python -m tests.tools.avr_figures [--commands 60] [--seed 1] [--count-cycles 1600]

Cycle-exact simulation at 16 MHz, the encoder running (1600 cycles a count: 10 kcounts/s): no figure depends on the machine this
runs on. Latency is pin edge minus due moment; due moments in counts come from the simulated belt, not from the device. Every
window lies well ahead. The same seed is run twice and must give the same edges to the cycle. One JSON object on stdout.
Needs gcc-avr, avr-libc, libsimavr-dev.
"""

import argparse
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from random import Random

from firmware_bridge import wire
from tests.unit.firmware.avr_board import GATES, IMAGE, Board, build
from tests.unit.firmware.rig import GATE

LEAD_US = 15_000
MATCH_US = 1900.0  # an edge belongs to the due moment nearest to it, if nearer than this (minimum hold)


@dataclass(frozen=True)
class Due:
    command_id: int
    gate: int
    level: int
    at_us: float
    mode: str


@dataclass
class Run:
    board: Board
    hello: wire.HelloReply
    due: list[Due]
    refused: int
    close: int = 0  # accepted, but too short before their moment to be judged: a frame had to be sent again


def drive(commands: int, seed: int, count_cycles: int) -> Run:
    """Windows in time and counts on all gates, as close as the small queue takes them; lease and sync as a host sends them."""
    random = Random(seed)
    board = Board()
    board.count_cycles = count_cycles
    run = Run(board, board.arm(), [], 0)
    free_us = [0.0] * GATES
    board.run(50)
    for n in range(1, commands + 1):
        board.lease()
        board.run(5)
        board.send(wire.Sync(n))
        board.run(5)
        sample = board.until(wire.Encoder)
        assert isinstance(sample, wire.Encoder)
        gate = min(range(GATES), key=lambda g: free_us[g])
        start_us = max(sample.at_us + random.uniform(60_000, 90_000), free_us[gate] + 25_000)
        end_us = start_us + random.uniform(15_000, 60_000)
        free_us[gate] = end_us
        command, start_us, end_us = _command(board, n, gate, (start_us, end_us), count_mode=random.random() < 0.5)
        answer = board.send_until(command, wire.Answer)
        assert isinstance(answer, wire.Answer)
        if answer.answer == 0 and start_us - GATE.opening_delay_us < answer.now_us + LEAD_US:
            run.close += 1
        elif answer.answer == 0:
            mode = "count" if command.mode == wire.MODE_COUNT else "time"
            run.due += [Due(n, gate, 1, start_us - GATE.opening_delay_us, mode)]
            run.due += [Due(n, gate, 0, end_us - GATE.closing_delay_us, mode)]
        else:
            run.refused += 1
        board.run(random.uniform(8, 20))
    for _ in range(6):
        board.lease()
        board.run(50)
    return run


def _command(
    board: Board, n: int, gate: int, window_us: tuple[float, float], count_mode: bool
) -> tuple[wire.Divert, float, float]:
    """The command and its window on the device's clock."""
    if not count_mode:
        start, end = round(window_us[0]), round(window_us[1])
        return wire.Divert(n, 1 << gate, wire.MODE_TIME, start, end), start, end
    us_per_count = board.count_us(2) - board.count_us(1)
    first = round((window_us[0] - board.count_us(0)) / us_per_count)
    last = round((window_us[1] - board.count_us(0)) / us_per_count)
    command = wire.Divert(n, 1 << gate, wire.MODE_COUNT, first, last)
    return command, board.count_us(first), board.count_us(last)


def errors_us(run: Run) -> tuple[dict[str, list[float]], int, int]:
    """Edge minus due for each kind of edge; due moments without an edge; edges without one."""
    edges = [(pin, level, us) for pin, level, us in run.board.edges if pin < GATES]
    found: dict[str, list[float]] = {f"{mode}_{edge}": [] for mode in ("time", "count") for edge in ("on", "off")}
    missing = 0
    for due in run.due:
        near = [e for e in edges if e[:2] == (due.gate, due.level) and abs(e[2] - due.at_us) < MATCH_US]
        if not near:
            missing += 1
            continue
        edges.remove(near[0])
        found[f"{due.mode}_{'on' if due.level else 'off'}"].append(near[0][2] - due.at_us)
    return found, missing, len(edges)


def spread(errors: list[float]) -> dict[str, float]:
    if not errors:
        return {"n": 0}
    low, high = min(errors), max(errors)
    mean = sum(errors) / len(errors)
    return {
        "n": len(errors),
        "latency_us": round(mean, 1),
        "jitter_pp_us": round(high - low, 1),
        "max_us": round(high, 1),
    }


def memory() -> dict[str, int]:
    said = subprocess.run(
        ["avr-size", "-C", "--mcu=atmega328p", str(IMAGE)], check=True, capture_output=True, text=True
    )
    sizes = dict(re.findall(r"(Program|Data):\s+(\d+) bytes", said.stdout))
    return {"flash_bytes": int(sizes["Program"]), "flash_of": 32768, "data_bytes": int(sizes["Data"]), "ram_of": 2048}


def figures(commands: int, seed: int, count_cycles: int) -> dict[str, object]:
    build()
    run, again = drive(commands, seed, count_cycles), drive(commands, seed, count_cycles)
    found, missing, extra = errors_us(run)
    everything = [error for errors in found.values() for error in errors]
    fired = [e for e in run.board.events if e.kind == wire.EVENT_FIRED]
    sizes = memory()
    return {
        "schema": "bridge.avr/1",
        "counts_per_s": round(16e6 / count_cycles),
        "commands": commands,
        "refused": run.refused,
        "not_judged": run.close,
        "fired": len(fired),
        "edges": spread(everything) | {"missing": missing, "unexplained": extra},
        "by_kind": {kind: spread(errors) for kind, errors in found.items()},
        "reported_error_us": {"max": max((e.extra for e in fired), default=0)},
        "main_loop_us": dict(zip(("mean", "max"), (round(us) for us in run.board.pass_us()), strict=True)),
        "resent": run.board.resent,
        "identical": run.board.edges == again.board.edges and run.board.events == again.board.events,
        "memory": sizes
        | {"stack_bytes": run.board.stack_bytes, "free_bytes": 2048 - sizes["data_bytes"] - run.board.stack_bytes},
        "announced": {
            "gates": run.hello.gates,
            "queue": run.hello.queue_depth,
            "ids": run.hello.id_memory,
            "event_ring": run.hello.event_ring,
        },
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count-cycles", type=int, default=1600, help="16 MHz cycles per encoder count")
    options = parser.parse_args()
    print(json.dumps(figures(options.commands, options.seed, options.count_cycles)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
