"""A relay board on its port, asked and never told: the loop around a RelayProbe, and its figures as a report."""

from collections.abc import Callable
from typing import Any

from firmware_bridge.kept_port import Transport
from firmware_bridge.link import WireTap
from firmware_bridge.relay_probe import RelayProbe
from station.clock import Clock

TURN_S = 0.002
SCHEMA = "station.ping.relay/1"


def ask(transport: Transport, probe: RelayProbe, clock: Clock, go_on: Callable[[], bool], tap: WireTap) -> None:
    """Questions and answers until `go_on` says no. Raises PortError when the port is not there or goes away."""
    transport.open()
    try:
        while go_on():
            probe.tick(clock.now_ns())
            _write(transport, probe.outbox, clock, tap)
            transport.wait(TURN_S)
            heard = transport.read()
            if heard:
                now_ns = clock.now_ns()
                tap(now_ns, "<", heard)
                probe.receive(heard, now_ns)
    finally:
        transport.close()


def _write(transport: Transport, outbox: bytearray, clock: Clock, tap: WireTap) -> None:
    if outbox:
        taken = transport.write(bytes(outbox))
        tap(clock.now_ns(), ">", bytes(outbox[:taken]))
        del outbox[:taken]


def report(port: str, probe: RelayProbe) -> dict[str, Any]:
    """`may_arm`: nothing that can be read speaks against it; the watchdog itself is proven when it is programmed."""
    settings, trips_us = probe.settings, sorted(probe.trips_us)
    trouble = probe.trouble()
    return {
        "schema": SCHEMA,
        "port": port,
        "timing": "host",
        "device_id": settings.device_id,
        "baud": settings.baud,
        "relays_from": settings.first_coil,
        "relays": None if probe.relays is None else "".join("1" if on else "0" for on in probe.relays),
        "watchdog_register": settings.watchdog_register,
        "watchdog_ms": probe.watchdog_ms,
        "round_trip_p50_us": _share(trips_us, 0.5),
        "round_trip_p99_us": _share(trips_us, 0.99),
        "answered": probe.answered,
        "unanswered": probe.unanswered,
        "may_arm": not trouble,
        "said": trouble,
    }


def _share(ordered: list[int], share: float) -> int | None:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
