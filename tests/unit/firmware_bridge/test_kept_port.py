"""A port that comes and goes: when it is opened again, what is read and written around its loss."""

from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from firmware_bridge.errors import PortError
from firmware_bridge.kept_port import FIRST_BACK_OFF_NS, LONGEST_BACK_OFF_NS, KeptPort


@dataclass
class Cable:
    """A transport that says when it is used."""

    name: str = "cable"
    opens: bool = True
    gone: bool = False
    arrived: list[bytes] = field(default_factory=list)
    takes: int = 1000
    waited_s: list[float] = field(default_factory=list)
    written: bytes = b""

    def open(self) -> None:
        if not self.opens:
            raise PortError("nothing is there")

    def read(self) -> bytes:
        if self.gone:
            raise PortError("gone")
        return self.arrived.pop(0) if self.arrived else b""

    def write(self, data: bytes) -> int:
        if self.gone:
            raise PortError("gone while writing")
        self.written += data[: self.takes]
        return min(self.takes, len(data))

    def wait(self, timeout_s: float) -> None:
        self.waited_s.append(timeout_s)

    def close(self) -> None: ...


def opened(cable: Cable) -> KeptPort:
    port = KeptPort(cable)
    port.open(0)
    port.opened()
    return port


def test_a_port_that_does_not_open_is_tried_again_later_and_later() -> None:
    port, tries_ns = KeptPort(Cable(opens=False)), []
    for now_ms in range(3000):
        if port.may_open(now_ms * 1_000_000):
            tries_ns.append(now_ms * 1_000_000)
            with pytest.raises(PortError):
                port.open(now_ms * 1_000_000)
    gaps_ns = [later - earlier for earlier, later in pairwise(tries_ns)]
    assert gaps_ns[0] == FIRST_BACK_OFF_NS
    assert set(gaps_ns[1:]) == {LONGEST_BACK_OFF_NS}


@pytest.mark.parametrize(("was_of_use", "back_off_ns"), [(True, FIRST_BACK_OFF_NS), (False, LONGEST_BACK_OFF_NS)])
def test_a_port_that_was_of_use_is_opened_again_soon(was_of_use: bool, back_off_ns: int) -> None:
    cable = Cable(opens=False)
    port = KeptPort(cable)
    with pytest.raises(PortError):
        port.open(0)
    cable.opens = True
    port.open(0)
    port.opened()
    port.drop(1_000, was_of_use)
    assert not port.may_open(1_000 + back_off_ns - 1)
    assert port.may_open(1_000 + back_off_ns)


def test_it_does_not_sleep_on_bytes_that_are_in_already() -> None:
    cable = Cable(arrived=[b"a", b"b"])
    port = opened(cable)
    port.take_in()
    port.wait(0.5)
    assert cable.waited_s == []
    assert port.arrived() == b"ab"
    port.wait(0.5)
    assert cable.waited_s == [0.5]


def test_what_the_port_does_not_take_stays_in_the_outbox() -> None:
    cable = Cable(takes=3)
    port, outbox = opened(cable), bytearray(b"abcde")
    assert port.write_from(outbox) == b"abc"
    assert port.write_from(outbox) == b"de"
    assert (cable.written, bytes(outbox)) == (b"abcde", b"")


@pytest.mark.parametrize("how", ["read", "write"])
def test_a_loss_is_noted_and_nothing_more_is_written(how: str) -> None:
    cable = Cable()
    port, outbox = opened(cable), bytearray(b"abc")
    cable.gone = True
    if how == "read":
        port.take_in()
    else:
        assert port.write_from(outbox) == b""
    assert port.broken == ("gone" if how == "read" else "gone while writing")
    cable.gone = False
    assert port.write_from(outbox) == b""
    assert outbox == b"abc"


def test_what_came_before_a_loss_is_not_heard_after_it() -> None:
    port = opened(Cable(arrived=[b"half a fra"]))
    port.take_in()
    port.drop(0, was_of_use=True)
    assert port.arrived() == b""


def test_closed_for_good_it_is_never_opened_again() -> None:
    port = opened(Cable())
    port.close()
    assert not port.may_open(10**12)
