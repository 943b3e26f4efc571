"""One picture of what the station sees: `python -m tests.tools.picture docs/overlay.png`.

The whole station on the virtual line in virtual time, drawn items only; at the first moment that shows items of every
fate that a good run has, the frame is rendered once more and the overlay drawn onto it: of a run that has no such moment,
the one that comes nearest. Same seed, same picture.
"""

import argparse
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from station.app import build_brain, set_thread_counts
from station.config import builtin_config
from station.datatypes import BgrImage, OutcomeKind
from station.lockstep import Lockstep, LockstepSetup
from station.panel.overlay import draw
from station.panel.snapshot import Mark, SeenCamera, SeenItem, Snapshot, seen_item
from station.pipeline import StepResult
from station.record.recorder import Recorder
from station.simulation.line import LineOptions

WANTED = {Mark.UNDECIDED: 2, Mark.PASS: 1, Mark.DIVERT: 1}
LONGEST_S = 20.0
SHORTEST_S = 4.0  # until then the counters in the strip are nearly empty


def picture(seed: int) -> BgrImage:
    """Run until every wanted fate is in view. Raises SystemExit when a run never shows an item."""
    config = builtin_config("virtual")
    set_thread_counts(config.recognition.threads)
    run = Lockstep(LockstepSetup(config, LineOptions(seed, LONGEST_S), build_brain(config), Recorder([])))
    run.start()
    begun_ns = run.clock.now_ns()
    best: BgrImage | None = None
    most = 0
    while not run.over() and most < sum(WANTED.values()):
        result = run.turn()
        items = _items(run, result)
        seen = Counter(item.mark for item in items)
        wanted = sum(min(seen[mark], count) for mark, count in WANTED.items())
        if wanted > most and run.clock.now_ns() - begun_ns >= SHORTEST_S * 1e9:
            best, most = _drawn(run, result, items), wanted
    if best is None:
        raise SystemExit(f"seed {seed} never showed an item; try another")
    return best


def _items(run: Lockstep, result: StepResult) -> tuple[SeenItem, ...]:
    outcomes = {record.outcome.track_id: record.outcome for record in run.books.recent}
    seen = (
        seen_item(
            track,
            result.beliefs.get(track.track_id),
            run.loop.decision_of(track.track_id),
            gate_mask=run.loop.ledger.gate_mask_of(track.track_id),
            outcome=outcomes.get(track.track_id),
        )
        for track in result.tracks
    )
    return tuple(item for item in seen if item is not None)


def _drawn(run: Lockstep, result: StepResult, items: tuple[SeenItem, ...]) -> BgrImage:
    config, ledger = run.setup.config, run.loop.ledger
    captured_ns = max(track.last_seen_ns for track in result.tracks if track.detection is not None)
    frame = run.line.frame_at(captured_ns)
    assert frame is not None, "no camera fault was asked for"
    entry = config.cameras[0]
    camera = SeenCamera(entry.id, captured_ns, fps=entry.fps, items=items)
    snapshot = Snapshot(  # without latency: in virtual time it would be made up
        made_ns=run.clock.now_ns(),
        state=run.loop.machine.state.name,
        link=run.controller.status().state,
        simulated=True,
        by_outcome={kind: ledger.by_outcome[kind] for kind in OutcomeKind},
        in_flight=ledger.in_flight,
        cameras={entry.id: camera},
    )
    return draw(frame, camera, snapshot)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--width", type=int, default=900, help="of the file, px")
    parser.add_argument("--shades", type=int, default=8, help="grey steps taken as one: sensor noise does not compress")
    wanted = parser.parse_args()
    drawn = picture(wanted.seed)
    height = round(drawn.shape[0] * wanted.width / drawn.shape[1])
    small = cv2.resize(drawn, (wanted.width, height), interpolation=cv2.INTER_AREA)
    steps = (small.astype(np.int16) + wanted.shades // 2) // wanted.shades * wanted.shades
    small = np.clip(steps, 0, 255).astype(np.uint8)
    wanted.out.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(wanted.out), small, [cv2.IMWRITE_PNG_COMPRESSION, 9]):
        raise SystemExit(f"{wanted.out}: could not be written")


if __name__ == "__main__":
    main()
