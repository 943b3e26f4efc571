"""Reads `gcov -b` on stdin and judges the core: every line, 95 % of the branches. A row per file; exit 1 below the limits."""

import re
import sys

LINES, BRANCHES = 100.0, 95.0
FILE = re.compile(
    r"File '(.*)'\nLines executed:([\d.]+)% of (\d+)\n(?:Branches executed:.*\nTaken at least once:([\d.]+)% of (\d+))?"
)


def main() -> int:
    taken = branches = 0.0
    all_lines = True
    for path, lines, _, share, n in FILE.findall(sys.stdin.read()):
        if not path.startswith("core/"):
            continue
        all_lines = all_lines and float(lines) >= LINES
        taken += float(share or 0) / 100 * int(n or 0)
        branches += int(n or 0)
        print(f"{path:24} lines {float(lines):6.2f} %   branches {float(share or 100):6.2f} % of {n or 0}")
    whole = 100 * taken / max(branches, 1)
    good = all_lines and whole >= BRANCHES
    verdict = "ok" if good else "BELOW THE LIMITS"
    print(f"core: {'every' if all_lines else 'NOT every'} line, {whole:.1f} % of {branches:.0f} branches; {verdict}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
