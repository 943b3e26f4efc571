"""The faults a run can be given, as the person writes them: NAME@T+S. Knows no one who suffers them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from station.errors import ConfigError

LINE_FAULTS = ("belt-slow", "belt-stop", "slip", "camera", "freeze")  # the line itself plays these
DEVICE_FAULTS = ("cable", "reboot")  # forwarded to the device
STATION_FAULTS = ("disk", "gpu")  # played inside the station's process
FAULT_NAMES = (*LINE_FAULTS, *DEVICE_FAULTS, *STATION_FAULTS)

_PATTERN = re.compile(r"^([a-z-]+)@(\d+(?:\.\d+)?)(?:\+(\d+(?:\.\d+)?))?$")


@dataclass(frozen=True, slots=True)
class Fault:
    name: str
    at_s: float  # after the feed began
    for_s: float

    def start_ns(self, run_start_ns: int) -> int:
        return run_start_ns + round(self.at_s * 1e9)

    def end_ns(self, run_start_ns: int) -> int:
        return run_start_ns + round((self.at_s + self.for_s) * 1e9)

    def covers(self, t_ns: int, run_start_ns: int) -> bool:
        return self.start_ns(run_start_ns) <= t_ns < self.end_ns(run_start_ns)

    def __str__(self) -> str:
        return f"{self.name}@{self.at_s:g}+{self.for_s:g}"


def parse_fault(text: str) -> Fault:
    """`cable@10+5`: from second 10, for 5 seconds. Without `+S` it lasts one second."""
    match = _PATTERN.match(text)
    if match is None or match[1] not in FAULT_NAMES:
        raise ConfigError(
            f"--fault {text!r}: expected NAME@T+S (such as belt-stop@10+5), NAME one of {', '.join(FAULT_NAMES)}."
        )
    return Fault(match[1], float(match[2]), float(match[3] or 1))
