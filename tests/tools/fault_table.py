"""The fault matrix as a table: `python -m tests.tools.fault_table [--write] [--only WORD]`.

Runs every case of fault_cases in virtual time and prints a Markdown table of what was injected, how often, and what became of
the commands; `--write` puts it into firmware_bridge/PROTOCOL.md. Last comes one JSON line; nonzero when anything was broken.
"""

import argparse
import json
import sys
from pathlib import Path

from tests.tools.fault_cases import cases
from tests.tools.fault_trial import Case, Row

PAGE = Path(__file__).parents[2] / "firmware_bridge" / "PROTOCOL.md"
BEGIN = "<!-- fault matrix: written by `python -m tests.tools.fault_table --write` -->"
END = "<!-- end of the fault matrix -->"
HEAD = ("fault", "injected", "times", "commands", "fired", "refused or missed, with reason", "unconfirmed", "broken")


def line(case: Case, row: Row) -> str:
    cells = [case.kind, case.what, row.injected, row.commands, row.fired, row.told, row.unconfirmed, len(row.broken)]
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def table(results: list[tuple[Case, Row]]) -> str:
    rule = "|---|---|" + "---:|" * (len(HEAD) - 2)
    return "\n".join(["| " + " | ".join(HEAD) + " |", rule, *[line(case, row) for case, row in results]])


def written(page: str) -> list[list[str]]:
    """The rows that stand in the page."""
    between = page.split(BEGIN)[1].split(END)[0]
    rows = [each for each in between.splitlines() if each.startswith("|")][2:]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def write(text: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="replace the table in firmware_bridge/PROTOCOL.md")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    options = parser.parse_args()
    results = [(case, case.run()) for case in cases() if options.only in case.name]
    text = table(results)
    sys.stdout.write(text + "\n")
    for case, row in results:
        for broken in row.broken[:3]:
            sys.stderr.write(f"{case.name}: {broken.what}\n")
    if options.write and not options.only:
        write(text)
    broken_n = sum(len(row.broken) for _, row in results)
    short = [case.name for case, row in results if case.all_fire and row.fired != row.commands]
    figures = {
        "schema": "bridge.faults/1",
        "cases": len(results),
        "injected": sum(row.injected for _, row in results),
        "commands": sum(row.commands for _, row in results),
        "fired": sum(row.fired for _, row in results),
        "broken": broken_n,
        "not_all_fired": short,
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    return 1 if broken_n or short else 0


if __name__ == "__main__":
    sys.exit(main())
