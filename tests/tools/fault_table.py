"""Plays the fault matrix in virtual time and prints its table: `python -m tests.tools.fault_table [--write] [--json]`.

`--write` puts it into firmware_bridge/PROTOCOL.md, between the marks. Exit 1 when an invariant was broken.
"""

import argparse
import json
import sys
from pathlib import Path

from firmware_bridge.messages import Fired, NotFired, Refused, Unanswered
from tests.tools.fault_cases import MATRIX, Case, Result, play

PROTOCOL = Path(__file__).parents[2] / "firmware_bridge" / "PROTOCOL.md"
BEGIN, END = "<!-- fault matrix: written by tests.tools.fault_table -->", "<!-- end of the fault matrix -->"
HEADING = (
    "| fault | injected | times | diverts | fired | refused | not fired | unconfirmed | broken |",
    "|---|---|---|---|---|---|---|---|---|",
)


def counts(result: Result) -> dict[str, int]:
    finals = list(result.line.world.finals.values())
    kinds = {"fired": Fired, "refused": Refused, "not_fired": NotFired, "unconfirmed": Unanswered}
    return {
        "times": result.times,
        "diverts": len(result.line.world.commands),
        **{name: sum(isinstance(final, kind) for final in finals) for name, kind in kinds.items()},
        "broken": len(result.problems),
    }


def row(case: Case, figures: dict[str, int]) -> str:
    return f"| {case.fault} | {case.injected} | " + " | ".join(str(n) for n in figures.values()) + " |"


def written_rows(text: str) -> list[tuple[str, str]]:
    """(fault, injected) of each row that stands in PROTOCOL.md."""
    table = text[text.index(BEGIN) : text.index(END)].splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:3]] for line in table if line.startswith("|")]
    return [(fault, injected) for fault, injected in cells[len(HEADING) :]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="into PROTOCOL.md")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    options = parser.parse_args()
    results = [play(case) for case in MATRIX]
    figures = [counts(result) for result in results]
    table = [*HEADING, *(row(result.case, one) for result, one in zip(results, figures, strict=True))]
    broken = [f"{result.case.name}: {problem.what}" for result in results for problem in result.problems]
    if options.write:
        text = PROTOCOL.read_text()
        before, after = text[: text.index(BEGIN)], text[text.index(END) :]
        PROTOCOL.write_text("\n".join([before + BEGIN, "", *table, "", after]))
    if options.json:
        cases = [{"case": result.case.name, **one} for result, one in zip(results, figures, strict=True)]
        sys.stdout.write(json.dumps({"schema": "bridge.faults/1", "cases": cases, "broken": broken}) + "\n")
    else:
        sys.stdout.write("\n".join([*table, *broken]) + "\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
