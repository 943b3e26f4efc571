"""A capture holds every byte, reads as text, and lived again gives the same replies."""

from pathlib import Path

import pytest

from firmware_bridge.conversation import SessionSettings
from firmware_bridge.errors import ProtocolError
from firmware_bridge.loopback import SteppedController, WireFaults
from firmware_bridge.messages import Accepted, Disarmed, Fired, LinkChanged, LinkState, NotFired
from firmware_bridge.session import Session
from firmware_bridge.trace import FROM_DEVICE, TO_DEVICE, CaptureWriter, Decoder, describe, read_capture, replay
from tests.unit.firmware_bridge.bench import CONFIG, Bench


def captured(path: Path, faults: WireFaults) -> Bench:
    """A run with everything in it: firings, a stop, a loss, a restart."""
    bench = Bench(faults, sync_bound_us=5000)
    capture = CaptureWriter(path)
    bench.controller = SteppedController(bench.cable, bench.session, capture)
    bench.controller.configure(CONFIG)
    bench.run(0.8)
    bench.run(0.5, every_ms=20, submit=lambda _: bench.ahead())
    bench.controller.stop()
    bench.run(0.3, every_ms=20, submit=lambda _: bench.ahead_counts())
    bench.device.reboot(bench.now_ns)
    bench.run(0.8, every_ms=20, submit=lambda _: bench.ahead())
    bench.run(0.3)
    capture.close()
    return bench


@pytest.mark.parametrize("faults", [WireFaults(), WireFaults.all(0.05)], ids=["clean", "5 % of everything"])
def test_a_capture_lived_again_gives_the_same_ends(tmp_path: Path, faults: WireFaults) -> None:
    path = tmp_path / "wire.jsonl"
    bench = captured(path, faults)
    again = replay(read_capture(path), Session(SessionSettings(sync_bound_us=5000)))
    travelled = {
        command_id: type(final)
        for command_id, final in bench.finals.items()
        if isinstance(final, Fired | NotFired) and command_id in bench.commands
    }
    relived = {reply.command_id: type(reply) for reply in again if isinstance(reply, Fired | NotFired)}
    assert len(travelled) > 30
    assert relived == travelled
    assert [r.reason for r in again if isinstance(r, Disarmed)] == [
        r.reason for r in bench.heard if isinstance(r, Disarmed)
    ]
    states = [reply.state for reply in again if isinstance(reply, LinkChanged)]
    assert states.count(LinkState.ARMED) == 3
    assert sum(isinstance(reply, Accepted) for reply in again) > 30


def test_a_capture_reads_as_text(tmp_path: Path) -> None:
    path = tmp_path / "wire.jsonl"
    captured(path, WireFaults())
    decoder = Decoder()
    lines = [describe(spoken) for chunk in read_capture(path) for spoken in decoder.feed(chunk)]
    text = "\n".join(lines)
    for word in (
        "Hello ",
        "HelloReply",
        "ConfigCommit",
        "Arm ",
        "Divert ",
        "Answer ",
        "FIRED",
        "DISARMED",
        "BOOT",
        "Stop",
    ):
        assert word in text
    assert "?" not in text
    assert decoder.damaged(TO_DEVICE) == decoder.damaged(FROM_DEVICE) == 0


def test_an_unknown_message_is_shown_not_hidden() -> None:
    from firmware_bridge.codec import Frame, encode_frame
    from firmware_bridge.trace import Chunk

    (spoken,) = Decoder().feed(Chunk(1_500_000, "<", encode_frame(Frame(0x77, 0, 5, b"\x01\x02"))))
    assert "0x77" in describe(spoken)
    assert "0102" in describe(spoken)


def test_a_line_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "wire.jsonl"
    path.write_text('{"t_ns":1,"dir":"<","hex":"00"}\n{"t_ns":2}\n')
    with pytest.raises(ProtocolError, match="line 2"):
        list(read_capture(path))


def test_a_line_cut_by_a_crash_ends_the_capture(tmp_path: Path) -> None:
    path = tmp_path / "wire.jsonl"
    path.write_text('{"t_ns":1,"dir":"<","hex":"00"}\n{"t_ns":2,"dir":"<","he')
    assert len(list(read_capture(path))) == 1
