"""Is the configuration one to run a shift with: valid, far enough gates, the product not where untouched items land."""

from collections.abc import Iterator
from pathlib import Path

from station.commissioning.findings import Finding, failed, passed, warned
from station.commissioning.geometry import geometry_of
from station.config import StationConfig, find_config, load_config, search_paths
from station.errors import ConfigError


def read_config(flag: Path | None, environ: dict[str, str]) -> tuple[StationConfig | None, Finding]:
    """The configuration in force and the finding about it; None when there is none that can be used."""
    try:
        path = find_config(flag, environ)
        if path is None:
            looked = ", ".join(str(place) for place in search_paths(environ))
            return None, warned(
                "configuration", f"none found (looked for {looked}): `run` will only observe", "station config init"
            )
        return load_config(path, environ), passed("configuration", f"{path} is valid")
    except ConfigError as error:
        return None, failed("configuration", str(error), "correct it; `station config schema` lists every key")


def config_findings(config: StationConfig) -> Iterator[Finding]:
    yield geometry(config)
    yield unactuated_bin(config)
    yield from bins(config)
    yield auto_rearm(config)
    yield reach(config)


def geometry(config: StationConfig) -> Finding:
    try:
        report = geometry_of(config)
    except ConfigError as error:
        return failed("geometry", str(error), "run `station calibrate belt` again")
    if report.ok:
        return passed("geometry", report.text)
    fix = "move the gates or the camera, raise cameras.fps, lower belt.max_speed_m_s, or lower budget.item_mm"
    return failed("geometry", report.text, fix)


def product_bin(sort_bins: dict[str, tuple[int, ...]], named: str | None) -> str | None:
    """The bin whose purity is reported: the named one, else the first with gates."""
    return named or next((name for name, gates in sort_bins.items() if gates), None)


def unactuated_bin(config: StationConfig) -> Finding:
    """Everything missed, late or unseen lands there: it should not be what is sold."""
    sort = config.sort
    product = product_bin({name: bin_.gates for name, bin_ in sort.bins.items()}, sort.product_bin)
    if product != sort.unactuated_bin:
        return passed("unactuated bin", f"untouched items land in {sort.unactuated_bin!r}, the product is {product!r}")
    return warned(
        "unactuated bin",
        f"untouched items land in the product ({product!r}): every missed or unseen item makes it dirtier",
        "blow out the product instead, if mechanics allow; else accept it and watch purity when anything is missed",
    )


def bins(config: StationConfig) -> Iterator[Finding]:
    """Bins that no label leads to, and a bin without gates that is not the unactuated one: nothing can land there."""
    sort = config.sort
    used = {rule.bin for rule in sort.labels.values()} | {sort.fallback_bin, sort.unactuated_bin}
    for name, bin_ in sort.bins.items():
        if not bin_.gates and name != sort.unactuated_bin:
            fix = f"give sort.bins.{name}.gates, or make it the unactuated_bin"
            yield failed(
                "bins", f"bin {name!r} has no gates and is not the unactuated bin: nothing can land there", fix
            )
        elif name not in used:
            yield warned("bins", f"no label leads to bin {name!r}", f"give a label bin = {name!r} or remove the bin")


def auto_rearm(config: StationConfig) -> Finding:
    link = config.link
    if link.auto_rearm is None and link.port not in (None, "virtual"):
        fix = "set link.auto_rearm = true or false: a safety decision of the plant, see the comment in `station config init`"
        return failed("auto_rearm", "link.auto_rearm is not decided, and a real port needs it", fix)
    words = {
        True: "gates arm again by themselves after a loss",
        False: "a person arms again after a loss",
        None: "not needed",
    }
    return passed("auto_rearm", words[link.auto_rearm])


def reach(config: StationConfig) -> Finding:
    """The controller refuses windows beyond its FAR limits: a gate farther away than that would never fire."""
    served = [config.gates[gate] for bin_ in config.sort.bins.values() for gate in bin_.gates]
    farthest_mm = max((gate.at_mm for gate in served), default=0.0) - min(
        camera.view_at_mm for camera in config.cameras
    )
    if farthest_mm > config.link.far_mm:
        message = (
            f"the farthest gate is {farthest_mm:g} mm ahead, link.far_mm = {config.link.far_mm:g}: it would be refused"
        )
        return failed("reach", message, "raise link.far_mm")
    if config.belt.speed_m_s is not None and farthest_mm / config.belt.speed_m_s > config.link.far_ms:
        ahead_ms = farthest_mm / config.belt.speed_m_s
        message = (
            f"the farthest gate is {ahead_ms:.0f} ms ahead, link.far_ms = {config.link.far_ms}: it would be refused"
        )
        return failed("reach", message, "raise link.far_ms")
    return passed("reach", f"the farthest gate is {farthest_mm:g} mm ahead, within the controller's limit")
