"""The sort program: label to bin. The only place where a label becomes a bin.

Knows thresholds, the fallback and the unactuated bin. Knows nothing of gates, time or pictures.
"""

from station.config import SortConfig
from station.datatypes import Belief, Decision, DecisionReason


def decide(track_id: int, belief: Belief | None, program: SortConfig, now_ns: int) -> Decision:
    """What to do with one item. No belief, a doubtful one or an unknown label goes to the fallback bin, with the reason."""
    if belief is None:
        return Decision(track_id, None, 0.0, program.fallback_bin, DecisionReason.NO_LOOK, 0, now_ns, None)
    rule = program.labels.get(belief.label)
    if rule is None:
        bin_name, reason = program.fallback_bin, DecisionReason.UNKNOWN_LABEL
    elif belief.confidence < rule.threshold:
        bin_name, reason = program.fallback_bin, DecisionReason.UNSURE
    else:
        bin_name, reason = rule.bin, DecisionReason.MATCHED
    return Decision(
        track_id, belief.label, belief.confidence, bin_name, reason, belief.looks, now_ns, belief.last_look_ns
    )


def wants_gate(decision: Decision, program: SortConfig) -> bool:
    """True when the bin is reached only by making a gate act."""
    return bool(program.bins[decision.bin_name].gates)
