"""Tells the service manager that the station is up, what it does, and that its loop still turns: sd_notify(3).

Knows the socket systemd names and its few words. Knows nothing of the loop; outside a service it says nothing.
"""

import os
import socket
from collections.abc import Mapping

from station.errors import ConfigError

SHORTEST_WATCHDOG_US = 3_000_000  # it is fed about once a second


class Systemd:
    """One service's line to its manager. `turns` is a count that grows only while the sort loop turns."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Raises ConfigError for a watchdog shorter than the station can feed."""
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._watchdog_us = _watchdog_us(environ) if self._address else 0
        if 0 < self._watchdog_us < SHORTEST_WATCHDOG_US:
            raise ConfigError(
                f"the service's WatchdogSec is {self._watchdog_us / 1e6:g} s: the station answers once a second. "
                f"Use {SHORTEST_WATCHDOG_US // 1_000_000} s or more; `station service install` writes 15."
            )
        self._turns = -1

    def ready(self) -> None:
        self._tell("READY=1")

    def working(self, turns: int, words: str) -> None:
        """What `systemctl status` shows; the watchdog is fed only if the loop turned since the last time."""
        turned, self._turns = turns != self._turns, turns
        feed = ["WATCHDOG=1"] if self._watchdog_us and turned else []
        self._tell(*feed, f"STATUS={' '.join(words.split())}")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    def _tell(self, *lines: str) -> None:
        """A manager that is away or slow must not hold the station up: what cannot be sent at once is not sent."""
        if not self._address:
            return
        # A leading @ stands for the null byte of Linux's abstract names.
        name = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(
                socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
            ) as sender:
                sender.sendto("\n".join(lines).encode(), name)
        except OSError:
            return


def _watchdog_us(environ: Mapping[str, str]) -> int:
    """0 when there is none, or when it is meant for another process."""
    meant_for = environ.get("WATCHDOG_PID", "")
    if meant_for and meant_for != str(os.getpid()):
        return 0
    value = environ.get("WATCHDOG_USEC", "")
    return int(value) if value.isdecimal() else 0
