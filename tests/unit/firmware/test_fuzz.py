"""Every input that libFuzzer's committed corpus holds is played through the core, by any compiler; and the playing can fail.

What must hold is said in fuzz/receive.c. An input that once ended it belongs into fuzz/corpus as soon as its cause is mended.
"""

import json
import subprocess
from pathlib import Path

import pytest

import firmware_bridge.firmware

FIRMWARE = Path(firmware_bridge.firmware.__file__).parent
CORPUS = sorted((FIRMWARE / "fuzz/corpus").iterdir())
FRAMES = [line for line in (FIRMWARE / "fuzz/frames.txt").read_text().splitlines() if not line.startswith("#")]
MOST_BYTES = 200 * 1024
# Undefined behaviour and an index beyond its array trap: as telling here as the sanitizers, and no library is needed.
FLAGS = ("-std=c11", "-O0", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE")
TRAPS = ("-fsanitize=undefined", "-fsanitize-undefined-trap-on-error")


RAW = 236  # a step of the script: so many bytes as they are


def scripts_of_frames() -> dict[str, bytes]:
    """Every golden frame as it is, with a flipped bit, and with its last run said to be longer than it is."""
    found = {}
    for line in FRAMES:
        name, data = line.split()
        frame, last, at = bytes.fromhex(data), 0, 0
        while at < len(frame):
            last, at = at, at + frame[at]
        for what, byte, change in (("whole", 0, 0), ("bit", 1, 0x10), ("run", last, frame[last] ^ (frame[last] + 1))):
            bad = bytearray(frame)
            bad[byte] ^= change
            found[f"frame-{name}-{what}"] = bytes((RAW, len(bad) + 2, 0, *bad, 0))
    return found


def build(target: Path, frame_c: Path, *more: str) -> Path:
    core = [path for path in sorted((FIRMWARE / "core").glob("*.c")) if path.name != "frame.c"]
    sources = [FIRMWARE / "fuzz/receive.c", FIRMWARE / "fuzz/replay.c", *core, frame_c]
    words = ["cc", *FLAGS, *more, f"-I{FIRMWARE / 'core'}", *map(str, sources), "-o", str(target)]
    subprocess.run(words, check=True)
    return target


def flips(target: Path, frame_c: Path, bits: int) -> tuple[int, dict[str, object]]:
    core = [path for path in sorted((FIRMWARE / "core").glob("*.c")) if path.name != "frame.c"]
    sources = [FIRMWARE / f"fuzz/{name}.c" for name in ("flips", "golden", "receive")]
    words = ["cc", *FLAGS, "-O2", f"-I{FIRMWARE / 'core'}", *map(str, [*sources, *core, frame_c]), "-o", str(target)]
    subprocess.run(words, check=True)
    done = subprocess.run([str(target), str(bits), str(FIRMWARE / "fuzz/frames.txt")], capture_output=True, text=True)
    said: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return done.returncode, said


def test_no_frame_with_one_or_two_flipped_bits_is_taken(tmp_path: Path) -> None:
    """Three, too: `make fuzz`, which takes ten seconds for it."""
    code, said = flips(tmp_path / "flips", FIRMWARE / "core/frame.c", bits=2)
    assert (code, said["false_accepts"]) == (0, 0)
    bits = [8 * len(bytes.fromhex(line.split()[1])) for line in FRAMES]
    assert said["frames"] == sum(n + n * (n - 1) // 2 for n in bits)


def test_flipped_bits_that_are_taken_are_counted(tmp_path: Path) -> None:
    """A checksum of which only half is looked at lets some through."""
    source = tmp_path / "frame.c"
    right, wrong = "whole = get_u32(&at) == sc_crc32(0,", "whole = (uint8_t)get_u32(&at) == (uint8_t)sc_crc32(0,"
    text = (FIRMWARE / "core/frame.c").read_text()
    assert text.count(right) == 1
    source.write_text(text.replace(right, wrong))
    code, said = flips(tmp_path / "flips", source, bits=2)
    assert code == 1
    assert said["false_accepts"] != 0


def play(program: Path) -> tuple[int, dict[str, object]]:
    done = subprocess.run([str(program), *map(str, CORPUS)], capture_output=True, text=True)
    said: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return done.returncode, said


def test_the_corpus_is_small_enough_to_be_kept() -> None:
    assert 100 < len(CORPUS) <= 300
    assert sum(path.stat().st_size for path in CORPUS) <= MOST_BYTES


def test_it_holds_every_frame_whole_and_damaged() -> None:
    """After a change of frames.txt write the files anew: each of `scripts_of_frames` by its name."""
    named = {path.name: path.read_bytes() for path in CORPUS if path.name.startswith("frame-")}
    assert named == scripts_of_frames()


def test_nothing_that_must_hold_is_broken_by_any_input_of_the_corpus(tmp_path: Path) -> None:
    program = build(tmp_path / "replay", FIRMWARE / "core/frame.c", *TRAPS)
    assert play(program) == (0, {"schema": "bridge.replay/1", "played": len(CORPUS), "findings": 0})


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("whole = get_u32(&at) == sc_crc32(0, core->rx, body);", "whole = (get_u32(&at), true);"),
        ("core->rx_left == 0 && core->rx_length", "core->rx_length"),
        ("if (core->rx_code != 0) decoded(core, 0);", ""),
    ],
    ids=["no checksum", "a cut run", "no zeros"],
)
def test_a_receiver_that_takes_what_it_may_not_is_found_by_the_corpus(tmp_path: Path, right: str, wrong: str) -> None:
    text = (FIRMWARE / "core/frame.c").read_text()
    assert text.count(right) == 1
    source = tmp_path / "frame.c"
    source.write_text(text.replace(right, wrong))
    code, said = play(build(tmp_path / "replay", source))
    assert code == 1, said
