"""`station replay`: what the station sees in a recording, and what it sees otherwise than before."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from station.cli.output import CHECK_FAILED, data, data_json, say, table, told

if TYPE_CHECKING:
    from station.record.rows import ItemRow
    from station.replay import Difference, Replayed


@told
def replay(
    source: Annotated[str, typer.Argument(help="Video file, or folder of pictures")],
    config: Annotated[
        Path | None, typer.Option(help="Configuration of the line it was recorded on; default: the one that is found")
    ] = None,
    compare: Annotated[
        Path | None, typer.Option(help="Folder of an earlier run or replay; differences end with 1")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write items.jsonl into this folder, to compare with later")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout")] = False,
) -> None:
    """See a recording again, as fast as it goes. NO DIVERTS SENT. Its own times: the same result each time."""
    from station.config import config_home, find_config, load_config
    from station.replay import differences, read_items, write_items
    from station.replay import replay as see_again

    earlier = read_items(compare) if compare is not None else None
    environ = config_home()
    path = find_config(config, environ)
    seen = see_again(source, load_config(path, environ) if path is not None else None)
    if out is not None:
        write_items(out, seen.items)
    if seen.shortfall is not None:
        say(seen.shortfall)
    found = differences(seen.items, earlier) if earlier is not None else None
    if as_json:
        told_differences = {} if found is None else {"differences": [one.to_json() for one in found]}
        data_json({**seen.to_json(), **told_differences})
    else:
        data(in_words(seen) if found is None else differences_in_words(found, compare))
    if found:
        raise typer.Exit(CHECK_FAILED)


def in_words(seen: "Replayed") -> str:
    rows = [(row.track_id, *_cells(row), row.looks, _outcome(row)) for row in seen.items]
    head = ("item", "at s", "across mm", "label", "sure", "looks", "outcome")
    count = f"{len(rows)} item{'' if len(rows) == 1 else 's'}"
    summary = f"{count} in {seen.frames} frames, {seen.duration_s:.1f} s, {seen.backend}; NO DIVERTS SENT"
    return f"{table(head, rows)}\n{summary}" if rows else summary


def differences_in_words(found: "list[Difference]", folder: Path | None) -> str:
    if not found:
        return f"no differences from {folder}"
    rows = []
    for one in found:
        row = one.here or one.there
        assert row is not None
        rows.append((one.what, *_cells(row)[:2], _said(one.here), _said(one.there)))
    return f"{table(('difference', 'at s', 'across mm', 'here', 'there'), rows)}\n{len(found)} from {folder}"


def _cells(row: "ItemRow") -> tuple[str, str, str, str]:
    across = "-" if row.lateral_mm is None else f"{row.lateral_mm:.0f}"
    sure = "-" if row.confidence is None else f"{row.confidence:.3f}"
    return f"{row.born_ns / 1e9:.2f}", across, row.label or "-", sure


def _outcome(row: "ItemRow") -> str:
    return f"{row.outcome}" if row.reason in (None, "none") else f"{row.outcome} ({row.reason})"


def _said(row: "ItemRow | None") -> str:
    if row is None:
        return "-"
    return f"item {row.track_id} {row.label or 'no label'} {row.confidence or 0.0:.3f}"
