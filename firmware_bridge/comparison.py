"""What a device holds against what it should hold, value by value. Knows messages, not when they are sent."""

from collections.abc import Sequence

from firmware_bridge import wire
from firmware_bridge.messages import DeviceConfig
from firmware_bridge.wire import HeldCommon, HeldGate, ReadConfig

TOLD = 3  # of many differences
_OF_A_GATE = {"opening_us": "opening_delay_us", "closing_us": "closing_delay_us"}  # as a configuration has it


class Comparison:
    """The common values first, then gate after gate as far as both have them."""

    def __init__(self, wanted: DeviceConfig, gates: int) -> None:
        """`gates`: how many the device has."""
        self._common = wire.commit_message(wanted)
        self._gates = wire.gate_messages(wanted)[:gates]
        self._asked = [wire.NO_GATE, *range(len(self._gates))]
        self.differences: list[str] = []

    def next_message(self) -> ReadConfig | None:
        """None: everything is compared."""
        return ReadConfig(self._asked[0]) if self._asked else None

    def take(self, held: HeldGate | HeldCommon) -> None:
        """Answers that nobody waits for, and repeated ones, change nothing."""
        gate = held.gate if isinstance(held, HeldGate) else wire.NO_GATE
        if not self._asked or gate != self._asked[0]:
            return
        self._asked.pop(0)
        if isinstance(held, HeldGate):
            wanted = self._gates[gate]
            self._compare(f"gate {gate}: ", held._fields[1:], held[1:], wanted[1:])
        else:
            self._compare("", held._fields[:-1], held[:-1], self._common[:-1])  # the CRC is no value

    def said(self) -> str:
        """In words; empty when no value differs."""
        more = len(self.differences) - TOLD
        return "; ".join(self.differences[:TOLD]) + (f"; and {more} more" if more > 0 else "")

    def _compare(self, where: str, names: Sequence[str], held: Sequence[int], wanted: Sequence[int]) -> None:
        for name, there, here in zip(names, held, wanted, strict=True):
            if there != here:
                self.differences.append(f"{where}{_OF_A_GATE.get(name, name)} is {there} there, {here} here")
