"""A configuration that a device holds otherwise is never armed, and the value that differs is named."""

from dataclasses import replace

import pytest

from firmware_bridge import wire
from firmware_bridge.codec import FrameReader, encode_frame
from firmware_bridge.comparison import Comparison
from firmware_bridge.loopback import WireFaults
from firmware_bridge.messages import DeviceConfig, LinkChanged, LinkState
from tests.unit.firmware_bridge.bench import CONFIG, GATE, MS, Bench

COMMON = wire.HeldCommon(*wire.commit_message(CONFIG))
GATES = [wire.HeldGate(*gate) for gate in wire.gate_messages(CONFIG)]


def compared(common: wire.HeldCommon, gates: list[wire.HeldGate], device_gates: int = 8) -> Comparison:
    comparison = Comparison(CONFIG, device_gates)
    while (question := comparison.next_message()) is not None:
        comparison.take(common if question.gate == wire.NO_GATE else gates[question.gate])
    return comparison


def test_what_is_held_as_wanted_differs_in_nothing() -> None:
    assert compared(COMMON, GATES).said() == ""


@pytest.mark.parametrize("name", wire.HeldCommon._fields[:-1])
def test_every_common_value_that_differs_is_named(name: str) -> None:
    wanted = getattr(COMMON, name)
    said = compared(COMMON._replace(**{name: wanted + 1}), GATES).said()
    assert said == f"{name} is {wanted + 1} there, {wanted} here"


@pytest.mark.parametrize(
    ("name", "as_configured"),
    [
        ("safe_level", "safe_level"),
        ("min_hold_us", "min_hold_us"),
        ("max_hold_us", "max_hold_us"),
        ("min_gap_us", "min_gap_us"),
        ("opening_us", "opening_delay_us"),
        ("closing_us", "closing_delay_us"),
        ("max_duty_permille", "max_duty_permille"),
    ],
)
def test_every_value_of_a_gate_that_differs_is_named_with_its_gate(name: str, as_configured: str) -> None:
    there = [gate._replace(**{name: 7}) if gate.gate == 3 else gate for gate in GATES]
    assert compared(COMMON, there).said() == f"gate 3: {as_configured} is 7 there, {getattr(GATE, as_configured)} here"


def test_of_many_differences_the_first_are_told() -> None:
    there = [gate._replace(min_gap_us=1) for gate in GATES]
    said = compared(COMMON._replace(lease_ms=100), there).said()
    assert said.startswith("lease_ms is 100 there, 250 here; gate 0: ")
    assert said.endswith("gate 1: min_gap_us is 1 there, 2000 here; and 6 more")


def test_a_smaller_device_is_asked_for_the_gates_it_has() -> None:
    comparison = Comparison(CONFIG, gates=2)
    asked = []
    while (question := comparison.next_message()) is not None:
        asked.append(question.gate)
        comparison.take(COMMON if question.gate == wire.NO_GATE else GATES[question.gate])
    assert asked == [wire.NO_GATE, 0, 1]


def test_answers_that_nobody_waits_for_change_nothing() -> None:
    comparison = Comparison(CONFIG, gates=8)
    comparison.take(GATES[0]._replace(min_gap_us=1))
    assert comparison.next_message() == wire.ReadConfig(wire.NO_GATE)
    comparison.take(COMMON)
    comparison.take(COMMON._replace(lease_ms=1))
    assert comparison.next_message() == wire.ReadConfig(0)
    assert comparison.said() == ""


# ---- with a device


def details(bench: Bench) -> list[str]:
    return [reply.detail for reply in bench.heard if isinstance(reply, LinkChanged)]


def configured_by_another(bench: Bench, config: DeviceConfig) -> None:
    """A host that was there before has given the device this configuration, and is gone."""
    other = Bench()
    other.controller.configure(config)
    other.device = other.cable.device = bench.device
    other.rearm = False
    other.run(0.5)
    assert other.is_in(LinkState.READY)
    other.controller.close()
    bench.now_ns = other.now_ns


OTHER = replace(CONFIG, lease_ms=300, gates=(*CONFIG.gates[:5], replace(GATE, max_hold_us=150_000), *CONFIG.gates[6:]))


@pytest.mark.parametrize(
    ("faults", "seconds"), [(WireFaults(), 0.6), (WireFaults.all(0.15), 3.0)], ids=["clean", "a bad line"]
)
def test_what_another_host_has_configured_is_told_and_replaced_before_anything_is_armed(
    faults: WireFaults, seconds: float
) -> None:
    bench = Bench(faults, sync_bound_us=5000)
    configured_by_another(bench, OTHER)
    bench.run(seconds)
    assert bench.is_in(LinkState.ARMED)
    told = [detail for detail in details(bench) if "held another configuration" in detail]
    assert told == [
        "the device held another configuration, ours is sent: "
        "lease_ms is 300 there, 250 here; gate 5: max_hold_us is 150000 there, 200000 here"
    ]


def test_a_configuration_of_our_own_that_is_replaced_by_another_of_ours_needs_no_word() -> None:
    bench = Bench(rearm=False)
    bench.run(0.4)
    bench.controller.configure(OTHER)
    bench.run(0.4)
    assert bench.is_in(LinkState.READY)
    bench.controller.configure(CONFIG)
    bench.run(0.4)
    assert bench.is_in(LinkState.READY)
    assert not any("held another" in detail for detail in details(bench))


class Forger:
    """Between host and device: what is said of gate 2's longest hold arrives as another value, undamaged."""

    def __init__(self, bench: Bench) -> None:
        self._write = bench.cable.write
        self._reader = FrameReader()
        bench.cable.write = self.write  # type: ignore[method-assign]

    def write(self, data: bytes) -> int:
        self._reader.feed(data)
        while (frame := self._reader.next_frame()) is not None:
            message = wire.decode(frame.type, frame.payload)
            if isinstance(message, wire.ConfigGate) and message.gate == 2:
                message = message._replace(max_hold_us=199_999)
            self._write(encode_frame(replace(frame, payload=wire.encode(message))))
        return len(data)


def test_a_value_that_arrives_otherwise_is_named_and_nothing_is_armed() -> None:
    bench = Bench()
    Forger(bench)
    bench.run(3.0)
    assert not bench.armed()
    assert bench.is_in(LinkState.SYNCING)
    refused = [detail for detail in details(bench) if "refuses" in detail]
    assert refused == ["the device refuses the configuration: gate 2: max_hold_us is 199999 there, 200000 here"]


def test_a_checksum_that_differs_over_equal_values_is_said_to_be_just_that(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    honest = bench.session.configuring.next_message

    def wrong_crc() -> wire.ConfigGate | wire.ConfigCommit | None:
        message = honest()
        return message._replace(crc=message.crc ^ 1) if isinstance(message, wire.ConfigCommit) else message

    monkeypatch.setattr(bench.session.configuring, "next_message", wrong_crc)
    bench.run(2.0)
    assert not bench.armed()
    assert any("every value arrived, but their CRC differs" in detail for detail in details(bench))


def test_a_device_that_does_not_say_what_it_holds_is_configured_all_the_same() -> None:
    bench = Bench()
    configured_by_another(bench, OTHER)
    heard = bench.session._on_message

    def deaf(message: wire.Message, now_ns: int) -> None:
        if not isinstance(message, wire.HeldGate | wire.HeldCommon):
            heard(message, now_ns)

    bench.session._on_message = deaf  # type: ignore[method-assign]
    began_ns = bench.now_ns
    while not bench.is_in(LinkState.ARMED):
        bench.run(0.01)
        assert bench.now_ns < began_ns + 1500 * MS
