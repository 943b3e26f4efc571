"""The data page: counts, unreadable files, copies and leaks as pictures, and the sheet on which labels are reviewed.

Knows the report of `data_check` and how to draw it; finds nothing itself. Needs no server: decisions are saved by the browser.
"""

import html
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from training.cache import decode
from training.page import page, picture, table

PAIRS_SHOWN = 24
SUSPECTS_SHOWN = 200

# A person's answers become a table beside the pictures; `station data check` never edits a label by itself.
SAVE = """
<p><button onclick="save()">Save decisions as labels.csv</button> <span id=n></span></p>
<script>
const decided = () => [...document.querySelectorAll('select[data-file]')].filter(s => s.value)
const quoted = t => '"' + t.replaceAll('"', '""') + '"'
function save() {
  const rows = decided().map(s => [s.dataset.file, s.dataset.label, s.value].map(quoted).join(','))
  const text = ['file,label,decision', ...rows].join('\\n') + '\\n'
  const a = document.createElement('a')
  a.href = URL.createObjectURL(new Blob([text], {type: 'text/csv'}))
  a.download = 'labels.csv'
  a.click()
}
document.addEventListener('change', () => { document.getElementById('n').textContent = decided().length + ' decided' })
</script>
"""


def write_data_page(path: Path, report: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page("Training data", parts(report)), encoding="utf-8")


def parts(report: dict[str, Any]) -> Iterator[str]:
    yield f"<h1>Training data: {'in order' if report['ok'] else 'needs a look'}</h1>"
    yield table(
        ("part", "label", "pictures"), [(p, name, n) for p, by in report["counts"].items() for name, n in by.items()]
    )
    yield (
        f"<p>{len(report['unreadable'])} unreadable, {report['misnamed']} with a wrong extension (read all the same), "
        f"{report['exact_copies_within_train']} exact and {report['copies_within_train']} verified copies within TRAIN, "
        f"{report['copies_of_test_in_train']} TEST pictures that TRAIN also holds.</p>"
    )
    if report["unreadable"]:
        yield "<h2>Unreadable</h2>" + table(("file",), [(name,) for name in report["unreadable"]])
    yield from pairs("The same picture under two labels", report["contradicting_labels"])
    leaks = [pair for pair in report["copies"] if pair["across"]]
    yield from pairs("TEST pictures that TRAIN also holds", leaks)
    yield from pairs("Copies within TRAIN", [pair for pair in report["copies"] if not pair["across"]])
    if report["suspect_labels"] is not None:
        yield from review_sheet(report["suspect_labels"])


def pairs(title: str, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    if not rows:
        return
    yield f"<h2>{title}</h2><p class=note>{min(len(rows), PAIRS_SHOWN)} of {len(rows)} listed.</p>"
    for pair in rows[:PAIRS_SHOWN]:
        yield shown(pair["file"], pair["label"]) + shown(pair["other"], pair["other_label"])


def review_sheet(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield (
        f"<h2>Suspect labels</h2><p class=note>{min(len(rows), SUSPECTS_SHOWN)} of {len(rows)}, the surest first: models "
        "that saw neither the picture nor its neighbours call it something else. Many are right as they are.</p>"
    )
    yield SAVE
    for row in rows[:SUSPECTS_SHOWN]:
        other = html.escape(row["looks_like"])
        words = f"{row['label']}, looks like {row['looks_like']} ({row['p_other']:.0%})"
        choice = (
            f'<select data-file="{html.escape(row["file"])}" data-label="{html.escape(row["label"])}">'
            f'<option value="">undecided'
            f'<option value="keep">label is right<option value="{other}">is {other}<option value="remove">leave out</select>'
        )
        yield shown(row["file"], words).replace("</figure>", choice + "</figure>")


def shown(file: str, words: str) -> str:
    bgr = decode(Path(file))
    return "" if bgr is None else picture(bgr, f"{Path(file).name}: {words}")
