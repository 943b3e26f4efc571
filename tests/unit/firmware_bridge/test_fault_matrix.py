"""The fault matrix: every case keeps every invariant, and the page's table lists exactly these cases.

Slow on purpose: a thousand unplugs, restarts and stalls have to be lived through, if only in virtual time.
"""

import pytest

from tests.tools.fault_cases import cases
from tests.tools.fault_table import PAGE, written
from tests.tools.fault_trial import Case

CASES = cases()


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_no_fault_breaks_an_invariant(case: Case) -> None:
    row = case.run()
    assert row.broken == ()
    assert row.injected > 0
    assert row.commands > 0
    if case.all_fire:
        assert row.fired == row.commands


def test_the_page_tells_of_every_case_and_of_nothing_broken() -> None:
    rows = written(PAGE.read_text(encoding="utf-8"))
    assert [(row[0], row[1]) for row in rows] == [(case.kind, case.what) for case in CASES], (
        "python -m tests.tools.fault_table --write"
    )
    for row in rows:
        times, commands, fired, told, unconfirmed, broken = (int(cell) for cell in row[2:])
        assert times > 0
        assert broken == 0
        assert fired + told + unconfirmed <= commands
