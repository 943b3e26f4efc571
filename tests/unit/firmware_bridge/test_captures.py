"""Captures of the wire kept beside this file, lived again: the replies of today are those written down then.

`python -m tests.tools.keep_capture` makes them anew; a capture from a plant is added by dropping its file here and running it.
"""

import json
from pathlib import Path

import pytest

from tests.tools.keep_capture import FOLDER, ends_of

CAPTURES = sorted(FOLDER.glob("*.jsonl"))


def test_there_are_captures() -> None:
    assert {path.stem for path in CAPTURES} >= {"good_day", "bad_line"}


@pytest.mark.parametrize("path", CAPTURES, ids=[path.stem for path in CAPTURES])
def test_a_kept_capture_gives_the_same_replies(path: Path) -> None:
    kept = json.loads(path.with_suffix(".expected.json").read_text())
    assert ends_of(path) == kept
    assert kept["replies"]
