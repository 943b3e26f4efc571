"""Label to bin, with the reason when the fallback is taken."""

import pytest

from station.config import builtin_config, changed
from station.datatypes import Belief, DecisionReason
from station.sorting.rules import decide, wants_gate

PROGRAM = changed(
    builtin_config("virtual"),
    sort={
        "labels": {"recyclable": {"bin": "product", "threshold": 0.7}, "organic": {"bin": "residue", "threshold": 0.5}}
    },
).sort


def belief(label: str, confidence: float) -> Belief:
    return Belief(label, confidence, (confidence, 1 - confidence), 2, 77)


@pytest.mark.parametrize(
    ("seen", "bin_name", "reason", "gated"),
    [
        pytest.param(belief("recyclable", 0.9), "product", DecisionReason.MATCHED, True, id="sure target"),
        pytest.param(belief("recyclable", 0.7), "product", DecisionReason.MATCHED, True, id="exactly at the threshold"),
        pytest.param(belief("recyclable", 0.69), "residue", DecisionReason.UNSURE, False, id="doubtful target"),
        pytest.param(belief("organic", 0.9), "residue", DecisionReason.MATCHED, False, id="sure other"),
        pytest.param(
            belief("battery", 0.99), "residue", DecisionReason.UNKNOWN_LABEL, False, id="a label without a rule"
        ),
        pytest.param(None, "residue", DecisionReason.NO_LOOK, False, id="never looked at"),
    ],
)
def test_label_decides_the_bin(seen: Belief | None, bin_name: str, reason: DecisionReason, gated: bool) -> None:
    decision = decide(5, seen, PROGRAM, 123)
    assert (decision.track_id, decision.bin_name, decision.reason, decision.decided_ns) == (5, bin_name, reason, 123)
    assert wants_gate(decision, PROGRAM) is gated


def test_the_decision_remembers_the_last_look_it_rests_on() -> None:
    assert decide(5, belief("organic", 0.9), PROGRAM, 123).last_look_ns == 77
