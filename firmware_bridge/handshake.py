"""Who is at the other end, and what it must hold before it may be armed. Knows messages, not when they are sent."""

from collections.abc import Iterator
from random import Random

from firmware_bridge import wire
from firmware_bridge.comparison import Comparison
from firmware_bridge.errors import ProtocolError
from firmware_bridge.messages import Capabilities, DeviceConfig
from firmware_bridge.wire import ConfigCommit, ConfigGate, Hello, HelloReply

_BAD_ARGUMENT = 1
_OTHER_CRC = 2


class Greeting:
    """Draws the session, recognises the answer to its own HELLO, remembers which boot of which device it was."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._nonce = 0
        self.session_id = self._draw()
        self._met_session = 0
        self.peer: HelloReply | None = None

    def hello(self) -> Hello:
        """The same session again resumes it on the device; the nonce tells answers apart."""
        self._nonce = self._draw()
        return Hello(wire.VERSION, self.session_id, self._nonce)

    def adopt(self, hello: Hello) -> None:
        """A HELLO out of a capture stands for ours."""
        self.session_id, self._nonce = hello.session, hello.nonce

    def is_answer(self, reply: HelloReply) -> bool:
        """Raises ProtocolError when the device speaks another version."""
        if reply.nonce != self._nonce:
            return False
        if reply.version != wire.VERSION or reply.schema_hash != wire.SCHEMA_HASH:
            raise ProtocolError(
                f"device firmware {reply.firmware_hash:08x} speaks protocol {reply.version} "
                f"(schema {reply.schema_hash:08x}), this program {wire.VERSION} ({wire.SCHEMA_HASH:08x}): "
                "flash the firmware that came with it"
            )
        return True

    def is_another(self, reply: HelloReply) -> bool:
        """Not the boot that we knew; boards that count their boots may have come to the same number."""
        return self.peer is not None and (reply.uid, reply.boot_id) != (self.peer.uid, self.peer.boot_id)

    def meet(self, reply: HelloReply) -> tuple[bool, bool]:
        """Remember the peer: (it has restarted since we knew it, or is another one; it holds nothing of ours)."""
        new_boot = self.is_another(reply)
        fresh = new_boot or self._met_session != self.session_id
        self.peer, self._met_session = reply, self.session_id
        return new_boot, fresh

    def restart(self) -> None:
        """The device has lost our session: draw another."""
        self.session_id = self._draw()

    def capabilities(self) -> Capabilities | None:
        peer = self.peer
        if peer is None:
            return None
        return Capabilities(
            timing="device",
            has_count=peer.has_encoder,
            gates=peer.gates,
            queue_depth=peer.queue_depth,
            id_memory=peer.id_memory,
            event_ring=peer.event_ring,
            uid=peer.uid.hex(),
            firmware=f"{peer.firmware_hash:08x}",
        )

    def _draw(self) -> int:
        return self._rng.randrange(1, 2**32)


def unsound(config: DeviceConfig, gate: int | None = None) -> str:
    """The first value no device takes, with its limits; empty when the firmware's own limits (core/config.c) are kept."""
    for number, each in enumerate(config.gates):
        if gate not in (None, number):
            continue
        for name, (low, high) in _GATE_LIMITS.items():
            value = getattr(each, name)
            if not low <= value <= high:
                return f"gate {number}: {name} is {value}, allowed are {low} to {high}"
        if each.min_hold_us > each.max_hold_us:
            return f"gate {number}: min_hold_us is {each.min_hold_us}, more than max_hold_us {each.max_hold_us}"
    for name, (low, high) in _COMMON_LIMITS.items():
        value = getattr(config, name)
        if not low <= value <= high:
            return f"{name} is {value}, allowed are {low} to {high}"
    return ""


_GATE_LIMITS = {
    "safe_level": (0, 1),
    "min_hold_us": (0, 60_000_000),
    "max_hold_us": (1, 60_000_000),
    "min_gap_us": (0, 60_000_000),
    "opening_delay_us": (0, 1_000_000),
    "closing_delay_us": (0, 1_000_000),
    "max_duty_permille": (1, 1000),
}
_COMMON_LIMITS = {
    "lease_ms": (100, 1000),
    "max_late_us": (0, 100_000),
    "far_ms": (0, 600_000),
    "far_count": (0, 16_777_216),
}


class Configuring:
    """One gate after the other, then the commit whose CRC covers them all. Where two CRCs differ, the values are compared."""

    def __init__(self) -> None:
        self.wanted: DeviceConfig | None = None
        self.crc = 0
        self.comparison: Comparison | None = None
        """Under way; None: nothing is."""
        self.refused = False
        """The device has refused what it holds now; otherwise the comparison is of what it held before."""
        self._rest: Iterator[ConfigGate | ConfigCommit] = iter(())
        self._explained: set[int] = {0}  # CRCs of configurations that need no word: ours, compared ones, none at all

    def want(self, config: DeviceConfig) -> None:
        self.wanted = config
        self.crc = wire.commit_message(config).crc
        self._explained.add(self.crc)  # should another one be wanted later, the difference is the station's own
        self.comparison = None

    def held_by(self, config_crc: int) -> bool:
        return self.wanted is None or config_crc == self.crc

    def begins_comparing(self, peer: HelloReply) -> bool:
        """Somebody else has configured this device, and nobody has said yet what differs."""
        if self.wanted is None or peer.config_crc in self._explained:
            return False
        self._explained.add(peer.config_crc)
        self.comparison, self.refused = Comparison(self.wanted, peer.gates), False
        return True

    def begins_explaining(self, peer: HelloReply, error: int) -> bool:
        """All values arrived, and yet their CRC is another one there: which of them is not what was sent?"""
        if self.wanted is None or error != _OTHER_CRC:
            return False
        self.comparison, self.refused = Comparison(self.wanted, peer.gates), True
        return True

    def compared(self) -> str:
        """What the comparison came to, in words; it is over."""
        found = self.comparison.said() if self.comparison else ""
        self.comparison = None
        if self.refused:
            return (
                f"the device refuses the configuration: {found or 'every value arrived, but their CRC differs there'}"
            )
        return f"the device held another configuration, ours is sent: {found or 'no value differs'}"

    def why_refused(self, error: int, gate: int) -> str:
        """In words, with the value where one is to blame."""
        found = "" if self.wanted is None or error != _BAD_ARGUMENT else unsound(self.wanted)
        where = f"gate {gate}: " if gate != wire.NO_GATE else ""
        return found or where + wire.ERRORS.get(error, f"error {error}")

    def misfit(self, peer: HelloReply) -> str | None:
        """Why this device can never hold the wanted configuration."""
        if self.wanted is None:
            return None
        if len(self.wanted.gates) > peer.gates:
            return f"{len(self.wanted.gates)} gates are configured, the device has {peer.gates}"
        if self.wanted.mm_per_count is not None and not peer.has_encoder:
            return "mm_per_count is configured, the device has no encoder"
        return None

    def start(self) -> None:
        if self.wanted is not None:
            self._rest = iter([*wire.gate_messages(self.wanted), wire.commit_message(self.wanted)])

    def next_message(self) -> ConfigGate | ConfigCommit | None:
        return next(self._rest, None)
