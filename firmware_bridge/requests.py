"""What is sent again until the device acknowledges it: arm, disarm, stop, cancel, clear fault, one gate's configuration.

Knows no time of its own and no meaning: at most one open request of each kind.
"""

from dataclasses import dataclass, field

from firmware_bridge.wire import Ack, Message, ToDevice, type_of

RESEND_NS = 25_000_000


@dataclass(slots=True)
class _Open:
    message: ToDevice
    next_send_ns: int
    seqs: set[int] = field(default_factory=set)


class Requests:
    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}

    def ask(self, message: ToDevice) -> None:
        """Replaces an open request of the same kind."""
        self._open[type_of(type(message))] = _Open(message, next_send_ns=0)

    def drop(self, kind: type[Message]) -> None:
        self._open.pop(type_of(kind), None)

    def clear(self) -> None:
        self._open.clear()

    def waiting(self, *kinds: type[Message]) -> bool:
        return any(type_of(kind) in self._open for kind in kinds)

    def due(self, now_ns: int) -> list[ToDevice]:
        due = [request for request in self._open.values() if request.next_send_ns <= now_ns]
        for request in due:
            request.next_send_ns = now_ns + RESEND_NS
        return [request.message for request in due]

    def sent(self, message: ToDevice, seq: int) -> None:
        request = self._open.get(type_of(type(message)))
        if request is not None:
            request.seqs.add(seq)

    def acknowledged(self, ack: Ack) -> ToDevice | None:
        """The request this closes; None for an acknowledgement of an earlier, replaced or closed one."""
        request = self._open.get(ack.acked_type)
        if request is None or ack.acked_seq not in request.seqs:
            return None
        del self._open[ack.acked_type]
        return request.message
