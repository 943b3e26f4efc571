"""A host that does nothing but arm a controller and open its gates: `python -m tests.tools.lone_host PORT`.

For tests that stop or kill a host: prints one JSON line when armed and one for every final reply; ends only by a signal.
"""

import json
import sys
import time

from firmware_bridge.conversation import SessionSettings
from firmware_bridge.link import SerialController
from firmware_bridge.messages import (
    Disarmed,
    DivertCommand,
    DuringTime,
    Fired,
    LinkState,
    NotFired,
    Refused,
    Unanswered,
)
from firmware_bridge.serial_port import SerialTransport
from firmware_bridge.session import Session
from tests.unit.firmware_bridge.bench import CONFIG, MS

EVERY_NS = 30 * MS


def say(**values: object) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def main() -> None:
    controller = SerialController(SerialTransport(sys.argv[1]), Session(SessionSettings(sync_bound_us=50_000)))
    controller.configure(CONFIG)
    lease, number, next_ns, was_armed = 0, 0, 0, False
    while True:
        controller.wait(0.002)
        now_ns = time.monotonic_ns()
        for reply in controller.poll(now_ns):
            if isinstance(reply, Fired | Refused | NotFired | Unanswered):
                say(id=reply.command_id, end=type(reply).__name__)
            elif isinstance(reply, Disarmed):
                say(disarmed=reply.reason.name)
        state = controller.status().state
        if state is LinkState.READY:
            controller.arm()
        if state is LinkState.ARMED and not was_armed:
            say(armed=True)
        was_armed = state is LinkState.ARMED
        lease += 1
        controller.renew_lease(lease)
        if was_armed and now_ns >= next_ns:
            next_ns, number = now_ns + EVERY_NS, number + 1
            start_ns = now_ns + 200 * MS
            controller.submit(DivertCommand(number, 1 << number % 8, DuringTime(start_ns, start_ns + 60 * MS)), now_ns)


if __name__ == "__main__":
    main()
