"""Every fault of the matrix, judged by the device's own pins; and the table in PROTOCOL.md has one row for each."""

import pytest

from tests.tools.fault_cases import MATRIX, Case, play
from tests.tools.fault_table import PROTOCOL, counts, written_rows


@pytest.mark.parametrize("case", MATRIX, ids=lambda case: case.name)
def test_no_fault_breaks_an_invariant(case: Case) -> None:
    result = play(case)
    assert [problem.what for problem in result.problems] == []
    figures = counts(result)
    assert result.times > 0, "nothing was injected"
    assert figures["fired"] > 0, "nothing was sorted"
    ends = figures["fired"] + figures["refused"] + figures["not_fired"] + figures["unconfirmed"]
    assert ends == figures["diverts"] - len(result.line.world.orphans - result.line.world.finals.keys())


def test_the_protocols_table_is_the_matrix() -> None:
    """`python -m tests.tools.fault_table --write` writes it."""
    assert written_rows(PROTOCOL.read_text()) == [(case.fault, case.injected) for case in MATRIX]
