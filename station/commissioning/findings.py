"""One finding of a check: what was looked at, how it is, and the fix. Knows no check."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum


class Verdict(Enum):
    PASS = "pass"
    WARN = "warn"  # works today, will hurt some day; or cannot be checked now
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    check: str  # what was looked at, the same word every time: a program may wait for it
    verdict: Verdict
    message: str
    fix: str = ""  # a command or a deed; empty for a pass

    def to_json(self) -> dict[str, str]:
        return {**asdict(self), "verdict": self.verdict.value}


def passed(check: str, message: str) -> Finding:
    return Finding(check, Verdict.PASS, message)


def warned(check: str, message: str, fix: str) -> Finding:
    return Finding(check, Verdict.WARN, message, fix)


def failed(check: str, message: str, fix: str) -> Finding:
    return Finding(check, Verdict.FAIL, message, fix)


def worst(findings: Sequence[Finding]) -> Verdict:
    order = list(Verdict)
    return max((finding.verdict for finding in findings), key=order.index, default=Verdict.PASS)


def as_text(findings: Sequence[Finding]) -> str:
    """One line per finding, its fix below it; a word says the verdict, never a colour alone."""
    lines = []
    for finding in findings:
        first, *more = finding.message.splitlines() or [""]
        lines.append(f"{finding.verdict.value:<4}  {finding.check}: {first}")
        lines += [f"      {line}" for line in more]
        lines += [f"      fix: {line}" for line in finding.fix.splitlines()]
    return "\n".join(lines)
