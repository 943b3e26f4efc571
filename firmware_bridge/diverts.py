"""A command in the device's own terms: its window in device microseconds or counts. Knows the clock, no states, no sending."""

from firmware_bridge import wire
from firmware_bridge.clocksync import ClockFit
from firmware_bridge.messages import DivertCommand, DuringTime, Refusal

LARGEST = 2**63 - 1  # of a window's ends on the wire


def in_device_terms(command: DivertCommand, fit: ClockFit | None) -> wire.Divert | Refusal:
    """What is sent; or the refusal of what need not travel to be refused."""
    window = command.window
    if fit is None:
        return Refusal.NOT_ARMED
    if isinstance(window, DuringTime):
        mode, start, end = wire.MODE_TIME, fit.device_us(window.start_ns), fit.device_us(window.end_ns)
        if start < 0:
            return Refusal.LATE  # before the device was switched on
    else:
        mode, start, end = wire.MODE_COUNT, window.start_count, window.end_count
    if end <= start or end > LARGEST or start < -LARGEST:
        return Refusal.BAD_ARGUMENT
    if not 0 < command.gate_mask < 2**32 or not 0 < command.command_id < 2**32:
        return Refusal.BAD_ARGUMENT
    return wire.Divert(command.command_id, command.gate_mask, mode, start, end)
