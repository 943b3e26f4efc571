"""Which of this computer's ports has a controller behind it: those that may are greeted, the one that answers is it.

Knows ports and the session; which ports may be greeted unasked is the business of boards.py.
Reads no clock: the caller hands one in.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from firmware_bridge.boards import may_be_greeted
from firmware_bridge.errors import PortError
from firmware_bridge.link import SerialController
from firmware_bridge.messages import Capabilities
from firmware_bridge.serial_port import AUTO, PortInfo, PortSettings, SerialTransport, list_serial_ports

ANSWER_WITHIN_NS = 2_500_000_000
"""A board that restarts when its port is opened needs its bootloader's time."""

_TURN_S = 0.01


@dataclass(frozen=True, slots=True)
class Found:
    port: PortInfo
    device: Capabilities | None
    problem: str = ""  # why nothing can be said: taken, not allowed, another version


def candidates(also: Sequence[str] = (), ports: Sequence[PortInfo] | None = None) -> list[PortInfo]:
    """The ports that may be greeted unasked: known boards, and the VID:PID pairs that the configuration names."""
    known = list_serial_ports() if ports is None else ports
    return [port for port in known if may_be_greeted(port.vid, port.pid, also)]


def find(
    now_ns: Callable[[], int], settings: PortSettings | None = None, ports: Sequence[PortInfo] | None = None
) -> list[Found]:
    """Greet these ports at once, by default those that `candidates` gives; takes up to 2.5 s. Arms and configures nothing."""
    greeted = candidates() if ports is None else ports
    asked = [(port, SerialController(SerialTransport(port.device, settings))) for port in greeted]
    said: dict[str, str] = {}
    deadline_ns = now_ns() + ANSWER_WITHIN_NS
    while now_ns() < deadline_ns and any(controller.capabilities() is None for _, controller in asked):
        for port, controller in asked:
            controller.wait(_TURN_S / len(asked))
            for reply in controller.poll(now_ns()):
                said[port.device] = getattr(reply, "detail", "")
    for _, controller in asked:
        controller.close()
    return [Found(port, controller.capabilities(), said.get(port.device, "")) for port, controller in asked]


def choose(
    wanted: str,
    now_ns: Callable[[], int],
    settings: PortSettings | None = None,
    ports: Sequence[PortInfo] | None = None,
    also: Sequence[str] = (),
) -> str:
    """A port's name to keep: `wanted` itself, or for `auto` the one that answers, by a name that outlives a re-plug."""
    if wanted != AUTO:
        return wanted
    found = find(now_ns, settings, candidates(also) if ports is None else ports)
    answering = [each.port for each in found if each.device is not None]
    if len(answering) == 1:
        port = answering[0]
        return port.by_id or (port.usb_id if port.serial_number else None) or port.device
    if answering:
        names = ", ".join(port.by_id or port.device for port in answering)
        raise PortError(f"auto: {len(answering)} controllers answer ({names}); choose one with --port")
    asked = "; ".join(f"{each.port.device}: {each.problem}" for each in found)
    nobody = ": no board known to be a controller is plugged in; `station ports list` shows what is"
    raise PortError(f"auto: no controller answers{f' ({asked})' if asked else nobody}")
