"""Does the model load, compute what its trainer computed, and say the labels of the sort program? Imports torch when asked."""

from collections.abc import Iterator
from pathlib import Path

from station.commissioning.findings import Finding, failed, passed, warned
from station.config import SortConfig, StationConfig
from station.errors import ModelError


def model_findings(config: StationConfig | None) -> Iterator[Finding]:
    from station.recognition.artifact import load_artifact
    from station.recognition.backends.choice import choose_backend
    from station.recognition.classifier import check_framing

    name = config.recognition.model if config else "default"
    try:
        loaded = load_artifact(name)
        check_framing(loaded.info)
    except ModelError as error:
        yield failed("model", str(error), 'give another file, or use recognition.model = "default"')
        return
    classes = ", ".join(loaded.info.classes)
    yield passed(
        "model", f"{name}: {loaded.info.arch}, knows {classes}; golden logits agree ({loaded.file_sha256[:12]})"
    )
    if config is not None:
        yield from labels(config.sort, loaded.info.classes, Path(name).name)
    wanted = config.recognition.backend if config else "auto"
    try:
        chosen = choose_backend(wanted, loaded, threads=config.recognition.threads if config else 0, sizes=(1,))
    except ModelError as error:
        yield failed("backend", str(error), 'set recognition.backend = "auto"')
        return
    passed_over = "".join(f"\nnot used: {reason}" for reason in chosen.passed_over)
    words = f"{chosen.backend.name}, differs from the model by {chosen.worst_difference:.2%} at most"
    yield passed("backend", words + passed_over)


def labels(sort: SortConfig, classes: tuple[str, ...], model: str) -> Iterator[Finding]:
    """The sort program and the model must speak of the same things."""
    unknown = sorted(set(sort.labels) - set(classes))
    if unknown:
        message = f"{model} never says {', '.join(unknown)}; it knows {', '.join(classes)}"
        yield failed("labels", message, "correct sort.labels, or train a model with these classes")
    silent = [label for label in classes if label not in sort.labels]
    if silent:
        message = f"the sort program names no bin for {', '.join(silent)}: they go to {sort.fallback_bin!r}"
        yield warned("labels", message, "add [sort.labels.NAME] with a bin for each, even if it is the fallback")
    if not unknown and not silent:
        yield passed("labels", f"every class has a bin: {', '.join(classes)}")
