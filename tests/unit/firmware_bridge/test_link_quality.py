"""The tool that measures loss and clock keeps the promises on short runs, and can say that one is broken."""

import pytest

from firmware_bridge.loopback import WireFaults
from tests.tools.link_quality import LINES, REFUSED, clock, loss
from tests.unit.firmware_bridge.test_clocksync import Model


@pytest.mark.parametrize("line", LINES)
def test_a_lossy_line_keeps_its_promise(line: str) -> None:
    figures = loss(line, diverts=300, seed=2)
    assert figures["kept"], figures
    assert figures["diverts"] >= 300


def test_a_line_that_is_worse_than_promised_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LINES, "hopeless", (WireFaults(drop=0.85), 1.0))
    figures = loss("hopeless", diverts=100, seed=2)
    assert not figures["kept"]
    assert figures["fired_share"] < 1


def test_only_the_link_that_may_not_be_trusted_may_not_arm() -> None:
    assert not clock(REFUSED, "idle", seed=3, exchanges=200)["may_arm"]
    assert clock("USB-CDC", "loaded", seed=3, exchanges=200)["kept"]


def test_an_error_outside_the_bound_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Model.error_and_bound_us
    monkeypatch.setattr(Model, "error_and_bound_us", lambda *a: (honest(*a)[0], 0.0))
    figures = clock("USB-CDC", "idle", seed=3, exchanges=200)
    assert figures["outside_bound"] > 0
    assert not figures["kept"]
