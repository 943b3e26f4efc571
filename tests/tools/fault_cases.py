"""The fault matrix: every class of IEC 61784-3 and what else may befall a serial line, a board and a host, one case each.

Invariants are the soak's (soak_judge); `all_fire` marks the faults that must cost no command at all.
"""

from tests.tools import fault_ends, fault_line
from tests.tools.fault_trial import Case


def cases() -> list[Case]:
    return [
        *fault_line.corruption(),
        *fault_line.loss(),
        *fault_line.repetition_and_insertion(),
        *fault_line.sequence_and_delay(),
        *fault_line.masquerade(),
        *fault_line.cuts(),
        *fault_ends.restarts(),
        *fault_ends.stuck(),
        *fault_ends.clocks(),
        *fault_ends.floods(),
        *fault_ends.hosts(),
    ]
