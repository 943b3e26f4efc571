"""A process that is killed, for real: what it had reported as kept must be there."""

import subprocess
import sys
from pathlib import Path

from station.record.archive import open_archive
from station.record.history import open_history

RECORDING = """
import sys
from pathlib import Path
from station.record.history import open_history
from station.record.raw import RawRecord
from station.record.recorder import Born, Recorder, Settled
from tests.unit.record.makers import record, track

directory = Path(sys.argv[1])
history = open_history(directory, 0, 0)
history.begin_run({}, 0, 0)
recorder = Recorder([history, RawRecord(directory / "raw", 0)])
number = 0
while True:
    for _ in range(7):
        number += 1
        recorder.put(Born(track(number)))
        if number % 2:
            recorder.put(Settled(record(number)))
    recorder.step(number)
    print(number, flush=True)
"""


def test_what_was_reported_as_kept_survives_a_kill_and_the_next_start_closes_the_run(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", RECORDING, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    ) as recording:
        assert recording.stdout is not None
        kept = 0
        while kept < 70:
            kept = int(recording.stdout.readline())
        recording.kill()
        kept = int([str(kept), *recording.stdout.read().split()][-1])
    open_history(tmp_path, 0, 1).close()
    with open_archive(tmp_path) as archive:
        outcomes = {row.track_id: row.outcome for row in archive.items(archive.run(None).run_id)}
        assert archive.run(None).status == "interrupted"
    assert set(range(1, kept + 1)) <= set(outcomes)
    assert all(outcomes[number] == ("ejected" if number % 2 else "unconfirmed") for number in range(1, kept + 1))
    raw = (tmp_path / "raw" / "items.jsonl").read_text().splitlines()
    assert len(raw) >= (kept + 1) // 2
