"""Wire traffic as lines on stdout, our own frames and Modbus alike. Knows no port; time counts from the first chunk."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from station.cli import output
from station.errors import ConfigError

if TYPE_CHECKING:
    from firmware_bridge.modbus_trace import ModbusDecoder
    from firmware_bridge.trace import Chunk


@contextmanager
def modbus_wanted() -> Iterator[None]:
    """Around imports that need pymodbus, an extra."""
    try:
        yield
    except ImportError as error:
        raise ConfigError(f"{error}. Relay boards need the package: pip install pymodbus") from None


class Shown:
    def __init__(self) -> None:
        from firmware_bridge.trace import Decoder

        self._since_ns: int | None = None
        self._frames = Decoder()
        self._modbus: ModbusDecoder | None = None

    def __call__(self, chunk: "Chunk") -> None:
        from firmware_bridge.trace import MODBUS, describe

        if self._since_ns is None:
            self._since_ns = chunk.at_ns
        if chunk.protocol == MODBUS:
            self._show_modbus(chunk, self._since_ns)
            return
        for spoken in self._frames.feed(chunk):
            output.data(describe(spoken, self._since_ns))

    def _show_modbus(self, chunk: "Chunk", since_ns: int) -> None:
        with modbus_wanted():
            from firmware_bridge.modbus_trace import ModbusDecoder, describe

        if self._modbus is None:
            self._modbus = ModbusDecoder()
        for said in self._modbus.feed(chunk):
            output.data(describe(said, since_ns))

    def say_what_was_no_frame(self) -> None:
        from firmware_bridge.trace import FROM_DEVICE, TO_DEVICE

        damaged = self._frames.damaged(FROM_DEVICE) + self._frames.damaged(TO_DEVICE)
        if damaged:
            output.say(f"{damaged} pieces between zeros were no frames (noise, cut or corrupted)")
        if self._modbus is not None and self._modbus.damaged:
            output.say(f"{self._modbus.damaged} pieces were no Modbus frames (noise, cut or corrupted)")
