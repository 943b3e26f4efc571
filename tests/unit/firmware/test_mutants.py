"""The mutation tool itself, on a function small enough to know all its mutants."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.tools.core_mutants import ACTED, REACHED, mutated, parse
from tests.tools.core_mutator import Numbering
from tests.tools.mutants import NOT_EXAMINED, judged, listed, record

SOURCE = """#include <stdint.h>
int32_t small(int32_t a) {
    int32_t room[4];
    a += 5;
    if (a < 3 && a != 0) return a - 1;
    return 9;
}
"""
MUTANTS = {  # what is changed: an argument for which that shows
    "a += 5 -> nothing": 1,
    "a += 5 -> a -= 5": 0,
    "5 -> 5 + 1": -4,
    "5 -> 5 - 1": -4,
    "a < 3 -> a <= 3": -2,
    "a < 3 -> a >= 3": -3,
    "3 -> 3 + 1": -2,
    "3 -> 3 - 1": -3,
    "(a < 3) && (a != 0) -> a < 3 || a != 0": 0,
    "(a < 3) && (a != 0) -> !((a < 3) && (a != 0))": -3,
    "a != 0 -> a == 0": -3,
    "0 -> 0 + 1": -5,
    "a - 1 -> a + 1": -3,
    "1 -> 1 + 1": -3,
    "1 -> 1 - 1": -3,
    "9 -> 9 + 1": 0,
    "9 -> 9 - 1": 0,
}


def original(a: int) -> int:
    a += 5
    return a - 1 if a < 3 and a != 0 else 9


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_each_mutant_is_the_change_it_is_called_and_no_mutant_is_the_original(tmp_path: Path) -> None:
    source = tmp_path / "small.c"
    source.write_text(SOURCE)
    numbering = Numbering()
    text = mutated(source, parse(source, tmp_path), numbering)
    (tmp_path / "all.c").write_text(text + f"int sc_mutant = -1; unsigned char sc_reached[{len(numbering.mutants)}];")
    library = tmp_path / "all.so"
    subprocess.run(
        ["gcc", "-std=gnu11", "-w", "-shared", "-fPIC", str(tmp_path / "all.c"), "-o", str(library)], check=True
    )
    loaded = ctypes.CDLL(str(library))
    choice = ctypes.c_int.in_dll(loaded, "sc_mutant")
    reached = (ctypes.c_ubyte * len(numbering.mutants)).in_dll(loaded, "sc_reached")
    assert [loaded.small(a) for a in range(-9, 9)] == [original(a) for a in range(-9, 9)]
    keys = {mutant.key.removeprefix("small.c small: "): mutant.number for mutant in numbering.mutants}
    assert keys.keys() == MUTANTS.keys()  # the size of a local array is not among them
    for name, shows in MUTANTS.items():
        choice.value = keys[name]
        assert loaded.small(shows) != original(shows), name
    choice.value = -1
    ctypes.memset(reached, 0, len(reached))
    for argument, said in ((-3, REACHED), (-2, ACTED), (-3, ACTED)):  # at the boundary it acts; once is enough
        loaded.small(argument)
        assert reached[keys["a < 3 -> a <= 3"]] == said


VERDICTS = {"a": "killed", "b": "hung", "c": "survived", "d": "idle", "e": "not_reached", "f": None, "g": "survived"}
KNOWN = {"a": "was thought equivalent", "c": "equivalent", "d": NOT_EXAMINED, "f": "equivalent", "gone": "equivalent"}


def test_only_survivors_with_a_reason_are_in_order() -> None:
    said, unexplained, gone = judged(VERDICTS, KNOWN)
    assert unexplained == {"d": "idle", "e": "not_reached", "g": "survived"}
    assert gone == {"a", "gone"}, "killed meanwhile, or no mutant any more; f was not run"
    assert (said["mutants"], said["run"], said["score"]) == (7, 6, round(2 / 6, 4))
    assert (said["justified"], said["not_examined"], said["unlisted"]) == (1, 1, 2)


def test_a_record_keeps_reasons_drops_what_is_gone_and_adds_what_is_new(tmp_path: Path) -> None:
    path = tmp_path / "list.toml"
    path.write_text('[[survivor]]\nbecause = "equivalent"\nmutants = ["c", "gone", "f"]\n')
    record(path, ['z "x"', "b"], {"gone"})
    assert listed(path) == {"c": "equivalent", "f": "equivalent", "b": NOT_EXAMINED, 'z "x"': NOT_EXAMINED}
