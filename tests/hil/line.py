"""A bad line between the link and any rung: frames said twice, lost or swallowed by kind. Hears what the device says."""

import re

from firmware_bridge import wire
from firmware_bridge.codec import FrameReader
from firmware_bridge.kept_port import Transport

_FRAMES = re.compile(rb"\x00*[^\x00]+\x00")


class Line:
    """Implements Transport. Undisturbed it only listens."""

    def __init__(self, transport: Transport) -> None:
        self.name = transport.name
        self.said: list[wire.Message] = []  # by the device, heard by the host or not
        self.twice = False
        self.lose_every = 0  # nth frame to the device; 0: none
        self.swallow: type[wire.Message] | None = None  # frames of this kind to the device
        self.deaf = False  # nothing of what the device says arrives
        self._transport = transport
        self._from_device = FrameReader()
        self._frames = 0

    def open(self) -> None:
        self._transport.open()

    def wait(self, timeout_s: float) -> None:
        self._transport.wait(timeout_s)

    def close(self) -> None:
        self._transport.close()

    def read(self) -> bytes:
        heard = self._transport.read()
        self._from_device.feed(heard)
        while (frame := self._from_device.next_frame()) is not None:
            self.said.append(wire.decode(frame.type, frame.payload))
        return b"" if self.deaf else heard

    def write(self, data: bytes) -> int:
        if not (self.twice or self.lose_every or self.swallow):
            return self._transport.write(data)
        for frame in _FRAMES.findall(data):
            self._frames += 1
            if self._is_lost(frame):
                continue
            for _ in range(1 + self.twice):
                self._transport.write(frame)
        return len(data)

    def _is_lost(self, frame: bytes) -> bool:
        if self.lose_every and self._frames % self.lose_every == 0:
            return True
        reader = FrameReader()
        reader.feed(b"\x00" + frame)
        whole = reader.next_frame()
        return whole is not None and self.swallow is not None and whole.type == wire.type_of(self.swallow)
