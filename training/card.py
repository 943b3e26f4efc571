"""The model card: what a model is, what it was made of, what it was measured to do, and what it is not good for.

Knows only what stands in the artifact, so a card can be written again wherever the file goes. Computes nothing anew.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from station.recognition.artifact import ArtifactInfo
from training.page import percent, spread
from training.record import command, computed_on, wall

WORST_BLOCKS = 4
PROTOCOLS = {
    "honest": "Honest: settings were fixed beforehand, nothing was chosen on TEST, and TEST was scored once.",
    "paper": "**The epoch was chosen on TEST, as the paper did: its accuracy flatters.**",
}
FRAMED = {
    "squash": "a picture or an item's look is squashed to the square.",
    "centre": "a picture's central square is taken.",
}


def card(info: ArtifactInfo) -> str:
    """Markdown; sections whose facts an artifact does not carry are left out."""
    return "\n\n".join(part for part in sections(info) if part) + "\n"


def sections(info: ArtifactInfo) -> Iterator[str]:
    scores, facts = info.metrics.get("test", {}), info.training
    yield f"# {facts.get('recipe', {}).get('name', 'Model')}: {info.arch}, {', '.join(info.classes)}"
    yield (
        f"Input {info.input_px} × {info.input_px} px RGB, preprocessing `{info.preprocessing}`: {FRAMED[info.framing]} "
        f"Logits are divided by {info.temperature:.3f} before the softmax. SHA-256 of the weights `{info.weights_sha256}`."
    )
    if facts:
        yield "## Made from\n\n" + made_from(info)
    if scores:
        yield "## Measured\n\n" + "\n\n".join(measured(scores))
    yield "## Known gaps\n\n" + "\n".join(f"* {gap}" for gap in gaps(info))


def made_from(info: ArtifactInfo) -> str:
    facts, recipe = info.training, info.training["recipe"]
    lines = [
        f"{facts['n_train']} pictures of `{facts.get('data', 'a folder')}`, {facts['n_extra']} belt crops beside them; "
        f"{held_of(facts)}; "
        f"{len(facts['unreadable'])} unreadable.",
        f"Fingerprints: TRAIN `{info.data.get('train_fingerprint')}`, TEST `{info.data.get('test_fingerprint')}`.",
        PROTOCOLS[facts["protocol"]],
        f"Start: {'weights of `' + facts['backbone'] + '`' if facts.get('backbone') else start_of(recipe)}. {schedule(recipe)}",
        f"`{command(facts)}`",
    ]
    where = facts.get("machine")
    took = wall(facts) + (f" on {computed_on(where)}" if where else "")
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    return "\n\n".join([*lines, f"Seed {facts['seed']}, {took}; {versions}."])


def held_of(facts: dict[str, Any]) -> str:
    """What temperature and thresholds come from."""
    if facts.get("folds"):
        return f"temperature and thresholds by {facts['folds']} folds of blocks of neighbouring files"
    return f"{facts['n_holdout']} held out in blocks of neighbouring files for temperature and thresholds"


def start_of(recipe: dict[str, Any]) -> str:
    return "random weights" if recipe["kind"] == "scratch" else "the model that ships"


def schedule(recipe: dict[str, Any]) -> str:
    if recipe["kind"] == "frozen":
        return "Only the last layer was fitted, to its optimum."
    stages = ", ".join(f"{stage['epochs']} at {stage['side_px']} px" for stage in recipe["stages"])
    return f"Epochs: {stages}; batch {recipe['batch']}, rate up to {recipe['peak_lr']}."


def measured(scores: dict[str, Any]) -> Iterator[str]:
    rows = [
        ("TEST, readable pictures", scores["accuracy"]),
        ("unreadable ones counted wrong", scores["accuracy_unreadable_wrong"]),
    ]
    if "without_duplicates" in scores:
        rows.append(("without pictures that TRAIN also holds", scores["without_duplicates"]["accuracy"]))
    yield markdown_table(("accuracy", "Wilson 95 %", "of"), ((what, spread(one), one["n"]) for what, one in rows))
    blocks = scores["accuracy_by_block_bootstrap"]
    yield (
        f"By drawing whole blocks of neighbouring TEST files: {percent(blocks['low'])} to {percent(blocks['high'])}. "
        f"ECE {scores['ece']:.3f}, log loss {scores['log_loss']:.3f}."
    )
    names, counts = scores["confusion"]["labels"], scores["confusion"]["counts"]
    yield markdown_table(
        ("is", *(f"called {name}" for name in names), "recall", "precision", "AUC"),
        (
            (
                name,
                *row,
                spread(scores["per_class"][name]["recall_interval"]),
                spread(scores["per_class"][name]["precision_interval"]),
                f"{scores['auc'][name]:.4f}" if scores["auc"].get(name) is not None else "–",
            )
            for name, row in zip(names, counts, strict=True)
        ),
    )
    chosen = [row for row in scores.get("working_points", ()) if row["threshold"] is not None]
    if chosen:
        yield "Thresholds from pictures not learnt from, and what became of them on TEST:"
        yield markdown_table(
            ("label", "threshold", "purity wanted", "recovery promised", "purity", "recovery"),
            (
                (
                    row["label"],
                    f"{row['threshold']:.3f}",
                    percent(row["wanted_purity"]),
                    percent(row["promised"]["recovery"]),
                    spread(row["purity"]),
                    spread(row["recovery"]),
                )
                for row in chosen
            ),
        )


def gaps(info: ArtifactInfo) -> Iterator[str]:
    """What a user has to know before trusting it."""
    yield f'Whatever it is shown is called one of {len(info.classes)} classes; there is no "neither".'
    yield "TEST says how it does on pictures like those of its data set. On a belt it has to be measured there."
    if info.framing != "squash":
        yield "It may not look at a belt: it never saw whole items squashed to its square. `station run` refuses it."
    blocks = info.metrics.get("test", {}).get("per_block", ())
    if blocks:
        worst = sorted(blocks, key=lambda block: float(block["accuracy"]))[:WORST_BLOCKS]
        said = ", ".join(f"{block['label']} {block['accuracy']:.0%} of {block['n']}" for block in worst)
        yield f"Kinds of things that TRAIN hardly has do worse. The worst blocks of neighbouring TEST files: {said}."
    if info.training.get("backbone"):
        yield f"It contains layers of `{info.training['backbone']}`: whoever passes it on owes that file's licence, too."
    behind = info.training.get("backbone_learnt_from")
    if behind:
        yield (
            f"The weights it started from had learnt from {behind['n_train']} pictures of `{behind['data']}`. As far as its "
            "held-out pictures are among those, its temperature and its thresholds promise too much."
        )
    if info.training and not info.training["n_holdout"] and not info.training.get("folds"):
        yield "Nothing was held out: its temperature is 1 and it promises no thresholds."


def markdown_table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    first, *rest = ("| " + " | ".join(str(cell) for cell in line) + " |" for line in (head, *rows))
    return "\n".join([first, "|" + "---|" * len(head), *rest])
